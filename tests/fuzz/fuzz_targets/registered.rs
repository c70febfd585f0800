//! Whatever a REGISTER, a registrar's answer and a Route from the inside look like: nothing panics, nobody but us makes
//! a flow token, and none shows outside.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tandem_call::{Core, Input, KeyRing, Now, OpenedFlow, Output, Path};
use tandem_fuzz::{config, tables};

const AGENT: &str = "203.0.113.77:31234";
const REGISTRAR: &str = "10.0.0.20:5060";
const NOW: Now = Now { mono: Duration::from_secs(1), wall_ms: 1_700_000_000_000 };

fuzz_target!(|bytes: &[u8]| {
    // What the input says itself may be shown.
    if bytes.windows(5).any(|w| w.eq_ignore_ascii_case(b"tnf1-")) {
        return;
    }
    let keys = KeyRing::generate([7; 35]);
    for prefix in [&b""[..], b"tnf1-", b"tnf1-BwcH"] {
        let opened = keys.open_flow(&[prefix, bytes].concat());
        assert!(!matches!(opened, OpenedFlow::Ours(_)), "nobody but us makes a token");
    }
    let mut core = Core::new(config(keys), [1; 16]);
    core.input(NOW, Input::Tables(Arc::new(tables(REGISTRAR))));
    let register = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.5:5060;rport;branch=z9hG4bKa\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: r\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:bob@192.168.1.5:5060>\r\n"
    );
    let mut path = None;
    for (to, text) in say(&mut core, 0, AGENT, &[register.as_bytes(), bytes].concat()) {
        if to != REGISTRAR {
            continue;
        }
        let head = |name: &str| lines(&text).find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
        path = Some(head("Path: ").replace("Path: ", ""));
        let answer = format!("SIP/2.0 200 OK\r\n{}\r\n{}\r\n{};tag=x\r\n{}\r\n{}\r\n",
            head("Via"), head("From"), head("To"), head("Call-ID"), head("CSeq"));
        let _ = say(&mut core, 1, REGISTRAR, &[answer.as_bytes(), bytes].concat());
        let mine = "Contact: <sip:bob@192.168.1.5:5060>;expires=60\r\nContent-Length: 0\r\n\r\n";
        let _ = say(&mut core, 1, REGISTRAR, &[answer.as_bytes(), mine.as_bytes()].concat());
    }
    let message = |route: &[u8], branch: &str| {
        let head = format!(
            "MESSAGE sip:bob@192.168.1.5 SIP/2.0\r\nVia: SIP/2.0/UDP {REGISTRAR};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@10.0.0.20>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 MESSAGE\r\nRoute: "
        );
        [head.as_bytes(), route, b"\r\nContent-Length: 0\r\n\r\n"].concat()
    };
    let _ = say(&mut core, 1, REGISTRAR, &message(bytes, "b"));
    if let Some(path) = path {
        let _ = say(&mut core, 1, REGISTRAR, &message(&[path.as_bytes(), bytes].concat(), "c"));
    }
    core.input(Now { mono: Duration::from_secs(40), ..NOW }, Input::Timer);
    while core.output().is_some() {}
});

fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|b| *b == b'\n').filter_map(|l| std::str::from_utf8(l).ok()).map(|l| l.trim_end())
}

fn say(core: &mut Core, realm: u16, source: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let local = if realm == 0 { "198.51.100.1:5060" } else { "10.0.0.1:5060" };
    core.input(NOW, Input::Message {
        path: Path::Realm(realm),
        source: source.parse().expect("an address"),
        local: local.parse().expect("an address"),
        waited: Duration::ZERO,
        bytes,
    });
    std::iter::from_fn(|| core.output())
        .filter_map(|output| match output {
            Output::Send { path, destination, bytes, .. } => {
                let token = b"tnf1-";
                let shows = |text: &[u8]| text.windows(token.len()).any(|w| w == token);
                assert!(path == Path::Realm(1) || !shows(&bytes), "our Path is for the inside");
                Some((destination.to_string(), bytes))
            }
            _ => None,
        })
        .collect()
}
