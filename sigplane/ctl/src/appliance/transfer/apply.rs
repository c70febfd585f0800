//! An import takes place as a whole: it is laid down on the data partition first, and what has begun is finished by the next start.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::archive::{Archive, File};
use super::{NOT_TAKEN, TABLES, failed, put};
use crate::client::Failure;

/// Where an import lies until all of it is in its place.
fn pending(root: &Path) -> PathBuf {
    root.join("data/config/import.tar")
}

/// Takes an import that was checked.
pub(super) fn take(root: &Path, archive: &Archive) -> Result<(), Failure> {
    let pending = pending(root);
    put(&pending, &archive.pack()?).map_err(|error| failed(&pending, error))?;
    lay(root, archive)?;
    fs::remove_file(&pending).map_err(|error| failed(&pending, error))
}

/// Finishes an import that was broken off, and says whether there was one.
pub(crate) fn finish(root: &Path) -> Result<bool, Failure> {
    let pending = pending(root);
    let bytes = match fs::read(&pending) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(&pending, error)),
    };
    let archive = Archive::unpack(&bytes)
        .map_err(|why| Failure::Refused(format!("{}: {why}", pending.display())))?;
    lay(root, &archive)?;
    fs::remove_file(&pending).map_err(|error| failed(&pending, error))?;
    Ok(true)
}

/// Each file whole; and what the other machine had not in its configuration goes. Done again, it comes to the same.
fn lay(root: &Path, archive: &Archive) -> Result<(), Failure> {
    let files = archive.files.iter().filter(|file| file.path != TABLES);
    for file in files {
        no_links(root, Path::new(&file.path))?;
        write(&root.join(&file.path), file)?;
    }
    sweep(root, Path::new("etc/tandem"), archive)
}

/// A daemon may write to its own folders: a link that it has put there shall lead nobody out of them.
fn no_links(root: &Path, inside: &Path) -> Result<(), Failure> {
    let mut folders = inside
        .ancestors()
        .skip(1)
        .filter(|folder| !folder.as_os_str().is_empty());
    match folders.find(|folder| root.join(folder).is_symlink()) {
        None => Ok(()),
        Some(folder) => Err(Failure::Refused(format!(
            "/{} is a link, and nothing is written through it: make it a folder",
            folder.display()
        ))),
    }
}

fn write(path: &Path, file: &File) -> Result<(), Failure> {
    let user = User::from_name(&file.user)
        .ok()
        .flatten()
        .map(|user| user.uid.as_raw());
    let group = Group::from_name(&file.group)
        .ok()
        .flatten()
        .map(|group| group.gid.as_raw());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".import");
    let beside = PathBuf::from(beside);
    let written = put(&beside, &file.bytes)
        // Who is not root keeps what is his.
        .map(|()| drop(chown(&beside, user, group)))
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(file.mode)))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| failed(path, error))
}

/// Takes away what is in a folder and not in the import.
fn sweep(root: &Path, inside: &Path, archive: &Archive) -> Result<(), Failure> {
    let folder = root.join(inside);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(&folder, error))?;
        let inside = inside.join(entry.file_name());
        let name = inside.to_string_lossy();
        let stays = archive.files.iter().any(|file| file.path == name)
            || NOT_TAKEN.contains(&name.as_ref());
        if entry.path().is_dir() {
            sweep(root, &inside, archive)?;
        } else if !stays {
            fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
        }
    }
    Ok(())
}
