//! How long the database and the disk take: recorded by their threads, read by whoever scrapes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_call::histogram::{ANSWERS, Histogram, MACHINERY};

macro_rules! histograms {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal in $bounds:ident,)+) => {
        /// What is timed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Timed {
            $($(#[doc = $doc])+ $variant,)+
        }

        fn histograms() -> Vec<(&'static str, Histogram)> {
            vec![$(($name, Histogram::new($bounds)),)+]
        }
    };
}

histograms! {
    /// Time of a transaction in the database that writes CDRs, registrations and calls.
    Database = "database_transaction_seconds" in ANSWERS,
    /// Time that the disk took to have what was written to the journal (fdatasync).
    Journal = "journal_sync_seconds" in MACHINERY,
}

/// The histograms of all threads but the SIP workers'.
#[derive(Clone)]
pub(crate) struct Latencies(Arc<Mutex<Vec<(&'static str, Histogram)>>>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(histograms())))
    }
}

impl Latencies {
    pub(crate) fn record(&self, what: Timed, took: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, histogram)) = all.get_mut(what as usize) {
            histogram.record(took);
        }
    }

    pub(super) fn all(&self) -> Vec<(&'static str, Histogram)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
