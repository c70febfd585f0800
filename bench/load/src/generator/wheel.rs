//! Who is due when: a wheel of slots, each with a list of streams.

use crate::Nanos;

/// Nanoseconds of a slot, as a power of two: 16.4 microseconds. A stream is never early, and at most this much late
/// if the caller never is.
const GRAIN: u32 = 14;
/// Slots: 268 milliseconds, longer than any interval between packets.
const SLOTS: u64 = 1 << 14;
/// Nobody.
const NONE: u32 = u32::MAX;

/// The wheel. Streams are numbers of the caller's, each in at most one slot.
pub(super) struct Wheel {
    /// The first in each slot.
    heads: Vec<u32>,
    /// By stream: who comes behind it in its slot, and when it is due.
    links: Vec<(u32, Nanos)>,
    /// The slot that is looked at next, counted from time 0.
    cursor: u64,
}

impl Wheel {
    /// An empty one at this time.
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            heads: vec![NONE; SLOTS as usize],
            links: Vec::new(),
            cursor: now >> GRAIN,
        }
    }

    /// Has `stream` come up at `due`.
    #[inline]
    pub(super) fn insert(&mut self, stream: u32, due: Nanos) {
        let at = stream as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, (NONE, 0));
        }
        // Due further ahead than the wheel is long: it comes up earlier and goes in again.
        let slot = (due >> GRAIN).clamp(self.cursor, self.cursor + SLOTS - 1) & (SLOTS - 1);
        if let (Some(head), Some(link)) =
            (self.heads.get_mut(slot as usize), self.links.get_mut(at))
        {
            *link = (*head, due);
            *head = stream;
        }
    }

    /// The next one that is due at `now`, with the time that it was due at. It is in no slot then.
    #[inline]
    pub(super) fn next(&mut self, now: Nanos) -> Option<(u32, Nanos)> {
        let end = now >> GRAIN;
        while self.cursor < end {
            let slot = (self.cursor & (SLOTS - 1)) as usize;
            let head = self.heads.get_mut(slot)?;
            if *head == NONE {
                self.cursor += 1;
                continue;
            }
            let stream = *head;
            let (behind, due) = *self.links.get(stream as usize)?;
            *head = behind;
            if due >> GRAIN > self.cursor {
                self.insert(stream, due);
                continue;
            }
            return Some((stream, due));
        }
        None
    }

    /// Puts one back that [`Wheel::next`] gave, to be the next again.
    pub(super) fn put_back(&mut self, stream: u32, due: Nanos) {
        self.insert(stream, due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_is_early_and_nobody_later_than_a_slot() {
        let mut wheel = Wheel::new(1000);
        let dues: Vec<Nanos> = (0..5000u64)
            .map(|n| 1000 + n * 7919 * 31 % 900_000_000)
            .collect();
        dues.iter()
            .enumerate()
            .for_each(|(n, due)| wheel.insert(n as u32, *due));
        let mut seen = 0;
        for now in (0..1_000_000_000).step_by(5_000) {
            while let Some((stream, due)) = wheel.next(now) {
                assert_eq!(due, dues[stream as usize]);
                assert!(
                    due <= now && now - due <= (1 << GRAIN) + 5_000,
                    "{due} at {now}"
                );
                seen += 1;
            }
        }
        assert_eq!(seen, dues.len());
    }

    proptest! {
        #[test]
        fn one_that_is_put_back_comes_again(due in 0u64..10_000_000_000) {
            let mut wheel = Wheel::new(0);
            wheel.insert(3, due);
            let (stream, at) = wheel.next(due + (1 << GRAIN)).unwrap();
            prop_assert_eq!((stream, at), (3, due));
            wheel.put_back(stream, at);
            prop_assert_eq!(wheel.next(due + (1 << GRAIN)), Some((3, due)));
            prop_assert_eq!(wheel.next(due + (1 << 20)), None);
        }
    }
}
