//! Where things are, and what this boot is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::environment::Blocks;
use super::slot::Slot;
use crate::client::Failure;

/// The appliance, whose file system is here.
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// The configuration that the proof looks at.
    pub(super) configuration: PathBuf,
}

/// Why this slot was booted, in GRUB's words (image/boot/grub.cfg).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum How {
    /// It has proven itself before.
    Normal,
    /// It is to prove itself in this boot.
    Trial,
    /// The boot before was not marked good.
    Again,
    /// Nor the one before that: without the hardware plan.
    Plain,
    /// No slot was left to be tried.
    Last,
    /// Somebody chose the other slot at the console.
    Manual,
    /// A shell for repairs.
    Emergency,
}

impl How {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "normal" => Self::Normal,
            "trial" => Self::Trial,
            "again" => Self::Again,
            "plain" => Self::Plain,
            "last" => Self::Last,
            "manual" => Self::Manual,
            "emergency" => Self::Emergency,
            _ => return None,
        })
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Boot {
    pub(super) slot: Slot,
    pub(super) how: How,
}

impl Boot {
    /// From the kernel's command line; none on a machine that was not started by the appliance's GRUB.
    fn parse(line: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut words = line.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            slot: Slot::parse(value("tandem.slot")?)?,
            how: How::parse(value("tandem.boot")?)?,
        })
    }
}

impl Place {
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What runs.
    pub(super) fn boot(&self) -> Result<Boot, Failure> {
        let path = self.at("/proc/cmdline");
        let line = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        Boot::parse(&line).ok_or_else(|| {
            Failure::Refused(
                "this machine was not started from a slot: updates are for an appliance that was installed from its image"
                    .into(),
            )
        })
    }

    /// GRUB's environment.
    pub(super) fn blocks(&self) -> Blocks {
        Blocks::new(&self.at("/boot/efi/EFI/tandem"))
    }

    /// A file of ours on the data partition.
    pub(super) fn kept(&self, name: &str) -> PathBuf {
        self.at("/data/update").join(name)
    }

    /// The version of the system that runs.
    pub(super) fn version(&self) -> String {
        self.told("/etc/tandem-release", "VERSION")
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    }

    /// How the initramfs found the data partition: `ok`, `repaired`, `lost`; empty if it did not say.
    pub(super) fn data_state(&self) -> String {
        self.told("/run/tandem/boot", "DATA").unwrap_or_default()
    }

    /// The value of a key in a file of KEY=VALUE lines.
    fn told(&self, path: &str, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.at(path)).ok()?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let value = value.trim_matches('"');
        (!value.is_empty()).then(|| value.to_owned())
    }
}

/// Reads JSON; none if the file is not there or is not that.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes JSON, whole or not at all, and lasting.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Failure::Protocol(e.to_string()))?;
    put(path, &text).map_err(|error| failed(path, error))
}

/// A file, whole or not at all, and lasting.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(directory)?.sync_all()
}

pub(super) fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_what_runs() {
        let line = "BOOT_IMAGE=(hd0,gpt4)/boot/vmlinuz root=PARTLABEL=slot-b ro tandem.slot=B tandem.boot=trial panic=10\n";
        let boot = Boot::parse(line).unwrap();
        assert_eq!((boot.slot, boot.how), (Slot::B, How::Trial));
        for other in [
            "",
            "quiet",
            "tandem.slot=B",
            "tandem.slot=C tandem.boot=trial",
            "tandem.slot=A tandem.boot=x",
        ] {
            assert_eq!(Boot::parse(other), None);
        }
    }
}
