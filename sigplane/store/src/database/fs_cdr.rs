//! FreeSWITCH's CDRs: what both databases have in common.

use tandem_policy::FsCdr;

use super::batch::{Batch, fit};
use super::signed;
use crate::journal::Change;

/// Our CDRs with those of FreeSWITCH's legs of the same Call-ID beside them; alone where there is none. Statements that make it begin otherwise.
pub(super) const CDR_JOINED: &str = "cdr_joined AS
    SELECT c.call_uuid, c.node, c.callid, c.direction, c.from_uri, c.to_uri, c.request_uri, c.source, c.destination,
        c.start_ms, c.answer_ms, c.end_ms, c.sip_code, c.cause,
        f.uuid AS fs_uuid, f.switchname AS fs_switchname, f.direction AS fs_direction,
        f.caller_id_number AS fs_caller, f.destination AS fs_destination,
        f.start_us AS fs_start_us, f.answer_us AS fs_answer_us, f.end_us AS fs_end_us, f.billsec AS fs_billsec,
        f.hangup_cause AS fs_hangup_cause, f.q850 AS fs_q850, f.disposition AS fs_disposition,
        f.read_codec AS fs_read_codec, f.in_packets AS fs_in_packets, f.in_skipped AS fs_in_skipped,
        f.out_packets AS fs_out_packets, f.jitter_max AS fs_jitter_max, f.loss_rate AS fs_loss_rate,
        f.mos AS fs_mos, f.quality AS fs_quality
    FROM cdr c LEFT JOIN fs_cdr f ON f.sip_call_id = c.callid";

/// The columns, in the order of [`Columns`].
pub(super) const COLUMNS: &str = "uuid, core_uuid, switchname, leg, sip_call_id, direction, caller_id_name,
    caller_id_number, destination, network_addr, hangup_cause, disposition, read_codec, write_codec, bridge_uuid, last_app,
    start_us, answer_us, end_us, duration_s, billsec, q850, in_packets, in_bytes, in_skipped, out_packets, out_bytes,
    node, received_ms, jitter_min, jitter_max, loss_rate, mos, quality";

/// A row's values.
pub(super) struct Columns<'a> {
    pub(super) texts: [&'a str; 16],
    pub(super) numbers: [Option<i64>; 13],
    pub(super) fractions: [Option<f64>; 5],
}

impl<'a> Columns<'a> {
    pub(super) fn of(node: u16, cdr: &'a FsCdr) -> Self {
        let number = |n: u64| Some(signed(n));
        // Exact: no hundredths have more digits than a float.
        #[expect(clippy::cast_precision_loss)]
        let fraction = |n: Option<u64>| n.map(|n| n as f64 / 100.0);
        Self {
            texts: [
                fit(&cdr.uuid, 64),
                fit(&cdr.core_uuid, 64),
                fit(&cdr.switchname, 128),
                fit(&cdr.leg, 1),
                fit(&cdr.sip_call_id, 255),
                fit(&cdr.direction, 16),
                fit(&cdr.caller_id_name, 128),
                fit(&cdr.caller_id_number, 64),
                fit(&cdr.destination, 128),
                fit(&cdr.network_addr, 64),
                fit(&cdr.hangup_cause, 64),
                fit(&cdr.disposition, 32),
                fit(&cdr.read_codec, 32),
                fit(&cdr.write_codec, 32),
                fit(&cdr.bridge_uuid, 64),
                fit(&cdr.last_app, 64),
            ],
            numbers: [
                number(cdr.start_us),
                cdr.answer_us.map(signed),
                number(cdr.end_us),
                number(cdr.duration_s.into()),
                number(cdr.billsec.into()),
                number(cdr.q850.into()),
                cdr.in_packets.map(signed),
                cdr.in_bytes.map(signed),
                cdr.in_skipped.map(signed),
                cdr.out_packets.map(signed),
                cdr.out_bytes.map(signed),
                number(node.into()),
                number(cdr.received_ms),
            ],
            fractions: [
                fraction(cdr.jitter_min),
                fraction(cdr.jitter_max),
                fraction(cdr.loss_rate),
                fraction(cdr.mos),
                fraction(cdr.quality),
            ],
        }
    }
}

/// What reads the legs with so many Call-IDs, the earliest first: [`COLUMNS`], with `integer` the type that whole numbers are cast to.
pub(super) fn select(call_ids: usize, integer: &str) -> String {
    let columns: Vec<&str> = COLUMNS.split(',').map(str::trim).collect();
    let read: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| match at {
            16..29 => format!("CAST({column} AS {integer})"),
            _ => (*column).to_owned(),
        })
        .collect();
    let places = vec!["?"; call_ids.max(1)].join(", ");
    format!(
        "SELECT {} FROM fs_cdr WHERE sip_call_id IN ({places}) ORDER BY start_us, id LIMIT {LEGS}",
        read.join(", ")
    )
}

/// Legs that are read of a call at most.
const LEGS: usize = 100;

/// A row that was read: the reverse of [`Columns::of`].
pub(super) fn read(
    texts: Vec<String>,
    numbers: Vec<Option<i64>>,
    fractions: Vec<Option<f64>>,
) -> FsCdr {
    let mut texts = texts.into_iter();
    let mut text = || texts.next().unwrap_or_default();
    let mut numbers = numbers.into_iter();
    let mut number = || numbers.next().flatten().and_then(|n| u64::try_from(n).ok());
    let mut fractions = fractions.into_iter();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as the cast does it, which is at the ends of the range"
    )]
    let mut hundredths = || {
        fractions
            .next()
            .flatten()
            .map(|n| (n * 100.0).round() as u64)
    };
    let short = |n: Option<u64>| u32::try_from(n.unwrap_or(0)).unwrap_or(u32::MAX);
    FsCdr {
        uuid: text(),
        core_uuid: text(),
        switchname: text(),
        leg: text(),
        sip_call_id: text(),
        direction: text(),
        caller_id_name: text(),
        caller_id_number: text(),
        destination: text(),
        network_addr: text(),
        hangup_cause: text(),
        disposition: text(),
        read_codec: text(),
        write_codec: text(),
        bridge_uuid: text(),
        last_app: text(),
        start_us: number().unwrap_or(0),
        answer_us: number(),
        end_us: number().unwrap_or(0),
        duration_s: short(number()),
        billsec: short(number()),
        q850: number().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        in_packets: number(),
        in_bytes: number(),
        in_skipped: number(),
        out_packets: number(),
        out_bytes: number(),
        received_ms: {
            let _node = number();
            number().unwrap_or(0)
        },
        jitter_min: hundredths(),
        jitter_max: hundredths(),
        loss_rate: hundredths(),
        mos: hundredths(),
        quality: hundredths(),
    }
}

impl Batch<'_> {
    /// FreeSWITCH's CDRs behind this sequence number.
    pub(super) fn fs_cdrs(&self, after: u64) -> Vec<&FsCdr> {
        let new = self.changes.iter().filter(|(s, _)| *s > after);
        new.filter_map(|(_, change)| match change {
            Change::FsCdr(cdr) => Some(&**cdr),
            Change::Cdr(_) | Change::Row { .. } => None,
        })
        .collect()
    }
}
