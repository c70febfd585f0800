//! More calls than can be served: as many are served as can be, the rest is told so at once, and what was
//! set up is not hurt.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use tandem_e2e::sipp::{Caller, Calls, Progress, Server};
use tandem_e2e::topology::SERVERS;
use tandem_e2e::{Lab, Options, wait};

/// The signaling plane's share of one processor, in percent: so little that one sipp offers several
/// times what can be served.
const SHARE: u32 = 10;
/// How long a call talks, in seconds.
const TALK: u32 = 3;
/// Until goodput has settled, in seconds.
const SETTLE: f64 = 3.0;

/// What has to be left of the goodput. Without optimisation reading a call that is refused costs a larger part
/// of what serving it does.
const FLAT: f64 = if cfg!(debug_assertions) { 0.7 } else { 0.9 };

/// What came of an offered rate.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// Calls a second that were set up, once it had settled.
    goodput: f64,
    /// Calls a second that were offered in that time.
    offered: f64,
    /// Of one processor, what the signaling plane had.
    share: f64,
}

/// Offers so many calls a second for so many seconds.
fn offer(lab: &Lab, rate: u32, seconds: u32) -> Outcome {
    let calls = Calls {
        scenario: "load.xml",
        count: rate * seconds,
        rate,
        talk: Duration::from_secs(TALK.into()),
        ..Calls::default()
    };
    let before = lab.ctl().counters().unwrap();
    let caller = Caller::start(lab, &lab.carrier, "load", &calls).unwrap();
    let limit = Duration::from_secs(u64::from(seconds) + 20);
    // A window that begins when it has settled and ends with the last call.
    let settled = wait::until("goodput settles", limit, || {
        let progress = caller.progress();
        (progress.elapsed >= SETTLE).then_some(progress)
    })
    .unwrap();
    let time = lab.sigplane_time().unwrap();
    let last = wait::until("all calls are offered", limit, || {
        let progress = caller.progress();
        (progress.elapsed >= f64::from(seconds) - 0.5).then_some(progress)
    })
    .unwrap();
    let time = lab.sigplane_time().unwrap() - time;
    let share = time / (last.elapsed - settled.elapsed);
    let (goodput, offered) = progress_of(settled, last);
    let end = caller.finish_counted(Duration::from_secs(90)).unwrap();
    let outcome = Outcome {
        goodput,
        offered,
        share,
    };
    let Outcome {
        goodput,
        offered,
        share,
    } = outcome;
    println!(
        "{offered:.0} offered, {goodput:.0} set up a second with {:.1} % of a processor; {end:?}",
        share * 100.0
    );
    assert_eq!(
        end.answered,
        end.ended,
        "an established call failed: {:?}",
        lab.ctl().counters().unwrap().since(&before)
    );
    outcome
}

/// Calls a second that were answered, and offered, between two moments.
fn progress_of(from: Progress, to: Progress) -> (f64, f64) {
    let time = to.elapsed - from.elapsed;
    let rate = |from: u64, to: u64| (to - from) as f64 / time;
    (rate(from.answered, to.answered), rate(from.made, to.made))
}

#[test]
fn goodput_stays_at_twice_and_five_times_what_can_be_served_and_no_established_call_fails() {
    let seconds = std::env::var("TANDEM_OVERLOAD_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(20);
    let mut lab = Lab::start(Options {
        pool: SERVERS.map(tandem_e2e::topology::sip).to_vec(),
        probe_interval: 0,
        media_timeout: 0,
        // The share comes in portions of a millisecond: between two of them everything waits.
        // And no INVITE is to be repeated for that: this sipp as a server forgets its 200 then.
        sip: "t1 = 4000\n".to_owned(),
        more: "[overload]\ntarget = 20\n".to_owned(),
        ..Options::default()
    })
    .unwrap();
    let _servers = SERVERS.map(|address| {
        Server::start(&lab, &lab.core, &format!("server-{address}"), address).unwrap()
    });
    lab.limit_sigplane(SHARE).unwrap();

    // Upwards until it is too much.
    let mut peak: f64 = 0.0;
    let mut rate = 100;
    loop {
        let outcome = offer(&lab, rate, 8);
        peak = peak.max(outcome.goodput);
        // Not because the machine had something else to do.
        let is_used_up = outcome.share > 0.95 * f64::from(SHARE) / 100.0;
        if is_used_up && outcome.goodput < 0.9 * outcome.offered {
            break;
        }
        rate = (rate * 5).div_ceil(3);
        assert!(rate < 5_000, "it cannot be overloaded");
    }
    println!("at most {peak:.0} calls a second");
    for times in [2.0, 5.0] {
        let offered = (peak * times).ceil() as u32;
        let outcome = offer(&lab, offered, seconds);
        assert!(outcome.offered > 1.6 * peak, "sipp did not keep up");
        assert!(
            outcome.goodput >= FLAT * peak,
            "{:.0} calls a second of {offered} offered, where {peak:.0} can be served: {:?}",
            outcome.goodput,
            lab.ctl().counters().unwrap().value("overload_refused")
        );
    }
    // What did not even fit into the ring was new, but for a few (the ACKs of refused calls look like others).
    let counters = lab.ctl().counters().unwrap();
    let (full, taken) = (
        counters.value("sip_ring_full"),
        counters.value("sip_received"),
    );
    let crowded = counters.value("sip_ring_crowded");
    println!("{taken} datagrams taken, {crowded} new requests left out, {full} others lost");
    assert!(full * 100 < taken, "{full} of {taken} datagrams were lost");
    assert!(lab.daemons_run());
}
