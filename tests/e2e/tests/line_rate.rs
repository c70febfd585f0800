//! What tandem-load sends over shared memory, and what becomes of it: ten thousand calls with media, and thousands of calls a second.
//!
//! In `make test` the daemons are development builds that share two processors with the generator, so the ten thousand calls send a packet
//! each 100 ms: 200,000 packets a second in all. `make nightly` has release builds and 20 ms.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_e2e::generator::Generator;
use tandem_e2e::topology::{SERVERS, sip};
use tandem_e2e::{Lab, Options, Wires, wait};

/// A wish of whoever runs the tests.
fn wish(name: &str, or: u32) -> u32 {
    let value = std::env::var(name).ok().and_then(|v| v.parse().ok());
    value.unwrap_or(or)
}

fn options(media_ports: (u16, u16)) -> Options {
    Options {
        wires: Wires::Memif,
        pool: vec![sip(SERVERS[0])],
        probe_interval: 0,
        media_ports,
        // A hiccup of the machine is no overload: nobody is refused.
        more: "[overload]\ntarget = 0\n".to_owned(),
        ..Options::default()
    }
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

/// A number in a report.
fn number(report: &Value, path: &str) -> f64 {
    let found = report.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("{path} in {report}"))
}

/// What was lost and sent in the seconds that have a part in this time.
fn media(report: &Value, (from, to): (f64, f64)) -> (f64, f64) {
    let started = number(report, "/figures/started_s");
    let samples = report
        .pointer("/figures/samples")
        .and_then(Value::as_array)
        .unwrap();
    let inside = samples.iter().filter(|s| {
        let end = started + number(s, "/at_s");
        end > from && end - number(s, "/length_s") < to
    });
    inside.fold((0.0, 0.0), |(lost, sent), s| {
        (lost + number(s, "/rtp/lost"), sent + number(s, "/rtp/sent"))
    })
}

/// Waits until so many calls are up.
fn until_up(lab: &Lab, calls: u32) {
    let up = || {
        let status = lab.ctl().status().ok()?;
        (status.confirmed_calls >= u64::from(calls)).then_some(())
    };
    wait::until(format!("{calls} calls"), Duration::from_secs(120), up).unwrap();
}

const CALLS: u32 = 10_000;
/// Nothing else happens in so many seconds.
const CALM: Duration = Duration::from_secs(2);

#[test]
fn ten_thousand_calls_lose_no_packet_by_a_restart_of_the_signaling_plane() {
    let mut lab = Lab::start(options((20_000, 59_999))).unwrap();
    let (rate, ptime) = (
        wish("TANDEM_LINE_RATE_CPS", 800),
        wish("TANDEM_LINE_RATE_PTIME", 100),
    );
    let sections = Generator::calls(rate.into(), CALLS)
        + &format!("ptime = {ptime}\nmedia_ports = [10000, 59998]\n");
    let mut generator = Generator::start(&lab, "calls", 600, &sections).unwrap();
    until_up(&lab, CALLS);
    std::thread::sleep(CALM);

    // What the machine itself costs comes and goes: the better of two.
    let mut phases = Vec::new();
    for _ in 0..2 {
        let before = now();
        lab.kill_sigplane();
        lab.start_sigplane().unwrap();
        lab.wait_until_ready().unwrap();
        until_up(&lab, CALLS);
        std::thread::sleep(CALM);
        let between = now();
        // As long without.
        std::thread::sleep(Duration::from_secs_f64(between - before));
        phases.push(((before, between), (between, now())));
    }
    assert_eq!(lab.ctl().status().unwrap().calls, u64::from(CALLS));
    generator.process().signal(Signal::SIGTERM).unwrap();
    let report = generator.finish(Duration::from_secs(200)).unwrap();

    let mut best = f64::INFINITY;
    for (killed, calm) in phases {
        let ((lost, sent), (lost_calm, sent_calm)) = (media(&report, killed), media(&report, calm));
        println!(
            "{:.1} s with a restart: {lost} of {sent} lost; without: {lost_calm} of {sent_calm}",
            killed.1 - killed.0
        );
        // Most of the packets were really sent: nothing is lost of what is not.
        let scheduled = f64::from(2 * CALLS * 1000 / ptime) * (killed.1 - killed.0);
        assert!(sent > 0.3 * scheduled, "{sent} of {scheduled}");
        best = best.min(lost - lost_calm);
    }
    let total = |path: &str| number(&report, &format!("/figures/totals{path}"));
    println!(
        "{} begun, {} answered, {} completed; {} packets, {} lost; generator skipped {}, missed {}, longest gap {} ms",
        total("/sip/calls_attempted"),
        total("/sip/calls_answered"),
        total("/sip/calls_completed"),
        total("/rtp/sent"),
        total("/rtp/lost"),
        total("/generator/skipped"),
        total("/generator/missed"),
        total("/generator/longest_gap_ns") / 1e6
    );
    assert!(
        best <= 0.0,
        "{best} packets more with a restart than without"
    );
    // Each of them ends properly afterwards.
    assert_eq!(total("/sip/calls_answered"), f64::from(CALLS));
    assert_eq!(
        total("/sip/calls_completed"),
        f64::from(CALLS),
        "{}",
        report["figures"]["totals"]["sip"]
    );
    assert_eq!(
        (total("/sip/calls_cut"), total("/rtp/misdelivered")),
        (0.0, 0.0)
    );
    until_empty(&lab);
}

/// Waits until no call and no flow is left in either plane.
fn until_empty(lab: &Lab) {
    let ctl = lab.ctl();
    let empty = || {
        let status = ctl.status().ok()?;
        let flows = ctl.counters().ok()?.value("flows");
        ((status.calls, status.flows, flows) == (0, 0, 0)).then_some(())
    };
    wait::until("the end of all calls", Duration::from_secs(60), empty).unwrap();
}

/// Calls a second.
const CHURN: u32 = 2_000;

#[test]
fn flows_come_and_go_thousands_of_times_a_second_and_nothing_is_left() {
    let seconds = wish("TANDEM_CHURN_SECONDS", 60);
    let rate = wish("TANDEM_CHURN_CPS", CHURN);
    // One port pair that is left over in fifty calls would be missed before the end.
    let lab = Lab::start(options((30_000, 33_999))).unwrap();
    let calls = |seconds| {
        let sections = Generator::calls(rate.into(), 1_900)
            + "hold = 0.3\nptime = 100\nmedia_ports = [10000, 59998]\n";
        let generator = Generator::start(&lab, "churn", seconds, &sections).unwrap();
        generator
            .finish(Duration::from_secs(u64::from(seconds) + 60))
            .unwrap()
    };
    // What the first calls take once and for all is no leak.
    calls(2);
    until_empty(&lab);
    let before = lab.ctl().counters().unwrap();
    let report = calls(seconds);
    until_empty(&lab);

    let total = |path: &str| number(&report, &format!("/figures/totals{path}"));
    let answered = total("/sip/calls_answered");
    println!(
        "{answered} calls in {seconds} s, {:.0} a second; failed {}; {} packets, {} lost; sigplane {:.1} s of processor time",
        answered / f64::from(seconds),
        report["figures"]["totals"]["sip"]["calls_failed"],
        total("/rtp/sent"),
        total("/rtp/lost"),
        lab.sigplane_time().unwrap(),
    );
    // How many a machine carries that is busy with other things is its own affair; that nothing is left is ours.
    let least = f64::from(rate * seconds) * 0.5;
    assert!(answered >= least, "{}", report["figures"]["totals"]["sip"]);
    assert_eq!(answered, total("/sip/calls_completed"));
    let mbufs = || {
        let after = lab.ctl().counters().ok()?;
        (after.value("mbufs_in_use") <= before.value("mbufs_in_use")).then_some(after)
    };
    let after = wait::until("packet buffers coming back", Duration::from_secs(20), mbufs).unwrap();
    assert_eq!(
        after.value("media_ports_exhausted"),
        before.value("media_ports_exhausted")
    );
}

#[test]
fn a_search_brings_up_so_many_calls_and_says_what_was_carried() {
    let lab = Lab::start(options((30_000, 33_999))).unwrap();
    // More than one trial: what the last one carried is nothing that the first one lost.
    let sections = Generator::calls(200.0, 1)
        + "ptime = 100\n[search]\nfrom = 50\nto = 150\nresolution = 60\ntrial = 1\n";
    let generator = Generator::search(&lab, "search", &sections).unwrap();
    let report = generator.finish(Duration::from_secs(90)).unwrap();
    let trials = report.pointer("/trials").and_then(Value::as_array).unwrap();
    println!("{trials:?}");
    assert_eq!(number(&report, "/trials/0/rate"), 150.0);
    let carried = trials.iter().filter(|t| t["carried"] == true);
    let best = carried.map(|t| number(t, "/rate")).fold(0.0, f64::max);
    assert!(best >= 50.0, "{trials:?}");
    assert_eq!(number(&report, "/figures/totals/sip/calls_completed"), best);
    until_empty(&lab);
}
