//! The machine's disks, as sysfs, the mount table and the swap table have them, below any root: a recorded machine can be
//! replayed in a test.

mod read;
mod uses;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

pub use read::{System, detect};

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What the kernel calls it: `sdb`, `nvme0n1`. Another start may give it to another disk.
    pub name: String,
    /// Its device.
    pub path: PathBuf,
    /// A name that stays, in `/dev/disk/by-id`.
    pub by_id: Option<PathBuf>,
    /// Major and minor number.
    pub number: String,
    /// Who made it, and its type.
    pub model: Option<String>,
    /// What its maker wrote on it.
    pub serial: Option<String>,
    /// In bytes.
    pub size: u64,
    /// Bytes of a logical sector.
    pub sector: u64,
    /// How it is connected.
    pub bus: Bus,
    /// It, or the medium in it, can be taken out.
    pub is_removable: bool,
    /// It has a switch, and that says no.
    pub is_read_only: bool,
    /// A count that goes up with each disk or medium that the kernel meets: the same number is the same disk.
    pub diskseq: Option<u64>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Who uses it.
    pub uses: Vec<Use>,
}

/// A partition, as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// `sdb1`.
    pub name: String,
    /// Major and minor number.
    pub number: String,
    /// Where it begins, in bytes.
    pub start: u64,
    /// In bytes.
    pub size: u64,
    /// Its name in the partition table.
    pub label: Option<String>,
    /// What udev found in it: `ext4 "backup"`.
    pub content: Option<String>,
}

/// How a disk is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// USB.
    Usb,
    /// NVM Express.
    Nvme,
    /// SATA, through libata.
    Sata,
    /// SCSI, SAS, RAID controllers.
    Scsi,
    /// SD and eMMC.
    Mmc,
    /// A virtual machine's.
    Virtio,
    /// No disk of its own: loop devices, device mapper, RAID, memory.
    Virtual,
    /// None of these.
    #[default]
    Other,
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Usb => "usb",
            Self::Nvme => "nvme",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Mmc => "mmc",
            Self::Virtio => "virtio",
            Self::Virtual => "virtual",
            Self::Other => "other",
        })
    }
}

/// A use of a disk or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "use", rename_all = "snake_case")]
pub enum Use {
    /// A file system that is mounted.
    Mounted {
        /// The device: the disk, a partition, or what lies on one.
        device: String,
        /// Where.
        at: String,
        /// The running system needs it.
        is_system: bool,
    },
    /// Swap space.
    Swap {
        /// The device, or the file.
        device: String,
    },
    /// LVM, RAID, encryption, multipath: another device lies on it.
    Held {
        /// The disk or partition.
        device: String,
        /// The device on it, with its name.
        by: String,
    },
}

impl Use {
    /// Whether the running system lies on it.
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(
            self,
            Self::Mounted {
                is_system: true,
                ..
            }
        )
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted { device, at, .. } => write!(f, "{device} is mounted at {at}"),
            Self::Swap { device } => write!(f, "{device} is swap space in use"),
            Self::Held { device, by } => write!(f, "{device} is used by {by}"),
        }
    }
}

impl Disk {
    /// Whether the running system lies on it.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.uses.iter().any(Use::is_system)
    }

    /// Whether it is the same disk as before, as far as one can tell: what differs, if not.
    #[must_use]
    pub fn changed(&self, before: &Self) -> Option<&'static str> {
        let differences = [
            (self.number != before.number, "its device number"),
            (self.diskseq != before.diskseq, "its sequence number"),
            (self.serial != before.serial, "its serial number"),
            (self.model != before.model, "its model"),
            (self.size != before.size, "its size"),
            (self.by_id != before.by_id, "its stable name"),
        ];
        differences.into_iter().find(|d| d.0).map(|d| d.1)
    }
}

/// As on the label of a disk: 1 GB is 1,000,000,000 bytes.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    for (unit, name) in units {
        if bytes >= unit {
            let tenths = (u128::from(bytes) * 10 / u128::from(unit)) as u64;
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}
