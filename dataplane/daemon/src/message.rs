//! What the control thread and the workers say to each other. Plain values through bounded rings;
//! what must be freed goes back to the control thread, so that no worker calls the allocator.

use std::net::IpAddr;
use std::sync::Arc;

use tandem_dpdk::{RxQueue, TxQueue};
use tandem_link::{CommandError, Event, FlowReport, PoliceLimits, PoliceReport};
use tandem_relay::{Forwarding, Stateless, TrustedNetworks};
use tandem_wire::sip::ShardTable;

use crate::capture::Capture;
use crate::classes::Batch;
use crate::report::RelayCounts;

/// A command of the controller: its session and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) epoch: u32,
    pub(crate) seq: u64,
}

/// To a worker.
#[allow(
    clippy::large_enum_variant,
    reason = "a box would make a worker allocate or free"
)]
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Report every flow.
    List { tag: Tag },
    /// Report the relay's counters in the box.
    Count { tag: Tag, counts: Box<RelayCounts> },
    /// Use this snapshot from now on. The control thread frees it, when nobody else has it.
    Forward(Arc<Forwarding>),
    /// A controller is there.
    Session(Box<Readers>),
    /// The controller is gone.
    NoSession,
    /// Drop SIP from a source until then (nanoseconds).
    Block {
        tag: Tag,
        source: IpAddr,
        until: u64,
    },
    /// Hear a source again. Without a tag nobody waits for the answer.
    Unblock { tag: Option<Tag>, source: IpAddr },
    /// Begin, replace or end a capture.
    Capture(Option<Box<Capture>>),
    /// Relay SIP like this without the controller. The control thread frees it, when nobody else has it.
    Stateless { tag: Tag, by: Arc<Stateless> },
    /// Let so much SIP through.
    Police { tag: Tag, limits: PoliceLimits },
    /// These sources have these classes.
    Classify { tag: Tag, batch: Arc<Batch> },
    /// The full set with this number is complete, and these networks are trusted.
    ClassifyDone {
        tag: Tag,
        generation: u16,
        networks: Box<TrustedNetworks>,
    },
    /// Give this port's queues back: it is to be restarted.
    TakeQueues { port: u16 },
    /// Use this port's queues again.
    GiveQueues { port: u16, queues: Queues },
    /// Report how SIP is policed, and what is known of a source.
    PoliceReport { tag: Tag, source: Option<IpAddr> },
    /// Relay a packet of your own by this snapshot. The control thread frees it, when nobody else has it.
    Prove {
        tag: Tag,
        forwarding: Arc<Forwarding>,
    },
}

/// From a worker.
#[allow(
    clippy::large_enum_variant,
    reason = "a box would make a worker allocate or free"
)]
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// The end of a command.
    Done {
        tag: Tag,
        result: Result<(), CommandError>,
    },
    /// A flow, as a part of the answer to a command.
    Flow { tag: Tag, report: FlowReport },
    /// The relay's counters; also the end of the command.
    Counts { tag: Tag, counts: Box<RelayCounts> },
    /// For the controller.
    Event(Event),
    /// A next hop that is wanted and not resolved.
    Wanted { realm: u16, ip: IpAddr },
    /// The queues of a port, that the control thread wants back.
    Queues { port: u16, queues: Queues },
    /// To be freed.
    Discard(Garbage),
    /// The worker's policing; also its end of the command.
    Police { tag: Tag, report: PoliceReport },
}

/// A worker's queues of a port.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) rx: Option<RxQueue>,
    pub(crate) tx: Option<TxQueue>,
}

/// What a worker is done with.
#[derive(Debug)]
#[allow(dead_code, reason = "it is carried to be dropped")]
pub(crate) enum Garbage {
    Session(Box<Readers>),
    Capture(Box<Capture>),
    Batch(Arc<Batch>),
    Networks(Box<TrustedNetworks>),
}

/// A worker's rings to and from the controller's readers.
#[derive(Debug)]
pub(crate) struct Readers {
    /// By reader: never empty.
    pub(crate) ends: Vec<tandem_shm::End>,
    /// Which of them has which call.
    pub(crate) shards: ShardTable,
    /// Whose ring is read next.
    pub(crate) turn: usize,
}

impl Readers {
    /// Of a session that begins.
    pub(crate) fn new(ends: Vec<tandem_shm::End>) -> Self {
        let readers = u16::try_from(ends.len()).unwrap_or(u16::MAX);
        Self {
            ends,
            shards: ShardTable::deal(readers),
            turn: 0,
        }
    }
}
