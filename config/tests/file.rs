//! The file as a whole: what is read, what is refused, and how it is said.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use proptest::prelude::*;
use tandem_config::{Config, DatabaseUrl, Idle, KernelListen, MediaSource, Side, parse};

/// The least that is a configuration.
const SMALL: &str = r#"
[node]
id = 7

[dataplane]
workers = [2, 3]

[[port]]
name = "p0"
device = "net_af_packet0,iface=veth0"

[[port]]
name = "p1"
device = "41:00.1"

[[realm]]
name = "out"
side = "external"
port = "p0"
tap = "tap0"
sip = ["192.0.2.1:5060"]
media = ["192.0.2.1"]

[[realm]]
name = "in"
side = "internal"
port = "p1"
tap = "tap1"
sip = ["10.0.0.1:5060"]
media = ["10.0.0.1"]
"#;

fn small() -> Config {
    parse(SMALL).unwrap()
}

/// The messages for a text.
fn said(text: &str) -> Vec<String> {
    parse(text)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The messages for the small file with one replacement.
fn said_with(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "{from}");
    said(&SMALL.replacen(from, to, 1))
}

#[test]
fn every_default_is_as_documented() {
    let c = small();
    assert_eq!(c.node.id, 7);
    assert_eq!(c.node.state_dir.to_str(), Some("/var/lib/tandem"));
    assert_eq!(c.node.run_dir.to_str(), Some("/run/tandem"));
    assert_eq!(
        c.node.link_socket().to_str(),
        Some("/run/tandem/dataplane.sock")
    );
    assert_eq!(c.dataplane.workers, [2, 3]);
    assert_eq!(c.dataplane.control_core, 0);
    assert_eq!(c.dataplane.idle, Idle::Poll);
    assert_eq!(c.dataplane.mbufs, 16_383);
    assert_eq!(c.dataplane.max_flows, 65_536);
    assert_eq!(c.dataplane.memory_mb, None);
    assert!(c.dataplane.eal.is_empty());
    assert_eq!(c.ports[0].rx_workers, [0, 1]);
    assert_eq!(c.ports[0].mtu, 1_500);
    assert_eq!(c.realms[1].port, 1);
    assert_eq!(c.realms[0].vlan, None);
    assert_eq!(c.realms[0].media_ports, 30_000..=39_999);
    assert_eq!(c.media.relay_workers, [0, 1]);
    assert_eq!(c.media.dscp, 46);
    assert_eq!(c.media.timeout, Duration::from_secs(60));
    assert_eq!(c.media.hold_timeout, Duration::from_secs(3_600));
    assert_eq!(c.media.max_duration, Duration::ZERO);
    assert_eq!(c.media.learning, Duration::from_secs(3));
    assert_eq!(c.media.source, MediaSource::Learn);
    assert_eq!(
        (c.media.max_packets_per_second, c.media.max_bytes_per_second),
        (500, 250_000)
    );
    assert_eq!(c.realms[0].media_source, None);
    assert_eq!(c.media.port_rest, Duration::from_secs(5));
    assert_eq!(c.sip.t1, Duration::from_millis(500));
    assert_eq!(c.sip.timer_c, Duration::from_secs(185));
    assert_eq!((c.sip.max_message, c.sip.max_headers), (65_535, 256));
    assert_eq!(c.sip.max_vias, 70);
    assert_eq!((c.sip.workers, c.sip.cores.clone()), (None, vec![]));
    assert_eq!(c.sip.server, "tandem");
    assert!(c.sip.kernel.is_empty());
    assert!(c.hiding.enabled);
    assert_eq!(c.hiding.keys.to_str(), Some("/var/lib/tandem/hiding.keys"));
    assert!(!c.hiding.hide_software);
    assert_eq!(c.hiding.strip_headers, ["P-Charging-*"]);
    assert!(c.hiding.domains.is_empty());
    assert!(c.defence.enabled && c.defence.trusted.is_empty());
    assert_eq!((c.defence.requests, c.defence.failures), (30, 10));
    assert_eq!(c.defence.window, Duration::from_secs(2));
    assert_eq!(c.defence.failure_window, Duration::from_secs(60));
    assert_eq!(c.defence.block, Duration::from_secs(300));
    assert!(c.defence.scanners.contains(&"sipvicious".to_owned()));
    assert_eq!(c.overload.target, Duration::from_millis(10));
    assert_eq!(c.overload.interval, Duration::from_millis(100));
    assert_eq!(c.overload.retry_after, 5);
    assert!(c.overload.emergency_numbers.contains(&"112".to_owned()));
    assert_eq!(c.routing.pool_set, 1);
    assert_eq!(c.routing.trunk_set, 100);
    assert_eq!(c.routing.carrier_group, 1);
    assert_eq!(c.dispatcher.probe_interval, Duration::from_secs(10));
    assert_eq!(c.dispatcher.probe_timeout, Duration::from_secs(4));
    assert_eq!(c.dispatcher.probe_failures, 3);
    assert_eq!(c.dispatcher.probe_successes, 3);
    assert_eq!(c.dispatcher.first_response, Duration::from_millis(2_000));
    assert!(c.dns.servers.is_empty());
    assert_eq!(c.dns.timeout, Duration::from_millis(2_000));
    assert_eq!(c.dns.stale, Duration::from_secs(86_400));
    let file = DatabaseUrl::Sqlite("/var/lib/tandem/tandem.db".into());
    assert_eq!(c.database.url, file);
    assert_eq!((c.database.tls, &c.database.password_file), (false, &None));
    assert_eq!(c.database.timeout, Duration::from_secs(5));
    assert_eq!(c.database.reload_interval, Duration::from_secs(30));
    assert_eq!(c.admin.socket.to_str(), Some("/run/tandem/admin.sock"));
    assert_eq!(c.admin.tokens.to_str(), Some("/var/lib/tandem/tokens"));
    assert!(c.http.is_empty());
}

#[test]
fn the_example_is_a_configuration_and_shows_the_defaults() {
    let text = include_str!("../tandem.example.toml");
    let config = parse(text).unwrap_or_else(|m| panic!("{m:#?}"));
    assert_eq!(config.realms.len(), 2);

    // With every `# key = value` line switched on it still reads, and what is shown as a default is
    // one.
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let full = parse(&shown).unwrap_or_else(|m| panic!("{m:#?}"));
    assert_eq!(full.dataplane.mbufs, config.dataplane.mbufs);
    assert_eq!(full.media, config.media);
    assert_eq!(full.routing.registrar_set, Some(2));
    let mut routing = full.routing.clone();
    assert_eq!(routing.conference_set, Some(3));
    assert!(routing.geoip.is_some());
    (routing.registrar_set, routing.conference_set) = (None, None);
    routing.geoip = None;
    assert_eq!(routing, config.routing);
    assert_eq!(full.nat, config.nat);
    assert_eq!(full.hiding, config.hiding);
    assert_eq!(full.defence, config.defence);
    assert_eq!(full.overload, config.overload);
    assert_eq!(full.registrar.domains, ["example.net"]);
    let mut registrar = full.registrar.clone();
    registrar.domains.clear();
    assert_eq!(registrar, config.registrar);
    let mut dispatcher = full.dispatcher.clone();
    assert_eq!(dispatcher.sets.pop().map(|set| set.set), Some(2));
    assert_eq!(dispatcher, config.dispatcher);
    assert_eq!(full.dns, config.dns);
    let mut database = full.database.clone();
    assert!(matches!(&database.url, DatabaseUrl::MariaDb(url) if url.hosts.len() == 3));
    assert!(database.password_file.is_some() && database.tls && database.ca.is_some());
    database.url = config.database.url.clone();
    (database.password_file, database.tls, database.ca) = (None, false, None);
    assert_eq!(database, config.database);
    assert_eq!(full.admin, config.admin);
    assert_eq!(full.node, config.node);
    assert_eq!(full.ports[1], config.ports[1]);
    assert_eq!(full.realms[1], config.realms[1]);
    assert_eq!(
        (full.sip.t1, full.sip.timer_c),
        (config.sip.t1, config.sip.timer_c)
    );
    let limits = |c: &Config| (c.sip.max_message, c.sip.max_headers, c.sip.max_vias);
    assert_eq!(limits(&full), limits(&config));
    assert_eq!((full.sip.workers, full.sip.cores), (Some(1), vec![0]));
    assert_eq!(full.sip.kernel.len(), 1);
    assert_eq!(full.sip.listen.len(), 1);
    assert_eq!(full.streams, config.streams);
    assert_eq!(full.tls.ca, config.tls.ca);
    assert_eq!(full.tls.trunks.len(), 1);
    assert_eq!(full.realms[0].vlan, Some(100));
    assert_eq!(full.dataplane.memory_mb, Some(256));
}

#[test]
fn everything_that_can_be_written_is_read() {
    let text = SMALL.replace(
        "workers = [2, 3]",
        "workers = [2, 3]\nidle = \"pause\"\neal = [\"--log-level=8\"]",
    ) + "vlan = 4_094\nmedia_ports = [0x4000, 20_001]\n[[sip.kernel]]\nlisten = \"[::1]:5070\"\nside = \"internal\"\n\
           [node.x]\n";
    let wrong = said(&text);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    let config = parse(&text.replace("[node.x]\n", "")).unwrap();
    assert_eq!(config.dataplane.idle, Idle::Pause);
    assert_eq!(config.dataplane.eal, ["--log-level=8"]);
    assert_eq!(config.realms[1].vlan, Some(4_094));
    assert_eq!(config.realms[1].media_ports, 16_384..=20_001);
    let kernel = KernelListen {
        listen: "[::1]:5070".parse().unwrap(),
        side: Side::Internal,
    };
    assert_eq!(config.sip.kernel, [kernel]);
}

#[test]
fn dns_servers_have_a_port() {
    let text = format!("{SMALL}[dns]\nservers = [\"192.0.2.53\", \"[2001:db8::53]:5353\"]\n");
    let servers = parse(&text).unwrap().dns.servers;
    let written: Vec<String> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(written, ["192.0.2.53:53", "[2001:db8::53]:5353"]);
}

#[test]
fn five_mistakes_show_five_clear_messages() {
    let text = SMALL
        .replace("id = 7", "id = \"seven\"")
        .replace("workers = [2, 3]", "workers = [2, 3]\nmbuffs = 1000")
        .replace("port = \"p1\"", "port = \"p2\"")
        .replace("10.0.0.1:5060", "10.0.0.1")
        + "vlan = 4095\n";
    assert_eq!(
        said(&text),
        [
            "line 3: `node.id`: is a string, where a whole number is needed; write a whole number \
             from 1 to 65535, unquoted",
            "line 7: `dataplane.mbuffs`: is not a known key; did you mean `mbufs`?",
            "line 28: `realm.port`: no port is named `p2`; write one of p0, p1, or add a `[[port]]`",
            "line 30: `realm.sip`: `10.0.0.1` is not an IP address with a port; write one such as \
             \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"",
            "line 32: `realm.vlan`: 4095 is out of range; write a whole number from 1 to 4094",
        ]
    );
}

#[test]
fn each_cross_check_is_said_once() {
    let cases = [
        (
            "name = \"p1\"",
            "name = \"p0\"",
            "`port.name`: `p0` is taken by line 9",
        ),
        (
            "tap = \"tap1\"",
            "tap = \"tap0\"",
            "`realm.tap`: `tap0` is taken by line 20",
        ),
        (
            "name = \"in\"",
            "name = \"out\"",
            "`realm.name`: `out` is taken by line 17",
        ),
        (
            "port = \"p1\"",
            "port = \"p0\"",
            "`realm.port`: the untagged frames of this port",
        ),
        (
            "[\"10.0.0.1\"]",
            "[\"192.0.2.1\"]",
            "`realm.media`: 192.0.2.1 belongs to the realm of line",
        ),
        (
            "[\"10.0.0.1\"]",
            "[\"10.0.0.1\", \"10.0.0.1\"]",
            "10.0.0.1 is named twice",
        ),
        (
            "device = \"41:00.1\"",
            "device = \"eth1\"",
            "neither a PCI address nor a virtual device",
        ),
        ("[\"10.0.0.1\"]", "[\"0.0.0.0\"]", "stands for any address"),
        (
            "media = [\"10.0.0.1\"]",
            "media_ports = [5000, 5999]\nmedia = [\"10.0.0.1\"]",
            "SIP port 5060",
        ),
        (
            "media = [\"10.0.0.1\"]",
            "media_ports = [5001, 5999]\nmedia = [\"10.0.0.1\"]",
            "first must be even",
        ),
        (
            "media = [\"10.0.0.1\"]",
            "media_ports = [6000]\nmedia = [\"10.0.0.1\"]",
            "needs two numbers",
        ),
        (
            "media = [\"10.0.0.1\"]",
            "media_ports = [6000, 5001]\nmedia = [\"10.0.0.1\"]",
            "above the last",
        ),
        (
            "10.0.0.1:5060\"",
            "10.0.0.1:5060\", \"10.0.0.2:5060\"",
            "more than one IPv4",
        ),
        ("10.0.0.1:5060\"", "10.0.0.1:0\"", "port 0"),
        (
            "workers = [2, 3]",
            "workers = [2, 2]",
            "core 2 is named twice",
        ),
        (
            "workers = [2, 3]",
            "workers = []",
            "`dataplane.workers`: is empty",
        ),
        (
            "workers = [2, 3]",
            "idle = \"pause\"",
            "`dataplane.workers`: is missing; add a line",
        ),
        (
            "side = \"internal\"",
            "side = \"inside\"",
            "`inside` is not a side",
        ),
        (
            "side = \"internal\"",
            "side = \"external\"",
            "no realm on the internal side",
        ),
        (
            "name = \"p1\"",
            "name = \"p1\"\nrx_workers = [2]",
            "there is no worker 2",
        ),
        (
            "media = [\"10.0.0.1\"]",
            "",
            "no media address in any realm",
        ),
        (
            "sip = [\"10.0.0.1:5060\"]",
            "",
            "no SIP address in any realm",
        ),
        (
            "id = 7",
            "id = 7\nrun_dir = \"run\"",
            "absolute path, such as `/run`",
        ),
        ("id = 7", "id = 70_000", "70000 is out of range"),
        ("id = 7", "id = 1.5", "is a number with a fraction"),
    ];
    for (from, to, message) in cases {
        let said = said_with(from, to);
        assert!(said.iter().any(|m| m.contains(message)), "{to}: {said:#?}");
        // The two that leave a realm without what it is for are said from two points of view.
        assert!(said.len() <= 2, "{to}: {said:#?}");
    }
    let appended = [
        (
            "[media]\nrelay_workers = [0, 9]\n",
            "`media.relay_workers`: there is no worker 9",
        ),
        (
            "[sip]\nmax_message = 65536\n",
            "65536 is out of range; write a whole number from 1300 to 65535",
        ),
        (
            "[sip]\nmax_headers = 257\n",
            "257 is out of range; write a whole number from 16 to 256",
        ),
        (
            "[sip]\nmax_vias = 0\n",
            "0 is out of range; write a whole number from 1 to 256",
        ),
        (
            "[sip]\nworkers = 65\n",
            "65 is out of range; write a whole number from 1 to 64",
        ),
        (
            "[sip]\nworkers = 3\ncores = [0, 1]\n",
            "`sip.cores`: there are 3 SIP workers, and 2 cores for them; write `workers = 2`",
        ),
        (
            "[sip]\nworkers = 2\ncores = [9, 9]\n",
            "core 9 is named twice",
        ),
        (
            "[sip]\nworkers = 2\ncores = [1, 2]\n",
            "core 2 is one of `dataplane.workers`, which never sleep",
        ),
        (
            "[sip]\ncores = [7]\n",
            "`sip.cores`: cores are named without the number of workers; write `workers = 1`",
        ),
        (
            "[sip]\ntimer_c = 180\n",
            "180 is out of range; write a whole number from 181",
        ),
        (
            "[routing]\ntrunk_set = 1\n",
            "the pool and the trunk are the same set",
        ),
        (
            "[dispatcher]\nprobe_timeout = 10\n",
            "`dispatcher.probe_timeout`: a probe would wait 10 s",
        ),
        (
            "[dispatcher]\nprobe_interval = 3\n",
            "`dispatcher.probe_interval`: a probe would wait 4 s",
        ),
        (
            "[dns]\nservers = [\"ns.example\"]\n",
            "`ns.example` is not the address of a DNS server",
        ),
        (
            "[dns]\nservers = [\"0.0.0.0\"]\n",
            "`0.0.0.0` cannot be a server",
        ),
        (
            "[database]\nurl = \"mysql://x\"\n",
            "write `sqlite:` and a path",
        ),
        (
            "[database]\nurl = \"mysql://u:p@h/d\"\npassword_file = \"/p\"\n",
            "`database.password_file`: is a second password",
        ),
        (
            "[database]\nurl = \"mysql://u@h/d\"\nca = \"/ca.pem\"\n",
            "`database.ca`: is of no use without TLS",
        ),
        (
            "[[sip.kernel]]\nlisten = \"10.0.0.1:5060\"\nside = \"internal\"\n",
            "is taken by line 29",
        ),
        (
            "[sip]\nserver = \"a\\r\\nb\"\n",
            "cannot stand in a Server header",
        ),
        (
            "[colours]\n",
            "`colours`: is not a known key; remove it; the keys here are node,",
        ),
        ("[realms]\n", "did you mean `realm`?"),
        (
            "[admin]\nsocket = 5\n",
            "`admin.socket`: is a whole number, where a string",
        ),
    ];
    for (text, message) in appended {
        let said = said(&format!("{SMALL}{text}"));
        assert!(
            said.len() == 1 && said[0].contains(message),
            "{text}: {said:#?}"
        );
    }
}

#[test]
fn what_is_missing_altogether_is_named() {
    let said = said("");
    for part in [
        "`node.id`",
        "`dataplane.workers`",
        "no port",
        "external side",
        "internal side",
    ] {
        assert!(said.iter().any(|m| m.contains(part)), "{part}: {said:#?}");
    }
    assert!(said[0].contains("add `["), "{said:#?}");
}

#[test]
fn text_that_is_not_toml_shows_every_line_of_it() {
    let said = said(&format!("{SMALL}[sip\nx = = 3\n"));
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said[0].starts_with("line 31: this is not TOML"),
        "{said:#?}"
    );
    assert!(
        said[1].starts_with("line 32: this is not TOML"),
        "{said:#?}"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,400}") {
        let _ = parse(&text);
    }

    /// Mutations of a real file reach deeper than arbitrary text.
    #[test]
    fn a_mutilated_file_is_read_or_refused(
        cuts in proptest::collection::vec((0usize..700, 0usize..12, "[\\[\\]=\",.a-z0-9 é\n-]{0,4}"), 1..6),
    ) {
        let mut chars: Vec<char> = SMALL.chars().collect();
        for (at, len, with) in cuts {
            let at = at.min(chars.len());
            let end = (at + len).min(chars.len());
            chars.splice(at..end, with.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Err(mistakes) = parse(&text) {
            prop_assert!(!mistakes.is_empty());
            let lines = text.lines().count() + 1;
            prop_assert!(mistakes.iter().all(|m| (1..=lines).contains(&m.line)));
        }
    }
}

const LISTEN: &str = "[[sip.listen]]\ntransport = \"tls\"\nlisten = \"192.0.2.1:5061\"\nrealm = \"a\"\n\
    [[tls.certificate]]\nchain = \"/c\"\nkey = \"/k\"\n";

#[test]
fn mistakes_of_streams_name_their_place() {
    let small = SMALL.to_owned();
    let realm = parse(&small).unwrap().realms[0].clone();
    let address = realm.sip[0].ip();
    let good = small
        + &LISTEN
            .replace("192.0.2.1", &address.to_string())
            .replace("\"a\"", &format!("\"{}\"", realm.name));
    let config = parse(&good).unwrap_or_else(|m| panic!("{m:#?}"));
    assert_eq!(config.sip.listen[0].realm, Some(0));
    assert_eq!(config.sip.listen[0].side, realm.side);
    let problem = |from: &str, to: &str| {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        said(&text).join("|")
    };
    for (from, to, needle) in [
        ("\"tls\"", "\"sctp\"", "is not a transport"),
        ("\"tls\"", "\"udp\"", "udp is not a stream"),
        ("chain = \"/c\"\n", "", "chain"),
        ("chain = \"/c\"", "chain = \"c\"", "absolute path"),
        ("realm = ", "side = \"internal\"\nrealm = ", "remove `side`"),
        (":5061", ":0", "port 0"),
        (
            "transport = ",
            "client_certificate = \"required\"\ntransport = ",
            "client_ca",
        ),
        (
            "[[tls.certificate]]",
            "[[tls.trunk]]\nnetworks = [\"10.0.0.0/33\"]\nnames = [\"x\"]\nca = \"/x\"\n[[tls.certificate]]",
            "not an address or network",
        ),
        (
            "[[tls.certificate]]",
            "[[tls.trunk]]\nnetworks = [\"10.0.0.0/8\"]\n[[tls.certificate]]",
            "names",
        ),
    ] {
        let all = problem(from, to);
        assert!(all.contains(needle), "{to}: {all}");
    }
    let without = good.replace("[[tls.certificate]]\nchain = \"/c\"\nkey = \"/k\"\n", "");
    assert!(said(&without).join("|").contains("needs a certificate"));
}

#[test]
fn mistakes_of_defence_and_overload_name_their_place() {
    let with = |section: &str, lines: &str| format!("{SMALL}[{section}]\n{lines}\n");
    let good = with(
        "defence",
        "requests = 0\ntrusted = [\"10.0.0.0/8\"]\nscanners = [\" x \"]",
    );
    let config = parse(&good).unwrap();
    assert_eq!(config.defence.requests, 0);
    assert_eq!(config.defence.trusted[0].length, 8);
    assert_eq!(config.defence.scanners, ["x"]);
    for (section, lines, needle) in [
        ("defence", "enabled = \"yes\"", "neither true nor false"),
        ("defence", "block = 0", "1 to"),
        ("defence", "trusted = [\"10.0.0.0/33\"]", "defence.trusted"),
        ("defence", "scanners = [\" \"]", "is empty"),
        ("defence", "windows = 2", "did you mean `window`?"),
        ("overload", "retry_after = 0", "1 to"),
        (
            "overload",
            "emergency_numbers = 112",
            "overload.emergency_numbers",
        ),
    ] {
        let wrong = said(&with(section, lines));
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert!(
            wrong[0].contains(section) && wrong[0].contains(needle),
            "{wrong:#?}"
        );
    }
}

#[test]
fn mistakes_of_hiding_name_their_place() {
    let with = |lines: &str| format!("{SMALL}[hiding]\n{lines}\n");
    let good =
        with("enabled = false\nstrip_headers = [\"X-*\", \"P-Foo\"]\ndomains = [\".PBX.example\"]");
    let config = parse(&good).unwrap();
    assert!(!config.hiding.enabled);
    assert_eq!(config.hiding.strip_headers, ["X-*", "P-Foo"]);
    assert_eq!(config.hiding.domains, ["pbx.example"]);
    for (lines, needle) in [
        ("enabled = 1", "neither true nor false"),
        ("keys = \"hiding.keys\"", "absolute path"),
        ("strip_headers = [\"X: y\"]", "is no header's name"),
        ("strip_headers = [\"*\"]", "is no header's name"),
        ("strip_headers = [\"call-id\"]", "would take Call-ID away"),
        ("strip_headers = [\"C*\"]", "would take Call-ID away"),
        ("domains = [\"pbx\"]", "with a dot in it"),
        ("domains = [\"10.0.0.1\"]", "is no name of a domain"),
        ("key = \"/x\"", "did you mean `keys`?"),
    ] {
        let wrong = said(&with(lines));
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert!(
            wrong[0].contains("`hiding.") && wrong[0].contains(needle),
            "{wrong:#?}"
        );
    }
}

#[test]
fn registrars_and_what_lies_before_user_agents() {
    let with = |lines: &str| format!("{SMALL}{lines}\n");
    let config = parse(SMALL).unwrap();
    assert_eq!(config.routing.registrar_set, None);
    assert_eq!(config.nat.path, tandem_config::PathRule::Always);
    assert_eq!(config.nat.keepalive.as_secs(), 30);
    let config = parse(&with(
        "[routing]\nregistrar_set = 1\n[nat]\npath = \"supported\"\nkeepalive = 0",
    ))
    .unwrap();
    assert_eq!(config.routing.registrar_set, Some(1));
    assert_eq!(config.nat.path, tandem_config::PathRule::Supported);
    assert!(config.nat.keepalive.is_zero());
    for (lines, needle) in [
        ("[routing]\nregistrar_set = 100", "set 100 is the trunk"),
        ("[routing]\nregistrar_set = \"x\"", "whole number"),
        ("[nat]\npath = \"never\"", "`never` does not say"),
        ("[nat]\nkeepalive_misses = 0", "whole number"),
        ("[nat]\nkeepaliv = 3", "did you mean `keepalive`?"),
    ] {
        let wrong = said(&with(lines));
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert!(wrong[0].contains(needle), "{wrong:#?}");
    }
}

#[test]
fn sets_have_their_algorithms_by_name_or_number() {
    let with = |dispatcher: &str| format!("{SMALL}\n[dispatcher]\n{dispatcher}\n");
    let config = parse(&with(
        "algorithm = 4\n[[dispatcher.set]]\nset = 2\nalgorithm = \"expression\"\nexpression = \"$fd/$hdr(X-Account)\"\nfallback = 1",
    ))
    .unwrap();
    assert_eq!(config.dispatcher.algorithm.name, "round-robin");
    let set = &config.dispatcher.sets[0];
    assert_eq!(
        (set.set, set.algorithm.name, set.fallback),
        (2, "expression", Some(1))
    );
    assert_eq!(small().dispatcher.algorithm.name, "call-id");
    for (wrong, says) in [
        ("algorithm = \"fair\"", "`fair` is not an algorithm"),
        ("algorithm = 12", "0 to 11"),
        ("algorithm = 7", "is the same for every call"),
        (
            "algorithm = 7\nexpression = \"x$zz\"",
            "`$zz`, which begins with no variable",
        ),
        (
            "algorithm = 7\nexpression = \"$hdr(a b)\"",
            "begins with no variable",
        ),
        (
            "algorithm = 7\nexpression = \"$(rU\"",
            "begins with no variable",
        ),
        (
            "expression = \"$rU\"",
            "counts for nothing with the algorithm `call-id`",
        ),
        (
            "[[dispatcher.set]]\nfallback = 2",
            "`dispatcher.set.set`: is missing",
        ),
        (
            "[[dispatcher.set]]\nset = 2\nfallback = 2",
            "is the set itself",
        ),
        (
            "[[dispatcher.set]]\nset = 2\n[[dispatcher.set]]\nset = 2",
            "is described on line",
        ),
    ] {
        let said = said(&with(wrong));
        assert!(
            said.len() == 1 && said[0].contains(says),
            "{wrong}: {said:?}"
        );
    }
    assert!(
        said(&format!("{SMALL}\n[routing]\nconference_set = 100\n"))[0].contains("is the trunk")
    );
}

#[test]
fn a_registrar_has_domains_and_bounds() {
    let with = |registrar: &str| format!("{SMALL}\n[registrar]\n{registrar}\n");
    let config = parse(&with("domains = [\"Example.NET\"]\nalgorithms = [\"md5\"]")).unwrap();
    assert_eq!(config.registrar.domains, ["example.net"]);
    assert_eq!(config.registrar.algorithms, ["MD5"]);
    for (wrong, says) in [
        ("domains = [\"a b\"]", "`a b` is not a domain"),
        ("algorithms = [\"SHA-1\"]", "`SHA-1` is not an algorithm"),
        ("min_expires = 400", "is out of order"),
        ("max_expires = 200", "is out of order"),
        ("min_expires = 5000", "is out of order"),
    ] {
        let said = said(&with(wrong));
        assert!(
            said.len() == 1 && said[0].contains(says),
            "{wrong}: {said:?}"
        );
    }
}
