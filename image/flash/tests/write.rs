//! Images written to files that stand for disks, by the program as operators run it; beside bmaptool.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Arguments to write an image to a file.
fn write<'a>(image: &'a str, disk: &'a str, key: &'a str) -> Vec<&'a str> {
    vec![
        "write",
        image,
        disk,
        "--file",
        "--yes-erase",
        "disk.raw",
        "--key",
        key,
    ]
}

#[test]
fn the_disk_is_what_bmaptool_makes_of_the_image_but_for_the_table() {
    let release = release();
    let folder = folder();
    let key = text(&release.key());
    for image in [release.packed(), release.image()] {
        let ours = disk(folder.path(), 128 * MIB);
        let said = flashed(&write(&text(&image), &text(&ours), &key));
        assert!(said.contains("signed with your key"), "{said}");
        assert!(said.contains("all read back"), "{said}");
        assert_sound(&ours, folder.path());

        let theirs = folder.path().join("theirs");
        File::create(&theirs).unwrap().set_len(128 * MIB).unwrap();
        let map = text(&release.map());
        run(
            "bmaptool",
            &[
                "--quiet",
                "copy",
                "--bmap",
                &map,
                &text(&image),
                &text(&theirs),
            ],
        );
        // All partitions; in a slot what is behind the squashfs is nobody's.
        for (label, start, size) in PARTITIONS {
            let len = if label.starts_with("slot") {
                4 * MIB
            } else {
                size * MIB
            };
            let len = if label == "slot-b" { MIB } else { len };
            let same = bytes(&ours, start * MIB, len) == bytes(&theirs, start * MIB, len);
            assert!(same, "{label}");
        }
        // Boot code is the image's, and the table covers the disk: bmaptool leaves it as it was.
        assert_eq!(bytes(&ours, 0, 440), bytes(&theirs, 0, 440));
        let table = run("sgdisk", &["--print", &text(&ours)]);
        assert!(table.contains("last usable sector is 262110"), "{table}");
        let again = flashed(&[
            "verify",
            &text(&image),
            &text(&ours),
            "--file",
            "--key",
            &key,
        ]);
        assert_eq!(again.matches("the same").count(), 6, "{again}");
    }
}

#[test]
fn without_a_block_map_all_of_it_is_there_and_nothing_of_before() {
    let release = release();
    let folder = folder();
    let ours = disk(folder.path(), 100 * MIB);
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    let mut arguments = write(&image, &path, &key);
    arguments.push("--no-bmap");
    flashed(&arguments);
    assert_sound(&ours, folder.path());
    let len = 79 * MIB;
    assert!(bytes(&ours, MIB, len) == bytes(&release.image(), MIB, len));
}

#[test]
fn a_preload_is_on_the_esp_for_the_first_boot() {
    let release = release();
    let folder = folder();
    let at = folder.path();
    let ours = disk(at, 100 * MIB);
    shell(
        at,
        "ssh-keygen -q -t ed25519 -N '' -f id
        printf '[management]\\nssh_password = false\\n' >management.toml",
    );
    let config = format!(
        "{}/../../config/tandem.example.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    let (id, management) = (text(&at.join("id.pub")), text(&at.join("management.toml")));
    let mut arguments = write(&image, &path, &key);
    arguments.extend([
        "--config",
        &config,
        "--ssh-key",
        &id,
        "--hostname",
        "edge-1",
        "--management",
        &management,
    ]);
    let said = flashed(&arguments);
    assert!(
        said.contains("tandem.toml, authorized_keys, hostname, management.toml"),
        "{said}"
    );
    assert_sound(&ours, at);
    let esp = text(&partition(&ours, "esp", at));
    let read = |name: &str| {
        let name = format!("::/tandem-preload/{name}");
        run("mtype", &["-i", &esp, &name])
    };
    assert_eq!(read("tandem.toml"), fs::read_to_string(&config).unwrap());
    assert_eq!(read("authorized_keys"), fs::read_to_string(&id).unwrap());
    assert_eq!(read("hostname"), "edge-1\n");
    assert_eq!(
        read("management.toml"),
        fs::read_to_string(&management).unwrap()
    );
    // The rest of the ESP is the image's.
    let said = flashed(&["verify", &image, &path, "--file", "--key", &key]);
    assert!(said.contains("the same but for the first boot"), "{said}");

    // What is wrong is told before anything is written.
    let before = fs::read(&ours).unwrap();
    let wrong = at.join("wrong.toml");
    fs::write(&wrong, "[node]\nnmae = \"a\"\n").unwrap();
    let wrong = text(&wrong);
    for (option, value, part) in [
        ("--config", wrong.as_str(), "line 2"),
        ("--ssh-key", wrong.as_str(), "no kind of key"),
        ("--hostname", "a b", "no host name"),
        ("--management", wrong.as_str(), "expected `management`"),
    ] {
        let mut arguments = write(&image, &path, &key);
        arguments.extend([option, value]);
        let said = refused(8, &arguments);
        assert!(
            said.contains(part) && said.contains("Nothing was written"),
            "{said}"
        );
    }
    // Of two files that do not fit each other, too.
    let strange = at.join("strange.toml");
    fs::write(&strange, "[realm.carriers]\n").unwrap();
    let strange = text(&strange);
    let mut arguments = write(&image, &path, &key);
    arguments.extend(["--config", &config, "--management", &strange]);
    let said = refused(8, &arguments);
    assert!(
        said.contains("realm.carriers: tandem.toml has no such realm"),
        "{said}"
    );
    assert!(before == fs::read(&ours).unwrap());
}

#[test]
fn what_cannot_be_trusted_is_refused_and_the_disk_is_as_it_was() {
    let folder = folder();
    let ours = disk(folder.path(), 100 * MIB);
    let path = text(&ours);
    let before = fs::read(&ours).unwrap();
    let attempt = |release: &Release, image: &Path, more: &[&str], parts: &[&str]| {
        let (image, key) = (text(image), text(&release.key()));
        let mut arguments = write(&image, &path, &key);
        arguments.extend(more);
        let said = refused(3, &arguments);
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.contains("Nothing was written"), "{said}");
        assert!(before == fs::read(&ours).unwrap());
    };
    let flip = |path: &Path, at: u64| {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };

    // A download that was damaged: by the range of the block map, by the checksum, by zstd.
    let release = Release::copy();
    flip(&release.image(), 37 * MIB + 4321);
    attempt(
        &release,
        &release.image(),
        &[],
        &["bytes 377", "expected", "found", "download"],
    );
    attempt(
        &release,
        &release.image(),
        &["--no-bmap"],
        &["SHA-256 expected"],
    );
    let release = Release::copy();
    flip(&release.packed(), 2_000_000);
    attempt(
        &release,
        &release.packed(),
        &[],
        &["tandem-9.9.9.img.zst: "],
    );

    // One that ended too early.
    let release = Release::copy();
    let len = fs::metadata(release.packed()).unwrap().len();
    let cut = |path: &Path, len: u64| {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(len)
            .unwrap()
    };
    cut(&release.packed(), len - 1000);
    attempt(&release, &release.packed(), &[], &["it ends too early"]);
    cut(&release.image(), 50 * MIB);
    attempt(
        &release,
        &release.image(),
        &[],
        &["it ends too early", "52428800", "84934656"],
    );
    attempt(
        &release,
        &release.image(),
        &["--no-bmap"],
        &["it ends too early"],
    );

    // Checksums that somebody changed, signed with another key, or not at all.
    let release = Release::copy();
    flip(&release.packed(), 2_000_000);
    shell(&release.at, "sha256sum tandem-9.9.9.* >SHA256SUMS");
    attempt(
        &release,
        &release.packed(),
        &[],
        &["signature does not fit", "do not use"],
    );
    attempt(
        &release,
        &release.packed(),
        &["--unsigned"],
        &["signature does not fit"],
    );
}

#[test]
fn missing_checksums_are_refused_unless_that_is_wanted() {
    let release = Release::copy();
    let other = Release::copy();
    sign(&other.at);
    let image = text(&release.packed());
    let said = refused(3, &["check", &image, "--key", &text(&other.key())]);
    assert!(said.contains("signed with another key"), "{said}");
    let said = flashed(&["check", &image]);
    assert!(said.contains("THE KEY THAT LAY BESIDE THE IMAGE"), "{said}");
    for missing in ["release-key.pem", "SHA256SUMS.sig", "SHA256SUMS"] {
        fs::remove_file(release.at.join(missing)).unwrap();
        let said = refused(3, &["check", &image]);
        assert!(
            said.contains(missing) && said.contains("--unsigned"),
            "{said}"
        );
        let said = flashed(&["check", &image, "--unsigned"]);
        assert!(said.contains("nothing says who made the image"), "{said}");
    }
    let renamed = release.at.join("other.img.zst");
    let release = Release::copy();
    let renamed_to = release.at.join(renamed.file_name().unwrap());
    fs::rename(release.packed(), &renamed_to).unwrap();
    let said = refused(3, &["check", &text(&renamed_to)]);
    assert!(said.contains("was it renamed?"), "{said}");
}

#[test]
fn wrong_disks_are_refused() {
    let release = release();
    let folder = folder();
    let (image, key) = (text(&release.packed()), text(&release.key()));
    let small = text(&disk(folder.path(), 80 * MIB));
    let said = refused(4, &write(&image, &small, &key));
    assert!(
        said.contains("are needed") && said.contains("take a larger one"),
        "{said}"
    );
    let ours = disk(folder.path(), 100 * MIB);
    let before = fs::read(&ours).unwrap();
    let path = text(&ours);
    let wrong = ["write", &image, &path, "--file", "--key", &key];
    let said = refused(6, &wrong);
    assert!(said.contains("--yes-erase disk.raw"), "{said}");
    let said = refused(6, &[&wrong[..], &["--yes-erase", "sda"]].concat());
    assert!(said.contains("\"sda\""), "{said}");
    let said = refused(
        4,
        &[
            "write",
            &image,
            &path,
            "--yes-erase",
            "disk.raw",
            "--key",
            &key,
        ],
    );
    assert!(said.contains("--file"), "{said}");
    let said = refused(
        4,
        &[
            "write",
            &image,
            "/dev/nothing",
            "--yes-erase",
            "nothing",
            "--key",
            &key,
        ],
    );
    assert!(said.contains("no such disk"), "{said}");
    let itself = [
        "write",
        &image,
        &image,
        "--file",
        "--yes-erase",
        "tandem-9.9.9.img.zst",
        "--key",
        &key,
    ];
    let said = refused(4, &itself);
    assert!(said.contains("it is the image itself"), "{said}");
    let said = flashed(&[&write(&image, &path, &key)[..], &["--dry-run"]].concat());
    assert!(
        said.contains("slot-a") && said.contains("Nothing was written"),
        "{said}"
    );
    assert!(before == fs::read(&ours).unwrap());
}

#[test]
fn whoever_is_killed_in_the_middle_leaves_no_bootable_disk_and_another_run_mends_it() {
    let release = release();
    let folder = folder();
    let ours = disk(folder.path(), 128 * MIB);
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    let arguments = [&write(&image, &path, &key)[..], &["--json"]].concat();
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        // A quick machine may be done before the signal comes: then the disk is whole, and it is tried again.
        let was_caught = (0..20).any(|_| {
            let mut child = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let is_writing = |line: &str| line.contains("\"phase\":\"write\"");
            while !is_writing(&lines.next().unwrap().unwrap()) {}
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            let rest: Vec<String> = lines.map_while(Result::ok).collect();
            let status = child.wait().unwrap();
            if bytes(&ours, 0, 512).iter().any(|b| *b != 0) {
                assert_sound(&ours, folder.path());
                return false;
            }
            // Between the last two writes the backup table is there, and so is all else.
            if bytes(&ours, 128 * MIB - 512, 512).iter().any(|b| *b != 0) {
                return false;
            }
            assert_not_bootable(&ours);
            if signal == Signal::SIGTERM {
                assert_eq!(status.code(), Some(130), "{rest:?}");
                let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
                assert_eq!(last["code"], "interrupted");
                assert_eq!(last["disk_state"], "not_bootable");
            } else {
                assert_eq!(status.signal(), Some(9));
            }
            true
        });
        assert!(was_caught, "{signal} came too late each time");
        flashed(&arguments);
        assert_sound(&ours, folder.path());
    }
}

#[test]
fn a_connection_that_breaks_does_not_stop_it() {
    let release = release();
    let folder = folder();
    let ours = disk(folder.path(), 128 * MIB);
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    for json in [&["--json"][..], &[]] {
        let arguments = [&write(&image, &path, &key)[..], json].concat();
        let mut command = command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Until it writes; what it says later is heard by nobody.
        if json.is_empty() {
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            while !lines.next().unwrap().unwrap().contains("SHA256SUMS says") {}
        } else {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            while !lines
                .next()
                .unwrap()
                .unwrap()
                .contains("\"phase\":\"write\"")
            {}
            kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
        }
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_sound(&ours, folder.path());
    }
}

#[test]
fn a_file_system_that_is_full_is_told_with_the_place() {
    let release = release();
    let folder = folder();
    let ours = folder.path().join("disk.raw");
    File::create(&ours).unwrap().set_len(100 * MIB).unwrap();
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    // A limit of 40 MiB on the size of what may be written stands for it; bytes behind are refused (EFBIG).
    let program = env!("CARGO_BIN_EXE_tandem-flash");
    let script = "trap '' XFSZ; ulimit -f 81920; exec \"$0\" \"$@\"";
    let arguments = write(&image, &path, &key);
    let out = std::process::Command::new("sh")
        .args(["-c", script, program])
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = said(&out);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("writing bytes"), "{said}");
    assert!(said.contains("there is no room"), "{said}");
    assert!(said.contains("has no partition table now"), "{said}");
}

#[test]
fn programs_read_lines_of_json() {
    let release = release();
    let folder = folder();
    let ours = disk(folder.path(), 100 * MIB);
    let (image, path, key) = (text(&release.packed()), text(&ours), text(&release.key()));
    let out = flash(&[&write(&image, &path, &key)[..], &["--json"]].concat());
    let events = events(&out.stdout);
    let phases: Vec<&str> = events.iter().filter_map(|e| e["phase"].as_str()).collect();
    for phase in ["check", "write", "verify"] {
        assert!(phases.contains(&phase), "{phases:?}");
        let last = events.iter().rfind(|e| e["phase"] == phase).unwrap();
        assert_eq!(last["done"], last["total"], "{last}");
    }
    let done = events.last().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(done["disk"], "disk.raw");
    let out = flash(&["--json", "check", "/nowhere.img"]);
    let error = common::events(&out.stdout).pop().unwrap();
    assert_eq!(
        (error["event"].as_str(), error["code"].as_str()),
        (Some("error"), Some("io"))
    );
    assert_eq!(error["disk_state"], "untouched");
}
