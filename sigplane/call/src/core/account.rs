//! What a call's CDR is made of, as it comes.

use tandem_link::{FlowReport, LegStats, MediaKind};
use tandem_policy::quality::{self, Codec, Way};
use tandem_policy::{Cdr, CdrMedia, CdrQuality, EndCause, EndedBy, Q850, Tried};
use tandem_sip::Reason;

use super::Core;
use crate::call::Branch;
use crate::io::Now;
use crate::media::Party;
use crate::message::Message;
use crate::record::{Ending, Hop, Record};

/// How many attempts a CDR tells of: the last ones.
const TRIED: usize = 8;

/// An INVITE that goes to somebody.
pub(super) struct Asked<'a> {
    pub(super) hop: Hop,
    /// Its Request-URI.
    pub(super) uri: &'a [u8],
    /// The target's URI.
    pub(super) target: &'a str,
}

impl Core {
    /// Somebody is asked. Returns the number of the attempt.
    pub(super) fn note_asked(&mut self, now: Now, key: u64, asked: &Asked<'_>) -> u32 {
        let Some(call) = self.calls.get_mut(&key) else {
            return 0;
        };
        let record = &mut call.record;
        let account = &mut record.account;
        account.attempts = account.attempts.saturating_add(1);
        account.asked = Some((asked.hop.local, asked.hop.peer));
        account.sent_uri = String::from_utf8_lossy(asked.uri).into_owned();
        if account.tried.len() >= TRIED {
            account.tried.remove(0);
        }
        account.tried.push(Tried {
            target: asked.target.to_owned(),
            trunk: record.trunk.clone(),
            code: 0,
            ms: since(record.start_ms, now),
        });
        account.attempts
    }

    /// An attempt is over: this was its final answer.
    pub(super) fn note_tried(&mut self, now: Now, key: u64, attempt: u32, code: u16) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let record = &mut call.record;
        let account = &mut record.account;
        // The last of them has the number of all.
        let back = account.attempts.saturating_sub(attempt) as usize;
        let at = account.tried.len().checked_sub(back + 1);
        let tried = at.and_then(|at| account.tried.get_mut(at));
        if let Some(tried) = tried.filter(|tried| tried.code == 0) {
            tried.code = code;
            tried.ms = since(record.start_ms, now).saturating_sub(tried.ms);
        }
    }

    /// A target was given up: it was cancelled, or nothing more is heard of it.
    pub(super) fn note_given_up(&mut self, now: Now, key: u64, branch: &Branch) {
        self.note_tried(now, key, branch.attempt, 487);
    }

    /// It rings. Says whether that is news.
    pub(super) fn note_ringing(&mut self, now: Now, key: u64) -> bool {
        let Some(call) = self.calls.get_mut(&key) else {
            return false;
        };
        let account = &mut call.record.account;
        let is_news = account.ring_ms.is_none();
        account.ring_ms.get_or_insert(now.wall_ms);
        is_news
    }

    /// Why a peer ends the call, if it says so in the words of Q.850.
    pub(super) fn note_reason(&mut self, key: u64, message: &Message<'_>) {
        let fields = message.fields();
        let mut values = fields.filter(|(_, name, _)| name.eq_ignore_ascii_case(b"Reason"));
        let cause = values.find_map(|(.., value)| Reason::read_all(value).find_map(|r| r.q850()));
        if let Some(cause) = cause
            && let Some(call) = self.calls.get_mut(&key)
        {
            call.record.account.q850 = Some(Q850 { cause, said: true });
        }
    }

    /// Adds a flow's last figures to its call.
    pub(super) fn add_report(&mut self, key: u64, report: &FlowReport) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        add_report(&mut call.record, report);
    }

    /// Figures of a flow are gone with the dataplane's last life. In the journal with the call's next change.
    pub(super) fn note_lost_figures(&mut self, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.account.media_partial = true;
        }
    }

    /// The CDR of a call that has ended.
    pub(super) fn cdr(&self, key: u64, record: Record) -> Cdr {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ending = record.ending.unwrap_or(Ending {
            cause: EndCause::Local,
            end_ms: record.start_ms,
        });
        let answered = record
            .confirmed
            .as_deref()
            .and_then(|tag| record.dialog(tag));
        let dialog = answered.or_else(|| record.dialogs.last());
        let callee = answered.map(|d| (d.callee.hop.local, d.callee.hop.peer));
        let (local, address) = callee.or(record.account.asked).unzip();
        let to_tag = dialog.map(|d| text(&d.tag)).unwrap_or_default();
        let carrier_callid = self.carrier_call_id(&record);
        let account = record.account;
        let q850 = account.q850.unwrap_or_else(|| {
            Q850::meant(ending.cause, record.sip_code, account.ring_ms.is_some())
        });
        Cdr {
            call_uuid: format!("{}-{key:016x}", self.config.node),
            carrier_callid: text(&carrier_callid),
            callid: text(&record.call_id),
            from_tag: text(&record.from_tag),
            to_tag,
            cseq: record.caller.cseq,
            direction: record.direction.as_str().into(),
            tenant: record.tenant,
            trunk: record.trunk,
            from_uri: record.from_uri,
            to_uri: record.to_uri,
            request_uri: record.request_uri,
            sent_uri: account.sent_uri,
            sent_from: account.sent_from,
            source: record.source.to_string(),
            source_local: record.caller.hop.local.to_string(),
            destination: record.destination,
            destination_address: address.map(|a| a.to_string()).unwrap_or_default(),
            destination_local: local.map(|a| a.to_string()).unwrap_or_default(),
            start_ms: record.start_ms,
            ring_ms: account.ring_ms,
            answer_ms: record.answer_ms,
            end_ms: ending.end_ms,
            sip_code: record.sip_code,
            sip_reason: record.sip_reason,
            cause: ending.cause,
            ended_by: match ending.cause {
                EndCause::Caller | EndCause::Cancelled => EndedBy::Caller,
                EndCause::Callee => EndedBy::Callee,
                EndCause::Rejected if account.refused_by_peer => EndedBy::Callee,
                _ => EndedBy::Us,
            },
            q850: Some(q850),
            attempts: account.attempts,
            tried: tried(account.tried),
            media_partial: account.media_partial,
            caller_quality: heard(
                record.caller_quality,
                &record.callee_media,
                record.callee_quality.round_trip_us,
            ),
            callee_quality: heard(
                record.callee_quality,
                &record.caller_media,
                record.caller_quality.round_trip_us,
            ),
            caller_media: scored(record.caller_media, record.caller_quality.round_trip_us),
            callee_media: scored(record.callee_media, record.callee_quality.round_trip_us),
        }
    }
}

/// With its score, where there is something to be scored: of what arrived here.
fn scored(mut media: CdrMedia, round_trip_us: Option<u32>) -> CdrMedia {
    if let Some(codec) = Codec::of(&media.codec).filter(|_| media.packets > 0) {
        let jitter_ms = milliseconds(media.jitter_us);
        let path_ms = quality::path_ms(round_trip_us);
        let way = Way::counted(codec, media.packets, media.lost, jitter_ms, path_ms);
        media.mos = Some(score(codec, way));
    }
    media
}

/// With the score of what this side heard of the other's speech, if it said so: on the whole way, from one end to the other.
fn heard(
    mut quality: CdrQuality,
    other: &CdrMedia,
    other_round_trip_us: Option<u32>,
) -> CdrQuality {
    if let (Some(lost), Some(codec)) = (quality.heard_lost, Codec::of(&other.codec)) {
        let jitter_ms = milliseconds(quality.heard_jitter_us);
        let path_ms =
            quality::path_ms(quality.round_trip_us) + quality::path_ms(other_round_trip_us);
        // What was lost before it came here never was sent to this side.
        let sent = other.packets.saturating_add(other.lost);
        let way = Way::counted(codec, sent.saturating_sub(lost), lost, jitter_ms, path_ms);
        quality.heard_mos = Some(score(codec, way));
    }
    quality
}

fn milliseconds(us: Option<u32>) -> f64 {
    f64::from(us.unwrap_or(0)) / 1_000.0
}

/// In hundredths: 100 to 450.
fn score(codec: Codec, way: Way) -> u16 {
    (quality::opinion(quality::rating(codec, way)) * 100.0).round() as u16
}

/// Attempts as the CDR has them: of one without an answer nothing is known but that it was made.
fn tried(mut all: Vec<Tried>) -> Vec<Tried> {
    for tried in all.iter_mut().filter(|tried| tried.code == 0) {
        tried.ms = 0;
    }
    all
}

fn since(start_ms: u64, now: Now) -> u32 {
    u32::try_from(now.wall_ms.saturating_sub(start_ms)).unwrap_or(u32::MAX)
}

pub(super) fn add_report(record: &mut Record, report: &FlowReport) {
    let flow = &report.spec;
    // The media session gives the caller leg A.
    for (party, leg) in [(Party::Caller, &report.a), (Party::Callee, &report.b)] {
        let encoding = |payload_type| record.media.as_ref()?.encoding(flow.id, payload_type);
        let encoding = leg.rtp.payload_type.and_then(encoding).map(str::to_owned);
        let sum = match party {
            Party::Caller => &mut record.caller_media,
            Party::Callee => &mut record.callee_media,
        };
        match flow.media {
            MediaKind::Audio => {
                add_audio(sum, leg, encoding);
                let quality = match party {
                    Party::Caller => &mut record.caller_quality,
                    Party::Callee => &mut record.callee_quality,
                };
                add_quality(quality, leg);
            }
            MediaKind::Other => {
                sum.other_packets = sum.other_packets.saturating_add(leg.rtp.packets);
                sum.other_bytes = sum.other_bytes.saturating_add(leg.rtp.bytes);
            }
        }
    }
}

/// Adds what was seen of a leg and what its peer said.
fn add_quality(sum: &mut CdrQuality, leg: &LegStats) {
    let (stream, report) = (&leg.stream, &leg.report);
    sum.events = sum.events.saturating_add(stream.events);
    sum.ssrc_changes = sum.ssrc_changes.saturating_add(stream.ssrc_changes);
    sum.payload_type_changes = sum
        .payload_type_changes
        .saturating_add(stream.payload_type_changes);
    sum.policed = sum.policed.saturating_add(stream.policed);
    let strangers = leg.rtp.wrong_source.saturating_add(leg.rtcp.wrong_source);
    sum.wrong_source = sum.wrong_source.saturating_add(strangers);
    if report.reports > 0 {
        sum.reports = sum.reports.saturating_add(report.reports);
        let lost = sum
            .heard_lost
            .unwrap_or(0)
            .saturating_add(report.lost.into());
        sum.heard_lost = Some(lost);
        sum.heard_jitter_us = sum.heard_jitter_us.max(Some(report.worst_jitter_us));
    }
    if report.round_trips > 0 {
        // The mean of all that were measured.
        let (before, now) = (u64::from(sum.round_trips), u64::from(report.round_trips));
        let total = u64::from(sum.round_trip_us.unwrap_or(0)) * before
            + u64::from(report.round_trip_us) * now;
        sum.round_trip_us = u32::try_from(total / (before + now)).ok();
        sum.round_trips = sum.round_trips.saturating_add(report.round_trips);
        sum.worst_round_trip_us = sum.worst_round_trip_us.max(report.worst_round_trip_us);
    }
}

fn add_audio(sum: &mut CdrMedia, leg: &LegStats, encoding: Option<String>) {
    let rtp = &leg.rtp;
    sum.packets = sum.packets.saturating_add(rtp.packets);
    sum.bytes = sum.bytes.saturating_add(rtp.bytes);
    sum.lost = sum.lost.saturating_add(rtp.lost);
    if rtp.payload_type.is_none() {
        return;
    }
    let jitter_us = u64::from(rtp.jitter) * 1_000_000 / u64::from(rtp.clock_rate.max(1));
    let jitter_us = u32::try_from(jitter_us).unwrap_or(u32::MAX);
    if sum.jitter_us.is_none_or(|most| most <= jitter_us) {
        sum.jitter_us = Some(jitter_us);
        sum.jitter = rtp.jitter;
    }
    sum.payload_type = rtp.payload_type;
    sum.codec = encoding.unwrap_or_default();
}
