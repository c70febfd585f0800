//! A CDR as the columns of `cdr`, in either database.

use std::borrow::Cow;

use serde_json::json;
use tandem_policy::{Cdr, CdrMedia, Tried};

use super::batch::fit;
use super::signed;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Int(Option<i64>),
    Real(Option<f64>),
    Text(Cow<'a, str>),
}

/// The characters that `tried` takes.
const TRIED: usize = 2048;

/// The columns and their values, in the order of the table. Texts are as long as their columns at most.
pub(super) fn columns<'a>(
    node: u16,
    sequence: u64,
    cdr: &'a Cdr,
) -> Vec<(&'static str, Value<'a>)> {
    let text = |text: &'a str, most| Value::Text(Cow::Borrowed(fit(text, most)));
    let ms = |ms: u64| Value::Int(Some(signed(ms)));
    let mut columns = vec![
        ("node", int(node)),
        ("sequence", ms(sequence)),
        ("call_uuid", text(&cdr.call_uuid, 64)),
        ("callid", text(&cdr.callid, 255)),
        ("from_tag", text(&cdr.from_tag, 128)),
        ("to_tag", text(&cdr.to_tag, 128)),
        ("direction", text(&cdr.direction, 16)),
        ("from_uri", text(&cdr.from_uri, 255)),
        ("to_uri", text(&cdr.to_uri, 255)),
        ("request_uri", text(&cdr.request_uri, 255)),
        ("source", text(&cdr.source, 64)),
        ("destination", text(&cdr.destination, 255)),
        ("start_ms", ms(cdr.start_ms)),
        ("answer_ms", Value::Int(cdr.answer_ms.map(signed))),
        ("end_ms", ms(cdr.end_ms)),
        ("sip_code", int(cdr.sip_code)),
        ("sip_reason", text(&cdr.sip_reason, 128)),
        ("cause", text(cdr.cause.as_str(), 16)),
    ];
    let names = [
        [
            "caller_packets",
            "caller_bytes",
            "caller_lost",
            "caller_jitter",
        ],
        [
            "callee_packets",
            "callee_bytes",
            "callee_lost",
            "callee_jitter",
        ],
    ];
    for ([packets, bytes, lost, jitter], media) in names.into_iter().zip(sides(cdr)) {
        columns.extend([
            (packets, ms(media.packets)),
            (bytes, ms(media.bytes)),
            (lost, ms(media.lost)),
            (jitter, int(media.jitter)),
        ]);
    }
    let source = match cdr.q850 {
        None => "",
        Some(q850) if q850.said => "reason",
        Some(_) => "sip",
    };
    columns.extend([
        ("tenant", text(&cdr.tenant, 64)),
        ("trunk", text(&cdr.trunk, 64)),
        ("carrier_callid", text(&cdr.carrier_callid, 255)),
        ("sent_uri", text(&cdr.sent_uri, 255)),
        ("sent_from", text(&cdr.sent_from, 255)),
        ("source_local", text(&cdr.source_local, 64)),
        ("destination_address", text(&cdr.destination_address, 64)),
        ("destination_local", text(&cdr.destination_local, 64)),
        ("ring_ms", Value::Int(cdr.ring_ms.map(signed))),
        ("ended_by", text(cdr.ended_by.as_str(), 8)),
        ("q850", Value::Int(cdr.q850.map(|q| q.cause.into()))),
        ("q850_source", text(source, 8)),
        ("attempts", int(cdr.attempts)),
        ("tried", Value::Text(tried(&cdr.tried).into())),
        ("media_partial", int(u8::from(cdr.media_partial))),
    ]);
    let names = [
        [
            "caller_payload_type",
            "caller_codec",
            "caller_jitter_ms",
            "caller_mos",
            "caller_other_packets",
            "caller_other_bytes",
        ],
        [
            "callee_payload_type",
            "callee_codec",
            "callee_jitter_ms",
            "callee_mos",
            "callee_other_packets",
            "callee_other_bytes",
        ],
    ];
    for ([payload_type, codec, jitter, mos, packets, bytes], media) in
        names.into_iter().zip(sides(cdr))
    {
        columns.extend([
            (payload_type, Value::Int(media.payload_type.map(i64::from))),
            (codec, text(&media.codec, 64)),
            (
                jitter,
                Value::Real(media.jitter_us.map(|us| f64::from(us) / 1_000.0)),
            ),
            (
                mos,
                Value::Real(media.mos.map(|mos| f64::from(mos) / 100.0)),
            ),
            (packets, ms(media.other_packets)),
            (bytes, ms(media.other_bytes)),
        ]);
    }
    let names = [
        [
            "caller_rtt_ms",
            "caller_rtt_max_ms",
            "caller_heard_lost",
            "caller_heard_jitter_ms",
            "caller_heard_mos",
            "caller_dtmf",
        ],
        [
            "callee_rtt_ms",
            "callee_rtt_max_ms",
            "callee_heard_lost",
            "callee_heard_jitter_ms",
            "callee_heard_mos",
            "callee_dtmf",
        ],
    ];
    let millis = |us: Option<u32>| Value::Real(us.map(|us| f64::from(us) / 1_000.0));
    for ([mean, longest, lost, jitter, mos, dtmf], quality) in names
        .into_iter()
        .zip([&cdr.caller_quality, &cdr.callee_quality])
    {
        let worst = quality.round_trip_us.map(|_| quality.worst_round_trip_us);
        columns.extend([
            (mean, millis(quality.round_trip_us)),
            (longest, millis(worst)),
            (lost, Value::Int(quality.heard_lost.map(signed))),
            (jitter, millis(quality.heard_jitter_us)),
            (
                mos,
                Value::Real(quality.heard_mos.map(|mos| f64::from(mos) / 100.0)),
            ),
            (dtmf, int(quality.events)),
        ]);
    }
    columns
}

/// How many columns there are.
pub(super) const COLUMNS: usize = 65;

const fn sides(cdr: &Cdr) -> [&CdrMedia; 2] {
    [&cdr.caller_media, &cdr.callee_media]
}

fn int<'a>(value: impl Into<i64>) -> Value<'a> {
    Value::Int(Some(value.into()))
}

/// The attempts as JSON, the oldest left away if all are too long.
fn tried(all: &[Tried]) -> String {
    let of = |tried: &Tried| json!({ "target": tried.target, "trunk": tried.trunk, "code": tried.code, "ms": tried.ms });
    let mut all = all;
    loop {
        let text = serde_json::Value::from_iter(all.iter().map(of)).to_string();
        match all {
            [] => return String::new(),
            [_, rest @ ..] if text.chars().count() > TRIED => all = rest,
            _ => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{mariadb, sqlite};

    #[test]
    fn both_tables_have_the_columns_in_their_order() {
        let cdr = crate::journal::tests::cdr("a");
        let names: Vec<_> = columns(1, 2, &cdr).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names.len(), COLUMNS);
        for definition in [sqlite::cdr_definition(), mariadb::cdr_definition()] {
            let there: Vec<_> = definition
                .lines()
                .map(|line| line.trim().split(' ').next().unwrap())
                .filter(|name| !matches!(*name, "id" | "PRIMARY" | "CONSTRAINT" | "INDEX"))
                .collect();
            assert_eq!(there, names);
        }
    }

    #[test]
    fn attempts_that_are_too_long_lose_the_oldest() {
        let mut all = vec![
            Tried {
                target: "\u{1f600}\"".repeat(300),
                code: 503,
                ..Tried::default()
            };
            5
        ];
        all[4].code = 200;
        let text = tried(&all);
        assert!(text.chars().count() <= TRIED);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.as_array().unwrap().last().unwrap()["code"], 200);
        assert_eq!(tried(&[]), "");
    }
}
