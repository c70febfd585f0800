//! Recorded machines: what is listed, and what of it may be written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{refused, said};
use tandem_flash::disks::{Disk, System, detect};
use tandem_flash::refuse::{Wanted, check};

/// Lays a recording out: `path = text` (`|` is the end of a line), `path -> link`, `@ folder` for the lines that follow.
fn machine(name: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let file = format!("{}/tests/machines/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let mut folder = root.path().to_owned();
    fs::create_dir_all(root.path().join("sys/block")).unwrap();
    for line in fs::read_to_string(file).unwrap().lines() {
        if let Some(path) = line.strip_prefix("@ ") {
            folder = root.path().join(path);
        } else if let Some((path, target)) = line.split_once(" -> ") {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        } else if let Some((path, text)) = line.split_once(" = ") {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace('|', "\n") + "\n").unwrap();
        }
    }
    root
}

fn disks(root: &Path) -> Vec<Disk> {
    detect(&System::at(root)).unwrap()
}

/// Why each disk may not be written; empty if it may.
fn verdicts(name: &str) -> Vec<(String, String)> {
    let root = machine(name);
    let wanted = Wanted {
        size: 2_000_000_000,
        image_on: None,
    };
    disks(root.path())
        .iter()
        .map(|d| {
            let refused = check(d, &wanted).err();
            (
                d.name.clone(),
                refused.map_or(String::new(), |e| e.to_string()),
            )
        })
        .collect()
}

fn assert_verdicts(name: &str, expected: &[(&str, &str)]) {
    let found = verdicts(name);
    for (disk, part) in expected {
        let (_, verdict) = found
            .iter()
            .find(|(name, _)| name == disk)
            .unwrap_or_else(|| panic!("{name} has no {disk}: {found:?}"));
        match part.is_empty() {
            true => assert_eq!(verdict, "", "{name}, {disk}"),
            false => assert!(verdict.contains(part), "{name}, {disk}: {verdict}"),
        }
    }
}

#[test]
fn the_system_s_disk_is_never_written_wherever_the_system_lies() {
    let system = "the running system is on this disk";
    assert_verdicts(
        "laptop",
        &[("nvme0n1", system), ("dm-0", system), ("dm-1", system)],
    );
    assert_verdicts(
        "server",
        &[("sda", system), ("sdb", system), ("md0", system)],
    );
    assert_verdicts(
        "live",
        &[("sda", system), ("loop0", system), ("nvme0n1", "")],
    );
    assert_verdicts(
        "appliance",
        &[("sda", system), ("sdb", ""), ("nvme0n1", "")],
    );
}

#[test]
fn what_is_in_use_is_not_written_and_what_is_free_is() {
    assert_verdicts(
        "laptop",
        &[
            ("sda", "sda1 is mounted at /media/ann/MY STICK"),
            ("mmcblk0", "read-only"),
        ],
    );
    assert_verdicts(
        "server",
        &[
            ("sdc", ""),
            ("sdd", "sectors of 4096 bytes"),
            // Its file system has a device number of its own.
            ("sde", "sde is mounted at /srv"),
            ("vda", "/dev/vda is swap space in use"),
        ],
    );
    let found = verdicts("laptop");
    // A reader without a card, and a loop device without a file, are no disks.
    assert!(
        !found
            .iter()
            .any(|(name, _)| name == "sdb" || name == "loop0")
    );
}

#[test]
fn disks_are_known_by_what_is_written_on_them() {
    let root = machine("laptop");
    let laptop = disks(root.path());
    let text = |disk: &Disk| {
        format!(
            "{} {} {} {} {}",
            disk.name,
            disk.bus,
            disk.model.as_deref().unwrap_or("-"),
            disk.serial.as_deref().unwrap_or("-"),
            disk.by_id
                .as_deref()
                .map_or("-".into(), |p| p.display().to_string()),
        )
    };
    let server_root = machine("server");
    let server = disks(server_root.path());
    let found: Vec<String> = laptop.iter().chain(&server).map(text).collect();
    for expected in [
        "nvme0n1 nvme SAMSUNG MZVL2512HCJQ-00BL7 S64KNX0T123456 /dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ-00BL7_S64KNX0T123456",
        "sda usb SanDisk Ultra 4C530001230415112233 /dev/disk/by-id/usb-SanDisk_Ultra_4C530001230415112233-0:0",
        "mmcblk0 mmc SD32G 0x12345678 -",
        "sda sata Micron_5300_MTFD 2021123A -",
        "sdd scsi SEAGATE ST1200MM0139 WFK0ABCD -",
        "sde scsi ST1200MM0139 WFK0EFGH -",
        "vda virtio - scratch -",
    ] {
        assert!(
            found.iter().any(|f| f == expected),
            "{expected}: {found:#?}"
        );
    }
    let stick = laptop.iter().find(|d| d.name == "sda").unwrap();
    assert_eq!(stick.size, 60_088_320 * 512);
    assert_eq!(stick.diskseq, Some(19));
    assert!(stick.is_removable);
    assert_eq!(
        stick.partitions[0].content.as_deref(),
        Some("vfat \"HOLIDAY\"")
    );
}

#[test]
fn the_list_is_for_people_and_for_programs() {
    let root = machine("laptop");
    let root = root.path().display().to_string();
    let out = common::flash(&["list", "--root", &root]);
    let text = said(&out);
    let expected = "\
NAME            SIZE  BUS         MODEL                      SERIAL               USE
sda          30.7 GB  usb    rem. SanDisk Ultra              4C530001230415112233 in use
           /dev/disk/by-id/usb-SanDisk_Ultra_4C530001230415112233-0:0
           sda1 is mounted at /media/ann/MY STICK
mmcblk0      31.9 GB  mmc         SD32G                      0x12345678           read-only
nvme0n1     512.1 GB  nvme        SAMSUNG MZVL2512HCJQ-00BL7 S64KNX0T123456       THE RUNNING SYSTEM
           /dev/disk/by-id/nvme-SAMSUNG_MZVL2512HCJQ-00BL7_S64KNX0T123456
           nvme0n1p1 is mounted at /boot/efi
           nvme0n1p2 is mounted at /boot
           nvme0n1p3 is used by dm-0 (luks-5f2c)
           dm-0 is used by dm-1 (vg-root)
           dm-1 is mounted at /
           dm-0 is used by dm-2 (vg-swap)
           /dev/dm-2 is swap space in use
";
    assert_eq!(text, expected);
    let out = common::flash(&["list", "--json", "--root", &root]);
    let event = common::events(&out.stdout).pop().unwrap();
    let names: Vec<&str> = event["disks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sda", "mmcblk0", "nvme0n1"]);
    assert_eq!(event["disks"][0]["uses"][0]["at"], "/media/ann/MY STICK");
}

#[test]
fn a_partition_and_a_disk_that_is_not_there_are_refused() {
    let root = machine("laptop");
    let root = root.path().display().to_string();
    // It is not even looked at.
    let image = "/nowhere/tandem.img";
    let write = |disk: &str| {
        refused(
            4,
            &[
                "write",
                image,
                disk,
                "--root",
                &root,
                "--unsigned",
                "--yes-erase",
                disk,
            ],
        )
    };
    assert!(write("sda1").contains("it is a partition of sda"));
    assert!(write("sdx").contains("no such disk"));
    let said = write("usb-SanDisk_Ultra_4C530001230415112233-0:0");
    assert!(
        said.contains("sda: sda1 is mounted") && said.contains("umount"),
        "{said}"
    );
    let said = refused(4, &["install", "--root", &root]);
    assert!(
        said.contains("does not run from an appliance's stick"),
        "{said}"
    );
}

#[test]
fn the_stick_that_the_appliance_runs_from_is_found() {
    let root = machine("appliance");
    let root = root.path().display().to_string();
    // It is found, and a recording has no device to be read.
    let said = refused(1, &["install", "nvme0n1", "--root", &root]);
    assert!(
        said.contains("/dev/sda: opening the stick") || said.contains("is device"),
        "{said}"
    );
}
