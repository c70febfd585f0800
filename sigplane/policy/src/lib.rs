//! Decisions only: who may call, which media server takes a call, and the rows that they are
//! taken from. Tables in, decisions out; no I/O, no clock.
#![forbid(unsafe_code)]

mod rows;

pub use rows::{AddressRow, Cdr, CdrMedia, DispatcherRow, EndCause};
