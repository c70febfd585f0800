//! Updates on the booted appliance, with both planes up: a new version, a broken one, bundles that are none of ours, a mains that
//! fails, a slot that is not what was installed, a trial that hangs, the way back.
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
/// Both planes on ports that have a link and no wire: what is proven is the appliance's own.
const TANDEM: &str = r#"
[node]
id = 1
[dataplane]
workers = [1]
control_core = 0
idle = "pause"
memory_mb = 256
mbufs = 16383
max_flows = 4096
[[port]]
name = "carrier"
device = "net_null0,no-rx=1"
[[port]]
name = "core"
device = "net_null1,no-rx=1"
[[realm]]
name = "carrier"
side = "external"
port = "carrier"
tap = "tnd-carrier"
sip = ["192.0.2.10:5060"]
media = ["192.0.2.10"]
[[realm]]
name = "core"
side = "internal"
port = "core"
tap = "tnd-core"
sip = ["10.20.0.10:5060"]
media = ["10.20.0.10"]
[dispatcher]
probe_interval = 0
[overload]
target = 0
[sip]
workers = 1
"#;
const MANAGEMENT: &str = r#"
[realm.carrier]
addresses = ["192.0.2.10/24"]
[realm.core]
addresses = ["10.20.0.10/24"]
"#;

#[test]
#[ignore = "boots the image: make image-test"]
fn update_bios() -> Result<()> {
    update(Firmware::Bios)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn update_uefi() -> Result<()> {
    update(Firmware::Uefi)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn fall_back_bios() -> Result<()> {
    fall_back(Firmware::Bios)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn fall_back_uefi() -> Result<()> {
    fall_back(Firmware::Uefi)
}

/// What is refused, a mains that fails, the new version that proves itself, and the way back from it.
fn update(firmware: Firmware) -> Result<()> {
    let image = Image::built()?;
    let bundles = bundles(&image)?;
    let disk = Disk::of(&image, 4 << 30)?;
    disk.plant_shell()?;
    preload(&disk)?;
    let mut machine = Machine::start(&disk, &options(firmware, &bundles)?)?;
    for (name, _) in BUNDLES {
        load(&mut machine, &bundles, name)?;
    }
    is_booted(&mut machine, "A", "normal")?;
    is_marked_good(&mut machine, "A")?;

    // RAUC is root's: nobody else marks slots, or installs past tandemctl.
    let (code, said) = machine.run_for_status(
        "runuser -u tandem-sigplane -- busctl call de.pengutronix.rauc / de.pengutronix.rauc.Installer GetSlotStatus",
        SHORT,
    )?;
    assert!(code != 0 && said.contains("denied"), "{code}: {said}");

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
        "rm /data/changed.raucb; (tandemctl update install /data/next.raucb >/data/install.log 2>&1; echo ended >>/data/install.log) &",
        SHORT,
    )?;
    let (_, said) = machine.run_for_status(
        "until head -c 4 /dev/tandem/slot-b | grep -q hsqs || grep ended /data/install.log; do sleep 0.2; done; cat /data/install.log",
        patience(160),
    )?;
    if said.contains("ended") {
        return Err(failed_install(&mut machine, &said));
    }
    machine.cut_power()?;
    machine.power_on()?;
    is_booted(&mut machine, "A", "normal")?;

    // The new version, which proves itself: nothing is left out of what the old one did.
    is_marked_good(&mut machine, "A")?;
    proves_itself(&mut machine)?;
    install(&mut machine, "next", "99.0.0")?;
    machine.reboot()?;
    machine
        .console()
        .wait_for("slot B is what was installed there", patience(120))?;
    is_booted(&mut machine, "B", "trial")?;
    let status = wait_for(&mut machine, r#""what":"proven""#)?;
    assert!(
        status.contains(r#""notes":[]"#),
        "something was left out: {status}"
    );
    is_marked_good(&mut machine, "B")?;
    let version = machine.run("cat /etc/tandem-release", SHORT)?;
    assert!(version.contains("VERSION=99.0.0"), "{version}");

    // And back.
    let said = machine.run("tandemctl update rollback", SHORT)?;
    assert!(said.contains("version 0.1.0 in slot A"), "{said}");
    machine.reboot()?;
    is_booted(&mut machine, "A", "normal")?;
    let status = is_marked_good(&mut machine, "A")?;
    assert!(
        status.contains(r#""what":"rolled_back""#)
            && status.contains(r#""slot":"B","booted":false,"version":"99.0.0","state":"good""#)
            && status.contains(r#""alarms":[]"#),
        "{status}"
    );
    machine.shut_down()
}

/// A slot that somebody has changed is left for the other one, and so is a version that does not come up.
fn fall_back(firmware: Firmware) -> Result<()> {
    let image = Image::built()?;
    let bundles = bundles(&image)?;
    let disk = both_slots(
        &image,
        &bundles,
        &["ORDER=B A", "B_OK=1", "B_PROVEN=1", "LAST_GOOD=B"],
    )?;
    disk.overwrite("slot-b", 60_000_000, b"not what was here before")?;
    let mut machine = Machine::start(&disk, &options(firmware, &bundles)?)?;
    machine
        .console()
        .wait_for("slot B is not what was installed there", patience(120))?;
    machine.expect_reboot(patience(60))?;
    load(&mut machine, &bundles, "broken")?;
    is_booted(&mut machine, "A", "normal")?;
    let status = is_marked_good(&mut machine, "A")?;
    assert!(status.contains("slot_corrupt"), "{status}");
    assert!(
        status.contains(r#""slot":"B","booted":false,"version":"99.0.0","state":"bad""#),
        "{status}"
    );

    // A version that does not come up.
    install(&mut machine, "broken", "99.1.0")?;
    machine.reboot()?;
    machine
        .console()
        .wait_for("slot B is what was installed there", patience(120))?;
    machine.expect_reboot(patience(160))?;
    is_booted(&mut machine, "A", "normal")?;
    // The shell is there before the boot has told what it means.
    let status = wait_for(&mut machine, r#""what":"fell_back","version":"99.1.0""#)?;
    assert!(
        status.contains("slot_failed") && status.contains(r#""next":"A""#),
        "{status}"
    );
    let (code, said) = machine.run_for_status("tandemctl update rollback", SHORT)?;
    assert!(
        code == 1 && said.contains("has not proven itself"),
        "{said}"
    );
    machine.shut_down()
}

/// A system on trial whose proof hangs is left for the one before, when its time is over.
#[test]
#[ignore = "boots the image: make image-test"]
fn trial_over() -> Result<()> {
    let hangs = "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n";
    // Minutes instead of a quarter of an hour, from when the system's services begin to start.
    let soon = "[Timer]\nOnBootSec=\nOnActiveSec=150\n";
    goes_back(
        &[
            ("tandem-trial.service", hangs),
            ("tandem-trial-over.timer", soon),
        ],
        "its time is over",
    )
}

/// A system on trial whose signaling plane does not come up is left for the one before when the proof's time is over, and what was
/// missing is told.
#[test]
#[ignore = "boots the image: make image-test"]
fn not_proven() -> Result<()> {
    let not_on_trial =
        "[Service]\nExecStartPre=/bin/sh -c '! grep -q tandem.boot=trial /proc/cmdline'\n";
    goes_back(&[("tandem-sigplane.service", not_on_trial)], "signaling: ")
}

/// The next version is on trial, with these changes of units, and the machine goes back to the one before by itself; why.
fn goes_back(changes: &[(&str, &str)], why: &str) -> Result<()> {
    let image = Image::built()?;
    let bundles = bundles(&image)?;
    let disk = both_slots(
        &image,
        &bundles,
        &["ORDER=B A", "B_OK=1", "B_PROVEN=0", "LAST_GOOD=A"],
    )?;
    preload(&disk)?;
    for (unit, change) in changes {
        let folder = format!("/overlay/etc/upper/systemd/system/{unit}.d");
        disk.plant(&format!("{folder}/test.conf"), change)?;
    }
    let mut machine = Machine::start(&disk, &Options::default())?;
    machine
        .console()
        .wait_for("slot B is what was installed there", patience(120))?;
    is_booted(&mut machine, "B", "trial")?;
    machine.expect_reboot(patience(240))?;
    is_booted(&mut machine, "A", "normal")?;
    let status = is_marked_good(&mut machine, "A")?;
    for wanted in [
        why,
        "slot_failed",
        r#""what":"fell_back","version":"99.0.0""#,
        r#""next":"A""#,
        r#""slot":"B","booted":false,"version":"99.0.0","state":"bad""#,
    ] {
        assert!(status.contains(wanted), "{wanted}: {status}");
    }
    machine.shut_down()
}

/// Configuration and names go, the slots stay, and the machine starts as a new one.
#[test]
#[ignore = "boots the image: make image-test"]
fn factory_reset() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 3 << 30)?;
    disk.plant_shell()?;
    preload(&disk)?;
    let mut machine = Machine::start(&disk, &Options::default())?;
    is_booted(&mut machine, "A", "normal")?;
    is_marked_good(&mut machine, "A")?;
    let old = machine.run(
        "test -s /etc/tandem/tandem.toml && cat /etc/hostname",
        SHORT,
    )?;
    assert_eq!(old, "edge-1");
    let (code, said) =
        machine.run_for_status("tandemctl appliance factory-reset --confirm edge-2", SHORT)?;
    assert!(code == 1 && said.contains("nothing was changed"), "{said}");
    machine.run(
        "tandemctl appliance factory-reset --confirm edge-1",
        patience(60),
    )?;
    machine.expect_reboot(patience(120))?;
    // The shell of the tests is gone with all else.
    let console = machine.console();
    console.wait_for("factory reset: done; this machine is new", patience(120))?;
    console.wait_for("this machine is tandem", patience(160))?;
    console.wait_for("tandem login:", patience(120))?;
    machine.cut_power()?;
    let flag = disk.esp("mdir", &["-b", "::/EFI/tandem"])?;
    assert!(!flag.contains("factory-reset"), "{flag}");
    machine.power_on()?;
    machine
        .console()
        .wait_for("slot A is what was installed there", patience(120))?;
    machine.console().wait_for("tandem login:", patience(240))?;
    assert!(!machine.console().text().contains("factory reset"));
    machine.cut_power()
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

/// A machine with a disk for each bundle.
fn options(firmware: Firmware, bundles: &Path) -> Result<Options> {
    let mut arguments = Vec::new();
    for (name, _) in BUNDLES {
        let file = fs::canonicalize(bundles.join(format!("{name}.raucb")))?;
        arguments.push("-drive".to_owned());
        arguments.push(format!(
            "if=virtio,format=raw,readonly=on,file={}",
            file.display()
        ));
    }
    Ok(Options {
        firmware,
        arguments,
        ..Options::default()
    })
}

/// The bundle of this name into /data.
fn load(machine: &mut Machine, bundles: &Path, name: &str) -> Result<()> {
    let (_, letter) = BUNDLES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Failure::new(format!("no bundle {name}")))?;
    let length = fs::metadata(bundles.join(format!("{name}.raucb")))?.len();
    machine
        .run(
            &format!("head -c {length} /dev/vd{letter} >/data/{name}.raucb"),
            patience(120),
        )
        .map(drop)
}

/// A disk with the next version in slot B, as if it had been installed, and what GRUB shall know of it.
fn both_slots(image: &Image, bundles: &Path, variables: &[&str]) -> Result<Disk> {
    let disk = Disk::of(image, 3 << 30)?;
    disk.plant_shell()?;
    disk.overwrite("slot-b", 0, &fs::read(bundles.join("next.slot"))?)?;
    let file = disk.folder().join("grubenv").display().to_string();
    disk.esp("mcopy", &["-n", "::/EFI/tandem/grubenv", &file])?;
    let set = Command::new("grub-editenv")
        .args([&file, "set"])
        .args(variables)
        .status()?;
    assert!(set.success(), "grub-editenv: {set}");
    disk.esp("mcopy", &["-o", &file, "::/EFI/tandem/grubenv"])?;
    Ok(disk)
}

/// What the flash tool would write.
fn preload(disk: &Disk) -> Result<()> {
    disk.preload(&[
        ("tandem.toml", TANDEM),
        ("management.toml", MANAGEMENT),
        ("hostname", "edge-1\n"),
    ])
}

fn install(machine: &mut Machine, name: &str, version: &str) -> Result<()> {
    let began = Instant::now();
    let (status, said) = machine.run_for_status(
        &format!("tandemctl update install /data/{name}.raucb"),
        patience(240),
    )?;
    if status != 0 || !said.contains(&format!("version {version} is in slot B")) {
        return Err(failed_install(machine, &said));
    }
    println!(
        "{version} was installed in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn failed_install(machine: &mut Machine, said: &str) -> Failure {
    let log = machine.run(
        "journalctl -b -o short-precise --no-pager -u rauc | tail -n 40; tandemctl update status",
        SHORT,
    );
    Failure::new(format!("not installed: {said}\n{}", either(log)))
}

/// All of what the next version will be asked for.
fn proves_itself(machine: &mut Machine) -> Result<()> {
    let (status, said) =
        machine.run_for_status("tandemctl update prove --seconds 300", patience(320))?;
    if status == 0 && said.matches(" passed").count() == 6 {
        return Ok(());
    }
    let log = machine.run(
        "journalctl -b --no-pager -u 'tandem-*' | tail -n 60; ip -br addr",
        SHORT,
    );
    Err(Failure::new(format!("{said}\n{}", either(log))))
}

fn either(said: Result<String>) -> String {
    said.unwrap_or_else(|error| error.to_string())
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
fn is_marked_good(machine: &mut Machine, slot: &str) -> Result<String> {
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

/// Waits until the status has this; the status.
fn wait_for(machine: &mut Machine, wanted: &str) -> Result<String> {
    let deadline = Instant::now() + patience(240);
    loop {
        let status = status(machine)?;
        if status.contains(wanted) {
            return Ok(status);
        }
        if Instant::now() > deadline {
            let log = machine.run(
                "journalctl -b --no-pager -u 'tandem-*' | tail -n 60; systemctl --no-pager list-jobs",
                SHORT,
            );
            return Err(Failure::new(format!(
                "not {wanted}: {status}\n{}",
                either(log)
            )));
        }
        // The status is asked for until it changes: nothing tells of it.
        std::thread::sleep(Duration::from_secs(1));
    }
}
