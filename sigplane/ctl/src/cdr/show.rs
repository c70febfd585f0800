//! `tandemctl cdr show`: a call, and what FreeSWITCH says of its legs.

use std::path::Path;

use serde_json::{Value, json};
use tandem_freeswitch::row::FsCdr;
use tandem_store::{CdrFilter, CdrOrder, CdrRow, CdrValue};

use super::{names, object, read, values};
use crate::client::Failure;
use crate::show::write_out;
use crate::table::table;
use crate::time::rfc3339;

/// Calls with one Call-ID that are shown at most.
const MOST: u32 = 20;

/// `tandemctl cdr show`
pub(super) fn show(config: &Path, as_json: bool, call_id: String) -> Result<(), Failure> {
    let filter = CdrFilter {
        call_id: Some(call_id.clone()),
        ..CdrFilter::default()
    };
    let (calls, legs) = read(config, async |database| {
        let calls = database.cdrs(&filter, CdrOrder::Latest, MOST).await?;
        // FreeSWITCH has the inside's, and may have posted what we had no call for.
        let mut call_ids = vec![call_id.as_str()];
        call_ids.extend(calls.iter().filter_map(|row| text(row, "callid")));
        let legs = database.fs_cdrs(&call_ids).await?;
        Ok((calls, legs))
    })?;
    if calls.is_empty() && legs.is_empty() {
        return Err(Failure::Refused(format!(
            "no call with the Call-ID {call_id:?} has ended, on either side"
        )));
    }
    if as_json {
        let calls: Vec<_> = calls.iter().map(|row| object(&values(row))).collect();
        let legs: Vec<_> = legs.iter().map(leg).collect();
        return write_out(&format!(
            "{}\n",
            json!({ "calls": calls, "freeswitch": legs })
        ));
    }
    let mut out = String::new();
    for row in calls.iter().rev() {
        out.push_str(&details(row));
        out.push('\n');
    }
    out.push_str(&beside(&calls, &legs));
    write_out(&out)
}

/// Everything of a row that says something.
fn details(row: &CdrRow) -> String {
    let rows: Vec<Vec<String>> = names()
        .zip(values(row))
        .filter_map(|(name, value)| {
            let text = shown(&value)?;
            Some(vec![name.to_owned(), text])
        })
        .collect();
    table(&["column", "value"], &rows)
}

/// Our figures and FreeSWITCH's, a line for each end that heard media.
fn beside(calls: &[CdrRow], legs: &[FsCdr]) -> String {
    let mut rows = Vec::new();
    for row in calls.iter().rev() {
        for side in ["caller", "callee"] {
            let of = |name: &str| column(row, name);
            let figure = |name: &str| of(&format!("{side}_{name}"));
            rows.push(vec![
                format!("tandem, from the {side}"),
                of("start_time"),
                of("duration_ms"),
                of("cause"),
                of("q850"),
                figure("codec"),
                figure("packets"),
                figure("lost"),
                figure("mos"),
            ]);
        }
    }
    for leg in legs {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let start = i64::try_from(leg.start_us / 1_000).unwrap_or(i64::MAX);
        rows.push(vec![
            format!("{}, {} leg {}", leg.switchname, leg.direction, leg.uuid),
            rfc3339(start),
            (u64::from(leg.billsec) * 1_000).to_string(),
            leg.hangup_cause.clone(),
            leg.q850.to_string(),
            leg.read_codec.clone(),
            number(leg.in_packets),
            number(leg.in_skipped),
            hundredths(leg.mos).map_or_else(|| "-".to_owned(), |n| n.to_string()),
        ]);
    }
    table(
        &[
            "who says it",
            "begin",
            ">ms",
            "cause",
            ">q.850",
            "codec",
            ">packets in",
            ">missing",
            ">mos",
        ],
        &rows,
    )
}

/// A leg, by the table's columns.
fn leg(leg: &FsCdr) -> Value {
    json!({
        "uuid": leg.uuid, "core_uuid": leg.core_uuid, "switchname": leg.switchname, "leg": leg.leg,
        "sip_call_id": leg.sip_call_id, "direction": leg.direction, "caller_id_name": leg.caller_id_name,
        "caller_id_number": leg.caller_id_number, "destination": leg.destination, "network_addr": leg.network_addr,
        "start_us": leg.start_us, "answer_us": leg.answer_us, "end_us": leg.end_us, "duration_s": leg.duration_s,
        "billsec": leg.billsec, "hangup_cause": leg.hangup_cause, "q850": leg.q850, "disposition": leg.disposition,
        "read_codec": leg.read_codec, "write_codec": leg.write_codec, "in_packets": leg.in_packets,
        "in_bytes": leg.in_bytes, "in_skipped": leg.in_skipped, "out_packets": leg.out_packets,
        "out_bytes": leg.out_bytes, "jitter_min": hundredths(leg.jitter_min), "jitter_max": hundredths(leg.jitter_max),
        "loss_rate": hundredths(leg.loss_rate), "mos": hundredths(leg.mos), "quality": hundredths(leg.quality),
        "bridge_uuid": leg.bridge_uuid, "last_app": leg.last_app, "received_ms": leg.received_ms,
    })
}

#[expect(clippy::cast_precision_loss, reason = "it came from as many digits")]
fn hundredths(n: Option<u64>) -> Option<f64> {
    n.map(|n| n as f64 / 100.0)
}

fn text<'r>(row: &'r CdrRow, name: &str) -> Option<&'r str> {
    let found = names().zip(row).find(|(n, _)| *n == name);
    match found {
        Some((_, CdrValue::Text(text))) => Some(text),
        _ => None,
    }
}

fn column(row: &CdrRow, name: &str) -> String {
    let found = names().zip(values(row)).find(|(n, _)| *n == name);
    let text = found.and_then(|(_, value)| shown(&value));
    text.unwrap_or_else(|| "-".to_owned())
}

/// None for what says nothing.
fn shown(value: &CdrValue) -> Option<String> {
    match value {
        CdrValue::None => None,
        CdrValue::Int(number) => Some(number.to_string()),
        CdrValue::Real(number) => Some(number.to_string()),
        CdrValue::Text(text) => (!text.is_empty()).then(|| text.clone()),
    }
}
