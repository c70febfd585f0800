//! Writing: all but the head first, read back, and the head last. Whatever stops it in between, by force or by fault,
//! leaves a disk without a partition table and without boot code, never one that looks as if it would boot.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::digest::{self, Sha256};
use crate::error::{Error, Failure, State};
use crate::gpt::HEAD;
use crate::layout::{Fate, Layout};
use crate::progress::{Phase, Progress};
use crate::source::{PIECE, Piece, Source, is_zero};
use crate::target::Target;

/// Pieces that wait between the thread that reads the image and the one that writes.
const WAITING: usize = 4;

/// Bytes at a disk's end that are erased first: a backup table would be found there.
const END: u64 = 1 << 20;

/// What is written beside the stream of the image.
#[derive(Clone, Debug)]
pub struct Job {
    /// The first MiB, with the table fitted to the disk.
    pub head: Vec<u8>,
    /// The backup table, and where it goes.
    pub tail: (u64, Vec<u8>),
    /// What becomes of each part.
    pub layout: Layout,
    /// Parts that are written from memory: where, and what.
    pub held: Vec<(u64, Vec<u8>)>,
    /// Bytes of the image that are to be written or made zeros, for the display.
    pub total: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes of data that were written.
    pub written: u64,
    /// Bytes that are zeros.
    pub zeros: u64,
    /// Bytes that were read back.
    pub verified: u64,
}

/// A part of the disk that was written.
struct Block {
    range: Range<u64>,
    /// `None`: zeros.
    sha256: Option<Sha256>,
}

/// Writes an image.
///
/// # Errors
/// What went wrong, and what the disk is now.
pub fn write(
    source: &mut dyn Source,
    target: &mut dyn Target,
    job: &Job,
    disk: &Path,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Done, Failure> {
    let mut writer = Writer {
        target,
        disk,
        progress,
        stop,
        state: State::Untouched,
        blocks: Vec::new(),
        done: Done::default(),
    };
    match writer.run(source, job) {
        Ok(()) => Ok(writer.done),
        Err(error) => Err(Failure {
            error,
            state: writer.state,
        }),
    }
}

struct Writer<'a> {
    target: &'a mut dyn Target,
    disk: &'a Path,
    progress: &'a mut dyn Progress,
    stop: &'a AtomicBool,
    state: State,
    blocks: Vec<Block>,
    done: Done,
}

impl Writer<'_> {
    fn run(&mut self, source: &mut dyn Source, job: &Job) -> Result<(), Error> {
        self.go_on()?;
        self.erase()?;
        self.progress.begin(Phase::Write, job.total);
        self.stream(source, &job.layout)?;
        for (at, bytes) in &job.held {
            self.hold(*at, bytes)?;
        }
        self.sync()?;
        self.verify()?;
        self.finish(job)
    }

    fn go_on(&self) -> Result<(), Error> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }

    /// Nothing that boots, nor a table of either kind, is on the disk from here on.
    fn erase(&mut self) -> Result<(), Error> {
        let zeros = vec![0; HEAD];
        let size = self.target.size();
        let end = size.saturating_sub(END).max(HEAD as u64) / 512 * 512;
        self.state = State::NotBootable;
        self.put(0, &zeros)?;
        let rest = zeros.get(..(size - end) as usize / 512 * 512);
        self.put(end, rest.unwrap_or_default())?;
        self.sync()
    }

    fn stream(&mut self, source: &mut dyn Source, layout: &Layout) -> Result<(), Error> {
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(WAITING);
            scope.spawn(move || {
                loop {
                    let next = source.next();
                    let is_last = !matches!(next, Ok(Some(_)));
                    // Nobody listens when the writer gave up.
                    if sender.send(next).is_err() || is_last {
                        break;
                    }
                }
            });
            self.receive(&receiver, layout)
        })
    }

    fn receive(
        &mut self,
        pieces: &Receiver<Result<Option<Piece>, Error>>,
        layout: &Layout,
    ) -> Result<(), Error> {
        // The thread ends with the last piece or an error, never without.
        while let Ok(piece) = pieces.recv() {
            let Some(piece) = piece? else {
                return Ok(());
            };
            self.go_on()?;
            self.piece(&piece, layout)?;
            self.progress.at(self.done.written + self.done.zeros);
        }
        Err(Error::Interrupted)
    }

    fn piece(&mut self, piece: &Piece, layout: &Layout) -> Result<(), Error> {
        let whole = piece.range();
        for (range, fate) in layout.cut(whole.clone()) {
            match (piece, fate) {
                (_, Fate::Held) | (Piece::Gap(_), Fate::Raw) => {}
                (Piece::Data { bytes, .. }, _) => {
                    let from = (range.start - whole.start) as usize;
                    let to = (range.end - whole.start) as usize;
                    self.data(range.start, bytes.get(from..to).unwrap_or_default())?;
                }
                (Piece::Zeros(_) | Piece::Gap(_), _) => self.zeros(range)?,
            }
        }
        Ok(())
    }

    fn data(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.put(at, bytes)?;
        self.done.written += bytes.len() as u64;
        self.blocks.push(Block {
            range: at..at + bytes.len() as u64,
            sha256: Some(digest::of(bytes)),
        });
        Ok(())
    }

    /// Only what is not zero is written: reading is faster, and many disks are empty or can discard.
    fn zeros(&mut self, range: Range<u64>) -> Result<(), Error> {
        self.target.discard(range.start, range.end - range.start);
        let mut buffer = vec![0; PIECE];
        for part in parts(&range) {
            let buffer = buffer.get_mut(..(part.end - part.start) as usize);
            let buffer = buffer.unwrap_or_default();
            // What cannot be read is written: a disk may put a good sector in the place of a bad one then.
            let is_done = self.target.read(part.start, buffer).is_ok() && is_zero(buffer);
            if !is_done {
                buffer.fill(0);
                self.put(part.start, buffer)?;
            }
        }
        self.done.zeros += range.end - range.start;
        self.blocks.push(Block {
            range,
            sha256: None,
        });
        Ok(())
    }

    /// Writes a part from memory.
    fn hold(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut at = at;
        for part in bytes.chunks(PIECE) {
            self.go_on()?;
            match is_zero(part) {
                true => self.zeros(at..at + part.len() as u64)?,
                false => self.data(at, part)?,
            }
            self.progress.at(self.done.written + self.done.zeros);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Error> {
        let total = self.blocks.iter().map(|b| b.range.end - b.range.start);
        self.progress.begin(Phase::Verify, total.sum());
        let mut buffer = vec![0; PIECE];
        for block in std::mem::take(&mut self.blocks) {
            self.go_on()?;
            // Data is a piece at most; zeros may be longer.
            for part in parts(&block.range) {
                let buffer = buffer.get_mut(..(part.end - part.start) as usize);
                let buffer = buffer.unwrap_or_default();
                self.fetch(part.start, buffer)?;
                match block.sha256 {
                    Some(expected) => {
                        let found = digest::of(buffer);
                        if found != expected {
                            let (expected, found) = (digest::hex(&expected), digest::hex(&found));
                            let problem = format!("SHA-256 expected {expected}, found {found}");
                            return Err(self.not_as_written(&part, problem));
                        }
                    }
                    None if !is_zero(buffer) => {
                        return Err(self.not_as_written(&part, "expected zeros".into()));
                    }
                    None => {}
                }
                self.done.verified += part.end - part.start;
                self.progress.at(self.done.verified);
            }
        }
        Ok(())
    }

    /// What makes it bootable: the backup table, and when that is on the disk, the head.
    fn finish(&mut self, job: &Job) -> Result<(), Error> {
        self.go_on()?;
        let (at, tail) = &job.tail;
        self.put(*at, tail)?;
        self.sync()?;
        self.state = State::Unknown;
        self.put(0, &job.head)?;
        self.sync()?;
        for (at, bytes) in [(0, &job.head), (*at, tail)] {
            let mut found = vec![0; bytes.len()];
            self.fetch(at, &mut found)?;
            if found != *bytes {
                let range = at..at + bytes.len() as u64;
                return Err(self.not_as_written(&range, "the partition table differs".into()));
            }
        }
        self.done.written += (job.head.len() + tail.len()) as u64;
        self.done.verified += (job.head.len() + tail.len()) as u64;
        self.state = State::Complete;
        Ok(())
    }

    fn not_as_written(&self, range: &Range<u64>, problem: String) -> Error {
        Error::Verify {
            disk: self.disk.display().to_string(),
            start: range.start,
            last: range.end.saturating_sub(1),
            problem,
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = self.target.write(at, bytes);
        written.map_err(|e| self.failed("writing", at, bytes.len(), e))
    }

    fn fetch(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let read = self.target.read(at, bytes);
        read.map_err(|e| self.failed("reading back", at, bytes.len(), e))
    }

    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.target.sync();
        synced.map_err(|e| Error::io(self.disk, "waiting until all is on the disk", e))
    }

    fn failed(&self, doing: &str, at: u64, len: usize, error: io::Error) -> Error {
        let last = at + (len as u64).saturating_sub(1);
        Error::io(self.disk, format!("{doing} bytes {at} to {last}"), error)
    }
}

/// A range in pieces.
fn parts(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let range = range.clone();
    (range.start..range.end)
        .step_by(PIECE)
        .map(move |at| at..range.end.min(at + PIECE as u64))
}

#[cfg(test)]
mod tests;
