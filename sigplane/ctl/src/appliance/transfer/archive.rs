//! The archive of an export: every byte of it is checked before any is used.

use std::fs;
use std::io::{self, Cursor, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use nix::unistd::{Gid, Group, Uid, User};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

use crate::client::Failure;

/// The version of the format.
const FORMAT: u32 = 1;
const LIST: &str = "export.json";
/// Bytes of all files together at most: millions of rows.
const MOST: u64 = 1024 * 1024 * 1024;
/// Where files may go, and the tables, which are no file there.
const PLACES: [&str; 5] = [
    "etc/tandem/",
    "etc/ssh/authorized_keys/",
    "etc/hostname",
    "var/lib/tandem/",
    super::TABLES,
];

/// An export.
#[derive(Debug)]
pub(super) struct Archive {
    /// The machine that it is of.
    pub(super) host: String,
    /// The version of its software.
    pub(super) version: String,
    pub(super) files: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Below the root.
    pub(super) path: String,
    pub(super) mode: u32,
    /// Names: the numbers may be others elsewhere.
    pub(super) user: String,
    pub(super) group: String,
    pub(super) bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct List {
    format: u32,
    version: String,
    host: String,
    files: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    path: String,
    mode: u32,
    user: String,
    group: String,
    sha256: String,
}

impl File {
    pub(super) fn read(path: &Path, name: String) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let user = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten();
        let group = Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten();
        Ok(Self {
            path: name,
            mode: meta.mode() & 0o777,
            user: user.map_or_else(|| "root".into(), |user| user.name),
            group: group.map_or_else(|| "root".into(), |group| group.name),
            bytes: fs::read(path)?,
        })
    }

    pub(super) fn ours(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            path: name.into(),
            mode: 0o600,
            user: "root".into(),
            group: "root".into(),
            bytes,
        }
    }
}

impl Archive {
    pub(super) fn new(root: &Path) -> Self {
        let host = fs::read_to_string(root.join("etc/hostname")).unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            version: env!("CARGO_PKG_VERSION").into(),
            files: Vec::new(),
        }
    }

    pub(super) fn pack(&self) -> Result<Vec<u8>, Failure> {
        let entry = |file: &File| Entry {
            path: file.path.clone(),
            mode: file.mode,
            user: file.user.clone(),
            group: file.group.clone(),
            sha256: sha256(&file.bytes),
        };
        let list = List {
            format: FORMAT,
            version: self.version.clone(),
            host: self.host.clone(),
            files: self.files.iter().map(entry).collect(),
        };
        let list =
            serde_json::to_vec_pretty(&list).map_err(|e| Failure::Protocol(e.to_string()))?;
        let mut builder = tar::Builder::new(Vec::new());
        let mut put = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            builder.append_data(&mut header, name, bytes)
        };
        let all = put(LIST, &list).and_then(|()| {
            let mut files = self.files.iter();
            files.try_for_each(|file| put(&file.path, &file.bytes))
        });
        let bytes = all.and_then(|()| builder.into_inner());
        bytes.map_err(|error| Failure::Refused(format!("the export could not be packed: {error}")))
    }

    /// Reads an archive; what is not as its list says is refused, and so is what the list does not name.
    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: io::Error| {
            format!("it is no export, or a damaged one ({error}): load it again")
        };
        let mut archive = tar::Archive::new(Cursor::new(bytes));
        let mut list: Option<List> = None;
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut size = 0;
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            size += entry.size();
            if size > MOST {
                return Err(format!(
                    "it has more than {} MB: it is no export of a machine",
                    MOST >> 20
                ));
            }
            if entry.header().entry_type() != tar::EntryType::Regular {
                return Err("it has something in it that is no file: it is not from `tandemctl appliance export`".into());
            }
            let path = entry
                .path()
                .map_err(damaged)?
                .to_string_lossy()
                .into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(damaged)?;
            match &list {
                None if path == LIST => list = Some(read_list(&content)?),
                None => return Err(
                    "it does not begin with its list: it is not from `tandemctl appliance export`"
                        .into(),
                ),
                Some(_) => found.push((path, content)),
            }
        }
        let list = list.ok_or("there is nothing in it: it is no export, or a damaged one")?;
        if found.len() != list.files.len() {
            return Err(format!(
                "it has {} files, and its list has {}: it was changed or cut off",
                found.len(),
                list.files.len()
            ));
        }
        let files = list
            .files
            .into_iter()
            .zip(found)
            .map(|(entry, (path, bytes))| {
                if entry.path != path || entry.sha256 != sha256(&bytes) {
                    return Err(format!(
                        "{path} is not what was exported: the file was changed or damaged"
                    ));
                }
                if !is_allowed(&path) {
                    return Err(format!("{path} is no place for a file of an export"));
                }
                Ok(File {
                    path,
                    mode: entry.mode & 0o777,
                    user: entry.user,
                    group: entry.group,
                    bytes,
                })
            });
        Ok(Self {
            host: list.host,
            version: list.version,
            files: files.collect::<Result<_, _>>()?,
        })
    }
}

fn read_list(content: &[u8]) -> Result<List, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let not = |error: serde_json::Error| {
        format!("its list is not understood ({error}): it was changed or damaged")
    };
    let Format { format } = serde_json::from_slice(content).map_err(not)?;
    if format != FORMAT {
        return Err(format!(
            "it has format {format}, and this version reads {FORMAT}: import it with the version that wrote it, or a newer one"
        ));
    }
    serde_json::from_slice(content).map_err(not)
}

/// Whether a file may go there.
pub(super) fn is_allowed(path: &str) -> bool {
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain
        && PLACES.iter().any(|place| match place.ends_with('/') {
            true => path.starts_with(place) && path.len() > place.len(),
            false => path == *place,
        })
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
