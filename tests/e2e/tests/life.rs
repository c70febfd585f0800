//! What a dataplane lives through: a time that stands still, and links that come and go.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tandem_e2e::capture::Capture;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CARRIER_LINK, OUTSIDE, SERVERS};
use tandem_e2e::{Lab, Options, wait};

const CALLS: u32 = 10;

/// How long it stands still.
const STALL: Duration = Duration::from_secs(10);

/// The calls' media would time out in less than that.
const MEDIA_TIMEOUT: u32 = 5;

#[test]
fn a_dataplane_that_stood_still_for_ten_seconds_relays_at_once_and_no_call_ends() {
    let options = Options {
        media_timeout: MEDIA_TIMEOUT,
        probe_interval: 0,
        ..Options::default()
    };
    let mut lab = Lab::start(options).unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let calls = Calls {
        count: CALLS,
        rate: CALLS,
        talk: STALL + Duration::from_secs(4),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let ctl = lab.ctl();
    let all_up = |s: &tandem_admin::Status| s.confirmed_calls == u64::from(CALLS);
    wait::until("all calls up", Duration::from_secs(20), || {
        ctl.status().ok().filter(all_up)
    })
    .unwrap();
    let before = ctl.counters().unwrap();
    lab.signal_dataplane(Signal::SIGSTOP).unwrap();
    wait::pass(STALL).unwrap();
    lab.signal_dataplane(Signal::SIGCONT).unwrap();
    let since = Instant::now();
    // Packets go through again, those first that waited in its queues.
    let relayed = before.value("relayed") + 1_000;
    wait::until("packets are relayed", Duration::from_secs(5), || {
        (ctl.counters().ok()?.value("relayed") > relayed).then_some(())
    })
    .unwrap();
    println!("relaying after {:?}", since.elapsed());
    let tally = caller.finish(STALL + Duration::from_secs(20)).unwrap();
    let good = (tally.successful, tally.failed);
    assert_eq!(good, (u64::from(CALLS), 0), "{}", lab.daemons_said());
    lab.wait_until_quiet(u64::from(CALLS), Duration::from_secs(20))
        .unwrap();
    let after = ctl.counters().unwrap();
    let moved = |name: &str| after.value(name) - before.value(name);
    assert!(moved("control_gaps") >= 1);
    assert_eq!(moved("calls_media_timeout"), 0, "{}", lab.daemons_said());
    let gap = outside.finish().unwrap().longest_gap(OUTSIDE);
    println!("the longest silence was {gap:?}");
    assert!(gap < STALL + Duration::from_millis(1_500), "{gap:?}");
}
