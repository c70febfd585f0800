//! Who misbehaves is not heard: blocked in the dataplane, listed, unblocked, whatever restarts meanwhile; others
//! notice nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tandem_e2e::sip::Phone;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(15);
/// A second stranger, who has done nothing.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 201));

/// What `tandemctl blocked list` says: address and reason.
fn blocked(lab: &Lab) -> Vec<(String, String)> {
    let text = lab.ctl().run(&["--json", "blocked", "list"]).unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    list.iter()
        .map(|e| (field(e, "source"), field(e, "reason")))
        .collect()
}

fn counter(lab: &Lab, name: &str) -> u64 {
    lab.ctl().counters().unwrap().value(name)
}

/// A socket of a stranger.
fn stranger(lab: &Lab, address: IpAddr, port: u16) -> UdpSocket {
    lab.udp(&lab.carrier, SocketAddr::new(address, port))
        .unwrap()
}

fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:{OUTSIDE} SIP/2.0\r\nVia: SIP/2.0/UDP x.example;branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@x.example>;tag=1\r\nTo: <sip:{OUTSIDE}>\r\n\
         Call-ID: {number}@x.example\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Asks until the appliance does or does not answer.
fn is_heard(lab: &Lab, socket: &UdpSocket, wanted: bool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(if wanted { 1000 } else { 300 })))
        .unwrap();
    let mut buffer = [0; 2000];
    let begin = Instant::now();
    for number in 1_000_000.. {
        socket
            .send_to(options(number).as_bytes(), sip(OUTSIDE))
            .unwrap();
        if socket.recv(&mut buffer).is_ok() == wanted {
            return;
        }
        assert!(
            begin.elapsed() < SOON,
            "heard: {wanted} was expected; {}",
            lab.daemons_said()
        );
    }
}

fn lab() -> (Lab, Server) {
    let lab = Lab::start(Options {
        pool: vec![sip(SERVERS[0])],
        probe_interval: 0,
        ..Options::default()
    })
    .unwrap();
    let server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    lab.carrier
        .run(&format!("ip address add {OTHER}/32 dev {CARRIER_LINK}"))
        .unwrap();
    (lab, server)
}

#[test]
fn a_flood_of_a_stranger_dies_in_the_dataplane_and_calls_notice_nothing() {
    let (mut lab, _server) = lab();
    let calls = Calls {
        count: 20,
        rate: 10,
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();

    let flood = stranger(&lab, STRANGER, 5060);
    flood.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2000];
    let mut sent = 0_usize;
    wait::until("the dataplane drops the flood", SOON, || {
        for _ in 0..500 {
            sent += 1;
            let _ = flood.send_to(options(sent).as_bytes(), sip(OUTSIDE));
            let _ = flood.recv(&mut buffer);
        }
        (counter(&lab, "drop_blocked") > 5_000).then_some(())
    })
    .unwrap();
    assert_eq!(
        blocked(&lab),
        [(STRANGER.to_string(), "rate".to_owned())],
        "{}",
        lab.daemons_said()
    );
    let seen = counter(&lab, "watched_requests");
    assert!((31..2_000).contains(&seen), "{seen} of {sent}");
    let tally = caller.finish(Duration::from_secs(60)).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (20, 0),
        "{}",
        lab.daemons_said()
    );

    // Blocks outlive either plane, and both.
    let quiet = stranger(&lab, STRANGER, 5061);
    lab.kill_sigplane();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    wait::until("the list is taken over", SOON, || {
        (blocked(&lab) == [(STRANGER.to_string(), "earlier".to_owned())]).then_some(())
    })
    .unwrap();
    is_heard(&lab, &quiet, false);
    let before = lab.ctl().status().unwrap().dataplane_boot;
    lab.kill_dataplane();
    lab.start_dataplane().unwrap();
    wait::until("the dataplane has its block again", SOON, || {
        let status = lab.ctl().status().ok()?;
        let counters = lab.ctl().counters().ok()?;
        (status.dataplane_boot != before && counters.value("blocked_sources") == 1).then_some(())
    })
    .unwrap();
    let drops = counter(&lab, "drop_blocked");
    is_heard(&lab, &quiet, false);
    assert!(counter(&lab, "drop_blocked") > drops);

    // Others are heard, and so is he when an administrator says so.
    is_heard(&lab, &stranger(&lab, OTHER, 5060), true);
    let said = lab
        .ctl()
        .run(&["blocked", "remove", &STRANGER.to_string()])
        .unwrap();
    assert_eq!(said, format!("{STRANGER} is heard again\n"));
    is_heard(&lab, &quiet, true);
    assert_eq!(blocked(&lab), []);
    assert_eq!(counter(&lab, "blocked_sources"), 0);
}

#[test]
fn scanners_guessers_and_those_whom_an_administrator_names_are_blocked_until_they_are_trusted() {
    let (lab, _server) = lab();
    // sipsak, which is what it says it is, and then what it does not say.
    let sipsak = |agent: Option<&str>| {
        let mut command = lab.carrier.command("sipsak");
        command.args(["-k", &STRANGER.to_string(), "-s", &format!("sip:{OUTSIDE}")]);
        if let Some(agent) = agent {
            command.args(["-j", &format!("User-Agent: {agent}")]);
        }
        answered(command)
    };
    assert!(sipsak(None));
    assert_eq!(blocked(&lab), []);
    sipsak(Some("friendly-scanner"));
    assert_eq!(
        blocked(&lab),
        [(STRANGER.to_string(), "scanner".to_owned())],
        "{}",
        lab.daemons_said()
    );
    is_heard(&lab, &stranger(&lab, STRANGER, 5060), false);

    // Calls that he may not make.
    let guesser = Phone::new(stranger(&lab, OTHER, 5060), sip(OUTSIDE), "guesser").unwrap();
    for attempt in 1..=11 {
        let uri = format!("sip:{attempt}@{OUTSIDE}");
        let invite = guesser.request("INVITE", &uri, &format!("<{uri}>"), attempt, "");
        let answer = guesser.ask(&invite, SOON).unwrap();
        assert_eq!(answer.code(), 403, "{attempt}");
    }
    wait::until("the guesser is blocked", SOON, || {
        let blocked = blocked(&lab);
        blocked
            .contains(&(OTHER.to_string(), "failures".to_owned()))
            .then_some(())
    })
    .unwrap();

    // He gets into the address table: forgiven.
    lab.sql(&format!(
        "INSERT INTO address (grp, ip_addr, mask, port, tag) VALUES (1, '{OTHER}', 32, 0, 'new')"
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    is_heard(&lab, &stranger(&lab, OTHER, 5061), true);
    assert_eq!(blocked(&lab).len(), 1);

    // By hand; but not who is trusted.
    let ctl = lab.ctl();
    let said = ctl
        .run(&["blocked", "add", "2001:db8:9::7", "--seconds", "90000"])
        .unwrap();
    assert_eq!(said, "2001:db8:9::/64 is not heard for 1 d 1 h\n");
    let table = ctl.run(&["blocked", "list"]).unwrap();
    assert!(table.contains("2001:db8:9::/64  administrator"), "{table}");
    for (address, remedy) in [
        (CALLER.to_string(), "address table"),
        (OTHER.to_string(), "it is trusted"),
    ] {
        let refused = ctl.output(&["blocked", "add", &address]).unwrap();
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{errors}");
        assert!(errors.contains(remedy), "{errors}");
    }
    let said = ctl.run(&["blocked", "remove", "203.0.113.99"]).unwrap();
    assert_eq!(said, "203.0.113.99 was not blocked\n");
}

#[test]
fn who_is_blocked_is_cut_off_and_cannot_connect() {
    let lab = Lab::start(Options {
        carriers: vec![],
        probe_interval: 0,
        more: format!(
            "[[sip.listen]]\ntransport = \"tcp\"\nlisten = \"{OUTSIDE}:5060\"\nrealm = \"carrier\"\n"
        ),
        ..Options::default()
    })
    .unwrap();
    let connect = || {
        let connecting = || Ok(TcpStream::connect(sip(OUTSIDE)).unwrap());
        let stream = lab.carrier.enter(connecting).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let asks = |stream: &mut TcpStream, number: usize| {
        let request = options(number).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 2000];
        stream
            .read(&mut answer)
            .map(|n| answer[..n].starts_with(b"SIP/2.0 200"))
    };
    let mut stream = connect();
    assert!(asks(&mut stream, 1).unwrap());
    let ctl = lab.ctl();
    let caller = CALLER.to_string();
    ctl.run(&["blocked", "add", &caller]).unwrap();
    stream
        .read(&mut [0; 1])
        .expect_err("the connection is cut off");
    // The kernel shakes hands before we see who it is.
    connect().read(&mut [0; 1]).expect_err("no other is served");
    assert_eq!(counter(&lab, "stream_blocked"), 2);
    ctl.run(&["blocked", "remove", &caller]).unwrap();
    wait::until("it is served again", SOON, || {
        asks(&mut connect(), 2).ok().filter(|ok| *ok)
    })
    .unwrap();
}

/// Whether sipsak got its answer.
fn answered(mut command: Command) -> bool {
    command.output().unwrap().status.success()
}
