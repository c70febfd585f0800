//! Addresses of the inside in text that goes to the carrier side, whatever the text is: a URI, a
//! display name, a Warning, a line of SDP. What looks like an address and is one of the inside is
//! replaced by ours; all else passes byte for byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// What is looked for, and what is put in its place.
#[derive(Clone, Copy)]
pub(crate) struct Scrub<'a> {
    /// Whether an address is of the inside.
    pub(crate) is_inside: &'a dyn Fn(IpAddr) -> bool,
    /// Names of the inside: hosts, and domains with all below them. Lower case.
    pub(crate) domains: &'a [String],
    /// What the carrier side sees instead.
    pub(crate) shown: SocketAddr,
    /// The text is SDP: addresses have no brackets and no ports, and their kind stands before them.
    pub(crate) is_sdp: bool,
}

/// The port that need not be said.
const DEFAULT_PORT: u16 = 5060;

impl Scrub<'_> {
    /// The text without the inside; none when there is nothing of it in the text.
    pub(crate) fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut copied = 0;
        while let Some((mark, place)) = self.next(text, copied) {
            out.extend_from_slice(text.get(copied..place.start).unwrap_or_default());
            copied = self.put(text, place, &mut out).max(mark + 1);
        }
        (copied > 0).then(|| {
            out.extend_from_slice(text.get(copied..).unwrap_or_default());
            out
        })
    }

    /// Whether there is anything of the inside in the text.
    pub(crate) fn finds(&self, text: &[u8]) -> bool {
        self.next(text, 0).is_some()
    }

    /// The next host of the inside, and the dot or colon that gave it away.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, Range<usize>)> {
        // Every address has one of these in it, and every name of a domain that is worth the name.
        memchr::memchr2_iter(b'.', b':', text.get(from..)?).find_map(|mark| {
            let mark = from + mark;
            Some((mark, self.found(text, mark, from)?))
        })
    }

    /// The host of the inside with this dot or colon in it, if there is one behind `from`.
    fn found(&self, text: &[u8], mark: usize, from: usize) -> Option<Range<usize>> {
        let place = if text.get(mark) == Some(&b'.') {
            dotted_quad(text, mark, from)
        } else {
            sextets(text, mark, from)
        };
        if let Some((place, address)) = place
            && (self.is_inside)(address)
        {
            return Some(place);
        }
        if self.domains.is_empty() || text.get(mark) != Some(&b'.') {
            return None;
        }
        let place = run(text, mark, from, is_of_name);
        let name = text.get(place.clone())?.to_ascii_lowercase();
        let is_in = |domain: &String| {
            name.strip_suffix(domain.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
        };
        self.domains.iter().any(is_in).then_some(place)
    }

    /// Writes our address for the host at `place`. Returns where the text goes on.
    fn put(&self, text: &[u8], place: Range<usize>, out: &mut Vec<u8>) -> usize {
        let Range { start, mut end } = place;
        let ip = self.shown.ip();
        if self.is_sdp {
            // `IN IP6 fd00::1`: the kind follows the address.
            if let Some((before, kind)) = out.split_last_chunk::<4>()
                && matches!(kind, b"IP4 " | b"IP6 ")
            {
                out.truncate(before.len());
                out.extend_from_slice(if ip.is_ipv4() { b"IP4 " } else { b"IP6 " });
            }
            out.extend_from_slice(ip.to_string().as_bytes());
            return end;
        }
        let bracketed = out.ends_with(b"[") && text.get(end) == Some(&b']') && start > 0;
        if bracketed {
            out.pop();
            end += 1;
        }
        let port = port_behind(text, end);
        let host = if ip.is_ipv6() {
            format!("[{ip}]")
        } else {
            ip.to_string()
        };
        out.extend_from_slice(host.as_bytes());
        match port {
            Some(behind) => {
                if self.shown.port() != DEFAULT_PORT {
                    out.extend_from_slice(format!(":{}", self.shown.port()).as_bytes());
                }
                behind
            }
            None => end,
        }
    }
}

/// Where a port that is said behind a host ends.
fn port_behind(text: &[u8], at: usize) -> Option<usize> {
    let digits = text.get(at..)?.strip_prefix(b":")?;
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..=5).contains(&count).then_some(at + 1 + count)
}

/// An IPv4 address whose first dot is at `dot`. What stands around it may be letters, as in a user
/// part that was made from an address, but no further digits.
fn dotted_quad(text: &[u8], dot: usize, from: usize) -> Option<(Range<usize>, IpAddr)> {
    // Most dots are of other numbers and of sentences.
    if !text.get(dot + 1)?.is_ascii_digit() {
        return None;
    }
    let digits_before = text
        .get(from..dot)?
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let mut start = dot - digits_before;
    // `%4010.0.0.11`: the first two are the rest of an escape.
    if digits_before > 2 && start > from && text.get(start - 1) == Some(&b'%') {
        start += 2;
    }
    let mut octets = [0; 4];
    let mut at = start;
    for (i, octet) in octets.iter_mut().enumerate() {
        if i > 0 {
            (text.get(at) == Some(&b'.')).then_some(())?;
            at += 1;
        }
        let first = at;
        let mut number = 0_u16;
        while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
            at += 1;
            (at - first <= 3).then_some(())?;
            number = number * 10 + u16::from(digit - b'0');
        }
        (at > first).then_some(())?;
        *octet = u8::try_from(number).ok()?;
    }
    Some((start..at, IpAddr::V4(Ipv4Addr::from(octets))))
}

/// An IPv6 address whose first colon is this.
fn sextets(text: &[u8], colon: usize, from: usize) -> Option<(Range<usize>, IpAddr)> {
    // The first colon of an address has another behind its group; most colons are of ports and
    // header fields.
    let group = text.get(colon + 1..)?;
    let digits = group.iter().take(5).take_while(|b| b.is_ascii_hexdigit());
    if group.get(digits.count()) != Some(&b':') {
        return None;
    }
    let of_address = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut place = run(text, colon, from, of_address);
    if place.start > from && text.get(place.start - 1) == Some(&b'%') {
        place.start = (place.start + 2).min(colon);
    }
    let word = text.get(place.clone())?;
    // `sip:fd00::1` and `fd00::1:`: a colon of another meaning on either side.
    let lone = |pair: Option<&[u8]>| pair.is_some_and(|p| p != b"::");
    if word.first() == Some(&b':') && lone(word.get(..2)) {
        place.start += 1;
    }
    while text
        .get(place.clone())
        .is_some_and(|w| w.ends_with(b".") || (w.ends_with(b":") && !w.ends_with(b"::")))
    {
        place.end -= 1;
    }
    let word = std::str::from_utf8(text.get(place.clone())?).ok()?;
    let address = word.parse::<Ipv6Addr>().ok()?.to_canonical();
    Some((place, address))
}

/// The longest run of such bytes around `at`, not before `from`.
fn run(text: &[u8], at: usize, from: usize, is_in: impl Fn(u8) -> bool) -> Range<usize> {
    let before = text.get(from..at).unwrap_or_default();
    let behind = text.get(at..).unwrap_or_default();
    let left = before.iter().rev().take_while(|b| is_in(**b)).count();
    let right = behind.iter().take_while(|b| is_in(**b)).count();
    at - left..at + right
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests;
