//! What other threads say to a SIP worker, and what the workers say to each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tandem_admin::{
    Alarm, BlockParams, Blocked, Call, CallCounts, CallNames, CaptureEnd, CaptureParams,
    CaptureStarted, CapturedPacket, Counter, ErrorCode, Flow, Police, Port, Registration, TableRow,
    Target,
};
use tandem_call::histogram::Histogram;
use tandem_call::{CoreConfig, KeyRing, News, Path, Registered, RouteQuestion, RouteView, Tables};
use tandem_config::Config;
use tandem_link::{Command, DataplaneHello, FlowId, FromDataplane};
use tandem_net::{LinkError, Rings};
use tandem_policy::defence::{Sight, Source};
use tandem_policy::locate::Finding;
use tandem_policy::routing::GeoIp;
use tandem_policy::{Subscribers, TargetState};
use tokio::sync::{mpsc, oneshot};

/// A letter to a SIP worker. "The first" is the worker that has the link, the defence and the signals.
pub(crate) enum ToWorker {
    /// The database's tables, for the first time or changed.
    Tables(Arc<Tables>),
    /// A database of where addresses are.
    Places(Arc<GeoIp>),
    /// Users that the tables do not have.
    Newcomers(Arc<Subscribers>),
    /// What came out of looking for a URI's servers.
    Located(Box<Finding>),
    /// A question of the management API.
    Ask(Box<Ask>),
    /// From who read it: a message of a call of yours.
    Message {
        path: Path,
        source: SocketAddr,
        local: SocketAddr,
        /// When it was read.
        read: Instant,
        bytes: Vec<u8>,
    },
    /// From any: another core tells yours.
    News(News),
    /// From any: another core has seen a registration.
    Registered(Registered),
    /// To the first: a user of our own registrar is there.
    UserAt(Registered),
    /// To the first: a command for the dataplane, in the session with this epoch.
    Command {
        worker: u16,
        epoch: u32,
        seq: u64,
        command: Box<Command>,
    },
    /// From the first: a session began, with these rings for you.
    SessionBegan(Arc<DataplaneHello>, Box<Rings>),
    /// From the first: it ended.
    SessionEnded,
    /// From the first: the dataplane said something to you.
    Dataplane(Box<FromDataplane>),
    /// To the first: a worker's rings of the session with this epoch are of no use.
    RingsBroken { epoch: u32, error: LinkError },
    /// To the first: a source that is not trusted did something.
    Saw { ip: IpAddr, sight: Sight },
    /// To the first: a blocked source is trusted by now.
    Pardon(Source),
    /// From the first: do not hear this source for so long.
    Blocked { source: Source, left: Duration },
    /// From the first: hear it again.
    Unblocked(Source),
    /// From the first: other keys hide Call-IDs.
    Keys(Box<KeyRing>),
    /// Get ready for another configuration.
    Prepare(Box<Prepare>),
    /// Take the one with this number, and say so.
    Commit(u64, Sender<()>),
    /// Forget it.
    Abandon(u64),
    /// To the first: keys and certificates are to be read again.
    ReadFiles,
    /// The journal was brought to the disk.
    Synced,
    /// From the first: end.
    Stop,
}

/// A configuration that a worker is to be ready for.
pub(crate) struct Prepare {
    /// No two have the same.
    pub(crate) number: u64,
    /// The core's part.
    pub(crate) core: CoreConfig,
    /// The shell's.
    pub(crate) config: Arc<Config>,
    /// The tables that it needs, where those from before do not do.
    pub(crate) tables: Option<Arc<Tables>>,
    /// Whether it can be taken; if not, the part that cannot.
    pub(crate) answer: Sender<Result<(), &'static str>>,
}

/// A question. Whoever asked may be gone when the answer is there; that is no error.
pub(crate) enum Ask {
    Status(Answer<WorkerStatus>),
    Targets(Answer<Vec<Target>>),
    /// A target's state; the answer says whether there is such a target.
    SetState {
        id: i64,
        state: TargetState,
        answer: Answer<bool>,
    },
    /// What an administrator asks of calls, registrations and tables.
    Order(Order),
    Flows(Answer<Result<Vec<Flow>, Refusal>>),
    Statistics(Answer<Vec<Counter>>),
    /// What took how long, by name.
    Histograms(Answer<Vec<(&'static str, Histogram)>>),
    /// The Call-IDs that a call has, and its flows.
    Named {
        call_id: String,
        answer: Answer<NamedCall>,
    },
    Capture {
        params: CaptureParams,
        named: NamedCall,
        packets: mpsc::Sender<CaptureEvent>,
        answer: Answer<Result<CaptureStarted, Refusal>>,
    },
    Blocked(Answer<Vec<Blocked>>),
    Alarms(Answer<Vec<Alarm>>),
    Block {
        params: BlockParams,
        answer: Answer<Result<Blocked, Refusal>>,
    },
    Unblock {
        address: IpAddr,
        answer: Answer<bool>,
    },
    /// The dataplane's ports.
    Ports(Answer<Result<Vec<Port>, Refusal>>),
    /// Each of the dataplane's workers relays a packet of its own.
    Prove(Answer<Result<(), Refusal>>),
    /// How SIP is policed, and what is known of an address.
    Police {
        address: Option<IpAddr>,
        answer: Answer<Result<Police, Refusal>>,
    },
    /// Nobody listens to this capture any more.
    StopCapture(u64),
}

/// A question or an order of an administrator.
pub(crate) enum Order {
    /// Calls behind this number, so many at most.
    Calls {
        after: u64,
        most: usize,
        answer: Answer<Vec<Call>>,
    },
    CallCounts(Answer<CallCounts>),
    /// Ends a call; the answer says how many were ended.
    End {
        key: u64,
        answer: Answer<u64>,
    },
    /// The same, by Call-ID.
    Terminate {
        names: CallNames,
        answer: Answer<u64>,
    },
    /// Registered users from this place on, so many at most, and where the next ones begin.
    Registrations {
        place: usize,
        most: usize,
        answer: Answer<(Vec<Registration>, Option<usize>)>,
    },
    /// A user's contacts, as they are, or were before they were removed.
    Registration {
        aor: Vec<u8>,
        remove: bool,
        answer: Answer<Option<Registration>>,
    },
    /// The database's tables as they are in force.
    Tables(Answer<Option<Arc<Tables>>>),
    /// To the first: what would become of a request.
    Route {
        question: RouteQuestion,
        answer: Answer<Result<RouteView, String>>,
    },
    /// A table in memory.
    Table {
        name: String,
        answer: Answer<Vec<TableRow>>,
    },
    /// To the first: the certificates of the connections are read again.
    ReloadTls(Answer<Result<(), String>>),
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

/// A call that somebody named: each side may know it by a Call-ID of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedCall {
    pub(crate) call_ids: Vec<Vec<u8>>,
    pub(crate) flows: Vec<FlowId>,
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
    /// SIP messages that it took.
    pub(crate) messages: u64,
    /// Of these, from another worker.
    pub(crate) passed_on: u64,
    pub(crate) cdrs_pending: u64,
    pub(crate) journal_sequence: u64,
}
