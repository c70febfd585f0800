//! The proxy core: calls, dialogs, record-route, media anchoring; emits commands for the
//! dataplane.
//!
//! Sans-IO: give [`Core`] one [`Input`] and the time, then drain [`Core::output`] until it is
//! empty, in order. An [`Output::Journal`] must be in the journal before any later output is
//! carried out.
#![forbid(unsafe_code)]

mod body;
mod call;
mod calls;
mod compose;
mod config;
mod core;
mod counters;
mod edits;
mod hiding;
pub mod histogram;
mod io;
mod journal;
pub mod media;
mod message;
mod record;
mod rows;
mod text;
mod token;
mod views;

pub use config::{
    Conference, CoreConfig, DispatcherConfig, GuardConfig, KernelConfig, MediaConfig,
    MessageLimits, NatConfig, RealmConfig, RegistrarConfig, RoutingConfig, Side, StreamConfig,
};
pub use core::{Core, News, RestoreError, Share, StatelessPlan, shard_of_key};
pub use hiding::{Flow, HidingConfig, KeyFault, KeyId, KeyRing, Opened, OpenedFlow};
pub use io::{Input, Now, Output, Path, Registered, SendError, Tables};
pub use media::MediaGuard;
pub use rows::{contact_rows, dialog_row, location_rows};
pub use tandem_sip::{ShardTable, shard};
pub use views::{
    CallCounts, CallState, CallView, Footprint, RouteQuestion, RouteView, TargetView, WayView,
};
