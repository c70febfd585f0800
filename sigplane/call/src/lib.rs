//! The proxy core: calls, dialogs, record-route, media anchoring; emits commands for the
//! dataplane.
//!
//! Sans-IO: give [`Core`] one [`Input`] and the time, then drain [`Core::output`] until it is
//! empty, in order. An [`Output::Journal`] must be in the journal before any later output is
//! carried out.
#![forbid(unsafe_code)]

mod io;

pub use io::{Input, Now, Output, Path, SendError, Tables};
