use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../config/tandem.example.toml");

fn machine(host: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for folder in ["etc/tandem/tls", "etc/ssh/authorized_keys", "data/config"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/hostname"), format!("{host}\n")).unwrap();
    fs::write(root.join("etc/tandem/tandem.toml"), EXAMPLE).unwrap();
    let key = root.join("etc/tandem/tls/key.pem");
    fs::write(&key, host).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("etc/tandem/hardware.json"), host).unwrap();
    directory
}

fn place(root: &Path) -> super::super::Place {
    super::super::Place {
        root: root.to_owned(),
        esp: "/boot/efi".into(),
    }
}

fn exported(root: &Path, phrase: Option<&str>) -> PathBuf {
    let file = root.join("export");
    let passphrase_file = phrase.map(|phrase| {
        let path = root.join("phrase");
        fs::write(&path, format!("{phrase}\n")).unwrap();
        path
    });
    let command = Export {
        file: file.clone(),
        plain: phrase.is_none(),
        passphrase_file,
        place: place(root),
    };
    export(&command, true).unwrap();
    file
}

fn imported(root: &Path, file: &Path, phrase: Option<&str>) -> Result<(), Failure> {
    let passphrase_file = phrase.map(|phrase| {
        let path = root.join("phrase");
        fs::write(&path, phrase).unwrap();
        path
    });
    let command = Import {
        file: file.to_owned(),
        passphrase_file,
        dry_run: false,
        place: place(root),
    };
    import(&command, true)
}

fn said(result: Result<(), Failure>) -> String {
    result.unwrap_err().to_string()
}

/// All files, by their names.
fn content(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = Archive::new(root);
    add(&mut archive, root, Path::new("etc")).unwrap();
    archive
        .files
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect()
}

#[test]
fn one_machine_becomes_another_with_and_without_a_pass_phrase() {
    for phrase in [None, Some("correct horse battery")] {
        let (one, other) = (machine("one"), machine("other"));
        fs::write(other.path().join("etc/tandem/old.pem"), "old").unwrap();
        let file = exported(one.path(), phrase);
        let secret = fs::read(&file).unwrap();
        let is_readable = secret.windows(14).any(|bytes| bytes == b"etc/tandem/tls");
        assert_eq!(is_readable, phrase.is_none());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        imported(other.path(), &file, phrase).unwrap();
        assert_eq!(content(one.path()), content(other.path()));
        // Its cards are its own, and what it had before can be had again.
        let own = fs::read_to_string(other.path().join("etc/tandem/hardware.json")).unwrap();
        assert_eq!(own, "other");
        let mode = fs::metadata(other.path().join("etc/tandem/tls/key.pem")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        assert!(!other.path().join("etc/tandem/old.pem").exists());
        let before = other.path().join("data/config/before-import.tar");
        imported(other.path(), &before, None).unwrap();
        let name = fs::read_to_string(other.path().join("etc/hostname")).unwrap();
        assert_eq!(name, "other\n");
    }
}

#[test]
fn a_changed_export_is_refused_and_nothing_is_touched() {
    let (one, other) = (machine("one"), machine("other"));
    let file = exported(one.path(), None);
    let good = fs::read(&file).unwrap();
    let before = content(other.path());
    let at = good
        .windows(8)
        .position(|bytes| bytes == b"[node]\n#")
        .unwrap();
    for (what, bytes) in [
        ("a byte of a file", {
            let mut bytes = good.clone();
            bytes[at + 1] = b'm';
            bytes
        }),
        ("cut off", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("not an archive", vec![7; 5_000]),
    ] {
        fs::write(&file, bytes).unwrap();
        let why = said(imported(other.path(), &file, None));
        assert!(
            why.contains("export") || why.contains("damaged"),
            "{what}: {why}"
        );
        assert_eq!(content(other.path()), before, "{what}");
    }
}

#[test]
fn a_changed_or_wrongly_opened_secret_is_refused() {
    let (one, other) = (machine("one"), machine("other"));
    let file = exported(one.path(), Some("correct horse battery"));
    let why = said(imported(other.path(), &file, Some("wrong horse battery")));
    assert!(why.contains("pass phrase is wrong"), "{why}");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    imported(other.path(), &file, Some("correct horse battery")).unwrap_err();
}

#[test]
fn an_archive_cannot_leave_its_places() {
    for path in [
        "etc/passwd",
        "etc/tandem/../passwd",
        "etc/tandem/",
        "/etc/tandem/x",
        "usr/bin/x",
    ] {
        let archive = Archive {
            host: "x".into(),
            version: "1".into(),
            files: vec![File::ours(path, b"x".to_vec())],
        };
        // Some of them cannot even be packed.
        if let Ok(bytes) = archive.pack() {
            assert!(Archive::unpack(&bytes).is_err(), "{path}");
        }
    }
}

#[test]
fn a_configuration_that_is_not_understood_is_refused() {
    let (one, other) = (machine("one"), machine("other"));
    fs::write(one.path().join("etc/tandem/tandem.toml"), "[tomorrow]\n").unwrap();
    let file = exported(one.path(), None);
    let before = content(other.path());
    let why = said(imported(other.path(), &file, None));
    assert!(why.contains("not understood by this version"), "{why}");
    assert_eq!(content(other.path()), before);
}

#[test]
fn what_was_broken_off_is_finished() {
    let (one, other) = (machine("one"), machine("other"));
    assert!(!finish(other.path()).unwrap());
    let archive = gather(one.path()).unwrap();
    // The mains failed behind the first file.
    put(
        &other.path().join("data/config/import.tar"),
        &archive.pack().unwrap(),
    )
    .unwrap();
    fs::write(other.path().join("etc/hostname"), "one\n").unwrap();
    assert!(finish(other.path()).unwrap());
    assert_eq!(
        content(one.path()).remove("etc/tandem/tls/key.pem"),
        content(other.path()).remove("etc/tandem/tls/key.pem")
    );
    assert!(!finish(other.path()).unwrap());
}
