//! The packet rings between the planes: SIP datagrams in shared memory, and what has to keep its place among
//! them.
//!
//! The dataplane makes one [`Session`] for each controller that connects: a sealed memfd with two
//! single-producer, single-consumer rings (one in each direction) between each worker of the dataplane
//! and each reader of the controller, which may have several, and an eventfd for each reader as its
//! doorbell. The descriptors go to the controller by `SCM_RIGHTS`; it maps them with [`attach`]. Each
//! pair of worker and reader has one [`Producer`] and one [`Consumer`] on either side.
//!
//! **The peer is not trusted and may die at any moment.** Shared memory is reached through atomic
//! words only, never through references to plain data; an index is masked, a length is copied out
//! of the memory first and checked then, and a record's bytes are copied once, into the consumer's
//! own buffer. A record becomes visible by one release store of the ring's tail, so a writer that
//! is killed in the middle leaves nothing behind. What does not check out is
//! [`PopError::Corrupt`]: the ring is emptied and the reader goes on. A full ring refuses
//! ([`PushError::Full`]); nobody ever waits for the other end.
//!
//! **Epochs.** The memory carries its session's epoch. The dataplane [fences](Session::fence) a
//! session when a newer controller comes; after that every push and pop of the old one answers
//! `Fenced`.
//!
//! **Sleeping.** The dataplane polls. A reader may sleep on its doorbell: it asks every
//! consumer of its own with [`Consumer::prepare_sleep`], sleeps only if all agree, and calls
//! [`Consumer::awake`] after. The producer's [`Producer::flush`], once per burst, rings the bell
//! only for a reader that sleeps.
//!
//! **Messages.** A record is a datagram or a message of the link. A message is read behind the datagrams that were
//! pushed before it and ahead of those behind it. Datagrams leave some of the ring free for messages, so that a
//! flood of the ones does not shut the others out.
//!
//! Records have variable length, in 8-byte words, and wrap at the ring's end. Fixed slots would
//! have to be as long as the longest datagram (64 KiB) for messages of which most have less than
//! 1.5 KiB; copying in words costs the same either way, since the memory is reached by atomic
//! words.

mod doorbell;
mod layout;
mod memory;
mod record;
mod ring;
mod session;

pub use doorbell::Doorbell;
pub use layout::{MAX_READERS, MAX_RING_BYTES, MAX_WORKERS, MIN_RING_BYTES};
pub use record::{DatagramMeta, MAX_PAYLOAD, PayloadBuffer, Record, payload_buffer};
pub use ring::{Consumer, PopError, Producer, PushError};
pub use session::{End, Reader, Session, ShmError, attach};
