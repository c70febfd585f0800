//! The journal: append-only segments of checksummed records, in `state_dir/journal`.
//!
//! **What a crash can do.** A batch is one `write`: once [`Journal::append`] returned, a SIGKILL
//! loses nothing of it. A crash in the middle of that write leaves a torn tail, which the next
//! [`Journal::open`] cuts off: nothing that followed from it had left the machine. Damage anywhere
//! else is an error that names file and byte.
//!
//! **Power loss.** The SIP thread never waits for the disk: [`Journal::sync_job`] hands the files
//! written since the last one to another thread, about once a second, so a power cut costs at most
//! that second. Nothing is removed before what replaced it was synchronised; what follows from a
//! disk that refuses is told in `sync`.
//!
//! **Size.** A segment that is full is followed by a fresh one. When more than half of the journal
//! is dead, each append also copies a bounded part of the oldest segment's live records to the end;
//! the oldest segment is removed when all were copied and the database has what it wants of it. So there is
//! no moment at which everything is written anew.

mod record;
mod segment;
mod sync;
mod tail;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tandem_policy::{Cdr, Follower, FsCdr};
use thiserror::Error;

use record::Wanted;
use segment::{Records, Segment, read_at};
pub use sync::{Marks, SyncJob};
pub use tail::JournalTail;

/// Why the journal could not be read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("{}: {source}: check the file system's free space and rights", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record in the middle is damaged.
    #[error(
        "{}: damaged at byte {offset}: {reason}; to start without the calls and CDRs behind it, \
         move the file out of the directory", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Writing has failed for so long that no more is kept in memory: the batch is lost.
    #[error("the journal could not be written for too long: {lost} records are lost")]
    Overflow {
        /// How many.
        lost: usize,
    },
}

/// How large things may become. The default is for production; tests make it small.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// A segment that is longer, in bytes, is followed by a fresh one.
    pub segment_bytes: u64,
    /// How many bytes of the oldest segment an append looks through at least when cleaning.
    pub clean_bytes: usize,
    /// How much is kept in memory while writing fails, in bytes.
    pub backlog_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            clean_bytes: 64 * 1024,
            backlog_bytes: 64 * 1024 * 1024,
        }
    }
}

/// One record to append.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The call.
    pub key: u64,
    /// Its state; none ends the call.
    pub body: Option<Vec<u8>>,
    /// Its CDR.
    pub cdr: Option<Box<Cdr>>,
    /// The table of the database that is to follow it.
    pub follower: Option<Follower>,
}

/// What the database is to have of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A CDR.
    Cdr(Box<Cdr>),
    /// A CDR of FreeSWITCH.
    FsCdr(Box<FsCdr>),
    /// What a table follows.
    Row {
        /// The table.
        follower: Follower,
        /// The record's key.
        key: u64,
        /// Its state; none for what is gone.
        body: Option<Vec<u8>>,
    },
}

/// A call that the journal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    /// The call.
    pub key: u64,
    /// Its latest state.
    pub body: Vec<u8>,
}

/// A torn tail that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where its last whole record ends.
    pub offset: u64,
    /// How many bytes were behind.
    pub bytes: u64,
}

/// What [`Journal::open`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The calls, in the order of their latest records.
    pub live: Vec<LiveCall>,
    /// Records read.
    pub records: u64,
    /// The highest key of all records, those of ended calls included; 0 without any.
    pub highest_key: u64,
    /// The torn tail, if there was one.
    pub cut: Option<Cut>,
}

/// Where a call's latest state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u64,
    offset: u64,
    length: u64,
}

/// A record that is encoded but not yet in a file.
#[derive(Debug)]
struct Unwritten {
    key: u64,
    sequence: u64,
    length: usize,
    live: bool,
    cdr: bool,
    wanted: bool,
}

/// The journal's writer. One in the process; see [`crate::StateLock`].
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    options: JournalOptions,
    marks: Arc<Marks>,
    /// Oldest first, never empty; the last one is written.
    segments: VecDeque<Segment>,
    index: HashMap<u64, Place>,
    live_bytes: u64,
    last_sequence: u64,
    /// CDRs that the database may not have yet.
    cdrs: VecDeque<u64>,
    buffer: Vec<u8>,
    unwritten: Vec<Unwritten>,
    cleaning: Cleaning,
    renewal: Renewal,
    /// Files written, and whether the directory was, since the last [`SyncJob`].
    dirty: Vec<Arc<File>>,
    dirty_dir: bool,
}

/// How far the oldest segment was looked through.
#[derive(Debug, Default)]
struct Cleaning {
    offset: u64,
    /// The last sequence number that a record of it was copied to.
    copied: u64,
}

/// The last time that everything live was written anew, after the disk had failed.
#[derive(Debug, Default)]
struct Renewal {
    /// The fresh segment: nothing in those before it is live.
    first: u64,
    /// The last of the copies.
    upto: u64,
}

impl Journal {
    /// Opens the journal in `dir`, making the directory if need be, and reads it.
    ///
    /// # Errors
    /// Names the file, and the byte where it is damaged.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<(Self, Replay), JournalError> {
        std::fs::create_dir_all(dir).map_err(|source| JournalError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let mut journal = Self {
            dir: dir.to_owned(),
            options,
            marks: Arc::default(),
            segments: VecDeque::new(),
            index: HashMap::new(),
            live_bytes: 0,
            last_sequence: 0,
            cdrs: VecDeque::new(),
            buffer: Vec::new(),
            unwritten: Vec::new(),
            cleaning: Cleaning::default(),
            renewal: Renewal::default(),
            dirty: Vec::new(),
            dirty_dir: false,
        };
        let mut replay = Replay {
            live: Vec::new(),
            records: 0,
            highest_key: 0,
            cut: None,
        };
        let mut bodies: HashMap<u64, (u64, Vec<u8>)> = HashMap::new();
        let found = segment::list(dir)?;
        let last = found.last().map(|(first, _)| *first);
        for (first, path) in found {
            let segment = Segment::open(first, path)?;
            journal.read(segment, last == Some(first), &mut replay, &mut bodies)?;
        }
        let mut live: Vec<_> = bodies
            .into_iter()
            .map(|(key, (sequence, body))| (sequence, key, body))
            .collect();
        live.sort_unstable_by_key(|(sequence, _, _)| *sequence);
        replay.live = live
            .into_iter()
            .map(|(_, key, body)| LiveCall { key, body })
            .collect();
        match journal.segments.back() {
            None => {
                journal.last_sequence = first_sequence();
                journal.rotate()?;
            }
            // One without a record says by its name where the numbers go on: segments are sorted by it.
            Some(last) => {
                let before = last.first.saturating_sub(1);
                journal.last_sequence = journal.last_sequence.max(before);
            }
        }
        Ok((journal, replay))
    }

    /// The marks, for the threads that move them.
    #[must_use]
    pub fn marks(&self) -> Arc<Marks> {
        Arc::clone(&self.marks)
    }

    /// The last sequence number given out.
    #[must_use]
    pub const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// How many CDRs the database does not have yet.
    pub fn pending_cdrs(&mut self) -> usize {
        let applied = self.marks.applied();
        while self
            .cdrs
            .front()
            .is_some_and(|sequence| *sequence <= applied)
        {
            self.cdrs.pop_front();
        }
        self.cdrs.len()
    }

    /// Bytes of all segments, and of these the bytes of live calls.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        (
            self.segments.iter().map(|s| s.length).sum(),
            self.live_bytes,
        )
    }

    /// How many synchronisations failed.
    #[must_use]
    pub fn sync_failures(&self) -> u64 {
        self.marks.failures()
    }

    /// Whether what was written has reached the disk or is on its way, as far as anybody knows. Not
    /// so from a failed synchronisation until all that is live was written anew.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.marks.is_sound() && self.renewal.upto <= self.marks.synced()
    }

    /// Appends a batch with one `write`.
    ///
    /// # Errors
    /// When the file system refuses, the batch stays in memory and goes out before the next one
    /// (an empty batch tries again): only [`JournalError::Overflow`] means that it is lost. The
    /// caller goes on either way; calls matter more than their record.
    pub fn append(&mut self, batch: &[Entry]) -> Result<(), JournalError> {
        if self.buffer.len() > self.options.backlog_bytes && self.write().is_err() {
            return Err(JournalError::Overflow { lost: batch.len() });
        }
        let old = self.keep(batch.is_empty());
        for entry in batch {
            self.encode(entry.key, entry.body.as_deref(), Wanted::of(entry));
        }
        self.write()?;
        // Said only now: trouble with old records is no reason to hold up new ones.
        old?;
        self.remove_oldest()
    }

    /// Appends CDRs of FreeSWITCH, for the database alone, as [`Self::append`] does.
    ///
    /// # Errors
    /// As of [`Self::append`].
    pub fn append_fs_cdrs(&mut self, cdrs: &[FsCdr]) -> Result<(), JournalError> {
        if self.buffer.len() > self.options.backlog_bytes && self.write().is_err() {
            return Err(JournalError::Overflow { lost: cdrs.len() });
        }
        let old = self.keep(cdrs.is_empty());
        for cdr in cdrs {
            let wanted = Wanted {
                fs_cdr: Some(cdr),
                ..Wanted::default()
            };
            // No call's key: calls are numbered from 1.
            self.encode(0, None, wanted);
        }
        self.write()?;
        old?;
        self.remove_oldest()
    }

    /// Before a batch: what keeps the journal small and sound.
    fn keep(&mut self, is_empty: bool) -> Result<(), JournalError> {
        // A batch that could not be written may hold newer states than the files have: copying
        // from the files would put the older ones behind them.
        if !self.buffer.is_empty() || is_empty {
            Ok(())
        } else if self.marks.is_back() {
            self.renew()
        } else {
            self.clean()
        }
    }

    /// The files that were written since the last call; none when there were none.
    pub fn sync_job(&mut self) -> Option<SyncJob> {
        if self.dirty.is_empty() || !self.buffer.is_empty() {
            return None;
        }
        Some(SyncJob {
            files: std::mem::take(&mut self.dirty),
            dir: std::mem::take(&mut self.dirty_dir).then(|| self.dir.clone()),
            upto: self.marks.is_sound().then_some(self.last_sequence),
            marks: Arc::clone(&self.marks),
        })
    }

    /// Takes a segment up at the start.
    fn read(
        &mut self,
        mut segment: Segment,
        is_last: bool,
        replay: &mut Replay,
        bodies: &mut HashMap<u64, (u64, Vec<u8>)>,
    ) -> Result<(), JournalError> {
        let size = segment
            .file
            .metadata()
            .map_err(|e| segment.failed(e))?
            .len();
        let bytes = read_at(
            &segment.file,
            0,
            usize::try_from(size).unwrap_or(usize::MAX),
        )
        .map_err(|e| segment.failed(e))?;
        let mut records = Records::new(&bytes);
        for (at, record) in records.by_ref() {
            if record.sequence <= self.last_sequence {
                return Err(segment.corrupt(at as u64, "its sequence number does not ascend"));
            }
            self.last_sequence = record.sequence;
            replay.records += 1;
            replay.highest_key = replay.highest_key.max(record.key);
            let place = Place {
                segment: segment.first,
                offset: at as u64,
                length: record.length as u64,
            };
            self.note(record.key, record.body.map(|_| place));
            match record.body {
                Some(body) => bodies.insert(record.key, (record.sequence, body.to_vec())),
                None => bodies.remove(&record.key),
            };
            if record.is_for_the_database() {
                segment.last_wanted = record.sequence;
            }
            if record.has_cdr() {
                self.cdrs.push_back(record.sequence);
            }
        }
        segment.length = records.offset as u64;
        if let Some(bad) = records.bad {
            let torn = is_last
                && bad.may_be_torn()
                && !record::any_record_in(records.rest(), self.last_sequence);
            if !torn {
                return Err(segment.corrupt(segment.length, bad));
            }
            segment
                .file
                .set_len(segment.length)
                .map_err(|e| segment.failed(e))?;
            replay.cut = Some(Cut {
                path: segment.path.clone(),
                offset: segment.length,
                bytes: size - segment.length,
            });
        }
        self.segments.push_back(segment);
        Ok(())
    }

    fn encode(&mut self, key: u64, body: Option<&[u8]>, wanted: Wanted<'_>) {
        // The database may know a higher number, when the journal was taken away and the clock
        // set back since.
        let sequence = self.last_sequence.max(self.marks.applied()) + 1;
        self.last_sequence = sequence;
        let length = record::encode(&mut self.buffer, sequence, key, body, wanted);
        self.unwritten.push(Unwritten {
            key,
            sequence,
            length,
            live: body.is_some(),
            cdr: wanted.cdr.is_some(),
            wanted: wanted.cdr.is_some() || wanted.fs_cdr.is_some() || wanted.follower.is_some(),
        });
    }

    /// Writes what is encoded, and only then believes it.
    fn write(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self
            .segments
            .back()
            .is_none_or(|s| s.length > self.options.segment_bytes)
        {
            self.rotate()?;
        }
        let Some(segment) = self.segments.back_mut() else {
            return Ok(());
        };
        // At a fixed offset: what a failed attempt left behind is overwritten by the next.
        let written = segment.file.write_all_at(&self.buffer, segment.length);
        written.map_err(|source| JournalError::Io {
            path: segment.path.clone(),
            source,
        })?;
        if !self
            .dirty
            .iter()
            .any(|file| Arc::ptr_eq(file, &segment.file))
        {
            self.dirty.push(Arc::clone(&segment.file));
        }
        let first = segment.first;
        let mut notes = Vec::with_capacity(self.unwritten.len());
        for entry in self.unwritten.drain(..) {
            let length = entry.length as u64;
            let place = Place {
                segment: first,
                offset: segment.length,
                length,
            };
            segment.length += length;
            if entry.wanted {
                segment.last_wanted = entry.sequence;
            }
            if entry.cdr {
                self.cdrs.push_back(entry.sequence);
            }
            notes.push((entry.key, entry.live.then_some(place)));
        }
        self.buffer.clear();
        for (key, place) in notes {
            self.note(key, place);
        }
        Ok(())
    }

    /// Notes a call's latest place; none when it ended.
    fn note(&mut self, key: u64, place: Option<Place>) {
        let before = match place {
            Some(place) => {
                self.live_bytes += place.length;
                self.index.insert(key, place)
            }
            None => self.index.remove(&key),
        };
        self.live_bytes -= before.map_or(0, |place| place.length);
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        // Records that wait for this segment already have their numbers.
        let first = self
            .unwritten
            .first()
            .map_or(self.last_sequence + 1, |entry| entry.sequence);
        self.segments.push_back(Segment::create(&self.dir, first)?);
        self.dirty_dir = true;
        Ok(())
    }

    /// Encodes copies of some of the oldest segment's live records, if that is worth while.
    fn clean(&mut self) -> Result<(), JournalError> {
        let (total, live) = self.size();
        let worth = total > 2 * live + 2 * self.options.segment_bytes;
        let Some(oldest) = self
            .segments
            .front()
            .filter(|_| worth && self.segments.len() > 1)
        else {
            return Ok(());
        };
        if self.cleaning.offset >= oldest.length {
            return Ok(());
        }
        let left = usize::try_from(oldest.length - self.cleaning.offset).unwrap_or(usize::MAX);
        let (file, first, start) = (Arc::clone(&oldest.file), oldest.first, self.cleaning.offset);
        let failed = |source| JournalError::Io {
            path: oldest.path.clone(),
            source,
        };
        let mut bytes =
            read_at(&file, start, left.min(self.options.clean_bytes)).map_err(failed)?;
        if matches!(record::decode(&bytes), Err(record::Bad::Short)) {
            // One record larger than a step.
            bytes = read_at(&file, start, left).map_err(failed)?;
        }
        let mut copied = Vec::new();
        let mut records = Records::new(&bytes);
        for (at, record) in records.by_ref() {
            let place = Place {
                segment: first,
                offset: start + at as u64,
                length: record.length as u64,
            };
            if let Some(body) = record
                .body
                .filter(|_| self.index.get(&record.key) == Some(&place))
            {
                copied.push((record.key, body));
            }
        }
        if records.offset == 0 {
            let reason = records.bad.map_or_else(String::new, |bad| bad.to_string());
            return Err(oldest.corrupt(start, reason));
        }
        self.cleaning.offset += records.offset as u64;
        for (key, body) in copied {
            self.encode(key, Some(body), Wanted::default());
            self.cleaning.copied = self.last_sequence;
        }
        Ok(())
    }

    /// Encodes every live record anew, into a fresh segment: the disk failed, and takes data again.
    /// Not in portions, since until it is done a power cut may cost calls.
    fn renew(&mut self) -> Result<(), JournalError> {
        let mut places: Vec<_> = self
            .index
            .iter()
            .map(|(key, place)| (*place, *key))
            .collect();
        places.sort_unstable_by_key(|(place, _)| (place.segment, place.offset));
        let mut live = Vec::with_capacity(places.len());
        for (place, key) in places {
            let Some(segment) = self.segments.iter().find(|s| s.first == place.segment) else {
                continue;
            };
            let most = usize::try_from(place.length).unwrap_or(usize::MAX);
            let bytes =
                read_at(&segment.file, place.offset, most).map_err(|e| segment.failed(e))?;
            let record =
                record::decode(&bytes).map_err(|bad| segment.corrupt(place.offset, bad))?;
            live.push((key, record.body.unwrap_or_default().to_vec()));
        }
        if self.segments.back().is_none_or(|s| s.length > 0) {
            self.rotate()?;
        }
        for (key, body) in live {
            self.encode(key, Some(&body), Wanted::default());
        }
        self.renewal = Renewal {
            first: self.segments.back().map_or(0, |s| s.first),
            upto: self.last_sequence,
        };
        // As the last of it: jobs made from now on have the copies in their files.
        self.marks.renewed();
        Ok(())
    }

    /// Removes the oldest segment when nothing in it is needed any more.
    fn remove_oldest(&mut self) -> Result<(), JournalError> {
        let Some(oldest) = self.segments.front().filter(|_| self.segments.len() > 1) else {
            return Ok(());
        };
        let dead = oldest.first < self.renewal.first;
        let done = (dead || self.cleaning.offset >= oldest.length)
            && self.cleaning.copied.max(self.renewal.upto) <= self.marks.synced()
            && oldest.last_wanted <= self.marks.applied();
        if done {
            std::fs::remove_file(&oldest.path).map_err(|source| oldest.failed(source))?;
            self.segments.pop_front();
            self.cleaning = Cleaning::default();
            self.dirty_dir = true;
        }
        Ok(())
    }
}

/// Where a new journal begins: above whatever an earlier one that was taken away can have given
/// out, as long as it wrote fewer than a million records a second. The database knows that one's
/// last number, and would take lower ones for CDRs that it has.
fn first_sequence() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() * 1_000_000
}

#[cfg(test)]
pub(crate) mod tests;
