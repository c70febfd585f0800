//! What became of configuration changes.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        /// Their names, in their order.
        const NAMES: &[&str] = &[$($name,)+];
    };
}

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

/// Their values, written by one thread and read by others.
#[derive(Debug)]
pub(crate) struct Counters {
    values: Vec<AtomicU64>,
    /// Whether a configuration is to be confirmed.
    pending: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            values: NAMES.iter().map(|_| AtomicU64::new(0)).collect(),
            pending: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, count: Count) {
        if let Some(value) = self.values.get(count as usize) {
            value.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_pending(&self, is_pending: bool) {
        self.pending.store(is_pending.into(), Ordering::Relaxed);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let pending = ("config_pending", self.pending.load(Ordering::Relaxed));
        let values = self.values.iter().map(|v| v.load(Ordering::Relaxed));
        NAMES.iter().copied().zip(values).chain([pending])
    }
}
