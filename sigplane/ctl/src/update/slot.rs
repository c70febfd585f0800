//! A slot, and the seal of what is in it.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A slot for a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    pub(super) const ALL: [Self; 2] = [Self::A, Self::B];

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its partition, below the root.
    pub(super) fn device(self, root: &Path) -> PathBuf {
        let label = match self {
            Self::A => "slot-a",
            Self::B => "slot-b",
        };
        root.join("dev/tandem").join(label)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `image/update/seal` puts behind the file system of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) version: String,
    /// Of the tree of hashes of dm-verity.
    pub(super) root_hash: String,
    /// Where the tree begins, in bytes.
    pub(super) hash_offset: u64,
}

/// Blocks of the seal and of the tree, in bytes.
const BLOCK: u64 = 4_096;
/// Where a squashfs says how long it is.
const BYTES_USED: u64 = 40;
const MAGIC: &[u8] = b"hsqs";
const TITLE: &str = "TANDEM-SLOT 1";

/// Reads the seal of a slot: none if there is no system in it, or one without a seal.
///
/// # Errors
/// If the device cannot be read.
pub(super) fn seal(device: &Path) -> io::Result<Option<Seal>> {
    let file = File::open(device)?;
    let mut head = [0; 48];
    if let Err(error) = file.read_exact_at(&mut head, 0) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
    }
    let Some(at) = end_of_system(&head) else {
        return Ok(None);
    };
    let mut block = [0; BLOCK as usize];
    match file.read_exact_at(&mut block, at) {
        Ok(()) => Ok(parse(&block, at + BLOCK)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the squashfs with this beginning ends, in whole blocks.
fn end_of_system(head: &[u8; 48]) -> Option<u64> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let used = head.get(BYTES_USED as usize..)?.first_chunk::<8>()?;
    u64::from_le_bytes(*used).checked_next_multiple_of(BLOCK)
}

fn parse(block: &[u8], hash_offset: u64) -> Option<Seal> {
    let text = block.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return None;
    }
    let value = |name: &str| {
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    let root_hash = value("root_hash")?;
    let is_hash = root_hash.len() == 64 && root_hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(Seal {
        version: value("version")?,
        root_hash,
        hash_offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_found_behind_the_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slot");
        let mut slot = vec![0; 3 * 4_096];
        slot[..4].copy_from_slice(MAGIC);
        slot[40..48].copy_from_slice(&5_000_u64.to_le_bytes());
        let hash = "ab".repeat(32);
        let text = format!("{TITLE}\nversion=0.2.0\nroot_hash={hash}\n");
        slot[8_192..8_192 + text.len()].copy_from_slice(text.as_bytes());
        std::fs::write(&path, &slot).unwrap();
        let found = seal(&path).unwrap().unwrap();
        assert_eq!(
            (found.version.as_str(), found.hash_offset),
            ("0.2.0", 12_288)
        );
        assert_eq!(found.root_hash, hash);
    }

    #[test]
    fn anything_else_is_no_system() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slot");
        let mut far = vec![0xff; 8_192];
        far[..4].copy_from_slice(MAGIC);
        let mut without = vec![0; 12_288];
        without[..4].copy_from_slice(MAGIC);
        for content in [vec![], vec![0; 8_192], far, without] {
            std::fs::write(&path, &content).unwrap();
            assert_eq!(seal(&path).unwrap(), None);
        }
        assert!(seal(&directory.path().join("no")).is_err());
    }
}
