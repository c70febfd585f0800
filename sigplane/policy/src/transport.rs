//! The transports that SIP goes by.

use serde::{Deserialize, Serialize};

/// A SIP transport (RFC 3261 section 18, RFC 7118).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// Secure WebSocket.
    Wss,
}

impl Transport {
    /// As a Via header has it (RFC 3261 section 20.42, RFC 7118 section 5.2).
    #[must_use]
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of the `transport` parameter of a SIP URI; none where it need not be written. A
    /// secure WebSocket has no name of its own there (RFC 7118 section 5.2).
    #[must_use]
    pub const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }

    /// Reads the value of a `transport` parameter, or a Via's transport; none when it is unknown.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|t| text.eq_ignore_ascii_case(t.via().as_bytes()))
    }

    /// The port where none is written (RFC 3261 section 19.1.2, RFC 7118 section 5).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether it delivers in order and without loss, or says that it cannot.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whatever_their_case() {
        assert_eq!(Transport::parse(b"tls"), Some(Transport::Tls));
        assert_eq!(Transport::parse(b"WSS"), Some(Transport::Wss));
        assert_eq!(Transport::parse(b"sctp"), None);
        assert_eq!(Transport::Wss.parameter(), Some("ws"));
    }
}
