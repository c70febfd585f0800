//! Reading what the database is to have, behind the journal's writer.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::record::Bad;
use super::segment::{self, Records, read_at};
use super::{Change, JournalError};

/// How much is read at a time, in bytes. A record that is larger is read whole.
const STEP: usize = 1024 * 1024;

/// Reads CDRs and addresses of record in order, following the writer through its segments. Lives on the database's thread;
/// the files are all that it shares with the writer, so what the database does not take for
/// hours costs no memory.
#[derive(Debug)]
pub struct JournalTail {
    dir: PathBuf,
    after: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    first: u64,
    path: PathBuf,
    file: File,
    offset: u64,
}

impl JournalTail {
    /// A reader of what has sequence numbers above `after`.
    #[must_use]
    pub fn new(dir: &Path, after: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            after,
            open: None,
        }
    }

    /// The next changes with their sequence numbers, about `most` of them; none when the writer has
    /// no more yet. What was returned is not returned again: on a failure to use it, make a new
    /// reader.
    ///
    /// # Errors
    /// Names the file, and the byte where it is damaged.
    pub fn next(&mut self, most: usize) -> Result<Vec<(u64, Change)>, JournalError> {
        let mut found = Vec::new();
        while found.len() < most {
            // Looked for first: the writer is done with a segment before the next one exists.
            let newer = self.newer()?;
            let progress = match &mut self.open {
                Some(open) => open.read(self.after, most, &mut found)?,
                None => false,
            };
            if progress {
                continue;
            }
            let Some((first, path)) = newer else { break };
            if let Some(open) = &self.open {
                open.must_be_at_end()?;
            }
            match File::open(&path) {
                Ok(file) => {
                    self.open = Some(Open {
                        first,
                        path,
                        file,
                        offset: 0,
                    })
                }
                // Removed since it was listed: the database has all of it.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(JournalError::Io { path, source }),
            }
        }
        Ok(found)
    }

    /// The segment behind the open one; at the start, the one that may hold the first one wanted.
    fn newer(&self) -> Result<Option<(u64, PathBuf)>, JournalError> {
        let mut segments = segment::list(&self.dir)?;
        Ok(match &self.open {
            Some(open) => segments.into_iter().find(|(first, _)| *first > open.first),
            None => {
                let skip = segments.iter().rposition(|(first, _)| *first <= self.after);
                segments.drain(..skip.unwrap_or(0));
                segments.into_iter().next()
            }
        })
    }
}

impl Open {
    /// Reads one step; whether there was at least one whole record.
    fn read(
        &mut self,
        after: u64,
        most: usize,
        found: &mut Vec<(u64, Change)>,
    ) -> Result<bool, JournalError> {
        let mut bytes = self.bytes(STEP)?;
        let mut records = Records::new(&bytes);
        let mut first = records.next();
        if first.is_none() && records.bad == Some(Bad::Short) && bytes.len() == STEP {
            bytes = self.bytes(usize::MAX)?;
            records = Records::new(&bytes);
            first = records.next();
        }
        let progress = first.is_some();
        let mut next = first;
        let mut end = 0;
        while let Some((at, record)) = next {
            end = at + record.length;
            if record.sequence > after {
                let changes = record.changes().map_err(|bad| self.corrupt(at, bad))?;
                found.extend(changes.map(|change| (record.sequence, change)));
            }
            next = if found.len() < most {
                records.next()
            } else {
                None
            };
        }
        self.offset += end as u64;
        Ok(progress)
    }

    fn bytes(&self, most: usize) -> Result<Vec<u8>, JournalError> {
        let failed = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        let size = self.file.metadata().map_err(failed)?.len();
        let left = usize::try_from(size.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        read_at(&self.file, self.offset, left.min(most)).map_err(failed)
    }

    /// Bytes behind the last record of a segment that has a successor are damage.
    fn must_be_at_end(&self) -> Result<(), JournalError> {
        let rest = self.bytes(usize::MAX)?;
        match Records::new(&rest).next() {
            None if rest.is_empty() => Ok(()),
            _ => Err(self.corrupt(0, "the record is damaged")),
        }
    }

    fn corrupt(&self, at: usize, reason: impl ToString) -> JournalError {
        let offset = self.offset + at as u64;
        JournalError::Corrupt {
            path: self.path.clone(),
            offset,
            reason: reason.to_string(),
        }
    }
}
