//! A call's state, as it is kept in memory and in the journal.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_policy::routing::Purpose;
use tandem_policy::{CdrMedia, CdrQuality, EndCause, Q850, Tried};

use crate::hiding::KeyId;
use crate::io::Path;
use crate::media::{Party, Session};
use crate::message::{bare_uri, is_loose};

/// How messages go to a peer: from which of our addresses, to which of its.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Hop {
    pub(crate) path: Path,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// Over a stream: where to connect to when there is no connection with `peer` (any more); none
    /// for `peer` itself.
    pub(crate) connect: Option<SocketAddr>,
    /// The key of the token that the Call-ID is shown as there; none when it is shown as it is.
    pub(crate) hidden: Option<KeyId>,
    /// The way by which a user agent registered (RFC 5626): whatever its Contact says, it is reached by
    /// this one alone, and no connection is opened to it.
    pub(crate) flow: bool,
}

impl tandem_transaction::Hop for Hop {
    fn is_reliable(&self) -> bool {
        matches!(self.path, Path::Stream(_))
    }
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    /// From a carrier to the pool.
    Inbound,
    /// From a pool member to the trunk.
    Outbound,
}

impl Direction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// One end of a dialog, as the other end sees it: we hide the one from the other, so we keep what
/// the real dialog state between each of them and us is (RFC 3261 section 12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// The last address that its requests or responses came from, and ours of that side.
    pub(crate) hop: Hop,
    /// Its remote target: the URI of its Contact.
    #[serde(with = "serde_bytes")]
    pub(crate) target: Vec<u8>,
    /// Its route set, without ourselves.
    pub(crate) routes: Vec<Vec<u8>>,
    /// The highest CSeq that it has used in requests; 0 for none.
    pub(crate) cseq: u32,
    /// The user part of the Contact that we show to the other side in its stead.
    #[serde(with = "serde_bytes")]
    pub(crate) alias: Vec<u8>,
}

impl Peer {
    /// The Request-URI and the Route headers of a request to it. A first route without `lr` is a
    /// strict router: it gets its own URI as the Request-URI, and the target as the last route
    /// (RFC 3261 section 12.2.1.1).
    pub(crate) fn route_set(&self) -> (&[u8], Vec<Vec<u8>>) {
        match self.routes.split_first() {
            Some((first, rest)) if !is_loose(first) => {
                let mut routes = rest.to_vec();
                routes.push([b"<", self.target.as_slice(), b">"].concat());
                (bare_uri(first), routes)
            }
            _ => (&self.target, self.routes.clone()),
        }
    }
}

/// One dialog of a call, by the callee's tag: before the answer there may be several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialog {
    /// The callee's tag.
    #[serde(with = "serde_bytes")]
    pub(crate) tag: Vec<u8>,
    /// The value of To, with that tag.
    #[serde(with = "serde_bytes")]
    pub(crate) to: Vec<u8>,
    /// The callee.
    pub(crate) callee: Peer,
    /// CSeq of the INVITE whose 2xx the caller has acknowledged last.
    pub(crate) acked: Option<u32>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    pub(crate) cause: EndCause,
    pub(crate) end_ms: u64,
}

/// A session timer that the ends agreed on (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionTimer {
    pub(crate) interval_s: u32,
    /// The last refresh.
    pub(crate) refreshed_ms: u64,
}

/// A limit that a call falls under, until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admission {
    pub(crate) purpose: Purpose,
    /// Of the trunk or the tenant.
    pub(crate) name: String,
}

/// What the journal keeps of a call: everything that a later life of the process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) direction: Direction,
    #[serde(with = "serde_bytes")]
    pub(crate) call_id: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) from_tag: Vec<u8>,
    /// The value of From.
    #[serde(with = "serde_bytes")]
    pub(crate) from: Vec<u8>,
    /// The URIs of From and To, for people.
    pub(crate) from_uri: String,
    pub(crate) to_uri: String,
    /// As received.
    pub(crate) request_uri: String,
    pub(crate) source: SocketAddr,
    /// The target that has the call, or had it last: its row, and what the row said.
    pub(crate) target: Option<i64>,
    pub(crate) destination: String,
    pub(crate) caller: Peer,
    pub(crate) dialogs: Vec<Dialog>,
    /// The tag of the dialog that was answered.
    #[serde(with = "serde_bytes")]
    pub(crate) confirmed: Option<Vec<u8>>,
    /// An offer came in the 2xx of the INVITE with this CSeq, and its answer will come in the ACK,
    /// from this party.
    pub(crate) answer_in_ack: Option<(u32, Party)>,
    pub(crate) start_ms: u64,
    pub(crate) answer_ms: Option<u64>,
    pub(crate) sip_code: u16,
    pub(crate) sip_reason: String,
    pub(crate) ending: Option<Ending>,
    pub(crate) session: Option<SessionTimer>,
    /// The calls' media; none before the first target.
    pub(crate) media: Option<Session>,
    /// The limits that it falls under.
    pub(crate) admitted: Vec<Admission>,
    /// The value of From that the callee is shown; none for the caller's own.
    #[serde(with = "serde_bytes")]
    pub(crate) shown_from: Option<Vec<u8>>,
    /// Figures of flows that are gone.
    pub(crate) caller_media: CdrMedia,
    pub(crate) callee_media: CdrMedia,
    #[serde(skip)]
    pub(crate) caller_quality: CdrQuality,
    #[serde(skip)]
    pub(crate) callee_quality: CdrQuality,
    /// Whose call it is; empty for nobody's.
    pub(crate) tenant: String,
    /// The carrier's trunk that it came by or leaves by; empty for none.
    pub(crate) trunk: String,
    /// For the CDR alone.
    pub(crate) account: Account,
}

/// What only the CDR wants to know of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The Request-URI of the last INVITE to a target.
    pub(crate) sent_uri: String,
    /// The URI of its From; empty when it is the caller's.
    pub(crate) sent_from: String,
    /// Our address toward the last target, and its own.
    pub(crate) asked: Option<(SocketAddr, SocketAddr)>,
    /// The first 18x.
    pub(crate) ring_ms: Option<u64>,
    /// Whether a peer refused the call, not we.
    pub(crate) refused_by_peer: bool,
    /// What a peer said in a Reason header.
    pub(crate) q850: Option<Q850>,
    /// How often somebody was asked.
    pub(crate) attempts: u32,
    /// The last of them; `ms` is when they began, from the call's begin, while `code` is 0.
    pub(crate) tried: Vec<Tried>,
    /// A flow is gone whose figures did not come.
    pub(crate) media_partial: bool,
}

impl Record {
    /// The same call as this one, which it takes up again: it has its begin, and what was tried.
    pub(crate) fn resuming(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else {
            return self;
        };
        Self {
            start_ms: earlier.start_ms,
            caller_media: earlier.caller_media,
            callee_media: earlier.callee_media,
            caller_quality: earlier.caller_quality,
            callee_quality: earlier.callee_quality,
            account: Account {
                refused_by_peer: false,
                q850: None,
                ..earlier.account
            },
            ..self
        }
    }

    /// The dialog with this callee's tag.
    pub(crate) fn dialog(&self, tag: &[u8]) -> Option<&Dialog> {
        self.dialogs.iter().find(|d| d.tag == tag)
    }

    pub(crate) fn dialog_mut(&mut self, tag: &[u8]) -> Option<&mut Dialog> {
        self.dialogs.iter_mut().find(|d| d.tag == tag)
    }

    /// The dialog that was answered.
    pub(crate) fn answered(&self) -> Option<&Dialog> {
        self.dialog(self.confirmed.as_deref()?)
    }

    pub(crate) fn end(&self, party: Party, tag: &[u8]) -> Option<&Peer> {
        match party {
            Party::Caller => Some(&self.caller),
            Party::Callee => self.dialog(tag).map(|d| &d.callee),
        }
    }

    pub(crate) fn end_mut(&mut self, party: Party, tag: &[u8]) -> Option<&mut Peer> {
        match party {
            Party::Caller => Some(&mut self.caller),
            Party::Callee => self.dialog_mut(tag).map(|d| &mut d.callee),
        }
    }
}
