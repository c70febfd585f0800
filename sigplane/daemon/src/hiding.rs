//! The file of the keys that hide Call-IDs, and the ways back to registered user agents: read at the start and on SIGHUP, made when there is none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tandem_call::{HidingConfig, KeyFault, KeyRing};
use tandem_config::Config;

/// Why the keys cannot be used.
#[derive(Debug)]
pub(crate) struct KeysError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    /// Others than its owner may read or write it.
    Open(u32),
    Keys(KeyFault),
}

impl std::fmt::Display for KeysError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "keys of [hiding] in {}: ", self.path.display())?;
        match &self.fault {
            Fault::Io(e) => write!(f, "{e}: make it readable, or name another file in `keys`"),
            Fault::Open(mode) => write!(
                f,
                "others may use it (mode {:03o}): chmod 600 it, and change the keys if others had \
                 access",
                mode & 0o777
            ),
            Fault::Keys(e) => e.fmt(f),
        }
    }
}

/// What the core is told of hiding.
pub(crate) fn settings(config: &Config) -> Result<HidingConfig, KeysError> {
    Ok(HidingConfig {
        keys: keys(config)?,
        ..without_keys(config)
    })
}

/// Whether the file of the keys can be used, or made. Makes none.
pub(crate) fn check(config: &Config) -> Result<(), KeysError> {
    let path = &config.hiding.keys;
    match read(path) {
        Err(Fault::Io(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(KeysError {
            path: path.into(),
            fault,
        }),
        Ok(_) => Ok(()),
    }
}

/// The same without keys: those that are known stay.
pub(crate) fn without_keys(config: &Config) -> HidingConfig {
    let hiding = &config.hiding;
    HidingConfig {
        enabled: hiding.enabled,
        keys: None,
        hide_software: hiding.hide_software,
        strip_headers: hiding.strip_headers.clone(),
        domains: hiding.domains.clone(),
    }
}

/// The keys in the file; none when there is no file, and none is wanted: nothing is hidden, and nobody registers
/// (the ways back to user agents are sealed, too).
pub(crate) fn keys(config: &Config) -> Result<Option<KeyRing>, KeysError> {
    keys_in(
        &config.hiding.keys,
        config.hiding.enabled
            || config.routing.registrar_set.is_some()
            || !config.stateless.realms.is_empty(),
    )
}

fn keys_in(path: &Path, wanted: bool) -> Result<Option<KeyRing>, KeysError> {
    let found = match read(path) {
        Err(Fault::Io(e)) if e.kind() == io::ErrorKind::NotFound => {
            if !wanted {
                return Ok(None);
            }
            make(path).map_err(Fault::Io)
        }
        read => read,
    };
    found.map(Some).map_err(|fault| KeysError {
        path: path.into(),
        fault,
    })
}

fn read(path: &Path) -> Result<KeyRing, Fault> {
    let mut file = File::open(path).map_err(Fault::Io)?;
    let mode = file.metadata().map_err(Fault::Io)?.mode();
    if mode & 0o077 != 0 {
        return Err(Fault::Open(mode));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Fault::Io)?;
    KeyRing::parse(&text).map_err(Fault::Keys)
}

/// A file with one new key: whole, or not there at all.
fn make(path: &Path) -> io::Result<KeyRing> {
    let mut random = [0; 35];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let ring = KeyRing::generate(random);
    let draft = path.with_extension("new");
    // What a start that was cut short left.
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(ring.file().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    tracing::info!(
        "{}: a new key hides Call-IDs; other nodes of a cluster need the same file",
        path.display()
    );
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hiding.keys");
        assert_eq!(keys_in(&path, false).unwrap(), None);
        assert!(!path.exists());
        fs::write(path.with_extension("new"), "half a k").unwrap();
        let made = keys_in(&path, true).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(keys_in(&path, true).unwrap(), Some(made.clone()));
        // What is hidden already is undone with hiding switched off, too.
        assert_eq!(keys_in(&path, false).unwrap(), Some(made));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hiding.keys");
        let said = |path: &Path| keys_in(path, true).unwrap_err().to_string();
        fs::write(&path, "no keys\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(said(&path).contains("chmod 600"), "{}", said(&path));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = said(&path);
        assert!(text.contains("hiding.keys: line 1 is not a key"), "{text}");
        assert!(said(&dir.path().join("none/keys")).contains("name another file"));
    }
}
