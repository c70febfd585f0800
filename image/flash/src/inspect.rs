//! An image, read to its end before anything is written: whole, in order with its block map, with a partition table.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Sha256;
use crate::error::Error;
use crate::gpt::{Gpt, HEAD, SECTOR};
use crate::progress::{Phase, Progress};
use crate::source::{Image, Piece, Source as _};

/// A larger ESP is not taken into memory.
const ESP: u64 = 512 << 20;

/// What an image has.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// In bytes, decompressed.
    pub size: u64,
    /// Its first MiB.
    pub head: Vec<u8>,
    /// Its partitions.
    pub table: Gpt,
    /// The content of the partition `esp`, and where that is.
    pub esp: Option<(u64, Vec<u8>)>,
    /// Of the file.
    pub sha256: Sha256,
    /// Bytes with data.
    pub data: u64,
    /// What it is made of, in order.
    pub runs: Vec<(Range<u64>, Kind)>,
}

/// What a part of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something.
    Data,
    /// Zeros.
    Zeros,
    /// Not in the block map.
    Gap,
}

/// Reads an image to its end.
///
/// # Errors
/// It is damaged, does not fit its block map, or is no image of a disk.
pub fn inspect(
    image: &Image,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Inspected, Error> {
    let mut stream = image.stream()?;
    progress.begin(Phase::Check, stream.file_size());
    let mut seen = Seen::default();
    while let Some(piece) = stream.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        seen.add(&piece).map_err(|e| Error::image(&image.path, e))?;
        progress.at(stream.read());
    }
    let size = stream.at();
    let table = seen.table(size).map_err(|e| Error::image(&image.path, e))?;
    if !size.is_multiple_of(SECTOR) {
        let problem = format!("{size} bytes are no whole number of sectors: it ends too early");
        return Err(Error::image(&image.path, problem));
    }
    let end = table.partitions().iter().map(|p| p.bytes.end).max();
    if end.is_some_and(|end| end > size) {
        let problem =
            format!("it ends at byte {size}, before its last partition does: it ends too early");
        return Err(Error::image(&image.path, problem));
    }
    Ok(Inspected {
        size,
        head: seen.head,
        table,
        esp: seen.esp,
        sha256: stream.sha256(),
        data: seen.data,
        runs: seen.runs,
    })
}

#[derive(Default)]
struct Seen {
    head: Vec<u8>,
    table: Option<Gpt>,
    esp: Option<(u64, Vec<u8>)>,
    data: u64,
    runs: Vec<(Range<u64>, Kind)>,
}

impl Seen {
    fn add(&mut self, piece: &Piece) -> Result<(), String> {
        let range = piece.range();
        let len = range.end - range.start;
        let kind = match piece {
            Piece::Data { .. } => Kind::Data,
            Piece::Zeros(_) => Kind::Zeros,
            Piece::Gap(_) => Kind::Gap,
        };
        if kind == Kind::Data {
            self.data += len;
        }
        match self.runs.last_mut() {
            Some((run, last)) if *last == kind => run.end = range.end,
            _ => self.runs.push((range.clone(), kind)),
        }
        if self.head.len() < HEAD {
            self.head.resize(HEAD, 0);
        }
        copy(piece, &(0..HEAD as u64), &mut self.head);
        if self.table.is_none() && range.end >= HEAD as u64 {
            self.begin_esp()?;
        }
        if let Some((at, bytes)) = &mut self.esp {
            let whole = *at..*at + bytes.len() as u64;
            copy(piece, &whole, bytes);
        }
        Ok(())
    }

    /// The table is known: the ESP can be told apart. It begins behind the head, so nothing of it was missed.
    fn begin_esp(&mut self) -> Result<(), String> {
        let table = Gpt::parse(&self.head).map_err(|e| e.to_string())?;
        let mut partitions = table.partitions().into_iter();
        if let Some(early) = partitions.find(|p| p.bytes.start < HEAD as u64) {
            return Err(format!(
                "its partition {} begins within the first MiB, where only the table may be",
                early.number
            ));
        }
        if let Some(esp) = table.find("esp") {
            let len = esp.bytes.end - esp.bytes.start;
            if len > ESP {
                return Err(format!(
                    "its ESP of {len} bytes is larger than any should be"
                ));
            }
            self.esp = Some((esp.bytes.start, vec![0; len as usize]));
        }
        self.table = Some(table);
        Ok(())
    }

    fn table(&self, size: u64) -> Result<Gpt, String> {
        match &self.table {
            Some(table) => Ok(table.clone()),
            None => Err(format!("{size} bytes are no image of a disk")),
        }
    }
}

/// Copies what a piece has of a range.
pub(crate) fn copy(piece: &Piece, whole: &Range<u64>, into: &mut [u8]) {
    let Piece::Data { at, bytes } = piece else {
        return;
    };
    let range = piece.range();
    let start = range.start.max(whole.start);
    let end = range.end.min(whole.end);
    if start >= end {
        return;
    }
    let from = bytes.get((start - at) as usize..(end - at) as usize);
    let to = into.get_mut((start - whole.start) as usize..(end - whole.start) as usize);
    if let (Some(from), Some(to)) = (from, to) {
        to.copy_from_slice(from);
    }
}
