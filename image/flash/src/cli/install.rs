//! `tandem-flash install`: from the stick to the machine's own disk.

use std::path::Path;

use tandem_flash::disks::{Disk, Use};
use tandem_flash::install::{Stick, new_data};
use tandem_flash::preload::Preload;
use tandem_flash::target::{Access, Device};
use tandem_flash::{Error, Failure};

use super::commands::{Chosen, What, write_disk};
use super::report::Reporter;
use super::{WriteArgs, choose};

pub(super) fn run(
    root: &Path,
    from: Option<(&Path, &str)>,
    disk: Option<&Path>,
    is_file: bool,
    args: &WriteArgs,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let preload = Preload::read(&args.preload())?;
    let (device, path, slot) = match from {
        Some((path, slot)) if path.is_file() => {
            let device = Device::file(path, Access::Read);
            (device, path.to_owned(), slot.to_owned())
        }
        Some((path, slot)) => {
            let stick = choose::find(root, path)?;
            let device = Device::disk(&choose::device(root, &stick), &stick.number, Access::Read);
            (device, stick.path, slot.to_owned())
        }
        None => {
            let (stick, slot) = running(root, &choose::disks(root)?)?;
            // What is written to the stick's file systems has to be on it.
            nix::unistd::sync();
            let device = Device::disk(&choose::device(root, &stick), &stick.number, Access::Read);
            (device, stick.path, slot)
        }
    };
    let device = device.map_err(|e| Error::io(&path, "opening the stick", e))?;
    let chosen = Chosen::new(root, disk, is_file, Some(&path))?;
    if chosen.disk.path == path {
        return Err(Error::Refused {
            disk: chosen.disk.name,
            problems: vec!["it is the stick that would be copied".into()],
            remedy: "choose another one".into(),
        }
        .into());
    }
    chosen.check(0, None)?;
    chosen.readable()?;
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|e| Error::io(&std::env::temp_dir(), "making a folder", e))?;
    let data = folder.path().join("data");
    new_data(&data)?;
    let mut stick = Stick::read(device, &path, &slot, &data)?;
    let what = What {
        image: stick.image,
        preload,
        path,
    };
    write_disk(&chosen, &what, &mut stick.source, args, reporter)?;
    if !args.dry_run {
        reporter.fact(
            "Now pull the stick and reboot: with both in, the order in the firmware says which one starts.",
        );
    }
    Ok(())
}

/// The disk that the appliance runs from, and the slot: the kernel's command line names it (image/boot/grub.cfg), and the root is a
/// mount of a disk that has such a slot, directly or through dm-verity.
fn running(root: &Path, disks: &[Disk]) -> Result<(Disk, String), Error> {
    let line = std::fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
    let slot = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("tandem.slot="));
    if let Some(slot @ ("A" | "B")) = slot {
        let slot = slot.to_ascii_lowercase();
        let label = format!("slot-{slot}");
        let is_root = |u: &Use| matches!(u, Use::Mounted { at, .. } if at == "/");
        let disk = disks.iter().find(|d| {
            let has_slot = d
                .partitions
                .iter()
                .any(|p| p.label.as_deref() == Some(&label));
            has_slot && d.uses.iter().any(is_root)
        });
        if let Some(disk) = disk {
            return Ok((disk.clone(), slot));
        }
    }
    Err(Error::Refused {
        disk: "/".into(),
        problems: vec!["this machine does not run from an appliance's stick".into()],
        remedy: "boot from the stick first, or use `tandem-flash write` with an image".into(),
    })
}
