//! Twenty calls a second with media in both directions: nothing fails, nothing is lost unseen,
//! nothing is left over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_e2e::capture::{Capture, missing};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, CORE_LINK, INSIDE, OUTSIDE, SERVERS};
use tandem_e2e::{Lab, Options};

/// `rate` calls a second for so many seconds; returns the counters that moved.
fn load(options: Options, rate: u32, seconds: u32) -> BTreeMap<String, u64> {
    let lab = Lab::start(options).unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();
    let before = lab.ctl().counters().unwrap();

    let count = rate * seconds;
    let calls = Calls {
        count,
        rate,
        talk: Duration::from_secs(3),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let tally = caller
        .finish(Duration::from_secs(u64::from(seconds) + 45))
        .unwrap();
    assert_eq!(tally.made, u64::from(count));
    assert_eq!(
        (tally.successful, tally.failed),
        (u64::from(count), 0),
        "{}",
        lab.daemons_said()
    );
    lab.wait_until_quiet(u64::from(count), Duration::from_secs(20))
        .unwrap();

    let after = lab.ctl().counters().unwrap();
    let (outside, inside) = (outside.finish().unwrap(), inside.finish().unwrap());
    let inward = missing(&outside.from(CALLER), &inside.from(INSIDE));
    let outward = missing(&inside.to(INSIDE), &outside.from(OUTSIDE));
    let sent = (outside.from(CALLER).len(), inside.to(INSIDE).len());
    let moved: BTreeMap<String, u64> = after.since(&before).into_iter().collect();
    println!("{count} calls, sent {sent:?}, lost {inward} inward, {outward} outward; {moved:#?}");
    assert!(
        sent.0 > usize::try_from(count * 100).unwrap(),
        "media in both directions: {sent:?}"
    );
    assert!(
        sent.1 > usize::try_from(count * 100).unwrap(),
        "media in both directions: {sent:?}"
    );
    // Each packet that did not come through is in exactly one counter.
    let drops = after.media_drops_since(&before);
    assert_eq!(
        u64::try_from(inward + outward).unwrap(),
        drops,
        "{moved:#?}"
    );
    moved
}

/// So few ports that one left over in ten calls would be missed before the end.
const PORTS: (u16, u16) = (30_000, 30_255);

#[test]
fn twenty_calls_a_second_for_thirty_seconds() {
    load(
        Options {
            media_ports: PORTS,
            ..Options::default()
        },
        20,
        30,
    );
}

#[test]
fn two_workers_with_every_packet_on_the_wrong_core() {
    let options = Options {
        workers: vec![0, 1],
        rx_workers: vec![0],
        relay_workers: vec![1],
        media_ports: PORTS,
        ..Options::default()
    };
    let moved = load(options, 20, 30);
    let value = |name: &str| moved.get(name).copied().unwrap_or(0);
    assert!(value("relayed") > 0);
    // What worker 0 received was all given to worker 1.
    assert_eq!(value("taken_over"), value("handed_over"), "{moved:#?}");
    assert!(value("taken_over") >= value("relayed"), "{moved:#?}");
}

#[test]
#[ignore = "a quarter of an hour: make nightly"]
fn soak() {
    // Slower, so that what is captured of it stays within a gigabyte.
    load(
        Options {
            media_ports: PORTS,
            ..Options::default()
        },
        5,
        900,
    );
}
