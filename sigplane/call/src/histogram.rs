//! How often something took how long.

use std::time::Duration;

/// A histogram: so many events within each bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// Events above the bound before and within this one; the last counts those above all.
    counts: Box<[u64]>,
    sum: Duration,
}

/// From 10 microseconds to a second: what our own machinery takes.
pub const MACHINERY: &[Duration] = &[
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// From a millisecond to a minute: what others take to answer.
pub const ANSWERS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

impl Histogram {
    /// Without any event. The bounds rise.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1].into(),
            sum: Duration::ZERO,
        }
    }

    /// Counts an event.
    pub fn record(&mut self, took: Duration) {
        let at = self.bounds.partition_point(|bound| *bound < took);
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(took);
    }

    /// Adds another's events; those of one with other bounds are not added.
    pub fn add(&mut self, other: &Self) {
        if self.bounds != other.bounds {
            return;
        }
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Each bound with how many events took at most so long.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let sums = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        self.bounds.iter().copied().zip(sums)
    }

    /// All events.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// What they took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_above_all_counts() {
        const BOUNDS: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(10)];
        let mut one = Histogram::new(BOUNDS);
        for ms in [0, 1, 2, 10, 11, 5_000] {
            one.record(Duration::from_millis(ms));
        }
        let within = |h: &Histogram| h.cumulative().map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(within(&one), [2, 4]);
        assert_eq!((one.count(), one.sum()), (6, Duration::from_millis(5_024)));
        let mut two = one.clone();
        two.add(&one);
        two.add(&Histogram::new(MACHINERY));
        assert_eq!((within(&two), two.count()), (vec![4, 8], 12));
    }

    #[test]
    fn bounds_rise() {
        for bounds in [MACHINERY, ANSWERS] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
