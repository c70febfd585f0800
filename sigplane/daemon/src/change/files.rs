//! Files of configuration changes: the configuration file itself, replaced whole or not at all, and what is kept in
//! `state_dir/config`: what is pending, and the last revisions.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pending::Pending;

/// Revisions that are kept.
const KEPT: usize = 100;
/// The longest configuration.
pub(crate) const LONGEST: u64 = 16 * 1024 * 1024;

/// A file that could not be read or written. Says which, why and what to do.
#[derive(Debug)]
pub(crate) struct FileError {
    path: PathBuf,
    why: String,
    remedy: &'static str,
}

impl FileError {
    fn new(path: &Path, error: &io::Error, remedy: &'static str) -> Self {
        Self {
            path: path.into(),
            why: error.to_string(),
            remedy,
        }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.why, self.remedy)
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads the configuration file.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let remedy = "make it a file in UTF-8 that tandem-sigplane can read";
    let read = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text)?;
        Ok(text)
    });
    match read {
        Ok(text) if text.len() as u64 > LONGEST => Err(FileError {
            path: path.into(),
            why: format!("is longer than {LONGEST} bytes"),
            remedy: "this is hardly a configuration",
        }),
        Ok(text) => Ok(text),
        Err(error) => Err(FileError::new(path, &error, remedy)),
    }
}

/// Replaces the configuration file's text, whole or not at all; owner and mode stay. A symbolic link stays one: what it leads
/// to is replaced.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let draft = Draft::write(path, text)?;
    let remedy = "its directory must be writable for tandem-sigplane";
    fs::rename(&draft.path, &draft.target)
        .and_then(|()| sync_directory(&draft.target))
        .map_err(|error| FileError::new(&draft.target, &error, remedy))
}

/// Whether [`replace`] could do it now: all of it but the last step.
pub(crate) fn can_replace(path: &Path, text: &str) -> Result<(), FileError> {
    Draft::write(path, text).map(drop)
}

/// The new file beside the old one; gone with it, unless it was moved into its place.
struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Draft {
    fn write(path: &Path, text: &str) -> Result<Self, FileError> {
        let lost = "the configuration file must be where --config says";
        let target = fs::canonicalize(path).map_err(|e| FileError::new(path, &e, lost))?;
        let old = fs::metadata(&target).map_err(|e| FileError::new(&target, &e, lost))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        if !old.is_file() {
            return Err(FileError {
                path: target,
                why: "is not a file".into(),
                remedy: "a device or a directory cannot be replaced: have --config name a file",
            });
        }
        let draft = Self {
            path: target.with_file_name(format!(".{name}.tandem-new")),
            target: target.clone(),
        };
        let remedy =
            "its directory must be writable for tandem-sigplane and have room: nothing was changed";
        draft
            .fill(text, &old)
            .map_err(|error| FileError::new(&draft.path, &error, remedy))?;
        Ok(draft)
    }

    fn fill(&self, text: &str, like: &fs::Metadata) -> io::Result<()> {
        // What a process left that ended in between.
        let _ = fs::remove_file(&self.path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
        file.sync_all()
    }
}

/// A name is on the disk when its directory is.
fn sync_directory(of: &Path) -> io::Result<()> {
    match of.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// A revision that was in force, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) revision: u64,
    pub(crate) digest: String,
    /// Unix milliseconds.
    pub(crate) time_ms: u64,
    pub(crate) who: String,
    /// `start`, `apply`, `rollback 7`, `reload`.
    pub(crate) how: String,
    pub(crate) comment: String,
}

/// What is kept in the state directory.
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join("config"),
        }
    }

    /// What is pending; none when nothing is.
    pub(crate) fn pending(&self) -> Result<Option<Pending>, FileError> {
        let path = self.directory.join("pending.json");
        let remedy = "remove it to start with the configuration file";
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new(&path, &error, remedy)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| FileError::new(&path, &error.into(), remedy)),
        }
    }

    pub(crate) fn set_pending(&self, pending: &Pending) -> Result<(), FileError> {
        let bytes = serde_json::to_vec(pending).map_err(io::Error::from);
        self.put("pending.json", bytes)
    }

    pub(crate) fn clear_pending(&self) -> Result<(), FileError> {
        let path = self.directory.join("pending.json");
        let gone = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_directory(&path),
        };
        gone.map_err(|error| FileError::new(&path, &error, "state_dir must be writable"))
    }

    /// The revisions, the oldest first.
    pub(crate) fn history(&self) -> Vec<Revision> {
        let files = fs::read_dir(&self.directory).into_iter().flatten();
        let metas = files.flatten().map(|file| file.path()).filter(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            path.extension().is_some_and(|e| e == "json") && stem.parse::<u64>().is_ok()
        });
        let mut revisions: Vec<Revision> = metas
            .filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
            .collect();
        revisions.sort_by_key(|revision| revision.revision);
        revisions
    }

    /// A revision's text.
    pub(crate) fn text(&self, revision: u64) -> Result<String, FileError> {
        let path = self.directory.join(format!("{revision:06}.toml"));
        fs::read_to_string(&path).map_err(|error| {
            let remedy = "`tandemctl config history` has the revisions that are kept";
            FileError::new(&path, &error, remedy)
        })
    }

    /// Keeps another one, and drops the oldest. Gives its number.
    pub(crate) fn add(&self, text: &str, mut revision: Revision) -> Result<u64, FileError> {
        let history = self.history();
        let number = history.last().map_or(0, |last| last.revision) + 1;
        revision.revision = number;
        self.put(&format!("{number:06}.toml"), Ok(text.into()))?;
        // It counts from here on.
        let meta = serde_json::to_vec(&revision).map_err(io::Error::from);
        self.put(&format!("{number:06}.json"), meta)?;
        let old = (history.len() + 1).saturating_sub(KEPT);
        for revision in history.iter().take(old) {
            for kind in ["json", "toml"] {
                let name = format!("{:06}.{kind}", revision.revision);
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
        Ok(number)
    }

    /// A whole file or none, for its owner alone.
    fn put(&self, name: &str, bytes: io::Result<Vec<u8>>) -> Result<(), FileError> {
        let path = self.directory.join(name);
        let draft = path.with_extension("new");
        let write = || {
            let bytes = bytes?;
            fs::create_dir_all(&self.directory)?;
            fs::set_permissions(&self.directory, fs::Permissions::from_mode(0o700))?;
            let _ = fs::remove_file(&draft);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            sync_directory(&path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&draft);
            FileError::new(&path, &error, "state_dir must be writable and have room")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn revision() -> Revision {
        Revision {
            revision: 0,
            digest: digest("x"),
            time_ms: 5,
            who: "root".into(),
            how: "apply".into(),
            comment: String::new(),
        }
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_by_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.toml"), dir.path().join("link.toml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.toml", &link).unwrap();
        // What an earlier process left.
        fs::write(dir.path().join(".a.toml.tandem-new"), "half").unwrap();
        can_replace(&link, "new").unwrap();
        assert_eq!(read(&link).unwrap(), "old");
        replace(&link, "new").unwrap();
        assert_eq!(read(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_is_named_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_path_buf(), "/dev/null".into()] {
            let said = can_replace(&path, "x").unwrap_err().to_string();
            assert!(said.contains("is not a file"), "{said}");
        }
        let said = replace(&dir.path().join("none"), "x").unwrap_err();
        assert!(said.to_string().contains("--config"), "{said}");
        // Of every size; a text that was cut off is none.
        if Path::new("/dev/full").exists() {
            let said = OpenOptions::new().write(true).open("/dev/full");
            assert!(said.unwrap().write_all(b"x").is_err());
        }
    }

    #[test]
    fn revisions_are_kept_for_their_owner_alone_and_not_forever() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.history(), []);
        for n in 1..=KEPT as u64 + 5 {
            assert_eq!(store.add(&format!("text {n}"), revision()).unwrap(), n);
        }
        let history = store.history();
        assert_eq!(history.len(), KEPT);
        assert_eq!(history.first().map(|r| r.revision), Some(6));
        assert_eq!(store.text(105).unwrap(), "text 105");
        let gone = store.text(5).unwrap_err().to_string();
        assert!(gone.contains("config history"), "{gone}");
        for file in fs::read_dir(dir.path().join("config")).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(store.pending().unwrap(), None);
        store.clear_pending().unwrap();
        fs::write(dir.path().join("config/pending.json"), "{").unwrap();
        let said = store.pending().unwrap_err().to_string();
        assert!(
            said.contains("pending.json") && said.contains("remove it"),
            "{said}"
        );
    }

    #[test]
    fn a_digest_is_sha_256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest("abc"), abc);
    }
}
