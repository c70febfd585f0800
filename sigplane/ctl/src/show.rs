//! The commands that ask once and print.

use std::io::{self, Write as _};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tandem_admin::{Counter, DirectionFigures, Flow, Plane, SipWorker, Status, method};

use crate::client::{Client, Failure};
use crate::table::table;

/// `tandemctl status`
pub(crate) fn status(client: &mut Client, json: bool) -> Result<(), Failure> {
    let status: Status = ask(client, method::STATUS)?;
    print(json, &status, |s| {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let session = match (s.dataplane_up, s.epoch) {
            (true, Some(epoch)) => format!("up, session {epoch}, {} workers", s.workers),
            _ => "DOWN: calls cannot be set up".to_owned(),
        };
        let database = if s.database_up {
            "up"
        } else {
            "DOWN: CDRs wait in the journal"
        };
        table(
            &["", ""],
            &[
                row(
                    "signaling plane",
                    format!("up for {}, node {}", age(s.uptime_s), s.node),
                ),
                row("dataplane", session),
                row(
                    "calls",
                    format!("{}, {} answered", s.calls, s.confirmed_calls),
                ),
                row("flows", s.flows.to_string()),
                row("SIP workers", sip_workers(&s.sip_workers)),
                row(
                    "targets",
                    format!("{} of {} active", s.targets_active, s.targets),
                ),
                row(
                    "database",
                    format!("{database}, {} CDRs to write", s.cdrs_pending),
                ),
                row("journal", format!("at {}", s.journal_sequence)),
                row("version", s.version.clone()),
            ],
        )
        .trim_start()
        .to_owned()
    })
}

/// How many, and how their calls are spread.
fn sip_workers(workers: &[SipWorker]) -> String {
    let calls: Vec<String> = workers.iter().map(|w| w.calls.to_string()).collect();
    match workers.len() {
        0 | 1 => "1".to_owned(),
        many => format!("{many}, with {} calls", calls.join(" + ")),
    }
}

/// `tandemctl flows`
pub(crate) fn flows(client: &mut Client, json: bool) -> Result<(), Failure> {
    let flows: Vec<Flow> = ask(client, method::FLOWS)?;
    print(json, &flows, |flows| {
        let mut rows = Vec::new();
        for flow in flows {
            for (side, leg) in [("caller", &flow.a), ("callee", &flow.b)] {
                let peer = leg
                    .latched
                    .or(leg.remote)
                    .map_or("-".to_owned(), |a| a.to_string());
                let DirectionFigures {
                    packets,
                    bytes,
                    lost,
                    reordered,
                    jitter,
                    ..
                } = leg.rtp;
                rows.push(vec![
                    flow.id.to_string(),
                    flow.call.to_string(),
                    flow.kind.clone(),
                    flow.worker.to_string(),
                    side.to_owned(),
                    leg.local.to_string(),
                    peer,
                    if leg.latched.is_some() { "yes" } else { "no" }.to_owned(),
                    packets.to_string(),
                    bytes.to_string(),
                    lost.to_string(),
                    reordered.to_string(),
                    jitter.to_string(),
                    leg.rtp.wrong_source.to_string(),
                    leg.rtcp.packets.to_string(),
                    leg.stream.events.to_string(),
                    leg.report
                        .map_or("-".to_owned(), |r| percent(r.fraction_lost)),
                    leg.report.map_or("-".to_owned(), |r| millis(r.jitter_us)),
                    leg.report
                        .and_then(|r| r.round_trip_us)
                        .map_or("-".to_owned(), millis),
                    leg.stream.ssrc_changes.to_string(),
                    leg.stream.policed.to_string(),
                ]);
            }
        }
        table(
            &[
                ">flow",
                ">call",
                "kind",
                ">worker",
                "leg",
                "local",
                "peer",
                "latched",
                ">packets",
                ">bytes",
                ">lost",
                ">reordered",
                ">jitter",
                ">stranger",
                ">rtcp",
                ">dtmf",
                ">heard loss %",
                ">heard jitter ms",
                ">rtt ms",
                ">ssrc changes",
                ">policed",
            ],
            &rows,
        )
    })
}

fn percent(of_256: u8) -> String {
    format!("{:.1}", f64::from(of_256) * 100.0 / 256.0)
}

fn millis(us: u32) -> String {
    format!("{:.1}", f64::from(us) / 1_000.0)
}

/// `tandemctl counters`
pub(crate) fn counters(
    client: &mut Client,
    json: bool,
    filter: Option<&str>,
    all: bool,
) -> Result<(), Failure> {
    let mut counters: Vec<Counter> = ask(client, method::STATISTICS)?;
    counters.retain(|c| (all || json || c.value != 0) && filter.is_none_or(|f| c.name.contains(f)));
    print(json, &counters, |counters| {
        let rows: Vec<Vec<String>> = counters
            .iter()
            .map(|c| {
                let plane = match c.plane {
                    Plane::Dataplane => "dataplane",
                    Plane::Signaling => "signaling",
                };
                vec![plane.to_owned(), c.name.clone(), c.value.to_string()]
            })
            .collect();
        table(&["plane", "counter", ">value"], &rows)
    })
}

pub(crate) fn ask<T: DeserializeOwned>(client: &mut Client, method: &str) -> Result<T, Failure> {
    client.call(method, Value::Null)
}

/// Prints a result as JSON for programs or as text for people.
pub(crate) fn print<T: Serialize>(
    json: bool,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(value).map_err(|e| Failure::Protocol(e.to_string()))?;
        write_out(&(line + "\n"))
    } else {
        write_out(&text(value))
    }
}

/// Writes to standard output. A reader that has seen enough (`head`) is no failure.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

pub(crate) fn milliseconds(us: Option<u64>) -> String {
    us.map_or("-".to_owned(), |us| {
        format!("{}.{:03}", us / 1_000, us % 1_000)
    })
}

pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
