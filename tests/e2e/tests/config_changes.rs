//! The configuration is changed while calls are set up, talk and end: none of them notices.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tandem_e2e::capture::{Capture, missing};
use tandem_e2e::sip::{Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, CORE_LINK, INSIDE, OUTSIDE, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);
/// Calls with media, from the first change to the last.
const TALKERS: u32 = 10;
const TALK: Duration = Duration::from_secs(30);
/// Calls a second besides.
const RATE: u32 = 40;

/// The configuration, and what `tandemctl config` does with it.
struct Desk<'a> {
    lab: &'a Lab,
}

impl Desk<'_> {
    fn running(&self) -> String {
        std::fs::read_to_string(self.lab.config_file()).unwrap()
    }

    /// A file with another configuration.
    fn draft(&self, text: &str) -> PathBuf {
        let path = self.lab.dir().join("draft.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn apply(&self, text: &str, more: &[&str]) -> String {
        let draft = self.draft(text);
        let words = ["config", "apply", draft.to_str().unwrap()];
        self.lab.ctl().run(&[&words, more].concat()).unwrap()
    }

    /// What is said to one that is refused; nothing is changed by it.
    fn refused(&self, text: &str, more: &[&str]) -> String {
        let (file, status) = (self.running(), self.status());
        let draft = self.draft(text);
        let words = ["config", "apply", draft.to_str().unwrap()];
        let output = self.lab.ctl().output(&[&words, more].concat()).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(self.running(), file);
        for key in ["digest", "revision", "since_ms"] {
            assert_eq!(self.status()[key], status[key], "{said}");
        }
        said
    }

    fn status(&self) -> Value {
        let text = self.lab.ctl().run(&["--json", "config", "status"]).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn wait_for(&self, outcome: &str) {
        wait::until(outcome, SOON, || {
            (self.status()["last"]["outcome"] == outcome).then_some(())
        })
        .unwrap();
    }

    /// Waits until the youngest call went to this server.
    fn goes_to(&self, server: usize) {
        let uri = sip(SERVERS[server]).to_string();
        wait::until(format!("calls go to {uri}"), SOON, || {
            let calls = self.lab.ctl().calls().ok()?;
            let youngest = calls.into_iter().max_by_key(|call| call.start_ms)?;
            youngest.target.contains(&uri).then_some(())
        })
        .unwrap();
    }
}

/// The same with calls for the other set.
fn moved(text: &str) -> String {
    format!("{text}\n[routing]\npool_set = 2\n[overload]\nretry_after = 7\n")
}

fn call(lab: &Lab, port: u16, check: impl FnOnce()) {
    let socket = lab.udp(&lab.carrier, (CALLER, port).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), &format!("phone-{port}")).unwrap();
    let invite = phone.invite("x", &sdp(CALLER, 7_000));
    let answer = phone.ask(&invite, SOON).unwrap();
    assert_eq!(answer.code(), 200, "{}", answer.text);
    phone.acknowledge(&answer).unwrap();
    check();
    assert_eq!(phone.hang_up(&answer).unwrap().code(), 200);
}

fn changes(sip_workers: u16) {
    let mut lab = Lab::start(Options {
        sip_workers,
        ..Options::default()
    })
    .unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let other = format!(
        "UPDATE dispatcher SET setid = 2 WHERE destination = 'sip:{}'",
        sip(SERVERS[1])
    );
    lab.sql(&other).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();

    let before = lab.ctl().counters().unwrap();
    let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();
    let talkers = Calls {
        count: TALKERS,
        rate: TALKERS,
        talk: TALK,
        ..Calls::default()
    };
    let talkers = Caller::start(&lab, &lab.carrier, "talkers", &talkers).unwrap();
    let load = Calls {
        scenario: "load.xml",
        // More than there is time for.
        count: 2_000,
        rate: RATE,
        talk: Duration::from_secs(1),
        port: 5_080,
        media_port: 6_100,
        ..Calls::default()
    };
    let mut load = Caller::start(&lab, &lab.carrier, "load", &load).unwrap();
    wait::until("all talk", SOON, || {
        let status = lab.ctl().status().ok()?;
        (status.confirmed_calls >= u64::from(TALKERS) + 5).then_some(())
    })
    .unwrap();

    let desk = Desk { lab: &lab };
    let original = desk.running();
    desk.goes_to(0);
    // One that is confirmed.
    let said = desk.apply(&moved(&original), &["--confirm-within", "60"]);
    assert!(said.contains("routing.pool_set: 1 -> 2"), "{said}");
    assert!(said.contains("goes back by itself in 60 s"), "{said}");
    desk.goes_to(1);
    assert_eq!(desk.running(), original);
    // Another administrator, who has not heard of it.
    let said = desk.refused(&original, &[]);
    assert!(said.contains("is to be confirmed first"), "{said}");
    let seen = desk.status()["pending"]["base"]
        .as_str()
        .unwrap()
        .to_owned();
    lab.ctl().run(&["config", "confirm"]).unwrap();
    assert_eq!(desk.running(), moved(&original));
    let said = desk.refused(&original, &["--expected", &seen]);
    assert!(said.contains("another configuration runs"), "{said}");

    // One that nobody confirms.
    desk.apply(&original, &["--confirm-within", "2"]);
    desk.goes_to(0);
    desk.wait_for("went back");
    desk.goes_to(1);
    assert_eq!(desk.running(), moved(&original));

    // Bad ones.
    let certificate = "[[tls.certificate]]\nnames = [\"a.example\"]\nchain = \"/none.pem\"\nkey = \"/none.pem\"\n";
    for (text, what) in [
        (format!("{original}[routing\n"), "not TOML"),
        (
            format!("{original}[routing]\npool = 1\n"),
            "`routing.pool`: is not a known key",
        ),
        (
            format!("{original}{certificate}"),
            "`tls.certificate.chain`: /none.pem",
        ),
        (
            original.replace("id = 1", "id = 2"),
            "node.id: 1 -> 2 (sigplane restart)",
        ),
    ] {
        let said = desk.refused(&text, &["--confirm-within", "0"]);
        assert!(said.contains(what), "{said}");
    }
    // Back by the history, at once and for good.
    let rollback = ["config", "rollback", "1", "--confirm-within", "0"];
    lab.ctl().run(&rollback).unwrap();
    desk.goes_to(0);
    assert_eq!(desk.running(), original);
    let history = lab.ctl().run(&["config", "history"]).unwrap();
    assert!(history.contains("rollback 1"), "{history}");

    // By the file and SIGHUP.
    std::fs::write(lab.config_file(), moved(&original)).unwrap();
    lab.reload_sigplane().unwrap();
    let desk = Desk { lab: &lab };
    desk.goes_to(1);
    std::fs::write(lab.config_file(), &original).unwrap();
    lab.reload_sigplane().unwrap();
    let desk = Desk { lab: &lab };
    desk.goes_to(0);
    load.hang_up().unwrap();
    let tally = load.finish(SOON).unwrap();
    println!("{tally:?} while the configuration was changed");
    assert_eq!(tally.failed, 0, "{}", lab.daemons_said());
    assert!(tally.successful > 20, "{tally:?}");
    let made = tally.made;

    // A kill while one is pending: what is being set up then is lost, so nothing is.
    desk.apply(&moved(&original), &["--confirm-within", "8"]);
    lab.kill_sigplane();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    let desk = Desk { lab: &lab };
    assert!(desk.status()["pending"].is_object(), "{}", desk.status());
    assert_eq!(desk.running(), original);
    let up = lab.ctl().status().unwrap().confirmed_calls;
    assert_eq!(up, u64::from(TALKERS), "the talkers talk on");
    call(&lab, 5_090, || desk.goes_to(1));
    desk.wait_for("went back");
    call(&lab, 5_091, || desk.goes_to(0));
    // A table that nobody wanted before is there with the change: the number that is in it, and no other.
    lab.sql("INSERT INTO did_routing (did) VALUES ('x')")
        .unwrap();
    desk.apply(
        &format!("{original}[routing]\ndids = true\n"),
        &["--confirm-within", "60"],
    );
    let socket = lab.udp(&lab.carrier, (CALLER, 5_092).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "unknown").unwrap();
    let invite = phone.invite("unknown", &sdp(CALLER, 7_000));
    assert_eq!(phone.ask(&invite, SOON).unwrap().code(), 404);
    call(&lab, 5_093, || ());
    lab.ctl().run(&["config", "revert"]).unwrap();

    let tally = talkers.finish(TALK + SOON).unwrap();
    let good = (tally.successful, tally.failed);
    assert_eq!(good, (u64::from(TALKERS), 0), "{}", lab.daemons_said());
    let after = lab.ctl().counters().unwrap();
    let (outside, inside) = (outside.finish().unwrap(), inside.finish().unwrap());
    let lost = missing(&outside.from(CALLER), &inside.from(INSIDE))
        + missing(&inside.to(INSIDE), &outside.from(OUTSIDE));
    // What the machine's own devices had no time for is not ours.
    let missed: u64 = after
        .since(&before)
        .iter()
        .filter(|(name, _)| name.ends_with("_rx_missed") || name.ends_with("_kernel_tx_dropped"))
        .map(|(_, by)| by)
        .sum();
    println!("{lost} packets lost, {missed} of them at the devices");
    assert!(
        lost as u64 <= missed,
        "{lost} packets lost, {missed} at the devices"
    );
    // The one to an unknown number has one, too.
    let calls = made + u64::from(TALKERS) + 4;
    lab.wait_until_quiet(calls, SOON).unwrap();
    assert!(lab.daemons_run());
}

#[test]
fn calls_go_on_through_changes_of_the_configuration() {
    changes(1);
}

#[test]
fn calls_of_three_workers_go_on_through_changes_of_the_configuration() {
    changes(3);
}
