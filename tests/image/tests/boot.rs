//! The image boots under BIOS and UEFI, and its file systems are what they should be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use tandem_image_tests::{Disk, Firmware, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "boots the image: make image-test"]
fn bios() -> Result<()> {
    boots(Firmware::Bios)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn uefi() -> Result<()> {
    boots(Firmware::Uefi)
}

fn boots(firmware: Firmware) -> Result<()> {
    let disk = Disk::of(&Image::built()?, 3 << 30)?;
    disk.plant_shell()?;
    let mut machine = Machine::start(
        &disk,
        &Options {
            firmware,
            ..Options::default()
        },
    )?;
    machine
        .console()
        .wait_for("tandem: slot A on /dev/vda3", patience(90))?;
    machine.wait_for_shell()?;

    let efi = machine.run("test -d /sys/firmware/efi && echo uefi || echo bios", SHORT)?;
    assert_eq!(
        efi,
        if firmware == Firmware::Uefi {
            "uefi"
        } else {
            "bios"
        }
    );
    // What lies where.
    assert_eq!(machine.run("findmnt -no FSTYPE /", SHORT)?, "squashfs");
    assert!(
        machine
            .run("findmnt -no OPTIONS /", SHORT)?
            .starts_with("ro")
    );
    assert!(
        machine.run("touch /usr/x", SHORT).is_err(),
        "/usr can be written to"
    );
    assert_eq!(
        machine.run(
            "for at in /etc /var /root /data; do findmnt -no FSTYPE $at; done | paste -sd' '",
            SHORT
        )?,
        "overlay overlay overlay ext4"
    );
    assert_eq!(machine.run("findmnt -no SOURCE /data", SHORT)?, "/dev/vda5");
    let facts = machine.run("cat /run/tandem/boot", SHORT)?;
    assert!(
        facts.contains("SLOT=A") && facts.contains("DATA=ok"),
        "{facts}"
    );
    let links = machine.run("ls /dev/tandem", SHORT)?;
    assert_eq!(
        links.split_whitespace().collect::<Vec<_>>(),
        ["bios", "data", "esp", "slot-a", "slot-b"]
    );
    assert!(
        machine
            .run("ls /boot/efi/EFI/tandem", SHORT)?
            .contains("grub.cfg")
    );

    // Data has grown to the disk's end (3 GiB, less slots and ESP), and what was the same in every image is this machine's own.
    let mib: u64 = machine
        .run("df --output=size -BM /data | tail -n 1 | tr -dc 0-9", SHORT)?
        .parse()
        .unwrap();
    assert!(mib > 1750, "data has {mib} MiB");
    let table = machine.run(
        "sfdisk --dump /dev/vda; sfdisk --verify /dev/vda; blkid -s UUID -o value /dev/vda5",
        SHORT,
    )?;
    assert!(
        !table.to_lowercase().contains("7a9de0b5"),
        "ids of the image are left:\n{table}"
    );
    assert!(table.contains("No errors detected"), "{table}");

    // A change outlives a restart, and a power cut.
    machine.run(
        "echo one >/etc/tandem-test && hostnamectl --static set-hostname edge1 && sync",
        SHORT,
    )?;
    let id = machine.run("cat /etc/machine-id", SHORT)?;
    assert_eq!(id.len(), 32);
    machine.reboot()?;
    assert_eq!(
        machine.run("cat /etc/tandem-test /etc/hostname /etc/machine-id", SHORT)?,
        format!("one\nedge1\n{id}")
    );
    let again = machine.run(
        "sfdisk --dump /dev/vda; sfdisk --verify /dev/vda; blkid -s UUID -o value /dev/vda5",
        SHORT,
    )?;
    assert_eq!(again, table, "the second boot changed the disk");
    machine.run("echo two >/etc/tandem-test && sync", SHORT)?;
    machine.cut_power()?;
    machine.power_on()?;
    assert_eq!(machine.run("cat /etc/tandem-test", SHORT)?, "two");
    // Units of Debian's; ours have tests of their own, with ports.
    let (_, failed) = machine.run_for_status(
        "timeout 300 systemctl is-system-running --wait; systemctl --failed --no-legend --plain | grep -v ^tandem-",
        patience(120),
    )?;
    assert!(failed == "running" || failed == "degraded", "{failed}");
    machine.shut_down()
}
