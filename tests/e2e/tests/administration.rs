//! What an administrator does and expects.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::process::Command;
use std::time::Duration;

use tandem_e2e::sip::{Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{
    CALLER, CALLER6, CARRIER_TAP, CORE_TAP, OUTSIDE, OUTSIDE6, SERVERS, sip,
};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn ping_and_ip_work_as_on_any_machine() {
    let lab = Lab::start(Options::default()).unwrap();
    // In both directions and families, through the DPDK ports and the TAPs.
    lab.carrier
        .run(&format!("ping -n -c 2 -i 0.2 -W 2 {OUTSIDE}"))
        .unwrap();
    lab.carrier
        .run(&format!("ping -n -c 2 -i 0.2 -W 2 {OUTSIDE6}"))
        .unwrap();
    lab.appliance
        .run(&format!("ping -n -c 2 -i 0.2 -W 2 {CALLER}"))
        .unwrap();
    lab.appliance
        .run(&format!("ping -n -c 2 -i 0.2 -W 2 {CALLER6}"))
        .unwrap();
    // A big one is fragmented on the way in and on the way out. In IPv6, since before the driver of
    // the laboratory's ports the kernel puts IPv4 fragments together by itself.
    lab.carrier
        .run(&format!("ping -n -c 1 -s 4000 -W 2 {OUTSIDE6}"))
        .unwrap();
    wait::until("fragments on their way to the kernel", SOON, || {
        let counters = lab.ctl().counters().ok()?;
        (counters.value("exception_ip6_extension") >= 3).then_some(())
    })
    .unwrap();
    let neighbours = lab
        .appliance
        .run(&format!("ip neigh show dev {CARRIER_TAP}"))
        .unwrap();
    assert!(neighbours.contains(&CALLER.to_string()), "{neighbours}");
    let route = lab
        .appliance
        .run(&format!("ip route get {CALLER}"))
        .unwrap();
    assert!(route.contains(CARRIER_TAP), "{route}");
}

#[test]
fn a_new_address_and_a_changed_route_are_followed() {
    let lab = Lab::start(Options::default()).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    lab.appliance
        .run(&format!("ip addr add 192.0.2.77/24 dev {CARRIER_TAP}"))
        .unwrap();
    lab.carrier.run("ping -n -c 1 -W 2 192.0.2.77").unwrap();
    // The servers' network is now behind a router of the core: a server with another address.
    lab.core.run("ip addr add 10.99.0.1/32 dev lo").unwrap();
    lab.appliance
        .run(&format!(
            "ip route add 10.99.0.0/24 via {} dev {CORE_TAP}",
            SERVERS[0]
        ))
        .unwrap();
    lab.appliance.run("ping -n -c 1 -W 2 10.99.0.1").unwrap();
    let far: std::net::IpAddr = "10.99.0.1".parse().unwrap();
    let _far = Server::start(&lab, &lab.core, "far", far).unwrap();
    lab.sql(&format!(
        "UPDATE dispatcher SET destination = 'sip:{}' WHERE setid = 1",
        sip(far)
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let caller = Caller::start(&lab, &lab.carrier, "caller", &Calls::default()).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!(
        (tally.successful, tally.failed),
        (1, 0),
        "{}",
        lab.daemons_said()
    );
    lab.wait_until_quiet(1, SOON).unwrap();
    let packets = lab.sql("SELECT callee_packets > 80 FROM cdr").unwrap();
    assert_eq!(packets.trim(), "1");
}

#[test]
fn a_configuration_with_five_mistakes_shows_five_messages() {
    let lab = Lab::wires(Options::default()).unwrap();
    let file = lab.dir().join("wrong.toml");
    let wrong = lab
        .options()
        .config(lab.dir())
        .replace("id = 1\n", "id = 0\n")
        .replace("idle = \"pause\"", "idle = \"never\"")
        .replace("port = \"core\"", "port = \"kore\"")
        .replace("timeout = 60", "timeuot = 60")
        .replace("probe_interval = 2", "probe_interval = \"2\"");
    lab.write(&file, &wrong).unwrap();
    let path = file.to_str().unwrap();
    let output = lab.ctl().output(&["config", "check", path]);
    // `config check` takes its own file; the laboratory's --config is not needed for it.
    let output = output.unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    for key in [
        "node.id",
        "dataplane.idle",
        "realm.port",
        "media.timeuot",
        "dispatcher.probe_interval",
    ] {
        let lines: Vec<&str> = said.lines().filter(|l| l.contains(key)).collect();
        assert_eq!(lines.len(), 1, "{key}: {said}");
        assert!(lines[0].contains("line "), "{}", lines[0]);
    }
    for daemon in ["tandem-dataplane", "tandem-sigplane"] {
        let program = std::env::current_exe().unwrap();
        let program = program.parent().unwrap().parent().unwrap().join(daemon);
        let output = lab
            .appliance
            .command(program)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{daemon} starts on a wrong file");
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("node.id") && said.contains("media.timeuot"),
            "{daemon}: {said}"
        );
    }
}

#[test]
fn tandemctl_tells_what_is_going_on() {
    let lab = Lab::start(Options::default()).unwrap();
    let _server = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let calls = Calls {
        talk: Duration::from_secs(6),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let ctl = lab.ctl();
    let flow = wait::until("media in both directions", SOON, || {
        let flows = ctl.flows().ok()?;
        flows
            .into_iter()
            .find(|f| f.a.rtp.packets > 20 && f.b.rtp.packets > 20)
    })
    .unwrap();
    assert_eq!(flow.a.latched.map(|a| a.ip()), Some(CALLER));
    assert_eq!(flow.a.local.ip(), OUTSIDE);
    assert_eq!((flow.a.rtp.lost, flow.b.rtp.lost), (0, 0));
    let call = ctl.calls().unwrap().remove(0);
    assert_eq!(
        (call.state.as_str(), call.direction.as_str()),
        ("confirmed", "inbound")
    );
    assert_eq!(call.flows, [flow.id]);
    assert_eq!(ctl.targets().unwrap().len(), 3);
    assert!(ctl.counters().unwrap().value("relayed") > 40);
    // For people: tables with what the JSON says.
    for (arguments, word) in [
        (&["status"][..], "dataplane"),
        (&["dispatcher", "list"], "10.20.0.21"),
        (&["calls"], call.call_id.as_str()),
        (&["flows"], "192.0.2.100"),
        (&["counters"], "relayed"),
        (
            &["config", "check", lab.config_file().to_str().unwrap()],
            "",
        ),
    ] {
        let text = ctl.run(arguments).unwrap();
        assert!(text.contains(word), "{arguments:?}: {text}");
    }
    assert_eq!(caller.finish(SOON).unwrap().successful, 1);
}

#[test]
fn tandemctl_says_so_when_nobody_is_there() {
    let lab = Lab::wires(Options::default()).unwrap();
    let output = lab.ctl().output(&["status"]).unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("tandem-sigplane"), "{said}");
}

#[test]
fn a_capture_is_a_pcap_file_that_tshark_filters_by_call_id() {
    let options = Options {
        pool: vec![sip(SERVERS[0])],
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
    let file = lab.dir().join("call.pcap");
    let path = file.to_str().unwrap().to_owned();
    let arguments = [
        "capture",
        "--write",
        &path,
        "--seconds",
        "30",
        "--max-packets",
        "20000",
    ];
    let mut capture =
        tandem_e2e::Process::start("capture", lab.ctl().command(&arguments), lab.log("capture"))
            .unwrap();
    capture.wait_for_words("capturing up to", 1, SOON).unwrap();

    let socket = lab.udp(&lab.carrier, (CALLER, 5070).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "wanted").unwrap();
    let answer = phone
        .ask(&phone.invite("x", &sdp(CALLER, 7000)), SOON)
        .unwrap();
    phone.acknowledge(&answer).unwrap();
    assert_eq!(phone.hang_up(&answer).unwrap().code(), 200);

    let filter = format!("sip.Call-ID == \"{}\"", phone.call_id());
    let tshark = |fields: &str| {
        let mut command = Command::new("tshark");
        command.args(["-r", &path, "-Y", &filter, "-T", "fields", "-e", fields]);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    // The INVITE and the BYE on both sides of the appliance.
    wait::until("the call in the file", SOON, || {
        let methods = tshark("sip.Method");
        let count = |m: &str| methods.lines().filter(|l| *l == m).count();
        (count("INVITE") == 2 && count("BYE") == 2).then_some(())
    })
    .unwrap();
    let addresses = tshark("ip.src");
    assert!(
        addresses.contains("10.20.0.10") && addresses.contains("192.0.2.100"),
        "{addresses}"
    );
}

#[test]
fn a_system_proves_itself_and_one_without_dataplane_does_not() {
    let mut lab = Lab::start(Options::default()).unwrap();
    let prove = |lab: &Lab, seconds: &str| {
        let ctl = lab.ctl();
        let output = ctl
            .output(&["--json", "update", "prove", "--seconds", seconds])
            .unwrap();
        let found: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), found)
    };
    let (code, found) = prove(&lab, "60");
    assert_eq!(code, Some(0), "{found}\n{}", lab.daemons_said());
    for check in ["signaling", "dataplane", "database", "sip", "relay"] {
        assert_eq!(found["checks"][check], "passed", "{found}");
    }
    let counters = lab.ctl().counters().unwrap();
    assert!(counters.value("proof_relayed") > 0 && counters.value("proof_failed") == 0);
    // Nothing of it is a call's.
    assert_eq!(counters.value("relayed"), 0);

    lab.kill_dataplane();
    let (code, found) = prove(&lab, "1");
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["proven"], false);
    assert!(
        found["checks"]["dataplane"]["failed"].is_string(),
        "{found}"
    );
}
