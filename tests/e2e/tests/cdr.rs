//! A CDR for each call, once, with figures that agree with what sipp and the dataplane counted, whatever is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_e2e::capture::Capture;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, CORE_LINK, INSIDE, SERVERS};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(60);

/// One kind of calls.
struct Kind {
    name: &'static str,
    scenario: &'static str,
    user: &'static str,
    count: u32,
    rate: u32,
    talk: Duration,
}

/// In 40 s.
const KINDS: [Kind; 5] = [
    Kind {
        name: "talk",
        scenario: "cdr-talk.xml",
        user: "talk",
        count: 6_200,
        rate: 155,
        talk: Duration::from_millis(300),
    },
    Kind {
        name: "media",
        scenario: "cdr-media.xml",
        user: "talk",
        count: 400,
        rate: 10,
        talk: Duration::from_millis(2_000),
    },
    Kind {
        name: "busy",
        scenario: "cdr-busy.xml",
        user: "busy",
        count: 1_600,
        rate: 40,
        talk: Duration::ZERO,
    },
    Kind {
        name: "absent",
        scenario: "cdr-absent.xml",
        user: "absent",
        count: 900,
        rate: 22,
        talk: Duration::ZERO,
    },
    Kind {
        name: "cancel",
        scenario: "cdr-cancel.xml",
        user: "ring",
        count: 900,
        rate: 22,
        talk: Duration::from_millis(200),
    },
];

/// A CDR, as far as it is looked at.
#[derive(Debug)]
struct Row {
    code: u16,
    cause: String,
    ended_by: String,
    q850: u16,
    answered: bool,
    rang: bool,
    end_ms: u64,
    packets: u64,
    partial: bool,
    tried: String,
}

fn rows(lab: &Lab) -> HashMap<String, Row> {
    let text = lab
        .sql(
            "SELECT callid, sip_code, cause, ended_by, q850, answer_ms IS NOT NULL, ring_ms IS NOT NULL, end_ms,
                 caller_packets + callee_packets, media_partial, tried FROM cdr",
        )
        .unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.splitn(11, '|').collect();
        let number = |at: usize| cells[at].parse::<u64>().unwrap();
        let row = Row {
            code: number(1) as u16,
            cause: cells[2].to_owned(),
            ended_by: cells[3].to_owned(),
            q850: number(4) as u16,
            answered: number(5) == 1,
            rang: number(6) == 1,
            end_ms: number(7),
            packets: number(8),
            partial: number(9) == 1,
            tried: cells[10].to_owned(),
        };
        (cells[0].to_owned(), row)
    };
    let lines: Vec<&str> = text.lines().collect();
    let rows: HashMap<_, _> = lines.iter().map(|line| row(line)).collect();
    assert_eq!(rows.len(), lines.len(), "a Call-ID has two CDRs");
    rows
}

/// What sipp saw of each of its calls: the last that it logged.
fn outcomes(lab: &Lab, kind: &Kind) -> HashMap<String, Vec<String>> {
    let log = lab.dir().join(kind.name).join("outcomes.log");
    let text = std::fs::read_to_string(log).unwrap();
    let mut outcomes: HashMap<String, Vec<String>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().rev();
        if let (Some(what), Some(call_id)) = (words.next(), words.next()) {
            outcomes
                .entry(call_id.to_owned())
                .or_default()
                .push(what.to_owned());
        }
    }
    outcomes
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// xorshift64*: the moments differ from run to run, and can be had again.
struct Moments(u64);

impl Moments {
    fn seeded() -> Self {
        let given = std::env::var("TANDEM_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| now_ms() | 1);
        println!("TANDEM_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

#[test]
fn ten_thousand_calls_have_one_cdr_each_whatever_is_killed_when() {
    let mut moments = Moments::seeded();
    let mut lab = Lab::start(Options {
        // What a death left half set up ends by this; a BYE that was lost with several deaths comes again before.
        media_timeout: 15,
        probe_interval: 0,
        more: "[overload]\ntarget = 0\n".to_owned(),
        ..Options::default()
    })
    .unwrap();
    let servers = SERVERS.map(|address| {
        let name = format!("server-{address}");
        Server::with(
            &lab,
            &lab.core,
            &name,
            address,
            "cdr-server.xml",
            Duration::ZERO,
        )
        .unwrap()
    });
    let begin = Instant::now();
    let callers: Vec<Caller> = KINDS
        .iter()
        .zip(0u16..)
        .map(|(kind, i)| {
            let calls = Calls {
                scenario: kind.scenario,
                user: kind.user,
                port: 5_060 + i,
                media_port: 6_000 + 10 * i,
                count: kind.count,
                rate: kind.rate,
                talk: kind.talk,
                log: true,
                patience: Duration::from_secs(12),
                ..Calls::default()
            };
            Caller::start(&lab, &lab.carrier, kind.name, &calls).unwrap()
        })
        .collect();

    // Six times the signaling plane, once the dataplane, in an order of chance, within 36 s.
    let dataplane_at = moments.below(7);
    let mut dataplane_back_ms = 0;
    for death in 0..7 {
        wait::pass(Duration::from_millis(1_500 + moments.below(3_500))).unwrap();
        if death == dataplane_at {
            println!("{:?}: the dataplane", begin.elapsed());
            lab.kill_dataplane();
            dataplane_back_ms = now_ms();
            lab.start_dataplane().unwrap();
        } else {
            println!("{:?}: the signaling plane", begin.elapsed());
            lab.kill_sigplane();
            lab.start_sigplane().unwrap();
        }
        lab.wait_until_ready().unwrap();
    }

    let mut made = 0;
    for (kind, caller) in KINDS.iter().zip(callers) {
        let tally = caller.finish(SOON).unwrap();
        println!("{}: {tally:?}", kind.name);
        assert_eq!(tally.made, u64::from(kind.count));
        // Each death costs those that were being set up just then.
        assert!(
            tally.failed <= 7 * u64::from(kind.rate),
            "{}: {tally:?}",
            kind.name
        );
        made += tally.made;
    }
    assert_eq!(made, 10_000);
    lab.wait_until_quiet(made, SOON).unwrap();
    drop(servers);

    let rows = rows(&lab);
    assert_eq!(rows.len(), 10_000);
    let (mut unknown, mut missed) = (0, 0);
    for kind in &KINDS {
        let outcomes = outcomes(&lab, kind);
        assert_eq!(outcomes.len(), kind.count as usize, "{}", kind.name);
        for (call_id, seen) in outcomes {
            let row = rows
                .get(&call_id)
                .unwrap_or_else(|| panic!("{call_id} has no CDR"));
            unknown += u64::from(!agrees(row, &seen, kind));
            let ended = seen.iter().any(|s| s == "ended");
            if ended && row.cause == "media-timeout" {
                println!("{call_id}: sipp saw its end, and its media was missed: {row:?}");
                missed += 1;
            }
        }
    }
    assert!(missed <= 7, "{missed}: one for each death at most");
    let partial = rows.values().filter(|r| r.partial).count();
    println!("{unknown} calls whose end sipp did not see, {partial} with figures that were lost");

    // What this life of the dataplane relayed is in the CDRs of the calls that ended in it.
    let relayed = lab.ctl().counters().unwrap().value("relayed");
    let after: Vec<&Row> = rows
        .values()
        .filter(|r| r.end_ms >= dataplane_back_ms)
        .collect();
    let told: u64 = after.iter().map(|r| r.packets).sum();
    let lost = after.iter().filter(|r| r.partial && r.packets == 0).count() as u64;
    println!("{relayed} relayed, {told} in CDRs; {lost} have none of theirs");
    assert!(relayed > 10_000, "{relayed}");
    assert!(
        told <= relayed && relayed - told <= lost * 250,
        "{told} of {relayed}"
    );
    println!("{:?}", begin.elapsed());
}

/// Holds a CDR against what sipp saw; false if it did not see the end.
fn agrees(row: &Row, seen: &[String], kind: &Kind) -> bool {
    let saw = |what: &str| seen.iter().any(|s| s == what);
    if saw("answered") {
        assert!(
            row.answered && row.code == 200 && row.rang,
            "{seen:?}: {row:?}"
        );
        assert!(row.tried.contains("\"code\":200"), "{row:?}");
    }
    if saw("ended") {
        // A death between a BYE and what was to be kept of it: its media is missed later.
        if row.cause == "media-timeout" {
            return false;
        }
        let end = (row.cause.as_str(), row.ended_by.as_str(), row.q850);
        assert_eq!(end, ("caller", "caller", 16), "{seen:?}: {row:?}");
        let has_media = kind.name == "media";
        assert!(has_media || row.packets == 0, "{row:?}");
        assert!(!has_media || row.partial || row.packets > 150, "{row:?}");
        return true;
    }
    for code in [404, 486, 487, 503] {
        if saw(&code.to_string()) {
            assert_eq!((row.code, row.answered), (code, false), "{seen:?}: {row:?}");
            let (cause, by, q850) = match code {
                // Its Reason says so.
                486 => ("rejected", "callee", 17),
                404 => ("rejected", "callee", 1),
                487 => ("cancelled", "caller", 16),
                _ => return true,
            };
            let end = (row.cause.as_str(), row.ended_by.as_str(), row.q850);
            assert_eq!(end, (cause, by, q850), "{row:?}");
            return true;
        }
    }
    false
}

#[test]
fn the_figures_are_those_on_the_wire() {
    let lab = Lab::start(Options::default()).unwrap();
    let _servers = SERVERS.map(|address| {
        let name = format!("server-{address}");
        Server::start(&lab, &lab.core, &name, address).unwrap()
    });
    let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();
    let calls = Calls {
        count: 20,
        rate: 10,
        talk: Duration::from_secs(3),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!((tally.made, tally.successful), (20, 20));
    lab.wait_until_quiet(20, SOON).unwrap();
    let (outside, inside) = (outside.finish().unwrap(), inside.finish().unwrap());
    let sums = lab
        .sql(
            "SELECT sum(caller_packets), sum(callee_packets), sum(caller_lost), sum(callee_lost), min(caller_mos), min(callee_mos),
                 max(caller_codec), max(callee_payload_type), max(caller_jitter_ms), max(caller_other_packets), sum(caller_bytes) FROM cdr",
        )
        .unwrap();
    println!("{sums}");
    let cells: Vec<&str> = sums.trim().split('|').collect();
    let number = |at: usize| cells[at].parse::<f64>().unwrap();
    let (from_caller, to_pool) = (outside.from(CALLER).len(), inside.from(INSIDE).len());
    assert_eq!(
        number(0) as usize,
        to_pool,
        "of {from_caller} that were sent"
    );
    assert_eq!(
        number(1) as usize,
        outside.from(tandem_e2e::topology::OUTSIDE).len()
    );
    // 160 bytes of G.711 and the RTP header.
    assert_eq!(number(10) as usize, to_pool * 172);
    assert_eq!((cells[6], cells[7], cells[9]), ("PCMA/8000", "8", "0"));
    // On one machine: nothing lost, hardly any jitter, as good as it gets.
    assert!(number(8) < 20.0, "{sums}");
    if number(2) == 0.0 {
        assert!(number(4) > 4.2 && number(4) <= 4.5, "{sums}");
    }
    exported(&lab);
}

/// The same calls as a program has them: by Python's own readers of CSV and JSON.
fn exported(lab: &Lab) {
    let ctl = lab.ctl();
    let file = lab.dir().join("cdr.csv");
    let path = file.display().to_string();
    ctl.run(&["cdr", "export", "--since", "1h", "-o", &path])
        .unwrap();
    let lines = ctl
        .run(&["cdr", "export", "--format", "jsonl", "--after", "0"])
        .unwrap();
    lab.write(&lab.dir().join("cdr.jsonl"), &lines).unwrap();
    let script = format!(
        r#"
import csv, json
rows = list(csv.DictReader(open("{0}/cdr.csv", newline="")))
objects = [json.loads(line) for line in open("{0}/cdr.jsonl")]
assert len(rows) == len(objects) == 20, (len(rows), len(objects))
assert list(rows[0])[:3] == ["id", "call_uuid", "node"], list(rows[0])
assert sorted(rows[0]) == sorted(objects[0]) and None not in rows[0]
by_id = {{o["id"]: o for o in objects}}
for row in rows:
    same = by_id[int(row["id"])]
    assert row["callid"] == same["callid"] and row["caller_packets"] == str(same["caller_packets"])
    assert 2900 < int(row["duration_ms"]) < 6000, row
    assert same["tried"][0]["code"] == 200 and same["attempts"] == 1, same
    assert row["caller_codec"] == "PCMA/8000" and row["cause"] == "caller", row
    assert row["start_time"] < row["answer_time"] < row["end_time"], row
assert sum(int(r["caller_packets"]) for r in rows) > 1000
"#,
        lab.dir().display()
    );
    let python = std::process::Command::new("python3")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(
        python.status.success(),
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
    let one = ctl
        .run(&["cdr", "export", "--format", "jsonl", "--call-id", "none"])
        .unwrap();
    assert_eq!(one, "");
    let listed = ctl.run(&["cdr", "list", "--limit", "3"]).unwrap();
    assert_eq!(listed.lines().count(), 4, "{listed}");
}
