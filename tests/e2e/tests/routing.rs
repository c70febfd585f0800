//! Where calls go: rules, numbers of ours, carriers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::IpAddr;
use std::time::Duration;

use std::process::Command;

use tandem_e2e::sip::Phone;
use tandem_e2e::sipp::{Caller, Calls, Server, Tally};
use tandem_e2e::topology::{CALLER, INSIDE, OUTSIDE, SERVERS, STRANGER, TRUNK, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(30);
const OF_ACME: IpAddr = SERVERS[0];
const OF_ZETA: IpAddr = SERVERS[1];

fn call(lab: &Lab, name: &str, user: &'static str, host: &'static str) -> Tally {
    let load = Calls {
        user,
        host,
        count: 5,
        rate: 10,
        talk: Duration::from_millis(300),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, name, &load).unwrap();
    caller.finish(SOON).unwrap()
}

#[test]
fn the_same_number_of_two_tenants_goes_to_two_places() {
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(OF_ACME)],
        trunk: None,
        carriers: vec![CALLER],
        more: "[routing]\ndids = true\n".to_owned(),
        ..Options::default()
    })
    .unwrap();
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination) VALUES (7, 'sip:{}');
         INSERT INTO did_routing (tenant, did, dest_type, destination, setid)
             VALUES ('acme.example', '4930100', 'ivr', 'front', 0), ('zeta.example', '+49 30 100', 'desk', '', 7);",
        sip(OF_ZETA)
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let _acme = Server::start(&lab, &lab.core, "acme", OF_ACME).unwrap();
    let _zeta = Server::start(&lab, &lab.core, "zeta", OF_ZETA).unwrap();
    for (name, host) in [("first", "acme.example"), ("second", "ZETA.example")] {
        let tally = call(&lab, name, "+4930100", host);
        assert_eq!(
            (tally.successful, tally.failed),
            (5, 0),
            "{host}: {tally:?}"
        );
    }
    // A number that nobody has: 404, not a call.
    let tally = call(&lab, "third", "4930100", "other.example");
    assert_eq!((tally.successful, tally.failed), (0, 5), "{tally:?}");
    let unknown = lab.ctl().counters().unwrap().value("dids_unknown");
    assert_eq!(unknown, 5);
    let places = "SELECT destination, count(*) FROM cdr WHERE sip_code = 200 GROUP BY destination ORDER BY destination";
    let expected = format!("sip:{}|5\nsip:{}|5\n", sip(OF_ACME), sip(OF_ZETA));
    let all = || (lab.sql(places).ok()? == expected).then_some(());
    if let Err(failure) = wait::until("ten CDRs", SOON, all) {
        panic!("{failure}: {}", lab.sql(places).unwrap());
    }
    // One more, while calls could be made: the next reload has it.
    lab.sql("INSERT INTO did_routing (did) VALUES ('4930100')")
        .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let tally = call(&lab, "fourth", "4930100", "other.example");
    assert_eq!((tally.successful, tally.failed), (5, 0), "{tally:?}");
}

/// A database of where the callers are, made by MaxMind's own writer.
const PLACES: &str = r#"
use MaxMind::DB::Writer::Tree;
my %types = (country => 'map', iso_code => 'utf8_string', location => 'map', latitude => 'double', longitude => 'double');
my $tree = MaxMind::DB::Writer::Tree->new(
    ip_version => 6, record_size => 24, database_type => 'Test-City', languages => ['en'],
    description => { en => 'where the callers of a test are' }, map_key_type_callback => sub { $types{ $_[0] } },
    remove_reserved_networks => 0,
);
$tree->insert_network('192.0.2.100/32', { country => { iso_code => 'DE' }, location => { latitude => 52.5, longitude => 13.4 } });
$tree->insert_network('192.0.2.200/32', { country => { iso_code => 'AU' }, location => { latitude => -33.9, longitude => 151.2 } });
open my $file, '>:raw', $ARGV[0] or die;
$tree->write_tree($file);
close $file or die;
"#;

/// Rules of each kind. What fits none goes to the pool, in Sydney; set 7 is in Berlin.
const RULES: &str = r#"
[[site]]
name = "sydney"
sets = [1]
latitude = -33.9
longitude = 151.2
[[site]]
name = "berlin"
sets = [7]
latitude = 52.52
longitude = 13.4
[[tenant]]
name = "acme"
domains = ["acme.example"]
[[trunk]]
name = "b"
set = 102
networks = ["192.0.2.200"]
[[rule]]
name = "no messages"
method = ["MESSAGE"]
action = "reject"
code = 488
reason = "No Messages"
[[rule]]
name = "barred"
from = ["carrier"]
prefix = ["4999"]
action = "reject"
code = 603
[[rule]]
name = "headers"
add_headers = ["X-Account: $rU at $rd"]
remove_headers = ["X-Internal-*", "User-Agent"]
[[rule]]
name = "by domain to the numbers"
domain = ["numbers.example"]
action = "did"
[[rule]]
name = "by tenant"
from = ["carrier"]
tenant = ["acme"]
action = "dispatch"
set = 7
[[rule]]
name = "by trunk"
from = ["carrier"]
trunk = ["b"]
prefix = ["55"]
action = "dispatch"
set = 7
[[rule]]
name = "by number"
from = ["carrier"]
number = '^7\d\d$'
action = "dispatch"
set = 7
[[rule]]
name = "by country"
from = ["carrier"]
country = ["DE"]
prefix = ["88"]
action = "dispatch"
set = 7
[[rule]]
name = "by place"
from = ["carrier"]
prefix = ["66"]
action = "nearest"
sets = [1, 7]
"#;

/// The destination and the code of the call to this user, by its CDR.
fn went(lab: &Lab, user: &str) -> String {
    let rows = format!(
        "SELECT DISTINCT destination, sip_code FROM cdr WHERE request_uri LIKE 'sip:{user}@%'"
    );
    let read = || lab.sql(&rows).ok().filter(|text| !text.is_empty());
    let text = wait::until(format!("a CDR of {user}"), SOON, read).unwrap();
    text.trim().to_owned()
}

#[test]
fn every_kind_of_rule_routes_calls() {
    let mut lab = Lab::wires(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        ..Options::default()
    })
    .unwrap();
    let places = lab.dir().join("places.mmdb");
    let written = Command::new("perl")
        .args(["-e", PLACES])
        .arg(&places)
        .status();
    assert!(written.unwrap().success());
    let more = format!("[routing]\ngeoip = \"{}\"\n{RULES}", places.display());
    lab.change(|options| options.more = more).unwrap();
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    lab.fill_database().unwrap();
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination) VALUES (7, 'sip:{}');
         INSERT INTO did_routing (did, dest_type, destination, setid) VALUES ('1000', 'ivr', 'front', 7);",
        sip(SERVERS[1])
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    lab.wait_until_ready().unwrap();
    let _sydney = Server::start(&lab, &lab.core, "sydney", SERVERS[0]).unwrap();
    let _berlin = Server::listening(&lab, &lab.core, "berlin", SERVERS[1]).unwrap();
    let [sydney, berlin] = SERVERS.map(|server| format!("sip:{}|200", sip(server)));

    let calls = |name: &str, from, user, host| {
        let load = Calls {
            from,
            user,
            host,
            count: 2,
            rate: 10,
            talk: Duration::from_millis(200),
            ..Calls::default()
        };
        let caller = Caller::start(&lab, &lab.carrier, name, &load).unwrap();
        caller.finish(SOON).unwrap().successful
    };
    for (n, (from, user, host, to)) in [
        (CALLER, "11", "", &sydney),
        (CALLER, "1000", "numbers.example", &berlin),
        (CALLER, "12", "acme.example", &berlin),
        // The trunk is known by its network alone; others may call that number too.
        (STRANGER, "551", "", &berlin),
        (CALLER, "552", "", &sydney),
        (CALLER, "789", "", &berlin),
        (CALLER, "7890", "", &sydney),
        (CALLER, "881", "", &berlin),
        (STRANGER, "882", "", &sydney),
        (CALLER, "661", "", &berlin),
        (STRANGER, "662", "", &sydney),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(calls(&format!("c{n}"), from, user, host), 2, "{user}");
        assert_eq!(went(&lab, user), *to, "{user}");
    }
    assert_eq!(calls("barred", CALLER, "49991", ""), 0);
    assert_eq!(went(&lab, "49991"), "|603");
    assert_eq!(calls("unknown", CALLER, "1001", "numbers.example"), 0);
    assert_eq!(went(&lab, "1001"), "|404");
    // Where the nearest set takes no calls, the next nearest has them.
    lab.ctl()
        .run(&[
            "dispatcher",
            "drain",
            &format!("sip:{}", sip(SERVERS[1])),
            "--set",
            "7",
        ])
        .unwrap();
    assert_eq!(calls("fallback", CALLER, "663", ""), 2);
    assert_eq!(went(&lab, "663"), sydney);

    let rules = lab.ctl().run(&["tables", "dump", "rules"]).unwrap();
    assert!(
        rules.contains("by place") && rules.contains("barred"),
        "{rules}"
    );
    let caller = CALLER.to_string();
    let question = ["routes", "test", "--source", &caller, "sip:661@192.0.2.10"];
    let said = lab.ctl().run(&question).unwrap();
    assert!(
        said.contains("country  DE") && said.contains("rules    headers, by place"),
        "{said}"
    );

    let told = Server::was_told(&lab, "berlin").unwrap();
    assert!(
        told.contains("X-Account: 1000 at numbers.example"),
        "{told}"
    );
    assert!(told.contains("X-Dest-Type: ivr") && told.contains("INVITE sip:front@"));
    let socket = lab.udp(&lab.carrier, sip(CALLER)).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "message").unwrap();
    let uri = format!("sip:11@{}", sip(OUTSIDE));
    let message = phone.request("MESSAGE", &uri, &format!("<{uri}>"), 1, "");
    let answer = phone.ask(&message, SOON).unwrap();
    assert!(
        answer.text.starts_with("SIP/2.0 488 No Messages"),
        "{}",
        answer.text
    );
    assert_eq!(lab.ctl().counters().unwrap().value("rules_rejected"), 3);
}

/// Carriers: nobody is at `down`, `unwilling` refuses, `good` takes all; `small` and `slow` have limits.
const CARRIERS: &str = r#"
[routing]
trunk_routing = true
[[trunk]]
name = "down"
set = 101
[[trunk]]
name = "unwilling"
set = 102
[[trunk]]
name = "good"
set = 103
called = [{ match = '^\+?44(\d+)$', to = "0$1" }]
caller_id = "+493012345"
from_domain = "tandem.example"
asserted = "set"
[[trunk]]
name = "small"
set = 104
max_calls = 2
[[trunk]]
name = "slow"
set = 105
max_cps = 3
"#;

#[test]
fn a_carrier_that_fails_rejects_or_is_at_its_limit_is_passed_over() {
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        more: CARRIERS.to_owned(),
        ..Options::default()
    })
    .unwrap();
    let good = sip(TRUNK);
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination) VALUES (101, 'sip:{TRUNK}:5999'), (102, 'sip:{}'),
             (103, 'sip:{good}'), (104, 'sip:{good}'), (105, 'sip:{good}');
         INSERT INTO trunk_routing (prefix, trunk, priority, weight) VALUES
             ('44', 'down', 30, 1), ('44', 'unwilling', 20, 1), ('44', 'good', 10, 1),
             ('33', 'small', 20, 1), ('33', 'good', 10, 1), ('34', 'slow', 20, 1), ('34', 'good', 10, 1),
             ('35', 'unwilling', 0, 1);",
        sip(STRANGER)
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let _good = Server::listening(&lab, &lab.carrier, "good", TRUNK).unwrap();
    let _unwilling = Server::refusing(&lab, &lab.carrier, "unwilling", STRANGER).unwrap();

    let call = |name: &str, user, count, rate, talk| {
        let load = Calls {
            from: SERVERS[0],
            port: 5_070,
            to: INSIDE,
            user,
            count,
            rate,
            talk: Duration::from_millis(talk),
            ..Calls::default()
        };
        let caller = Caller::start(&lab, &lab.core, name, &load).unwrap();
        caller.finish(SOON).unwrap()
    };
    let by_trunk = |user: &str, calls: u64| {
        let of = format!("FROM cdr WHERE request_uri LIKE 'sip:{user}%'");
        let all = || {
            let count = lab.sql(&format!("SELECT count(*) {of}")).ok()?;
            (count.trim() == calls.to_string()).then_some(())
        };
        wait::until(format!("the CDRs of {user}"), SOON, all).unwrap();
        let rows = format!(
            "SELECT trunk, sip_code, count(*) {of} GROUP BY trunk, sip_code ORDER BY trunk"
        );
        lab.sql(&rows).unwrap()
    };

    // What would become of a call is said before one is made.
    let pool = SERVERS[0].to_string();
    let question = [
        "routes",
        "test",
        "--sender",
        "pool",
        "--source",
        &pool,
        "sip:4420123@10.20.0.10",
    ];
    let said = lab.ctl().run(&question).unwrap();
    let order = ["down", "unwilling", "good"].map(|name| said.find(name));
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{said}"
    );

    let tally = call("failover", "4420123", 5, 10, 200);
    assert_eq!((tally.successful, tally.failed), (5, 0), "{tally:?}");
    assert_eq!(by_trunk("44", 5), "good|200|5\n");
    let counters = lab.ctl().counters().unwrap();
    assert_eq!(
        counters.value("carriers_passed_over"),
        10,
        "two for each call"
    );
    assert_eq!(counters.value("failover_response"), 5);

    // The carrier is told numbers as it wants them, in the call and at its end.
    let told = Server::was_told(&lab, "good").unwrap();
    let lines = |begin: &str| told.lines().filter(|l| l.starts_with(begin)).count();
    assert!(lines("INVITE sip:020123@") >= 5, "{told}");
    let from = "From: <sip:+493012345@tandem.example>;tag=";
    let sent = told.lines().filter(|l| l.starts_with("From: ")).count();
    assert!(
        sent >= 30 && lines(from) == sent,
        "{} of {sent}",
        lines(from)
    );
    assert!(lines("P-Asserted-Identity: <sip:+493012345@tandem.example>") >= 5);

    // Five at a time, of which two may go by the first.
    let tally = call("limit", "331", 5, 50, 2_000);
    assert_eq!((tally.successful, tally.failed), (5, 0), "{tally:?}");
    assert_eq!(by_trunk("33", 5), "good|200|3\nsmall|200|2\n");
    // Six within a second, of which three may go by the first; whatever comes later may, too.
    let tally = call("rate", "341", 6, 50, 100);
    assert_eq!((tally.successful, tally.failed), (6, 0), "{tally:?}");
    assert_eq!(by_trunk("34", 6), "good|200|3\nslow|200|3\n");
    let counters = lab.ctl().counters().unwrap();
    let passed = ["trunks_full", "trunks_too_fast"].map(|name| counters.value(name));
    assert_eq!(passed, [3, 3]);

    // Nobody else has this number: what the carrier says is told. For another one there is no way at all.
    assert_eq!(call("refused", "351", 1, 1, 100).successful, 0);
    assert_eq!(by_trunk("35", 1), "unwilling|403|1\n");
    assert_eq!(call("nowhere", "361", 1, 1, 100).successful, 0);
    assert_eq!(by_trunk("36", 1), "|404|1\n");
}

#[test]
#[ignore = "a million rows: nightly"]
fn a_million_routes_are_read_while_calls_are_made() {
    let mut lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        more: CARRIERS.to_owned(),
        ..Options::default()
    })
    .unwrap();
    let good = sip(TRUNK);
    lab.sql(&format!(
        "INSERT INTO dispatcher (setid, destination) VALUES (103, 'sip:{good}');
         INSERT INTO trunk_routing (prefix, trunk) VALUES ('44', 'good');
         INSERT INTO trunk_routing (prefix, trunk)
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
             SELECT 5000000 + a.i * 1000 + b.i, 'good' FROM n a, n b;"
    ))
    .unwrap();
    let _good = Server::start(&lab, &lab.carrier, "good", TRUNK).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    // The next life begins with what this one has kept.
    lab.stop_sigplane().unwrap();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    let load = |user| Calls {
        from: SERVERS[0],
        port: 5_070,
        to: INSIDE,
        user,
        count: 20,
        rate: 10,
        talk: Duration::from_millis(200),
        ..Calls::default()
    };
    let first = Caller::start(&lab, &lab.core, "first", &load("5123456789")).unwrap();
    assert_eq!(first.finish(SOON).unwrap().successful, 20);
    // One row more, and all are read again beside calls.
    lab.sql("INSERT INTO trunk_routing (prefix, trunk) VALUES ('777', 'good')")
        .unwrap();
    let meanwhile = Caller::start(&lab, &lab.core, "meanwhile", &load("5123456789")).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    assert_eq!(meanwhile.finish(SOON).unwrap().successful, 20);
    let last = Caller::start(&lab, &lab.core, "last", &load("777123")).unwrap();
    assert_eq!(last.finish(SOON).unwrap().successful, 20);
    let said = lab.daemons_said();
    for line in said
        .lines()
        .filter(|line| line.contains("routes of trunk_routing"))
    {
        println!("{line}");
    }
    assert!(said.contains("1000002 routes of trunk_routing"), "{said}");
}
