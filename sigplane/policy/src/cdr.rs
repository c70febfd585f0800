//! A call's record for billing (CDR): a row of `cdr`, one for each call, answered or not.

use serde::{Deserialize, Serialize};

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndCause {
    /// BYE from the side that called.
    Caller,
    /// BYE from the side that was called.
    Callee,
    /// CANCEL, or the caller vanished before an answer.
    Cancelled,
    /// A final answer other than 2xx.
    Rejected,
    /// No final answer in time.
    NoAnswer,
    /// No media for the configured time.
    MediaTimeout,
    /// The longest allowed duration was reached.
    MaxDuration,
    /// A session timer was agreed on, and the session not refreshed (RFC 4028).
    SessionExpired,
    /// Our own fault.
    Local,
    /// An administrator's order.
    Administrator,
}

impl EndCause {
    /// The text in `cdr.cause`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no-answer",
            Self::MediaTimeout => "media-timeout",
            Self::MaxDuration => "max-duration",
            Self::SessionExpired => "session-expired",
            Self::Local => "local",
            Self::Administrator => "administrator",
        }
    }
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
    /// This software.
    #[default]
    Us,
}

impl EndedBy {
    /// The text in `cdr.ended_by`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Us => "tandem",
        }
    }
}

/// Why a call ended, in the words of ITU-T Q.850.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Q850 {
    /// The cause value, 0 to 127.
    pub cause: u8,
    /// Whether a peer said it in a Reason header (RFC 3326); else it is what the SIP answer means (RFC 3398).
    pub said: bool,
}

impl Q850 {
    /// What the end of a call means, where no peer has said it.
    #[must_use]
    pub const fn meant(cause: EndCause, sip_code: u16, rang: bool) -> Self {
        let cause = match cause {
            // Normal call clearing.
            EndCause::Caller | EndCause::Callee | EndCause::Cancelled => 16,
            EndCause::Rejected => cause_of(sip_code),
            // No answer from a user who was alerted, or no user responding.
            EndCause::NoAnswer => {
                if rang {
                    19
                } else {
                    18
                }
            }
            // Recovery on timer expiry.
            EndCause::MediaTimeout | EndCause::SessionExpired => 102,
            // Normal, unspecified.
            EndCause::MaxDuration | EndCause::Administrator => 31,
            // Temporary failure.
            EndCause::Local => 41,
        };
        Self { cause, said: false }
    }
}

/// The cause value for a SIP answer (RFC 3398 section 8.2.6.1).
const fn cause_of(sip_code: u16) -> u8 {
    match sip_code {
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401 | 402 | 403 | 407 | 603 => 21,
        410 => 22,
        482 | 483 => 25,
        484 => 28,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127,
        _ => 31,
    }
}

/// One attempt to reach somebody for a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The target's URI.
    pub target: String,
    /// The trunk that it belongs to; empty for none.
    pub trunk: String,
    /// Its final answer; 408 if none came in time, 503 if it could not be reached, 487 if it was cancelled, 0 if nothing was
    /// heard of it any more.
    pub code: u16,
    /// From the INVITE to that answer, in milliseconds.
    pub ms: u32,
}

/// Media figures of one direction of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrMedia {
    /// RTP packets of the audio relayed.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// Packets lost by sequence number.
    pub lost: u64,
    /// Interarrival jitter (RFC 3550 A.8) of the flow with the most, in RTP timestamp units.
    pub jitter: u32,
    /// The same in microseconds; none when no packet came.
    pub jitter_us: Option<u32>,
    /// The RTP payload type that came last.
    pub payload_type: Option<u8>,
    /// Its encoding, as in SDP: `PCMU/8000`; empty when it is not known.
    pub codec: String,
    /// MOS by ITU-T G.107, in hundredths: 100 to 450; none for a codec without published values.
    pub mos: Option<u16>,
    /// Packets of everything that is not audio (video, T.38).
    pub other_packets: u64,
    /// Their UDP payload bytes.
    pub other_bytes: u64,
}

/// How one direction of a call's audio went: of the side that it came from, and of what that side says that it heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrQuality {
    /// How often the round trip between us and this side was measured.
    pub round_trips: u32,
    /// Its mean, in microseconds; none when it never was.
    pub round_trip_us: Option<u32>,
    /// The longest.
    pub worst_round_trip_us: u32,
    /// Reports of this side on what was sent to it.
    pub reports: u32,
    /// Packets that it says were lost on their whole way to it; none without a report.
    pub heard_lost: Option<u64>,
    /// The greatest jitter that it told of, in microseconds.
    pub heard_jitter_us: Option<u32>,
    /// MOS of what it heard, in hundredths; see [`CdrMedia::mos`].
    pub heard_mos: Option<u16>,
    /// Telephone events (DTMF digits) that it sent.
    pub events: u32,
    /// How often its stream's source became another one.
    pub ssrc_changes: u32,
    /// How often its payload type of speech became another one.
    pub payload_type_changes: u32,
    /// Packets from it that were dropped since they were above the rate.
    pub policed: u64,
    /// Packets to its ports that were dropped since they came from somebody else.
    pub wrong_source: u64,
}

impl CdrQuality {
    /// Itself, if there is something in it.
    #[must_use]
    pub fn said(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// A row of `cdr` (version 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// `call_uuid`: node and the call's number, unique for ever.
    pub call_uuid: String,
    /// `callid`: as the inside (the pool) knows it.
    pub callid: String,
    /// `carrier_callid`: as the carrier side knows it.
    pub carrier_callid: String,
    /// `from_tag`
    pub from_tag: String,
    /// `to_tag`; empty when there was none.
    pub to_tag: String,
    /// The CSeq of the INVITE.
    pub cseq: u32,
    /// `direction`: `inbound` (carrier to pool) or `outbound`.
    pub direction: String,
    /// `tenant`: its name; empty for none.
    pub tenant: String,
    /// `trunk`: the name of the carrier's trunk that the call came by or left by; empty for none.
    pub trunk: String,
    /// `from_uri`
    pub from_uri: String,
    /// `to_uri`
    pub to_uri: String,
    /// `request_uri` as received.
    pub request_uri: String,
    /// `sent_uri`: the Request-URI as it was sent on last; empty when it was not.
    pub sent_uri: String,
    /// `sent_from`: the URI of From as it was sent on, where that was another one.
    pub sent_from: String,
    /// `source`: `ip:port` of the caller.
    pub source: String,
    /// `source_local`: `ip:port` of ours that it talked to.
    pub source_local: String,
    /// `destination`: the target's URI that took the call, or the last one tried.
    pub destination: String,
    /// `destination_address`: `ip:port` of it; empty for none.
    pub destination_address: String,
    /// `destination_local`: `ip:port` of ours that it talked to.
    pub destination_local: String,
    /// `start_ms`, Unix milliseconds: the INVITE.
    pub start_ms: u64,
    /// `ring_ms`: the first 18x; none when it did not ring.
    pub ring_ms: Option<u64>,
    /// `answer_ms`: the first 2xx; none when not answered.
    pub answer_ms: Option<u64>,
    /// `end_ms`
    pub end_ms: u64,
    /// `sip_code`: the final answer to the INVITE.
    pub sip_code: u16,
    /// `sip_reason`
    pub sip_reason: String,
    /// `cause`
    pub cause: EndCause,
    /// `ended_by`
    pub ended_by: EndedBy,
    /// `q850` and `q850_source`
    pub q850: Option<Q850>,
    /// `attempts`: how often somebody was asked.
    pub attempts: u32,
    /// `tried`: the last of these attempts, in their order.
    pub tried: Vec<Tried>,
    /// `media_partial`: figures of the call's media were lost with a process, so that there was more of it.
    pub media_partial: bool,
    /// Media received from the caller.
    pub caller_media: CdrMedia,
    /// Media received from the callee.
    pub callee_media: CdrMedia,
    /// How it went with the caller. In the journal it stands behind the rest, since its version 3.
    #[serde(skip)]
    pub caller_quality: CdrQuality,
    /// How it went with the callee.
    #[serde(skip)]
    pub callee_quality: CdrQuality,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_nobody_explained_is_explained_by_its_answer() {
        let meant = |cause, code, rang| Q850::meant(cause, code, rang).cause;
        assert_eq!(meant(EndCause::Rejected, 486, true), 17);
        assert_eq!(meant(EndCause::Rejected, 404, false), 1);
        assert_eq!(meant(EndCause::Rejected, 503, false), 41);
        assert_eq!(meant(EndCause::Rejected, 488, false), 31);
        assert_eq!(meant(EndCause::Caller, 200, true), 16);
        assert_eq!(meant(EndCause::NoAnswer, 408, true), 19);
        assert_eq!(meant(EndCause::NoAnswer, 408, false), 18);
        assert!(!Q850::meant(EndCause::Local, 0, false).said);
    }
}
