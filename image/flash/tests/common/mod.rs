//! A small appliance's image, made with the tools that make the real one, and our program run on it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

pub const MIB: u64 = 1 << 20;

/// Partitions of the test's image: label, start and size in MiB. As the appliance's, but smaller.
pub const PARTITIONS: [(&str, u64, u64); 5] = [
    ("bios", 1, 1),
    ("esp", 2, 34),
    ("slot-a", 36, 12),
    ("slot-b", 48, 12),
    ("data", 60, 20),
];

/// Bytes of the image: the partitions, and the backup table.
pub const SIZE: u64 = 81 * MIB;

/// A folder with a released image in it: tandem-9.9.9.img, .img.zst, .img.bmap, SHA256SUMS, SHA256SUMS.sig, release-key.pem.
pub struct Release {
    _folder: Option<tempfile::TempDir>,
    pub at: PathBuf,
}

impl Release {
    pub fn image(&self) -> PathBuf {
        self.at.join("tandem-9.9.9.img")
    }

    pub fn packed(&self) -> PathBuf {
        self.at.join("tandem-9.9.9.img.zst")
    }

    pub fn map(&self) -> PathBuf {
        self.at.join("tandem-9.9.9.img.bmap")
    }

    pub fn key(&self) -> PathBuf {
        self.at.join("release-key.pem")
    }

    /// Another one with the same files, to be damaged.
    pub fn copy() -> Self {
        let folder = folder();
        let at = folder.path().to_owned();
        let from = format!("{}/.", release().at.display());
        run(
            "cp",
            &["-a", "--sparse=always", &from, &at.display().to_string()],
        );
        Self {
            _folder: Some(folder),
            at,
        }
    }
}

/// In memory where that can be: the tests are about what is written, not about this machine's disk.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let here = std::env::temp_dir();
    let at = if memory.is_dir() { memory } else { &here };
    tempfile::Builder::new()
        .prefix("tandem-flash-")
        .tempdir_in(at)
        .unwrap()
}

/// Made once for all tests of a file.
pub fn release() -> &'static Release {
    static RELEASE: OnceLock<Release> = OnceLock::new();
    RELEASE.get_or_init(make)
}

fn make() -> Release {
    // A static is never dropped: the next run of the same test clears away.
    let program = std::env::current_exe().unwrap();
    let name = program.file_stem().unwrap().to_owned();
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&at);
    fs::create_dir_all(&at).unwrap();
    let release = Release { _folder: None, at };
    let image = release.image();
    let path = image.display().to_string();
    File::create(&image).unwrap().set_len(SIZE).unwrap();
    let mut arguments = vec!["-o".to_owned()];
    for (n, (label, start, size)) in PARTITIONS.iter().enumerate() {
        let n = n + 1;
        let (first, last) = (start * 2048, (start + size) * 2048 - 1);
        let kind = match *label {
            "bios" => "ef02",
            "esp" => "ef00",
            _ => "8300",
        };
        arguments.extend([
            format!("--new={n}:{first}:{last}"),
            format!("--change-name={n}:{label}"),
            format!("--typecode={n}:{kind}"),
        ]);
    }
    arguments.push(path.clone());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("sgdisk", &arguments);
    let file = File::options().write(true).open(&image).unwrap();
    // Boot code: it must come from the image, and last.
    file.write_all_at(&[0xeb, 0x63, 0x90], 0).unwrap();
    file.write_all_at(&noise(60_000, 1), MIB).unwrap();
    esp(&release, &image);
    slot(&release, &file);
    data(&release, &file);
    drop(file);

    run(
        "zstd",
        &[
            "-q",
            "-3",
            &path,
            "-o",
            &release.packed().display().to_string(),
        ],
    );
    run(
        "bmaptool",
        &[
            "--quiet",
            "create",
            "-o",
            &release.map().display().to_string(),
            &path,
        ],
    );
    sign(&release.at);
    release
}

/// SHA256SUMS of all that is there, signed with a new key.
pub fn sign(at: &Path) {
    shell(
        at,
        "rm -f SHA256SUMS* release-key.pem; sha256sum tandem-9.9.9.* >SHA256SUMS
        openssl genpkey -algorithm ed25519 -out private.pem 2>/dev/null
        openssl pkey -in private.pem -pubout -out release-key.pem
        openssl pkeyutl -sign -rawin -inkey private.pem -in SHA256SUMS -out SHA256SUMS.sig
        rm private.pem",
    );
}

fn esp(release: &Release, image: &Path) {
    let file = release.at.join("esp");
    File::create(&file).unwrap().set_len(34 * MIB).unwrap();
    shell(
        &release.at,
        "mkfs.vfat -F 32 -n ESP -i 12345678 esp >/dev/null
        export MTOOLS_SKIP_CHECK=1
        mmd -i esp ::/EFI ::/EFI/BOOT ::/EFI/tandem
        head -c 300000 /dev/urandom >boot.efi; mcopy -i esp boot.efi ::/EFI/BOOT/BOOTX64.EFI
        echo 'set timeout=3' >grub.cfg; mcopy -i esp grub.cfg ::/EFI/tandem/grub.cfg
        grub-editenv env create; grub-editenv env set 'ORDER=B A' A_OK=1 B_OK=1 B_TRY=2 LAST_GOOD=B
        mcopy -i esp env ::/EFI/tandem/grubenv; mcopy -i esp env ::/EFI/tandem/grubenv.bak
        echo 'set tandem_hw=\"hugepages=7\"' >hw; mcopy -i esp hw ::/EFI/tandem/hardware.cfg
        rm boot.efi grub.cfg env hw",
    );
    sparse(&file, image, 2);
}

fn slot(release: &Release, image: &File) {
    shell(
        &release.at,
        "mkdir tree; head -c 5000000 /dev/urandom >tree/boot; echo 9.9.9 >tree/version
        mksquashfs tree slot -quiet -no-progress -noappend >/dev/null; rm -r tree",
    );
    let slot = fs::read(release.at.join("slot")).unwrap();
    image.write_all_at(&slot, 36 * MIB).unwrap();
    fs::remove_file(release.at.join("slot")).unwrap();
}

fn data(release: &Release, image: &File) {
    let file = release.at.join("data");
    File::create(&file).unwrap().set_len(20 * MIB).unwrap();
    shell(&release.at, "mke2fs -q -F -t ext4 -L tandem-data data");
    let _ = image;
    sparse(&file, &release.image(), 60);
}

/// Copies a file into the image, holes as holes, and removes it.
fn sparse(file: &Path, image: &Path, mib: u64) {
    let (from, to) = (
        format!("if={}", file.display()),
        format!("of={}", image.display()),
    );
    let seek = format!("seek={mib}");
    run(
        "dd",
        &[
            &from,
            &to,
            "bs=1M",
            &seek,
            "conv=notrunc,sparse",
            "status=none",
        ],
    );
    fs::remove_file(file).unwrap();
}

/// Bytes that are the same each time and do not repeat soon.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8 | 1
    };
    (0..len).map(|_| next()).collect()
}

/// A file that stands for a disk, full of something else.
pub fn disk(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    // What was there before: a table, boot code, files.
    let old = noise(MIB as usize, 7);
    for at in 0..size / MIB {
        file.write_all_at(&old, at * MIB).unwrap();
    }
    path
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program)
        .env("PATH", tandem_flash::path())
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; .ci/setup installs it"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "{program} {arguments:?}: {text}{error}"
    );
    text
}

pub fn shell(at: &Path, script: &str) -> String {
    run("sh", &["-euc", &format!("cd '{}'; {script}", at.display())])
}

/// Our program.
pub fn flash(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-flash"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// It must do it; what it said.
pub fn flashed(arguments: &[&str]) -> String {
    let out = flash(arguments);
    let said = said(&out);
    assert_eq!(out.status.code(), Some(0), "{arguments:?}: {said}");
    said
}

/// It must refuse with this code; what it said.
pub fn refused(code: i32, arguments: &[&str]) -> String {
    let out = flash(arguments);
    let said = said(&out);
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

pub fn said(out: &Output) -> String {
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text + &String::from_utf8_lossy(&out.stderr)
}

/// Lines of JSON.
pub fn events(out: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(out);
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

pub fn bytes(path: &Path, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let file = File::open(path).unwrap();
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

/// Takes a partition out of a disk, to a file.
pub fn partition(disk: &Path, label: &str, folder: &Path) -> PathBuf {
    let (_, start, size) = PARTITIONS.iter().find(|p| p.0 == label).unwrap();
    let out = folder.join(label);
    fs::write(&out, bytes(disk, start * MIB, size * MIB)).unwrap();
    out
}

/// Neither a table nor boot code is on it, at either end.
pub fn assert_not_bootable(disk: &Path) {
    let size = fs::metadata(disk).unwrap().len();
    assert!(bytes(disk, 0, MIB).iter().all(|b| *b == 0));
    assert!(bytes(disk, size - MIB, MIB).iter().all(|b| *b == 0));
}

/// What other programs say of a disk that was written: the table, and the file systems in it.
pub fn assert_sound(disk: &Path, folder: &Path) {
    let path = disk.display().to_string();
    let said = run("sgdisk", &["--verify", &path]);
    assert!(said.contains("No problems found"), "{said}");
    let said = run("sfdisk", &["--verify", &path]);
    assert!(!said.to_lowercase().contains("corrupt"), "{said}");
    let esp = partition(disk, "esp", folder).display().to_string();
    run("fsck.vfat", &["-n", &esp]);
    let data = partition(disk, "data", folder).display().to_string();
    run("e2fsck", &["-fn", &data]);
}
