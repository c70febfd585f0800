//! Rewriting by splices.

use std::net::IpAddr;
use std::ops::Range;

use crate::lines::{Line, slice};
use crate::value::{Host, Rtcp};
use crate::view::{Media, Sdp, attribute_name, attribute_value, is_ice, origin_address};

/// What to put in place of the sender's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// For `o=`, the session's `c=`, and the `c=` of sections without media.
    pub address: IpAddr,
    /// One entry for each media section, in order; sections beyond the list are
    /// [`MediaRewrite::Refuse`]d.
    pub media: Vec<MediaRewrite>,
}

/// What to do with one media section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaRewrite {
    /// Our address and ports.
    Anchor {
        /// For `c=`. A section without one gets one if it would inherit another address.
        address: IpAddr,
        /// For the `m=` line.
        port: u16,
        /// For `a=rtcp`, if there is one.
        rtcp: u16,
    },
    /// The section is not used (port 0) and stays so.
    Off,
    /// We do not carry this section: port 0, and its attributes are removed (they may hold
    /// addresses, as MSRP's `a=path` does), all but `a=mid`, which groups refer to.
    Refuse,
}

impl Sdp<'_> {
    /// The description with our addresses in place of the sender's; every byte that is not
    /// concerned stays.
    ///
    /// - `o=`: the address.
    /// - `c=`: the address, except that null (`0.0.0.0`, `::`) stays null, in the new address's
    ///   family: it means hold, and the far end must see it.
    /// - `m=`: the port; a port count goes away.
    /// - `a=rtcp`: port, and address if it has one; removed where there is no media.
    /// - removed: ICE (`a=candidate`, `a=remote-candidates`, `a=end-of-candidates`, `a=ice-...`,
    ///   RFC 8839), and attributes that are nothing but addresses of the sender: `a=altc` (RFC
    ///   6947), `a=ccap` (RFC 7006), `a=source-filter` (RFC 4570).
    #[must_use]
    pub fn rewrite(&self, rewrite: &Rewrite) -> Vec<u8> {
        let mut out = Splices::new(self.bytes);
        let session = self
            .media
            .first()
            .map_or(self.lines.len(), |m| m.lines.start);
        for line in self.lines.get(..session).unwrap_or_default() {
            self.session_line(&mut out, line, rewrite.address);
        }
        for (i, section) in self.media.iter().enumerate() {
            let action = rewrite
                .media
                .get(i)
                .copied()
                .unwrap_or(MediaRewrite::Refuse);
            self.section(&mut out, section, rewrite.address, action);
        }
        out.finish()
    }

    fn session_line(&self, out: &mut Splices<'_>, line: &Line, address: IpAddr) {
        match line.kind {
            b'o' => {
                if let Some(at) = origin_address(self.bytes, line) {
                    out.replace(at, &address_words(address));
                }
            }
            b'c' => out.replace(line.value(), &self.connection_words(line, address)),
            b'a' => {
                let name = attribute_name(self.bytes, line);
                if names_addresses(name) || name.eq_ignore_ascii_case(b"rtcp") {
                    out.replace(line.start..line.next, "");
                }
            }
            _ => {}
        }
    }

    fn section(
        &self,
        out: &mut Splices<'_>,
        section: &Media<'_>,
        session_address: IpAddr,
        action: MediaRewrite,
    ) {
        let (address, port) = match action {
            MediaRewrite::Anchor { address, port, .. } => (address, port),
            MediaRewrite::Off | MediaRewrite::Refuse => (session_address, 0),
        };
        let mut missing = !section.own_connection
            && address != session_address
            && !section.connection.is_some_and(|c| c.is_null());
        for line in self.lines.get(section.lines.clone()).unwrap_or_default() {
            // RFC 8866 section 5: c= comes behind m= and i=.
            if missing && !matches!(line.kind, b'm' | b'i') {
                out.insert(
                    line.start,
                    &format!("c={}{}", address_words(address), self.eol(line)),
                );
                missing = false;
            }
            match line.kind {
                b'm' => out.replace(section.port_at.clone(), &port.to_string()),
                b'c' => out.replace(line.value(), &self.connection_words(line, address)),
                b'a' => self.attribute(out, line, action),
                _ => {}
            }
        }
        if missing && let Some(last) = self.lines.get(section.lines.end.saturating_sub(1)) {
            let (words, eol) = (address_words(address), self.eol(last));
            if last.end == last.next {
                out.insert(last.next, &format!("{eol}c={words}"));
            } else {
                out.insert(last.next, &format!("c={words}{eol}"));
            }
        }
    }

    fn attribute(&self, out: &mut Splices<'_>, line: &Line, action: MediaRewrite) {
        let name = attribute_name(self.bytes, line);
        let is_rtcp = name.eq_ignore_ascii_case(b"rtcp");
        let keep = match action {
            MediaRewrite::Anchor { .. } => !names_addresses(name),
            MediaRewrite::Off => !names_addresses(name) && !is_rtcp,
            MediaRewrite::Refuse => name.eq_ignore_ascii_case(b"mid"),
        };
        if !keep {
            out.replace(line.start..line.next, "");
        } else if let (true, MediaRewrite::Anchor { address, rtcp, .. }) = (is_rtcp, action) {
            let value = attribute_value(self.bytes, line);
            let had = Rtcp::read(self.bytes, value.clone()).is_some_and(|r| r.host.is_some());
            let words = if had {
                format!(" {}", address_words(address))
            } else {
                String::new()
            };
            out.replace(value, &format!("{rtcp}{words}"));
        }
    }

    /// The new value of a `c=` line.
    fn connection_words(&self, line: &Line, address: IpAddr) -> String {
        let null = Host::read(self.bytes, line.value()).is_some_and(|h| h.is_null());
        match (null, address) {
            (false, address) => address_words(address),
            (true, IpAddr::V4(_)) => "IN IP4 0.0.0.0".into(),
            (true, IpAddr::V6(_)) => "IN IP6 ::".into(),
        }
    }

    /// How a line ends: LF where it has LF alone, else CRLF.
    fn eol(&self, line: &Line) -> &'static str {
        if slice(self.bytes, line.end..line.next) == b"\n" {
            "\n"
        } else {
            "\r\n"
        }
    }
}

fn address_words(address: IpAddr) -> String {
    let IpAddr::V4(ip) = address else {
        return format!("IN IP6 {address}");
    };
    // Several in each description: without the machinery of `format!`.
    let mut words = String::with_capacity(24);
    words.push_str("IN IP4 ");
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            words.push('.');
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                words.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    words
}

/// Whether an attribute is there only to name addresses of the sender.
fn names_addresses(name: &[u8]) -> bool {
    is_ice(name)
        || [&b"altc"[..], b"ccap", b"source-filter"]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n))
}

/// A copy with replacements, made in order.
struct Splices<'a> {
    bytes: &'a [u8],
    out: Vec<u8>,
    copied: usize,
}

impl<'a> Splices<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            out: Vec::with_capacity(bytes.len() + 64),
            copied: 0,
        }
    }

    fn replace(&mut self, at: Range<usize>, text: &str) {
        self.out
            .extend_from_slice(slice(self.bytes, self.copied..at.start));
        self.out.extend_from_slice(text.as_bytes());
        self.copied = at.end;
    }

    fn insert(&mut self, at: usize, text: &str) {
        self.replace(at..at, text);
    }

    fn finish(mut self) -> Vec<u8> {
        self.out
            .extend_from_slice(slice(self.bytes, self.copied..self.bytes.len()));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_written_as_the_library_writes_them(address in any::<IpAddr>()) {
            let kind = if address.is_ipv4() { "IP4" } else { "IP6" };
            prop_assert_eq!(address_words(address), format!("IN {kind} {address}"));
        }
    }
}
