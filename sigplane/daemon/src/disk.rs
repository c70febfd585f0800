//! The thread that brings the journal to the disk, about once a second.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use tandem_store::{Journal, SyncJob};

use crate::shared::Shared;

/// Between two synchronisations: what a power cut costs at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// A SIP worker's end. Whichever of them wrote sees to it that what all of them wrote is synchronised.
#[derive(Clone)]
pub(crate) struct Disk {
    jobs: Sender<SyncJob>,
    next: Option<Duration>,
}

impl Disk {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, receiver) = bounded::<SyncJob>(1);
        std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn(move || {
                let mut failed = false;
                for job in receiver {
                    match job.run() {
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
                }
            })?;
        Ok(Self { jobs, next: None })
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
    /// the next job when it is done with the last. The journal's lock keeps two workers from handing over at a
    /// time.
    pub(crate) fn tick(&mut self, now: Duration, journal: &Shared<Journal>) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = None;
        let mut journal = journal.lock();
        if self.jobs.is_full() {
            self.next = Some(now + INTERVAL);
        } else if let Some(job) = journal.sync_job() {
            // Not full, and its thread lives as long as this end.
            let _ = self.jobs.try_send(job);
        }
    }
}
