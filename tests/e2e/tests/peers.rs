//! The control experiment: the peers and the measuring tools among themselves, without Tandem.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::Duration;

use tandem_e2e::baresip::Baresip;
use tandem_e2e::capture::Capture;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::SERVERS;
use tandem_e2e::{Lab, Options, wav};

#[test]
fn sipp_calls_sipp_and_every_packet_is_seen() {
    let lab = Lab::wires(Options::default()).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let capture = Capture::start(&lab, &lab.core, "wire", "lo").unwrap();
    let calls = Calls {
        from: SERVERS[1],
        to: SERVERS[0],
        count: 3,
        rate: 3,
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.core, "caller", &calls).unwrap();
    let tally = caller.finish(Duration::from_secs(20)).unwrap();
    assert_eq!((tally.made, tally.successful, tally.failed), (3, 3, 0));
    let seen = capture.finish().unwrap();
    let sent = seen.from(SERVERS[1]);
    // Two seconds of 50 packets a second, three times.
    assert!((270..=310).contains(&sent.len()), "{}", sent.len());
    assert_eq!(seen.from(SERVERS[0]), sent, "the echo");
}

#[test]
fn baresip_calls_baresip_and_both_are_heard() {
    let lab = Lab::wires(Options::default()).unwrap();
    let (here, there) = (wav::sweep(8_000, 12, 1), wav::sweep(8_000, 12, 4));
    let mut callee = Baresip::answering(&lab, &lab.core, "callee", SERVERS[0], &there).unwrap();
    let uri = format!("sip:callee@{}", SERVERS[0]);
    let mut caller = Baresip::calling(&lab, &lab.core, "caller", SERVERS[1], &here, &uri).unwrap();
    caller.wait_for_call(Duration::from_secs(10)).unwrap();
    tandem_e2e::wait::pass(Duration::from_secs(5)).unwrap();
    caller.quit().unwrap();
    callee.wait_for_end(Duration::from_secs(5)).unwrap();
    callee.quit().unwrap();
    let likeness = wav::compare(&here, &callee.heard().unwrap());
    assert!(likeness.is_the_same(), "{likeness:?}");
    let likeness = wav::compare(&there, &caller.heard().unwrap());
    assert!(likeness.is_the_same(), "{likeness:?}");
    let crossed = wav::compare(&here, &caller.heard().unwrap());
    assert!(!crossed.is_the_same(), "{crossed:?}");
}
