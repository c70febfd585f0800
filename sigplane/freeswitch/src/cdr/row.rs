//! From the texts to a row.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use tandem_policy::FsCdr;

use super::CdrError;
use super::document::Document;

/// The variables that are read. The others are FreeSWITCH's business, and can be a channel's secrets.
pub(super) const VARIABLES: &[&str] = &[
    "uuid",
    "sip_call_id",
    "direction",
    "start_epoch",
    "start_uepoch",
    "answer_epoch",
    "answer_uepoch",
    "end_epoch",
    "end_uepoch",
    "duration",
    "billsec",
    "hangup_cause",
    "hangup_cause_q850",
    "sip_hangup_disposition",
    "caller_id_name",
    "caller_id_number",
    "read_codec",
    "write_codec",
    "rtp_audio_in_packet_count",
    "rtp_audio_in_raw_bytes",
    "rtp_audio_in_skip_packet_count",
    "rtp_audio_out_packet_count",
    "rtp_audio_out_raw_bytes",
    "rtp_audio_in_jitter_min_variance",
    "rtp_audio_in_jitter_max_variance",
    "rtp_audio_in_jitter_loss_rate",
    "rtp_audio_in_mos",
    "rtp_audio_in_quality_percentage",
    "bridge_uuid",
    "last_app",
];

/// What is read of a caller profile.
pub(super) const PROFILE: &[&str] = &[
    "uuid",
    "caller_id_name",
    "caller_id_number",
    "destination_number",
    "network_addr",
];

pub(super) fn row(
    document: &Document,
    query: Option<&str>,
    now_ms: u64,
) -> Result<FsCdr, CdrError> {
    let variables = Texts(&document.variables);
    let profile = |name: &str| clean(document.profile.get(name).map_or("", String::as_str));
    let root = |name: &str| clean(document.root.get(name).map_or("", String::as_str));
    let (leg, asked) = match query {
        Some(uuid) => match uuid.strip_prefix("a_") {
            Some(uuid) => ("a", Some(uuid)),
            None => ("", Some(uuid)),
        },
        None => ("", None),
    };
    let said = Some(variables.text("uuid")).filter(|uuid| !uuid.is_empty());
    let said = said.or_else(|| Some(profile("uuid")).filter(|uuid| !uuid.is_empty()));
    let uuid = match (said, asked) {
        (Some(said), Some(asked)) if !said.eq_ignore_ascii_case(asked) => {
            return Err(CdrError::OtherUuid);
        }
        (Some(said), _) => said,
        (None, Some(asked)) => asked.to_owned(),
        (None, None) => return Err(CdrError::Field("uuid")),
    };
    let is_uuid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if uuid.is_empty() || uuid.len() > 64 || !uuid.bytes().all(is_uuid) {
        return Err(CdrError::Field("uuid"));
    }
    let start_us = variables
        .time("start")
        .ok_or(CdrError::Field("start_uepoch"))?;
    let duration_s = variables.number("duration").unwrap_or(0);
    let late = start_us.saturating_add(duration_s.saturating_mul(1_000_000));
    let either = |name: &str| match profile(name) {
        text if text.is_empty() => variables.text(name),
        text => text,
    };
    let seconds = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let q850 = variables.number("hangup_cause_q850").unwrap_or(0);
    Ok(FsCdr {
        uuid: uuid.to_ascii_lowercase(),
        core_uuid: root("core-uuid"),
        switchname: root("switchname"),
        leg: leg.to_owned(),
        sip_call_id: variables.text("sip_call_id"),
        direction: variables.text("direction"),
        caller_id_name: either("caller_id_name"),
        caller_id_number: either("caller_id_number"),
        destination: profile("destination_number"),
        network_addr: profile("network_addr"),
        start_us,
        answer_us: variables.time("answer"),
        end_us: variables.time("end").unwrap_or(late),
        duration_s: seconds(duration_s),
        billsec: seconds(variables.number("billsec").unwrap_or(0)),
        hangup_cause: variables.text("hangup_cause"),
        q850: u16::try_from(q850).unwrap_or(0),
        disposition: variables.text("sip_hangup_disposition"),
        read_codec: variables.text("read_codec"),
        write_codec: variables.text("write_codec"),
        in_packets: variables.number("rtp_audio_in_packet_count"),
        in_bytes: variables.number("rtp_audio_in_raw_bytes"),
        in_skipped: variables.number("rtp_audio_in_skip_packet_count"),
        out_packets: variables.number("rtp_audio_out_packet_count"),
        out_bytes: variables.number("rtp_audio_out_raw_bytes"),
        jitter_min: variables.hundredths("rtp_audio_in_jitter_min_variance"),
        jitter_max: variables.hundredths("rtp_audio_in_jitter_max_variance"),
        loss_rate: variables.hundredths("rtp_audio_in_jitter_loss_rate"),
        mos: variables.hundredths("rtp_audio_in_mos"),
        quality: variables.hundredths("rtp_audio_in_quality_percentage"),
        bridge_uuid: variables.text("bridge_uuid"),
        last_app: variables.text("last_app"),
        received_ms: now_ms,
    })
}

/// The largest number that both databases have a column for.
const MOST: u64 = i64::MAX as u64;

/// Variables: percent-encoded.
struct Texts<'a>(&'a HashMap<String, String>);

impl Texts<'_> {
    fn text(&self, name: &str) -> String {
        let text = self.0.get(name).map_or("", String::as_str);
        clean(&percent_decode_str(text).decode_utf8_lossy())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok().filter(|n| *n <= MOST)
    }

    /// A time in microseconds, or in seconds; none for zero, which is "never".
    fn time(&self, name: &str) -> Option<u64> {
        let micro = self.number(&format!("{name}_uepoch"));
        let whole = || {
            let seconds = self.number(&format!("{name}_epoch"))?;
            seconds.checked_mul(1_000_000).filter(|n| *n <= MOST)
        };
        micro
            .filter(|n| *n > 0)
            .or_else(|| whole().filter(|n| *n > 0))
    }

    /// A number with a fraction.
    fn hundredths(&self, name: &str) -> Option<u64> {
        let number: f64 = self.text(name).parse().ok()?;
        let hundredths = (number * 100.0).round();
        // Up to what both a 64-bit float and the databases' columns have exactly.
        (0.0..=1e15)
            .contains(&hundredths)
            .then_some(hundredths as u64)
    }
}

/// Control characters have no place in a column, or on a terminal.
fn clean(text: &str) -> String {
    let replace = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(replace).collect()
}
