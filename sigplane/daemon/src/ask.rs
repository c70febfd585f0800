//! What other threads say to the SIP worker.

use std::net::IpAddr;
use std::sync::Arc;

use tandem_admin::{
    BlockParams, Blocked, Call, CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Counter,
    ErrorCode, Flow, Target,
};
use tandem_call::Tables;
use tandem_policy::locate::Finding;
use tokio::sync::{mpsc, oneshot};

/// A letter to the SIP worker.
pub(crate) enum ToWorker {
    /// The database's tables, for the first time or changed.
    Tables(Arc<Tables>),
    /// What came out of looking for a URI's servers.
    Located(Box<Finding>),
    /// A question of the management API.
    Ask(Ask),
}

/// A question. Whoever asked may be gone when the answer is there; that is no error.
pub(crate) enum Ask {
    Status(Answer<WorkerStatus>),
    Targets(Answer<Vec<Target>>),
    Calls(Answer<Vec<Call>>),
    Flows(Answer<Result<Vec<Flow>, Refusal>>),
    Statistics(Answer<Vec<Counter>>),
    Capture {
        params: CaptureParams,
        packets: mpsc::Sender<CaptureEvent>,
        answer: Answer<Result<CaptureStarted, Refusal>>,
    },
    Blocked(Answer<Vec<Blocked>>),
    Block {
        params: BlockParams,
        answer: Answer<Result<Blocked, Refusal>>,
    },
    Unblock {
        address: IpAddr,
        answer: Answer<bool>,
    },
    /// Nobody listens to this capture any more.
    StopCapture(u64),
}

pub(crate) type Answer<T> = oneshot::Sender<T>;

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn dataplane_down() -> Self {
        Self::new(
            ErrorCode::DataplaneDown,
            "the dataplane is not connected: is tandem-dataplane running?",
        )
    }
}

/// What a capture's listener gets.
pub(crate) enum CaptureEvent {
    Packet(CapturedPacket),
    End(CaptureEnd),
}

/// The worker's part of `core.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerStatus {
    /// The dataplane's boot number, epoch and number of workers, while there is a session.
    pub(crate) dataplane: Option<(u64, u32, u16)>,
    pub(crate) calls: u64,
    pub(crate) confirmed_calls: u64,
    pub(crate) flows: u64,
    pub(crate) targets: u64,
    pub(crate) targets_active: u64,
    pub(crate) cdrs_pending: u64,
    pub(crate) journal_sequence: u64,
}
