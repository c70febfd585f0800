//! How often a port is restarted at most.

/// Between a restart and the next one, in nanoseconds: at first, and at most.
const FIRST: u64 = 5_000_000_000;
const MOST: u64 = 300_000_000_000;

/// A port that needed no restart for so long has nothing to do with the one before.
const FORGOTTEN: u64 = 600_000_000_000;

/// Each restart doubles the time until the next one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    not_before: u64,
    /// Before the next but one; 0 for the first.
    wait: u64,
}

impl Backoff {
    /// Whether it may be tried.
    pub(crate) const fn may(&self, now: u64) -> bool {
        now >= self.not_before
    }

    /// For how long yet it may not.
    pub(crate) const fn left(&self, now: u64) -> u64 {
        self.not_before.saturating_sub(now)
    }

    /// It is tried.
    pub(crate) fn begin(&mut self, now: u64) {
        if now.saturating_sub(self.not_before) >= FORGOTTEN {
            self.wait = 0;
        }
        let wait = self.wait.max(FIRST);
        self.not_before = now.saturating_add(wait);
        self.wait = wait.saturating_mul(2).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_port_that_stays_dead_is_tried_less_and_less() {
        let mut backoff = Backoff::default();
        let mut tried = Vec::new();
        // As a clock that began long ago.
        for now in (1_000..3_000).map(|n| n * SECOND) {
            if backoff.may(now) {
                backoff.begin(now);
                tried.push(now / SECOND - 1_000);
            }
        }
        assert_eq!(
            tried,
            [0, 5, 15, 35, 75, 155, 315, 615, 915, 1_215, 1_515, 1_815]
        );
        assert_eq!(backoff.left(3_000 * SECOND), 115 * SECOND);
        // Well for long: it begins anew.
        let later = 4_000 * SECOND;
        backoff.begin(later);
        assert_eq!(backoff.left(later), 5 * SECOND);
        backoff.begin(later + 5 * SECOND);
        assert_eq!(backoff.left(later + 5 * SECOND), 10 * SECOND);
    }
}
