//! What a first boot does to the disk survives power cuts, and a data partition that is broken does not keep the appliance
//! from starting.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use tandem_image_tests::{Disk, Firmware, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(60);
const DISK: u64 = 6 << 30;

/// Power cuts around the partition table, the file system's new id, and growing: the next boot goes on from there.
#[test]
#[ignore = "boots the image: make image-test"]
fn power_cuts_while_the_disk_is_made_this_machines_own() -> Result<()> {
    let disk = Disk::of(&Image::built()?, DISK)?;
    disk.plant_shell()?;
    let mut machine = Machine::start(&disk, &Options::default())?;
    // Each cut comes with the line, or a little later.
    let cuts = [
        ("Mounting root file system", 0),
        ("Mounting root file system", 700),
        ("has ids of its own now", 0),
        ("data has the rest of", 300),
        ("tandem: slot A on", 0),
        ("tandem: slot A on", 1500),
        ("Run /sbin/init", 0),
    ];
    for (line, later) in cuts {
        // A line that came in an earlier boot does not come again: then the system is as far as its welcome.
        machine
            .console()
            .wait_for_one_of(&[line, "Welcome to"], patience(120))?;
        std::thread::sleep(Duration::from_millis(later));
        machine.cut_power()?;
        let table = disk.partition("data");
        assert!(
            table.is_ok(),
            "after a cut at {line:?} + {later} ms: {table:?}"
        );
        machine.power_on()?;
    }
    machine.wait_for_shell()?;
    let mib: u64 = machine
        .run("df --output=size -BM /data | tail -n 1 | tr -dc 0-9", SHORT)?
        .parse()
        .unwrap();
    assert!(mib > 4700, "data has {mib} MiB");
    let table = machine.run(
        "sfdisk --verify /dev/vda && sfdisk --dump /dev/vda && cat /run/tandem/boot",
        SHORT,
    )?;
    assert!(
        table.contains("No errors detected") && !table.to_lowercase().contains("7a9de0b5"),
        "{table}"
    );
    machine.shut_down()?;
    let (start, _) = disk.partition("data")?;
    disk.check_data(start)
}

/// Nothing of the file system is left: data is in memory, and the console says so.
#[test]
#[ignore = "boots the image: make image-test"]
fn a_data_partition_that_is_gone() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 2 << 30)?;
    disk.overwrite("data", 0, &vec![0x5a; 95 << 20])?;
    let machine = Machine::start(
        &disk,
        &Options {
            firmware: Firmware::Bios,
            ..Options::default()
        },
    )?;
    machine
        .console()
        .wait_for("*** The data partition is not usable", patience(120))?;
    // It starts all the same, as far as its login.
    machine
        .console()
        .wait_for("login:", patience(240))
        .map(|_| ())
}

/// What e2fsck can put right is put right, and what was in it is there.
#[test]
#[ignore = "boots the image: make image-test"]
fn a_data_partition_that_is_damaged() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 2 << 30)?;
    disk.plant_shell()?;
    disk.damage_data()?;
    let mut machine = Machine::start(&disk, &Options::default())?;
    machine.wait_for_shell()?;
    let facts = machine.run("cat /run/tandem/boot /run/tandem/fsck.log", SHORT)?;
    assert!(facts.contains("DATA=repaired"), "{facts}");
    machine.shut_down()
}

/// Damage that the file system does not know of: a look into it ends no start, it is put right, and whoever asks for alarms is told.
#[test]
#[ignore = "boots the image: make image-test"]
fn damage_that_nobody_marked() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 2 << 30)?;
    disk.plant_shell()?;
    disk.plant("/overlay/root/upper/kept", "is still here\n")?;
    disk.plant("/overlay/var/upper/kept", "is lost, or in lost+found\n")?;
    disk.damage_folder("/overlay/var")?;
    let mut machine = Machine::start(&disk, &Options::default())?;
    machine.wait_for_shell()?;
    let facts = machine.run(
        "cat /run/tandem/boot /run/tandem/fsck.log /root/kept",
        SHORT,
    )?;
    assert!(
        facts.contains("DATA=repaired") && facts.contains("is still here"),
        "{facts}"
    );
    machine.until("tandemctl alarms", "data_repaired", patience(60))?;
    // It is whole now, and nothing is left to be told.
    machine.reboot()?;
    machine.wait_for_shell()?;
    let facts = machine.run("cat /run/tandem/boot", SHORT)?;
    assert!(facts.contains("DATA=ok"), "{facts}");
    machine.until(
        "tandemctl alarms | grep -c data_ || true",
        "0",
        patience(60),
    )?;
    machine.shut_down()
}

/// A machine's list of accounts is from an older system: those that the new one brought are added, its own stay.
#[test]
#[ignore = "boots the image: make image-test"]
fn accounts_of_a_new_system() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 2 << 30)?;
    disk.plant_shell()?;
    let own = "root:x:0:0:root:/root:/bin/bash\nvisitor:x:1234:1234:Visitor:/:/usr/sbin/nologin\n";
    disk.plant("/overlay/etc/upper/passwd", own)?;
    let mut machine = Machine::start(&disk, &Options::default())?;
    machine.wait_for_shell()?;
    let accounts = machine.run(
        "getent passwd visitor root _chrony sshd | cut -d: -f1,3",
        SHORT,
    )?;
    assert_eq!(accounts, "visitor:1234\nroot:0\n_chrony:100\nsshd:103");
    machine.shut_down()
}
