//! Writing the journal, and what happens while it cannot be written.

use std::time::Duration;

use tandem_store::{Entry, JournalError};

use super::Worker;
use super::counters::Count;

/// Between two attempts to write the journal while writing fails.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

impl Worker {
    pub(super) fn write_journal(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let cdrs = entries.iter().filter_map(|entry| entry.cdr.as_deref());
        let cdrs = cdrs.inspect(|cdr| self.qualities.ended(cdr)).count();
        self.append(&entries);
        if cdrs > 0 {
            self.counters.add_many(Count::CdrsJournaled, cdrs as u64);
        }
        if cdrs > 0 || entries.iter().any(|entry| entry.follower.is_some()) {
            self.database.journaled();
        }
        self.entries = entries;
        self.entries.clear();
    }

    fn append(&mut self, entries: &[Entry]) {
        let now = self.clock.mono();
        let written = self.journal.lock().append(entries);
        match written {
            Ok(()) => {
                if self.journal_retry.take().is_some() {
                    tracing::info!("the journal is written again");
                }
                self.disk.written(now);
            }
            Err(error) => {
                self.counters.add(Count::JournalErrors);
                if let JournalError::Overflow { lost } = &error {
                    self.counters.add_many(Count::JournalLost, *lost as u64);
                }
                if self.journal_retry.replace(now + JOURNAL_RETRY).is_none() {
                    tracing::error!("{error}; calls go on, but would not survive a restart");
                }
            }
        }
    }

    pub(super) fn keep_journal(&mut self) {
        let now = self.clock.mono();
        if self.journal_retry.is_some_and(|at| at <= now) {
            self.append(&[]);
            self.database.journaled();
        }
        self.disk.tick(now, &self.journal);
    }
}
