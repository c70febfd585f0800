//! SIP, sans-IO: calls with both their ends, registrations, floods. [`Agent`] is the generator's agent for all but
//! floods; tens of thousands of calls are a table each, with one timer a call in a wheel, and messages are written
//! from pieces that were made ready before.
//!
//! Tags of ours say whose they are, so no response and no request in a dialog has to be searched for.

mod agent;
mod arrivals;
mod called;
mod callers;
mod dialog;
mod digest;
mod flood;
mod random;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod text;
mod users;
mod view;
mod wheel;

pub use agent::Agent;
pub use arrivals::{Rate, Spread};
pub use flood::{Crowd, Flood, FloodSettings, Shot};
pub use settings::{CallSettings, Hangup, HoldSpread, RegisterSettings, Side, Users};
