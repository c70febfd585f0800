//! The tables as they were read last, in a file: a signaling plane that starts while the database is away decides by them.
//!
//! ```text
//! u32 CRC32 of what follows | postcard of version, place, dispatcher, address, subscribers, dids
//! u32 CRC32 of what follows | postcard of version, place, trunk_routing        (another file)
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tandem_policy::{AddressRow, DidRow, DispatcherRow, SubscriberRow, TrunkRow};

use crate::TableRows;

/// The file's name in the state directory.
const FILE: &str = "tables.cache";
/// That of the routes.
const ROUTES: &str = "routes.cache";
/// Goes up when the file or a row changes its form.
const VERSION: u16 = 2;

/// What is in the file, borrowed for writing.
type Written<'a> = (
    u16,
    &'a str,
    &'a [DispatcherRow],
    &'a [AddressRow],
    &'a [SubscriberRow],
    &'a [DidRow],
);
/// The same, read.
type Read = (
    u16,
    String,
    Vec<DispatcherRow>,
    Vec<AddressRow>,
    Vec<SubscriberRow>,
    Vec<DidRow>,
);

/// The file, of one database.
#[derive(Debug)]
pub struct TableCache {
    file: Checked,
    place: String,
}

impl TableCache {
    /// That of the database at `place`, in the state directory.
    #[must_use]
    pub fn new(dir: &Path, place: String) -> Self {
        Self {
            file: Checked::new(dir.join(FILE)),
            place,
        }
    }

    /// The tables, and when they were written; none when they were never read from this database by this software.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<(TableRows, SystemTime)>> {
        let Some((bytes, written)) = self.file.read()? else {
            return Ok(None);
        };
        let Ok((VERSION, place, dispatcher, address, subscribers, dids)) =
            postcard::from_bytes::<Read>(&bytes)
        else {
            return Ok(None);
        };
        let rows = TableRows {
            dispatcher,
            address,
            subscribers,
            dids,
            bad: Vec::new(),
        };
        Ok((place == self.place).then_some((rows, written)))
    }

    /// Keeps the tables, if they have changed. The file is whole at any moment, and its owner's alone: passwords are in it.
    ///
    /// # Errors
    /// When it cannot be written; what was in it stays.
    pub fn write(&mut self, rows: &TableRows) -> io::Result<()> {
        let content: Written<'_> = (
            VERSION,
            &self.place,
            &rows.dispatcher,
            &rows.address,
            &rows.subscribers,
            &rows.dids,
        );
        let bytes = postcard::to_allocvec(&content).map_err(io::Error::other)?;
        self.file.write(&bytes)
    }
}

/// The same for `trunk_routing`, in a file of its own: it may be large, and is written when it was read anew only.
#[derive(Debug)]
pub struct RouteCache {
    file: Checked,
    place: String,
}

impl RouteCache {
    /// That of the database at `place`, in the state directory.
    #[must_use]
    pub fn new(dir: &Path, place: String) -> Self {
        Self {
            file: Checked::new(dir.join(ROUTES)),
            place,
        }
    }

    /// The rows; none when they were never read from this database by this software.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Vec<TrunkRow>>> {
        let Some((bytes, _)) = self.file.read()? else {
            return Ok(None);
        };
        let read = postcard::from_bytes::<(u16, String, Vec<TrunkRow>)>(&bytes);
        Ok(match read {
            Ok((VERSION, place, rows)) if place == self.place => Some(rows),
            _ => None,
        })
    }

    /// Keeps the rows.
    ///
    /// # Errors
    /// When the file cannot be written; what was in it stays.
    pub fn write(&mut self, rows: &[TrunkRow]) -> io::Result<()> {
        let content = (VERSION, self.place.as_str(), rows);
        let bytes = postcard::to_allocvec(&content).map_err(io::Error::other)?;
        self.file.write(&bytes)
    }
}

/// A file with its checksum in front.
#[derive(Debug)]
struct Checked {
    path: PathBuf,
    /// The checksum of what is in it.
    known: Option<u32>,
}

impl Checked {
    const fn new(path: PathBuf) -> Self {
        Self { path, known: None }
    }

    /// What is in it, and since when; none when it is not there, or damaged.
    fn read(&mut self) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
        let bytes = match fs::read(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let Some((crc, rest)) = bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let crc = u32::from_le_bytes(*crc);
        if crc32fast::hash(rest) != crc {
            return Ok(None);
        }
        self.known = Some(crc);
        let written = fs::metadata(&self.path)?.modified()?;
        Ok(Some((rest.to_vec(), written)))
    }

    /// Whole at any moment, for its owner alone; not written when that is in it already.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let crc = crc32fast::hash(bytes);
        if self.known == Some(crc) {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(&crc.to_le_bytes())?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, &self.path)?;
        self.known = Some(crc);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn rows(number: i64) -> TableRows {
        let subscriber = SubscriberRow {
            id: number,
            username: "alice".into(),
            domain: String::new(),
            password: "geheim".into(),
            ha1: String::new(),
            ha1b: String::new(),
        };
        TableRows {
            subscribers: vec![subscriber],
            ..TableRows::default()
        }
    }

    #[test]
    fn what_was_written_last_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = |place: &str| TableCache::new(dir.path(), place.to_owned());
        assert!(cache("a").read().unwrap().is_none());
        let mut written = cache("a");
        for number in 1..=2 {
            written.write(&rows(number)).unwrap();
        }
        let (read, _) = cache("a").read().unwrap().unwrap();
        assert_eq!(read, rows(2));
        assert!(cache("b").read().unwrap().is_none(), "another database's");
        let path = dir.path().join(FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Written when something has changed, and not else.
        fs::remove_file(&path).unwrap();
        written.write(&rows(2)).unwrap();
        assert!(!path.exists());
        written.write(&rows(3)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(cache("a").read().unwrap().is_none(), "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(cache("a").read().unwrap().is_none(), "cut at {at}");
        }
    }

    #[test]
    fn routes_have_a_file_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let cache = |place: &str| RouteCache::new(dir.path(), place.to_owned());
        assert!(cache("a").read().unwrap().is_none());
        let row = TrunkRow {
            prefix: "49".into(),
            trunk: "a".into(),
            ..TrunkRow::default()
        };
        cache("a").write(std::slice::from_ref(&row)).unwrap();
        TableCache::new(dir.path(), "a".into())
            .write(&rows(1))
            .unwrap();
        assert_eq!(cache("a").read().unwrap(), Some(vec![row]));
        assert!(cache("b").read().unwrap().is_none(), "another database's");
    }
}
