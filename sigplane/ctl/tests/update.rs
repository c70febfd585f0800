//! `tandemctl update install` with the real RAUC and the image's own scripts: what is refused before the other slot is touched. And what
//! a start finds wrong, told by `tandemctl alarms`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// An appliance in a directory, and what bundles are made of.
struct Lab {
    directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        for tool in ["rauc", "mksquashfs", "veritysetup", "openssl"] {
            let found = Command::new(tool).arg("--version").output();
            assert!(found.is_ok(), "no {tool} here: .ci/setup installs it");
        }
        let lab = Self {
            directory: TempDir::new().unwrap(),
        };
        let root = lab.root();
        for folder in [
            "proc",
            "etc",
            "usr/lib/tandem/rauc",
            "dev/tandem",
            "boot/efi/EFI/tandem",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(
            root.join("proc/cmdline"),
            "tandem.slot=A tandem.boot=normal\n",
        )
        .unwrap();
        fs::write(root.join("etc/tandem-release"), "VERSION=1.0.0\n").unwrap();
        fs::write(root.join("dev/tandem/slot-b"), vec![0; 1 << 20]).unwrap();
        let configuration = "image/packages/tandem-update/root/usr/lib/tandem/rauc/system.conf";
        fs::copy(
            top().join(configuration),
            root.join("usr/lib/tandem/rauc/system.conf"),
        )
        .unwrap();
        lab.script("keys", &[&lab.path("keys")], &[]);
        lab.script("keys", &[&lab.path("others")], &[]);
        fs::copy(
            lab.path("keys/rauc-cert.pem"),
            root.join("usr/lib/tandem/rauc/keyring.pem"),
        )
        .unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn root(&self) -> PathBuf {
        self.path("root")
    }

    fn script(&self, name: &str, arguments: &[&Path], environment: &[(&str, &Path)]) {
        let output = Command::new(top().join("image/update").join(name))
            .args(arguments)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }

    /// A bundle of a version with so many bytes in it, signed by the keys in a folder.
    fn bundle(&self, version: &str, bytes: usize, keys: &str, compatible: &str) -> PathBuf {
        let tree = self.path("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&tree).unwrap();
        let noise = (0_u32..).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes());
        fs::write(tree.join("vmlinuz"), noise.take(bytes).collect::<Vec<_>>()).unwrap();
        let squashfs = self.path("squashfs");
        let made = Command::new("mksquashfs")
            .args([&tree, &squashfs])
            .args([
                "-noappend",
                "-quiet",
                "-no-progress",
                "-noI",
                "-noD",
                "-noF",
            ])
            .output();
        assert!(made.unwrap().status.success());
        let (slot, file) = (
            self.path("slot"),
            self.path(&format!("{version}-{keys}-{compatible}.raucb")),
        );
        self.script("seal", &[&squashfs, Path::new(version), &slot], &[]);
        self.script(
            "bundle",
            &[&slot, Path::new(version), &file],
            &[
                ("TANDEM_RAUC_KEY", &self.path(keys).join("rauc-key.pem")),
                ("TANDEM_RAUC_CERT", &self.path(keys).join("rauc-cert.pem")),
                ("TANDEM_RAUC_COMPATIBLE", Path::new(compatible)),
            ],
        );
        file
    }

    fn install(&self, file: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tandemctl"))
            .args(["update", "--root"])
            .arg(self.root())
            .arg("install")
            .arg(file)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn refuses(&self, file: &Path, why: &str) {
        let output = self.install(file);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains(why),
            "{said}"
        );
        // The other slot is as it was, and so is what GRUB reads.
        assert!(
            fs::read(self.root().join("dev/tandem/slot-b"))
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
        assert!(!self.root().join("boot/efi/EFI/tandem/grubenv").exists());
        assert!(!self.root().join("data/update/check").exists());
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn what_is_not_to_be_installed_is_refused_with_its_cause() {
    let lab = Lab::new();
    let good = lab.bundle("1.1.0", 100_000, "keys", "tandem-amd64");
    lab.refuses(
        &lab.bundle("1.1.0", 9_000, "others", "tandem-amd64"),
        "does not trust",
    );
    lab.refuses(
        &lab.bundle("1.1.0", 9_000, "keys", "toaster"),
        "is for \"toaster\"",
    );
    lab.refuses(
        &lab.bundle("0.9.0", 9_000, "keys", "tandem-amd64"),
        "--allow-downgrade",
    );
    lab.refuses(
        &lab.bundle("2.0.0", 2 << 20, "keys", "tandem-amd64"),
        "larger disk layout",
    );
    lab.refuses(&lab.path("nothing"), "No such file");
    // One byte of it, anywhere: in what is installed, and in the signature.
    let bytes = fs::read(&good).unwrap();
    for (at, why) in [
        (40_000, "not what was signed"),
        (bytes.len() - 500, "load it again"),
    ] {
        let mut changed = bytes.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        let file = lab.path("changed.raucb");
        fs::write(&file, changed).unwrap();
        lab.refuses(&file, why);
    }
    let file = lab.path("short.raucb");
    fs::write(&file, bytes.get(..60_000).unwrap()).unwrap();
    lab.refuses(&file, "no bundle, or not all of one");
}

#[test]
fn what_a_start_finds_wrong_is_an_alarm_while_nothing_runs() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    for folder in ["proc", "etc", "boot/efi/EFI/tandem"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(
        root.join("proc/cmdline"),
        "tandem.slot=A tandem.boot=normal\n",
    )
    .unwrap();
    // As the initramfs leaves it.
    fs::write(root.join("boot/efi/EFI/tandem/corrupt-B"), "").unwrap();
    let tandemctl = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tandemctl"))
            .args(arguments)
            .output()
            .unwrap()
    };
    let arrived = tandemctl(&["update", "--root", root.to_str().unwrap(), "arrive"]);
    assert!(arrived.status.success(), "{arrived:?}");

    let run_dir = root.join("run/tandem");
    let example = top().join("config/tandem.example.toml");
    let text = fs::read_to_string(example).unwrap();
    let node = format!("[node]\nrun_dir = {run_dir:?}\n");
    let configuration = directory.path().join("tandem.toml");
    fs::write(&configuration, text.replacen("[node]\n", &node, 1)).unwrap();
    let configuration = configuration.to_str().unwrap();
    let output = tandemctl(&["--json", "--config", configuration, "alarms"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let alarms: Vec<tandem_admin::Alarm> = serde_json::from_slice(&output.stdout).unwrap();
    let kinds: Vec<_> = alarms.iter().map(|alarm| alarm.kind.as_str()).collect();
    assert_eq!(kinds, ["signaling_down", "slot_corrupt", "environment"]);
    assert!(alarms.iter().all(|alarm| alarm.since_ms > 0));
    let output = tandemctl(&["--config", configuration, "alarms"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for remedy in [
        "systemctl start tandem-sigplane",
        "install a bundle",
        "tandemctl update status",
    ] {
        assert!(said.contains(remedy), "{said}");
    }
    // The signaling plane runs as another user.
    let mode = fs::metadata(run_dir.join(tandem_admin::UPDATE_ALARMS)).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o644);
}
