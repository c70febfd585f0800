//! Messages of RFC 4475 and RFC 5118 that this room has to read or refuse, and properties of any bytes.

mod messages;
mod rfc4475;
mod rfc5118;

use proptest::prelude::*;
use tandem_sip::{
    EditList, FramingError, Host, Invalid, Message, Name, NameAddr, Uri, Via, split_list, unfold,
    validate,
};

const PLAIN: &str = "INVITE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: \"A\" <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
    Call-ID: c1@192.0.2.1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n\
    Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n";

/// RFC 4475 section 3.1.1.1: what is read through white space, folds and compact forms.
#[test]
fn tortuous_white_space_folds_and_compact_forms() {
    let message = Message::parse(messages::valid::WSINV).unwrap();
    assert_eq!(message.call_id(), Some(&b"folded.0815@198.51.100.20"[..]));
    assert_eq!(message.max_forwards(), Some(42));
    assert_eq!(message.from_tag(), Some(&b"55of9"[..]));
    assert_eq!(message.to_tag(), Some(&b"7Tq0021"[..]));
    let cseq = message.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (17, &b"INVITE"[..]));
    let vias: Vec<_> = message.elements(Name::Via).filter_map(Via::parse).collect();
    let branches: Vec<_> = vias.iter().filter_map(Via::branch).collect();
    assert_eq!(
        branches,
        [&b"first20"[..], b"z9hG4bKsecond", b"z9hG4bKthird"]
    );
    assert_eq!(message.contact().unwrap().uri, b"sip:oskar@example.net");
    assert_eq!(message.body(), b"body");
    assert_eq!(validate(&message), Ok(()));
}

/// RFC 4475 sections 3.1.1.2 and 3.3.2: odd methods, unknown schemes.
#[test]
fn odd_but_valid_methods_and_schemes_pass() {
    let method = "z-9.Q!~*_+`'%";
    let text = PLAIN
        .replace("INVITE", method)
        .replacen("sip:bob@example.com", "pigeon:x?y", 1);
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(message.method(), Some(method.as_bytes()));
    assert_eq!(message.request_uri(), Some(&b"pigeon:x?y"[..]));
    assert_eq!(validate(&message), Ok(()));
}

/// RFC 4475 section 3.1.2.
#[test]
fn broken_messages_name_what_is_wrong() {
    let refused = |text: &str| Message::parse(text.as_bytes()).unwrap_err();
    assert_eq!(
        refused(&PLAIN.replace("Length: 4", "Length: 9999")),
        FramingError::BodyTooShort
    );
    assert_eq!(
        refused(&PLAIN.replace("Length: 4", "Length: -12")),
        FramingError::ContentLength
    );
    assert_eq!(
        refused(&PLAIN.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")),
        FramingError::Version
    );
    assert_eq!(
        refused(&PLAIN.replace("bob@example.com SIP", "bob@ example SIP")),
        FramingError::RequestLine
    );
    assert_eq!(
        refused(&PLAIN.replace("Contact: ", "Contact ")),
        FramingError::HeaderLine
    );
    assert_eq!(refused("\r\n\r\n"), FramingError::Keepalive);
    assert_eq!(
        refused("SIP/2.0 4294968496 Fine\r\n\r\n"),
        FramingError::StartLine
    );

    let invalid = |text: &str| validate(&Message::parse(text.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(
        invalid(&PLAIN.replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS")),
        Invalid::CSeqMethod
    );
    let huge = PLAIN.replace("CSeq: 1 ", "CSeq: 99999999999999999999 ");
    assert_eq!(invalid(&huge), Invalid::Unreadable(Name::CSeq));
    let twice = PLAIN.replace("Call-ID: c1", "Call-ID: c0\r\nCall-ID: c1");
    assert_eq!(invalid(&twice), Invalid::Repeated(Name::CallId));
    assert_eq!(
        invalid(&PLAIN.replace("To: <sip:bob@example.com>\r\n", "")),
        Invalid::Missing(Name::To)
    );
    let open = PLAIN.replace("<sip:a@example.com>", "<sip:a@example.com");
    assert_eq!(invalid(&open), Invalid::Unreadable(Name::From));
}

/// RFC 5118 section 4: IPv6 references.
#[test]
fn ipv6_references() {
    let uri = Uri::parse(b"sip:user@[2001:db8::10]:5070;transport=udp").unwrap();
    assert_eq!(
        uri.socket_address(),
        Some("[2001:db8::10]:5070".parse().unwrap())
    );
    assert_eq!(uri.parameter("transport"), Some(&b"udp"[..]));
    assert!(Uri::parse(b"sip:2001:db8::10").is_none_or(|u| u.socket_address().is_none()));
    let via =
        Via::parse(b"SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9").unwrap();
    assert_eq!(via.host, Host::Address("2001:db8::9:1".parse().unwrap()));
}

#[test]
fn a_user_part_may_hold_what_looks_like_parameters() {
    let uri = Uri::parse(b"sip:+1;ext=5?x:pw@example.com:5080;lr?Subject=a").unwrap();
    assert_eq!(uri.user, b"+1;ext=5?x");
    assert_eq!(uri.host, Some(Host::Name(b"example.com")));
    assert_eq!((uri.port, uri.headers), (Some(5080), &b"Subject=a"[..]));
    assert_eq!(
        Uri::parse(b"sip:john.doe@example.com").unwrap().user,
        b"john.doe"
    );
}

#[test]
fn commas_in_quotes_and_brackets_do_not_split() {
    let value = b"\"a, \\\" b\" <sip:a,b@x>;p=\"1,2\" , , <sip:c@y>";
    let parts: Vec<_> = split_list(value).collect();
    assert_eq!(
        parts,
        [&b"\"a, \\\" b\" <sip:a,b@x>;p=\"1,2\""[..], b"<sip:c@y>"]
    );
    assert!(NameAddr::parse(b"*").is_none());
    assert_eq!(&*unfold(b"one\r\n  two"), b"one two");
}

/// What becomes of a message before any decision is taken.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// It can be worked with, and leaves as it came.
    Whole,
    /// The same, and behind it stand bytes that do not belong to it.
    First,
    /// It leaves otherwise than it came.
    Changed,
    /// Its framing is refused.
    Refused(FramingError),
    /// A header that every decision needs is missing or broken.
    Broken(Invalid),
}

fn read(bytes: &[u8]) -> Read {
    match Message::parse(bytes) {
        Err(error) => Read::Refused(error),
        Ok(message) => match validate(&message) {
            Err(invalid) => Read::Broken(invalid),
            Ok(()) => {
                let same = EditList::new(&message).apply();
                let rest = same.ok().and_then(|same| bytes.strip_prefix(&same[..]));
                match rest {
                    Some([]) => Read::Whole,
                    Some(_) => Read::First,
                    None => Read::Changed,
                }
            }
        },
    }
}

/// A test for each message: what becomes of it.
macro_rules! read_as {
    ($($test:ident $message:path => $read:expr;)*) => {
        $(#[test]
        fn $test() {
            assert_eq!(crate::read($message), $read);
        })*
    };
}
use read_as;

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(message) = Message::parse(&bytes) {
            let _ = validate(&message);
        }
        let _ = (NameAddr::parse(&bytes), Via::parse(&bytes), Uri::parse(&bytes));
        let _ = (split_list(&bytes).count(), unfold(&bytes).len());
    }

    /// A valid message with a few bytes changed: read without a panic, and without edits it comes
    /// back as it was.
    #[test]
    fn what_is_not_edited_is_not_changed(
        changes in proptest::collection::vec((0..PLAIN.len(), any::<u8>()), 0..8)
    ) {
        let mut bytes = PLAIN.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(message) = Message::parse(&bytes) {
            let _ = validate(&message);
            let _ = (message.contact(), message.to_tag(), message.content_type());
            let same = EditList::new(&message).apply().unwrap();
            prop_assert!(bytes.windows(same.len()).any(|w| w == same));
        }
    }

    #[test]
    fn a_value_that_was_set_is_read_back(value in "[a-zA-Z0-9@.:-]{1,40}") {
        let message = Message::parse(PLAIN.as_bytes()).unwrap();
        let mut edit = EditList::new(&message);
        edit.set(Name::CallId, value.as_bytes()).body(value.as_bytes());
        let bytes = edit.apply().unwrap();
        let again = Message::parse(&bytes).unwrap();
        prop_assert_eq!(again.call_id(), Some(value.as_bytes()));
        prop_assert_eq!(again.body(), value.as_bytes());
        prop_assert_eq!(again.index().fields.len(), message.index().fields.len());
    }
}

/// RFC 4475 sections 3.1.1.3 (a user that is an escaped URI), 3.1.1.6 (no white space behind the
/// display name), 3.1.1.11 (a multipart body), 3.1.1.12 (an unusual reason phrase) and 3.1.1.13 (an
/// empty one).
#[test]
fn valid_oddities_pass_byte_for_byte() {
    let escaped = PLAIN.replacen("sip:bob@", "sip:tel%3A15550100%40example.org@", 1);
    let message = Message::parse(escaped.as_bytes()).unwrap();
    let uri = Uri::parse(message.request_uri().unwrap()).unwrap();
    assert_eq!(uri.user, b"tel%3A15550100%40example.org");
    assert_eq!(uri.host, Some(Host::Name(b"example.com")));

    let close = PLAIN.replace("\"A\" <sip:a@", "Oskar<sip:a@");
    let message = Message::parse(close.as_bytes()).unwrap();
    assert_eq!(message.from().unwrap().display, b"Oskar");
    assert_eq!(validate(&message), Ok(()));

    let body = "--7a\r\nContent-Type: text/plain\r\n\r\na\0\r\n\r\n--7a--";
    let parts = PLAIN
        .replace("application/sdp", "Multipart / Mixed ;boundary=7a")
        .replace(
            "Length: 4\r\n\r\nv=0\n",
            &format!("Length: {}\r\n\r\n{body}", body.len()),
        );
    let message = Message::parse(parts.as_bytes()).unwrap();
    assert_eq!(message.content_type().as_deref(), Some("multipart/mixed"));
    assert_eq!(message.body(), body.as_bytes());

    let headers = PLAIN.split_once("\r\n").unwrap().1;
    for reason in ["3<4 & \u{43d}\u{430}", ""] {
        let text = format!("SIP/2.0 200 {reason}\r\n{headers}");
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.reason(), Some(reason.as_bytes()));
        assert_eq!(validate(&message), Ok(()));
        assert_eq!(EditList::new(&message).apply().unwrap(), text.as_bytes());
    }
}

/// RFC 4475 sections 3.1.2.4 (scalars out of range), 3.1.2.6 (an open quote) and 3.3.8 (headers
/// repeated); a fold within an address.
#[test]
fn what_no_decision_can_be_taken_on_is_invalid() {
    let invalid = |from: &str, to: &str| {
        let text = PLAIN.replacen(from, to, 1);
        validate(&Message::parse(text.as_bytes()).unwrap()).unwrap_err()
    };
    assert_eq!(
        invalid("Max-Forwards: 70", "Max-Forwards: 300"),
        Invalid::Unreadable(Name::MaxForwards)
    );
    assert_eq!(
        invalid("Max-Forwards: 70", "Max-Forwards: +70"),
        Invalid::Unreadable(Name::MaxForwards)
    );
    assert_eq!(invalid("\"A\" <", "\"A <"), Invalid::Unreadable(Name::From));
    assert_eq!(invalid("\"A\" <", "\"A<"), Invalid::Unreadable(Name::From));
    assert_eq!(
        invalid(
            "<sip:bob@example.com>\r\nCall",
            "<sip:bob\r\n @example.com>\r\nCall"
        ),
        Invalid::Unreadable(Name::To)
    );
    assert_eq!(
        invalid("Max-Forwards: 70", "Max-Forwards: 70\r\nmax-forwards: 5"),
        Invalid::Repeated(Name::MaxForwards)
    );
    assert_eq!(
        invalid("Via: SIP/2.0", "Via: SIP/9.0"),
        Invalid::Unreadable(Name::Via)
    );
}

/// A target that we put into a start line later cannot end the line.
#[test]
fn a_uri_has_no_white_space() {
    assert!(NameAddr::parse(b"<sip:a\r\n b@h>").is_none());
    assert!(Uri::parse(b"sip:a\r\n b@h").is_none());
    assert!(Uri::parse(b"tel:+1 2").is_none());
    assert_eq!(
        NameAddr::parse(b"\"x\" < sip:a@h > ;tag=1").unwrap().uri,
        b"sip:a@h"
    );
    assert_eq!(
        Uri::parse(b"sip:a:secret@h").unwrap().password,
        Some(&b"secret"[..])
    );
}
