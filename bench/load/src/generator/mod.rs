//! The generator, sans-IO: frames and the time in, frames out through a [`Sink`].
//!
//! ```text
//! receive(now, port, frame) -+
//! poll(now) -----------------+--> Sink::frame(port, write)
//! ```

mod agent;
mod endpoints;
mod load;
mod sink;
mod stream;

pub use agent::{Agent, Datagram, Order, Outbox, Source};
pub use endpoints::{Host, HostError, Mac};
pub use load::{Load, Mixed, Raw};
pub use sink::{MAX_FRAME, Sink};
pub use stream::{Payload, StreamId, StreamSpec};
