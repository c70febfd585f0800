//! Streams with real peers over loopback. Time is virtual: it stands still until a test moves it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod limits;
mod memory;
mod opening;
mod pki;
mod server;
mod tcp;
mod tls;
mod web;
