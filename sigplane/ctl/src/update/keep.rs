//! Configuration and state of the version before: kept before a newer one first starts, and put back where the old one cannot use
//! what the newer one made of them. What is replaced is set aside, never deleted: CDRs may be in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use tandem_store::JournalTail;

use super::place::{self, Place};
use crate::client::Failure;

/// Room that stays free besides what is kept, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Whose copy it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Copy {
    version: String,
}

/// The directories that are kept, with their names in the copy.
struct Kept {
    configuration: PathBuf,
    state: PathBuf,
}

impl Kept {
    fn of(place: &Place) -> Self {
        let configuration = place.at("/etc/tandem");
        let state = crate::check::load(&configuration.join("tandem.toml")).map_or_else(
            |_| place.at("/var/lib/tandem"),
            |config| config.node.state_dir,
        );
        Self {
            configuration,
            state,
        }
    }
}

/// Keeps what the version `writer` left, before another one starts.
///
/// # Errors
/// If there is no room, or the disk fails: then what was kept before stays.
pub(super) fn keep(place: &Place, writer: &str) -> Result<(), Failure> {
    let kept = Kept::of(place);
    let into = place.kept("before");
    let beside = place.kept("before.new");
    remove(&beside)?;
    fs::create_dir_all(&beside).map_err(|error| place::failed(&beside, error))?;
    let mut wanted = RESERVE;
    for (from, name) in [(&kept.configuration, "etc"), (&kept.state, "state")] {
        if from.exists() {
            wanted += size(from).map_err(|error| place::failed(from, error))?;
            if free(&beside)? < wanted {
                let _ = remove(&beside);
                return Err(Failure::Refused(format!(
                    "there is no room on the data partition for a copy of {}: `df /data`",
                    from.display()
                )));
            }
            copy(from, &beside.join(name))?;
        }
    }
    place::write(
        &beside.join("copy.json"),
        &Copy {
            version: writer.into(),
        },
    )?;
    remove(&into)?;
    fs::rename(&beside, &into).map_err(|error| place::failed(&into, error))
}

/// Puts back what this version, `version`, cannot read of what a newer one left, and says what that was.
///
/// # Errors
/// If the disk fails.
pub(super) fn put_back(place: &Place, version: &str, time: u64) -> Result<Vec<String>, Failure> {
    let before = place.kept("before");
    let mut notes = Vec::new();
    let Some(copy) = place::read::<Copy>(&before.join("copy.json")) else {
        return Ok(notes);
    };
    if copy.version != version {
        return Ok(notes);
    }
    let file = Path::new("tandem.toml");
    let kept = Kept::of(place);
    let is_read = |directory: &Path| crate::check::load(&directory.join(file)).is_ok();
    let old = before.join("etc");
    // A configuration that was no good before the update is none that an update has spoilt.
    if !is_read(&kept.configuration) && is_read(&old) {
        let aside = set_aside(place, &kept.configuration, "etc", time)?;
        replace(&old, &kept.configuration)?;
        notes.push(format!(
            "the configuration was not understood by version {version}: the one from before the update is in force again, the other is in {}",
            aside.display()
        ));
    }
    let kept = Kept::of(place);
    let old = before.join("state");
    if let Err(why) = journal(&kept.state)
        && old.exists()
    {
        let aside = set_aside(place, &kept.state, "state", time)?;
        replace(&old, &kept.state)?;
        notes.push(format!(
            "the journal was not understood by version {version} ({why}): the state from before the update is in force again, the other, with the CDRs of its time, is in {}",
            aside.display()
        ));
    }
    Ok(notes)
}

/// Whether this version reads the journal in a state directory.
fn journal(state: &Path) -> Result<(), String> {
    let directory = state.join("journal");
    if !directory.exists() {
        return Ok(());
    }
    let mut tail = JournalTail::new(&directory, 0);
    loop {
        match tail.next(1_000) {
            Ok(found) if found.is_empty() => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn set_aside(place: &Place, from: &Path, name: &str, time: u64) -> Result<PathBuf, Failure> {
    let aside = place.kept("set-aside").join(format!("{time}-{name}"));
    fs::create_dir_all(&aside).map_err(|error| place::failed(&aside, error))?;
    let into = aside.join(name);
    if from.exists() {
        copy(from, &into)?;
    }
    Ok(into)
}

/// The content of a directory, file by file: the directory itself is of the overlay and cannot be renamed.
fn replace(from: &Path, into: &Path) -> Result<(), Failure> {
    if into.exists() {
        for entry in fs::read_dir(into).map_err(|error| place::failed(into, error))? {
            let path = entry.map_err(|error| place::failed(into, error))?.path();
            remove(&path)?;
        }
    }
    copy(&from.join("."), into)
}

/// With owners, rights and times.
fn copy(from: &Path, into: &Path) -> Result<(), Failure> {
    let into_directory = into.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(into_directory).map_err(|error| place::failed(into_directory, error))?;
    let output = Command::new("cp")
        .args([
            "--archive",
            "--reflink=auto",
            "--sparse=auto",
            "--no-target-directory",
        ])
        .args([from, into])
        .output()
        .map_err(|error| place::failed(from, error))?;
    match output.status.success() {
        true => sync(into),
        false => Err(Failure::Refused(format!(
            "{} could not be copied: {}",
            from.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

fn sync(path: &Path) -> Result<(), Failure> {
    let output = Command::new("sync")
        .arg("--file-system")
        .arg(path)
        .output()
        .map_err(|error| place::failed(path, error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(place::failed(path, io::Error::other("sync failed"))),
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    let done = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    done.map_err(|error| place::failed(path, error))
}

/// Bytes of all files below.
fn size(path: &Path) -> io::Result<u64> {
    let meta = path.symlink_metadata()?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut all = 0;
    for entry in fs::read_dir(path)? {
        all += size(&entry?.path())?;
    }
    Ok(all)
}

/// Bytes that are free on the file system of a directory.
pub(super) fn free(directory: &Path) -> Result<u64, Failure> {
    let stat = nix::sys::statvfs::statvfs(directory)
        .map_err(|error| place::failed(directory, error.into()))?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../../config/tandem.example.toml");

    struct Machine {
        _directory: tempfile::TempDir,
        place: Place,
    }

    fn machine() -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let place = Place {
            root: directory.path().to_owned(),
            configuration: directory.path().join("etc/tandem/tandem.toml"),
        };
        for path in ["etc/tandem", "data/update", "state/journal"] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let state = directory.path().join("state");
        let text = GOOD.lines().filter(|line| !line.starts_with("state_dir"));
        let text = text.collect::<Vec<_>>().join("\n").replacen(
            "[node]",
            &format!("[node]\nstate_dir = {state:?}"),
            1,
        );
        fs::write(directory.path().join("etc/tandem/tandem.toml"), text).unwrap();
        fs::write(state.join("tandem.db"), "old").unwrap();
        Machine {
            _directory: directory,
            place,
        }
    }

    #[test]
    fn what_the_old_version_reads_stays() {
        let machine = machine();
        keep(&machine.place, "0.1.0").unwrap();
        let database = machine.place.at("state/tandem.db");
        fs::write(&database, "new").unwrap();
        assert!(put_back(&machine.place, "0.1.0", 7).unwrap().is_empty());
        assert_eq!(fs::read_to_string(database).unwrap(), "new");
    }

    #[test]
    fn a_configuration_that_is_not_understood_is_replaced_and_set_aside() {
        let machine = machine();
        keep(&machine.place, "0.1.0").unwrap();
        let file = machine.place.at("etc/tandem/tandem.toml");
        let good = fs::read_to_string(&file).unwrap();
        fs::write(&file, "[new-section]\n").unwrap();
        fs::write(machine.place.at("etc/tandem/extra"), "new").unwrap();
        // Another version's copy is nobody else's.
        assert!(put_back(&machine.place, "0.0.9", 7).unwrap().is_empty());
        let notes = put_back(&machine.place, "0.1.0", 7).unwrap();
        assert!(
            notes.len() == 1 && notes[0].contains("configuration"),
            "{notes:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), good);
        assert!(!machine.place.at("etc/tandem/extra").exists());
        let aside = machine.place.kept("set-aside/7-etc/etc/tandem.toml");
        assert_eq!(fs::read_to_string(aside).unwrap(), "[new-section]\n");
    }

    #[test]
    fn a_configuration_that_was_no_good_before_stays() {
        let machine = machine();
        let file = machine.place.at("etc/tandem/tandem.toml");
        fs::write(&file, "broken").unwrap();
        keep(&machine.place, "0.1.0").unwrap();
        fs::write(&file, "broken otherwise").unwrap();
        assert!(put_back(&machine.place, "0.1.0", 7).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&file).unwrap(), "broken otherwise");
    }
}
