//! Values of single lines.

use std::net::IpAddr;
use std::ops::Range;

use crate::lines::{slice, words};

/// What stands where an address is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address. IPv4 mapped into IPv6 is shown as IPv4.
    Ip(IpAddr),
    /// Anything else: a domain name, or not even that.
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// Reads `IN <IP4|IP6> <address>[/<ttl>][/<count>]`. The address decides over the type: some
    /// senders write `IP4` before an IPv6 address. None when it is not that.
    pub(crate) fn read(bytes: &'a [u8], range: Range<usize>) -> Option<Self> {
        let mut words = words(bytes, range).map(|w| slice(bytes, w));
        let (net, kind, host) = (words.next()?, words.next()?, words.next()?);
        let known = net.eq_ignore_ascii_case(b"IN")
            && (kind.eq_ignore_ascii_case(b"IP4") || kind.eq_ignore_ascii_case(b"IP6"));
        (known && words.next().is_none()).then(|| Self::parse(host))
    }

    fn parse(text: &'a [u8]) -> Self {
        let bare = text.split(|b| *b == b'/').next().unwrap_or(text);
        std::str::from_utf8(bare)
            .ok()
            .and_then(|t| t.parse::<IpAddr>().ok())
            .map_or(Self::Name(text), |ip| Self::Ip(ip.to_canonical()))
    }

    /// `0.0.0.0` or `::`: the old way to say hold (RFC 3264 section 8.4), or "not known yet".
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Ip(ip) if ip.is_unspecified())
    }

    /// Whether it names more than one receiver: multicast, or the IPv4 broadcast address.
    #[must_use]
    pub fn is_multicast(&self) -> bool {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.is_multicast() || ip.is_broadcast(),
            Self::Ip(IpAddr::V6(ip)) => ip.is_multicast(),
            Self::Name(_) => false,
        }
    }

    /// The address, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

/// The value of `a=rtcp` (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp<'a> {
    /// Where RTCP is received.
    pub port: u16,
    /// On which address, when it is not that of the media line.
    pub host: Option<Host<'a>>,
}

impl<'a> Rtcp<'a> {
    pub(crate) fn read(bytes: &'a [u8], range: Range<usize>) -> Option<Self> {
        let first = words(bytes, range.clone()).next()?;
        let port = number(slice(bytes, first.clone()))?;
        let host = match words(bytes, first.end..range.end).next() {
            Some(_) => Some(Host::read(bytes, first.end..range.end)?),
            None => None,
        };
        Some(Self { port, host })
    }
}

/// Which way media goes, seen from who sent the description (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways; the default.
    #[default]
    SendRecv,
    /// The sender of the description only sends.
    SendOnly,
    /// The sender of the description only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    pub(crate) fn read(attribute: &[u8]) -> Option<Self> {
        [
            (&b"sendrecv"[..], Self::SendRecv),
            (b"sendonly", Self::SendOnly),
            (b"recvonly", Self::RecvOnly),
            (b"inactive", Self::Inactive),
        ]
        .into_iter()
        .find_map(|(name, direction)| attribute.eq_ignore_ascii_case(name).then_some(direction))
    }

    /// Whether the sender of the description sends media.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// What carries the media of a line, by its protocol field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RTP over UDP: `RTP/AVP`, `RTP/AVPF`, `RTP/SAVP`, `RTP/SAVPF`.
    Rtp,
    /// Keyed by DTLS on the media's own path: `UDP/TLS/RTP/SAVP`, `UDP/TLS/RTP/SAVPF` (RFC 5764).
    DtlsRtp,
    /// Other protocols over UDP: `udptl` (T.38), `udp`, `UDP/BFCP`, `UDP/TLS/UDPTL`,
    /// `UDP/DTLS/SCTP`, `DTLS/SCTP`.
    Udp,
    /// Streams (`TCP/MSRP`, `RTP/AVP/TCP`) and what is not known.
    Other,
}

impl Transport {
    pub(crate) fn read(protocol: &[u8]) -> Self {
        let is = |part: Option<&[u8]>, name: &str| {
            part.is_some_and(|p| p.eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut parts = protocol.split(|b| *b == b'/');
        if parts.clone().any(|p| is(Some(p), "TCP")) {
            return Self::Other;
        }
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        if is(first, "RTP") {
            Self::Rtp
        } else if is(first, "UDP") && is(second, "TLS") && is(third, "RTP") {
            Self::DtlsRtp
        } else if ["UDP", "UDPTL", "DTLS"].iter().any(|name| is(first, name)) {
            Self::Udp
        } else {
            Self::Other
        }
    }
}

/// A decimal number in the whole of `text`, without sign.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    text.iter()
        .all(u8::is_ascii_digit)
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<Host<'_>> {
        Host::read(text.as_bytes(), 0..text.len())
    }

    #[test]
    fn addresses_are_read_as_senders_write_them() {
        let ip = |text: &str| Some(Host::Ip(text.parse().unwrap()));
        assert_eq!(host("IN IP4 10.0.0.1"), ip("10.0.0.1"));
        assert_eq!(host("IN IP4 10.0.0.1/127 "), ip("10.0.0.1"));
        assert_eq!(host("in ip6 2001:db8::1"), ip("2001:db8::1"));
        assert_eq!(host("IN IP4 2001:db8::1"), ip("2001:db8::1"));
        assert_eq!(host("IN IP6 ::ffff:10.0.0.1"), ip("10.0.0.1"));
        assert_eq!(
            host("IN IP4 pbx.example.com"),
            Some(Host::Name(b"pbx.example.com"))
        );
        assert_eq!(host("IN IP4 010.0.0.1"), Some(Host::Name(b"010.0.0.1")));
        for bad in [
            "IN IP4",
            "TN RFC2543 123",
            "IN IP5 10.0.0.1",
            "IN IP4 10.0.0.1 x",
            "",
        ] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }

    #[test]
    fn null_and_multicast() {
        assert!(host("IN IP4 0.0.0.0").unwrap().is_null());
        assert!(host("IN IP6 ::").unwrap().is_null());
        assert!(host("IN IP4 224.2.36.42/127").unwrap().is_multicast());
        assert!(host("IN IP4 255.255.255.255").unwrap().is_multicast());
        assert!(host("IN IP6 ff15::101/3").unwrap().is_multicast());
        assert!(!host("IN IP4 10.0.0.1").unwrap().is_multicast());
    }

    #[test]
    fn rtcp_with_and_without_address() {
        let read = |text: &'static str| Rtcp::read(text.as_bytes(), 0..text.len());
        assert_eq!(
            read("53020"),
            Some(Rtcp {
                port: 53020,
                host: None
            })
        );
        let with = read("53020 IN IP4 126.16.64.4").unwrap();
        assert_eq!(with.host, Some(Host::Ip("126.16.64.4".parse().unwrap())));
        for bad in ["", "x", "70000", "-1", "+5", "53020 IN"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn protocols() {
        for (text, transport) in [
            ("RTP/AVP", Transport::Rtp),
            ("rtp/savpf", Transport::Rtp),
            ("UDP/TLS/RTP/SAVPF", Transport::DtlsRtp),
            ("udptl", Transport::Udp),
            ("UDP/TLS/UDPTL", Transport::Udp),
            ("UDP/DTLS/SCTP", Transport::Udp),
            ("TCP/MSRP", Transport::Other),
            ("TCP/TLS/MSRP", Transport::Other),
            ("RTP/AVP/TCP", Transport::Other),
            ("TCP", Transport::Other),
            ("x-new", Transport::Other),
        ] {
            assert_eq!(Transport::read(text.as_bytes()), transport, "{text}");
        }
    }
}
