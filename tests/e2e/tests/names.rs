//! Names, asked from a real DNS server through the kernel's side of a realm.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::SocketAddr;
use std::time::Duration;

use tandem_e2e::dns::Dns;
use tandem_e2e::sip::{Callee, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(15);

fn server() -> SocketAddr {
    (SERVERS[1], 53).into()
}

/// A laboratory whose pool is one name, and its DNS server.
fn named_pool(records: &[&str]) -> (Lab, Dns) {
    let options = Options {
        more: format!("[dns]\nservers = [\"{}\"]\ntimeout = 500\n", server()),
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let dns = Dns::start(&lab, &lab.core, server(), records).unwrap();
    lab.sql("UPDATE dispatcher SET destination = 'sip:pool.example' WHERE setid = 1")
        .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    (lab, dns)
}

/// Waits until the pool is at these addresses.
fn wait_for(lab: &Lab, expected: &[&str]) {
    let look = || {
        let targets = lab.ctl().targets().ok()?;
        let pool = targets.into_iter().find(|t| t.uri == "sip:pool.example")?;
        (pool.addresses == expected).then_some(())
    };
    wait::until(format!("the pool at {expected:?}"), SOON, look)
        .unwrap_or_else(|f| panic!("{f}\n{:?}\n{}", lab.ctl().targets(), lab.daemons_said()));
}

fn counter(lab: &Lab, name: &str) -> u64 {
    lab.ctl().counters().unwrap().value(name)
}

/// One call, which has to go as it should.
fn call(lab: &Lab, name: &str) {
    let calls = Calls {
        talk: Duration::from_millis(200),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &calls).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!((tally.successful, tally.failed), (1, 0), "{name}");
}

#[test]
fn a_pool_is_found_by_its_name_fails_over_and_follows_dns() {
    let hosts = [
        "host-record=one.pool.example,10.20.0.21,2",
        "host-record=two.pool.example,10.20.0.22,2",
    ];
    let naptr = "naptr-record=pool.example,10,10,s,SIP+D2U,,_sip._udp.pool.example";
    let one = "srv-host=_sip._udp.pool.example,one.pool.example,5060,10,10";
    let two = "srv-host=_sip._udp.pool.example,two.pool.example,5060,20,10";
    let (lab, mut dns) = named_pool(&[hosts[0], hosts[1], naptr, one, two]);
    wait_for(&lab, &["10.20.0.21:5060", "10.20.0.22:5060"]);

    // The first host is dead: the call goes on to the second, and the next one goes there at once.
    let mut second = Server::start(&lab, &lab.core, "second", SERVERS[1]).unwrap();
    let failovers =
        |lab: &Lab| counter(lab, "failover_unreachable") + counter(lab, "failover_silence");
    call(&lab, "caller-1");
    assert_eq!(failovers(&lab), 1);
    call(&lab, "caller-2");
    assert_eq!(failovers(&lab), 1);
    let target = lab.ctl().targets().unwrap().remove(0);
    assert_eq!((target.failures, target.state.as_str()), (0, "active"));

    // DNS says otherwise now: the pool is on the first host alone, at another port.
    dns.kill();
    let moved = "srv-host=_sip._udp.pool.example,one.pool.example,5070,10,10";
    let mut dns = Dns::start(&lab, &lab.core, server(), &[hosts[0], naptr, moved]).unwrap();
    wait_for(&lab, &["10.20.0.21:5070"]);
    second.kill();
    let callee = Callee::new(lab.udp(&lab.core, (SERVERS[0], 5070).into()).unwrap()).unwrap();
    answer_one(&lab, &callee, 5070, "moved");

    // And now it says nothing any more.
    dns.kill();
    wait::until("old answers", SOON, || {
        (counter(&lab, "names_stale") > 0).then_some(())
    })
    .unwrap();
    wait_for(&lab, &["10.20.0.21:5070"]);
    answer_one(&lab, &callee, 5071, "stale");
    assert_eq!(counter(&lab, "names_unanswered"), 0);

    // It comes back with another address.
    let _dns = Dns::start(&lab, &lab.core, server(), &[hosts[1], naptr, two]).unwrap();
    wait_for(&lab, &["10.20.0.22:5060"]);
    lab.wait_until_quiet(4, SOON).unwrap();
}

/// A call from this port that the callee answers, and that the caller ends.
fn answer_one(lab: &Lab, callee: &Callee, port: u16, name: &str) {
    let socket = lab.udp(&lab.carrier, (CALLER, port).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), name).unwrap();
    let invite = phone.invite("x", &sdp(CALLER, 7_000));
    phone.send(invite.as_bytes()).unwrap();
    let invite = callee.expect("INVITE", SOON).unwrap();
    assert!(
        invite
            .0
            .text
            .starts_with("INVITE sip:x@pool.example SIP/2.0")
    );
    let body = sdp(SERVERS[0], 6_000);
    callee.answer(&invite, "200 OK", &body).unwrap();
    let answer = phone.expect("200", SOON, |m| m.code() == 200).unwrap();
    phone.acknowledge(&answer).unwrap();
    callee.expect("ACK", SOON).unwrap();
    let bye = phone.in_dialog("BYE", &answer, 2, "");
    phone.send(bye.as_bytes()).unwrap();
    let bye = callee.expect("BYE", SOON).unwrap();
    callee.answer(&bye, "200 OK", "").unwrap();
    phone
        .expect("200 to BYE", SOON, |m| m.header("CSeq").contains("BYE"))
        .unwrap();
}

#[test]
fn a_contact_may_be_a_name() {
    let (lab, _dns) = named_pool(&[
        "host-record=pool.example,10.20.0.21,2",
        "srv-host=_sip._udp.fs.pool.example,fs.pool.example,5080,1,1",
        "host-record=fs.pool.example,10.20.0.21,2",
    ]);
    // Without NAPTR and SRV records.
    wait_for(&lab, &["10.20.0.21:5060"]);
    let callee = Callee::new(lab.udp(&lab.core, sip(SERVERS[0])).unwrap()).unwrap();
    let moved = Callee::new(lab.udp(&lab.core, (SERVERS[0], 5080).into()).unwrap()).unwrap();
    let socket = lab.udp(&lab.carrier, (CALLER, 5070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "named").unwrap();
    let invite = phone.invite("x", &sdp(CALLER, 7_000));
    phone.send(invite.as_bytes()).unwrap();
    let (invite, from) = callee.expect("INVITE", SOON).unwrap();
    let ok = invite.answer("200 OK", sip(SERVERS[0]), &sdp(SERVERS[0], 6_000));
    let own = ok
        .lines()
        .find(|line| line.starts_with("Contact:"))
        .unwrap();
    let ok = ok.replace(own, "Contact: <sip:x@fs.pool.example>");
    callee.send(&ok, from).unwrap();
    let answer = phone.expect("200", SOON, |m| m.code() == 200).unwrap();
    phone.acknowledge(&answer).unwrap();
    let (ack, _) = moved.expect("ACK", SOON).unwrap();
    assert!(ack.text.starts_with("ACK sip:x@fs.pool.example SIP/2.0"));
    let bye = phone.in_dialog("BYE", &answer, 2, "");
    phone.send(bye.as_bytes()).unwrap();
    let bye = moved.expect("BYE", SOON).unwrap();
    moved.answer(&bye, "200 OK", "").unwrap();
    lab.wait_until_quiet(1, SOON).unwrap();
}
