//! What of an image goes where on a disk: held back, left alone, or written as it comes.

use std::ops::Range;

use crate::gpt::{Gpt, HEAD};

/// Bytes at the beginning of a slot that are made zeros if the image has nothing there.
pub const BEGINNING: u64 = 1 << 20;

/// What becomes of a part of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Written as it comes. What the block map has not must read as zeros there.
    Stream,
    /// Written as it comes; what the block map has not stays as the disk has it.
    Raw,
    /// Not written from the image: written at the end, from memory.
    Held,
}

/// The parts of a disk, by what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// In order, without overlap; what is in none is [`Fate::Stream`].
    parts: Vec<(Range<u64>, Fate)>,
}

impl Layout {
    /// For a disk: the head and the backup table are held, and whatever else is in `held`.
    ///
    /// A file system relies on zeros in blocks that nobody ever wrote (the FAT of an ESP, the inode tables of ext4), so a gap of the block
    /// map there must be zeros on the disk, too. A slot is a squashfs, which says itself where it ends (one that is empty must not look
    /// as if there was one, so its beginning is made zeros), and between partitions nobody reads.
    #[must_use]
    pub fn new(table: &Gpt, tail: &Range<u64>, held: &[Range<u64>]) -> Self {
        let mut layout = Self::default();
        layout.add(0..HEAD as u64, Fate::Held);
        layout.add(tail.clone(), Fate::Held);
        for range in held {
            layout.add(range.clone(), Fate::Held);
        }
        let mut partitions = table.partitions();
        partitions.sort_by_key(|p| p.bytes.start);
        let mut from = HEAD as u64;
        for partition in &partitions {
            layout.add(from..partition.bytes.start, Fate::Raw);
            if partition.name.starts_with("slot-") {
                let beginning = partition.bytes.start.saturating_add(BEGINNING);
                layout.add(beginning..partition.bytes.end, Fate::Raw);
            }
            from = from.max(partition.bytes.end);
        }
        layout.add(from..u64::MAX, Fate::Raw);
        layout
    }

    /// Adds what is not in another part already.
    fn add(&mut self, range: Range<u64>, fate: Fate) {
        if range.is_empty() {
            return;
        }
        let mut free = vec![range];
        for (taken, _) in &self.parts {
            free = free.into_iter().flat_map(|f| without(&f, taken)).collect();
        }
        self.parts.extend(
            free.into_iter()
                .filter(|f| !f.is_empty())
                .map(|f| (f, fate)),
        );
        self.parts.sort_by_key(|(range, _)| range.start);
    }

    /// Cuts a range into pieces with one fate each, in order.
    #[must_use]
    pub fn cut(&self, range: Range<u64>) -> Vec<(Range<u64>, Fate)> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        for (part, fate) in &self.parts {
            let inside = part.start.max(at)..part.end.min(range.end);
            if inside.is_empty() {
                continue;
            }
            if at < inside.start {
                pieces.push((at..inside.start, Fate::Stream));
            }
            at = inside.end;
            pieces.push((inside, *fate));
        }
        if at < range.end {
            pieces.push((at..range.end, Fate::Stream));
        }
        pieces
    }
}

fn without(range: &Range<u64>, taken: &Range<u64>) -> [Range<u64>; 2] {
    if taken.start >= range.end || taken.end <= range.start {
        return [range.clone(), 0..0];
    }
    [
        range.start..taken.start.max(range.start),
        taken.end.min(range.end)..range.end,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_has_one_fate(
            parts in prop::collection::vec((0_u64..100, 0_u64..30, 0..2), 0..8),
            start in 0_u64..100,
            len in 0_u64..60,
        ) {
            let mut layout = Layout::default();
            for (at, len, fate) in &parts {
                layout.add(*at..at + len, if *fate == 0 { Fate::Held } else { Fate::Raw });
            }
            let pieces = layout.cut(start..start + len);
            let mut at = start;
            for (piece, fate) in pieces {
                prop_assert_eq!(piece.start, at);
                prop_assert!(!piece.is_empty());
                at = piece.end;
                for byte in piece {
                    // Who came first has it.
                    let first = parts.iter().find(|(at, len, _)| (*at..at + len).contains(&byte));
                    let expected = first.map_or(Fate::Stream, |p| if p.2 == 0 { Fate::Held } else { Fate::Raw });
                    prop_assert_eq!(fate, expected);
                }
            }
            prop_assert_eq!(at, start + len);
        }
    }
}
