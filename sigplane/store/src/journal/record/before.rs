//! A CDR as version 1 of the journal's records had it.

use serde::Deserialize;
use tandem_policy::{CdrMedia, EndCause, EndedBy};

#[derive(Deserialize)]
pub(super) struct Cdr {
    call_uuid: String,
    callid: String,
    from_tag: String,
    to_tag: String,
    direction: String,
    from_uri: String,
    to_uri: String,
    request_uri: String,
    source: String,
    destination: String,
    start_ms: u64,
    answer_ms: Option<u64>,
    end_ms: u64,
    sip_code: u16,
    sip_reason: String,
    cause: EndCause,
    caller_media: Media,
    callee_media: Media,
}

#[derive(Deserialize)]
struct Media {
    packets: u64,
    bytes: u64,
    lost: u64,
    jitter: u32,
}

impl From<Media> for CdrMedia {
    fn from(media: Media) -> Self {
        Self {
            packets: media.packets,
            bytes: media.bytes,
            lost: media.lost,
            jitter: media.jitter,
            ..Self::default()
        }
    }
}

impl From<Cdr> for tandem_policy::Cdr {
    fn from(before: Cdr) -> Self {
        let ended_by = match before.cause {
            EndCause::Caller | EndCause::Cancelled => EndedBy::Caller,
            EndCause::Callee => EndedBy::Callee,
            _ => EndedBy::Us,
        };
        Self {
            call_uuid: before.call_uuid,
            callid: before.callid,
            carrier_callid: String::new(),
            from_tag: before.from_tag,
            to_tag: before.to_tag,
            cseq: 0,
            direction: before.direction,
            tenant: String::new(),
            trunk: String::new(),
            from_uri: before.from_uri,
            to_uri: before.to_uri,
            request_uri: before.request_uri,
            sent_uri: String::new(),
            sent_from: String::new(),
            source: before.source,
            source_local: String::new(),
            destination: before.destination,
            destination_address: String::new(),
            destination_local: String::new(),
            start_ms: before.start_ms,
            ring_ms: None,
            answer_ms: before.answer_ms,
            end_ms: before.end_ms,
            sip_code: before.sip_code,
            sip_reason: before.sip_reason,
            cause: before.cause,
            ended_by,
            q850: None,
            attempts: 0,
            tried: Vec::new(),
            media_partial: false,
            caller_media: before.caller_media.into(),
            callee_media: before.callee_media.into(),
            caller_quality: tandem_policy::CdrQuality::default(),
            callee_quality: tandem_policy::CdrQuality::default(),
        }
    }
}
