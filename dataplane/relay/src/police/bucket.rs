//! A token bucket in one word.

use tandem_link::PoliceLimit;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A limit in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Between two datagrams at the limit; 0 without one.
    cost: u64,
    /// What a full bucket is worth.
    depth: u64,
}

impl Rate {
    /// Everything passes.
    pub(crate) const NONE: Self = Self { cost: 0, depth: 0 };

    pub(crate) fn new(limit: PoliceLimit) -> Self {
        match SECOND.checked_div(limit.rate.into()) {
            None => Self::NONE,
            Some(cost) => {
                let cost = cost.max(1);
                Self {
                    cost,
                    depth: cost * u64::from(limit.burst.max(1)),
                }
            }
        }
    }
}

/// When the bucket will be full again, on the worker's clock: the theoretical arrival time of the generic cell rate
/// algorithm (ITU-T I.371), which is a token bucket. One that is full needs no memory: it is 0, or any time that has gone by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u64);

impl Bucket {
    /// Whether a datagram may pass at `now` and leave this part of the bucket: `keep` quarters of it.
    #[inline]
    pub(crate) fn has(self, now: u64, rate: Rate, keep: u64) -> bool {
        let room = rate.depth - rate.depth / 4 * keep;
        // What is owed after this datagram is no more than that.
        self.owed(now).saturating_add(rate.cost) <= room.max(rate.cost)
    }

    /// A datagram passes.
    #[inline]
    pub(crate) fn take(&mut self, now: u64, rate: Rate) {
        self.0 = self.0.max(now).saturating_add(rate.cost);
    }

    /// Whether it is full: nothing is lost with it.
    #[inline]
    pub(crate) fn is_full(self, now: u64) -> bool {
        self.0 <= now
    }

    /// How many datagrams may pass at once; none without a limit.
    pub(crate) fn credit(self, now: u64, rate: Rate) -> Option<u32> {
        let left = rate.depth.saturating_sub(self.owed(now));
        let many = left.checked_div(rate.cost)?;
        Some(u32::try_from(many).unwrap_or(u32::MAX))
    }

    #[inline]
    fn owed(self, now: u64) -> u64 {
        self.0.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(rate: u32, burst: u32) -> Rate {
        Rate::new(PoliceLimit { rate, burst })
    }

    fn pass(bucket: &mut Bucket, now: u64, rate: Rate) -> bool {
        let may = bucket.has(now, rate, 0);
        if may {
            bucket.take(now, rate);
        }
        may
    }

    #[test]
    fn the_burst_at_once_and_then_the_rate() {
        let rate = rate(1_000, 10);
        let mut bucket = Bucket::default();
        let now = 5 * SECOND;
        assert_eq!(bucket.credit(now, rate), Some(10));
        assert_eq!(
            (0..100).filter(|_| pass(&mut bucket, now, rate)).count(),
            10
        );
        assert_eq!(bucket.credit(now, rate), Some(0));
        assert!(!pass(&mut bucket, now + 999_999, rate));
        assert!(pass(&mut bucket, now + 1_000_000, rate));
        assert!(!pass(&mut bucket, now + 1_000_000, rate));
        let later = now + 60 * SECOND;
        assert!(bucket.is_full(later));
        let passed = (0..100).filter(|_| pass(&mut bucket, later, rate));
        assert_eq!(passed.count(), 10, "no more than the burst is saved up");
    }

    #[test]
    fn a_part_is_kept_for_others() {
        let rate = rate(1_000, 8);
        for (keep, passed) in [(0, 8), (1, 6), (2, 4), (4, 1)] {
            let mut bucket = Bucket::default();
            let mut count = 0;
            while bucket.has(7, rate, keep) {
                bucket.take(7, rate);
                count += 1;
            }
            assert_eq!(count, passed);
        }
    }

    #[test]
    fn without_a_limit_everything_passes_at_any_time() {
        for limit in [Rate::NONE, rate(0, 0)] {
            let mut bucket = Bucket::default();
            for now in [0, 1, u64::MAX] {
                assert!((0..1_000).all(|_| pass(&mut bucket, now, limit)));
                assert_eq!(bucket.credit(now, limit), None);
            }
        }
    }

    #[test]
    fn the_end_of_time_and_a_clock_that_goes_back_are_no_panic() {
        let rate = rate(1, u32::MAX);
        let mut bucket = Bucket::default();
        for now in [u64::MAX, u64::MAX - 1, 0, 3, u64::MAX] {
            pass(&mut bucket, now, rate);
            let _ = bucket.credit(now, rate);
        }
    }

    proptest! {
        #[test]
        fn no_more_passes_than_burst_and_rate(
            per_second in 1..100_000u32,
            burst in 1..1_000u32,
            gaps in proptest::collection::vec(0..3_000_000u64, 1..300),
        ) {
            let rate = rate(per_second, burst);
            let mut bucket = Bucket::default();
            let (mut now, mut passed) = (1_000, 0u64);
            let begin = now;
            for gap in gaps {
                now += gap;
                passed += u64::from(pass(&mut bucket, now, rate));
                let earned = (now - begin) / rate.cost;
                prop_assert!(passed <= u64::from(burst) + earned);
            }
        }
    }
}
