//! What both ends of a call have in common: the peer as the dialog knows it, and the writing of messages.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::sip::Name;

use super::text::decimal;
use super::view::{Audio, View, address, list, tag, uri};

/// The peer (RFC 3261 section 12.1).
#[derive(Debug, Default)]
pub(crate) struct Remote {
    /// The peer's tag.
    pub(crate) tag: Vec<u8>,
    /// The Request-URI of what goes to it.
    pub(crate) target: Vec<u8>,
    /// Route header fields with their line ends; empty without a route.
    pub(crate) routes: Vec<u8>,
    /// Where requests go.
    pub(crate) hop: Option<SocketAddr>,
    /// Where it wants media.
    pub(crate) media: Option<SocketAddr>,
    /// The payload type that both have.
    pub(crate) payload_type: u8,
}

impl Remote {
    /// Out of a response to our INVITE, or out of an INVITE: the route is the other way round then.
    pub(crate) fn read(view: &View<'_>, from: SocketAddr, is_response: bool) -> Self {
        let peer = view.header(if is_response { Name::To } else { Name::From });
        let mut hops: Vec<&[u8]> = view.headers(Name::RecordRoute).flat_map(list).collect();
        if is_response {
            hops.reverse();
        }
        let target = uri(view.header(Name::Contact)).to_vec();
        let mut routes = Vec::new();
        for hop in &hops {
            routes.extend_from_slice(b"Route: ");
            routes.extend_from_slice(hop);
            routes.extend_from_slice(b"\r\n");
        }
        let next = hops.first().map_or(target.as_slice(), |hop| uri(hop));
        let hop = address(next).unwrap_or(from);
        let audio = Audio::of(view.body());
        Self {
            tag: tag(peer).unwrap_or_default().to_vec(),
            target,
            routes,
            hop: Some(hop),
            media: audio.map(|a| a.to),
            payload_type: audio.and_then(|a| common(&a)).unwrap_or(0),
        }
    }
}

/// The first payload type that we have too: G.711.
fn common(audio: &Audio<'_>) -> Option<u8> {
    audio.payload_types().find(|pt| matches!(pt, 0 | 8))
}

/// Appends pieces.
pub(crate) fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// SDP for one audio stream of G.711, and what else is the same in all of it.
#[derive(Debug)]
pub(crate) struct Sdp {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Sdp {
    /// With media at this address.
    pub(crate) fn new(media: IpAddr, ptime: u8) -> Self {
        let family = if media.is_ipv4() { "IP4" } else { "IP6" };
        let before = format!(
            "v=0\r\no=tandem-load 1 1 IN {family} {media}\r\ns=-\r\nc=IN {family} {media}\r\nt=0 0\r\nm=audio "
        );
        let after = format!(
            " RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=ptime:{ptime}\r\na=sendrecv\r\n"
        );
        Self {
            before: before.into_bytes(),
            after: after.into_bytes(),
        }
    }

    /// Appends Content-Type, Content-Length, the empty line, and the body.
    pub(crate) fn write(&self, out: &mut Vec<u8>, port: u16) {
        let digits = if port >= 10_000 { 5 } else { 4 };
        let length = self.before.len() + digits + self.after.len();
        out.extend_from_slice(b"Content-Type: application/sdp\r\nContent-Length: ");
        decimal(out, length as u64);
        put(out, &[b"\r\n\r\n", &self.before]);
        decimal(out, u64::from(port));
        out.extend_from_slice(&self.after);
    }
}

/// The end of a message without a body.
pub(crate) const NO_BODY: &[u8] = b"Content-Length: 0\r\n\r\n";

/// Appends what a response copies of its request (RFC 3261 section 8.2.6.2), the To with a tag of ours unless it has one.
pub(crate) fn copy(
    out: &mut Vec<u8>,
    view: &View<'_>,
    with_route: bool,
    our_tag: impl FnOnce(&mut Vec<u8>),
) {
    for via in view.headers(Name::Via) {
        put(out, &[b"Via: ", via, b"\r\n"]);
    }
    if with_route {
        for route in view.headers(Name::RecordRoute) {
            put(out, &[b"Record-Route: ", route, b"\r\n"]);
        }
    }
    let to = view.header(Name::To);
    put(out, &[b"From: ", view.header(Name::From), b"\r\nTo: ", to]);
    if tag(to).is_none() {
        out.extend_from_slice(b";tag=");
        our_tag(out);
    }
    put(
        out,
        &[
            b"\r\nCall-ID: ",
            view.header(Name::CallId),
            b"\r\nCSeq: ",
            view.header(Name::CSeq),
            b"\r\n",
        ],
    );
}

/// The status line.
pub(crate) fn status_line(out: &mut Vec<u8>, code: u16) {
    out.extend_from_slice(b"SIP/2.0 ");
    decimal(out, u64::from(code));
    let phrase: &[u8] = match code {
        100 => b" Trying",
        180 => b" Ringing",
        200 => b" OK",
        405 => b" Method Not Allowed",
        480 => b" Temporarily Unavailable",
        481 => b" Call/Transaction Does Not Exist",
        486 => b" Busy Here",
        487 => b" Request Terminated",
        _ => b" Refused",
    };
    put(out, &[phrase, b"\r\n"]);
}
