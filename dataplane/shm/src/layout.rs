//! Where things are in the memory, in 8-byte words.
//!
//! ```text
//! word 0                 magic
//! word 8                 version | workers << 16 | ring bytes << 32
//! word 16                epoch
//! word 24                readers
//! word 512 (one page)    worker 0: reader 0: to_controller, to_dataplane; reader 1: ...; worker 1: ...
//!
//! a ring: word 0         tail: words ever written (producer's)
//!         word 8         head: words ever read (consumer's)
//!         word 16        sleeping: 1 while the consumer sleeps on the doorbell
//!         word 24        dropped: records refused because the ring was full (producer's)
//!         word 512       data
//! ```
//! Each control word has a cache line of its own, so that the two ends do not share one for
//! writing.

/// The first word: `TANDEMSH`.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TANDEMSH");
/// The layout's version. Any other is refused.
pub(crate) const VERSION: u64 = 3;

/// Smallest size of one ring's data, in bytes: room for one record of the longest payload, and for messages.
pub const MIN_RING_BYTES: u32 = 128 * 1024;
/// Largest size of one ring's data, in bytes.
pub const MAX_RING_BYTES: u32 = 64 * 1024 * 1024;
/// The most workers that a session has rings for.
pub const MAX_WORKERS: u16 = 256;
/// The most readers that a session has rings for: SIP workers of the signaling plane.
pub const MAX_READERS: u16 = 64;

/// A page, in words.
const PAGE: usize = 512;

pub(crate) const MAGIC_WORD: usize = 0;
pub(crate) const SHAPE_WORD: usize = 8;
pub(crate) const EPOCH_WORD: usize = 16;
pub(crate) const READERS_WORD: usize = 24;

pub(crate) const TAIL: usize = 0;
pub(crate) const HEAD: usize = 8;
pub(crate) const SLEEPING: usize = 16;
pub(crate) const DROPPED: usize = 24;
pub(crate) const DATA: usize = PAGE;

/// The epoch word of a session that has been fenced. No session has it.
pub(crate) const FENCED: u64 = 0;

/// Which of the two rings between a worker and a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToController,
    ToDataplane,
}

/// The session's measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) workers: u16,
    pub(crate) readers: u16,
    /// Of one ring's data: a power of two.
    pub(crate) ring_bytes: u32,
}

impl Shape {
    /// Whether a session may have these measures.
    pub(crate) fn is_valid(self) -> bool {
        (1..=MAX_WORKERS).contains(&self.workers)
            && (1..=MAX_READERS).contains(&self.readers)
            && self.ring_bytes.is_power_of_two()
            && (MIN_RING_BYTES..=MAX_RING_BYTES).contains(&self.ring_bytes)
    }

    /// The shape word and the readers word.
    pub(crate) fn encode(self) -> [u64; 2] {
        [
            VERSION | u64::from(self.workers) << 16 | u64::from(self.ring_bytes) << 32,
            u64::from(self.readers),
        ]
    }

    /// Reads them; none for another version or impossible measures.
    pub(crate) fn decode([word, readers]: [u64; 2]) -> Option<Self> {
        let bytes = word.to_le_bytes();
        let [v0, v1, w0, w1, r @ ..] = bytes;
        let shape = Self {
            workers: u16::from_le_bytes([w0, w1]),
            readers: u16::try_from(readers).ok()?,
            ring_bytes: u32::from_le_bytes(r),
        };
        let version = u64::from(u16::from_le_bytes([v0, v1]));
        (version == VERSION && shape.is_valid()).then_some(shape)
    }

    /// Words of one ring's data.
    pub(crate) fn ring_words(self) -> usize {
        self.ring_bytes as usize / 8
    }

    /// First word of a ring between a worker and a reader.
    pub(crate) fn ring_start(self, worker: u16, reader: u16, way: Way) -> usize {
        let pair = usize::from(worker) * usize::from(self.readers) + usize::from(reader);
        let index = pair * 2 + usize::from(way == Way::ToDataplane);
        PAGE + index * self.ring_span()
    }

    /// Words of one ring with its control page.
    pub(crate) fn ring_span(self) -> usize {
        DATA + self.ring_words()
    }

    /// Words of the whole memory.
    pub(crate) fn total_words(self) -> usize {
        PAGE + usize::from(self.workers) * usize::from(self.readers) * 2 * self.ring_span()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_survives_its_word_and_nonsense_does_not() {
        let shape = Shape {
            workers: 3,
            readers: 2,
            ring_bytes: MIN_RING_BYTES,
        };
        let [word, readers] = shape.encode();
        assert_eq!(Shape::decode([word, readers]), Some(shape));
        let more = u64::from(MAX_READERS) + 1;
        for nonsense in [[0, 1], [u64::MAX; 2], [word, 0], [word, more]] {
            assert_eq!(Shape::decode(nonsense), None);
        }
        let odd = Shape {
            workers: 1,
            readers: 1,
            ring_bytes: MIN_RING_BYTES + 8,
        };
        assert_eq!(Shape::decode(odd.encode()), None);
    }

    #[test]
    fn rings_do_not_overlap() {
        let shape = Shape {
            workers: 2,
            readers: 3,
            ring_bytes: MIN_RING_BYTES,
        };
        let mut starts = Vec::new();
        for worker in 0..2 {
            for reader in 0..3 {
                for way in [Way::ToController, Way::ToDataplane] {
                    starts.push(shape.ring_start(worker, reader, way));
                }
            }
        }
        starts.push(shape.total_words());
        assert!(starts.windows(2).all(|w| w[1] - w[0] == shape.ring_span()));
    }
}
