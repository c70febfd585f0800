//! A call in memory: its record, and what does not outlive the process.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tandem_policy::locate::Server;
use tandem_policy::routing::Trunk;
use tandem_transaction::{ClientId, ServerId};

use crate::edits::Edits;
use crate::media::Party;
use crate::message::{Message, Name};
use crate::record::{Ending, Hop, Peer, Record};

/// How many early dialogs and forks of one INVITE are looked after.
pub(crate) const MAX_DIALOGS: usize = 16;

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) record: Record,
    /// Until the final answer to the INVITE.
    pub(crate) setup: Option<Setup>,
    /// The answer to the INVITE, while its transaction lives.
    pub(crate) accepted: Option<Accepted>,
    /// The last ACK that passed in each direction, to be repeated with the 2xx.
    pub(crate) acks: Vec<PassedAck>,
    /// The target among whose calls this one is counted.
    pub(crate) counted: Option<i64>,
    /// The end that a BYE of a peer will make as soon as the other side answers it.
    pub(crate) bye: Option<Ending>,
    /// Requests in its dialogs whose transactions live.
    pub(crate) relays: Vec<ServerId>,
    /// Commands that remove flows, whose last reports are awaited.
    pub(crate) awaiting: BTreeSet<u64>,
}

impl Call {
    /// An answered call, none of whose transactions lives.
    pub(crate) const fn answered(record: Record, counted: Option<i64>) -> Self {
        Self {
            record,
            setup: None,
            accepted: None,
            acks: Vec::new(),
            counted,
            bye: None,
            relays: Vec::new(),
            awaiting: BTreeSet::new(),
        }
    }

    /// Whether its record is all that there is to know of it, until somebody says more. The ACKs that
    /// passed are not missed: what they would be repeated for has not been sent again for 64*T1.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.record.confirmed.is_some()
            && self.record.ending.is_none()
            && self.setup.is_none()
            && self.accepted.is_none()
            && self.bye.is_none()
            && self.relays.is_empty()
            && self.awaiting.is_empty()
    }
}

/// A call without a final answer.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The caller's INVITE.
    pub(crate) server: ServerId,
    /// As received.
    pub(crate) invite: Arc<[u8]>,
    /// Its Via headers, for responses.
    pub(crate) vias: Vec<u8>,
    /// Its Via and Record-Route headers, for responses that make a dialog.
    pub(crate) head: Vec<u8>,
    /// The user part that is asked for instead of the one that came.
    pub(crate) user: Option<Box<str>>,
    /// What routing changes in its headers.
    pub(crate) edits: Edits,
    /// The carriers whose turn comes when those in `sets` have failed.
    pub(crate) carriers: VecDeque<Arc<Trunk>>,
    /// The carrier whose turn it is.
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Whom to ask when the present ones have all refused, set by set; those of a set are asked at
    /// the same time.
    pub(crate) sets: VecDeque<Vec<Candidate>>,
    /// INVITEs that await their final answers.
    pub(crate) branches: Vec<Branch>,
    /// The best refusal so far (RFC 3261 section 16.7, step 6).
    pub(crate) best: Option<Refused>,
    /// Contacts of redirections that were taken up, so that they end.
    pub(crate) redirected: Vec<Vec<u8>>,
    /// The caller gave up.
    pub(crate) cancelled: bool,
    /// When the INVITE came, on the clock of [`crate::Now::mono`].
    pub(crate) begun: Duration,
    /// An 18x came.
    pub(crate) rang: bool,
    pub(crate) exchange: Exchange,
}

/// Whom an INVITE may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// A dispatcher target: any that serves the call will do, so the next one is asked only when
    /// this one is out of order.
    Target {
        /// Its row.
        id: i64,
        /// Which of its servers: the others are asked after it (RFC 3263 section 4.3).
        server: Server,
    },
    /// A contact of a redirection (RFC 3261 section 16.5): each stands for somebody else.
    Contact {
        /// Its URI.
        uri: Vec<u8>,
        /// How it is reached.
        hop: Hop,
    },
    /// A registered user agent, by the way that it registered by (RFC 5626 section 5.3).
    Flow {
        /// The Request-URI: its Contact, as the registrar knows it.
        uri: Vec<u8>,
        /// The way.
        hop: Hop,
        /// The Routes behind ours: proxies between it and us.
        routes: Vec<Vec<u8>>,
    },
}

impl Candidate {
    pub(crate) const fn target(&self) -> Option<i64> {
        match self {
            Self::Target { id, .. } => Some(*id),
            Self::Contact { .. } | Self::Flow { .. } => None,
        }
    }

    /// The Routes of a request to it.
    pub(crate) fn routes(&self) -> &[Vec<u8>] {
        match self {
            Self::Flow { routes, .. } => routes,
            Self::Target { .. } | Self::Contact { .. } => &[],
        }
    }
}

/// An INVITE to a target.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) client: ClientId,
    pub(crate) candidate: Candidate,
    pub(crate) cancel: CancelPlan,
    /// Which of the call's attempts it is, from 1.
    pub(crate) attempt: u32,
}

/// A refusal that the caller gets if nothing better comes.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    /// As it came.
    pub(crate) response: Arc<[u8]>,
    /// Challenges of other branches' refusals (section 16.7, step 7), as header lines.
    pub(crate) challenges: Vec<u8>,
}

impl Refused {
    /// The better of two (RFC 3261 section 16.7, step 6): any 6xx before all others, else the lowest
    /// class, and within 4xx those that the caller can do something about. If it is a challenge,
    /// it takes the other's along (step 7).
    pub(crate) fn or_better(self, other: Self) -> Self {
        let (mut best, other) = if other.rank() < self.rank() {
            (other, self)
        } else {
            (self, other)
        };
        if matches!(best.code, 401 | 407) && matches!(other.code, 401 | 407) {
            best.challenges.extend(challenges(&other.response));
            best.challenges.extend(other.challenges);
        }
        best
    }

    const fn rank(&self) -> (u16, u16) {
        match self.code {
            600.. => (0, 0),
            401 | 407 | 415 | 420 | 484 => (4, 0),
            // A timeout says least of all.
            408 => (4, 2),
            code => (code / 100, 1),
        }
    }
}

/// The header lines of a refusal's challenges.
fn challenges(response: &[u8]) -> Vec<u8> {
    let Ok(message) = Message::read(response) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (name, written, value) in message.fields() {
        if matches!(name, Name::WwwAuthenticate | Name::ProxyAuthenticate) {
            for part in [written, b": ", value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
    }
    lines
}

/// How an INVITE of ours is cancelled, if it must be (RFC 3261 section 9.1): not before a
/// provisional response.
#[derive(Clone, Debug)]
pub(crate) struct CancelPlan {
    pub(crate) request: Arc<[u8]>,
    pub(crate) branch: String,
    pub(crate) hop: Hop,
    pub(crate) stage: CancelStage,
}

/// How far a cancellation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelStage {
    /// Not wanted; nothing heard yet.
    Silent,
    /// Not wanted; a provisional response came.
    Ringing,
    /// Wanted, as soon as a provisional response comes.
    Wanted,
    /// Sent.
    Sent,
}

/// An INVITE to a target that was given up: a late answer is acknowledged and ended.
#[derive(Debug)]
pub(crate) struct Late {
    /// None after a 2xx: there is nothing to cancel any more.
    pub(crate) cancel: Option<Box<CancelPlan>>,
    /// Callee's tags that were ended already.
    pub(crate) ended: Vec<Vec<u8>>,
}

/// A re-INVITE that was given up: a late answer is acknowledged, and ends the call.
#[derive(Debug)]
pub(crate) struct LateRelay {
    pub(crate) call: u64,
    /// Whom it was for.
    pub(crate) responder: Peer,
    pub(crate) cancel: CancelPlan,
}

/// An answered INVITE.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) server: ServerId,
    /// The 2xx as it went to the caller.
    pub(crate) response: Arc<[u8]>,
    /// The INVITE that was answered; further forks may answer it too.
    pub(crate) client: Option<ClientId>,
    /// Tags of further forks that were ended.
    pub(crate) ended: Vec<Vec<u8>>,
}

/// An ACK that passed.
#[derive(Debug)]
pub(crate) struct PassedAck {
    pub(crate) from: Party,
    pub(crate) tag: Vec<u8>,
    pub(crate) cseq: u32,
    pub(crate) hop: Hop,
    pub(crate) bytes: Box<[u8]>,
}

/// A request in a dialog on its way to the other side.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) call: u64,
    pub(crate) from: Party,
    /// The callee's tag of the dialog.
    pub(crate) tag: Vec<u8>,
    pub(crate) client: ClientId,
    pub(crate) kind: RelayKind,
    /// The request as it came.
    pub(crate) request: Arc<[u8]>,
    /// The Via headers of the request, for responses.
    pub(crate) vias: Vec<u8>,
    /// Our Contact in responses.
    pub(crate) contact: Vec<u8>,
    pub(crate) exchange: Exchange,
    /// The 2xx as it went back.
    pub(crate) answered: Option<Arc<[u8]>>,
    /// Only an INVITE's.
    pub(crate) cancel: Option<CancelPlan>,
}

/// What matters of the method of a request in a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayKind {
    Invite,
    Update,
    Prack,
    Bye,
    Other,
}

impl RelayKind {
    pub(crate) fn of(method: &[u8]) -> Self {
        match method {
            b"INVITE" => Self::Invite,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"BYE" => Self::Bye,
            _ => Self::Other,
        }
    }

    /// Whether it gives the sender's Contact anew (RFC 3261 section 12.2, RFC 3311).
    pub(crate) const fn refreshes_target(self) -> bool {
        matches!(self, Self::Invite | Self::Update)
    }

    /// Whether its SDP is an offer or an answer.
    pub(crate) const fn negotiates(self) -> bool {
        matches!(self, Self::Invite | Self::Update | Self::Prack)
    }
}

/// The offer/answer exchange of one request (RFC 3264, RFC 6337).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// No SDP yet.
    None,
    /// This party's offer awaits its answer.
    Offered(Party),
    /// This party's offer has been answered at least once.
    Answered(Party),
}

impl Exchange {
    /// Whether an offer was made that a failure of the request takes back.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Offered(_) | Self::Answered(_))
    }
}
