//! Media anchoring: ports on both sides, the offer/answer model (RFC 3264), and the flow pairs
//! that follow from it.
//!
//! [`Ports`] hands out our media ports; a [`Session`] is one call's media. Give the session every
//! SDP that passes, in order, as [`Session::offer`] or [`Session::answer`]; send on what it
//! returns; drain [`Session::command`] for the dataplane.

mod ports;
mod session;

pub use ports::{Ports, RealmMedia, Usage};
pub use session::{MediaSettings, Party, Refusal, RestorePortsError, Session};
