//! Images as they are read: raw or zstd, in pieces, checked against the block map on the way.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bmap::{BlockMap, Mapped};
use crate::digest::{self, Running, Sha256};
use crate::error::Error;

/// Bytes of the largest piece.
pub const PIECE: usize = 4 << 20;

/// A run of zeros is told apart when it is at least so long, and begins and ends at a multiple of it.
pub const RUN: usize = 64 << 10;

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, [`PIECE`] at most.
    Data {
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Zeros that are part of the image.
    Zeros(Range<u64>),
    /// What the block map does not have.
    Gap(Range<u64>),
}

impl Piece {
    /// Its place in the image.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Data { at, bytes } => *at..at + bytes.len() as u64,
            Self::Zeros(range) | Self::Gap(range) => range.clone(),
        }
    }
}

/// Something that an image comes from, in order and without holes.
pub trait Source: Send {
    /// The next piece; `None` when it is over and was found good.
    ///
    /// # Errors
    /// It cannot be read, or is not what it should be.
    fn next(&mut self) -> Result<Option<Piece>, Error>;
}

/// An image's file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where.
    pub path: PathBuf,
    /// Compressed with zstd.
    pub is_zstd: bool,
    /// Its block map.
    pub map: Option<BlockMap>,
}

impl Image {
    /// The file of this name; what it is compressed with is told by its first bytes.
    ///
    /// # Errors
    /// It cannot be read, or is compressed with something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|e| Error::io(path, "opening the image", e))?;
        let is_file = file.metadata().is_ok_and(|m| m.is_file());
        if !is_file {
            return Err(Error::image(path, "not a file: the image must be one"));
        }
        let mut magic = Vec::new();
        let read = Read::by_ref(&mut file).take(6).read_to_end(&mut magic);
        read.map_err(|e| Error::io(path, "reading the image", e))?;
        let other = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Some("gzip"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
            [b'B', b'Z', b'h', ..] => Some("bzip2"),
            [b'P', b'K', 3, 4, ..] => Some("zip"),
            _ => None,
        };
        if let Some(other) = other {
            let problem = format!("compressed with {other}: only .img and .img.zst are known");
            return Err(Error::image(path, problem));
        }
        Ok(Self {
            path: path.to_owned(),
            is_zstd: magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
            map: None,
        })
    }

    /// Reads it from the beginning.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn stream(&self) -> Result<ImageStream, Error> {
        let path = &self.path;
        let file = File::open(path).map_err(|e| Error::io(path, "opening the image", e))?;
        let size = file.metadata().map_or(0, |m| m.len());
        let counted = BufReader::with_capacity(1 << 20, Counted::new(file));
        let bytes = match self.is_zstd {
            false => Bytes::Raw(counted),
            true => {
                let decoder = zstd::Decoder::with_buffer(counted);
                Bytes::Zstd(decoder.map_err(|e| Error::io(path, "reading the image", e))?)
            }
        };
        Ok(ImageStream {
            path: path.clone(),
            file_size: size,
            bytes,
            map: self.map.clone(),
            next_range: 0,
            at: 0,
            running: Running::default(),
            pending: Vec::new(),
            is_over: false,
            expected: None,
        })
    }
}

/// An image that is being read.
pub struct ImageStream {
    path: PathBuf,
    file_size: u64,
    bytes: Bytes,
    map: Option<BlockMap>,
    next_range: usize,
    at: u64,
    /// Of the range of the block map that is being read.
    running: Running,
    /// Found already, the next one last.
    pending: Vec<Piece>,
    is_over: bool,
    expected: Option<Sha256>,
}

impl ImageStream {
    /// Bytes of the file that were read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.bytes.counted().count
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The SHA-256 of what was read of the file.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.bytes.counted().running.clone().finish()
    }

    /// The file must still be this one at its end.
    pub fn expect(&mut self, sha256: Sha256) {
        self.expected = Some(sha256);
    }

    fn check_end(&self) -> Result<(), Error> {
        match self.expected {
            Some(expected) if expected != self.sha256() => Err(Error::image(
                &self.path,
                "it was changed while it was being written",
            )),
            _ => Ok(()),
        }
    }

    /// Bytes of the image so far.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads up to so many bytes of the image: fewer only at its end.
    fn fill(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        let mut buffer = Vec::with_capacity(len);
        let read = match &mut self.bytes {
            Bytes::Raw(b) => b.take(len as u64).read_to_end(&mut buffer),
            Bytes::Zstd(b) => b.take(len as u64).read_to_end(&mut buffer),
        };
        read.map_err(|e| self.broken(e))?;
        Ok(buffer)
    }

    fn broken(&self, error: io::Error) -> Error {
        if error.raw_os_error().is_some() {
            return Error::io(&self.path, "reading the image", error);
        }
        let at = self.bytes.counted().count;
        let problem = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!(
                "it ends too early: the compressed file has {at} bytes, and its end is missing"
            ),
            _ => format!("damaged near byte {at} of the compressed file: {error}"),
        };
        Error::image(&self.path, problem)
    }

    /// The piece at [`Self::at`], by the block map.
    fn mapped(&mut self, map: &BlockMap) -> Result<Option<Piece>, Error> {
        if let Some(piece) = self.pending.pop() {
            return Ok(Some(piece));
        }
        let range = map.ranges.get(self.next_range).copied();
        let end = range.map_or(map.image_size, |r| r.start);
        if self.at < end {
            return self.gap(end, map.image_size).map(Some);
        }
        let Some(range) = range else {
            return self.over(map);
        };
        // Pieces end at multiples of their size.
        let limit = (self.at + 1).next_multiple_of(PIECE as u64).min(range.end);
        let bytes = self.fill((limit - self.at) as usize)?;
        if (bytes.len() as u64) < limit - self.at {
            return Err(self.short(self.at + bytes.len() as u64, map.image_size));
        }
        self.running.update(&bytes);
        let at = self.at;
        self.at = limit;
        if limit == range.end {
            self.check(&range)?;
            self.next_range += 1;
        }
        self.pending = runs(at, &bytes);
        self.pending.reverse();
        Ok(self.pending.pop())
    }

    fn check(&mut self, range: &Mapped) -> Result<(), Error> {
        let found = std::mem::take(&mut self.running).finish();
        match range.sha256 {
            Some(expected) if expected != found => Err(Error::Range {
                path: self.path.clone(),
                start: range.start,
                last: range.end - 1,
                expected: digest::hex(&expected),
                found: digest::hex(&found),
            }),
            _ => Ok(()),
        }
    }

    fn gap(&mut self, end: u64, image_size: u64) -> Result<Piece, Error> {
        let limit = (self.at + 1).next_multiple_of(PIECE as u64).min(end);
        let bytes = self.fill((limit - self.at) as usize)?;
        if (bytes.len() as u64) < limit - self.at {
            return Err(self.short(self.at + bytes.len() as u64, image_size));
        }
        if !is_zero(&bytes) {
            let problem = format!(
                "it has data within bytes {} to {}, where its block map has none: the two do not belong together",
                self.at,
                limit - 1
            );
            return Err(Error::image(&self.path, problem));
        }
        let range = self.at..limit;
        self.at = limit;
        Ok(Piece::Gap(range))
    }

    fn short(&self, found: u64, expected: u64) -> Error {
        let problem =
            format!("it ends too early: {found} bytes of the image are there, of {expected}");
        Error::image(&self.path, problem)
    }

    fn over(&mut self, map: &BlockMap) -> Result<Option<Piece>, Error> {
        if self.fill(1)?.is_empty() {
            return Ok(None);
        }
        let problem = format!(
            "it is longer than the {} bytes that its block map says: the two do not belong together",
            map.image_size
        );
        Err(Error::image(&self.path, problem))
    }

    /// The next piece without a block map: runs of zeros are told apart.
    fn unmapped(&mut self) -> Result<Option<Piece>, Error> {
        if let Some(piece) = self.pending.pop() {
            return Ok(Some(piece));
        }
        let bytes = self.fill(PIECE)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        self.at += bytes.len() as u64;
        self.pending = runs(start, &bytes);
        self.pending.reverse();
        Ok(self.pending.pop())
    }
}

impl Source for ImageStream {
    fn next(&mut self) -> Result<Option<Piece>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let piece = match self.map.take() {
            None => self.unmapped(),
            Some(map) => {
                let piece = self.mapped(&map);
                self.map = Some(map);
                piece
            }
        }?;
        if piece.is_none() {
            self.is_over = true;
            self.check_end()?;
        }
        Ok(piece)
    }
}

/// Cuts bytes into data and runs of zeros.
pub(crate) fn runs(start: u64, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = start;
    for chunk in bytes.chunks(RUN) {
        let end = at + chunk.len() as u64;
        match (is_zero(chunk), pieces.last_mut()) {
            (true, Some(Piece::Zeros(range))) => range.end = end,
            (true, _) => pieces.push(Piece::Zeros(at..end)),
            (false, Some(Piece::Data { bytes, .. })) => bytes.extend_from_slice(chunk),
            (false, _) => pieces.push(Piece::Data {
                at,
                bytes: chunk.to_vec(),
            }),
        }
        at = end;
    }
    pieces
}

/// Whether there is nothing but zeros.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen at once.
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().all(|b| u128::from_ne_bytes(*b) == 0) && rest.iter().all(|b| *b == 0)
}

/// The bytes of the image, decompressed or as they are.
enum Bytes {
    Raw(BufReader<Counted>),
    Zstd(zstd::Decoder<'static, BufReader<Counted>>),
}

impl Bytes {
    fn counted(&self) -> &Counted {
        match self {
            Self::Raw(b) => b.get_ref(),
            Self::Zstd(b) => b.get_ref().get_ref(),
        }
    }
}

/// A file that is hashed as it is read.
struct Counted {
    file: File,
    running: Running,
    count: u64,
}

impl Counted {
    fn new(file: File) -> Self {
        Self {
            file,
            running: Running::default(),
            count: 0,
        }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        if let Some(read) = buffer.get(..n) {
            self.running.update(read);
        }
        self.count += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
