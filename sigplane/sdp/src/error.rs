//! What can be wrong with a session description.

use thiserror::Error;

/// Why a session description is refused. The sender is at fault in each case. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// No bytes, or only line ends.
    #[error("the session description is empty")]
    Empty,
    /// More bytes than the limit.
    #[error("a session description of {size} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not `<lower-case letter>=<text>`, or a NUL or a lone CR in it (RFC 8866 section 5).
    #[error("line {line} is not of the form <type>=<value>")]
    BadLine {
        /// Its number.
        line: usize,
    },
    /// The first line is not `v=0`.
    #[error("the session description does not begin with v=0")]
    BadVersion,
    /// No `o=` line.
    #[error("the session description has no o= line")]
    NoOrigin,
    /// An `o=` line that does not end with `IN <type> <address>`.
    #[error("line {line}: o= does not name an internet address")]
    BadOrigin {
        /// Its number.
        line: usize,
    },
    /// A `c=` line that is not `IN <type> <address>`.
    #[error("line {line}: c= does not name an internet address")]
    BadConnection {
        /// Its number.
        line: usize,
    },
    /// A second `o=`, or a second `c=` at the same level: whose address counts is a guess.
    #[error("line {line} repeats a line that may occur only once")]
    Repeated {
        /// Its number.
        line: usize,
    },
    /// An `m=` line without media type, port, protocol and format, or with a port above 65,535.
    #[error("line {line}: m= is not <media> <port> <protocol> <format>")]
    BadMedia {
        /// Its number.
        line: usize,
    },
    /// More media lines than the limit.
    #[error("more than {limit} media lines")]
    TooManyMedia {
        /// The limit.
        limit: usize,
    },
    /// An `a=rtcp` that is not a port with or without an address (RFC 3605).
    #[error("line {line}: a=rtcp does not name a port")]
    BadRtcp {
        /// Its number.
        line: usize,
    },
}

impl SdpError {
    /// The counter that this outcome moves.
    #[must_use]
    pub const fn counter(&self) -> &'static str {
        match self {
            Self::Empty => "sdp_empty",
            Self::TooLong { .. } => "sdp_too_long",
            Self::BadLine { .. } => "sdp_bad_line",
            Self::BadVersion => "sdp_bad_version",
            Self::NoOrigin => "sdp_no_origin",
            Self::BadOrigin { .. } => "sdp_bad_origin",
            Self::BadConnection { .. } => "sdp_bad_connection",
            Self::Repeated { .. } => "sdp_repeated_line",
            Self::BadMedia { .. } => "sdp_bad_media",
            Self::TooManyMedia { .. } => "sdp_too_many_media",
            Self::BadRtcp { .. } => "sdp_bad_rtcp",
        }
    }
}
