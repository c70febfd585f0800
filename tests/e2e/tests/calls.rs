//! Single calls through both planes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::HashSet;
use std::time::Duration;

use tandem_e2e::baresip::Baresip;
use tandem_e2e::capture::{Capture, missing};
use tandem_e2e::sip::{Callee, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{
    CALLER, CALLER6, CARRIER_LINK, CORE_LINK, INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, SERVER6, SERVERS,
    STRANGER, TRUNK, sip,
};
use tandem_e2e::{Lab, Options, wav};

const SOON: Duration = Duration::from_secs(15);

/// One call by sipp with RTP in both directions: what each side sees, what is written down.
fn one_call(options: Options, calls: &Calls, server: std::net::IpAddr) -> Lab {
    let lab = Lab::start(options).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", server).unwrap();
    let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();

    let caller = Caller::start(&lab, &lab.carrier, "caller", calls).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (1, 0),
        "{}",
        lab.daemons_said()
    );

    let (outside, inside) = (outside.finish().unwrap(), inside.finish().unwrap());
    let our_inside = if calls.from.is_ipv4() {
        INSIDE
    } else {
        INSIDE6
    };
    let sent = outside.from(calls.from);
    assert!(sent.len() > 80, "{} packets sent", sent.len());
    assert_eq!(
        inside.from(our_inside),
        sent,
        "from the caller to the server"
    );
    let echoed = missing(&inside.to(our_inside), &outside.from(calls.to));
    assert_eq!(echoed, 0, "from the server to the caller");
    let vlans: HashSet<_> = outside.packets.iter().map(|p| p.vlan).collect();
    assert_eq!(vlans, HashSet::from([lab.options().vlan]));
    for p in inside
        .packets
        .iter()
        .filter(|p| p.source.ip() == our_inside)
    {
        assert_eq!((p.dscp, p.ttl), (46, 64));
        assert_eq!(p.destination.ip(), server);
    }
    lab.wait_until_quiet(1, SOON).unwrap();
    let cdr = lab
        .sql("SELECT direction, sip_code, cause, caller_packets, callee_packets, caller_lost FROM cdr")
        .unwrap();
    let expected = format!(
        "inbound|200|caller|{}|{}|0",
        sent.len(),
        inside.to(our_inside).len()
    );
    assert_eq!(cdr.trim(), expected);
    lab
}

#[test]
fn sipp_talks_through_both_planes() {
    drop(one_call(Options::default(), &Calls::default(), SERVERS[0]));
}

#[test]
fn sipp_talks_over_ipv6() {
    let options = Options {
        pool: vec![sip(SERVER6)],
        ..Options::default()
    };
    let calls = Calls {
        from: CALLER6,
        to: OUTSIDE6,
        ..Calls::default()
    };
    drop(one_call(options, &calls, SERVER6));
}

#[test]
fn sipp_talks_in_a_vlan() {
    let options = Options {
        vlan: Some(100),
        ..Options::default()
    };
    drop(one_call(options, &Calls::default(), SERVERS[0]));
}

#[test]
fn baresip_hears_baresip_in_both_directions() {
    let options = Options {
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let (here, there) = (wav::sweep(8_000, 15, 1), wav::sweep(8_000, 15, 4));
    let mut callee = Baresip::answering(&lab, &lab.core, "callee", SERVERS[0], &there).unwrap();
    let uri = format!("sip:callee@{OUTSIDE}");
    let mut caller = Baresip::calling(&lab, &lab.carrier, "caller", CALLER, &here, &uri).unwrap();
    caller.wait_for_call(SOON).unwrap();
    tandem_e2e::wait::pass(Duration::from_secs(6)).unwrap();
    caller.quit().unwrap();
    callee.wait_for_end(SOON).unwrap();
    callee.quit().unwrap();
    for (sent, heard, who) in [
        (&here, callee.heard().unwrap(), "callee"),
        (&there, caller.heard().unwrap(), "caller"),
    ] {
        let likeness = wav::compare(sent, &heard);
        println!("{who} heard: {likeness:?}");
        assert!(likeness.is_the_same(), "{who}: {likeness:?}");
    }
    lab.wait_until_quiet(1, SOON).unwrap();
}

#[test]
fn the_server_hangs_up() {
    let options = Options {
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let talk = Duration::from_millis(500);
    let _server = Server::with(
        &lab,
        &lab.core,
        "server",
        SERVERS[0],
        "server-bye.xml",
        talk,
    )
    .unwrap();
    let socket = lab.udp(&lab.carrier, (CALLER, 5070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "bye").unwrap();
    let answer = phone
        .ask(&phone.invite("x", &sdp(CALLER, 7000)), SOON)
        .unwrap();
    assert_eq!(answer.code(), 200, "{}", answer.text);
    phone.acknowledge(&answer).unwrap();
    let bye = phone
        .expect("the BYE", SOON, |m| m.text.starts_with("BYE "))
        .unwrap();
    phone
        .send(bye.answer("200 OK", (CALLER, 5070).into(), "").as_bytes())
        .unwrap();
    lab.wait_until_quiet(1, SOON).unwrap();
    assert_eq!(lab.sql("SELECT cause FROM cdr").unwrap().trim(), "callee");
}

#[test]
fn neither_side_sees_the_other() {
    let options = Options {
        pool: vec![sip(SERVERS[0])],
        probe_interval: 0,
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let server = Callee::new(lab.udp(&lab.core, sip(SERVERS[0])).unwrap()).unwrap();
    let socket = lab.udp(&lab.carrier, (CALLER, 5070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "hidden").unwrap();
    phone
        .send(phone.invite("x", &sdp(CALLER, 7000)).as_bytes())
        .unwrap();

    let invite = server.expect("INVITE", SOON).unwrap();
    assert_eq!(invite.1, sip(INSIDE));
    // From, To and Call-ID stay as they were; apart from them the caller's network is not to be seen.
    for line in invite.0.text.lines() {
        let end_to_end = ["From:", "To:", "Call-ID:"]
            .iter()
            .any(|h| line.starts_with(h));
        assert!(end_to_end || !line.contains("192.0.2."), "{line}");
    }
    server
        .answer(&invite, "200 OK", &sdp(SERVERS[0], 6_000))
        .unwrap();
    let answer = phone
        .expect("the answer", SOON, |m| m.code() == 200)
        .unwrap();
    assert!(!answer.text.contains("10.20."), "{}", answer.text);
    assert!(
        answer.body().contains(&format!("c=IN IP4 {OUTSIDE}")),
        "{}",
        answer.body()
    );
    phone.acknowledge(&answer).unwrap();
    let ack = server.expect("ACK", SOON).unwrap().0;
    assert!(
        ack.text.starts_with("ACK sip:callee@10.20.0.21:5060 "),
        "{}",
        ack.text
    );
}

#[test]
fn a_stranger_may_not_call() {
    let lab = Lab::start(Options::default()).unwrap();
    let socket = lab.udp(&lab.carrier, (STRANGER, 5070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "stranger").unwrap();
    let before = lab.ctl().counters().unwrap();
    let answer = phone
        .ask(&phone.invite("x", &sdp(STRANGER, 7000)), SOON)
        .unwrap();
    assert_eq!(answer.code(), 403, "{}", answer.text);
    let after = lab.ctl().counters().unwrap();
    assert_eq!(
        after.value("sip_forbidden") - before.value("sip_forbidden"),
        1
    );
    assert_eq!(lab.ctl().status().unwrap().calls, 0);
}

#[test]
fn a_pool_members_call_leaves_by_the_trunk() {
    let lab = Lab::start(Options::default()).unwrap();
    let _trunk = Server::start(&lab, &lab.carrier, "trunk", TRUNK).unwrap();
    let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();
    let calls = Calls {
        from: SERVERS[0],
        to: INSIDE,
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.core, "caller", &calls).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (1, 0),
        "{}",
        lab.daemons_said()
    );
    let seen = inside.finish().unwrap();
    assert_eq!(
        missing(&seen.from(SERVERS[0]), &seen.from(INSIDE)),
        0,
        "the trunk's echo"
    );
    lab.wait_until_quiet(1, SOON).unwrap();
    let cdr = lab.sql("SELECT direction, destination FROM cdr").unwrap();
    assert_eq!(cdr.trim(), format!("outbound|sip:{}", sip(TRUNK)));
}
