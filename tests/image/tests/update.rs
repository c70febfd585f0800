//! Updates on the booted appliance: a new version, a broken one, bundles that are none of ours, a mains that fails, a slot that is
//! not what was installed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tandem_image_tests::{Disk, Failure, Firmware, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(120);
/// Bundles as the disks that they come on.
const BUNDLES: [(&str, char); 5] = [
    ("next", 'b'),
    ("broken", 'c'),
    ("foreign", 'd'),
    ("older", 'e'),
    ("others", 'f'),
];

#[test]
#[ignore = "boots the image: make image-test"]
fn update_bios() -> Result<()> {
    updates(Firmware::Bios)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn update_uefi() -> Result<()> {
    updates(Firmware::Uefi)
}

fn updates(firmware: Firmware) -> Result<()> {
    let image = Image::built()?;
    let bundles = bundles(&image)?;
    let disk = Disk::of(&image, 4 << 30)?;
    disk.plant_shell()?;
    let mut arguments = Vec::new();
    for (name, _) in BUNDLES {
        let file = bundles.join(format!("{name}.raucb"));
        arguments.push("-drive".to_owned());
        arguments.push(format!(
            "if=virtio,format=raw,readonly=on,file={}",
            file.display()
        ));
    }
    let options = Options {
        firmware,
        arguments,
        ..Options::default()
    };
    let mut machine = Machine::start(&disk, &options)?;
    for (name, letter) in BUNDLES {
        let length = fs::metadata(bundles.join(format!("{name}.raucb")))?.len();
        machine.run(
            &format!("head -c {length} /dev/vd{letter} >/data/{name}.raucb"),
            patience(120),
        )?;
    }
    is_booted(&mut machine, "A", "normal")?;
    is_marked_good(&mut machine, "A")?;

    // What is refused leaves the other slot alone.
    machine.run(
        "cp /data/next.raucb /data/changed.raucb && printf changed | dd of=/data/changed.raucb bs=1 seek=50000000 conv=notrunc",
        patience(60),
    )?;
    for (name, why) in [
        ("foreign", "does not trust"),
        ("changed", "not what was signed"),
        ("older", "--allow-downgrade"),
        ("others", "is for \"toaster\""),
        ("none", "No such file"),
    ] {
        let (status, said) = machine.run_for_status(
            &format!("tandemctl update install /data/{name}.raucb"),
            patience(120),
        )?;
        assert!(status == 1 && said.contains(why), "{name}: {status} {said}");
    }
    let status = status(&mut machine)?;
    assert!(
        status.contains(r#""slot":"B","booted":false,"version":null,"state":"empty""#),
        "{status}"
    );

    // The mains fails while the other slot is written.
    machine.run(
        "rm /data/changed.raucb; (tandemctl update install /data/next.raucb >/data/install.log 2>&1 &)",
        SHORT,
    )?;
    machine.run(
        "until head -c 4 /dev/tandem/slot-b | grep -q hsqs; do sleep 0.2; done",
        patience(120),
    )?;
    machine.cut_power()?;
    machine.power_on()?;
    is_booted(&mut machine, "A", "normal")?;

    // The new version, which proves itself.
    let said = machine.run("tandemctl update install /data/next.raucb", patience(240))?;
    assert!(said.contains("version 99.0.0 is in slot B"), "{said}");
    machine.reboot()?;
    machine
        .console()
        .wait_for("slot B is what was installed there", patience(120))?;
    is_booted(&mut machine, "B", "trial")?;
    wait_for(&mut machine, r#""what":"proven""#)?;
    is_marked_good(&mut machine, "B")?;
    let version = machine.run("cat /etc/tandem-release", SHORT)?;
    assert!(version.contains("VERSION=99.0.0"), "{version}");

    // A slot that somebody has changed is left for the other one.
    machine.run("sync", SHORT)?;
    machine.cut_power()?;
    disk.overwrite("slot-b", 60_000_000, b"not what was here before")?;
    machine.power_on()?;
    machine
        .console()
        .wait_for("slot B is not what was installed there", patience(120))?;
    machine.expect_reboot(patience(60))?;
    is_booted(&mut machine, "A", "normal")?;
    let status = self::status(&mut machine)?;
    assert!(status.contains("slot_corrupt"), "{status}");
    assert!(
        status.contains(r#""slot":"B","booted":false,"version":"99.0.0","state":"bad""#),
        "{status}"
    );

    // A version that does not come up.
    let said = machine.run("tandemctl update install /data/broken.raucb", patience(240))?;
    assert!(said.contains("version 99.1.0 is in slot B"), "{said}");
    machine.reboot()?;
    machine.expect_reboot(patience(160))?;
    is_booted(&mut machine, "A", "normal")?;
    let status = self::status(&mut machine)?;
    assert!(
        status.contains("slot_failed")
            && status.contains(r#""what":"fell_back","version":"99.1.0""#)
            || status.contains(r#""what":"fell_back""#),
        "{status}"
    );
    assert!(status.contains(r#""next":"A""#), "{status}");
    let (code, said) = machine.run_for_status("tandemctl update rollback", SHORT)?;
    assert!(
        code == 1 && said.contains("has not proven itself"),
        "{said}"
    );
    machine.shut_down()
}

/// The bundles that the tests install, made if they are not there.
fn bundles(image: &Image) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bundles");
    let folder = image.path.parent().unwrap_or(Path::new("/"));
    let made = Command::new(script)
        .env("TANDEM_IMAGE_OUT", folder)
        .status()
        .map_err(|error| Failure::new(format!("no bundles: {error}")))?;
    match made.success() {
        true => Ok(folder.join("bundles")),
        false => Err(Failure::new("the bundles could not be made")),
    }
}

fn status(machine: &mut Machine) -> Result<String> {
    machine.run("tandemctl --json update status", SHORT)
}

fn is_booted(machine: &mut Machine, slot: &str, how: &str) -> Result<()> {
    let status = status(machine)?;
    let wanted = format!(r#""booted":"{slot}","how":"{how}""#);
    if status.contains(&wanted) {
        return Ok(());
    }
    Err(Failure::new(format!("not {wanted}: {status}")))
}

/// Waits until the running slot is marked good: until then, a power cut counts as a boot that failed.
fn is_marked_good(machine: &mut Machine, slot: &str) -> Result<()> {
    let version = if slot == "A" {
        env!("CARGO_PKG_VERSION")
    } else {
        "99.0.0"
    };
    wait_for(
        machine,
        &format!(r#""slot":"{slot}","booted":true,"version":"{version}","state":"good","tries":0"#),
    )
}

/// Waits until the status has this.
fn wait_for(machine: &mut Machine, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + patience(240);
    loop {
        let status = status(machine)?;
        if status.contains(wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = machine.run(
                "journalctl -b -u tandem-trial --no-pager | tail -n 20",
                SHORT,
            )?;
            return Err(Failure::new(format!("not {wanted}: {status}\n{log}")));
        }
        // The status is asked for until it changes: nothing tells of it.
        std::thread::sleep(Duration::from_secs(1));
    }
}
