//! Topology hiding: what the carrier side must not see of the inside, and what it sees instead.
//!
//! - [`keys`]: the keys, and Call-IDs as tokens that only they undo

mod keys;

pub use keys::{KeyFault, KeyId, KeyRing, Opened};
