//! Bringing the journal to the disk, and what happens when the disk refuses.
//!
//! After a failed `fdatasync` Linux takes the pages for clean: the next one succeeds although their
//! data may never have reached the disk. So a failure is not forgotten. From then on the mark of
//! what is on the disk does not move, and nothing is removed. When a later synchronisation of newly
//! written data succeeds, the disk takes data again; then everything that is live is written once
//! more, into a fresh segment ([`super::Journal::append`] does it), and when that is on the disk,
//! the journal is sound and the segments before it may go.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is written reaches the disk, as far as anybody knows.
const SOUND: u8 = 0;
/// A synchronisation failed, and none has succeeded since.
const FAILED: u8 = 1;
/// A synchronisation failed, a later one succeeded.
const BACK: u8 = 2;

/// How far others have come with the journal; they move the marks, the journal reads them.
#[derive(Debug, Default)]
pub struct Marks {
    applied: AtomicU64,
    synced: AtomicU64,
    failures: AtomicU64,
    /// [`SOUND`], [`FAILED`] or [`BACK`].
    disk: AtomicU8,
}

impl Marks {
    /// The database has every CDR up to this sequence number.
    pub fn set_applied(&self, sequence: u64) {
        self.applied.fetch_max(sequence, Ordering::Release);
    }

    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Every record up to this sequence number is on the disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.disk.load(Ordering::Acquire) == SOUND
    }

    /// Whether the disk takes data again after a failure.
    pub(super) fn is_back(&self) -> bool {
        self.disk.load(Ordering::Acquire) == BACK
    }

    /// Everything live is written anew. A failure in the meantime stands.
    pub(super) fn renewed(&self) {
        let _ = self
            .disk
            .compare_exchange(BACK, SOUND, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Files to bring to the disk. Made on the SIP thread, run on another.
#[derive(Debug)]
pub struct SyncJob {
    pub(super) files: Vec<Arc<File>>,
    pub(super) dir: Option<PathBuf>,
    /// The last record that is in the files; none when ones before it may be lost.
    pub(super) upto: Option<u64>,
    pub(super) marks: Arc<Marks>,
}

impl SyncJob {
    /// Synchronises; blocks as long as the disk takes.
    ///
    /// # Errors
    /// When the disk fails. Nothing is removed from the journal then, until all that is live was
    /// written anew.
    pub fn run(&self) -> io::Result<()> {
        let done = self.sync();
        match (&done, self.upto) {
            (Err(_), _) => {
                self.marks.failures.fetch_add(1, Ordering::AcqRel);
                self.marks.disk.store(FAILED, Ordering::Release);
            }
            // Made before a failure that has happened since: proves nothing.
            (Ok(()), Some(upto)) if self.marks.is_sound() => {
                self.marks.synced.fetch_max(upto, Ordering::Release);
            }
            (Ok(()), Some(_)) => {}
            (Ok(()), None) => {
                let _ = self.marks.disk.compare_exchange(
                    FAILED,
                    BACK,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
            }
        }
        done
    }

    fn sync(&self) -> io::Result<()> {
        for file in &self.files {
            file.sync_data()?;
        }
        if let Some(dir) = &self.dir {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }
}
