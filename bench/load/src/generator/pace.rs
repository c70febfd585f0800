//! So many a second.

use crate::{Nanos, SECOND};

/// The furthest that a rate is caught up with: what would be due for longer is skipped, so that a pause of the
/// generator's does not become a burst.
const CATCH_UP: Nanos = 10_000_000;

/// A rate, and how many have been given of it.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    begin: Nanos,
    /// A second; none for no limit.
    rate: Option<f64>,
    /// Given or skipped.
    given: u64,
}

impl Pace {
    pub(super) fn new(begin: Nanos, rate: Option<f64>) -> Self {
        Self {
            begin,
            rate: rate.filter(|r| *r > 0.0),
            given: 0,
        }
    }

    /// How many are due now, up to `most`; and how many are skipped because they are too late.
    pub(super) fn due(&mut self, now: Nanos, most: u64) -> (u64, u64) {
        let Some(rate) = self.rate else {
            return (most, 0);
        };
        let passed = now.saturating_sub(self.begin) as f64;
        let all = (passed * rate / SECOND as f64) as u64;
        let open = all.saturating_sub(self.given);
        let bound = ((CATCH_UP as f64 * rate / SECOND as f64) as u64).max(1);
        let skipped = open.saturating_sub(bound.max(most));
        self.given += skipped;
        ((open - skipped).min(most), skipped)
    }

    /// So many have been given.
    pub(super) fn give(&mut self, count: u64) {
        self.given += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_a_pause_is_no_burst() {
        let mut pace = Pace::new(1000, Some(100_000.0));
        let mut given = 0;
        for now in (1000..=SECOND + 1000).step_by(50_000) {
            let (due, skipped) = pace.due(now, 64);
            assert_eq!(skipped, 0);
            pace.give(due);
            given += due;
        }
        assert_eq!(given, 100_000);
        // A second later 100,000 would be due: 10 ms of them are sent.
        let (due, skipped) = pace.due(2 * SECOND + 1000, 64);
        assert_eq!((due, skipped), (64, 99_000));
        assert_eq!(Pace::new(0, None).due(5, 32), (32, 0));
    }
}
