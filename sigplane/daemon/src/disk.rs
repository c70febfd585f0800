//! The thread that brings the journal to the disk, about once a second, and sooner when somebody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use tandem_store::{Journal, SyncJob};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::ask::ToWorker;
use crate::mailbox::Mailbox;
use crate::metrics::{Latencies, Timed};
use crate::shared::Shared;

/// Between two synchronisations: what a power cut costs at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// From one synchronisation to the next, at least, while somebody waits for each: they cost more than all that they bring to the disk, and what
/// comes in this time shares one.
const GATHER: Duration = Duration::from_millis(5);

/// A SIP worker's end. Whichever of them wrote sees to it that what all of them wrote is synchronised.
#[derive(Clone)]
pub(crate) struct Disk {
    jobs: Sender<SyncJob>,
    /// A synchronisation is under way: what is written now is for the next one.
    busy: Arc<AtomicBool>,
    /// Rings with every synchronisation, for those who are no SIP workers.
    synced: Arc<Notify>,
    next: Option<Duration>,
}

impl Disk {
    /// `mailboxes` are told of every synchronisation.
    pub(crate) fn start(mailboxes: Vec<Mailbox>, latencies: Latencies) -> std::io::Result<Self> {
        let (jobs, receiver) = bounded::<SyncJob>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let under_way = Arc::clone(&busy);
        let synced = Arc::new(Notify::new());
        let bell = Arc::clone(&synced);
        std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn(move || {
                let mut failed = false;
                let tell = || {
                    // Who has no room looks at it anyway before long.
                    for mailbox in &mailboxes {
                        let _ = mailbox.send(ToWorker::Synced);
                    }
                    bell.notify_waiters();
                };
                for job in receiver {
                    let begin = Instant::now();
                    let done = job.run();
                    latencies.record(Timed::Journal, begin.elapsed());
                    match done {
                        Err(error) => {
                            failed = true;
                            tracing::error!(
                                "the journal cannot be synchronised: {error}: check the disk; \
                                 calls go on, but might not survive a power cut"
                            );
                        }
                        Ok(()) if std::mem::take(&mut failed) => {
                            tracing::warn!(
                                "the journal is synchronised again: all calls are written anew, \
                                 since what was written meanwhile may be lost"
                            );
                        }
                        Ok(()) => {}
                    }
                    tell();
                    std::thread::sleep(GATHER.saturating_sub(begin.elapsed()));
                    under_way.store(false, Ordering::Release);
                    // Once more, for those that came meanwhile: they found it under way.
                    tell();
                }
            })?;
        let next = None;
        Ok(Self {
            jobs,
            busy,
            synced,
            next,
        })
    }

    /// Comes with the next synchronisation, or when another one can be handed over.
    pub(crate) fn synced(&self) -> Notified<'_> {
        self.synced.notified()
    }

    /// When [`Self::tick`] wants to be called; none while there is nothing to do.
    pub(crate) const fn next(&self) -> Option<Duration> {
        self.next
    }

    /// The journal was written.
    pub(crate) fn written(&mut self, now: Duration) {
        self.next.get_or_insert(now + INTERVAL);
    }

    /// Hands over what was written, if it is time. A disk that is slower than the interval gets
    /// the next job when it is done with the last.
    pub(crate) fn tick(&mut self, now: Duration, journal: &Shared<Journal>) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = (!self.hand_over(journal)).then_some(now + INTERVAL);
    }

    /// Hands over what was written now, because somebody waits for it; false while one is under way: ask again when that is done.
    pub(crate) fn hand_over(&self, journal: &Shared<Journal>) -> bool {
        // The journal's lock keeps two workers from handing over at a time.
        let mut journal = journal.lock();
        if self.busy.load(Ordering::Acquire) {
            return false;
        }
        if let Some(job) = journal.sync_job() {
            self.busy.store(true, Ordering::Release);
            // There is room, and its thread lives as long as this end.
            let _ = self.jobs.try_send(job);
        }
        true
    }
}
