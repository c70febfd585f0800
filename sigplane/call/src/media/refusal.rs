//! Why an SDP is not let through.

use tandem_sdp::SdpError;

/// Why an SDP is not let through. The session is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The SIP status to answer a request with: 400 (not SDP), 488 (SDP that we do not carry) or
    /// 503 (our ports are exhausted).
    pub status: u16,
    /// What is wrong, for a Warning header or a log.
    pub reason: String,
    /// The counter to move.
    pub counter: &'static str,
}

impl Refusal {
    /// SDP that we do not carry.
    pub(super) fn not_acceptable(counter: &'static str, reason: &str) -> Self {
        Self {
            status: 488,
            reason: reason.to_owned(),
            counter,
        }
    }

    /// No ports are left.
    pub(super) fn exhausted() -> Self {
        Self {
            status: 503,
            reason: "no media ports".to_owned(),
            counter: "media_ports_exhausted",
        }
    }

    /// The realm has no media address of the family that the peer wants.
    pub(super) fn family() -> Self {
        Self::not_acceptable(
            "sdp_family_unavailable",
            "the peer's media address is of a family that its realm has no media address of",
        )
    }
}

impl From<SdpError> for Refusal {
    fn from(error: SdpError) -> Self {
        let status = match error {
            SdpError::TooLong { .. } | SdpError::TooManyMedia { .. } => 488,
            _ => 400,
        };
        Self {
            status,
            reason: error.to_string(),
            counter: error.counter(),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.reason)
    }
}

impl std::error::Error for Refusal {}
