//! Block maps, as bmaptool writes them (format 2.0): which parts of an image have something in them, each with its
//! SHA-256. From outside: nothing in one is believed before it was checked.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use thiserror::Error;

use crate::digest::{self, Sha256};

/// Larger ones are refused: an image of a terabyte with a hole after each megabyte needs less.
pub const LARGEST: usize = 64 << 20;

/// The parts of an image that have something in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    /// Bytes of the image.
    pub image_size: u64,
    /// In order, none touching the one before it in reverse, all within the image.
    pub ranges: Vec<Mapped>,
}

/// A part of an image, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
    /// Of what is in between.
    pub sha256: Option<Sha256>,
}

/// Why a text is no block map.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BmapError {
    /// Not XML, or not of this form.
    #[error("not a block map: {0}")]
    Malformed(String),
    /// Another format.
    #[error("a block map of version {0:?}: only 2.0 is known; make it with bmaptool 3.1 or later")]
    Version(String),
    /// Another digest.
    #[error("a block map with checksums of type {0:?}: only sha256 is known")]
    ChecksumType(String),
    /// It was changed after it was made.
    #[error("the block map is damaged: its own SHA-256 should be {expected}, and is {found}")]
    Damaged {
        /// What it says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Numbers that contradict each other.
    #[error("the block map contradicts itself: {0}")]
    Contradiction(String),
}

impl BlockMap {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BmapError> {
        if text.len() > LARGEST {
            return Err(BmapError::Malformed(format!(
                "{} bytes are too many",
                text.len()
            )));
        }
        let raw = Raw::read(text)?;
        if raw.checksum_type != "sha256" {
            return Err(BmapError::ChecksumType(raw.checksum_type));
        }
        check_own_digest(text, &raw.file_checksum)?;
        raw.into_map()
    }

    /// Bytes in its ranges.
    #[must_use]
    pub fn mapped(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }
}

/// The texts of the document, unchecked.
#[derive(Default)]
struct Raw {
    image_size: String,
    block_size: String,
    blocks: String,
    mapped: String,
    checksum_type: String,
    file_checksum: String,
    ranges: Vec<(String, Option<String>)>,
}

impl Raw {
    fn read(text: &str) -> Result<Self, BmapError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().enable_all_checks(true);
        let mut raw = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut value = String::new();
        let mut checksum = None;
        let mut is_over = false;
        loop {
            match reader.read_event().map_err(malformed)? {
                Event::Start(start) => {
                    if is_over || path.len() > 2 {
                        return Err(BmapError::Malformed("an element out of place".into()));
                    }
                    if path.is_empty() {
                        root(&start)?;
                    }
                    checksum = attribute(&start, "chksum")?;
                    path.push(start.name().as_ref().to_owned());
                    value.clear();
                }
                Event::End(_) => {
                    raw.note(&path, value.trim(), checksum.take())?;
                    value.clear();
                    path.pop();
                    is_over = path.is_empty();
                }
                Event::Text(text) => value.push_str(&text.xml10_content()),
                Event::Empty(_) | Event::CData(_) | Event::GeneralRef(_) | Event::DocType(_) => {
                    return Err(BmapError::Malformed(
                        "it has elements that no block map has".into(),
                    ));
                }
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        match is_over {
            true => Ok(raw),
            false => Err(BmapError::Malformed("it ends in the middle".into())),
        }
    }

    fn note(
        &mut self,
        path: &[String],
        value: &str,
        checksum: Option<String>,
    ) -> Result<(), BmapError> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let field = match path.as_slice() {
            ["bmap", "ImageSize"] => &mut self.image_size,
            ["bmap", "BlockSize"] => &mut self.block_size,
            ["bmap", "BlocksCount"] => &mut self.blocks,
            ["bmap", "MappedBlocksCount"] => &mut self.mapped,
            ["bmap", "ChecksumType"] => &mut self.checksum_type,
            ["bmap", "BmapFileChecksum"] => &mut self.file_checksum,
            ["bmap", "BlockMap", "Range"] => {
                self.ranges.push((value.to_owned(), checksum));
                return Ok(());
            }
            // A later minor version may have more.
            _ => return Ok(()),
        };
        if !field.is_empty() {
            return Err(BmapError::Malformed(format!(
                "two elements {}",
                path.join("/")
            )));
        }
        value.clone_into(field);
        Ok(())
    }

    fn into_map(self) -> Result<BlockMap, BmapError> {
        let image_size = number("ImageSize", &self.image_size)?;
        let block = number("BlockSize", &self.block_size)?;
        let blocks = number("BlocksCount", &self.blocks)?;
        let mapped = number("MappedBlocksCount", &self.mapped)?;
        if !block.is_power_of_two() || !(512..=1 << 26).contains(&block) {
            return Err(BmapError::Contradiction(format!(
                "a block of {block} bytes"
            )));
        }
        if image_size == 0 || image_size.div_ceil(block) != blocks {
            return Err(BmapError::Contradiction(format!(
                "{blocks} blocks of {block} bytes are not {image_size} bytes"
            )));
        }
        let mut ranges: Vec<Mapped> = Vec::with_capacity(self.ranges.len());
        let mut counted = 0;
        let mut from = 0;
        for (text, checksum) in &self.ranges {
            let (first, last) = bounds(text)?;
            if first < from || last < first || last >= blocks {
                return Err(BmapError::Contradiction(format!(
                    "range {text:?} of {blocks} blocks, after block {from}"
                )));
            }
            from = last + 1;
            counted += from - first;
            let sha256 = match checksum {
                Some(hex) => Some(digest::from_hex(hex).ok_or_else(|| {
                    BmapError::Malformed(format!("{hex:?} of range {text:?} is no SHA-256"))
                })?),
                None => None,
            };
            ranges.push(Mapped {
                start: first * block,
                end: image_size.min(from.saturating_mul(block)),
                sha256,
            });
        }
        if counted != mapped {
            return Err(BmapError::Contradiction(format!(
                "{mapped} mapped blocks, and ranges of {counted}"
            )));
        }
        Ok(BlockMap { image_size, ranges })
    }
}

fn malformed(error: quick_xml::Error) -> BmapError {
    BmapError::Malformed(error.to_string())
}

fn root(start: &BytesStart<'_>) -> Result<(), BmapError> {
    if start.name().as_ref() != "bmap" {
        return Err(BmapError::Malformed("its root is not <bmap>".into()));
    }
    let version = attribute(start, "version")?.unwrap_or_default();
    match version.split_once('.') {
        Some(("2", _)) => Ok(()),
        _ => Err(BmapError::Version(version)),
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, BmapError> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| BmapError::Malformed(e.to_string()))?;
        if attribute.key.as_ref() == name {
            return Ok(Some(attribute.value.trim().to_owned()));
        }
    }
    Ok(None)
}

/// It is reckoned over the text with zeros in the place of the checksum.
fn check_own_digest(text: &str, expected: &str) -> Result<(), BmapError> {
    if digest::from_hex(expected).is_none() {
        return Err(BmapError::Malformed("it has no checksum of its own".into()));
    }
    let zeros = "0".repeat(expected.len());
    let found = digest::hex(&digest::of(text.replace(expected, &zeros).as_bytes()));
    match found.eq_ignore_ascii_case(expected) {
        true => Ok(()),
        false => Err(BmapError::Damaged {
            expected: expected.to_owned(),
            found,
        }),
    }
}

fn number(name: &str, text: &str) -> Result<u64, BmapError> {
    text.parse()
        .map_err(|_| BmapError::Malformed(format!("{name} is {text:?}, and no number")))
}

fn bounds(text: &str) -> Result<(u64, u64), BmapError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok((
        number("the start of a range", first.trim())?,
        number("the end of a range", last.trim())?,
    ))
}

#[cfg(test)]
mod tests;
