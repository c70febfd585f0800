//! What workers and the control thread tell each other of the ports that are sent on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// By port: whether it has a link. The control thread writes, the workers read.
#[derive(Clone, Debug)]
pub(crate) struct Outlets(Arc<[AtomicBool]>);

impl Outlets {
    pub(crate) fn new(ports: usize) -> Self {
        Self((0..ports).map(|_| AtomicBool::new(true)).collect())
    }

    #[inline]
    pub(crate) fn is_up(&self, port: u16) -> bool {
        let up = self.0.get(usize::from(port));
        up.is_some_and(|up| up.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, port: usize, is_up: bool) {
        if let Some(up) = self.0.get(port) {
            up.store(is_up, Ordering::Relaxed);
        }
    }
}

/// By port: since when (nanoseconds) its queue has taken none of a worker's packets; 0 while it does. The worker
/// writes, the control thread reads.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(Arc<[AtomicU64]>);

impl Refusals {
    pub(crate) fn new(ports: usize) -> Self {
        Self((0..ports).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn set(&self, port: u16, since: Option<u64>) {
        if let Some(place) = self.0.get(usize::from(port)) {
            place.store(since.map_or(0, |since| since.max(1)), Ordering::Relaxed);
        }
    }

    /// Since when; none while packets are taken.
    pub(crate) fn since(&self, port: usize) -> Option<u64> {
        let since = self.0.get(port)?.load(Ordering::Relaxed);
        (since != 0).then_some(since)
    }
}
