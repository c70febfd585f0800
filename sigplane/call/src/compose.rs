//! Messages that go out: those that pass through us, and our own.

use std::net::SocketAddr;

use tandem_policy::Transport;
use tandem_policy::digest::Credentials;

use crate::edits::Edits;
use crate::message::{self, Message, Name};
use crate::text::{push_address, push_number};

/// The methods that we serve, for Allow.
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER";

/// What most messages need, in bytes: the memory is asked for once.
const ROOM: usize = 1_024;

/// A message in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    out: Vec<u8>,
}

/// What becomes of a message's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// It passes as it is.
    Same,
    /// This one instead, of the same type.
    Replaced(Vec<u8>),
    /// Taken out, with the headers that describe it.
    Removed,
}

impl Draft {
    pub(crate) fn request(method: &[u8], uri: &[u8]) -> Self {
        let mut out = Vec::with_capacity(ROOM);
        for part in [method, b" ", uri, b" SIP/2.0\r\n"] {
            out.extend_from_slice(part);
        }
        Self { out }
    }

    pub(crate) fn response(code: u16, reason: &[u8]) -> Self {
        let mut out = Vec::with_capacity(ROOM);
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(&mut out, code.into());
        for part in [b" ", reason, b"\r\n"] {
            out.extend_from_slice(part);
        }
        Self { out }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    #[must_use]
    pub(crate) fn headers<'v>(
        self,
        name: &str,
        values: impl IntoIterator<Item = &'v [u8]>,
    ) -> Self {
        values
            .into_iter()
            .fold(self, |draft, value| draft.header(name, value))
    }

    /// Headers that were made before, with their line ends.
    #[must_use]
    pub(crate) fn block(mut self, block: &[u8]) -> Self {
        self.out.extend_from_slice(block);
        self
    }

    fn blocks<'b>(self, blocks: impl Iterator<Item = &'b [u8]>) -> Self {
        blocks.fold(self, Self::block)
    }

    /// The headers so far, without the end.
    pub(crate) fn head(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn finish(self, body: &[u8]) -> Vec<u8> {
        let mut out = self.out;
        out.extend_from_slice(b"Content-Length: ");
        push_number(&mut out, body.len() as u64);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
        out
    }

    /// Takes over the headers of `message` that are not a proxy's to change, and its body.
    fn pass(
        mut self,
        message: &Message<'_>,
        contact: Option<&[u8]>,
        realms: &[String],
        edits: [Option<&Edits>; 2],
        from: Option<&[u8]>,
        body: &Body,
    ) -> Vec<u8> {
        for (name, written, value) in message.fields() {
            match name {
                Name::Contact => {}
                Name::ProxyAuthorization if is_for(value, realms) => {}
                _ if is_hops(name) => {}
                Name::From if from.is_some() => {
                    let shown = from.unwrap_or_default();
                    for part in [b"From: ", shown, b"\r\n"] {
                        self.out.extend_from_slice(part);
                    }
                }
                _ if edits.iter().flatten().any(|e| e.removes(written)) => {}
                Name::ContentType | Name::ContentEncoding | Name::ContentDisposition
                    if *body == Body::Removed => {}
                _ => {
                    for part in [written, b": ", value, b"\r\n"] {
                        self.out.extend_from_slice(part);
                    }
                }
            }
        }
        if let (Some(contact), Some(theirs)) = (contact, message.first(Name::Contact)) {
            // Its parameters say what the device is and can (RFC 3840, RFC 5626), not where.
            let parameters = message::contact_parameters(theirs);
            for part in [b"Contact: ", contact, parameters, b"\r\n"] {
                self.out.extend_from_slice(part);
            }
        }
        match body {
            Body::Same => self.finish(message.body()),
            Body::Replaced(bytes) => self.finish(bytes),
            Body::Removed => self.finish(b""),
        }
    }

    /// Takes over all headers of `message` but some, and its body.
    fn pass_but(mut self, message: &Message<'_>, but: impl Fn(Name, &[u8]) -> bool) -> Vec<u8> {
        for (name, written, value) in message.fields() {
            if !but(name, written) {
                for part in [written, b": ", value, b"\r\n"] {
                    self.out.extend_from_slice(part);
                }
            }
        }
        self.finish(message.body())
    }
}

/// Whether a header belongs to one hop: everybody on the way writes it anew.
const fn is_hops(name: Name) -> bool {
    matches!(
        name,
        Name::Via | Name::Route | Name::RecordRoute | Name::MaxForwards | Name::ContentLength
    )
}

/// Whether credentials are for one of these realms.
fn is_for(credentials: &[u8], realms: &[String]) -> bool {
    !realms.is_empty()
        && Credentials::parse(credentials)
            .is_ok_and(|c| realms.iter().any(|realm| *realm.as_bytes() == *c.realm))
}

/// How a request goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Onward<'a> {
    /// The Request-URI.
    pub(crate) uri: &'a [u8],
    /// Our Via's value.
    pub(crate) via: &'a [u8],
    /// The Route headers.
    pub(crate) routes: &'a [Vec<u8>],
    /// Our Record-Route, for a request that begins a dialog.
    pub(crate) record_route: Option<&'a [u8]>,
    /// Our Contact, in the place of the sender's, if it has one.
    pub(crate) contact: &'a [u8],
    /// Our own realms: credentials for them end here (RFC 3261 section 22.3).
    pub(crate) realms: &'a [String],
    /// What routing changes in the headers: of the call, and for who gets it.
    pub(crate) edits: [Option<&'a Edits>; 2],
    /// The value of From; none for the sender's.
    pub(crate) from: Option<&'a [u8]>,
    /// What becomes of the body.
    pub(crate) body: &'a Body,
}

/// A request as it goes on to the other side.
pub(crate) fn onward(message: &Message<'_>, onward: &Onward<'_>) -> Vec<u8> {
    let hops = message
        .max_forwards()
        .map_or(70, |hops| hops.saturating_sub(1));
    Draft::request(message.method(), onward.uri)
        .header("Via", onward.via)
        .headers("Record-Route", onward.record_route)
        .headers("Route", onward.routes.iter().map(Vec::as_slice))
        .header("Max-Forwards", hops.to_string().as_bytes())
        .blocks(onward.edits.iter().flatten().map(|edits| edits.added()))
        .pass(
            message,
            Some(onward.contact),
            onward.realms,
            onward.edits,
            onward.from,
            onward.body,
        )
}

/// A REGISTER as it goes on to the registrar: Contacts stay as they are. `head` holds header lines of
/// ours, before those of its sender.
pub(crate) fn register(message: &Message<'_>, uri: &[u8], via: &[u8], head: &[u8]) -> Vec<u8> {
    let hops = message
        .max_forwards()
        .map_or(70, |hops| hops.saturating_sub(1));
    Draft::request(message.method(), uri)
        .header("Via", via)
        .header("Max-Forwards", hops.to_string().as_bytes())
        .block(head)
        .pass_but(message, |name, _| is_hops(name))
}

/// The registrar's response as it goes back. `head` holds the Via headers, and whatever else is said in
/// the place of the registrar's Contact, Path and Service-Route.
pub(crate) fn registered(message: &Message<'_>, head: &[u8]) -> Vec<u8> {
    let is_ours = |name: Name, written: &[u8]| {
        is_hops(name)
            || matches!(name, Name::Contact | Name::Path)
            || written.eq_ignore_ascii_case(b"Service-Route")
    };
    Draft::response(message.code(), message.reason())
        .block(head)
        .pass_but(message, is_ours)
}

/// A response as it goes back to the other side. `head` holds the Via (and Record-Route) headers
/// of the request that it answers, ready-made.
pub(crate) fn back(
    message: &Message<'_>,
    head: &[u8],
    contact: Option<&[u8]>,
    body: &Body,
) -> Vec<u8> {
    Draft::response(message.code(), message.reason())
        .block(head)
        .pass(message, contact, &[], [None; 2], None, body)
}

/// The ACK (without To) and the CANCEL of an INVITE of ours: its start line's URI, its topmost
/// Via, its Route, From, Call-ID and CSeq number (RFC 3261 sections 9.1 and 17.1.1.3).
pub(crate) fn hop_by_hop(method: &str, invite: &Message<'_>, onward: &Onward<'_>) -> Draft {
    let mut cseq = Vec::with_capacity(24);
    push_number(&mut cseq, invite.cseq().into());
    cseq.push(b' ');
    cseq.extend_from_slice(method.as_bytes());
    Draft::request(method.as_bytes(), onward.uri)
        .header("Via", onward.via)
        .headers("Route", onward.routes.iter().map(Vec::as_slice))
        .header("Max-Forwards", b"70")
        .header(
            "From",
            onward.from.unwrap_or_else(|| invite.value_of_from()),
        )
        .header("Call-ID", invite.call_id())
        .header("CSeq", &cseq)
}

/// Our Via's value.
pub(crate) fn via(transport: Transport, local: SocketAddr, branch: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    for part in ["SIP/2.0/", transport.via(), " "] {
        out.extend_from_slice(part.as_bytes());
    }
    push_address(&mut out, local);
    // RFC 3581 is about datagrams: a stream's responses come back by the stream.
    if !transport.is_reliable() {
        out.extend_from_slice(b";rport");
    }
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(branch.as_bytes());
    out
}

/// Our Record-Route's value.
pub(crate) fn record_route(transport: Transport, local: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(b"<sip:");
    push_address(&mut out, local);
    push_transport(&mut out, transport);
    out.extend_from_slice(b";lr>");
    out
}

/// Our Path's value: the flow's token, and `ob` where the user agent asked for it (RFC 5626 section 5.1).
pub(crate) fn path(token: &[u8], transport: Transport, local: SocketAddr, ob: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + token.len());
    out.extend_from_slice(b"<sip:");
    out.extend_from_slice(token);
    out.push(b'@');
    push_address(&mut out, local);
    push_transport(&mut out, transport);
    out.extend_from_slice(if ob { b";lr;ob>" } else { b";lr>" });
    out
}

/// Our Contact's value.
pub(crate) fn contact(alias: &[u8], transport: Transport, local: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + alias.len());
    out.extend_from_slice(b"<sip:");
    out.extend_from_slice(alias);
    out.push(b'@');
    push_address(&mut out, local);
    push_transport(&mut out, transport);
    out.push(b'>');
    out
}

fn push_transport(out: &mut Vec<u8>, transport: Transport) {
    if let Some(value) = transport.parameter() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(value.as_bytes());
    }
}
