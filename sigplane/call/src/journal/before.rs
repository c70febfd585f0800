//! A call's state as version 4 wrote it.

use std::net::SocketAddr;

use serde::Deserialize;
use tandem_policy::CdrMedia;

use crate::media::{Party, SessionBefore};
use crate::record::{self, Account, Dialog, Direction, Ending, Peer, SessionTimer};

#[derive(Deserialize)]
pub(super) struct Record {
    direction: Direction,
    #[serde(with = "serde_bytes")]
    call_id: Vec<u8>,
    #[serde(with = "serde_bytes")]
    from_tag: Vec<u8>,
    #[serde(with = "serde_bytes")]
    from: Vec<u8>,
    from_uri: String,
    to_uri: String,
    request_uri: String,
    source: SocketAddr,
    target: Option<i64>,
    destination: String,
    caller: Peer,
    dialogs: Vec<Dialog>,
    #[serde(with = "serde_bytes")]
    confirmed: Option<Vec<u8>>,
    answer_in_ack: Option<(u32, Party)>,
    start_ms: u64,
    answer_ms: Option<u64>,
    sip_code: u16,
    sip_reason: String,
    ending: Option<Ending>,
    session: Option<SessionTimer>,
    media: Option<SessionBefore>,
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

impl From<Record> for record::Record {
    fn from(before: Record) -> Self {
        Self {
            direction: before.direction,
            call_id: before.call_id,
            from_tag: before.from_tag,
            from: before.from,
            from_uri: before.from_uri,
            to_uri: before.to_uri,
            request_uri: before.request_uri,
            source: before.source,
            target: before.target,
            destination: before.destination,
            caller: before.caller,
            dialogs: before.dialogs,
            confirmed: before.confirmed,
            answer_in_ack: before.answer_in_ack,
            start_ms: before.start_ms,
            answer_ms: before.answer_ms,
            sip_code: before.sip_code,
            sip_reason: before.sip_reason,
            ending: before.ending,
            session: before.session,
            media: before.media.map(Into::into),
            caller_media: before.caller_media.into(),
            callee_media: before.callee_media.into(),
            caller_quality: tandem_policy::CdrQuality::default(),
            callee_quality: tandem_policy::CdrQuality::default(),
            admitted: Vec::new(),
            shown_from: None,
            tenant: String::new(),
            trunk: String::new(),
            account: Account::default(),
        }
    }
}
