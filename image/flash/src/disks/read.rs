//! Reading sysfs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::uses::{Tables, mounts_of};
use super::{Bus, Disk, Partition, Use};

/// Bytes of a sector in sysfs, whatever the disk's own is.
const SECTOR: u64 = 512;

/// Where the system is read: `/`, or a recording of one.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// Below this folder.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text without blanks around; `None` if it is not there or empty.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a folder, in order.
    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_by_key(|n| (n.len(), n.clone()));
        names
    }

    /// What udev found of a device: `key` of its properties.
    fn udev(&self, number: &str, key: &str) -> Option<String> {
        let text = self.text(format!("run/udev/data/b{number}"))?;
        let prefix = format!("E:{key}=");
        let value = text.lines().find_map(|l| l.strip_prefix(&prefix))?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The device folder of a disk, without links.
    fn device(&self, name: &str) -> Option<PathBuf> {
        fs::canonicalize(self.path(format!("sys/block/{name}"))).ok()
    }
}

/// Every disk with a medium in it.
///
/// # Errors
/// There is no sysfs.
pub fn detect(system: &System) -> io::Result<Vec<Disk>> {
    fs::read_dir(system.path("sys/block"))?;
    let tables = Tables::read(system);
    let disks = system.names("sys/block").into_iter();
    Ok(disks
        .filter(|name| is_disk(system, name))
        .map(|name| disk(system, &tables, &name))
        .filter(|d| d.size > 0)
        .collect())
}

/// Not a drive for CDs or floppies, not an eMMC's boot area, not one of several paths to an NVMe disk.
fn is_disk(system: &System, name: &str) -> bool {
    let has_number = |prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    let is_hidden = system.number(format!("sys/block/{name}/hidden")) == Some(1);
    !(has_number("sr") || has_number("fd") || is_area || is_hidden)
}

fn disk(system: &System, tables: &Tables, name: &str) -> Disk {
    let at = format!("sys/block/{name}");
    let number = system.text(format!("{at}/dev")).unwrap_or_default();
    let partitions = partitions(system, name);
    let mut uses = Vec::new();
    uses_of(system, tables, &at, name, &number, &mut uses);
    for partition in &partitions {
        let below = format!("{at}/{}", partition.name);
        uses_of(
            system,
            tables,
            &below,
            &partition.name,
            &partition.number,
            &mut uses,
        );
    }
    Disk {
        path: Path::new("/dev").join(name.replace('!', "/")),
        by_id: by_id(system, name),
        model: model(system, &at, &number),
        serial: serial(system, name, &at, &number),
        size: system
            .number(format!("{at}/size"))
            .unwrap_or(0)
            .saturating_mul(SECTOR),
        sector: system
            .number(format!("{at}/queue/logical_block_size"))
            .unwrap_or(SECTOR),
        bus: bus(system, name),
        is_removable: system.number(format!("{at}/removable")) == Some(1),
        is_read_only: system.number(format!("{at}/ro")) == Some(1),
        diskseq: system.number(format!("{at}/diskseq")),
        name: name.to_owned(),
        number,
        partitions,
        uses,
    }
}

fn partitions(system: &System, disk: &str) -> Vec<Partition> {
    let at = format!("sys/block/{disk}");
    let names = system.names(&at).into_iter();
    names
        .filter(|n| system.path(format!("{at}/{n}/partition")).exists())
        .map(|name| {
            let at = format!("{at}/{name}");
            let sectors = |key: &str| {
                let sectors = system.number(format!("{at}/{key}")).unwrap_or(0);
                sectors.saturating_mul(SECTOR)
            };
            let number = system.text(format!("{at}/dev")).unwrap_or_default();
            let kind = system.udev(&number, "ID_FS_TYPE");
            let label = system.udev(&number, "ID_FS_LABEL");
            Partition {
                start: sectors("start"),
                size: sectors("size"),
                label: partition_label(system, &at),
                content: kind.map(|kind| match label {
                    Some(label) => format!("{kind} {label:?}"),
                    None => kind,
                }),
                number,
                name,
            }
        })
        .collect()
}

fn partition_label(system: &System, at: &str) -> Option<String> {
    let text = system.text(format!("{at}/uevent"))?;
    let label = text.lines().find_map(|l| l.strip_prefix("PARTNAME="))?;
    Some(label.to_owned())
}

/// Whatever lies on a disk or partition: mounts, swap, and devices on it, with what lies on those.
fn uses_of(
    system: &System,
    tables: &Tables,
    at: &str,
    name: &str,
    number: &str,
    uses: &mut Vec<Use>,
) {
    uses.extend(mounts_of(system, tables, name, number));
    for holder in system.names(format!("{at}/holders")) {
        let below = format!("sys/block/{holder}");
        let by = match system.text(format!("{below}/dm/name")) {
            Some(mapped) => format!("{holder} ({mapped})"),
            None => holder.clone(),
        };
        let held = Use::Held {
            device: name.to_owned(),
            by,
        };
        // A loop of holders is impossible in a kernel, not in a folder.
        if uses.len() > 100 || uses.contains(&held) {
            continue;
        }
        uses.push(held);
        let number = system.text(format!("{below}/dev")).unwrap_or_default();
        uses_of(system, tables, &below, &holder, &number, uses);
        for partition in partitions(system, &holder) {
            let below = format!("{below}/{}", partition.name);
            uses_of(
                system,
                tables,
                &below,
                &partition.name,
                &partition.number,
                uses,
            );
        }
    }
}

/// The name in `/dev/disk/by-id` that says most to people: with model and serial number, before a world wide name.
fn by_id(system: &System, disk: &str) -> Option<PathBuf> {
    let rank = |name: &str| match name.split('-').next() {
        Some("wwn" | "lvm" | "dm") => 3,
        Some("nvme") if name.starts_with("nvme-eui.") || name.starts_with("nvme-nvme.") => 2,
        Some("scsi") => 1,
        _ => 0,
    };
    let names = system.names("dev/disk/by-id").into_iter();
    let name = names
        .filter(|name| {
            let target = fs::read_link(system.path(format!("dev/disk/by-id/{name}")));
            target.is_ok_and(|t| t.file_name().is_some_and(|n| n == disk))
        })
        .min_by_key(|name| rank(name))?;
    Some(Path::new("/dev/disk/by-id").join(name))
}

fn model(system: &System, at: &str, number: &str) -> Option<String> {
    let read = |key: &str| system.text(format!("{at}/device/{key}"));
    let vendor = read("vendor").filter(|v| !v.starts_with("0x") && v != "ATA");
    let model = read("model").or_else(|| read("name"));
    match (vendor, model) {
        (Some(vendor), Some(model)) => Some(format!("{vendor} {model}")),
        (None, Some(model)) => Some(model),
        _ => system
            .udev(number, "ID_MODEL")
            .or_else(|| system.text(format!("{at}/loop/backing_file"))),
    }
}

fn serial(system: &System, name: &str, at: &str, number: &str) -> Option<String> {
    let direct = ["serial", "device/serial"]
        .iter()
        .find_map(|key| system.text(format!("{at}/{key}")));
    direct
        .or_else(|| vital_product_data(system, at))
        .or_else(|| usb_serial(system, name))
        .or_else(|| system.udev(number, "ID_SERIAL_SHORT"))
}

/// SCSI's page of the unit serial number (SPC-4, 7.8.18): four bytes of header, then text.
fn vital_product_data(system: &System, at: &str) -> Option<String> {
    let page = fs::read(system.path(format!("{at}/device/vpd_pg80"))).ok()?;
    let text = String::from_utf8_lossy(page.get(4..)?).trim().to_owned();
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')).then_some(text)
}

/// The serial number of the USB device that a disk belongs to.
fn usb_serial(system: &System, name: &str) -> Option<String> {
    let device = system.device(name)?;
    let root = fs::canonicalize(system.path("sys")).ok()?;
    let usb = device
        .ancestors()
        .take_while(|a| a.starts_with(&root))
        .find(|a| a.join("idVendor").exists())?;
    let text = fs::read_to_string(usb.join("serial")).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn bus(system: &System, name: &str) -> Bus {
    let Some(device) = system.device(name) else {
        return Bus::Other;
    };
    let has = |what: fn(&str) -> bool| {
        let parts = device.components();
        parts.filter_map(|c| c.as_os_str().to_str()).any(what)
    };
    if has(|c| c == "virtual") && !name.starts_with("nvme") {
        Bus::Virtual
    } else if has(|c| c.starts_with("usb")) {
        Bus::Usb
    } else if name.starts_with("nvme") {
        Bus::Nvme
    } else if has(|c| c.starts_with("mmc")) {
        Bus::Mmc
    } else if has(|c| c.starts_with("ata")) {
        Bus::Sata
    } else if has(|c| c.starts_with("virtio")) && name.starts_with("vd") {
        Bus::Virtio
    } else if has(|c| c.starts_with("host")) {
        Bus::Scsi
    } else {
        Bus::Other
    }
}
