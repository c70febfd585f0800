//! tandem-flash makes the disk that boots: from the image, with what it has for the first boot, and from the stick that runs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tandem_image_tests::{Disk, Failure, Firmware, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(60);
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f flash@test";

#[test]
#[ignore = "boots the image: make image-test"]
fn flashed_bios() -> Result<()> {
    flashed(Firmware::Bios)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn flashed_uefi() -> Result<()> {
    flashed(Firmware::Uefi)
}

/// Our program, as this checkout has it.
fn program() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "tandem-flash"])
        .status()?;
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).map(Path::to_owned);
    match (status.success(), folder) {
        (true, Some(folder)) => Ok(folder.join("tandem-flash")),
        _ => Err(Failure::new("tandem-flash was not built")),
    }
}

fn flash(arguments: &[&str]) -> Result<String> {
    let out = Command::new(program()?).args(arguments).output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    match out.status.success() {
        true => Ok(said),
        false => Err(Failure::new(format!("tandem-flash {arguments:?}: {said}"))),
    }
}

/// What a disk had before is in the places of its file systems.
fn soil(disk: &Path) -> Result<()> {
    let noise: Vec<u8> = (0_u32..1 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1)
        .collect();
    let file = fs::File::options().write(true).open(disk)?;
    let mib = 1_u64 << 20;
    for at in (0..80).chain(1080..1200) {
        file.write_all_at(&noise, at * mib)?;
    }
    Ok(())
}

/// A disk larger than the image, written by tandem-flash from the compressed image.
fn written(bytes: u64, hostname: &str) -> Result<Disk> {
    let image = Image::built()?.path;
    let packed = PathBuf::from(format!("{}.zst", image.display()));
    let disk = Disk::empty(bytes)?;
    soil(disk.path())?;
    let keys = disk.folder().join("id.pub");
    fs::write(&keys, format!("{KEY}\n"))?;
    let release_key = packed.with_file_name("release-key.pem");
    let texts =
        [&packed, &disk.path().to_owned(), &release_key, &keys].map(|p| p.display().to_string());
    let [packed, path, release_key, keys] = texts.each_ref().map(String::as_str);
    let said = flash(&[
        "write",
        packed,
        path,
        "--file",
        "--yes-erase",
        "disk.img",
        "--key",
        release_key,
        "--ssh-key",
        keys,
        "--hostname",
        hostname,
    ])?;
    eprintln!("{said}");
    // All of it is what the image has, but for the folder of the preload.
    let said = flash(&["verify", packed, path, "--file", "--key", release_key])?;
    assert!(said.contains("the same but for the first boot"), "{said}");
    Ok(disk)
}

fn flashed(firmware: Firmware) -> Result<()> {
    let disk = written(3 << 30, "edge-flash")?;
    disk.plant_shell()?;
    let options = Options {
        firmware,
        ..Options::default()
    };
    let mut machine = Machine::start(&disk, &options)?;
    is_whole(&mut machine, "vda", "edge-flash")?;
    machine.shut_down()
}

/// It runs, from slot A, on a disk that data fills to its end, with what was preloaded.
fn is_whole(machine: &mut Machine, disk: &str, hostname: &str) -> Result<()> {
    machine.wait_for_shell()?;
    let state = machine.run(
        "systemctl is-system-running --wait; systemctl --failed --no-legend --plain",
        patience(120),
    )?;
    assert!(state.starts_with("running"), "{state}");
    let facts = machine.run("cat /run/tandem/boot", SHORT)?;
    assert!(
        facts.contains("SLOT=A") && facts.contains("DATA=ok"),
        "{facts}"
    );
    let mib: u64 = machine
        .run("df --output=size -BM /data | tail -n 1 | tr -dc 0-9", SHORT)?
        .parse()
        .unwrap();
    assert!(mib > 1750, "data has {mib} MiB");
    let table = machine.run(&format!("sfdisk --verify /dev/{disk}"), SHORT)?;
    assert!(table.contains("No errors detected"), "{table}");
    assert_eq!(machine.run("hostname", SHORT)?, hostname);
    let keys = machine.run("cat /home/*/.ssh/authorized_keys /root/.ssh/authorized_keys /etc/ssh/authorized_keys/* 2>/dev/null; true", SHORT)?;
    assert!(keys.contains(KEY), "no key of the preload is there: {keys}");
    // It was taken over, and lies on the ESP no more.
    let left = machine.run("ls /boot/efi/tandem-preload 2>/dev/null; true", SHORT)?;
    assert_eq!(left, "");
    Ok(())
}

#[test]
#[ignore = "boots the image: make image-test"]
fn a_stick_installs_itself_bios() -> Result<()> {
    let stick = written(2 << 30, "stick")?;
    stick.plant_shell()?;
    let inside = Disk::empty(3 << 30)?;
    soil(inside.path())?;
    let drive = format!(
        "if=virtio,format=raw,cache=writeback,file={}",
        inside.path().display()
    );
    let options = Options {
        arguments: vec!["-drive".into(), drive],
        ..Options::default()
    };
    let mut machine = Machine::start(&stick, &options)?;
    machine.wait_for_shell()?;
    let list = machine.run("tandem-flash list", SHORT)?;
    assert!(list.contains("THE RUNNING SYSTEM"), "{list}");
    // The stick itself is refused.
    let (status, said) =
        machine.run_for_status("tandem-flash install vda --yes-erase vda", SHORT)?;
    assert_eq!(status, 4, "{said}");
    let said = machine.run(
        &format!(
            "echo '{KEY}' >/run/id.pub; tandem-flash install vdb --yes-erase vdb --hostname edge-inside --ssh-key /run/id.pub"
        ),
        patience(200),
    )?;
    assert!(said.contains("pull the stick and reboot"), "{said}");
    eprintln!("{said}");
    machine.shut_down()?;
    drop(stick);
    inside.plant_shell()?;
    let mut machine = Machine::start(&inside, &Options::default())?;
    is_whole(&mut machine, "vda", "edge-inside")?;
    machine.shut_down()
}

/// The stick is pulled while it is written, and put in again: what happened is told, the machine that wrote it goes on, and another run
/// makes it whole.
#[test]
#[ignore = "boots the image: make image-test"]
fn a_stick_that_is_pulled() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 2 << 30)?;
    disk.plant_shell()?;
    let stick = Disk::empty(2 << 30)?;
    soil(stick.path())?;
    let monitor = disk.folder().join("monitor");
    let options = Options {
        arguments: [
            "-device",
            "qemu-xhci,id=usb",
            // Slow enough to be pulled in the middle.
            "-object",
            "throttle-group,id=slow,x-bps-write=10000000",
            "-blockdev",
            &format!("file,node-name=file,filename={}", stick.path().display()),
            "-blockdev",
            "raw,node-name=raw,file=file",
            "-blockdev",
            "throttle,node-name=stick,throttle-group=slow,file=raw",
            "-monitor",
            &format!("unix:{},server=on,wait=off", monitor.display()),
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Options::default()
    };
    let mut machine = Machine::start(&disk, &options)?;
    machine.wait_for_shell()?;
    let mut monitor = UnixStream::connect(&monitor)?;
    let plug = "device_add usb-storage,bus=usb.0,drive=stick,id=plug";
    let is_there = "tandem-flash list | grep -q sda && echo yes || echo no";
    let install = "tandem-flash install sda --yes-erase sda --json";

    writeln!(monitor, "{plug}")?;
    machine.until(is_there, "yes", patience(30))?;
    machine.run(
        &format!("({install} >/run/flash.log 2>&1; echo ended with $? >>/run/flash.log) &"),
        SHORT,
    )?;
    machine.until(
        "grep -q '\"done\":[1-9].*\"phase\":\"write\"' /run/flash.log && echo yes || echo no",
        "yes",
        patience(60),
    )?;
    writeln!(monitor, "device_del plug")?;
    machine.until(
        "grep -q 'ended with' /run/flash.log && echo yes || echo no",
        "yes",
        patience(60),
    )?;
    let said = machine.run("cat /run/flash.log", SHORT)?;
    eprintln!("{said}");
    for wanted in [
        "\"event\":\"error\"",
        "\"disk_state\":\"not_bootable\"",
        "ended with 1",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Nothing of the machine itself was harmed.
    let facts = machine.run("touch /data/there && sync && tandem-flash list", SHORT)?;
    assert!(!facts.contains("sda"), "{facts}");

    writeln!(monitor, "{plug}")?;
    machine.until(is_there, "yes", patience(30))?;
    let said = machine.run(install, patience(200))?;
    assert!(said.contains("\"event\":\"done\""), "{said}");
    machine.shut_down()?;
    stick.plant_shell()?;
    let mut machine = Machine::start(&stick, &Options::default())?;
    machine.wait_for_shell()?;
    let facts = machine.run("cat /run/tandem/boot", SHORT)?;
    assert!(facts.contains("DATA=ok"), "{facts}");
    machine.shut_down()
}
