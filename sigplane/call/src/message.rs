//! A message that has everything that decisions are taken from: checked once, then plain values.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use tandem_policy::Transport;
use tandem_policy::locate::{Domain, Host, Wanted};
use tandem_sip::{FramingError, NameAddr, Scheme, Uri, essentials, split_list};

pub(crate) use tandem_sip::{Name, Via};

use crate::io::Path;
use crate::record::Hop;
use crate::text::{push_address, push_ip, push_number};

/// A message, its mandatory headers checked.
#[derive(Clone, Debug)]
pub(crate) struct Message<'a> {
    inner: tandem_sip::Message<'a>,
    via: Via<'a>,
    branch: Cow<'a, [u8]>,
    call_id: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    from_parts: NameAddr<'a>,
    to_parts: NameAddr<'a>,
    cseq: u32,
    cseq_method: &'a [u8],
}

/// Why bytes are not a message to work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// No SIP at all; the counter of the fault.
    NotSip(&'static str),
    /// A broken response.
    Response,
    /// A request of another version of SIP, which gets 505.
    Version,
    /// More header fields than anybody reads.
    TooManyHeaders,
    /// A broken ACK, which is never answered.
    Ack,
    /// A broken request, and the reason phrase of its 400.
    Request(String),
}

/// What an answer repeats of its request (RFC 3261 section 8.2.6.2). Of a broken request, what there
/// is.
#[derive(Clone, Debug)]
pub(crate) struct Skeleton<'a> {
    pub(crate) vias: Vec<&'a [u8]>,
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) has_to_tag: bool,
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: &'a [u8],
}

impl Skeleton<'_> {
    /// Whether nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        !self.vias.is_empty()
            && [self.from, self.to, self.call_id, self.cseq]
                .iter()
                .all(|value| !value.is_empty())
    }
}

impl<'a> Message<'a> {
    /// Reads and checks a datagram.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let inner = tandem_sip::Message::parse(bytes).map_err(|error| match error {
            FramingError::ContentLength
            | FramingError::BodyTooShort
            | FramingError::RequestLine
            | FramingError::Version => framing_fault(bytes, error),
            FramingError::TooManyHeaders => Unreadable::TooManyHeaders,
            error => Unreadable::NotSip(error.counter()),
        })?;
        let fault = |reason: String| match inner.method() {
            None => Unreadable::Response,
            Some(b"ACK") => Unreadable::Ack,
            Some(_) => Unreadable::Request(reason),
        };
        let read = essentials(&inner).map_err(|invalid| fault(invalid.reason()))?;
        let missing = |name: Name| fault(format!("Malformed {} Header", name.as_str()));
        // A dialog's requests and its peer's answers are told apart by this tag.
        if inner.is_request() && read.from.tag().is_none() {
            return Err(missing(Name::From));
        }
        Ok(Self {
            via: read.via,
            branch: transaction_id(&inner, &read.via).ok_or_else(|| missing(Name::Via))?,
            call_id: read.call_id,
            from: read.from_text,
            to: read.to_text,
            from_parts: read.from,
            to_parts: read.to,
            cseq: read.cseq.number,
            cseq_method: read.cseq.method,
            inner,
        })
    }

    /// The datagram.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.inner.bytes()
    }

    pub(crate) const fn is_request(&self) -> bool {
        self.inner.is_request()
    }

    /// A request's method; empty of a response.
    pub(crate) fn method(&self) -> &'a [u8] {
        self.inner.method().unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &'a [u8] {
        self.inner.request_uri().unwrap_or_default()
    }

    /// A response's status; 0 of a request.
    pub(crate) fn code(&self) -> u16 {
        self.inner.status().unwrap_or_default()
    }

    pub(crate) fn reason(&self) -> &'a [u8] {
        self.inner.reason().unwrap_or_default()
    }

    pub(crate) const fn via(&self) -> &Via<'a> {
        &self.via
    }

    /// What tells its transaction from others with the same sent-by (RFC 3261 section 17.2.3).
    pub(crate) fn branch(&self) -> &[u8] {
        &self.branch
    }

    pub(crate) const fn call_id(&self) -> &'a [u8] {
        self.call_id
    }

    /// The value of From.
    pub(crate) const fn value_of_from(&self) -> &'a [u8] {
        self.from
    }

    /// The value of To.
    pub(crate) const fn to_value(&self) -> &'a [u8] {
        self.to
    }

    pub(crate) const fn uri_of_from(&self) -> &'a [u8] {
        self.from_parts.uri
    }

    pub(crate) const fn to_uri(&self) -> &'a [u8] {
        self.to_parts.uri
    }

    /// The tag of From; empty when there is none.
    pub(crate) fn tag_of_from(&self) -> &'a [u8] {
        self.from_parts.tag().unwrap_or_default()
    }

    /// The tag of To; empty when there is none.
    pub(crate) fn to_tag(&self) -> &'a [u8] {
        self.to_parts.tag().unwrap_or_default()
    }

    pub(crate) const fn cseq(&self) -> u32 {
        self.cseq
    }

    pub(crate) const fn cseq_method(&self) -> &'a [u8] {
        self.cseq_method
    }

    pub(crate) fn max_forwards(&self) -> Option<u32> {
        self.inner.max_forwards()
    }

    /// The URI of the first Contact.
    pub(crate) fn contact_uri(&self) -> Option<&'a [u8]> {
        self.inner.contact().map(|c| c.uri)
    }

    /// How many header fields it has.
    pub(crate) fn field_count(&self) -> usize {
        self.inner.index().fields.len()
    }

    /// How many elements a list header has.
    pub(crate) fn count(&self, name: Name) -> usize {
        self.inner.elements(name).count()
    }

    /// Every element of a list header.
    pub(crate) fn list(&self, name: Name) -> Vec<&'a [u8]> {
        self.inner.elements(name).collect()
    }

    /// Whether a list header has this option tag.
    pub(crate) fn has_token(&self, name: Name, token: &str) -> bool {
        self.inner.has_token(name, token)
    }

    /// The first value of a header.
    pub(crate) fn first(&self, name: Name) -> Option<&'a [u8]> {
        self.inner.header(name)
    }

    /// The header fields in order: name, name as written, value.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Name, &'a [u8], &'a [u8])> + '_ {
        let bytes = self.inner.bytes();
        self.inner.index().fields.iter().filter_map(move |field| {
            let name = bytes.get(field.name_range.clone())?;
            Some((field.name, name, bytes.get(field.value.clone())?))
        })
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.inner.body()
    }

    pub(crate) fn skeleton(&self) -> Skeleton<'a> {
        skeleton(&self.inner)
    }
}

/// What an answer to these bytes repeats, even if they are broken; none when even that cannot be
/// read, or when nothing answers them: they are a response or an ACK.
pub(crate) fn with_skeleton<T>(bytes: &[u8], answer: impl FnOnce(&Skeleton<'_>) -> T) -> Option<T> {
    let message = tandem_sip::Message::parse(bytes)
        .or_else(|_| tandem_sip::Message::salvage(bytes))
        .ok()
        .filter(|message| message.method().is_some_and(|method| method != b"ACK"))?;
    Some(answer(&skeleton(&message)))
}

/// The branch of the topmost Via. A request without one, or with one that RFC 3261 does not vouch
/// for (RFC 4475 section 3.2.1), is told from others as RFC 2543 did: by all that its
/// retransmissions, its ACK and its CANCEL have in common with it.
fn transaction_id<'a>(message: &tandem_sip::Message<'a>, via: &Via<'a>) -> Option<Cow<'a, [u8]>> {
    const COOKIE: &[u8] = b"z9hG4bK";
    let branch = via.branch().unwrap_or_default();
    let vouched = branch.len() > COOKIE.len()
        && branch
            .get(..COOKIE.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(COOKIE));
    if vouched {
        return Some(Cow::Borrowed(branch));
    }
    if !message.is_request() {
        // Ours all have one.
        return None;
    }
    let number = message.cseq()?.number.to_string();
    let parts = [
        message.request_uri()?,
        message.call_id()?,
        message.from_tag().unwrap_or_default(),
        number.as_bytes(),
        message.elements(Name::Via).next()?,
    ];
    Some(Cow::Owned(parts.join(&b' ')))
}

/// What an answer takes from a request.
pub(crate) fn skeleton<'a>(message: &tandem_sip::Message<'a>) -> Skeleton<'a> {
    Skeleton {
        vias: message.elements(Name::Via).collect(),
        from: message.header(Name::From).unwrap_or_default(),
        to: message.header(Name::To).unwrap_or_default(),
        has_to_tag: message.to_tag().is_some(),
        call_id: message.call_id().unwrap_or_default(),
        cseq: message.header(Name::CSeq).unwrap_or_default(),
    }
}

/// The framing is wrong, but if the headers can be read, the sender is told.
fn framing_fault(bytes: &[u8], error: FramingError) -> Unreadable {
    let Ok(message) = tandem_sip::Message::salvage(bytes) else {
        return Unreadable::NotSip(error.counter());
    };
    match (message.method(), error) {
        (None, _) => Unreadable::Response,
        (Some(b"ACK"), _) => Unreadable::Ack,
        (_, FramingError::Version) => Unreadable::Version,
        (_, FramingError::RequestLine) => Unreadable::Request("Malformed Request-Line".into()),
        _ => Unreadable::Request("Malformed Content-Length Header".into()),
    }
}

/// How a response to a request with this topmost Via goes, which came by `hop`. Over a stream: by
/// the same connection, and if that is gone by one to where the Via says (RFC 3261 section 18.2.2).
pub(crate) fn response_hop(via: &[u8], hop: Hop) -> Option<Hop> {
    let peer = response_peer(via, hop.peer)?;
    Some(match hop.path {
        Path::Stream(_) => {
            let port = Via::parse(via).and_then(|v| v.port);
            Hop {
                connect: port.map(|port| SocketAddr::new(hop.peer.ip(), port)),
                ..hop
            }
        }
        // A user agent behind a NAT may not know of `rport`.
        Path::Realm(_) | Path::Kernel(_) if hop.flow => hop,
        Path::Realm(_) | Path::Kernel(_) => Hop { peer, ..hop },
    })
}

/// Where a response to a datagram with this topmost Via goes, which came from `source`.
fn response_peer(via: &[u8], source: SocketAddr) -> Option<SocketAddr> {
    Via::parse(via)
        .map(|via| via.response_address(source))
        .filter(|peer| peer.port() != 0)
}

/// The topmost Via with what we know of its sender: `received` (RFC 3261 section 18.2.1) and
/// `rport` (RFC 3581 section 4).
pub(crate) fn via_with_source(text: &[u8], source: SocketAddr) -> Vec<u8> {
    let Some(via) = Via::parse(text) else {
        return text.to_vec();
    };
    let port = via.wants_rport().then(|| source.port());
    if port.is_none() && via.sent_from(source.ip()) {
        return text.to_vec();
    }
    let mut parts = text.split(|b| *b == b';');
    let mut out = Vec::with_capacity(text.len() + 64);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for parameter in parts {
        let name = parameter
            .split(|b| *b == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if !name.eq_ignore_ascii_case(b"rport") && !name.eq_ignore_ascii_case(b"received") {
            out.push(b';');
            out.extend_from_slice(parameter);
        }
    }
    out.extend_from_slice(b";received=");
    push_ip(&mut out, source.ip());
    if let Some(port) = port {
        out.extend_from_slice(b";rport=");
        push_number(&mut out, port.into());
    }
    out
}

/// The parameters of the first element of a Contact, each with its leading semicolon; of one without
/// angle brackets none, since nobody can tell what its sender took them for.
pub(crate) fn contact_parameters(value: &[u8]) -> &[u8] {
    split_list(value)
        .next()
        .filter(|contact| contact.contains(&b'<'))
        .and_then(NameAddr::parse)
        .map_or(&[], |parts| parts.parameters)
}

/// The address in a URI or name-addr; none when its host is a name.
pub(crate) fn address_of(text: &[u8]) -> Option<SocketAddr> {
    uri_of(text)?.socket_address()
}

/// Whom a URI or name-addr names; none when its host is an address, when it can lead to no server, or
/// when it is made up: what ends in `invalid` is (RFC 6761 section 6.4; RFC 7118 has clients write
/// that).
pub(crate) fn named_host(text: &[u8]) -> Option<Wanted> {
    let uri = uri_of(text)?;
    let secure = match uri.scheme {
        Scheme::Sip => false,
        Scheme::Sips => true,
        Scheme::Tel | Scheme::Other => return None,
    };
    let Some(tandem_sip::Host::Name(name)) = uri.host else {
        return None;
    };
    let name = Domain::parse(name)?;
    if name.as_str() == "invalid" || name.as_str().ends_with(".invalid") {
        return None;
    }
    let transport = match uri.parameter("transport") {
        Some(text) => Some(Transport::parse(text)?),
        None => None,
    };
    Wanted::new(secure, Host::Name(name), uri.port, transport).ok()
}

/// The transport that a URI or name-addr asks for; none when it leaves it open.
pub(crate) fn transport_of(text: &[u8]) -> Option<Transport> {
    let uri = uri_of(text)?;
    if uri.scheme == Scheme::Sips {
        return Some(Transport::Tls);
    }
    Transport::parse(uri.parameter("transport")?)
}

/// Whether a route is a loose router's: `lr` (RFC 3261 section 19.1.1).
pub(crate) fn is_loose(route: &[u8]) -> bool {
    uri_of(route).is_some_and(|uri| uri.parameter("lr").is_some())
}

/// A Contact's URI and its q in thousandths; 1 where none is written (RFC 3261 section 20.10).
pub(crate) fn contact_and_q(contact: &[u8]) -> Option<(&[u8], u16)> {
    let parts = NameAddr::parse(contact)?;
    let q = parts.parameter("q").map_or(Some(1_000), quality);
    // What cannot be read says nothing.
    Some((parts.uri, q.unwrap_or(1_000)))
}

/// `0` to `1` with at most three digits behind the point.
fn quality(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok().filter(|w| *w <= 1)?;
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{part:0<3}").parse().ok()?;
    Some((whole * 1_000 + thousandths).min(1_000))
}

/// A URI without what may not stand in a start line: its headers (RFC 3261 section 19.1.1).
pub(crate) fn start_line_uri(uri: &[u8]) -> &[u8] {
    match Uri::parse(uri) {
        Some(parts) if !parts.headers.is_empty() => uri
            .get(..uri.len().saturating_sub(parts.headers.len() + 1))
            .unwrap_or(uri),
        _ => uri,
    }
}

/// The URI of a name-addr as it may stand in a start line; the text itself when it is no name-addr.
pub(crate) fn bare_uri(text: &[u8]) -> &[u8] {
    NameAddr::parse(text).map_or(text, |parts| parts.uri)
}

/// The URI in a name-addr, or the URI itself.
fn uri_of(text: &[u8]) -> Option<Uri<'_>> {
    // Without brackets, a name-addr's parser takes the URI's parameters for the header's.
    if text.contains(&b'<') {
        NameAddr::parse(text)?.parsed_uri()
    } else {
        Uri::parse(text)
    }
}

/// The user part of the URI in a name-addr, as written; none when it has none.
pub(crate) fn user_of(text: &[u8]) -> Option<&[u8]> {
    uri_of(text)
        .map(|uri| uri.user)
        .filter(|user| !user.is_empty())
}

/// Whether two Contacts are the same binding: as written, or at least the same user at the same place.
/// (RFC 3261 section 10.2.4 compares more; registrars repeat what they were given.)
pub(crate) fn is_same_contact(a: &[u8], b: &[u8]) -> bool {
    let (Some(a), Some(b)) = (NameAddr::parse(a), NameAddr::parse(b)) else {
        return false;
    };
    let same = || {
        let (a, b) = (Uri::parse(a.uri)?, Uri::parse(b.uri)?);
        let place = |uri: &Uri<'_>| (uri.scheme, uri.port);
        let host = |uri: &Uri<'_>| match uri.host {
            Some(tandem_sip::Host::Name(name)) => Some(name.to_ascii_lowercase()),
            Some(tandem_sip::Host::Address(ip)) => Some(ip.to_string().into_bytes()),
            None => None,
        };
        Some(a.user == b.user && place(&a) == place(&b) && host(&a) == host(&b))
    };
    a.uri == b.uri || same().unwrap_or(false)
}

/// The user part of a URI, if it may be shown to the other side: a plain word, no address in it.
pub(crate) fn plain_user(uri: &[u8]) -> Option<&[u8]> {
    let user = Uri::parse(uri)?.user;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'_');
    (!user.is_empty() && user.len() <= 64 && user.iter().all(plain)).then_some(user)
}

/// A Request-URI with its host and port replaced by the target's: its name, or else its address.
pub(crate) fn retarget(uri: &[u8], named: Option<&str>, target: SocketAddr) -> Vec<u8> {
    let user = Uri::parse(uri).map(|u| u.user).unwrap_or_default();
    let mut out = Vec::with_capacity(32 + user.len());
    out.extend_from_slice(b"sip:");
    if !user.is_empty() {
        out.extend_from_slice(user);
        out.push(b'@');
    }
    match named {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => push_address(&mut out, target),
    }
    out
}

/// The user name in a header of credentials (RFC 7616 section 3.4); none when there is none.
pub(crate) fn auth_user(credentials: &[u8]) -> Option<Vec<u8>> {
    let name = b"username=";
    let at = credentials
        .windows(name.len())
        .position(|w| w.eq_ignore_ascii_case(name))?;
    let value = credentials.get(at + name.len()..)?.trim_ascii_start();
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|b| matches!(b, b',' | b' '));
        return value.get(..end.unwrap_or(value.len())).map(<[u8]>::to_vec);
    };
    let (mut user, mut bytes) = (Vec::new(), quoted.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return Some(user),
            b'\\' => user.extend(bytes.next()),
            _ => user.push(*byte),
        }
    }
    None
}

/// Whether we know what a URI's scheme means (RFC 3261 section 16.3).
pub(crate) fn is_known_scheme(uri: &[u8]) -> bool {
    Uri::parse(uri).is_some_and(|uri| uri.scheme != Scheme::Other)
}

/// Whether a URI names somebody, and not only a host.
pub(crate) fn has_user(uri: &[u8]) -> bool {
    Uri::parse(uri).is_some_and(|uri| !uri.user.is_empty())
}

/// Whether requests may be sent to this address at all.
pub(crate) fn is_sendable(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast(ip)
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

/// Whether an address is private, so that it means nothing behind a NAT.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;rport;\
        branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n\
        CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn a_message_is_read() {
        let message = Message::read(GOOD.as_bytes()).unwrap();
        assert_eq!(message.method(), b"OPTIONS");
        assert_eq!(message.branch(), b"z9hG4bKa");
        assert_eq!(
            (message.tag_of_from(), message.to_tag()),
            (&b"1"[..], &b""[..])
        );
    }

    #[test]
    fn faults_name_their_header() {
        let fault = |from: &str, to: &str| {
            let text = GOOD.replace(from, to);
            Message::read(text.as_bytes()).unwrap_err()
        };
        let request = |reason: &str| Unreadable::Request(reason.into());
        assert_eq!(
            fault("Call-ID: x\r\n", ""),
            request("Missing Call-ID Header")
        );
        assert_eq!(
            fault("CSeq: 1 ", "CSeq: x "),
            request("Malformed CSeq Header")
        );
        assert_eq!(fault(";tag=1", ""), request("Malformed From Header"));
        assert_eq!(
            fault("Content-Length: 0", "Content-Length: 9"),
            request("Malformed Content-Length Header")
        );
        assert_eq!(
            fault("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
            Unreadable::Version
        );
        let ack = GOOD.replace("OPTIONS", "ACK").replace("Call-ID: x\r\n", "");
        assert_eq!(Message::read(ack.as_bytes()).unwrap_err(), Unreadable::Ack);
    }

    #[test]
    fn the_topmost_via_tells_where_it_came_from() {
        let source: SocketAddr = "192.0.2.77:6000".parse().unwrap();
        let text = |via: &str| String::from_utf8(via_with_source(via.as_bytes(), source)).unwrap();
        assert_eq!(
            text("SIP/2.0/UDP h:1;rport;branch=z"),
            "SIP/2.0/UDP h:1;branch=z;received=192.0.2.77;rport=6000"
        );
        assert_eq!(
            text("SIP/2.0/UDP 10.0.0.1;branch=z;received=1.2.3.4"),
            "SIP/2.0/UDP 10.0.0.1;branch=z;received=192.0.2.77"
        );
        let own = "SIP/2.0/UDP 192.0.2.77:5062;branch=z";
        assert_eq!(text(own), own);
        assert_eq!(
            response_peer(own.as_bytes(), source),
            "192.0.2.77:5062".parse().ok()
        );
        assert_eq!(response_peer(b"SIP/2.0/UDP h;rport", source), Some(source));
    }

    #[test]
    fn users_with_addresses_in_them_are_not_shown() {
        assert_eq!(plain_user(b"sip:+4930123@10.0.0.1"), Some(&b"+4930123"[..]));
        assert_eq!(plain_user(b"sip:10.0.0.1~x@10.0.0.2"), None);
        assert_eq!(plain_user(b"sip:10.0.0.1"), None);
    }

    #[test]
    fn a_request_uri_gets_the_targets_host() {
        let to = |uri: &str, named| {
            let target = "10.0.0.5:5080".parse().unwrap();
            String::from_utf8(retarget(uri.as_bytes(), named, target)).unwrap()
        };
        assert_eq!(
            to("sip:100@198.51.100.1;x=y", None),
            "sip:100@10.0.0.5:5080"
        );
        assert_eq!(to("tel:+491234", None), "sip:+491234@10.0.0.5:5080");
        assert_eq!(to("sip:198.51.100.1", None), "sip:10.0.0.5:5080");
        assert_eq!(
            to("sip:1@198.51.100.1", Some("a.example:5070")),
            "sip:1@a.example:5070"
        );
    }
}
