//! All that the two planes say to each other: commands, answers, reports and events, with their
//! versions and their codec.
//!
//! The controller (tandem-sigplane) connects to the dataplane's `SOCK_SEQPACKET` unix socket, one
//! message per packet, so that a peer that is killed in the middle of writing leaves no half
//! message behind. It sends [`ToDataplane::Hello`]; the dataplane answers
//! [`FromDataplane::Welcome`] with the session's ring memory and its readers' doorbells as `SCM_RIGHTS`
//! descriptors, or [`FromDataplane::Refused`]. After that every [`ToDataplane::Command`] gets
//! exactly one [`FromDataplane::Done`] with the same sequence number (preceded by its
//! [`FromDataplane::Flow`] or [`FromDataplane::Counters`] messages), and
//! [`FromDataplane::Event`]s come at any time.
//!
//! Commands on flows and their answers go through the rings instead, as messages between the datagrams:
//! to the worker that owns the flow, and ahead of the SIP that tells a peer of it.
//!
//! The types are plain values; sockets, rings and clocks live in the shells around this crate.
#![forbid(unsafe_code)]

mod codec;
mod flow;
mod message;
mod police;
mod port;
mod slot;
mod stateless;

pub use codec::{DecodeError, FLOW_MESSAGE, MAX_MESSAGE, decode, encode, encode_into};
pub use flow::{
    Cookie, DirectionStats, FlowId, FlowKind, FlowReport, FlowSpec, Leg, LegSpec, LegStats,
    MediaKind, PeerReport, RateLimit, StreamStats,
};
pub use message::{
    Alarm, AlarmKind, BlockedSource, CaptureFilter, CaptureSpec, Command, CommandError,
    ControllerHello, CounterValue, DataplaneHello, Direction, Event, FromDataplane, RealmInfo,
    RefusedReason, ToDataplane, VERSION,
};
pub use police::{
    ClassifiedSource, PoliceLimit, PoliceLimits, PoliceReport, SOURCES_A_COMMAND, SourceClass,
    SourceReport,
};
pub use port::{PortReport, PortState, QueueReport, TrafficReport};
pub use slot::{SLOTS, SlotTable, slot};
pub use stateless::{MOST_SENDERS, MOST_TARGETS, StatelessSpec, StatelessTarget};
