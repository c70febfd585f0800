//! Which of a stream's packets have come.

/// The packets of one stream that have come, by their sequence from 0. It remembers the last 128 one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    /// One more than the highest that came.
    next: u64,
    /// Which of those below `next` came: the lowest bit is `next - 1`.
    came: u128,
}

/// What a packet is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Behind the highest so far; so many are missing between them.
    Next {
        /// How many are missing, for the time being.
        missing: u64,
    },
    /// One that was missing, out of order.
    Late,
    /// It came before.
    Again,
}

impl Track {
    /// The packet `sequence` comes. One that is more than 128 behind is taken for a late one.
    #[inline]
    pub(super) fn arrive(&mut self, sequence: u64) -> Arrival {
        if let Some(missing) = sequence.checked_sub(self.next) {
            let by = u32::try_from(missing + 1).unwrap_or(u32::MAX);
            self.came = self.came.checked_shl(by).unwrap_or(0) | 1;
            self.next = sequence + 1;
            return Arrival::Next { missing };
        }
        let back = u32::try_from(self.next - 1 - sequence).unwrap_or(u32::MAX);
        match 1u128.checked_shl(back) {
            Some(bit) if self.came & bit != 0 => Arrival::Again,
            Some(bit) => {
                self.came |= bit;
                Arrival::Late
            }
            None => Arrival::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn missing_late_and_again() {
        let mut track = Track::default();
        assert_eq!(track.arrive(1), Arrival::Next { missing: 1 });
        assert_eq!(track.arrive(0), Arrival::Late);
        assert_eq!(track.arrive(0), Arrival::Again);
        assert_eq!(track.arrive(1), Arrival::Again);
        assert_eq!(track.arrive(5), Arrival::Next { missing: 3 });
        assert_eq!(track.arrive(400), Arrival::Next { missing: 394 });
        assert_eq!(track.arrive(5), Arrival::Late);
    }

    proptest! {
        #[test]
        fn what_is_lost_in_the_end_is_what_never_came(
            order in proptest::collection::vec(0u64..100, 0..300),
        ) {
            let (mut track, mut missing, mut again) = (Track::default(), 0, 0);
            for sequence in &order {
                match track.arrive(*sequence) {
                    Arrival::Next { missing: more } => missing += more,
                    Arrival::Late => missing -= 1,
                    Arrival::Again => again += 1,
                }
            }
            let came: BTreeSet<u64> = order.iter().copied().collect();
            let highest = came.last().map_or(0, |h| h + 1);
            prop_assert_eq!(missing, highest - came.len() as u64);
            prop_assert_eq!(again, order.len() - came.len());
        }
    }
}
