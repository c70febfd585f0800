//! A segment: one append-only file of the journal, named by the first sequence number that it may
//! hold.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::record::{self, Bad, Record};

const SUFFIX: &str = ".journal";

/// A segment that is open.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The first sequence number that it may hold; its name.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// Bytes of whole records.
    pub(super) length: u64,
    /// The sequence number of the last record that the database wants something of; 0 for none.
    pub(super) last_wanted: u64,
}

impl Segment {
    /// Makes an empty segment.
    pub(super) fn create(dir: &Path, first: u64) -> Result<Self, JournalError> {
        let path = dir.join(format!("{first:020}{SUFFIX}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let file = file.map_err(|source| JournalError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            first,
            path,
            file: Arc::new(file),
            length: 0,
            last_wanted: 0,
        })
    }

    /// Opens a segment found by [`list`]; its length and last CDR are the caller's to set.
    pub(super) fn open(first: u64, path: PathBuf) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|source| JournalError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            first,
            path,
            file: Arc::new(file),
            length: 0,
            last_wanted: 0,
        })
    }

    /// An error of this segment's file.
    pub(super) fn failed(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// Damage at a place of this segment.
    pub(super) fn corrupt(&self, offset: u64, reason: impl ToString) -> JournalError {
        JournalError::Corrupt {
            path: self.path.clone(),
            offset,
            reason: reason.to_string(),
        }
    }
}

/// The segments of a directory, oldest first. Files of other names are nobody's business here.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let failed = |source| JournalError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let first = name
            .to_str()
            .and_then(|n| n.strip_suffix(SUFFIX))
            .and_then(|n| n.parse().ok());
        if let Some(first) = first {
            found.push((first, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The records of a segment's bytes, in order, until the end or the first bad place.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Where the next record begins.
    pub(super) offset: usize,
    /// The bad place's fault, when one was met.
    pub(super) bad: Option<Bad>,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            bad: None,
        }
    }

    /// What was not read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }
}

impl<'a> Iterator for Records<'a> {
    /// Where the record begins, and the record.
    type Item = (usize, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest();
        if rest.is_empty() || self.bad.is_some() {
            return None;
        }
        match record::decode(rest) {
            Ok(record) => {
                let at = self.offset;
                self.offset += record.length;
                Some((at, record))
            }
            Err(bad) => {
                self.bad = Some(bad);
                None
            }
        }
    }
}

/// Reads up to `most` bytes at `offset`, fewer only at the file's end.
pub(super) fn read_at(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
