use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

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

/// Asks a database with the plain tool that an administrator has.
fn sqlite3(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(path).arg(sql).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{sql}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A machine's database, with all tables.
fn database_of(machine: &tempfile::TempDir) -> PathBuf {
    let path = machine.path().join("var/lib/tandem/tandem.db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let empty = machine.path().join("empty.db");
    sqlite3(&empty, "VACUUM");
    copy_rows(&empty, &path).unwrap();
    path
}

/// The columns of a table but for the row's number, and what type each has.
fn columns(path: &Path, table: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT name, type FROM pragma_table_info('{table}') WHERE name <> 'id'");
    let text = sqlite3(path, &sql);
    let rows = text.lines().map(|line| line.split_once('|').unwrap());
    rows.map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Two rows in a table with a value of its own in each column.
fn fill(path: &Path, table: &str) {
    let columns = columns(path, table);
    for row in 1..=2 {
        let values: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(n, (name, kind))| match kind.contains("CHAR") {
                true => format!("'{name} {row} \u{e9}'"),
                false => format!("{}", n * 10 + row),
            })
            .collect();
        let names: Vec<_> = columns
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let (names, values) = (names.join(", "), values.join(", "));
        sqlite3(
            path,
            &format!("INSERT INTO {table} ({names}) VALUES ({values})"),
        );
    }
}

fn content_of(path: &Path, table: &str) -> String {
    let names: Vec<_> = columns(path, table)
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let names = names.join(", ");
    sqlite3(path, &format!("SELECT {names} FROM {table} ORDER BY rowid"))
}

#[test]
fn what_somebody_configured_in_the_database_goes_along_and_what_happened_stays() {
    let guide = include_str!("../../../../../docs/guide/updates.md");
    let (one, other) = (machine("one"), machine("other"));
    let (from, into) = (database_of(&one), database_of(&other));
    let tables = tandem_store::configuration_tables();
    for (table, _) in &tables {
        fill(&from, table);
        let is_told_of = guide.contains(&format!("`{table}`"));
        assert!(
            is_told_of,
            "docs/guide/updates.md says whether {table} goes along"
        );
    }
    // Another table of somebody's, and a row that the other machine has.
    sqlite3(&from, "CREATE TABLE mine (id INTEGER)");
    let there =
        "INSERT INTO dispatcher (setid, destination, description) VALUES (1, 'there', 'mine')";
    sqlite3(&into, there);
    sqlite3(&from, &there.replace("mine", "theirs"));
    for phrase in [None, Some("correct horse battery")] {
        let file = exported(one.path(), phrase);
        // What was there is added to, however often.
        imported(other.path(), &file, phrase).unwrap();
        for (table, is_configuration) in &tables {
            let (ours, theirs) = (content_of(&from, table), content_of(&into, table));
            match (*table, is_configuration) {
                ("dispatcher", _) => {
                    assert_eq!(theirs.lines().count(), 3, "{theirs}");
                    assert!(theirs.contains("mine") && !theirs.contains("theirs"));
                    let rows = ours.lines().filter(|row| !row.contains("there"));
                    assert!(
                        rows.clone().count() == 2 && rows.clone().all(|row| theirs.contains(row))
                    );
                }
                (_, true) => assert!(!ours.is_empty() && ours == theirs, "{table}: {theirs}"),
                (_, false) => assert_eq!(theirs, "", "{table}"),
            }
        }
    }
    // A machine that has no database yet gets one that its folder's owner can use.
    fs::remove_file(&into).unwrap();
    imported(other.path(), &exported(one.path(), None), None).unwrap();
    assert_eq!(
        content_of(&from, "did_routing"),
        content_of(&into, "did_routing")
    );
    let mode = fs::metadata(&into).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn an_export_of_an_older_version_is_taken() {
    let (one, other) = (machine("one"), machine("other"));
    // Its database had three tables, one of them without a column of today.
    let tables = one.path().join("tables");
    sqlite3(
        &tables,
        "CREATE TABLE dispatcher (id INTEGER PRIMARY KEY, setid INTEGER, destination TEXT, flags INTEGER);
         INSERT INTO dispatcher VALUES (7, 1, 'sip:192.0.2.1', 8);
         CREATE TABLE subscriber (id INTEGER PRIMARY KEY, username TEXT, domain TEXT, ha1 TEXT);
         INSERT INTO subscriber VALUES (3, 'alice', 'example.net', 'x');",
    );
    let mut archive = gather(one.path()).unwrap();
    archive
        .files
        .push(File::ours(TABLES, fs::read(&tables).unwrap()));
    let file = one.path().join("older");
    fs::write(&file, archive.pack().unwrap()).unwrap();
    let into = database_of(&other);
    imported(other.path(), &file, None).unwrap();
    assert_eq!(content_of(&into, "dispatcher"), "1|sip:192.0.2.1|8|0||\n");
    assert_eq!(content_of(&into, "subscriber"), "alice|example.net||x|\n");
}
