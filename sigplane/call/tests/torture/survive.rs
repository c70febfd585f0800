//! What no decision looks at passes byte for byte and in order.

use proptest::prelude::*;

use tandem_call::{Input, Output, Path};

use crate::*;

/// What the core sends to the pool, as bytes.
fn passed_on(bytes: &[u8]) -> Vec<u8> {
    let mut world = world();
    world.core.input(
        world.now,
        Input::Message {
            path: Path::Realm(0),
            source: CARRIER.parse().unwrap(),
            local: OUTSIDE.parse().unwrap(),
            waited: std::time::Duration::ZERO,
            bytes,
        },
    );
    std::iter::from_fn(|| world.core.output())
        .find_map(|output| match output {
            Output::Send {
                destination, bytes, ..
            } if destination.ip().to_string().starts_with("10.") => Some(bytes),
            _ => None,
        })
        .expect("a message at the pool")
}

/// Bytes of a header's value: no line ends, no white space around it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        any::<u8>().prop_filter("no line end", |b| !matches!(b, b'\r' | b'\n')),
        0..60,
    )
    .prop_map(|v| v.trim_ascii().to_vec())
}

proptest! {
    #[test]
    fn unknown_headers_and_bodies_survive(
        values in proptest::collection::vec(value(), 0..20),
        body in proptest::collection::vec(any::<u8>(), 0..400),
        invite: bool,
    ) {
        let method = if invite { "INVITE" } else { "FROBNICATE" };
        let mut text = format!(
            "{method} sip:100@198.51.100.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
             From: {CALLER}\r\nTo: {CALLED}\r\nCall-ID: s\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:user@{CARRIER}>\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n", body.len()).into_bytes();
        let mut wanted: Vec<Vec<u8>> = Vec::new();
        for (n, value) in values.iter().enumerate() {
            let line = [format!("X-Odd-{n}: ").as_bytes(), value].concat();
            text.extend_from_slice(&line);
            text.extend_from_slice(b"\r\n");
            wanted.push(line);
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&body);
        let sent = passed_on(&text);
        let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        prop_assert_eq!(&sent[end + 4..], &body[..]);
        let lines: Vec<Vec<u8>> = sent[..end]
            .split(|b| *b == b'\n')
            .filter(|line| line.starts_with(b"X-Odd-"))
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
            .collect();
        prop_assert_eq!(lines, wanted);
    }
}
