//! A stick that installs itself: from one file that stands for a disk to another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use common::*;

/// A stick that was written and has run: another hardware plan, other slots.
fn stick(at: &Path) -> PathBuf {
    let stick = disk(at, 100 * MIB);
    let (image, path) = (release().packed(), stick.display().to_string());
    let key = release().key().display().to_string();
    let image = image.display().to_string();
    flashed(&[
        "write",
        &image,
        &path,
        "--file",
        "--yes-erase",
        "disk.raw",
        "--key",
        &key,
    ]);
    let renamed = at.join("stick.raw");
    fs::rename(stick, &renamed).unwrap();
    renamed
}

fn install(stick: &Path, slot: &str, disk: &Path, more: &[&str]) -> String {
    let (stick, disk) = (stick.display().to_string(), disk.display().to_string());
    let arguments = [
        "install",
        "--from",
        &stick,
        "--slot",
        slot,
        &disk,
        "--file",
        "--yes-erase",
        "disk.raw",
    ];
    flashed(&[&arguments, more].concat())
}

/// Identities of the disk and its partitions.
fn guids(disk: &Path) -> Vec<String> {
    let path = disk.display().to_string();
    let mut guids: Vec<String> = (1..=5)
        .map(|n| {
            let info = run("sgdisk", &[&format!("--info={n}"), &path]);
            info.lines()
                .find(|l| l.contains("unique GUID"))
                .unwrap()
                .to_owned()
        })
        .collect();
    let print = run("sgdisk", &["--print", &path]);
    guids.push(
        print
            .lines()
            .find(|l| l.contains("identifier"))
            .unwrap()
            .to_owned(),
    );
    guids
}

#[test]
fn the_copy_is_a_new_machine_with_the_slot_that_runs() {
    let at = folder();
    let stick = stick(at.path());
    // Slot B has a newer system, and runs.
    shell(
        at.path(),
        "mkdir tree; head -c 3000000 /dev/urandom >tree/boot; echo 9.9.10 >tree/version
        mksquashfs tree newer -quiet -no-progress -noappend >/dev/null",
    );
    let newer = fs::read(at.path().join("newer")).unwrap();
    let file = File::options().write(true).open(&stick).unwrap();
    file.write_all_at(&newer, 48 * MIB).unwrap();
    let ours = disk(at.path(), 200 * MIB);
    let said = install(&stick, "b", &ours, &["--hostname", "edge-7"]);
    assert!(said.contains("pull the stick and reboot"), "{said}");

    let path = ours.display().to_string();
    let verified = run("sgdisk", &["--verify", &path]);
    assert!(verified.contains("No problems found"), "{verified}");
    // No identity is the stick's.
    for (ours, theirs) in guids(&ours).iter().zip(guids(&stick)) {
        assert_ne!(*ours, theirs);
    }
    // Boot code, and what runs, as slot A; nothing in B.
    assert_eq!(bytes(&ours, 0, 440), bytes(&stick, 0, 440));
    assert!(bytes(&ours, MIB, MIB) == bytes(&stick, MIB, MIB));
    // With all that is behind the file system: the seal.
    file.write_all_at(b"TANDEM-SLOT", 48 * MIB + newer.len() as u64)
        .unwrap();
    install(&stick, "b", &ours, &["--hostname", "edge-7"]);
    assert!(bytes(&ours, 36 * MIB, 12 * MIB) == bytes(&stick, 48 * MIB, 12 * MIB));
    assert!(bytes(&ours, 48 * MIB, MIB).iter().all(|b| *b == 0));

    let esp = partition(&ours, "esp", at.path()).display().to_string();
    run("fsck.vfat", &["-n", &esp]);
    for name in ["grubenv", "grubenv.bak"] {
        let block = run("mtype", &["-i", &esp, &format!("::/EFI/tandem/{name}")]);
        assert_eq!(block.len(), 1024);
        let file = at.path().join(name);
        fs::write(&file, block).unwrap();
        let listed = run("grub-editenv", &[&file.display().to_string(), "list"]);
        let expected =
            "ORDER=A B\nA_OK=1\nA_TRY=0\nA_PROVEN=1\nB_OK=0\nB_TRY=0\nB_PROVEN=0\nLAST_GOOD=A\n";
        assert_eq!(listed, expected);
    }
    let files = run("mdir", &["-i", &esp, "-/", "-b", "::/"]);
    assert!(!files.contains("hardware.cfg"), "{files}");
    assert!(
        files.contains("BOOTX64.EFI") && files.contains("grub.cfg"),
        "{files}"
    );
    assert_eq!(
        run("mtype", &["-i", &esp, "::/tandem-preload/hostname"]),
        "edge-7\n"
    );

    // A data partition with nothing in it, that can grow.
    let data = at.path().join("data");
    fs::write(&data, bytes(&ours, 60 * MIB, 96 * MIB)).unwrap();
    let data = data.display().to_string();
    run("e2fsck", &["-fn", &data]);
    assert_eq!(
        run("blkid", &["-o", "value", "-s", "LABEL", &data]).trim(),
        "tandem-data"
    );
}

#[test]
fn what_is_no_stick_of_an_appliance_is_refused_and_so_is_the_stick_itself() {
    let at = folder();
    let ours = disk(at.path(), 200 * MIB);
    let path = ours.display().to_string();
    let attempt = |code: i32, from: &Path, to: &str, part: &str| {
        let from = from.display().to_string();
        let name = Path::new(to).file_name().unwrap().to_str().unwrap();
        let arguments = [
            "install",
            "--from",
            &from,
            to,
            "--file",
            "--yes-erase",
            name,
        ];
        let said = refused(code, &arguments);
        assert!(
            said.contains(part) && said.contains("Nothing was written"),
            "{said}"
        );
    };
    let other = at.path().join("other");
    File::create(&other).unwrap().set_len(10 * MIB).unwrap();
    attempt(3, &other, &path, "no GUID partition table");
    let stick = stick(at.path());
    let ours = disk(at.path(), 200 * MIB);
    attempt(
        4,
        &stick,
        &stick.display().to_string(),
        "it is the image itself",
    );
    // A slot without a system.
    let stick_path = stick.display().to_string();
    let said = refused(
        3,
        &[
            "install",
            "--from",
            &stick_path,
            "--slot",
            "b",
            &path,
            "--file",
            "--yes-erase",
            "disk.raw",
        ],
    );
    assert!(said.contains("slot-b has no squashfs"), "{said}");
    let before = fs::read(&ours).unwrap();
    install(&stick, "a", &ours, &["--dry-run"]);
    assert!(before == fs::read(&ours).unwrap());
}
