//! GUID partition tables (UEFI 2.10, chapter 5.3): read from an image's first MiB, fitted to a larger disk.
//!
//! Our own, since the entries have to stay byte for byte what the image has, and the protective MBR has to follow
//! (ADR 26 has what the library does instead).

use std::ops::Range;

use thiserror::Error;

/// Bytes of a sector. The image is made for disks that address 512 bytes.
pub const SECTOR: u64 = 512;

/// Where an image's table, and all else that makes a disk bootable, ends: partitions begin here.
pub const HEAD: usize = 1 << 20;

/// Why a head has no usable table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GptError {
    /// There is none.
    #[error("there is no GUID partition table")]
    Absent,
    /// It is damaged or of a form that we do not know.
    #[error("the GUID partition table is not sound: {0}")]
    Unsound(&'static str),
    /// The disk is too small.
    #[error("the partitions end at byte {needed}, and the disk has {size}")]
    TooSmall {
        /// Bytes that the table needs at least.
        needed: u64,
        /// Bytes of the disk.
        size: u64,
    },
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, from 1.
    pub number: usize,
    /// Its label (`PARTLABEL`).
    pub name: String,
    /// Its bytes on the disk.
    pub bytes: Range<u64>,
}

/// A table that was found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    header: Vec<u8>,
    /// The array of entries, as it is.
    entries: Vec<u8>,
    entry_size: usize,
    entries_at: u64,
}

impl Gpt {
    /// Reads the primary table out of the beginning of a disk.
    ///
    /// # Errors
    /// There is none, or it is not sound.
    pub fn parse(head: &[u8]) -> Result<Self, GptError> {
        let sector = SECTOR as usize;
        let block = head.get(sector..2 * sector).ok_or(GptError::Absent)?;
        if !block.starts_with(b"EFI PART") {
            return Err(GptError::Absent);
        }
        let size = u32_at(block, 12) as usize;
        if !(92..=sector).contains(&size) {
            return Err(GptError::Unsound("its header has a wrong size"));
        }
        let mut header = block.get(..size).ok_or(GptError::Absent)?.to_vec();
        let expected = u32_at(&header, 16);
        put(&mut header, 16, &[0; 4]);
        if checksum(&header) != expected {
            return Err(GptError::Unsound("its header's checksum is wrong"));
        }
        if u64_at(&header, 24) != 1 {
            return Err(GptError::Unsound("its header is not in sector 1"));
        }
        let entries_at = u64_at(&header, 72);
        let count = u32_at(&header, 80) as usize;
        let entry_size = u32_at(&header, 84) as usize;
        if entry_size < 128 || !entry_size.is_multiple_of(8) || entry_size > 4_096 || count > 1_024
        {
            return Err(GptError::Unsound(
                "its entries have a size that is not usual",
            ));
        }
        let start = usize::try_from(entries_at)
            .ok()
            .filter(|at| *at >= 2)
            .and_then(|at| at.checked_mul(sector));
        let entries = start
            .and_then(|start| head.get(start..start.checked_add(count * entry_size)?))
            .filter(|_| head.len() <= HEAD)
            .ok_or(GptError::Unsound("its entries are not in the first MiB"))?
            .to_vec();
        if checksum(&entries) != u32_at(&header, 88) {
            return Err(GptError::Unsound("its entries' checksum is wrong"));
        }
        let table = Self {
            header,
            entries,
            entry_size,
            entries_at,
        };
        for partition in table.partitions() {
            if partition.bytes.end <= partition.bytes.start {
                return Err(GptError::Unsound("a partition ends before it begins"));
            }
            if partition.bytes.start < (start.unwrap_or(0) + table.entries.len()) as u64 {
                return Err(GptError::Unsound("a partition lies over the table"));
            }
        }
        Ok(table)
    }

    /// The partitions, in the table's order.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let entries = self.entries.chunks_exact(self.entry_size).enumerate();
        entries
            .filter(|(_, e)| e.iter().take(16).any(|b| *b != 0))
            .map(|(n, e)| {
                let last = u64_at(e, 40);
                Partition {
                    number: n + 1,
                    name: name(e),
                    bytes: u64_at(e, 32).saturating_mul(SECTOR)
                        ..last.saturating_add(1).saturating_mul(SECTOR),
                }
            })
            .collect()
    }

    /// The partition of this label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<Partition> {
        self.partitions().into_iter().find(|p| p.name == label)
    }

    /// Bytes that a disk must have for the partitions and the backup table behind them.
    #[must_use]
    pub fn needed(&self) -> u64 {
        let end = self.partitions().iter().map(|p| p.bytes.end).max();
        end.unwrap_or(0).saturating_add(self.backup_len())
    }

    /// Bytes of the disk that the table was made for: its backup header is in the last sector.
    #[must_use]
    pub fn disk_size(&self) -> u64 {
        let last = u64_at(&self.header, 32);
        last.saturating_add(1).saturating_mul(SECTOR)
    }

    /// Bytes of the backup table at a disk's end: entries and header.
    #[must_use]
    pub fn backup_len(&self) -> u64 {
        (self.entries.len() as u64).next_multiple_of(SECTOR) + SECTOR
    }

    /// Fits the table to a disk of `size` bytes: changes `head`, and returns the backup table and where it goes (UEFI 2.10,
    /// 5.3.2: the backup header is in the last sector of the disk).
    ///
    /// # Errors
    /// The disk is too small for the partitions.
    pub fn fit(&self, head: &mut [u8], size: u64) -> Result<(u64, Vec<u8>), GptError> {
        let size = size / SECTOR * SECTOR;
        if size < self.needed() {
            return Err(GptError::TooSmall {
                needed: self.needed(),
                size,
            });
        }
        let last = size / SECTOR - 1;
        let backup_at = size - self.backup_len();
        let mut primary = self.header.clone();
        put(&mut primary, 32, &last.to_le_bytes());
        put(&mut primary, 48, &(backup_at / SECTOR - 1).to_le_bytes());
        put(&mut primary, 88, &checksum(&self.entries).to_le_bytes());
        let mut backup = primary.clone();
        put(&mut backup, 24, &last.to_le_bytes());
        put(&mut backup, 32, &1_u64.to_le_bytes());
        put(&mut backup, 72, &(backup_at / SECTOR).to_le_bytes());
        put(head, SECTOR as usize, &sealed(primary));
        put(head, (self.entries_at * SECTOR) as usize, &self.entries);
        protect(head, last);
        let mut tail = self.entries.clone();
        tail.resize((self.backup_len() - SECTOR) as usize, 0);
        tail.extend(sealed(backup));
        tail.resize(self.backup_len() as usize, 0);
        Ok((backup_at, tail))
    }

    /// Another identity for a copy: the disk and each partition get a GUID of their own. `random` makes 16 bytes.
    pub fn renew(&mut self, mut random: impl FnMut() -> [u8; 16]) {
        put(&mut self.header, 56, &version4(random()));
        for entry in self.entries.chunks_exact_mut(self.entry_size) {
            if entry.iter().take(16).any(|b| *b != 0) {
                put(entry, 16, &version4(random()));
            }
        }
    }

    /// Makes the partition of this label so long; it must be the last one on the disk.
    pub fn resize(&mut self, number: usize, end: u64) {
        let size = self.entry_size;
        if let Some(entry) = self
            .entries
            .chunks_exact_mut(size)
            .nth(number.saturating_sub(1))
        {
            put(entry, 40, &(end / SECTOR).saturating_sub(1).to_le_bytes());
        }
    }
}

/// CRC-32 as the table has it (UEFI 2.10, 5.3.2).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The header with its checksum.
fn sealed(mut header: Vec<u8>) -> Vec<u8> {
    put(&mut header, 16, &[0; 4]);
    let found = checksum(&header);
    put(&mut header, 16, &found.to_le_bytes());
    header
}

/// The protective MBR's partition covers the disk (UEFI 2.10, 5.2.3); one that is none stays as it is.
fn protect(head: &mut [u8], last: u64) {
    if head.get(450) == Some(&0xee) {
        let sectors = u32::try_from(last).unwrap_or(u32::MAX);
        put(head, 458, &sectors.to_le_bytes());
    }
}

/// A GUID of version 4 and variant 1 (RFC 9562, section 5.4), in the mixed order of a table.
fn version4(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[7] = (bytes[7] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn name(entry: &[u8]) -> String {
    let units = entry.iter().skip(56).take(72).copied().collect::<Vec<_>>();
    let units = units
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes(c.try_into().unwrap_or([0; 2])))
        .take_while(|u| *u != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_le_bytes(found.unwrap_or_default())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_le_bytes(found.unwrap_or_default())
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

#[cfg(test)]
pub(crate) mod tests;
