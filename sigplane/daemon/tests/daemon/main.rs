//! The real daemon on the kernel's own stack, without a dataplane.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails; clippy does not see that helpers are tests too"
)]

mod changes;
mod lab;

use lab::{Lab, Locker, Phone, alone};

#[test]
fn it_answers_options_and_refuses_strangers() {
    alone();
    let lab = Lab::new();
    let daemon = lab.start();
    let phone = Phone::new();
    phone.send("OPTIONS", "options-1");
    assert_eq!(phone.final_code("options-1"), 200);
    phone.send("INVITE", "invite-1");
    assert_eq!(phone.final_code("invite-1"), 403);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_management_api_tells_what_is_and_bears_nonsense() {
    alone();
    let lab = Lab::new();
    let mut daemon = lab.start();
    let mut admin = lab.admin();
    let status = admin.call("core.status");
    let status = &status["result"];
    assert_eq!(status["node"], 7);
    assert_eq!(status["dataplane_up"], false);
    assert_eq!(status["database_up"], true);
    assert_eq!(
        (&status["calls"], &status["cdrs_pending"]),
        (&0.into(), &0.into())
    );

    assert_eq!(admin.call("tandem.flows")["error"]["code"], -32_000);
    assert_eq!(admin.call("no.such.method")["error"]["code"], -32_601);
    assert_eq!(admin.call("dlg.list")["result"], serde_json::json!([]));
    assert_eq!(admin.line("not json")["error"]["code"], -32_700);
    assert_eq!(
        admin.line("{\"jsonrpc\":\"2.0\"}")["error"]["code"],
        -32_600
    );
    let capture = r#"{"jsonrpc":"2.0","id":1,"method":"tandem.capture","params":{"x":1}}"#;
    assert_eq!(admin.line(capture)["error"]["code"], -32_602);
    assert_eq!(admin.call("tandem.capture")["error"]["code"], -32_000);

    let phone = Phone::new();
    phone.send("OPTIONS", "options-2");
    assert_eq!(phone.final_code("options-2"), 200);
    let statistics = admin.call("stats.get_statistics");
    let counter = |name: &str| {
        let counters = statistics["result"].as_array().unwrap();
        counters
            .iter()
            .find(|c| c["name"] == name)
            .map(|c| c["value"].clone())
    };
    assert_eq!(counter("net_received_by_socket"), Some(1.into()));
    assert_eq!(counter("net_sent_by_socket"), Some(1.into()));

    lab.sql(
        "insert into dispatcher (setid, destination, description)
             values (1, 'sip:10.20.0.1:5060', 'first');
         insert into dispatcher (setid, destination) values (1, 'nonsense')",
    );
    let reloaded = admin.call("dispatcher.reload");
    assert_eq!(
        reloaded["result"],
        serde_json::json!({"dispatcher": 2, "address": 0})
    );
    daemon.wait_for("table dispatcher, id 2");
    let targets = admin.call("dispatcher.list");
    let targets = targets["result"].as_array().unwrap();
    assert_eq!(targets.len(), 1, "{targets:?}");
    assert_eq!(targets[0]["description"], "first");

    let long = "x".repeat(8_389_000);
    assert_eq!(admin.line(&long)["error"]["code"], -32_600);
    let mut crowd: Vec<_> = (0..31).map(|_| lab.admin()).collect();
    for admin in &mut crowd {
        admin.call("core.status");
    }
    let mut last = lab.admin();
    last.call("core.status");
    assert_eq!(lab.admin().answer()["error"]["code"], -32_002);
    drop(crowd);
    last.call("core.status");
}

#[test]
fn alarms_are_those_of_the_dataplane_and_of_the_system() {
    alone();
    let lab = Lab::new();
    lab.write_config(
        r#"
[[http]]
listen = "127.0.0.1:9100"
services = ["metrics"]
metrics_access = "network"
networks = ["127.0.0.0/8"]
plain = true
"#,
    );
    let _daemon = lab.start();
    let mut admin = lab.admin();
    let alarms = admin.call("tandem.alarms.list");
    let alarms = alarms["result"].as_array().unwrap();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0]["kind"], "dataplane_down");
    assert!(alarms[0]["since_ms"].as_u64().unwrap() > 0);

    // As `tandemctl update` writes it.
    let alarm = tandem_admin::Alarm {
        kind: "slot_failed".into(),
        subject: "system".into(),
        text: "why".into(),
        since_ms: 5,
    };
    let path = lab.path("run").join(tandem_admin::UPDATE_ALARMS);
    std::fs::write(&path, serde_json::to_vec(&[alarm]).unwrap()).unwrap();
    let alarms = admin.call("tandem.alarms.list");
    assert_eq!(alarms["result"][1]["kind"], "slot_failed");
    let metrics = lab::get("127.0.0.1:9100", "/metrics");
    for kind in ["dataplane_down", "slot_failed"] {
        let line = format!("tandem_alarm{{kind=\"{kind}\",");
        assert!(metrics.contains(&line), "{metrics}");
    }

    std::fs::write(&path, "[").unwrap();
    let alarms = admin.call("tandem.alarms.list");
    assert_eq!(alarms["result"][1]["kind"], "alarms_unreadable");
}

#[test]
fn a_second_one_on_the_same_state_is_refused() {
    alone();
    let lab = Lab::new();
    let daemon = lab.start();
    let second = lab.run();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("belongs to a running tandem-sigplane"),
        "{said}"
    );
    lab.admin().call("core.status");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(lab.start().stop(), Some(0));
}

#[test]
fn mistakes_in_the_configuration_are_all_named() {
    let lab = Lab::new();
    let text = std::fs::read_to_string(lab.path("tandem.toml")).unwrap();
    let text = text
        .replace("id = 7", "id = 70000")
        .replace("side = \"internal\"", "side = \"inside\"")
        .replace("probe_interval = 0", "probe_intervall = 0");
    std::fs::write(lab.path("tandem.toml"), text).unwrap();
    let output = lab.run();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let file = lab.path("tandem.toml").display().to_string();
    assert!(said.lines().count() >= 3, "{said}");
    assert!(
        said.lines()
            .all(|l| l.starts_with(&format!("{file}: line "))),
        "{said}"
    );

    std::fs::remove_file(lab.path("tandem.toml")).unwrap();
    let output = lab.run();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&file));
}

#[test]
fn a_broken_database_or_journal_is_named_and_nothing_starts() {
    alone();
    let lab = Lab::new();
    std::fs::create_dir_all(lab.path("state")).unwrap();
    std::fs::write(lab.path("state/tandem.db"), [b'x'; 8192]).unwrap();
    let output = lab.run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("state/tandem.db") && said.contains("restore the file"),
        "{said}"
    );
    std::fs::remove_file(lab.path("state/tandem.db")).unwrap();

    std::fs::create_dir_all(lab.path("state/journal")).unwrap();
    std::fs::create_dir(lab.path("state/journal/00000000000000000001.journal")).unwrap();
    let output = lab.run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("00000000000000000001.journal"), "{said}");
}

#[test]
fn a_locked_database_holds_up_nothing_and_is_used_when_it_is_free() {
    alone();
    let lab = Lab::new();
    assert_eq!(lab.start().stop(), Some(0));
    lab.sql("insert into dispatcher (setid, destination) values (1, 'sip:10.20.0.1:5060')");
    let locker = Locker::lock(&lab.path("state/tandem.db"));
    let mut daemon = lab.start();
    let phone = Phone::new();
    phone.send("OPTIONS", "options-3");
    assert_eq!(phone.final_code("options-3"), 200);
    let mut admin = lab.admin();
    assert_eq!(admin.call("core.status")["result"]["database_up"], false);
    locker.release();
    daemon.wait_for("tables read: 1 dispatcher rows");
    assert_eq!(
        admin.call("dispatcher.list")["result"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn each_call_has_one_cdr_across_sigkills() {
    alone();
    let lab = Lab::new();
    assert_eq!(lab.start().stop(), Some(0));
    // A carrier, and a pool without servers: each call is answered 503 at once, with a CDR.
    lab.sql("insert into address (ip_addr) values ('127.0.0.1')");
    let mut calls = 0;
    for _ in 0..5 {
        let daemon = lab.start();
        let phone = Phone::new();
        for _ in 0..20 {
            calls += 1;
            let call_id = format!("call-{calls}");
            assert_eq!(phone.ask("INVITE", &call_id), 503);
        }
        daemon.kill();
    }
    assert_eq!(lab.start().stop(), Some(0));
    let rows =
        lab.sql("select count(*), count(distinct call_uuid), count(distinct callid) from cdr");
    assert_eq!(rows, format!("{calls}|{calls}|{calls}\n"));
    assert_eq!(lab.sql("pragma integrity_check"), "ok\n");
}
