//! A SIP flood as fast as the generator can, from 100,000 sources, by the same port on which a trusted trunk places calls with
//! media: no call fails, no media packet is lost, and neither plane grows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use tandem_e2e::generator::Generator;
use tandem_e2e::topology::{CALLER, CARRIER_TAP, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, Wires};

/// Seconds of calls alone, of the flood, and of calls alone again.
const BEFORE: u32 = 2;
const FLOOD: u32 = 8;
const AFTER: u32 = 2;
/// What a plane may grow by, in kilobytes: a table that the first calls fill, not one that grows with the flood's sources.
const GROWTH: u64 = 24 * 1024;

/// Both planes' resident memory in kilobytes, by their names.
fn memory(lab: &Lab) -> [u64; 2] {
    ["tandem-dataplane", "tandem-sigplane"].map(|name| {
        let pid = lab.pid(name).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    })
}

/// Calls of the trunk at this rate, up for two seconds, with media.
fn calls() -> String {
    Generator::calls(20.0, 200)
        + "hold = 2.0\nmedia_ports = [10000, 59998]\n\
           [pass]\nmax_lost = 0\nmax_failed_calls = 0\nmax_cut_calls = 0\nmin_answered_calls = 50\ngenerator_may_limit = true\n"
}

#[test]
fn a_flood_from_a_hundred_thousand_sources_does_not_touch_a_trunks_calls() {
    let lab = Lab::start(Options {
        wires: Wires::Memif,
        pool: vec![sip(SERVERS[0])],
        probe_interval: 0,
        ..Options::default()
    })
    .unwrap();
    // The way back to the flood's sources, as an appliance at its carrier's router has one.
    lab.appliance
        .run(&format!(
            "ip route add 198.18.0.0/15 via {CALLER} dev {CARRIER_TAP}"
        ))
        .unwrap();
    // What the first calls take once and for all is no growth.
    let warm = Generator::start(&lab, "warm", 3, &calls()).unwrap();
    warm.finish(Duration::from_secs(60)).unwrap();
    let before = lab.ctl().counters().unwrap();
    let memory_before = memory(&lab);

    let flood = format!(
        "[flood]\nport = \"carrier\"\ntarget = \"{}\"\nkinds = [\"invite\", \"register\", \"options\", \"broken\", \"garbage\"]\n\
         first_source = \"198.18.0.1\"\nsources = 100000\nbegin = {BEFORE}.0\nlength = {FLOOD}.0\n",
        sip(OUTSIDE)
    );
    let generator =
        Generator::start(&lab, "flood", BEFORE + FLOOD + AFTER, &(calls() + &flood)).unwrap();
    let report = generator.finish(Duration::from_secs(100)).unwrap();
    let memory_after = memory(&lab);

    let totals = &report["figures"]["totals"];
    let moved = lab.ctl().counters().unwrap().since(&before);
    println!(
        "flood {} frames; SIP {}; RTP {}; memory {memory_before:?} to {memory_after:?} KB; {moved:#?}",
        totals["raw"]["sent"], totals["sip"], totals["rtp"]
    );
    let sent = totals["raw"]["sent"].as_u64().unwrap();
    assert!(sent > 200_000 * u64::from(FLOOD) / 2, "{sent} frames");
    assert_eq!(
        report["verdict"]["passed"],
        true,
        "{}\n{}",
        report["verdict"],
        lab.daemons_said()
    );
    for (before, after) in memory_before.iter().zip(memory_after) {
        assert!(
            after < before + GROWTH,
            "{memory_before:?} to {memory_after:?} KB"
        );
    }
}
