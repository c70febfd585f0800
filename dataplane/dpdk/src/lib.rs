//! DPDK, safely: what the dataplane daemon uses of it and nothing else.
//!
//! - [`Eal`]: DPDK's environment, once per process, and [`EalSettings`], its arguments.
//! - [`Device`]: a port's name in the configuration, as EAL wants to hear it.
//! - [`Mempool`] and [`Mbuf`]: packet buffers with one owner each, freed once, on drop.
//! - [`Port`]: a started port; [`Started`] says what it can do and hands out its queues.
//! - [`RxQueue`], [`TxQueue`] and [`Burst`]: batches over fixed arrays, one owner per queue.
//! - [`Registration`]: makes a thread known to DPDK, so that its buffers come from a cache.
//!
//! A worker's loop, run to completion:
//!
//! ```no_run
//! # fn work(mut rx: tandem_dpdk::RxQueue, mut tx: tandem_dpdk::TxQueue) {
//! use tandem_dpdk::Burst;
//!
//! let (mut received, mut sending) = (Burst::new(), Burst::new());
//! let mut not_sent = 0;
//! loop {
//!     rx.receive(&mut received);
//!     for mut packet in received.drain() {
//!         if packet.segments() > 1 {
//!             continue; // dropped: freed here, and only here
//!         }
//!         packet.data_mut().reverse();
//!         if let Err(packet) = sending.push(packet) {
//!             drop(packet); // no room: cannot happen here, both bursts hold as many
//!         }
//!     }
//!     tx.send(&mut sending);
//!     not_sent += sending.clear(); // what the device did not take
//! }
//! # }
//! ```
//!
//! Memory: pools live as long as the process, as does EAL. So an [`Mbuf`] needs no reference to
//! its pool, and passing it on costs no atomic operation.

mod burst;
mod device;
mod eal;
mod error;
mod kernel;
mod link_events;
mod mbuf;
mod mempool;
mod port;
mod queue;
mod restart;
mod start;
mod steering;
mod thread;

pub use burst::{BURST, Burst, Drain};
pub use device::Device;
pub use eal::{Eal, EalSettings};
pub use error::{DpdkErrno, Error};
pub use link_events::LinkEvents;
pub use mbuf::{Checksum, HEADROOM, Mbuf, RxChecksums, TxChecksums, WindowError, prefetch};
pub use mempool::Mempool;
pub use port::{Link, Port, PortStats, QUEUES_COUNTED, QueueStats};
pub use queue::{RxQueue, TxQueue};
pub use start::{PortConfig, PortReport, Started, Steering};
pub use steering::{SLOTS, SlotQueues};
pub use thread::Registration;

/// Tells the CPU that this is a spin loop (`PAUSE` on x86).
pub fn pause() {
    core::hint::spin_loop();
}
