//! The messages of the link.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ClassifiedSource, Cookie, FlowId, FlowReport, FlowSpec, Leg, PoliceLimits, PoliceReport,
    PortReport, SlotTable, StatelessSpec,
};

/// The link's version. Both ends refuse any other: they are updated together, in one image.
pub const VERSION: u16 = 7;

/// From the controller to the dataplane.
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived values of the control path; boxes would not help"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDataplane {
    /// The first message on a connection.
    Hello(ControllerHello),
    /// A command, answered by [`FromDataplane::Done`] with the same `seq`.
    Command {
        /// Ascending from 1 in each session for what the call core asks for. The signaling plane's
        /// shell asks for some things itself (counters, captures): its numbers ascend likewise, but
        /// with bit 63 set, so that the two never meet. The dataplane returns them unread.
        seq: u64,
        /// What to do.
        command: Command,
    },
}

/// The controller's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerHello {
    /// [`VERSION`].
    pub version: u16,
    /// The node's id from the configuration: whose flows these are.
    pub controller: u64,
    /// How many workers of the signaling plane read SIP, each from rings of its own: 1 to 64. They share
    /// the calls by the shards of their Call-IDs (`ShardTable` of the wire crate).
    pub readers: u16,
}

/// A command.
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived values of the control path; boxes would not help"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Install a flow pair, or bring an existing one to this specification: its ports may change, but not
    /// their owner. Through the rings ([`Self::port`]).
    PutFlow(FlowSpec),
    /// Take a flow pair away; its last report precedes `Done`. Through the rings ([`Self::port`]).
    RemoveFlow {
        /// Its name.
        flow: FlowId,
        /// A local port of either leg: whose it is.
        port: u16,
    },
    /// Report every flow pair.
    ListFlows,
    /// Report every named counter.
    Counters,
    /// Copy matching packets to the controller as [`Event::Captured`]. One capture at a time: a
    /// second one replaces the first.
    StartCapture(CaptureSpec),
    /// End the capture.
    StopCapture,
    /// Drop SIP from a source before anybody reads it, for so long from now. Again: from now anew. It
    /// ends by itself, and outlives the session.
    Block {
        /// The source: this address, or of an IPv6 address the /64 that it is in.
        source: IpAddr,
        /// Milliseconds.
        left_ms: u64,
    },
    /// Let a source be heard again; no error if it was.
    Unblock(IpAddr),
    /// Report every blocked source.
    ListBlocked,
    /// Relay SIP like this from now on without the signaling plane. It outlives the session.
    SetStateless(StatelessSpec),
    /// Let so much SIP through from now on.
    Police(PoliceLimits),
    /// A full set of classified sources begins: [`Self::Classify`], and at the end [`Self::ClassifyDone`]. What is
    /// known stays so until then. It outlives the session.
    ClassifyAll,
    /// These sources have these classes, besides what was said before. A trusted one stays so until a full set leaves it
    /// out; a registered one until its time is over. At most [`crate::SOURCES_A_COMMAND`].
    Classify(Vec<ClassifiedSource>),
    /// Nobody is registered at these addresses any more. At most [`crate::SOURCES_A_COMMAND`].
    Unclassify(Vec<IpAddr>),
    /// The full set is complete: trusted are those in it, and no others.
    ClassifyDone,
    /// Report how SIP is policed, and what is known of a source.
    PoliceReport(Option<IpAddr>),
    /// Report every port.
    Ports,
    /// Each worker relays a packet of its own that leaves no port.
    Prove,
}

impl Command {
    /// Takes this flow pair away.
    #[must_use]
    pub const fn remove(spec: &FlowSpec) -> Self {
        Self::RemoveFlow {
            flow: spec.id,
            port: spec.a.port,
        }
    }

    /// The local port whose owner ([`SlotTable::owner`]) is to be told. Such a command goes to that worker as a
    /// message in the controller's ring, ahead of the datagrams that follow, and its answer comes back by the
    /// ring; the doorbell is not rung for it. None for what the socket takes.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::PutFlow(spec) => Some(spec.a.port),
            Self::RemoveFlow { port, .. } => Some(*port),
            _ => None,
        }
    }
}

/// What to capture, and how much of it at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureSpec {
    /// The controller's name for it, repeated in its events.
    pub id: u64,
    /// Which packets.
    pub filter: CaptureFilter,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// Ends after so many packets.
    pub max_packets: u64,
    /// Ends after so many captured bytes.
    pub max_bytes: u64,
    /// Ends after so many seconds.
    pub max_seconds: u32,
}

/// Which packets a capture takes. A packet is taken when it matches any entry; a filter without
/// entries takes everything that crosses the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureFilter {
    /// Media of these flow pairs, as received and as sent.
    pub flows: Vec<FlowId>,
    /// Any packet from or to these addresses.
    pub addresses: Vec<IpAddr>,
    /// SIP datagrams with one of these Call-IDs.
    pub call_ids: Vec<Vec<u8>>,
}

/// Which way a captured packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Received from the wire.
    Received,
    /// Sent to the wire.
    Sent,
}

/// From the dataplane to the controller.
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived values of the control path; boxes would not help"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromDataplane {
    /// The answer to a hello; carries the ring memory and each reader's doorbell as descriptors.
    Welcome(DataplaneHello),
    /// The hello was not accepted; the connection closes.
    Refused(RefusedReason),
    /// The end of a command.
    Done {
        /// The command's.
        seq: u64,
        /// How it went.
        result: Result<(), CommandError>,
    },
    /// A flow report that belongs to the command `seq`.
    Flow {
        /// The command's.
        seq: u64,
        /// The flow pair.
        report: FlowReport,
    },
    /// Counters that belong to the command `seq`; there may be several such messages.
    Counters {
        /// The command's.
        seq: u64,
        /// Names and values.
        values: Vec<CounterValue>,
    },
    /// Something happened.
    Event(Event),
    /// Blocked sources that belong to the command `seq`; there may be several such messages.
    Blocked {
        /// The command's.
        seq: u64,
        /// Who, and for how long yet.
        sources: Vec<BlockedSource>,
    },
    /// One worker's policing, that belongs to the command `seq`: a message for each.
    Police {
        /// The command's.
        seq: u64,
        /// What it said.
        report: PoliceReport,
    },
    /// A port, that belongs to the command `seq`: a message for each, in the configuration's order.
    Port {
        /// The command's.
        seq: u64,
        /// The port.
        report: PortReport,
    },
}

/// A source that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedSource {
    /// Its address; of an IPv6 source the first of its /64.
    pub source: IpAddr,
    /// For how long yet, in milliseconds.
    pub left_ms: u64,
}

/// The dataplane's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneHello {
    /// [`VERSION`].
    pub version: u16,
    /// A number of this dataplane process. Another one than before means that its flows are gone.
    pub boot: u64,
    /// The session: goes up with every controller that connects. The ring memory carries it.
    pub epoch: u32,
    /// How many workers there are, each with one ring in each direction for each reader.
    pub workers: u16,
    /// Which worker owns which media ports.
    pub slots: SlotTable,
    /// The realms, in the configuration's order.
    pub realms: Vec<RealmInfo>,
    /// How many flow pairs are installed.
    pub flows: u64,
}

/// A realm as the dataplane knows it; the controller compares it with its own configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmInfo {
    /// Its name in the configuration.
    pub name: String,
    /// Its SIP addresses.
    pub sip: Vec<SocketAddr>,
    /// Its media addresses.
    pub media: Vec<IpAddr>,
}

/// Why a controller is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum RefusedReason {
    /// Another version.
    #[error("the dataplane speaks link version {dataplane}: update both planes together")]
    Version {
        /// The dataplane's.
        dataplane: u16,
    },
    /// More readers than there can be, or none.
    #[error("the dataplane serves 1 to {most} SIP workers: change `sip.workers`")]
    Readers {
        /// The most that it serves.
        most: u16,
    },
    /// The first message was not a hello, or not readable.
    #[error("the first message was not a hello")]
    NotHello,
    /// The dataplane could not make the session.
    #[error("the dataplane could not make a session: {0}")]
    Internal(String),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum CommandError {
    /// No such flow.
    #[error("no such flow")]
    NoSuchFlow,
    /// A leg names a realm that does not exist.
    #[error("realm {0} does not exist")]
    NoSuchRealm(u16),
    /// A leg's local address is not a media address of its realm.
    #[error("{0} is not a media address of its realm")]
    NotLocal(IpAddr),
    /// A leg's port is not even, or outside of the realm's media range.
    #[error("port {0} is not an even port of the realm's media range")]
    BadPort(u16),
    /// The two legs' ports belong to different workers.
    #[error("ports {0} and {1} belong to different workers")]
    TwoOwners(u16, u16),
    /// A leg's port belongs to another worker than the one that was told.
    #[error("port {0} belongs to worker {1}")]
    NotOwner(u16, u16),
    /// A port is another flow's.
    #[error("port {0} is in use by flow {1}")]
    PortInUse(u16, u64),
    /// The flow table is full.
    #[error("the flow table is full")]
    TableFull,
    /// The worker did not take the command in time; it may be repeated.
    #[error("the worker is overloaded")]
    Overloaded,
    /// As many sources are blocked as can be.
    #[error("the table of blocked sources is full")]
    BlockedFull,
    /// As many sources are classified as can be; those that were left out are unknown.
    #[error(
        "the table of sources is full: `police.max_registered` is too small, or there are more than 16,384 trusted \
         addresses or 4,096 trusted networks"
    )]
    SourcesFull,
    /// More sources in one command than there may be, or a network outside of a full set.
    #[error("the list of sources makes no sense")]
    BadSources,
    /// A packet of the worker's own did not come out as it should.
    #[error("a packet was not relayed as it should be")]
    NotRelayed,
}

/// One named counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterValue {
    /// `snake_case`, as documented in the specification.
    pub name: String,
    /// Its value, summed over the workers.
    pub value: u64,
}

/// Something that happened in the dataplane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// No packet on either leg for the flow's timeout. Sent once until media comes again.
    MediaTimeout {
        /// The flow pair.
        flow: FlowId,
        /// Its call.
        cookie: Cookie,
    },
    /// Media came again after a timeout was reported.
    MediaResumed {
        /// The flow pair.
        flow: FlowId,
        /// Its call.
        cookie: Cookie,
    },
    /// A leg latched to a source.
    Latched {
        /// The flow pair.
        flow: FlowId,
        /// Its call.
        cookie: Cookie,
        /// Which leg.
        leg: Leg,
        /// Whether it is the RTCP source (on its own port).
        rtcp: bool,
        /// The source.
        source: SocketAddr,
    },
    /// A captured packet.
    Captured {
        /// The capture.
        id: u64,
        /// Nanoseconds since the Unix epoch.
        timestamp_ns: u64,
        /// Index of the port in the configuration.
        port: u16,
        /// Which way it went.
        direction: Direction,
        /// Its whole length on the wire.
        length: u32,
        /// Its first bytes, from the Ethernet header.
        data: Vec<u8>,
    },
    /// A capture reached one of its limits or was replaced.
    CaptureEnded {
        /// The capture.
        id: u64,
        /// Packets that matched but found no room on the way to the controller.
        dropped: u64,
    },
    /// A leg's peer sends above the flow's rate: what is above it is dropped. Sent once for each leg of a flow.
    Flooded {
        /// The flow pair.
        flow: FlowId,
        /// Its call.
        cookie: Cookie,
        /// Which leg.
        leg: Leg,
    },
    /// Something went wrong, or is well again. A session begins with all that is wrong.
    Alarm(Alarm),
}

/// What an operator has to know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is about; with `subject` its name.
    pub kind: AlarmKind,
    /// Whom it is about: a port's name, a worker's index.
    pub subject: String,
    /// Whether it is wrong; else it is well again.
    pub is_raised: bool,
    /// For people.
    pub text: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AlarmKind {
    /// A port has no link.
    PortDown,
    /// A port's queue takes or gives nothing any more.
    QueueStalled,
    /// A worker makes no progress.
    WorkerStuck,
    /// A worker polls a port on another NUMA node.
    ForeignNode,
}

impl AlarmKind {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PortDown => "port_down",
            Self::QueueStalled => "queue_stalled",
            Self::WorkerStuck => "worker_stuck",
            Self::ForeignNode => "foreign_node",
        }
    }
}
