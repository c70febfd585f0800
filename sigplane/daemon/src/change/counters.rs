//! What became of configuration changes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::counting::counters;

counters! {
    /// Configurations applied, to be confirmed or for good.
    Applied = "config_applied",
    /// Applied configurations that were confirmed.
    Confirmed = "config_confirmed",
    /// Applied configurations that were taken back by somebody.
    Reverted = "config_reverted",
    /// Applied configurations that nobody confirmed in time: they went back by themselves.
    Expired = "config_expired",
    /// Configurations that were refused: mistakes, a restart needed, somebody else's change in between. Nothing was changed.
    Refused = "config_refused",
    /// Times that the file was read again on SIGHUP and taken.
    Reloaded = "config_reloaded",
    /// Times that the file could not be taken on SIGHUP.
    ReloadsRefused = "config_reloads_refused",
    /// Attempts to go back that failed; they are made again every second.
    GoingBackFailed = "config_going_back_failed",
}

/// Their values, and whether a configuration is to be confirmed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    counters: Counters,
    pending: AtomicU64,
}

impl Changes {
    pub(crate) fn add(&self, count: Count) {
        self.counters.add(count);
    }

    pub(crate) fn set_pending(&self, is_pending: bool) {
        self.pending.store(is_pending.into(), Ordering::Relaxed);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let pending = ("config_pending", self.pending.load(Ordering::Relaxed));
        self.counters.iter().chain([pending])
    }
}
