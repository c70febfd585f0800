//! States of the world.

use std::net::SocketAddr;

use tandem_admin::{
    Alarm, Call, CallCounts, Contact, Counter, DirectionFigures, Flow, FlowLeg, Info, PeerFigures,
    Plane, Registration, SipWorker, Status, StreamFigures, Target,
};

use crate::feed::{
    Criterion, Feed, Figures, Found, Level, LoadNews, LoadProfile, LoadSecond, LogLine, Message,
    Service, Slots, TraceNews,
};
use crate::model::{Event, Known, Model, Trace};

/// 2026-11-30 12:03:10 UTC.
pub(super) const NOW: u64 = 1_796_040_190_000;

pub(super) fn feed(model: &mut Model, at: u64, feed: Feed) {
    let _ = model.update(at, Event::Feed(Box::new(feed)));
}

/// Both planes run, with some of everything.
pub(super) fn up() -> Model {
    let mut model = Model::default();
    for second in (0..60).rev() {
        let at = NOW - second * 1_000;
        let figures = figures(
            at,
            60 - second,
            &Size {
                targets: 3,
                workers: 2,
                alarms: 1,
            },
        );
        feed(&mut model, at, Feed::Figures(Ok(Box::new(figures))));
    }
    feed(&mut model, NOW, Feed::Calls(Ok(found(6, call))));
    feed(&mut model, NOW, Feed::Users(Ok(found(3, user))));
    feed(&mut model, NOW, Feed::Flows(Ok((0..3).map(flow).collect())));
    others(&mut model);
    model
}

/// The signaling plane has gone since.
pub(super) fn down() -> Model {
    let mut model = up();
    let at = NOW + 20_000;
    feed(
        &mut model,
        at - 18_000,
        Feed::Figures(Err("/run/tandem/admin.sock: Connection refused".to_owned())),
    );
    for f in [
        Feed::Figures(Err(
            "/run/tandem/admin.sock: No such file or directory".to_owned()
        )),
        Feed::Services(Err("systemctl gave no answer in 5 s".to_owned())),
        Feed::Slots(Err("tandemctl is not installed".to_owned())),
        Feed::Profiles(Err("tandem-load is not installed".to_owned())),
        Feed::LogSource(Err("journalctl ended".to_owned())),
        Feed::Trace(TraceNews::Ended("it closed the connection".to_owned())),
    ] {
        feed(&mut model, at, f);
    }
    model
}

/// Nothing is there, nothing happens.
pub(super) fn empty() -> Model {
    let mut model = Model::default();
    let mut none = figures(
        NOW,
        1,
        &Size {
            targets: 0,
            workers: 1,
            alarms: 0,
        },
    );
    none.counters.retain(|c| !c.name.starts_with("drop_"));
    none.counts = CallCounts::default();
    feed(&mut model, NOW, Feed::Figures(Ok(Box::new(none))));
    feed(&mut model, NOW, Feed::Calls(Ok(found(0, call))));
    feed(&mut model, NOW, Feed::Users(Ok(found(0, user))));
    feed(&mut model, NOW, Feed::Flows(Ok(Vec::new())));
    feed(&mut model, NOW, Feed::Services(Ok(Vec::new())));
    feed(&mut model, NOW, Feed::Slots(Ok(Slots::default())));
    feed(&mut model, NOW, Feed::Profiles(Ok(Vec::new())));
    feed(
        &mut model,
        NOW,
        Feed::LogSource(Ok("the journal".to_owned())),
    );
    model.trace = Some(Trace::new("nobody@knows".to_owned(), None));
    feed(&mut model, NOW, Feed::Trace(TraceNews::Started(60)));
    model
}

/// More than there is room for.
pub(super) fn full() -> Model {
    let mut model = Model::default();
    for second in [2, 1, 0] {
        let at = NOW - second * 1_000;
        let figures = figures(
            at,
            60 - second,
            &Size {
                targets: 300,
                workers: 64,
                alarms: 100,
            },
        );
        feed(&mut model, at, Feed::Figures(Ok(Box::new(figures))));
    }
    let mut calls = found(1_000, call);
    calls.more = true;
    feed(&mut model, NOW, Feed::Calls(Ok(calls)));
    let mut users = found(1_000, user);
    users.more = true;
    feed(&mut model, NOW, Feed::Users(Ok(users)));
    feed(
        &mut model,
        NOW,
        Feed::Flows(Ok((0..500).map(flow).collect())),
    );
    let lines = (0..3_000).map(|n| line(n, Level::Info, "a line of many, and a long one: the quick brown fox jumps over the lazy dog, again and again, until nobody can bear to hear of it any more"));
    feed(&mut model, NOW, Feed::Log(lines.collect()));
    others(&mut model);
    for n in 0..200 {
        let peer = format!("10.20.{}.{}:5060", n % 4, n % 20);
        feed(
            &mut model,
            NOW,
            Feed::Trace(TraceNews::Message(Box::new(message(
                10 + n,
                "core",
                n % 2 == 0,
                &peer,
                "OPTIONS with a very long name",
                "1 OPTIONS",
                false,
            )))),
        );
    }
    model
}

/// The signaling plane runs alone.
pub(super) fn without_dataplane() -> Model {
    let mut model = Model::default();
    let mut alone = figures(
        NOW,
        1,
        &Size {
            targets: 3,
            workers: 0,
            alarms: 0,
        },
    );
    alone.counters.retain(|c| c.plane == Plane::Signaling);
    alone.status.dataplane_up = false;
    alone.status.epoch = None;
    feed(&mut model, NOW, Feed::Figures(Ok(Box::new(alone))));
    model
}

fn others(model: &mut Model) {
    for f in [
        Feed::Services(Ok(vec![
            service("tandem-dataplane", "active (running)", "0"),
            service("tandem-sigplane", "active (running)", "1"),
            service("chrony", "failed (failed)", "5"),
        ])),
        Feed::Slots(Ok(Slots {
            rows: [
                ("booted", "A"),
                ("slots A version", "0.1.0"),
                ("slots B version", "0.0.9"),
                ("slots B state", "good"),
            ]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec(),
        })),
        Feed::Profiles(Ok(vec![
            LoadProfile {
                path: "/usr/share/tandem-load/profiles/sip-cps.toml".to_owned(),
                about: "Calls a second without media, going up until the appliance refuses"
                    .to_owned(),
            },
            LoadProfile {
                path: "/usr/share/tandem-load/profiles/zero-loss.toml".to_owned(),
                about: "The most calls with media of which no packet is lost".to_owned(),
            },
        ])),
        Feed::Machine(Ok(Box::new(machine()))),
        Feed::LogSource(Ok("the journal".to_owned())),
        Feed::Log(vec![
            line(0, Level::Info, "ready: 2 SIP workers, dataplane session 7"),
            line(
                5,
                Level::Warning,
                "alarm of the dataplane: port core has no link",
            ),
            line(9, Level::Debug, "not shown unless all is shown"),
            line(
                12,
                Level::Error,
                "the database does not answer: \u{1b}[2Jconnection refused",
            ),
        ]),
        Feed::Load(LoadNews::Started(
            "/usr/share/tandem-load/profiles/sip-cps.toml".to_owned(),
        )),
    ] {
        feed(model, NOW, f);
    }
    for second in 1..=42_u64 {
        let news = LoadSecond {
            at_s: second as f64,
            seconds: 60,
            calls_up: second * 120,
            calls_per_s: 100.0 + second as f64 * 10.0,
            calls_failed: u64::from(second % 20 == 0),
            media_sent_per_s: second as f64 * 12_000.0,
            media_received_per_s: second as f64 * 12_000.0,
            latency_p50_us: 12.5,
            latency_p999_us: 88.0,
            busy_percent: 44.0,
            ..LoadSecond::default()
        };
        feed(model, NOW, Feed::Load(LoadNews::Second(Box::new(news))));
    }
    if model.load.seconds.len() > 50 {
        feed(
            model,
            NOW,
            Feed::Load(LoadNews::Ended {
                code: Some(1),
                criteria: vec![criterion()],
            }),
        );
    }
    ladder(model);
}

fn criterion() -> Criterion {
    Criterion {
        name: "max_failed_calls".to_owned(),
        limit: "0".to_owned(),
        value: "2".to_owned(),
        passed: false,
    }
}

fn service(name: &str, state: &str, restarts: &str) -> Service {
    Service {
        name: name.to_owned(),
        state: state.to_owned(),
        restarts: restarts.to_owned(),
    }
}

fn line(second: u64, level: Level, text: &str) -> LogLine {
    LogLine {
        time_ms: NOW - 60_000 + second * 1_000,
        unit: "tandem-sigplane".to_owned(),
        level,
        text: crate::text::clean(text),
    }
}

fn ladder(model: &mut Model) {
    let call = call(1);
    model.trace = Some(Trace::new(call.call_id.clone(), Some(Known::from(&call))));
    feed(model, NOW, Feed::Trace(TraceNews::Started(600)));
    let caller = "192.0.2.100:5060";
    let server = "10.20.0.21:5060";
    for (n, (port, sent, peer, title, cseq, sdp)) in [
        ("carrier", false, caller, "INVITE", "1 INVITE", true),
        ("carrier", true, caller, "100 Trying", "1 INVITE", false),
        ("core", true, server, "INVITE", "1 INVITE", true),
        ("core", false, server, "180 Ringing", "1 INVITE", false),
        ("carrier", true, caller, "180 Ringing", "1 INVITE", false),
        (
            "core",
            false,
            server,
            "503 Service Unavailable",
            "1 INVITE",
            false,
        ),
        ("core", true, "10.20.0.22:5060", "INVITE", "1 INVITE", true),
        ("core", false, "10.20.0.22:5060", "200 OK", "1 INVITE", true),
        ("carrier", true, caller, "200 OK", "1 INVITE", true),
        ("carrier", false, caller, "ACK", "1 ACK", false),
        ("core", true, "10.20.0.22:5060", "ACK", "1 ACK", false),
    ]
    .into_iter()
    .enumerate()
    {
        let message = message(n as u64, port, sent, peer, title, cseq, sdp);
        feed(
            model,
            NOW,
            Feed::Trace(TraceNews::Message(Box::new(message))),
        );
    }
}

fn message(
    n: u64,
    port: &str,
    sent: bool,
    peer: &str,
    title: &str,
    cseq: &str,
    sdp: bool,
) -> Message {
    Message {
        time_ns: (NOW - 5_000) * 1_000_000 + n * 37_000_000,
        port: port.to_owned(),
        sent,
        peer: peer.parse().unwrap(),
        title: title.to_owned(),
        cseq: cseq.to_owned(),
        sdp,
        lines: [
            "INVITE sip:200@192.0.2.10 SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK-1",
            "From: \"Evil\\e[31m\" <sip:100@192.0.2.100>;tag=a",
            "To: <sip:200@192.0.2.10>",
            "Call-ID: 1-4711@192.0.2.100",
            "CSeq: 1 INVITE",
            "",
            "v=0",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

struct Size {
    targets: i64,
    workers: u64,
    alarms: u64,
}

fn figures(taken_ms: u64, second: u64, size: &Size) -> Figures {
    let mut counters = vec![];
    let mut count = |plane, name: String, value| counters.push(Counter { plane, name, value });
    let wave = second * 40 + (second % 7) * 3;
    for (name, value) in [
        ("calls", wave),
        ("calls_answered", wave * 9 / 10),
        ("calls_rejected", second),
        ("registered_users_now", 3),
    ] {
        count(Plane::Signaling, name.to_owned(), value);
    }
    for (name, value) in [
        ("relayed", second * 81_200),
        ("sip", second * 520),
        ("drop_no_flow", 17),
        ("drop_wrong_source", second * 12),
        ("drop_udp_checksum", 0),
        ("tx_full", 3),
    ] {
        count(Plane::Dataplane, name.to_owned(), value);
    }
    for (port, up) in [("carrier", 1), ("core", u64::from(size.alarms == 0))] {
        for (what, value) in [
            ("rx_packets", second * 40_600),
            ("tx_packets", second * 40_500),
            ("rx_bytes", second * 40_600 * 214),
            ("tx_bytes", second * 40_500 * 214),
            ("rx_missed", 0),
            ("rx_queues", size.workers),
            ("tx_queues", size.workers),
            ("steered", 1),
            ("numa_node", 0),
            ("link_up", up),
            ("kernel_rx_packets", 1),
        ] {
            count(Plane::Dataplane, format!("port_{port}_{what}"), value);
        }
    }
    for worker in 0..size.workers {
        let busy = (20 + worker * 37 % 80) * 10_000_000;
        for (what, value) in [
            ("poll_busy_ns", second * busy),
            ("poll_idle_ns", second * (1_000_000_000 - busy)),
            ("relayed", second * 40_600),
            ("handed_off", second * (worker % 3)),
            ("gaps", 2),
            ("longest_gap_ns", 3_400_000),
            ("latency_4096", second * 40_000),
            ("latency_20480", second * 600),
        ] {
            count(Plane::Dataplane, format!("worker_{worker}_{what}"), value);
        }
    }
    Figures {
        taken_ms,
        status: Status {
            version: "0.1.0".to_owned(),
            node: 1,
            uptime_s: 7_500,
            dataplane_up: true,
            dataplane_boot: Some(1),
            epoch: Some(7),
            workers: size.workers as u16,
            sip_workers: vec![
                SipWorker {
                    calls: 420,
                    messages: second * 260,
                    passed_on: 1,
                },
                SipWorker {
                    calls: 392,
                    messages: second * 250,
                    passed_on: 2,
                },
            ],
            calls: 812,
            confirmed_calls: 800,
            flows: 3,
            targets_active: (size.targets as u64).saturating_sub(1),
            targets: size.targets as u64,
            database_up: true,
            cdrs_pending: 0,
            journal_sequence: 99,
        },
        info: Info {
            name: "tandem".to_owned(),
            version: "0.1.0".to_owned(),
            node: 1,
            pid: 812,
            up_since: taken_ms / 1_000 - 7_500,
            sip_workers: 2,
            state_dir: "/var/lib/tandem".to_owned(),
        },
        counts: CallCounts {
            starting: 12,
            ongoing: 800,
            ending: 0,
            all: 812,
        },
        counters,
        targets: (0..size.targets).map(target).collect(),
        alarms: (0..size.alarms).map(alarm).collect(),
        ports: ["carrier", "core"]
            .map(|name| port(name, second, size.workers))
            .to_vec(),
    }
}

fn port(name: &str, second: u64, workers: u64) -> tandem_admin::Port {
    let queue = |worker: u64| tandem_admin::Queue {
        worker: worker as u16,
        traffic: (worker != 1).then_some(tandem_admin::Traffic {
            packets: second * 40_600 / workers,
            bytes: 0,
        }),
    };
    tandem_admin::Port {
        name: name.to_owned(),
        speed_mbps: Some(25_000),
        state: "running".to_owned(),
        rx_queues: (0..workers).map(queue).collect(),
        ..tandem_admin::Port::default()
    }
}

fn alarm(n: u64) -> Alarm {
    Alarm {
        kind: "port_down".to_owned(),
        subject: "core".to_owned(),
        text: format!("port core has no link ({n})"),
        since_ms: NOW - 125_000 - n * 1_000,
    }
}

fn target(n: i64) -> Target {
    Target {
        id: n + 1,
        set: 1 + (n / 2) as u32,
        uri: format!("sip:10.20.0.{}:5060", 21 + n % 200),
        addresses: vec![format!("10.20.0.{}:5060", 21 + n % 200)],
        state: ["active", "inactive", "draining"][n as usize % 3].to_owned(),
        algorithm: "hash of Call-ID".to_owned(),
        calls: 400 - n.min(300) as u64,
        max_load: if n == 1 { 500 } else { 0 },
        failures: u32::from(n == 1) * 3,
        timeouts: 4,
        latency_last_us: (n != 1).then_some(1_240),
        latency_mean_us: Some(1_100),
        latency_max_us: Some(18_000),
        description: "media server \u{202e}\u{1b}[31m".to_owned(),
        ..Target::default()
    }
}

fn found<T>(n: u64, of: fn(u64) -> T) -> Found<T> {
    Found {
        filter: String::new(),
        items: (0..n).map(of).collect(),
        looked_at: n as usize,
        more: false,
    }
}

fn call(n: u64) -> Call {
    Call {
        key: 1_000 + n,
        call_id: format!("{n}-4711@192.0.2.100"),
        from_uri: format!("sip:+4930{:06}@192.0.2.100", 100 + n),
        to_uri: format!("sip:{}@192.0.2.10", 200 + n),
        direction: if n % 3 == 2 { "outbound" } else { "inbound" }.to_owned(),
        state: if n % 4 == 3 { "setup" } else { "confirmed" }.to_owned(),
        source: "192.0.2.100:5060".to_owned(),
        target: "sip:10.20.0.21:5060".to_owned(),
        start_ms: NOW - 65_000 - n * 1_000,
        answer_ms: (n % 4 != 3).then_some(NOW - 61_000 - n * 1_000),
        flows: vec![n],
    }
}

fn user(n: u64) -> Registration {
    let contact = |port: u64| Contact {
        contact: format!("sip:10{n}@198.51.100.{}:{port};ob", n % 200),
        expires_s: 240 + n,
        q: 1_000,
        received: format!("sip:198.51.100.{}:{port}", n % 200),
        path: String::new(),
        call_id: "r".to_owned(),
        cseq: 1,
        user_agent: "Telefon \u{1b}]0;x\u{7} 日本".to_owned(),
        socket: "192.0.2.10:5060".to_owned(),
        instance: String::new(),
        reg_id: 0,
    };
    Registration {
        aor: format!("10{n}@example.com"),
        contacts: vec![contact(5_060), contact(5_062)],
    }
}

fn flow(n: u64) -> Flow {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let leg = |local: &str, remote: &str, lost: u64| FlowLeg {
        local: address(local),
        remote: Some(address(remote)),
        latched: Some(address(remote)),
        rtp: DirectionFigures {
            packets: 3_050 + n,
            bytes: 524_600,
            lost,
            last_seen_ms: Some(12),
            ..DirectionFigures::default()
        },
        rtcp: DirectionFigures::default(),
        stream: StreamFigures {
            ssrc: Some(7),
            payload_type: Some(8),
            jitter_us: 1_250,
            ..StreamFigures::default()
        },
        report: (n == 0).then(|| PeerFigures {
            reports: 3,
            fraction_lost: 2,
            round_trip_us: Some(31_000),
            ..PeerFigures::default()
        }),
        score: Some(441 - (lost * 3).min(300) as u16),
    };
    Flow {
        id: n,
        call: 1_000 + n,
        kind: "rtp".to_owned(),
        worker: 0,
        idle: n == 2,
        a: leg("192.0.2.10:30000", "192.0.2.100:6000", n * 40),
        b: leg("10.20.0.10:30000", "10.20.0.21:16384", 0),
    }
}

/// A machine with three ports, one of them for management.
pub(super) fn machine() -> crate::feed::Machine {
    use crate::feed::{Machine, MachinePlan, MachinePort};
    let port = |n: u8, role: &str| {
        (
            format!("0000:41:00.{n}"),
            role.to_owned(),
            MachinePort {
                address: format!("0000:41:00.{n}"),
                profile: "e810".to_owned(),
                interface: if n == 2 {
                    String::new()
                } else {
                    format!("enp65s0f{n}")
                },
                link: if n == 1 { "down" } else { "up" }.to_owned(),
                speed: Some(25_000),
                driver: "ice".to_owned(),
            },
        )
    };
    let ports = [port(0, "carrier"), port(1, "core"), port(2, "management")];
    Machine {
        rows: [("machine", "Lab 1"), ("processor", "Eight of them"), ("memory", "32000 MB, pages of 1 GB")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec(),
        plan: Ok(MachinePlan {
            roles: ports.iter().map(|(a, r, _)| (a.clone(), r.clone())).collect(),
            profile: "e810".to_owned(),
            configuration: "[dataplane]\nworkers = [1, 2]\ncontrol_core = 0\n\n[[port]]\nname = \"carrier\"\ndevice = \"0000:41:00.0\"\n\n[[port]]\nname = \"core\"\ndevice = \"0000:41:00.1\"\n".to_owned(),
            reasons: (0..8).map(|n| format!("reason {n}: the fastest two ports of the same card on one node, since a packet should not cross from node to node")).collect(),
            shortfalls: vec!["port 0000:41:00.1 has no cable".to_owned()],
        }),
        ports: ports.into_iter().map(|(_, _, p)| p).collect(),
        draft: None,
        configured: true,
        locked: None,
    }
}
