//! Buckets of sources that nobody has classified, in memory of fixed size: they displace each other, and nobody else.

use super::bucket::{Bucket, Rate};

/// Sources that share a cache line.
const WAYS: usize = 4;

/// A source's bucket. What another source with the same 64 bits of a keyed hash sent counts for it too.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Its hash. A bucket that was never used is nobody's, whatever stands here.
    hash: u64,
    bucket: Bucket,
}

/// Those whose hashes meet: one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Way; WAYS]);

/// A set-associative table. Who finds no place takes that of the source whose bucket is the fullest, and what that one owes
/// with it. So a source that was quiet is forgotten first, at no loss; and however many sources come, those of a set together pass
/// no more than so many sources may.
#[derive(Debug)]
pub(super) struct Unknown {
    sets: Vec<Set>,
}

impl Unknown {
    /// With room for so many sources, at least.
    pub(super) fn new(sources: usize) -> Self {
        Self {
            sets: vec![Set::default(); sources.div_ceil(WAYS).max(1).next_power_of_two()],
        }
    }

    /// Whether a datagram of the source with this hash may pass at `now`.
    #[inline]
    pub(super) fn pass(&mut self, now: u64, hash: u64, rate: Rate) -> bool {
        let Some(way) = self.way(now, hash) else {
            return false;
        };
        let may = way.bucket.has(now, rate, 0);
        if may {
            way.bucket.take(now, rate);
        }
        may
    }

    /// The source's place, whoever's it was before.
    #[inline]
    fn way(&mut self, now: u64, hash: u64) -> Option<&mut Way> {
        let mask = self.sets.len() - 1;
        let Set(ways) = self.sets.get_mut(hash as usize & mask)?;
        if let Some(at) = ways.iter().position(|way| way.hash == hash) {
            return ways.get_mut(at);
        }
        let fullest = ways.iter_mut().min_by_key(|way| way.bucket)?;
        fullest.hash = hash;
        if fullest.bucket.is_full(now) {
            fullest.bucket = Bucket::default();
        }
        Some(fullest)
    }

    /// What the source with this hash may send now.
    pub(super) fn credit(&self, now: u64, hash: u64, rate: Rate) -> Option<u32> {
        let mask = self.sets.len() - 1;
        let ways = self.sets.get(hash as usize & mask);
        let own = ways.and_then(|Set(ways)| ways.iter().find(|way| way.hash == hash));
        own.map_or(Bucket::default(), |way| way.bucket)
            .credit(now, rate)
    }

    /// Sources that are remembered since they have sent something lately: an estimate from a part of a large table.
    pub(super) fn len(&self, now: u64) -> usize {
        const LOOK: usize = 256;
        let some = self.sets.iter().take(LOOK).flat_map(|Set(ways)| ways);
        let busy = some.filter(|way| !way.bucket.is_full(now)).count();
        busy * self.sets.len().div_ceil(LOOK.min(self.sets.len()))
    }

    pub(super) fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_link::PoliceLimit;

    const SECOND: u64 = 1_000_000_000;

    fn rate(rate: u32, burst: u32) -> Rate {
        Rate::new(PoliceLimit { rate, burst })
    }

    #[test]
    fn each_source_has_its_own_bucket_while_there_is_room() {
        let rate = rate(10, 3);
        let mut table = Unknown::new(64);
        assert_eq!((table.capacity(), table.len(SECOND)), (64, 0));
        for hash in 0..32u64 {
            let passed = (0..10).filter(|_| table.pass(SECOND, hash, rate)).count();
            assert_eq!(passed, 3);
            assert_eq!(table.credit(SECOND, hash, rate), Some(0));
        }
        assert_eq!(table.len(SECOND), 32);
        assert_eq!(table.credit(SECOND, 99, rate), Some(3));
        assert_eq!(table.len(2 * SECOND), 0);
    }

    #[test]
    fn a_set_passes_no_more_than_its_ways_however_many_sources_come() {
        let rate = rate(10, 3);
        let mut table = Unknown::new(4);
        let passed = (1..100_000u64)
            .filter(|hash| table.pass(SECOND, *hash, rate))
            .count();
        assert_eq!(passed, WAYS * 3);
        let passed = (1..100_000u64)
            .filter(|hash| table.pass(2 * SECOND, *hash, rate))
            .count();
        // A second later each bucket is full again.
        assert_eq!(passed, WAYS * 3);
    }

    #[test]
    fn who_sends_is_not_forgotten_for_those_who_were_quiet() {
        let rate = rate(10, 100);
        let mut table = Unknown::new(4);
        let busy = 7u64;
        for n in 0..50 {
            assert!(table.pass(SECOND, busy, rate));
            assert!(table.pass(SECOND, 1_000 + n, rate));
        }
        assert_eq!(table.credit(SECOND, busy, rate), Some(50));
    }
}
