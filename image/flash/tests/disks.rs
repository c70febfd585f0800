//! Real block devices: loop devices, where they can be had.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::*;

/// One test at a time: a loop device that one gives back may be the next one's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loop device over a file.
struct Loop {
    path: String,
    name: String,
}

impl Loop {
    /// `None` where there are none: not root, or a container.
    fn over(file: &Path, options: &[&str]) -> Option<Self> {
        let out = Command::new("losetup")
            .env("PATH", tandem_flash::path())
            .args(["--find", "--show"])
            .args(options)
            .arg(file)
            .output()
            .unwrap();
        if !out.status.success() {
            eprintln!(
                "SKIPPED: no loop device here: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            return None;
        }
        let path = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        let name = path.strip_prefix("/dev/").unwrap().to_owned();
        Some(Self { path, name })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup")
            .env("PATH", tandem_flash::path())
            .args(["--detach", &self.path])
            .status();
    }
}

fn arguments<'a>(image: &'a str, key: &'a str, disk: &'a Loop) -> Vec<&'a str> {
    vec![
        "write",
        image,
        &disk.path,
        "--key",
        key,
        "--yes-erase",
        &disk.name,
    ]
}

fn texts() -> (String, String) {
    let release = release();
    (
        release.packed().display().to_string(),
        release.key().display().to_string(),
    )
}

#[test]
fn a_disk_is_written_and_read_back() {
    let _alone = alone();
    let at = folder();
    let backing = disk(at.path(), 100 * MIB);
    let Some(disk) = Loop::over(&backing, &[]) else {
        return;
    };
    let (image, key) = texts();
    let said = flashed(&arguments(&image, &key, &disk));
    assert!(said.contains("all read back"), "{said}");
    let said = flashed(&["verify", &image, &disk.path, "--key", &key]);
    assert_eq!(said.matches("the same").count(), 6, "{said}");
    drop(disk);
    assert_sound(&backing, at.path());
}

#[test]
fn a_disk_in_use_is_refused_and_stays_as_it_is() {
    let _alone = alone();
    let at = folder();
    let backing = at.path().join("backing");
    File::create(&backing).unwrap().set_len(100 * MIB).unwrap();
    let Some(disk) = Loop::over(&backing, &[]) else {
        return;
    };
    let (image, key) = texts();
    let arguments = arguments(&image, &key, &disk);

    run("mke2fs", &["-q", "-F", &disk.path]);
    let mounted = at.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mounted = mounted.display().to_string();
    run("mount", &[&disk.path, &mounted]);
    let said = refused(4, &arguments);
    assert!(said.contains(&format!("is mounted at {mounted}")), "{said}");
    let inside = format!("{mounted}/a.img.zst");
    fs::copy(release().packed(), &inside).unwrap();
    let said = refused(
        4,
        &[
            "write",
            &inside,
            &disk.path,
            "--unsigned",
            "--yes-erase",
            &disk.name,
        ],
    );
    assert!(
        said.contains("the image itself lies on this disk"),
        "{said}"
    );
    run("umount", &[&mounted]);

    run("mkswap", &[&disk.path]);
    run("swapon", &[&disk.path]);
    let said = refused(4, &arguments);
    run("swapoff", &[&disk.path]);
    assert!(said.contains("is swap space in use"), "{said}");

    // What no table shows, the kernel knows.
    let exclusive = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_EXCL)
        .open(&disk.path)
        .unwrap();
    let said = refused(4, &arguments);
    assert!(
        said.contains("the kernel says that something uses it"),
        "{said}"
    );
    assert!(said.contains("Nothing was written"), "{said}");
    drop(exclusive);

    // A file under a loop device is in use, too.
    let backing = backing.display().to_string();
    let said = refused(
        4,
        &[
            "write",
            &image,
            &backing,
            "--file",
            "--yes-erase",
            "backing",
            "--key",
            &key,
        ],
    );
    assert!(
        said.contains(&format!("{} lies on it", disk.name)),
        "{said}"
    );
    assert!(run("blkid", &["-o", "value", "-s", "TYPE", &disk.path]).contains("swap"));
}

#[test]
fn a_read_only_disk_and_a_small_one_are_refused() {
    let _alone = alone();
    let at = folder();
    let backing = at.path().join("backing");
    File::create(&backing).unwrap().set_len(70 * MIB).unwrap();
    let Some(disk) = Loop::over(&backing, &["--read-only"]) else {
        return;
    };
    let (image, key) = texts();
    let said = refused(4, &arguments(&image, &key, &disk));
    assert!(said.contains("it is read-only"), "{said}");
    let disk = Loop::over(&backing, &[]).unwrap();
    let said = refused(4, &arguments(&image, &key, &disk));
    assert!(said.contains("it has 73.4 MB"), "{said}");
    let disk = Loop::over(&backing, &["--sector-size", "4096"]).unwrap();
    let said = refused(4, &arguments(&image, &key, &disk));
    assert!(said.contains("sectors of 4096 bytes"), "{said}");
}

#[test]
fn who_has_no_rights_is_told_so() {
    let _alone = alone();
    let at = folder();
    let backing = at.path().join("backing");
    File::create(&backing).unwrap().set_len(100 * MIB).unwrap();
    let Some(disk) = Loop::over(&backing, &[]) else {
        return;
    };
    // Where others may go, too.
    let program = at.path().join("tandem-flash");
    fs::copy(env!("CARGO_BIN_EXE_tandem-flash"), &program).unwrap();
    run("chmod", &["755", &at.path().display().to_string()]);
    let out = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args([
            "write",
            "/nowhere.img",
            &disk.path,
            "--yes-erase",
            &disk.name,
        ])
        .output()
        .unwrap();
    let said = said(&out);
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert!(said.contains("sudo"), "{said}");
}

/// Our program on a terminal.
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn new(arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_tandem-flash");
        let line = format!("{program} {}", arguments.join(" "));
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            seen: String::new(),
        }
    }

    fn wait_for(&mut self, what: &str) {
        let mut byte = [0];
        let out = self.child.stdout.as_mut().unwrap();
        while !self.seen.contains(what) {
            assert!(out.read(&mut byte).unwrap() > 0, "{what}: {}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
    }

    fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The exit code, and all that was on the screen.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        let mut out = self.child.stdout.take().unwrap();
        out.read_to_end(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, self.seen + &String::from_utf8_lossy(&rest))
    }
}

#[test]
fn the_name_has_to_be_typed_and_only_the_name_will_do() {
    let _alone = alone();
    let at = folder();
    let backing: PathBuf = disk(at.path(), 100 * MIB);
    let before = fs::read(&backing).unwrap();
    let Some(disk) = Loop::over(&backing, &[]) else {
        return;
    };
    let (image, key) = texts();
    let arguments = ["write", &image, &disk.path, "--key", &key];
    for wrong in ["yes", "y", "", "/dev/sda"] {
        let mut terminal = Terminal::new(&arguments);
        terminal.wait_for("ALL DATA on ");
        terminal.wait_for("to go on: ");
        terminal.type_line(wrong);
        let (code, said) = terminal.end();
        assert_eq!(code, Some(6), "{wrong:?}: {said}");
    }
    assert!(before == fs::read(&backing).unwrap());
    let mut terminal = Terminal::new(&arguments);
    terminal.wait_for("to go on: ");
    terminal.type_line(&disk.name);
    let (code, said) = terminal.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("writing") && said.contains("left"), "{said}");
}

#[test]
fn another_disk_that_has_taken_the_name_meanwhile_is_refused() {
    let _alone = alone();
    let at = folder();
    let backing = at.path().join("first");
    let other = at.path().join("second");
    for file in [&backing, &other] {
        File::create(file).unwrap().set_len(100 * MIB).unwrap();
    }
    let Some(disk) = Loop::over(&backing, &[]) else {
        return;
    };
    let (image, key) = texts();
    let mut terminal = Terminal::new(&["write", &image, &disk.path, "--key", &key]);
    terminal.wait_for("to go on: ");
    run("losetup", &["--detach", &disk.path]);
    let other = other.display().to_string();
    run("losetup", &[&disk.path, &other]);
    terminal.type_line(&disk.name);
    let (code, said) = terminal.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("it is another disk"), "{said}");
    assert!(fs::read(&other).unwrap().iter().all(|b| *b == 0));
}
