//! SIP that the dataplane shares among the media servers by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_e2e::sip::{Callee, Message, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);

fn lab(probe_interval: u32) -> Lab {
    let lab = Lab::start(Options {
        probe_interval,
        more: "[stateless]\nrealms = [\"carrier\"]\n".into(),
        ..Options::default()
    })
    .unwrap();
    assert_eq!(value(&lab, "stateless_not_taken"), 0);
    lab
}

fn value(lab: &Lab, name: &str) -> u64 {
    lab.ctl().counters().unwrap().value(name)
}

fn await_state(lab: &Lab, server: usize, wanted: &str) {
    let uri = format!("sip:{}", sip(SERVERS[server]));
    wait::until(format!("server {server} {wanted}"), SOON, || {
        let targets = lab.ctl().targets().unwrap_or_default();
        let mut ours = targets.iter().filter(|t| t.uri == uri);
        ours.any(|t| t.state == wanted).then_some(())
    })
    .unwrap();
}

/// Calls that have to go well; the Call-IDs contain the name.
fn call(lab: &Lab, name: &'static str, call_id: &'static str, count: u32) {
    let calls = Calls {
        count,
        rate: 20,
        talk: Duration::from_millis(500),
        call_id,
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &calls).unwrap();
    let tally = caller.finish(Duration::from_secs(40)).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (count.into(), 0),
        "{}",
        lab.daemons_said()
    );
}

/// The Call-IDs that contain this, of which a server has seen anything.
fn seen(lab: &Lab, name: &str, what: &str) -> BTreeSet<String> {
    let text = Server::was_told(lab, name).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("Call-ID: "))
        .filter(|call_id| call_id.contains(what))
        .map(str::to_owned)
        .collect()
}

#[test]
fn calls_are_shared_without_the_signaling_plane() {
    let mut lab = lab(2);
    let mut first = Server::listening(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::listening(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    await_state(&lab, 0, "active");
    await_state(&lab, 1, "active");
    let before = lab.ctl().counters().unwrap();
    call(&lab, "both", "both-%u@caller", 40);
    let after = lab.ctl().counters().unwrap();
    let moved = |name: &str| after.value(name) - before.value(name);
    // INVITE, ACK and BYE; 180, 200 and 200.
    assert!(
        moved("stateless_requests") >= 120,
        "{:?}",
        after.since(&before)
    );
    assert!(moved("stateless_responses") >= 120);
    assert_eq!(
        (moved("stateless_forged"), lab.cdr_count().unwrap()),
        (0, 0)
    );
    assert_eq!(lab.ctl().status().unwrap().confirmed_calls, 0);
    let by_server = ["server-1", "server-2"].map(|name| seen(&lab, name, "both-"));
    println!(
        "calls of each server: {:?}",
        by_server.each_ref().map(BTreeSet::len)
    );
    assert!(by_server.iter().all(|calls| calls.len() >= 10));
    // No call is known to both.
    assert_eq!(by_server[0].len() + by_server[1].len(), 40);
    assert!(by_server[0].is_disjoint(&by_server[1]));

    // The same without a signaling plane.
    lab.kill_sigplane();
    call(&lab, "alone", "alone-%u@caller", 40);
    let alone = ["server-1", "server-2"].map(|name| seen(&lab, name, "alone-"));
    assert!(alone.iter().all(|calls| calls.len() >= 8) && alone[0].is_disjoint(&alone[1]));
    assert_eq!(alone[0].len() + alone[1].len(), 40);

    // A server that is not there is passed over, as soon as that is known; the other one's calls stay with it.
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    await_state(&lab, 0, "active");
    first.kill();
    await_state(&lab, 0, "inactive");
    call(&lab, "last", "last-%u@caller", 20);
    assert_eq!(seen(&lab, "server-2", "last-").len(), 20);
}

#[test]
fn branches_replies_and_strangers() {
    let lab = lab(0);
    let server = Callee::new(lab.udp(&lab.core, sip(SERVERS[0])).unwrap()).unwrap();
    // The other one is taken out, so that this one has all calls.
    let other = format!("sip:{}", sip(SERVERS[1]));
    lab.ctl()
        .run(&["dispatcher", "set-state", "disabled", &other])
        .unwrap();
    let socket = lab.udp(&lab.carrier, (CALLER, 5_070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "stateless").unwrap();
    let invite = phone.invite("x", &sdp(CALLER, 7_000));
    let mut got = Vec::new();
    for request in [
        invite.clone(),
        invite.clone(),
        invite
            .replacen("INVITE", "CANCEL", 1)
            .replace("1 INVITE", "1 CANCEL"),
        invite
            .replacen("INVITE", "ACK", 1)
            .replace("1 INVITE", "1 ACK"),
    ] {
        phone.send(request.as_bytes()).unwrap();
        let method = request.split(' ').next().unwrap();
        got.push(server.expect(method, SOON).unwrap());
    }
    let top = |message: &Message| message.headers("Via")[0].to_owned();
    let branches: BTreeSet<_> = got.iter().map(|(message, _)| top(message)).collect();
    assert_eq!(branches.len(), 1, "{branches:?}");
    let (first, from) = &got[0];
    assert_eq!(first.headers("Via").len(), 2);
    assert_eq!(first.header("Max-Forwards"), "69");
    assert_eq!(first.headers("Record-Route").len(), 2);

    // A reply comes back; one that wants to go somewhere else does not.
    let answer = first.answer("486 Busy Here", sip(SERVERS[0]), "");
    let port = "5070";
    assert!(answer.contains(port), "{answer}");
    server.send(&answer.replace(port, "5071"), *from).unwrap();
    wait::until("the forged reply", SOON, || {
        (value(&lab, "stateless_forged") == 1).then_some(())
    })
    .unwrap();
    server.send(&answer, *from).unwrap();
    let heard = phone
        .expect("the answer", SOON, |m| m.code() >= 200)
        .unwrap();
    assert_eq!((heard.code(), heard.headers("Via").len()), (486, 1));

    // Whom nobody knows is the signaling plane's.
    let before = value(&lab, "stateless_up_source");
    let socket = lab.udp(&lab.carrier, (STRANGER, 5_070).into()).unwrap();
    let stranger = Phone::new(socket, sip(OUTSIDE), "stranger").unwrap();
    let refused = stranger
        .ask(&stranger.invite("x", &sdp(STRANGER, 7_000)), SOON)
        .unwrap();
    assert_eq!(refused.code(), 403, "{}", refused.text);
    assert!(value(&lab, "stateless_up_source") > before);
}
