//! Any datagram is indexed or refused; every value parser takes what the index points at; an edited message
//! can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_sip::{EditList, Message, Name, NameAddr, Via, validate};

fuzz_target!(|bytes: &[u8]| {
    let _ = tandem_wire::sip::call_id(bytes);
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = validate(&message);
    for element in message.elements(Name::Via) {
        let _ = Via::parse(element);
    }
    for name in [Name::Contact, Name::Route, Name::RecordRoute, Name::From, Name::To] {
        for element in message.elements(name) {
            let _ = NameAddr::parse(element).and_then(|a| a.parsed_uri());
        }
    }
    let mut edit = EditList::new(&message);
    edit.replace_all(Name::Via, [&b"SIP/2.0/UDP 192.0.2.1"[..]]).set(Name::CallId, b"x");
    let Ok(edited) = edit.apply() else { return };
    assert!(Message::parse(&edited).is_ok(), "an edited message is a message");
});
