//! The service manager's watchdog (`WatchdogSec=`): it hears from us while every SIP worker goes round its loop. One that hangs
//! has the process started again, and the next life takes the calls up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

/// When each worker went round last, in milliseconds of CLOCK_MONOTONIC.
type Rounds = Arc<[AtomicU64]>;

/// A worker's part of it.
pub(crate) struct Beat {
    rounds: Rounds,
    own: usize,
    /// The manager's patience; none if it waits for nothing.
    patience: Option<Duration>,
    /// When the manager was told last.
    told: u64,
}

impl Beat {
    /// Of the first worker, who tells the manager.
    pub(super) fn first(workers: usize) -> Self {
        Self::with(workers, sd_notify::watchdog_enabled(), clock())
    }

    fn with(workers: usize, patience: Option<Duration>, now: u64) -> Self {
        Self {
            rounds: (0..workers).map(|_| AtomicU64::new(now)).collect(),
            own: 0,
            patience,
            told: now,
        }
    }

    /// Of another one.
    pub(super) fn of(&self, own: usize) -> Self {
        Self {
            rounds: Arc::clone(&self.rounds),
            own,
            patience: self.patience,
            told: self.told,
        }
    }

    /// How long a worker may sleep at most: without work, too, it goes round three times in the manager's patience.
    pub(crate) fn longest_sleep(&self) -> Option<Duration> {
        self.patience.map(|patience| patience / 3)
    }

    /// The worker goes round.
    pub(crate) fn round(&mut self) {
        if self.patience.is_some() && self.is_due(clock()) {
            super::tell_manager(&[NotifyState::Watchdog]);
        }
    }

    /// Notes the round; says whether the manager is to hear that all is well.
    fn is_due(&mut self, now: u64) -> bool {
        let Some(patience) = self.patience else {
            return false;
        };
        if let Some(own) = self.rounds.get(self.own) {
            own.store(now, Ordering::Relaxed);
        }
        let milliseconds = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let all_go_round = self
            .rounds
            .iter()
            .all(|round| now.saturating_sub(round.load(Ordering::Relaxed)) < milliseconds);
        if self.own != 0 || !all_go_round || now.saturating_sub(self.told) < milliseconds / 4 {
            return false;
        }
        self.told = now;
        true
    }
}

fn clock() -> u64 {
    // It exists on every Linux.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_of_it_while_all_go_round() {
        let mut first = Beat::with(2, Some(Duration::from_secs(12)), 0);
        let mut second = first.of(1);
        assert_eq!(first.longest_sleep(), Some(Duration::from_secs(4)));
        assert!(!first.is_due(1_000), "not so often");
        assert!(first.is_due(3_000));
        assert!(!second.is_due(8_000), "the first one's to say");
        assert!(first.is_due(8_000));
        assert!(first.is_due(19_000), "11 s are within its patience");
        assert!(!first.is_due(24_000), "the second one hangs");
        second.is_due(24_500);
        assert!(first.is_due(25_000), "and goes on");
    }

    #[test]
    fn nobody_waits_for_it() {
        let mut beat = Beat::with(1, None, 0);
        assert!(!beat.is_due(1_000_000));
        assert_eq!(beat.longest_sleep(), None);
    }
}
