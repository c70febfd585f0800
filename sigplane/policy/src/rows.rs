//! Rows of the database's tables, with Kamailio's columns where it has the table.

use serde::{Deserialize, Serialize};

/// A row of `dispatcher` (Kamailio's table version 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatcherRow {
    /// `id`
    pub id: i64,
    /// `setid`
    pub setid: u32,
    /// `destination`: a SIP URI.
    pub destination: String,
    /// `flags`: 1 inactive, 2 trying, 4 disabled (administratively), 8 probing, as in Kamailio.
    pub flags: u32,
    /// `priority`: higher first when failing over among equals of the hash.
    pub priority: i32,
    /// `attrs`
    pub attrs: String,
    /// `description`
    pub description: String,
}

/// A row of `address` (Kamailio's table version 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRow {
    /// `id`
    pub id: i64,
    /// `grp`
    pub grp: u32,
    /// `ip_addr`
    pub ip_addr: String,
    /// `mask`: prefix length.
    pub mask: u8,
    /// `port`: 0 for any.
    pub port: u16,
    /// `tag`
    pub tag: String,
}

/// A row of `did_routing` (version 1): a number of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DidRow {
    /// `id`
    pub id: i64,
    /// `tenant`: its name; empty for everybody.
    pub tenant: String,
    /// `did`: the number, or a name.
    pub did: String,
    /// `dest_type`
    pub dest_type: String,
    /// `destination`: the user part that is asked for instead; empty for the same.
    pub destination: String,
    /// `setid`: the dispatcher set; 0 for the usual one.
    pub setid: u32,
    /// `description`
    pub description: String,
}

/// A row of `trunk_routing` (version 1): a way out for a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkRow {
    /// `id`
    pub id: i64,
    /// `tenant`: its name; empty for everybody.
    pub tenant: String,
    /// `prefix`: of the number; empty for every number.
    pub prefix: String,
    /// `trunk`: its name.
    pub trunk: String,
    /// `priority`: higher first.
    pub priority: i32,
    /// `weight`: the share of the calls among equal priorities; 0 only when the others fail.
    pub weight: u32,
    /// `description`
    pub description: String,
}

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

/// Media figures of one direction of a call, summed over its flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdrMedia {
    /// RTP packets relayed.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets lost by sequence number.
    pub lost: u64,
    /// The largest flow's jitter, in RTP timestamp units.
    pub jitter: u32,
}

/// A row of `cdr`: one per call, answered or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// `call_uuid`: node and the call's number, unique for ever.
    pub call_uuid: String,
    /// `callid`
    pub callid: String,
    /// `from_tag`
    pub from_tag: String,
    /// `to_tag`; empty when there was none.
    pub to_tag: String,
    /// `direction`: `inbound` (carrier to pool) or `outbound`.
    pub direction: String,
    /// `from_uri`
    pub from_uri: String,
    /// `to_uri`
    pub to_uri: String,
    /// `request_uri` as received.
    pub request_uri: String,
    /// `source`: `ip:port` of the caller.
    pub source: String,
    /// `destination`: the target's URI that took the call, or the last one tried.
    pub destination: String,
    /// `start_ms`, Unix milliseconds: the INVITE.
    pub start_ms: u64,
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
    /// Media received from the caller.
    pub caller_media: CdrMedia,
    /// Media received from the callee.
    pub callee_media: CdrMedia,
}

/// A row of `location` (Kamailio's table version 9): a contact of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocationRow {
    /// `username`
    pub username: String,
    /// `domain`
    pub domain: String,
    /// `contact`: its URI.
    pub contact: String,
    /// `received`: where its REGISTER came from, as a SIP URI.
    pub received: String,
    /// `path` (RFC 3327), with commas between the elements; empty for none.
    pub path: String,
    /// `expires`, in Unix seconds.
    pub expires_s: u64,
    /// `q`, in thousandths.
    pub q: u16,
    /// `callid`
    pub callid: String,
    /// `cseq`
    pub cseq: u32,
    /// `user_agent`
    pub user_agent: String,
    /// `socket`: our address that its REGISTER came to, as `transport:address:port`.
    pub socket: String,
    /// `methods`: a bit for each; none for all.
    pub methods: Option<u32>,
    /// `instance` (RFC 5626); empty for none.
    pub instance: String,
    /// `reg_id` (RFC 5626); 0 for none.
    pub reg_id: u32,
}

/// A table that follows what the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// `location`: addresses of record.
    Location,
    /// `dialog`: answered calls.
    Dialog,
}

/// A row of `dialog` (Kamailio's table version 7): an answered call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogRow {
    /// `callid`, `from_uri`, `from_tag`, `to_uri`, `to_tag` and `req_uri`, as the caller has them.
    pub callid: String,
    /// `from_uri`
    pub from_uri: String,
    /// `from_tag`
    pub from_tag: String,
    /// `to_uri`
    pub to_uri: String,
    /// `to_tag`
    pub to_tag: String,
    /// `req_uri`
    pub req_uri: String,
    /// `caller_…`
    pub caller: DialogEnd,
    /// `callee_…`
    pub callee: DialogEnd,
    /// `state`: whether the caller has acknowledged the answer (4, else 3).
    pub acknowledged: bool,
    /// `start_time`: the answer, in Unix seconds.
    pub start_s: u64,
}

/// An end of a [`DialogRow`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogEnd {
    /// `…_cseq`: the highest that it has used; 0 for none.
    pub cseq: u32,
    /// `…_route_set`, with commas between the elements; empty for none.
    pub route_set: String,
    /// `…_contact`: its URI.
    pub contact: String,
    /// `…_sock`: our address on its side, as `transport:address:port`.
    pub socket: String,
}

/// A row that cannot be used. It is skipped; the other rows are not harmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The table.
    pub table: &'static str,
    /// The row's `id`.
    pub id: i64,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {}, id {}: {}", self.table, self.id, self.reason)
    }
}
