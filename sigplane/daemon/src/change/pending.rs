//! A configuration that runs until somebody confirms it, and what a start makes of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// As it is kept in the state directory: with both texts, so that one file says all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) digest: String,
    pub(crate) text: String,
    /// What it goes back to, and what the file has until it is confirmed.
    pub(crate) base_digest: String,
    pub(crate) base_text: String,
    pub(crate) who: String,
    pub(crate) comment: String,
    /// How it came: `apply`, or `rollback 7`.
    pub(crate) how: String,
    /// Unix milliseconds.
    pub(crate) applied_ms: u64,
    pub(crate) deadline_ms: u64,
    /// The deadline on the clock that nobody sets, which counts as long as the machine is not booted again.
    pub(crate) boot_id: String,
    pub(crate) deadline_boot_ms: u64,
    /// It was confirmed, and its way into the file has begun.
    pub(crate) confirming: bool,
}

/// Both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Unix milliseconds.
    pub(crate) wall_ms: u64,
    /// This boot.
    pub(crate) boot_id: String,
    /// Milliseconds since then.
    pub(crate) boot_ms: u64,
}

/// What a start runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// What the file has. What was pending is over or was never begun with.
    File,
    /// What is pending, until it is confirmed or goes back.
    Pending,
    /// What was before: its time is over. The file may have to be put back.
    Base,
    /// What was pending; it is confirmed, and the file is to have it.
    Confirmed,
}

impl Pending {
    /// How much time is left; none when it is over.
    pub(crate) fn left(&self, clock: &Clock) -> Option<Duration> {
        let left = if self.boot_id == clock.boot_id {
            self.deadline_boot_ms.saturating_sub(clock.boot_ms)
        } else {
            self.deadline_ms.saturating_sub(clock.wall_ms)
        };
        // A clock that was set back gives nobody more time than he asked for.
        let asked = self.deadline_ms.saturating_sub(self.applied_ms);
        (left > 0).then(|| Duration::from_millis(left.min(asked)))
    }

    /// What a start runs, with this digest of the file's text. The process may have ended between any two steps of
    /// a change.
    pub(crate) fn start(&self, file: &str, clock: &Clock) -> Start {
        let is_base = file == self.base_digest;
        // Somebody wrote into the file what he then applied.
        let is_new = file == self.digest;
        match (self.confirming, is_base, is_new) {
            // Another file altogether: somebody's newer word.
            (_, false, false) => Start::File,
            (true, _, true) => Start::File,
            (true, true, false) => Start::Confirmed,
            (false, ..) if self.left(clock).is_some() => Start::Pending,
            (false, ..) => Start::Base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending {
            digest: "new".into(),
            text: String::new(),
            base_digest: "old".into(),
            base_text: String::new(),
            who: String::new(),
            comment: String::new(),
            how: "apply".into(),
            applied_ms: 1_000_000,
            deadline_ms: 1_120_000,
            boot_id: "boot".into(),
            deadline_boot_ms: 620_000,
            confirming: false,
        }
    }

    fn clock(boot_id: &str, boot_ms: u64, wall_ms: u64) -> Clock {
        Clock {
            wall_ms,
            boot_id: boot_id.into(),
            boot_ms,
        }
    }

    #[test]
    fn the_clock_that_nobody_sets_counts_until_the_next_boot() {
        let left = |clock| pending().left(&clock).map(|left| left.as_millis());
        assert_eq!(left(clock("boot", 500_000, 0)), Some(120_000));
        assert_eq!(left(clock("boot", 619_000, 9_000_000)), Some(1_000));
        assert_eq!(left(clock("boot", 620_000, 0)), None);
        assert_eq!(left(clock("next", 10, 1_110_000)), Some(10_000));
        assert_eq!(left(clock("next", 10, 1_120_000)), None);
        assert_eq!(left(clock("next", 10, 5)), Some(120_000), "set back");
    }

    #[test]
    fn a_start_in_the_middle_of_any_step_ends_in_the_right_place() {
        let (in_time, late) = (clock("boot", 600_000, 0), clock("boot", 620_001, 0));
        let mut pending = pending();
        for (file, clock, start) in [
            ("old", &in_time, Start::Pending),
            ("new", &in_time, Start::Pending),
            ("old", &late, Start::Base),
            ("new", &late, Start::Base),
            ("another", &in_time, Start::File),
            ("another", &late, Start::File),
        ] {
            assert_eq!(pending.start(file, clock), start, "{file}");
        }
        pending.confirming = true;
        for clock in [&in_time, &late] {
            assert_eq!(pending.start("old", clock), Start::Confirmed);
            assert_eq!(pending.start("new", clock), Start::File);
            assert_eq!(pending.start("another", clock), Start::File);
        }
    }
}
