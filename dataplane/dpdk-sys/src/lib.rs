//! Bindings to Debian's libdpdk (22.11, and written to follow 24.11): what `tandem-dpdk` needs and
//! nothing else. No other crate uses this one.
//!
//! Three parts: the generated bindings of an allow-list (`build.rs`), a C shim for what DPDK only
//! defines inline (`shim/`, names beginning with `tnd_`), and [`mbuf`], the fields of a packet
//! buffer. `tests/layout.rs` compares every size and offset that we rely on with what the C
//! compiler says.

pub mod mbuf;

pub use bindings::*;

#[allow(
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "generated: DPDK's own names, documented in its headers"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
