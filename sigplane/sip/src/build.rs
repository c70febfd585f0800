//! Messages that we originate: responses to a request, and requests of our own. Written out by hand, since
//! all that they consist of is at hand; what comes from a peer is copied, not interpreted.

use std::net::SocketAddr;

use tandem_wire::sip::Name;

use crate::message::Message;

/// A response to a request (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq are the request's.
/// `to_tag` is added to To when it has none and one is given. `extra` are further header fields.
#[must_use]
pub fn response(
    request: &Message<'_>,
    status: u16,
    reason: &str,
    to_tag: Option<&[u8]>,
    extra: &[(&str, &[u8])],
    body: &[u8],
) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {status} {reason}\r\n").into_bytes();
    for via in request.headers(Name::Via) {
        field(&mut out, "Via", via);
    }
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        let Some(value) = request.header(name) else {
            continue;
        };
        if name == Name::To
            && let Some(tag) = to_tag
            && request.to_tag().is_none()
        {
            field(&mut out, "To", &[value, b";tag=", tag].concat());
        } else {
            field(&mut out, name.as_str(), value);
        }
    }
    finish(out, extra, body)
}

/// The ACK for a failure response to `invite`, our own INVITE as it was sent (RFC 3261 section 17.1.1.3).
#[must_use]
pub fn ack_for_failure(invite: &Message<'_>, failure: &Message<'_>) -> Vec<u8> {
    follow_up(invite, b"ACK", failure.header(Name::To))
}

/// The CANCEL for `invite`, our own INVITE as it was sent (RFC 3261 section 9.1).
#[must_use]
pub fn cancel_for(invite: &Message<'_>) -> Vec<u8> {
    follow_up(invite, b"CANCEL", None)
}

/// A request on the same branch as the INVITE that it belongs to.
fn follow_up(invite: &Message<'_>, method: &[u8], to: Option<&[u8]>) -> Vec<u8> {
    let uri = invite.request_uri().unwrap_or_default();
    let mut out = [method, b" ", uri, b" SIP/2.0\r\n"].concat();
    if let Some(via) = invite.elements(Name::Via).next() {
        field(&mut out, "Via", via);
    }
    field(&mut out, "Max-Forwards", b"70");
    for route in invite.headers(Name::Route) {
        field(&mut out, "Route", route);
    }
    for name in [Name::From, Name::To, Name::CallId] {
        let own = invite.header(name);
        let value = if name == Name::To { to.or(own) } else { own };
        field(&mut out, name.as_str(), value.unwrap_or_default());
    }
    let number = invite.cseq().map_or(1, |c| c.number);
    field(
        &mut out,
        "CSeq",
        &[number.to_string().as_bytes(), b" ", method].concat(),
    );
    finish(out, &[], b"")
}

/// What a request of our own consists of.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The method.
    pub method: &'a str,
    /// The Request-URI.
    pub uri: &'a [u8],
    /// Our address, for Via's sent-by.
    pub local: SocketAddr,
    /// The branch, with the magic cookie.
    pub branch: &'a str,
    /// The From value with its tag.
    pub from: &'a [u8],
    /// The To value, with its tag within a dialog.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The CSeq number.
    pub cseq: u32,
}

/// A request of our own.
#[derive(Debug)]
pub struct RequestBuilder {
    out: Vec<u8>,
}

impl RequestBuilder {
    /// The mandatory parts (RFC 3261 section 8.1.1).
    #[must_use]
    pub fn new(template: &Template<'_>) -> Self {
        let Template {
            method,
            uri,
            local,
            branch,
            from,
            to,
            call_id,
            cseq,
        } = template;
        let mut out = [method.as_bytes(), b" ", uri, b" SIP/2.0\r\n"].concat();
        let via = format!("SIP/2.0/UDP {local};branch={branch};rport");
        field(&mut out, "Via", via.as_bytes());
        field(&mut out, "Max-Forwards", b"70");
        field(&mut out, "From", from);
        field(&mut out, "To", to);
        field(&mut out, "Call-ID", call_id);
        field(&mut out, "CSeq", format!("{cseq} {method}").as_bytes());
        Self { out }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        field(&mut self.out, name, value);
        self
    }

    /// The request, with this body; its Content-Type is to be added before.
    #[must_use]
    pub fn finish(self, body: &[u8]) -> Vec<u8> {
        finish(self.out, &[], body)
    }
}

fn finish(mut out: Vec<u8>, extra: &[(&str, &[u8])], body: &[u8]) -> Vec<u8> {
    for (name, value) in extra {
        field(&mut out, name, value);
    }
    field(
        &mut out,
        "Content-Length",
        body.len().to_string().as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The usual reason phrase of a status (RFC 3261 section 21).
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK7, \
        SIP/2.0/UDP other\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\n\
        CSeq: 9 INVITE\r\n\r\n";

    #[test]
    fn a_response_copies_and_tags() {
        let request = Message::parse(INVITE).unwrap();
        let bytes = response(&request, 404, "Not Found", Some(b"t"), &[("X", b"y")], b"");
        let answer = Message::parse(&bytes).unwrap();
        assert_eq!(answer.status(), Some(404));
        assert_eq!(answer.to_tag(), Some(&b"t"[..]));
        assert_eq!(answer.elements(Name::Via).count(), 2);
        assert_eq!(answer.header(Name::ContentLength), Some(&b"0"[..]));
    }

    #[test]
    fn ack_and_cancel_stay_on_the_branch() {
        let invite = Message::parse(INVITE).unwrap();
        let busy = response(&invite, 486, "Busy Here", Some(b"b"), &[], b"");
        let ack = ack_for_failure(&invite, &Message::parse(&busy).unwrap());
        let ack = Message::parse(&ack).unwrap();
        assert_eq!(ack.top_via().unwrap().branch(), Some(&b"z9hG4bK7"[..]));
        assert_eq!(ack.elements(Name::Via).count(), 1);
        assert_eq!(ack.to_tag(), Some(&b"b"[..]));
        assert_eq!(ack.cseq().unwrap().method, b"ACK");
        let cancel = cancel_for(&invite);
        let cancel = Message::parse(&cancel).unwrap();
        assert_eq!(cancel.to_tag(), None);
        assert_eq!(
            (cancel.cseq().unwrap().number, cancel.method()),
            (9, Some(&b"CANCEL"[..]))
        );
    }
}
