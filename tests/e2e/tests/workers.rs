//! Several SIP workers share the calls, and another number of them takes the same calls up.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use tandem_e2e::sip::{Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CALLER6, OUTSIDE, OUTSIDE6, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);
const WORKERS: u16 = 3;

fn lab(more: String) -> Lab {
    let lab = Lab::start(Options {
        sip_workers: WORKERS,
        media_timeout: 0,
        more,
        ..Options::default()
    });
    lab.unwrap()
}

/// The calls of each worker, when there are so many in all.
fn spread(lab: &Lab, calls: u32) -> Vec<u64> {
    let ctl = lab.ctl();
    let status = wait::until(format!("{calls} calls"), SOON, || {
        let status = ctl.status().ok()?;
        (status.confirmed_calls == u64::from(calls)).then_some(status)
    });
    let workers = status.unwrap().sip_workers;
    workers.iter().map(|worker| worker.calls).collect()
}

/// Calls and hangs up.
fn call(phone: &Phone, sdp: &str) {
    let answer = phone.ask(&phone.invite("x", sdp), SOON).unwrap();
    assert_eq!(answer.code(), 200, "{}", answer.text);
    phone.acknowledge(&answer).unwrap();
    assert_eq!(phone.hang_up(&answer).unwrap().code(), 200);
}

#[test]
fn calls_are_shared_and_another_number_of_workers_takes_them_up() {
    let mut lab = lab(String::new());
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let calls = Calls {
        scenario: "load.xml",
        count: 150,
        rate: 50,
        talk: Duration::from_secs(15),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let shares = spread(&lab, calls.count);
    println!("calls of the workers: {shares:?}");
    assert_eq!(shares.len(), usize::from(WORKERS));
    assert!(shares.iter().all(|share| *share >= 25), "{shares:?}");
    assert!(lab.ctl().run(&["status"]).unwrap().contains(" calls"));
    let keys = |lab: &Lab| {
        let calls = lab.ctl().calls().unwrap();
        let mut keys: Vec<_> = calls.into_iter().map(|c| (c.key, c.call_id)).collect();
        keys.sort();
        keys
    };
    let before = keys(&lab);

    lab.kill_sigplane();
    lab.change(|options| options.sip_workers = 2).unwrap();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    let shares = spread(&lab, calls.count);
    println!("after the restart: {shares:?}");
    assert_eq!(shares.len(), 2);
    assert!(shares.iter().all(|share| *share >= 45), "{shares:?}");
    assert_eq!(keys(&lab), before);
    assert_eq!(lab.ctl().flows().unwrap().len(), before.len());
    // New calls besides the old ones: no port is given out twice.
    for i in 0..20 {
        let socket = lab.udp(&lab.carrier, (CALLER, 5_100 + i).into()).unwrap();
        let phone = Phone::new(socket, sip(OUTSIDE), &format!("new-{i}")).unwrap();
        call(&phone, &sdp(CALLER, 7_000));
    }
    let tally = caller.finish(Duration::from_secs(40)).unwrap();
    let said = lab.daemons_said();
    assert_eq!((tally.successful, tally.failed), (150, 0), "{said}");
    lab.wait_until_quiet(170, SOON).unwrap();
    let twice = lab
        .sql("SELECT callid FROM cdr GROUP BY callid HAVING count(*) > 1")
        .unwrap();
    assert!(twice.is_empty(), "{twice}");

    // The dataplane dies, and each worker installs its flows again.
    let talking = Caller::start(
        &lab,
        &lab.carrier,
        "talking",
        &Calls {
            count: 30,
            rate: 30,
            talk: Duration::from_secs(8),
            port: 5_080,
            ..calls
        },
    );
    let talking = talking.unwrap();
    spread(&lab, 30);
    lab.kill_dataplane();
    lab.start_dataplane().unwrap();
    lab.wait_until_ready().unwrap();
    wait::until("the flows are back", SOON, || {
        (lab.ctl().flows().ok()?.len() == 30).then_some(())
    })
    .unwrap();
    let tally = talking.finish(SOON).unwrap();
    assert_eq!((tally.successful, tally.failed), (30, 0));
    lab.wait_until_quiet(200, SOON).unwrap();
    assert!(lab.daemons_run());
}

#[test]
fn a_message_finds_its_worker_by_connection_and_by_the_kernels_socket() {
    let listen = format!(
        "[[sip.listen]]\ntransport = \"tcp\"\nlisten = \"{OUTSIDE}:5060\"\nrealm = \"carrier\"\n"
    );
    let lab = lab(listen);
    let _server = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    // All of them by one connection.
    let calls = Calls {
        scenario: "load.xml",
        count: 60,
        rate: 30,
        talk: Duration::from_secs(4),
        transport: "t1",
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let shares = spread(&lab, calls.count);
    assert!(shares.iter().all(|share| *share >= 5), "{shares:?}");
    let tally = caller.finish(SOON).unwrap();
    assert_eq!((tally.successful, tally.failed), (60, 0));
    let passed_on = |lab: &Lab| {
        let workers = lab.ctl().status().unwrap().sip_workers;
        workers.iter().map(|worker| worker.passed_on).sum::<u64>()
    };
    assert_eq!(
        passed_on(&lab),
        0,
        "a connection's messages go to their workers at once"
    );

    // What comes in fragments comes by the kernel's socket, which one of the workers reads.
    // In IPv6, since the kernel puts those of IPv4 together before the driver of the laboratory's ports.
    let long = "x".repeat(2_000);
    for i in 0..12 {
        let socket = lab.udp(&lab.carrier, (CALLER6, 5_200 + i).into()).unwrap();
        let phone = Phone::new(socket, sip(OUTSIDE6), &format!("long-{i}")).unwrap();
        let uri = format!("sip:{}", sip(OUTSIDE6));
        let options = phone.request("OPTIONS", &uri, &format!("<{uri}>"), 1, &long);
        let answer = phone.ask(&options, SOON).unwrap();
        assert_eq!(answer.code(), 200, "{}", answer.text);
    }
    let (passed, by_socket) = (
        passed_on(&lab),
        lab.ctl()
            .counters()
            .unwrap()
            .value("net_received_by_socket"),
    );
    println!("{by_socket} messages by the kernel's socket, {passed} passed on");
    assert!(by_socket >= 12 && passed >= 3 && passed < by_socket);
    lab.wait_until_quiet(60, SOON).unwrap();
}
