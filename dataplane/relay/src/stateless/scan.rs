//! The few values of header fields that a stateless relay reads (RFC 3261 section 25.1). What is written in an unusual way is
//! not read: such a message is the signaling plane's.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::sip::is_token;

/// SIP's port over UDP.
const PORT: u16 = 5060;

/// One value of Via, the first of the text that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via<'a> {
    /// Where it ends.
    pub(crate) end: usize,
    /// Where the next value begins, if one follows.
    pub(crate) next: Option<usize>,
    pub(crate) is_udp: bool,
    pub(crate) host: &'a [u8],
    pub(crate) port: Option<u16>,
    /// Empty without one.
    pub(crate) branch: &'a [u8],
    pub(crate) received: Option<&'a [u8]>,
    /// Where `rport` ends, and its value.
    pub(crate) rport: Option<(usize, Option<u16>)>,
    pub(crate) has_maddr: bool,
}

impl<'a> Via<'a> {
    /// Reads the first value of `text`, a header field's value from its beginning or from [`Via::next`].
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut scan = Scan { text, at: 0 };
        scan.white();
        scan.word(b"SIP/2.0/")?;
        let transport = scan.run(is_token);
        if transport.is_empty() || !scan.white() {
            return None;
        }
        let host = scan.host()?;
        let mut via = Self {
            end: scan.at,
            next: None,
            is_udp: transport.eq_ignore_ascii_case(b"UDP"),
            host,
            port: scan.port()?,
            branch: &[],
            received: None,
            rport: None,
            has_maddr: false,
        };
        via.end = scan.at;
        loop {
            scan.white();
            match scan.take() {
                None => return Some(via),
                Some(b',') => {
                    via.next = Some(scan.at);
                    return Some(via);
                }
                Some(b';') => via.parameter(&mut scan)?,
                Some(_) => return None,
            }
        }
    }

    fn parameter(&mut self, scan: &mut Scan<'a>) -> Option<()> {
        let (name, name_end, value) = scan.parameter()?;
        self.end = scan.at;
        let is = |what: &[u8]| name.eq_ignore_ascii_case(what);
        // One that stands there twice means two things to two readers.
        if is(b"branch") {
            let value = value.filter(|_| self.branch.is_empty())?;
            self.branch = value;
        } else if is(b"received") {
            if self.received.replace(value?).is_some() {
                return None;
            }
        } else if is(b"rport") {
            let number = match value {
                Some(value) => Some(number(value)?),
                None => None,
            };
            if self.rport.replace((name_end, number)).is_some() {
                return None;
            }
        } else if is(b"maddr") {
            self.has_maddr = true;
        }
        Some(())
    }

    /// Where a response goes that has this Via on top (RFC 3261 section 18.2.2, RFC 3581 section 4): over UDP, to a literal
    /// address, or nowhere that we know of.
    pub(crate) fn reply_to(&self) -> Option<SocketAddr> {
        if !self.is_udp || self.has_maddr {
            return None;
        }
        let port = match self.rport {
            Some((_, value)) => value.or(self.port),
            None => self.port,
        };
        let ip = address(self.received.unwrap_or(self.host))?;
        Some(SocketAddr::new(ip, port.unwrap_or(PORT)))
    }
}

/// One value of Route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    /// Where the next value begins, if one follows.
    pub(crate) next: Option<usize>,
    /// What stands between the brackets.
    pub(crate) uri: Uri<'a>,
}

impl<'a> Route<'a> {
    /// Reads the first value of `text`, as [`Via::read`] does. One with a display name is not read.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut scan = Scan { text, at: 0 };
        scan.white();
        scan.word(b"<")?;
        let uri = Uri::read(scan.run(|byte| byte != b'>'))?;
        scan.word(b">")?;
        loop {
            scan.white();
            match scan.take() {
                None => return Some(Self { next: None, uri }),
                Some(b',') => {
                    let next = Some(scan.at);
                    return Some(Self { next, uri });
                }
                Some(b';') => drop(scan.parameter()?),
                Some(_) => return None,
            }
        }
    }
}

/// A SIP URI with a literal address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uri<'a> {
    pub(crate) has_user: bool,
    /// Where it leads, over UDP; none when it names a host, another transport or a multicast address.
    pub(crate) address: Option<SocketAddr>,
    /// The value of our parameter.
    pub(crate) mark: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// Reads `sip:` URIs, and no others.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut scan = Scan { text, at: 0 };
        scan.word(b"sip:")?;
        let rest = text.get(scan.at..)?;
        // The user part may have what looks like parameters; no other part has an at sign.
        let user = memchr::memchr(b'@', rest);
        if let Some(at) = user {
            scan.at += at + 1;
        }
        let host = scan.host()?;
        let port = scan.port()?.unwrap_or(PORT);
        let mut uri = Self {
            has_user: user.is_some(),
            address: address(host).map(|ip| SocketAddr::new(ip, port)),
            mark: None,
        };
        loop {
            match scan.take() {
                None => return Some(uri),
                Some(b'?') => {
                    uri.address = None;
                    return Some(uri);
                }
                Some(b';') => {
                    let name = scan.run(in_parameter);
                    let value = scan.word(b"=").map(|()| scan.run(in_parameter));
                    let is = |what: &[u8]| name.eq_ignore_ascii_case(what);
                    let elsewhere = is(b"maddr")
                        || is(b"transport")
                            && !value.is_some_and(|v| v.eq_ignore_ascii_case(b"udp"));
                    if elsewhere {
                        uri.address = None;
                    }
                    if is(super::mark::PARAMETER) {
                        uri.mark = value;
                    }
                }
                Some(_) => return None,
            }
        }
    }
}

/// A character of a URI parameter's name or value.
fn in_parameter(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'$')
}

/// A literal address, IPv6 with brackets or without.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    let inner = match text {
        [b'[', inner @ .., b']'] => inner,
        all => all,
    };
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// A number below 65,536, of digits alone.
pub(crate) fn number(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether the value of To or From has a tag.
pub(crate) fn has_tag(value: &[u8]) -> bool {
    // Behind the URI's bracket: a URI may have a parameter of any name.
    let tail = value.rsplit(|byte| *byte == b'>').next();
    let mut parameters = tail.unwrap_or(value).split(|byte| *byte == b';').skip(1);
    parameters.any(|parameter| {
        let name = parameter.split(|byte| *byte == b'=').next();
        name.unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(b"tag")
    })
}

/// A parameter's name, where that ends, and its value.
type Parameter<'a> = (&'a [u8], usize, Option<&'a [u8]>);

/// A place in a text.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn take(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    /// Skips white space, folds included; whether there was any.
    fn white(&mut self) -> bool {
        !self
            .run(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .is_empty()
    }

    fn run(&mut self, of: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !of(*byte));
        let run = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        self.at += run.len();
        run
    }

    /// Skips these letters, in whatever case.
    fn word(&mut self, word: &[u8]) -> Option<()> {
        let end = self.at + word.len();
        let found = self.text.get(self.at..end)?;
        if !found.eq_ignore_ascii_case(word) {
            return None;
        }
        self.at = end;
        Some(())
    }

    fn host(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if self.text.get(start) == Some(&b'[') {
            self.run(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b':' | b'.'));
            self.word(b"]")?;
        } else {
            self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        }
        let host = self.text.get(start..self.at)?;
        (!host.is_empty()).then_some(host)
    }

    /// A port behind a host, or none; an error if there is a colon without one.
    fn port(&mut self) -> Option<Option<u16>> {
        if self.text.get(self.at) != Some(&b':') {
            return Some(None);
        }
        self.at += 1;
        let port = number(self.run(|byte| byte.is_ascii_digit()))?;
        (port != 0).then_some(Some(port))
    }

    /// A parameter behind its semicolon.
    fn parameter(&mut self) -> Option<Parameter<'a>> {
        self.white();
        let name = self.run(is_token);
        if name.is_empty() {
            return None;
        }
        let name_end = self.at;
        if self.text.get(self.at) != Some(&b'=') {
            return Some((name, name_end, None));
        }
        self.at += 1;
        if self.text.get(self.at) == Some(&b'"') {
            // Nothing that we look at is quoted; what is in it must not be taken for something else.
            self.at += 1;
            let start = self.at;
            loop {
                match self.take()? {
                    b'"' => break,
                    b'\\' => drop(self.take()?),
                    _ => {}
                }
            }
            return Some((name, name_end, self.text.get(start..self.at - 1)));
        }
        // Some senders have characters in their branches that no token has: what ends a value is clear all the same.
        let value = self.run(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"'));
        (!value.is_empty()).then_some((name, name_end, Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(text: &str) -> Option<SocketAddr> {
        Via::read(text.as_bytes()).and_then(|via| via.reply_to())
    }

    #[test]
    fn a_reply_goes_where_the_via_says() {
        for (via, expected) in [
            ("SIP/2.0/UDP 192.0.2.1", Some("192.0.2.1:5060")),
            (
                "SIP/2.0/UDP 192.0.2.1:7;branch=z9hG4bKx",
                Some("192.0.2.1:7"),
            ),
            (
                "sip/2.0/udp\t[2001:db8::1]:9 ; branch=x",
                Some("[2001:db8::1]:9"),
            ),
            (
                "SIP/2.0/UDP host;received=192.0.2.9",
                Some("192.0.2.9:5060"),
            ),
            ("SIP/2.0/UDP host:6;received=192.0.2.9", Some("192.0.2.9:6")),
            (
                "SIP/2.0/UDP host:6;rport=8;received=192.0.2.9",
                Some("192.0.2.9:8"),
            ),
            (
                "SIP/2.0/UDP h;received=2001:db8::2;rport",
                Some("[2001:db8::2]:5060"),
            ),
            (
                "SIP/2.0/UDP h;received=[2001:db8::2]",
                Some("[2001:db8::2]:5060"),
            ),
            (
                "SIP/2.0/UDP h;x=\"a,;b\\\"\";received=192.0.2.9, SIP/2.0/UDP q",
                Some("192.0.2.9:5060"),
            ),
            (
                "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-a@b(c",
                Some("192.0.2.1:5060"),
            ),
            ("SIP/2.0/UDP host", None),
            ("SIP/2.0/TCP 192.0.2.1", None),
            ("SIP/2.0/UDP 192.0.2.1;maddr=192.0.2.2", None),
        ] {
            assert_eq!(to(via), expected.map(|text| text.parse().unwrap()), "{via}");
        }
        for unread in [
            "",
            "SIP/2.0/UDP",
            "SIP / 2.0 / UDP 192.0.2.1",
            "SIP/2.0/UDP 192.0.2.1:",
            "SIP/2.0/UDP 192.0.2.1:0",
            "SIP/2.0/UDP 192.0.2.1:65536",
            "SIP/2.0/UDP 192.0.2.1;rport=x",
            "SIP/2.0/UDP 192.0.2.1;branch=a;branch=b",
            "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1;received=192.0.2.2",
            "SIP/2.0/UDP 192.0.2.1;x=\"open",
            "SIP/2.0/UDP [2001:db8::1",
            "SIP/2.0/UDP 192.0.2.1 junk",
        ] {
            assert_eq!(Via::read(unread.as_bytes()), None, "{unread}");
        }
    }

    #[test]
    fn values_in_one_line_follow_each_other() {
        let text = b"SIP/2.0/UDP a;branch=1 , SIP/2.0/UDP b";
        let via = Via::read(text).unwrap();
        assert_eq!(&text[..via.end], b"SIP/2.0/UDP a;branch=1");
        let second = Via::read(&text[via.next.unwrap()..]).unwrap();
        assert_eq!((second.host, second.next), (&b"b"[..], None));
    }

    #[test]
    fn routes_and_their_addresses() {
        let route = Route::read(b"<sip:192.0.2.1:7;lr;tnds=0123abcd>;x=y, <sip:b>").unwrap();
        assert_eq!(route.uri.address, Some("192.0.2.1:7".parse().unwrap()));
        assert_eq!(
            (route.uri.mark, route.uri.has_user),
            (Some(&b"0123abcd"[..]), false)
        );
        assert!(route.next.is_some());
        let address = |uri: &str| Uri::read(uri.as_bytes()).and_then(|uri| uri.address);
        for (uri, expected) in [
            ("sip:192.0.2.1", Some("192.0.2.1:5060")),
            ("SIP:a;b=c@192.0.2.1;transport=UDP", Some("192.0.2.1:5060")),
            ("sip:a@[2001:db8::1]:6", Some("[2001:db8::1]:6")),
            ("sip:a@192.0.2.1;transport=tcp", None),
            ("sip:a@192.0.2.1;maddr=192.0.2.2", None),
            ("sip:a@192.0.2.1?Route=x", None),
            ("sip:a@example.com", None),
            ("sips:a@192.0.2.1", None),
            ("tel:1", None),
            ("sip:a@192.0.2.1 x", None),
        ] {
            assert_eq!(
                address(uri),
                expected.map(|text| text.parse().unwrap()),
                "{uri}"
            );
        }
        assert_eq!(Route::read(b"\"a\" <sip:b>"), None);
        assert_eq!(Route::read(b"<sip:b"), None);
    }

    #[test]
    fn a_tag_is_not_one_of_the_uri() {
        assert!(
            has_tag(b"<sip:a@b>;tag=1") && has_tag(b"sip:a@b;tag=1") && has_tag(b"<sip:a>; TAG=x")
        );
        assert!(!has_tag(b"<sip:a@b;tag=1>") && !has_tag(b"<sip:a@b>;x=tag") && !has_tag(b""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b';'), Just(b','), Just(b'='), Just(b'"'), Just(b'<')], 0..60),
        ) {
            for head in [&b""[..], b"SIP/2.0/UDP ", b"SIP/2.0/UDP h;", b"<sip:", b"sip:a@"] {
                let whole = [head, &text].concat();
                if let Some(via) = Via::read(&whole) {
                    prop_assert!(via.end <= whole.len() && via.next.is_none_or(|next| next <= whole.len()));
                    prop_assert!(via.rport.is_none_or(|(at, _)| at <= via.end));
                }
                let _ = (Route::read(&whole), Uri::read(&whole), has_tag(&whole));
            }
        }
    }
}
