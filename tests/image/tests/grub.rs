//! GRUB's choice of the slot, in every state of its environment: the configuration of the image on a small disk, with a line behind it that
//! tells what was chosen. Needs no image.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_image_tests::{Disk, Failure, Firmware, Image, Machine, Options, Result, patience};
use tempfile::TempDir;

/// Reads the real configuration, says what it came to, and starts anew.
const WRAPPER: &str = r#"
source ($root)/EFI/tandem/real.cfg
terminal_output serial
regexp --set=1:file '([^/]*)$' "$env_file"
echo
echo "CHOSEN $pick $how $A_TRY $B_TRY [$tandem_hw] $reset $file ."
reboot
"#;
const GOOD: &[(&str, &str)] = &[
    ("ORDER", "A B"),
    ("A_OK", "1"),
    ("A_TRY", "0"),
    ("A_PROVEN", "1"),
    ("B_OK", "1"),
    ("B_TRY", "0"),
    ("B_PROVEN", "1"),
    ("LAST_GOOD", "A"),
];

#[test]
#[ignore = "starts QEMU: make image-test"]
fn grub_bios() -> Result<()> {
    let lab = Lab::new()?;
    // A mains that flickers: three times each, then the last good one for ever.
    lab.chooses(
        Firmware::Bios,
        &[("grubenv", &environment(&[])?)],
        &[
            "A normal 1 0 []  grubenv",
            "A again 2 0 []  grubenv",
            "A plain 3 0 []  grubenv",
            "B normal 3 1 []  grubenv",
            "B again 3 2 []  grubenv",
            "B plain 3 3 []  grubenv",
            "A last 3 3 []  grubenv",
            "A last 3 3 []  grubenv",
        ],
    )?;
    trial(&lab, Firmware::Bios)?;
    // The hardware plan, right and wrong.
    let good = b"set tandem_hw=\"isolcpus=2-3 hugepages=4\"\n".to_vec();
    let evil = b"set tandem_hw=\"a;b\"\nset chosen=Z\nset ORDER=Q\nset default=9\n".to_vec();
    let garbage: Vec<u8> = (0..=255).cycle().take(3_000).collect();
    for (plan, taken) in [
        (good, "isolcpus=2-3 hugepages=4"),
        (b"set tandem_hw=\"isolcpus".to_vec(), ""),
        (evil, ""),
        (garbage, ""),
    ] {
        lab.chooses(
            Firmware::Bios,
            &[("grubenv", &environment(&[])?), ("hardware.cfg", &plan)],
            &[&format!("A normal 1 0 [{taken}]  grubenv")],
        )?;
    }
    // A block that is broken, both, none.
    let copy = environment(&[("ORDER", "B A"), ("LAST_GOOD", "B")])?;
    lab.chooses(
        Firmware::Bios,
        &[("grubenv", b""), ("grubenv.bak", &copy)],
        &[
            "B normal 0 1 []  grubenv.bak",
            "B again 0 2 []  grubenv.bak",
        ],
    )?;
    lab.chooses(
        Firmware::Bios,
        &[("grubenv", b""), ("grubenv.bak", &[b'x'; 1024])],
        &["A normal 1 0 []   .", "A normal 1 0 []   ."],
    )?;
    // Both bad: the last good one.
    lab.chooses(
        Firmware::Bios,
        &[(
            "grubenv",
            &environment(&[("A_OK", "0"), ("B_OK", "0"), ("LAST_GOOD", "B")])?,
        )],
        &["B last 0 0 []  grubenv", "B last 0 0 []  grubenv"],
    )?;
    lab.chooses(
        Firmware::Bios,
        &[("grubenv", &environment(&[])?), ("factory-reset", b"")],
        &["A normal 1 0 [] tandem.factory-reset=yes grubenv"],
    )?;
    // What cannot be read is passed over.
    lab.disk.overwrite("slot-a", 0, &[0; 4_096])?;
    lab.chooses(
        Firmware::Bios,
        &[("grubenv", &environment(&[])?)],
        &["B normal 0 1 []  grubenv"],
    )
}

#[test]
#[ignore = "starts QEMU: make image-test"]
fn grub_uefi() -> Result<()> {
    trial(&Lab::new()?, Firmware::Uefi)
}

/// A new version has one attempt.
fn trial(lab: &Lab, firmware: Firmware) -> Result<()> {
    lab.chooses(
        firmware,
        &[(
            "grubenv",
            &environment(&[("ORDER", "B A"), ("B_PROVEN", "0")])?,
        )],
        &["B trial 0 1 []  grubenv", "A normal 1 1 []  grubenv"],
    )
}

/// An environment block like the good one but for some variables.
fn environment(changed: &[(&str, &str)]) -> Result<Vec<u8>> {
    let value = |(name, value): &(&str, &str)| {
        let other = changed.iter().find(|(other, _)| other == name);
        format!("{name}={}", other.map_or(*value, |(_, value)| value))
    };
    let folder = TempDir::new()?;
    let file = folder.path().join("grubenv");
    run(Command::new("grub-editenv").arg(&file).arg("create"))?;
    run(Command::new("grub-editenv")
        .arg(&file)
        .arg("set")
        .args(GOOD.iter().map(value)))?;
    Ok(fs::read(file)?)
}

struct Lab {
    disk: Disk,
}

impl Lab {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let image = small_image(folder.path())?;
        let disk = Disk::of(&Image { path: image }, 1_400 << 20)?;
        // The other slot is as good.
        let slot = fs::read(folder.path().join("slot"))?;
        disk.overwrite("slot-b", 0, &slot)?;
        Ok(Self { disk })
    }

    /// What it chooses in one boot after the other.
    #[track_caller]
    fn chooses(&self, firmware: Firmware, files: &[(&str, &[u8])], wanted: &[&str]) -> Result<()> {
        self.write(files)?;
        let options = Options {
            firmware,
            memory_mib: 256,
            processors: 1,
            ..Options::default()
        };
        let mut machine = Machine::start(&self.disk, &options)?;
        for wanted in wanted {
            machine.console().wait_for("CHOSEN ", patience(30))?;
            let said = machine.console().wait_for(" .", patience(30))?;
            if !said.starts_with(wanted) {
                return Err(Failure::new(format!("{said:?} is not {wanted:?}")));
            }
        }
        machine.cut_power()
    }

    /// These files in /EFI/tandem, and no others of their kind.
    fn write(&self, files: &[(&str, &[u8])]) -> Result<()> {
        let (at, _) = self.disk.partition("esp")?;
        let image = format!("{}@@{at}", self.disk.path().display());
        let folder = TempDir::new()?;
        for name in ["grubenv", "grubenv.bak", "hardware.cfg", "factory-reset"] {
            let _ = Command::new("mdel")
                .env("MTOOLS_SKIP_CHECK", "1")
                .args(["-i", &image, &format!("::/EFI/tandem/{name}")])
                .output();
        }
        let wrapper = ("grub.cfg", WRAPPER.as_bytes());
        let real = fs::read(top().join("image/boot/grub.cfg"))?;
        for (name, bytes) in files.iter().chain([&wrapper, &("real.cfg", &real[..])]) {
            let file = folder.path().join(name);
            fs::write(&file, bytes)?;
            run(Command::new("mcopy")
                .env("MTOOLS_SKIP_CHECK", "1")
                .args(["-o", "-i", &image])
                .arg(&file)
                .arg(format!("::/EFI/tandem/{name}")))?;
        }
        Ok(())
    }
}

/// A disk as `make image` makes it, with slots that have nothing in them but what GRUB looks for.
fn small_image(folder: &Path) -> Result<PathBuf> {
    let (slot, image) = (folder.join("slot"), folder.join("small.img"));
    fs::create_dir_all(folder.join("root/boot"))?;
    fs::write(folder.join("root/boot/vmlinuz"), "kernel")?;
    fs::write(folder.join("root/boot/initrd.img"), "initrd")?;
    run(Command::new("mksquashfs")
        .args([&folder.join("root"), &slot])
        .args(["-comp", "gzip", "-noappend", "-quiet", "-no-progress"]))?;
    run(Command::new(top().join("image/lib/disk")).args([&slot, &image]))?;
    Ok(image)
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}
