//! Decisions only: who may call, which media server takes a call, and the rows that they are
//! taken from. Tables in, decisions out; no I/O, no clock.
#![forbid(unsafe_code)]

mod access;
mod cdr;
pub mod defence;
pub mod digest;
mod dispatcher;
mod fs_cdr;
pub mod locate;
pub mod quality;
pub mod registrar;
pub mod routing;
mod rows;
mod subscribers;
mod target;
mod transport;

pub use access::{Access, Origin};
pub use cdr::{Cdr, CdrMedia, CdrQuality, EndCause, EndedBy, Q850, Tried};
pub use dispatcher::{
    Algorithm, Attributes, Dispatcher, Draw, Expression, Field, Plan, SetPlan, Thresholds,
    WEIGHT_KEY, place,
};
pub use fs_cdr::FsCdr;
pub use rows::{
    AddressRow, BadRow, DialogEnd, DialogRow, DidRow, DispatcherRow, Follower, LocationRow,
    TrunkRow,
};
pub use subscribers::{SubscriberRow, Subscribers};
pub use target::{Latency, StateChange, Target, TargetState, parse_destination};
pub use transport::Transport;
