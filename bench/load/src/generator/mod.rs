//! The generator, sans-IO: frames and the time in, frames out through a [`Sink`].
//!
//! ```text
//! receive(now, port, frame) -+
//! poll(now) -----------------+--> Sink::frame(port, write)
//! ```

//!
//! - [`Generator`]: one run of a [`Load`].
//! - [`Agent`]: what speaks SIP for it, and [`Outbox`], what it emits.
//! - [`StreamSpec`]: one direction of media.

mod agent;
mod datagram;
mod endpoints;
mod load;
mod mixed;
mod neighbour;
mod pace;
mod raw;
mod run;
mod sink;
mod stream;
mod streams;
mod track;
mod wheel;

pub use agent::{Agent, Datagram, Order, Outbox, Source};
pub use endpoints::{Host, HostError, Mac};
pub use load::{Load, Mixed, Raw};
pub use run::{Device, Generator};
pub use sink::{MAX_FRAME, Sink};
pub use stream::{Payload, StreamId, StreamSpec};
