//! What dies, and what goes on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::{Duration, Instant};

use tandem_e2e::capture::{Capture, missing};
use tandem_e2e::sip::{Message, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, CORE_LINK, INSIDE, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, Result, wait};

const SOON: Duration = Duration::from_secs(20);
const CALLS: u32 = 10;

/// A phone whose Call-ID differs from try to try.
fn phone(lab: &Lab, port: u16, name: &str) -> Phone {
    let socket = lab.udp(&lab.carrier, (CALLER, port).into()).unwrap();
    Phone::new(socket, sip(OUTSIDE), name).unwrap()
}

/// Calls and hangs up; how long the answer took.
fn call(phone: &Phone) -> Result<Duration> {
    let begin = Instant::now();
    let answer: Message = phone.ask(&phone.invite("x", &sdp(CALLER, 7_000)), SOON)?;
    let took = begin.elapsed();
    assert_eq!(answer.code(), 200, "{}", answer.text);
    phone.acknowledge(&answer)?;
    assert_eq!(phone.hang_up(&answer)?.code(), 200);
    Ok(took)
}

#[test]
fn a_call_in_setup_fails_over_when_its_server_falls_silent() {
    let options = Options {
        probe_interval: 0,
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    // The first server takes the INVITE and says nothing: it was killed behind its socket.
    let silent = lab.udp(&lab.core, sip(SERVERS[0])).unwrap();
    silent.set_nonblocking(true).unwrap();
    let _other = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let mut calls = 0;
    let took = (0..40)
        .find_map(|i| {
            let took = call(&phone(&lab, 5_100 + i, &format!("silent-{i}"))).unwrap();
            calls += 1;
            silent.recv(&mut [0; 4_096]).ok().map(|_| took)
        })
        .expect("the hash gives the first server no call");
    println!("answered by the other server after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(lab.ctl().counters().unwrap().value("failover_silence"), 1);
    lab.wait_until_quiet(calls, SOON).unwrap();
}

#[test]
fn a_killed_server_is_passed_over_and_found_again() {
    let lab = Lab::start(Options::default()).unwrap();
    let mut first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let state = |wanted: &str| {
        let uri = format!("sip:{}", sip(SERVERS[0]));
        wait::until(format!("server-1 {wanted}"), SOON, || {
            let targets = lab.ctl().targets().unwrap_or_default();
            targets
                .iter()
                .any(|t| t.uri == uri && t.state == wanted)
                .then_some(())
        })
        .unwrap();
    };
    state("active");
    first.kill();
    // Until the probe sees it, every call that was to go there goes to the other one.
    for i in 0..8 {
        let took = call(&phone(&lab, 5_200 + i, &format!("killed-{i}"))).unwrap();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    let counters = lab.ctl().counters().unwrap();
    println!(
        "failovers by ICMP: {}",
        counters.value("failover_unreachable")
    );
    state("inactive");
    let _first = Server::start(&lab, &lab.core, "server-1-again", SERVERS[0]).unwrap();
    state("active");
    lab.wait_until_quiet(8, SOON).unwrap();
}

/// Calls of `talk`, during which `disturb` is done; returns lost sequence numbers and the longest
/// gap that the caller heard.
fn disturbed(
    lab: &mut Lab,
    name: &str,
    talk: Duration,
    disturb: impl FnOnce(&mut Lab),
) -> (usize, Duration) {
    let outside =
        Capture::start(lab, &lab.carrier, &format!("{name}-outside"), CARRIER_LINK).unwrap();
    let inside = Capture::start(lab, &lab.core, &format!("{name}-inside"), CORE_LINK).unwrap();
    let calls = Calls {
        count: CALLS,
        rate: CALLS,
        talk,
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &calls).unwrap();
    let ctl = lab.ctl();
    wait::until("all calls up", SOON, || {
        ctl.status()
            .ok()
            .filter(|s| s.confirmed_calls == u64::from(CALLS))
    })
    .unwrap();
    disturb(lab);
    let tally = caller.finish(talk + SOON).unwrap();
    let good = (tally.successful, tally.failed);
    assert_eq!(
        good,
        (u64::from(CALLS), 0),
        "every call ends by BYE: {}",
        lab.daemons_said()
    );
    let (outside, inside) = (outside.finish().unwrap(), inside.finish().unwrap());
    let lost = missing(&outside.from(CALLER), &inside.from(INSIDE))
        + missing(&inside.to(INSIDE), &outside.from(OUTSIDE));
    (lost, outside.longest_gap(OUTSIDE))
}

#[test]
fn the_signaling_plane_is_killed_and_no_packet_is_lost_by_it() {
    let mut lab = Lab::start(Options::default()).unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let talk = Duration::from_secs(8);
    let (without, _) = disturbed(&mut lab, "undisturbed", talk, |_| ());
    lab.wait_until_quiet(u64::from(CALLS), SOON).unwrap();
    let (with, gap) = disturbed(&mut lab, "killed", talk, |lab| {
        lab.kill_sigplane();
        wait::pass(Duration::from_secs(1)).unwrap();
        lab.start_sigplane().unwrap();
        lab.wait_until_ready().unwrap();
        assert_eq!(
            lab.ctl().status().unwrap().confirmed_calls,
            u64::from(CALLS)
        );
    });
    println!("lost {without} without, {with} with a kill; longest gap {gap:?}");
    assert!(with <= without, "lost {with}, without a kill {without}");
    lab.wait_until_quiet(2 * u64::from(CALLS), SOON).unwrap();
    let twice = lab
        .sql("SELECT callid FROM cdr GROUP BY callid HAVING count(*) > 1")
        .unwrap();
    assert!(twice.is_empty(), "{twice}");
}

#[test]
fn the_dataplane_is_killed_and_the_same_calls_go_on() {
    let mut lab = Lab::start(Options::default()).unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let (lost, gap) = disturbed(&mut lab, "calls", Duration::from_secs(10), |lab| {
        let before: Vec<u64> = lab.ctl().calls().unwrap().iter().map(|c| c.key).collect();
        lab.kill_dataplane();
        lab.start_dataplane().unwrap();
        lab.wait_until_ready().unwrap();
        let after: Vec<u64> = lab.ctl().calls().unwrap().iter().map(|c| c.key).collect();
        assert_eq!(before, after);
    });
    println!("the longest silence was {gap:?}, {lost} packets lost");
    assert!(gap < Duration::from_secs(2), "{gap:?}");
    lab.wait_until_quiet(u64::from(CALLS), SOON).unwrap();
}

#[test]
fn a_call_without_media_is_ended_on_both_sides() {
    let options = Options {
        media_timeout: 3,
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let phone = phone(&lab, 5_070, "silence");
    let answer = phone
        .ask(&phone.invite("x", &sdp(CALLER, 7_000)), SOON)
        .unwrap();
    phone.acknowledge(&answer).unwrap();
    phone
        .expect("the BYE", SOON, |m| m.text.starts_with("BYE "))
        .unwrap();
    lab.wait_until_quiet(1, Duration::from_secs(60)).unwrap();
    assert_eq!(
        lab.sql("SELECT cause FROM cdr").unwrap().trim(),
        "media-timeout"
    );
}
