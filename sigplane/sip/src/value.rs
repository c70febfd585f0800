//! Values of single headers.

use std::net::{IpAddr, SocketAddr};

use crate::list::{find_outside, parameter};
use crate::uri::{Host, Uri, has_gap_or_control};

/// A name-addr or addr-spec: From, To, Contact, Route, Record-Route (RFC 3261 section 20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none.
    pub display: &'a [u8],
    /// The URI's text.
    pub uri: &'a [u8],
    /// The header's parameters with their leading semicolon.
    pub parameters: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one element. Without angle brackets, parameters belong to the header (RFC 3261 section
    /// 20). `*` is not an address.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if let Some(open) = find_outside(text, b'<') {
            let (display, rest) = text.split_at(open);
            let rest = rest.get(1..)?;
            let close = rest.iter().position(|b| *b == b'>')?;
            let (uri, parameters) = rest.split_at(close);
            let parameters = parameters.get(1..)?.trim_ascii();
            let uri = uri.trim_ascii();
            let closed = parameters.is_empty() || parameters.starts_with(b";");
            return (closed && is_plain(uri)).then_some(Self {
                display: display.trim_ascii(),
                uri,
                parameters,
            });
        }
        let end = text.iter().position(|b| *b == b';').unwrap_or(text.len());
        let (uri, parameters) = text.split_at(end);
        let uri = uri.trim_ascii();
        // A quote or bracket here is the rest of a name-addr that was not closed.
        let bare = is_plain(uri) && !uri.iter().any(|b| matches!(b, b'"' | b'<' | b'>'));
        bare.then_some(Self {
            display: b"",
            uri,
            parameters,
        })
    }

    /// The URI's parts.
    #[must_use]
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }

    /// A header parameter: none when absent, empty when it has no value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        parameter(self.parameters, name)
    }

    /// The tag; none when absent or empty.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.parameter("tag").filter(|t| !t.is_empty())
    }
}

/// A Via element (RFC 3261 section 20.42, RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, as written.
    pub transport: &'a [u8],
    /// sent-by as written: host and port.
    pub sent_by: &'a [u8],
    /// sent-by's host.
    pub host: Host<'a>,
    /// sent-by's port.
    pub port: Option<u16>,
    /// The parameters with their leading semicolon.
    pub parameters: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one element.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let end = find_outside(text, b';').unwrap_or(text.len());
        let (head, parameters) = text.split_at(end);
        let mut slashes = head.splitn(3, |b| *b == b'/');
        let protocol = slashes.next()?.trim_ascii();
        let version = slashes.next()?.trim_ascii();
        if !protocol.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return None;
        }
        let rest = slashes.next()?.trim_ascii();
        let space = rest.iter().position(u8::is_ascii_whitespace)?;
        let (transport, sent_by) = rest.split_at(space);
        let sent_by = sent_by.trim_ascii();
        let (host, port) = Host::with_port(sent_by)?;
        Some(Self {
            transport,
            sent_by,
            host,
            port,
            parameters,
        })
    }

    /// The branch; none when absent or empty.
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        parameter(self.parameters, "branch").filter(|b| !b.is_empty())
    }

    /// Whether the sender asks for symmetric responses (RFC 3581): `rport`. A value that it should
    /// not have in a request is not looked at.
    #[must_use]
    pub fn wants_rport(&self) -> bool {
        parameter(self.parameters, "rport").is_some()
    }

    /// A parameter: none when absent, empty when it has no value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        parameter(self.parameters, name)
    }

    /// Where a response goes for a request that came from `source` (RFC 3261 section 18.2.2 and RFC
    /// 3581 section 4): to the source's address, and to its port with rport, else to sent-by's.
    #[must_use]
    pub fn response_address(&self, source: SocketAddr) -> SocketAddr {
        let port = if self.wants_rport() {
            source.port()
        } else {
            self.port.unwrap_or(5060)
        };
        SocketAddr::new(source.ip(), port)
    }

    /// Whether sent-by's host is this address.
    #[must_use]
    pub fn sent_from(&self, address: IpAddr) -> bool {
        self.host == Host::Address(address)
    }
}

/// CSeq (RFC 3261 section 20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads the value.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut words = words(text);
        let number = number(words.next()?)?;
        let method = words.next()?;
        (words.next().is_none() && number < 1 << 31).then_some(Self { number, method })
    }
}

/// RAck (RFC 3262 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// The response's RSeq.
    pub response: u32,
    /// The request's CSeq number.
    pub number: u32,
    /// The request's method.
    pub method: &'a [u8],
}

impl<'a> RAck<'a> {
    /// Reads the value.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut words = words(text);
        let response = number(words.next()?)?;
        let number = number(words.next()?)?;
        let method = words.next()?;
        words.next().is_none().then_some(Self {
            response,
            number,
            method,
        })
    }
}

/// Whether this can be a URI that is copied into a start line: no white space, no controls.
fn is_plain(uri: &[u8]) -> bool {
    memchr::memchr(b':', uri).is_some() && !has_gap_or_control(uri)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty())
}

/// A number of digits alone: no sign.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}
