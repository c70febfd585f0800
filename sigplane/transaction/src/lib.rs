//! Transactions over any transport: RFC 3261 section 17 with RFC 6026's Accepted states.
//!
//! Sans-IO. [`Layer`] holds all client and server transactions of one worker: give it what came
//! in and the time, then drain [`Layer::output`]. It retransmits, absorbs retransmissions,
//! acknowledges failures of its INVITEs, and says which transactions timed out or ended. It knows
//! nothing of dialogs, and parses nothing: the caller hands it the few values that match
//! messages to transactions.
//!
//! `H` is the caller's description of how a message goes (from which socket, to whom); the layer
//! carries it, and asks it only whether it is reliable.
#![forbid(unsafe_code)]

mod client;
mod key;
mod layer;
mod names;
mod server;
mod settings;
mod table;

pub use key::{ClientId, ClientKey, Method, ServerId, ServerKey};
pub use layer::{Hop, InviteRequest, Layer, Output, Received, Response};
pub use settings::Settings;
pub use table::{TimerTable, take, trim};

/// A message's bytes, shared by its retransmissions.
pub type Bytes = std::sync::Arc<[u8]>;
