//! URIs (RFC 3261 section 19.1). A scheme that we do not know passes as it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::list::parameter;

/// A URI's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other.
    Other,
}

/// A host as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// An address; IPv6 was in brackets.
    Address(IpAddr),
    /// A name.
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// Reads a host and an optional port: `host`, `host:port`, `[v6]:port`.
    #[must_use]
    pub fn with_port(text: &'a [u8]) -> Option<(Self, Option<u16>)> {
        let (host, port) = match text.strip_prefix(b"[") {
            Some(inner) => {
                let end = inner.iter().position(|b| *b == b']')?;
                let (address, rest) = inner.split_at(end);
                let address: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
                (Host::Address(address.into()), rest.get(1..)?)
            }
            None => {
                let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
                let (name, rest) = text.split_at(end);
                (Self::named(name)?, rest)
            }
        };
        match port.trim_ascii() {
            b"" => Some((host, None)),
            port => {
                let digits = std::str::from_utf8(port.strip_prefix(b":")?.trim_ascii()).ok()?;
                let plain = digits.bytes().all(|b| b.is_ascii_digit());
                Some((host, Some(digits.parse().ok().filter(|_| plain)?)))
            }
        }
    }

    fn named(name: &'a [u8]) -> Option<Self> {
        let name = name.trim_ascii();
        if let Some(address) = dotted_quad(name) {
            return Some(Host::Address(address.into()));
        }
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (!name.is_empty() && name.iter().all(|b| valid(*b))).then_some(Host::Name(name))
    }
}

/// A URI's parts, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Its scheme.
    pub scheme: Scheme,
    /// The user part without password; for `tel:` the number; empty when there is none.
    pub user: &'a [u8],
    /// The password; none when there is none. It stays in [`Uri::text`].
    pub password: Option<&'a [u8]>,
    /// The host; none for `tel:` and unknown schemes.
    pub host: Option<Host<'a>>,
    /// The port.
    pub port: Option<u16>,
    /// The parameters with their leading semicolon; empty when there are none.
    pub parameters: &'a [u8],
    /// The headers behind the question mark; empty when there are none.
    pub headers: &'a [u8],
    text: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI; none when it is not one. White space and controls are in none: what is copied
    /// into a start line cannot end it.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if has_gap_or_control(text) {
            return None;
        }
        let colon = text.iter().position(|b| *b == b':')?;
        let (name, rest) = text.split_at(colon);
        let rest = rest.get(1..)?;
        let valid = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if name.is_empty() || !name.iter().all(valid) {
            return None;
        }
        let scheme = if name.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if name.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if name.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        };
        let mut uri = Self {
            scheme,
            user: b"",
            password: None,
            host: None,
            port: None,
            parameters: b"",
            headers: b"",
            text,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(rest)?,
            Scheme::Tel => {
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                (uri.user, uri.parameters) = rest.split_at(end);
            }
            Scheme::Other => {}
        }
        Some(uri)
    }

    fn read_sip(&mut self, rest: &'a [u8]) -> Option<()> {
        // The user part may have `;` and `?` in it, so it is taken off first.
        let host_part = match rest.iter().position(|b| *b == b'@') {
            None => rest,
            Some(at) => {
                let (user, host) = rest.split_at(at);
                let end = user.iter().position(|b| *b == b':').unwrap_or(user.len());
                self.user = user.get(..end)?;
                self.password = user.get(end + 1..);
                host.get(1..)?
            }
        };
        let end = host_part
            .iter()
            .position(|b| *b == b'?')
            .unwrap_or(host_part.len());
        let (host_part, headers) = host_part.split_at(end);
        self.headers = headers.get(1..).unwrap_or_default();
        let end = host_part
            .iter()
            .position(|b| *b == b';')
            .unwrap_or(host_part.len());
        let (host, parameters) = host_part.split_at(end);
        self.parameters = parameters;
        let (host, port) = Host::with_port(host)?;
        self.host = Some(host);
        self.port = port;
        Some(())
    }

    /// A parameter: none when absent, empty when it has no value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        parameter(self.parameters, name)
    }

    /// The host's address and port (5060, or 5061 for `sips:`, when none is written); none when the
    /// host is a name.
    #[must_use]
    pub fn socket_address(&self) -> Option<std::net::SocketAddr> {
        let default = if self.scheme == Scheme::Sips {
            5061
        } else {
            5060
        };
        match self.host? {
            Host::Address(address) => Some((address, self.port.unwrap_or(default)).into()),
            Host::Name(_) => None,
        }
    }

    /// The URI as written.
    #[must_use]
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// Whether there is white space or a control in a text. Every byte is looked at: that goes many at a time.
pub(crate) fn has_gap_or_control(text: &[u8]) -> bool {
    text.iter()
        .fold(false, |found, b| found | (*b <= b' ') | (*b == 0x7F))
}

/// An IPv4 address as the library reads it, without the way over `str`.
fn dotted_quad(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut places = octets.iter_mut();
    for part in text.split(|b| *b == b'.') {
        let octet = places.next()?;
        // A leading zero means octal to some.
        let valid = matches!(part, [b'0'..=b'9'] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _]);
        let number = part.iter().filter(|_| valid).try_fold(0_u16, |sum, b| {
            b.is_ascii_digit().then(|| sum * 10 + u16::from(b - b'0'))
        })?;
        *octet = u8::try_from(number).ok().filter(|_| valid)?;
    }
    places.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quads_are_read_as_the_library_reads_them(text in "[0-9.a]{0,17}", octets in any::<[u8; 4]>()) {
            prop_assert_eq!(dotted_quad(text.as_bytes()), text.parse().ok());
            let address = Ipv4Addr::from(octets);
            prop_assert_eq!(dotted_quad(address.to_string().as_bytes()), Some(address));
        }

        #[test]
        fn gaps_and_controls_are_found(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let slowly = text.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control());
            prop_assert_eq!(has_gap_or_control(&text), slowly);
        }
    }
}
