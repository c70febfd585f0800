//! A controller that does not read: parts of its ring are not for everybody. With the real daemon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

mod lab;

use std::net::UdpSocket;
use std::time::Instant;

use lab::controller::Controller;
use lab::{Lab, Options, PATIENCE};
use tandem_link::{ClassifiedSource, Command, SourceClass};

/// A request that begins something, or a response: what belongs to something that is there.
fn message(is_new: bool, number: u64) -> Vec<u8> {
    let line = match is_new {
        true => "OPTIONS sip:10.1.0.1 SIP/2.0",
        false => "SIP/2.0 200 OK",
    };
    let mut text = format!(
        "{line}\r\nVia: SIP/2.0/UDP 10.1.0.2;branch=z9hG4bK{number}\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\n\
         Call-ID: {number}@10.1.0.2\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\nSubject: "
    );
    text += &"x".repeat(1_000);
    (text + "\r\n\r\n").into_bytes()
}

/// Sends until such are dropped for this reason; answers how many the ring has had by then.
fn fill(controller: &mut Controller, from: &UdpSocket, is_new: bool, reason: &str) -> u64 {
    let before = controller.counter(reason);
    let since = Instant::now();
    let mut number = 0;
    while controller.counter(reason) < before + 10 {
        for _ in 0..20 {
            number += 1;
            from.send_to(&message(is_new, number), "10.1.0.1:5060")
                .unwrap();
        }
        assert!(since.elapsed() < PATIENCE, "{reason} does not move");
    }
    controller.counter("sip_received")
}

/// Says who the sender is, in a full set.
fn classify(controller: &mut Controller, class: SourceClass) {
    controller.ok(Command::ClassifyAll);
    controller.ok(Command::Classify(vec![ClassifiedSource {
        source: "10.1.0.2".parse().unwrap(),
        length: 32,
        class,
        left_ms: u64::MAX,
    }]));
    controller.ok(Command::ClassifyDone);
}

#[test]
fn what_of_a_ring_is_kept_for_whom() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let from = lab.udp("x", "10.1.0.2:5060");
    let (new, other) = ("sip_ring_crowded", "sip_ring_reserved");
    // A stranger begins something until a quarter is full, and goes on until a half is.
    let quarter = fill(&mut controller, &from, true, new);
    let mut filled = vec![fill(&mut controller, &from, false, other)];
    // Who is registered begins nothing more then, but goes on; who is trusted begins until three quarters are, and goes on to
    // the end.
    classify(&mut controller, SourceClass::Registered);
    assert_eq!(fill(&mut controller, &from, true, new), filled[0]);
    filled.push(fill(&mut controller, &from, false, other));
    classify(&mut controller, SourceClass::Trusted);
    assert_eq!(fill(&mut controller, &from, true, new), filled[1]);
    filled.push(fill(&mut controller, &from, false, "sip_ring_full"));
    println!("{quarter}, {filled:?} messages");
    for (filled, quarters) in filled.iter().zip([2, 3, 4]) {
        let wanted = quarter * quarters;
        assert!(
            filled.abs_diff(wanted) * 20 < wanted,
            "{filled} of {wanted}"
        );
    }
    assert_eq!(lab.stop(), Some(0));
}
