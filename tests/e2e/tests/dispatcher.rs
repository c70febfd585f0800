//! Sharing calls among media servers, and taking one out of service while calls go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::time::Duration;

use tandem_admin::Target;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);

fn sharing(set: &str) -> Lab {
    Lab::start(Options {
        more: format!("[[dispatcher.set]]\nset = 1\n{set}\n"),
        ..Options::default()
    })
    .unwrap()
}

fn uri(server: usize) -> String {
    format!("sip:{}", sip(SERVERS[server]))
}

fn target(lab: &Lab, server: usize) -> Option<Target> {
    let targets = lab.ctl().targets().ok()?;
    targets.into_iter().find(|t| t.uri == uri(server))
}

/// How many of the CDRs name a server.
fn taken(lab: &Lab, server: usize) -> u64 {
    let count = format!(
        "SELECT count(*) FROM cdr WHERE destination = '{}'",
        uri(server)
    );
    lab.sql(&count).unwrap().trim().parse().unwrap()
}

#[test]
fn a_drain_under_load_ends_with_no_call_cut_and_outlives_a_kill() {
    let mut lab = sharing("algorithm = 4");
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let calls = Calls {
        count: 200,
        rate: 20,
        talk: Duration::from_secs(3),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    wait::until("calls of the first server", SOON, || {
        target(&lab, 0).filter(|t| t.calls >= 10)
    })
    .unwrap();
    let said = lab
        .ctl()
        .run(&["dispatcher", "drain", &uri(0), "--wait", "20"])
        .unwrap();
    println!("{said}");
    assert!(said.contains("is draining, with") && said.ends_with("has no calls\n"));
    let drained = target(&lab, 0).unwrap();
    assert_eq!((drained.calls, drained.state.as_str()), (0, "draining"));
    lab.kill_sigplane();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    assert_eq!(target(&lab, 0).unwrap().state, "draining");
    let tally = caller.finish(Duration::from_secs(60)).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (200, 0),
        "{}",
        lab.daemons_said()
    );
    lab.wait_until_quiet(200, SOON).unwrap();
    let before = (taken(&lab, 0), taken(&lab, 1));
    println!("calls of each server: {before:?}");
    assert!(before.0 >= 10 && before.0 < 100 && before.0 + before.1 == 200);

    lab.ctl().run(&["dispatcher", "enable", &uri(0)]).unwrap();
    let more = Calls {
        count: 40,
        rate: 40,
        talk: Duration::from_millis(500),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "more", &more).unwrap();
    let tally = caller.finish(Duration::from_secs(30)).unwrap();
    assert_eq!((tally.successful, tally.failed), (40, 0));
    lab.wait_until_quiet(240, SOON).unwrap();
    let after = (taken(&lab, 0), taken(&lab, 1));
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (20, 20),
        "in turn"
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let lab = sharing("algorithm = \"weight\"");
    let said = |arguments: &[&str]| {
        let output = lab.ctl().output(arguments).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let nobody = said(&["dispatcher", "drain", "sip:192.0.2.77"]);
    assert!(nobody.contains("there is no target"), "{nobody}");
    let state = said(&["dispatcher", "set-state", "asleep", &uri(0)]);
    assert!(state.contains("draining"), "{state}");
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination, attrs) VALUES (100, '{}', 'weight=7;maxload=9;duid=twice')",
        uri(0)
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let two = said(&["dispatcher", "drain", &uri(0)]);
    assert!(two.contains("write the id, or the set"), "{two}");
    let one = lab.ctl().run(&["dispatcher", "drain", "twice"]).unwrap();
    assert!(
        one.contains("of set 100 is draining, with 0 calls"),
        "{one}"
    );
    let list = lab.ctl().run(&["dispatcher", "list"]).unwrap();
    assert!(list.contains("0/9") && list.contains("weight"), "{list}");
}
