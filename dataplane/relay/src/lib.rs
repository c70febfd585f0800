//! The media relay of one worker: flow table, latching, rewriting, accounting, timeouts.
#![forbid(unsafe_code)]

mod config;
mod counters;
mod forwarding;
mod frame;
mod relay;
mod verdict;

pub use config::{ConfigError, PortConfig, RealmConfig, RelayConfig, TxOffloads};
pub use counters::Counters;
pub use forwarding::{Forwarding, ForwardingBuilder, NextHop};
pub use frame::{Checksum, Frame, RxChecksums};
pub use relay::Relay;
pub use verdict::{SipMeta, SipSend, TxChecksums, Verdict};
