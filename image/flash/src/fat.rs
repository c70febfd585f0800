//! Files in an EFI system partition that lies in memory: nothing is mounted.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read as _, Write as _};

use fatfs::{Dir, FileSystem, FsOptions};

use crate::digest::{self, Sha256};

/// A deeper folder is not looked into.
const DEPTH: usize = 16;

type Esp<'a> = Cursor<&'a mut [u8]>;

/// Puts files into a folder, in place of what the folder had.
///
/// # Errors
/// It is no FAT file system, or has no room.
pub fn put(esp: &mut [u8], folder: &str, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
    make_folder(esp, folder)?;
    let fs = FileSystem::new(Cursor::new(esp), FsOptions::new())?;
    {
        let dir = fs.root_dir().open_dir(folder)?;
        for (name, content) in files {
            let mut file = dir.create_file(name)?;
            file.truncate()?;
            file.write_all(content)?;
            file.flush()?;
        }
    }
    fs.unmount()
}

/// An empty folder in the root.
fn make_folder(esp: &mut [u8], folder: &str) -> io::Result<()> {
    let fs = FileSystem::new(Cursor::new(&mut *esp), FsOptions::new())?;
    let is_new = {
        let root = fs.root_dir();
        clear(&root, folder)?;
        let is_new = root.open_dir(folder).is_err();
        root.create_dir(folder)?;
        is_new
    };
    fs.unmount()?;
    if is_new {
        mend_dots(esp)?;
    }
    Ok(())
}

/// Bytes of an entry of a folder.
const ENTRY: usize = 32;

/// The library gives `.` and `..` of a new folder long names, and `..` the root's cluster; the standard wants them first, without, and
/// 0 (Microsoft FAT specification, 6.5). fsck would take the folder for damaged.
fn mend_dots(esp: &mut [u8]) -> io::Result<()> {
    let is_long = |e: &[u8], name: &[u8]| {
        e.first() == Some(&0x41)
            && e.get(11) == Some(&0x0f)
            && e.get(1..).is_some_and(|n| n.starts_with(name))
    };
    let is_dot = |e: &[u8], name: &[u8; 11]| e.starts_with(name) && e.get(11) == Some(&0x10);
    for sector in esp.chunks_exact_mut(512) {
        let (entries, _) = sector.as_chunks_mut::<ENTRY>();
        let Some([a, b, c, d, ..]) = entries.first_chunk_mut::<4>() else {
            continue;
        };
        if is_long(a, b".\0\0\0")
            && is_dot(b, b".          ")
            && is_long(c, b".\0.\0\0\0")
            && is_dot(d, b"..         ")
        {
            *a = *b;
            *b = *d;
            // The parent's first cluster, high and low half.
            b[20..22].fill(0);
            b[26..28].fill(0);
            // Free, and not the last.
            *c = [0; ENTRY];
            c[0] = 0xe5;
            *d = *c;
            return Ok(());
        }
    }
    Err(io::Error::other(
        "a folder that was made is not to be found",
    ))
}

fn clear(root: &Dir<'_, Esp<'_>>, folder: &str) -> io::Result<()> {
    let Ok(dir) = root.open_dir(folder) else {
        return Ok(());
    };
    let names: Vec<String> = dir
        .iter()
        .filter_map(|e| e.ok().map(|e| e.file_name()))
        .filter(|n| n != "." && n != "..")
        .collect();
    for name in names {
        dir.remove(&name)?;
    }
    Ok(())
}

/// One file.
///
/// # Errors
/// It is no FAT file system, or the file is not there.
pub fn read(esp: &mut [u8], path: &str) -> io::Result<Vec<u8>> {
    let fs = FileSystem::new(Cursor::new(esp), FsOptions::new())?;
    let mut content = Vec::new();
    fs.root_dir().open_file(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Puts one file in place of what was there.
///
/// # Errors
/// As [`put`].
pub fn replace(esp: &mut [u8], path: &str, content: &[u8]) -> io::Result<()> {
    let fs = FileSystem::new(Cursor::new(esp), FsOptions::new())?;
    {
        let mut file = fs.root_dir().create_file(path)?;
        file.truncate()?;
        file.write_all(content)?;
        file.flush()?;
    }
    fs.unmount()
}

/// Removes a file if it is there.
///
/// # Errors
/// It is no FAT file system.
pub fn remove(esp: &mut [u8], path: &str) -> io::Result<()> {
    let fs = FileSystem::new(Cursor::new(esp), FsOptions::new())?;
    match fs.root_dir().remove(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs.unmount()
}

/// The SHA-256 of each file, by its path.
///
/// # Errors
/// It is no FAT file system.
pub fn files(esp: &mut [u8]) -> io::Result<BTreeMap<String, Sha256>> {
    let fs = FileSystem::new(Cursor::new(esp), FsOptions::new())?;
    let mut found = BTreeMap::new();
    walk(&fs.root_dir(), "", DEPTH, &mut found)?;
    Ok(found)
}

fn walk(
    dir: &Dir<'_, Esp<'_>>,
    path: &str,
    depth: usize,
    found: &mut BTreeMap<String, Sha256>,
) -> io::Result<()> {
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == "." || name == ".." || depth == 0 {
            continue;
        }
        let path = format!("{path}/{name}");
        if entry.is_dir() {
            walk(&entry.to_dir(), &path, depth - 1, found)?;
        } else {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content)?;
            found.insert(path, digest::of(&content));
        }
    }
    Ok(())
}
