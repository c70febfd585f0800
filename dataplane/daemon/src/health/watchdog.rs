//! Notices workers that make no progress.
//!
//! Time counts against a worker only as far as the control thread saw it pass: after a gap in its own
//! looks, be it that the process was stopped or the machine stood still, a worker is given the time of one look, not
//! that of the gap. So nobody is blamed, and nothing is aborted, for a time that stood still for all.

/// What a gap between two looks counts at most, in nanoseconds. The control thread looks five times a second.
const STEP: u64 = 400_000_000;

/// A gap between two looks that is worth a word.
const GAP: u64 = 1_000_000_000;

/// How long is too long, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To be reported.
    pub(crate) report: u64,
    /// To be given up; none never.
    pub(crate) abort: Option<u64>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The watcher itself did not run for so long.
    Gap { ns: u64 },
    /// A worker has made no progress for so long. Once.
    Stuck { worker: usize, stamp: u64, ns: u64 },
    /// One that was reported moves again.
    Moves { worker: usize, ns: u64 },
    /// A worker has made no progress for so long that it is given up.
    Hopeless { worker: usize, stamp: u64, ns: u64 },
}

/// Watches all workers.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limits: Limits,
    last: Option<u64>,
    workers: Vec<Watched>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    stamp: u64,
    /// For how long it has been that.
    since: u64,
    is_reported: bool,
}

impl Watchdog {
    pub(crate) fn new(limits: Limits, workers: usize) -> Self {
        Self {
            limits,
            last: None,
            workers: vec![Watched::default(); workers],
        }
    }

    /// Whether all workers make progress, as of the last look.
    pub(crate) fn all_move(&self) -> bool {
        self.workers.iter().all(|worker| !worker.is_reported)
    }

    /// Looks at the workers' stamps, in their order, at this time in nanoseconds.
    pub(crate) fn look(&mut self, now: u64, stamps: impl Iterator<Item = u64>) -> Vec<Finding> {
        let gap = self.last.map_or(0, |last| now.saturating_sub(last));
        self.last = Some(now);
        let mut found = Vec::new();
        if gap >= GAP {
            found.push(Finding::Gap { ns: gap });
        }
        for ((index, worker), stamp) in self.workers.iter_mut().enumerate().zip(stamps) {
            found.extend(worker.look(index, stamp, gap.min(STEP), self.limits));
        }
        found
    }
}

impl Watched {
    fn look(&mut self, index: usize, stamp: u64, step: u64, limits: Limits) -> Option<Finding> {
        if stamp != self.stamp {
            let ns = std::mem::take(&mut self.since);
            self.stamp = stamp;
            let was = std::mem::take(&mut self.is_reported);
            return was.then_some(Finding::Moves { worker: index, ns });
        }
        self.since = self.since.saturating_add(step);
        let (worker, ns) = (index, self.since);
        if limits.abort.is_some_and(|abort| ns >= abort) {
            return Some(Finding::Hopeless { worker, stamp, ns });
        }
        let is_new =
            ns >= limits.report && !std::mem::replace(&mut self.is_reported, ns >= limits.report);
        is_new.then_some(Finding::Stuck { worker, stamp, ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const LOOK: u64 = 200_000_000;

    fn watchdog() -> Watchdog {
        let limits = Limits {
            report: SECOND,
            abort: Some(10 * SECOND),
        };
        Watchdog::new(limits, 2)
    }

    #[test]
    fn a_stuck_worker_is_reported_once_and_given_up_at_last() {
        let mut dog = watchdog();
        let mut now = 5 * SECOND;
        let mut reported = Vec::new();
        for n in 0..50_u64 {
            let found = dog.look(now, [7, 100 + n].into_iter());
            reported.extend(found.into_iter().map(|f| (now - 5 * SECOND, f)));
            assert_eq!(dog.all_move(), now - 5 * SECOND < SECOND, "{n}");
            now += LOOK;
        }
        // Its first stamp was news; the time counts from there.
        let stuck = Finding::Stuck {
            worker: 0,
            stamp: 7,
            ns: SECOND,
        };
        assert_eq!(reported, [(SECOND, stuck)]);
        let found = dog.look(now, [7, 1].into_iter());
        let (worker, stamp, ns) = (0, 7, 10 * SECOND);
        assert_eq!(found, [Finding::Hopeless { worker, stamp, ns }]);
    }

    #[test]
    fn one_that_moves_again_is_well() {
        let mut dog = watchdog();
        for n in 0..=10_u64 {
            dog.look(n * LOOK, [7, n].into_iter());
        }
        assert!(!dog.all_move());
        let found = dog.look(11 * LOOK, [8, 11].into_iter());
        assert_eq!(
            found,
            [Finding::Moves {
                worker: 0,
                ns: 10 * LOOK
            }]
        );
        assert!(dog.all_move());
    }

    #[test]
    fn a_time_that_stood_still_for_all_counts_as_one_look() {
        let mut dog = watchdog();
        dog.look(0, [7, 1].into_iter());
        let found = dog.look(20 * SECOND, [7, 1].into_iter());
        assert_eq!(found, [Finding::Gap { ns: 20 * SECOND }]);
        assert!(dog.all_move());
        let found = dog.look(20 * SECOND + LOOK, [8, 2].into_iter());
        assert_eq!(found, []);
    }

    #[test]
    fn without_a_limit_nothing_is_given_up() {
        let limits = Limits {
            report: SECOND,
            abort: None,
        };
        let mut dog = Watchdog::new(limits, 1);
        let found: Vec<_> = (0..1_000)
            .flat_map(|n| dog.look(n * LOOK, [1].into_iter()))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
