//! Any datagram is indexed or refused; the dataplane's short cut to the Call-ID agrees with the index; every
//! value parser takes what the index points at; an edited message can be read again, and what was not edited
//! is what it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_sip::{EditList, FramingError, Message, Name, NameAddr, RAck, Via, unfold, validate};

fuzz_target!(|bytes: &[u8]| {
    let quick = tandem_wire::sip::call_id(bytes);
    let is_new = tandem_wire::sip::is_new(bytes);
    let salvaged = Message::salvage(bytes).is_ok();
    let first = tandem_wire::sip::first(bytes);
    assert!(!salvaged || first == tandem_wire::sip::First::Sip, "what can be answered is heard");
    let Ok(message) = Message::parse(bytes) else { return };
    assert!(salvaged, "what is whole can be salvaged");
    assert_eq!(quick.is_some(), message.call_id().is_some(), "the short cut and the index");
    assert!(!is_new || message.status().is_none(), "a response begins nothing");
    let _ = (validate(&message), message.max_forwards(), message.content_type());
    for element in message.elements(Name::Via) {
        let _ = Via::parse(element);
    }
    for name in [Name::Contact, Name::Route, Name::RecordRoute, Name::From, Name::To] {
        for element in message.elements(name) {
            if let Some(uri) = NameAddr::parse(element).and_then(|a| a.parsed_uri()) {
                assert!(!uri.text().iter().any(u8::is_ascii_whitespace), "a URI of one word");
            }
        }
    }
    for value in message.headers(Name::RAck) {
        let _ = RAck::parse(&unfold(value));
    }

    let mut edit = EditList::new(&message);
    edit.replace_all(Name::Via, [&b"SIP/2.0/UDP 192.0.2.1"[..]])
        .set(Name::CallId, b"x")
        .body(b"new");
    let edited = edit.apply().expect("these edits never overlap");
    let again = match Message::parse(&edited) {
        Ok(again) => again,
        Err(FramingError::TooManyHeaders) => {
            // Of three headers each may be one more than there was.
            let fields = tandem_wire::sip::parse(bytes).expect("it was parsed").fields.len();
            assert!(fields > tandem_wire::sip::MAX_HEADERS - 3, "{fields} header fields");
            return;
        }
        Err(error) => panic!("an edited message is a message: {error:?}"),
    };
    assert_eq!((again.call_id(), again.body()), (Some(&b"x"[..]), &b"new"[..]));
    assert_eq!(again.header(Name::From), message.header(Name::From));
    assert_eq!((again.method(), again.status()), (message.method(), message.status()));
});
