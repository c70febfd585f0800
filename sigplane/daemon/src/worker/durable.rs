//! Answers that promise something: they leave when what they promise is on the disk. One synchronisation serves all that
//! came while the last one was under way (group commit).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tandem_store::Marks;

/// How long an answer waits for a disk that does not answer. A registration that may be lost is better than none.
const PATIENCE: Duration = Duration::from_secs(2);

/// What waits, in its order.
pub(super) struct Durable<T> {
    marks: Arc<Marks>,
    waiting: VecDeque<Waiting<T>>,
}

struct Waiting<T> {
    /// The last record that it promises.
    sequence: u64,
    until: Duration,
    it: T,
}

/// What may leave.
pub(super) enum Ready<T> {
    /// All that it promises is on the disk.
    Kept(T),
    /// It has waited for too long.
    Late(T),
}

impl<T> Durable<T> {
    pub(super) const fn new(marks: Arc<Marks>) -> Self {
        Self {
            marks,
            waiting: VecDeque::new(),
        }
    }

    /// It may leave when everything up to this record is on the disk.
    pub(super) fn hold(&mut self, now: Duration, sequence: u64, it: T) {
        self.waiting.push_back(Waiting {
            sequence,
            until: now + PATIENCE,
            it,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When [`Self::release`] has something to say at the latest.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.waiting.front().map(|first| first.until)
    }

    /// The next one that may leave.
    pub(super) fn release(&mut self, now: Duration) -> Option<Ready<T>> {
        let first = self.waiting.front()?;
        let is_kept = first.sequence <= self.marks.synced();
        if !is_kept && now < first.until {
            return None;
        }
        let Waiting { it, .. } = self.waiting.pop_front()?;
        Some(if is_kept {
            Ready::Kept(it)
        } else {
            Ready::Late(it)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_store::{Entry, Journal, JournalOptions};

    #[test]
    fn what_is_promised_waits_for_the_disk_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path(), JournalOptions::default()).unwrap();
        let mut durable = Durable::new(journal.marks());
        let now = Duration::from_secs(1);
        let write = |journal: &mut Journal| {
            let entry = Entry {
                key: 1,
                body: Some(vec![1]),
                cdr: None,
                follower: None,
            };
            journal.append(&[entry]).unwrap();
            journal.last_sequence()
        };
        let first = write(&mut journal);
        durable.hold(now, first, "first");
        assert!(durable.release(now).is_none());
        journal.sync_job().unwrap().run().unwrap();
        let second = write(&mut journal);
        durable.hold(now, second, "second");
        assert!(matches!(durable.release(now), Some(Ready::Kept("first"))));
        assert!(durable.release(now).is_none());
        let late = durable.next_timeout().unwrap();
        assert!(matches!(durable.release(late), Some(Ready::Late("second"))));
        assert!(durable.is_empty() && durable.next_timeout().is_none());
    }
}
