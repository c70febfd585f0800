//! The media relay of one worker: flow table, latching, rewriting, accounting, timeouts, and what is
//! for the kernel or the signaling plane instead.
//!
//! A [`Relay`] is pure: the worker gives it frames, commands and the time, and does what the
//! [`Verdict`] says. It owns the flows of its ports ([`tandem_link::SlotTable`]); a frame that
//! came to the wrong worker is handed off. Routes and neighbours come as a [`Forwarding`] snapshot.
//! Every outcome has its named counter in [`Counters`].
#![forbid(unsafe_code)]

mod blocked;
mod classify;
mod config;
mod counters;
mod endpoint;
mod flow;
mod forwarding;
mod frame;
mod hops;
mod ids;
mod learn;
mod network;
mod police;
mod quality;
mod relay;
mod rewrite;
mod stateless;
mod stats;
mod table;
mod verdict;

pub use blocked::BLOCKED;
pub use config::{ConfigError, PortConfig, RealmConfig, RelayConfig, TxOffloads};
pub use counters::Counters;
pub use forwarding::{Forwarding, ForwardingBuilder, NextHop};
pub use frame::{Checksum, Frame, RxChecksums};
pub use police::{PoliceConfig, TRUSTED_NETWORKS, TRUSTED_SOURCES, TrustedNetworks};
pub use relay::{Look, Plain, Relay, proof_forwarding};
pub use stateless::Stateless;
pub use verdict::{SipMeta, SipSend, TxChecksums, Verdict};
