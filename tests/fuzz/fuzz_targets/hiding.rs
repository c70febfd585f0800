//! Whatever headers and body a message has: on its way between the sides nothing panics, a Call-ID of the
//! inside never shows outside, and a token brings back what it hides. A file of keys is read or
//! refused.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tandem_call::{Core, Input, KeyRing, Now, Opened, Output, Path};
use tandem_fuzz::{config, tables};

const CALL_ID: &[u8] = b"1-4711@10.0.0.11";

fuzz_target!(|bytes: &[u8]| {
    let keys = KeyRing::generate([7; 35]);
    let _ = KeyRing::parse(&String::from_utf8_lossy(bytes));
    let made = matches!(keys.open(bytes), Opened::Ours { .. });
    assert!(!made, "nobody but us makes a token");
    let token = keys.seal(keys.current(), bytes).expect("the key is there");
    let Opened::Ours { call_id, .. } = keys.open(&token) else {
        panic!("our own token opens");
    };
    assert_eq!(call_id, bytes);

    let mut core = Core::new(config(keys.clone()), [1; 16]);
    let now = Now { mono: Duration::from_secs(1), wall_ms: 1 };
    core.input(now, Input::Tables(Arc::new(tables("10.0.0.20:5060"))));
    // Headers and a body of the fuzzer's choice, out and back.
    let from_inside = message("MESSAGE sip:100@10.0.0.1 SIP/2.0", "10.0.0.11:5060", CALL_ID, bytes);
    for sent in said(&mut core, now, 1, "10.0.0.11:5060", "10.0.0.1:5060", &from_inside) {
        let outside = !sent.0.starts_with("10.");
        let shown = tandem_wire::sip::call_id(&sent.1);
        assert!(!outside || shown != Some(CALL_ID), "the Call-ID is hidden");
    }
    let token = keys.seal(keys.current(), CALL_ID).expect("the key is there");
    let from_outside = message("MESSAGE sip:100@198.51.100.1 SIP/2.0", "203.0.113.50:5060", &token, bytes);
    let _ = said(&mut core, now, 0, "203.0.113.50:5060", "198.51.100.1:5060", &from_outside);
});

fn said(core: &mut Core, now: Now, realm: u16, source: &str, local: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    core.input(now, Input::Message {
        path: Path::Realm(realm),
        source: source.parse().expect("an address"),
        local: local.parse().expect("an address"),
        waited: Duration::ZERO,
        bytes,
    });
    std::iter::from_fn(|| core.output())
        .filter_map(|output| match output {
            Output::Send { destination, bytes, .. } => Some((destination.to_string(), bytes)),
            _ => None,
        })
        .collect()
}

fn message(line: &str, me: &str, call_id: &[u8], rest: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line}\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{me}>;tag=a\r\nTo: <sip:100@10.0.0.1>\r\nCSeq: 1 MESSAGE\r\nCall-ID: "
    );
    [head.as_bytes(), call_id, b"\r\n", rest].concat()
}
