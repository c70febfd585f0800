//! Which disk is meant, and whether it is really meant.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tandem_flash::Error;
use tandem_flash::disks::{Bus, Disk, System, detect, size};
use tandem_flash::refuse::is_named;
use tandem_flash::target::number_of;

use super::report::Reporter;

/// The machine's disks.
pub(super) fn disks(root: &Path) -> Result<Vec<Disk>, Error> {
    let found = detect(&System::at(root));
    found.map_err(|e| Error::io(&root.join("sys/block"), "reading the machine's disks", e))
}

/// The disk of this name.
pub(super) fn find(root: &Path, given: &Path) -> Result<Disk, Error> {
    let disks = disks(root)?;
    let name = given.to_string_lossy();
    if let Some(disk) = disks.iter().find(|d| is_named(d, &name)) {
        return Ok(disk.clone());
    }
    // Any other link to it.
    let real = fs::canonicalize(given).unwrap_or_else(|_| given.to_owned());
    if let Some(disk) = disks.iter().find(|d| d.path == real) {
        return Ok(disk.clone());
    }
    let partition = disks.iter().find(|d| {
        let names = d.partitions.iter().map(|p| Path::new("/dev").join(&p.name));
        let given = [real.clone(), Path::new("/dev").join(given)];
        names.into_iter().any(|n| given.contains(&n))
    });
    let (problem, remedy) = match partition {
        Some(disk) => (
            format!("it is a partition of {}", disk.name),
            format!("an image is written to a whole disk: {}", disk.name),
        ),
        None if real.is_file() => (
            "it is a file".to_owned(),
            "give --file if a file is meant".to_owned(),
        ),
        None => (
            "there is no such disk, or no medium in it".to_owned(),
            "see `tandem-flash list`".to_owned(),
        ),
    };
    Err(Error::Refused {
        disk: name.into_owned(),
        problems: vec![problem],
        remedy,
    })
}

/// The device of a disk. A recorded machine has none: nobody's disk is touched for it.
pub(super) fn device(root: &Path, disk: &Disk) -> PathBuf {
    root.join(disk.path.strip_prefix("/").unwrap_or(&disk.path))
}

/// A file as if it were a disk.
pub(super) fn file(path: &Path, image: Option<&Path>) -> Result<Disk, Error> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, "opening", e))?;
    let refuse = |problem: &str, remedy: &str| {
        Err(Error::Refused {
            disk: path.display().to_string(),
            problems: vec![problem.to_owned()],
            remedy: remedy.to_owned(),
        })
    };
    if !metadata.is_file() {
        return refuse("it is not a file", "leave --file out for a disk");
    }
    let same = |other: &Path| {
        fs::metadata(other).is_ok_and(|o| (o.dev(), o.ino()) == (metadata.dev(), metadata.ino()))
    };
    if image.is_some_and(same) {
        return refuse("it is the image itself", "name another file");
    }
    let loops = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    for device in loops {
        let backing = fs::read_to_string(device.path().join("loop/backing_file"));
        if backing.is_ok_and(|b| same(Path::new(b.trim()))) {
            let name = device.file_name();
            let problem = format!("{} lies on it", name.to_string_lossy());
            return refuse(&problem, "detach it with losetup -d");
        }
    }
    let name = path.file_name().unwrap_or_default();
    Ok(Disk {
        name: name.to_string_lossy().into_owned(),
        path: path.to_owned(),
        // What it is, whatever its name says meanwhile.
        number: format!("{}:{}", number_of(metadata.dev()), metadata.ino()),
        size: metadata.len() / 512 * 512,
        sector: 512,
        bus: Bus::Virtual,
        ..Disk::default()
    })
}

/// The disk on which a file lies, if that is to be seen.
pub(super) fn disk_of(disks: &[Disk], file: &Path) -> Option<String> {
    let number = number_of(fs::metadata(file).ok()?.dev());
    let found = disks
        .iter()
        .find(|d| d.number == number || d.partitions.iter().any(|p| p.number == number));
    found.map(|d| d.name.clone())
}

/// Asks which disk.
pub(super) fn ask(root: &Path) -> Result<PathBuf, Error> {
    let disks = disks(root)?;
    let shown: Vec<&Disk> = disks.iter().filter(|d| is_real(d)).collect();
    if !io::stdin().is_terminal() {
        let problem = "no disk was named, and there is nobody to ask".to_owned();
        return Err(Error::NotConfirmed(problem));
    }
    eprint!("{}", table(&shown));
    let name = question("Which disk? ")?;
    Ok(PathBuf::from(name))
}

/// Whether a disk is one that somebody could mean.
pub(super) fn is_real(disk: &Disk) -> bool {
    disk.bus != Bus::Virtual
}

/// Lets the operator type the disk's name, if it was not given.
pub(super) fn confirm(
    disk: &Disk,
    yes_erase: Option<&str>,
    reporter: &Reporter,
) -> Result<(), Error> {
    if let Some(name) = yes_erase {
        return match is_named(disk, name) {
            true => Ok(()),
            false => Err(Error::NotConfirmed(format!(
                "--yes-erase says {name:?}, and the disk is {}",
                disk.name
            ))),
        };
    }
    if reporter.is_json() || !io::stdin().is_terminal() {
        let problem = format!(
            "there is nobody to ask: give --yes-erase {} if {} is to be erased",
            disk.name, disk.name
        );
        return Err(Error::NotConfirmed(problem));
    }
    eprint!("\n{}", details(disk));
    eprintln!("ALL DATA on {} will be lost.", disk.name);
    let typed = question(&format!("Type its name, {}, to go on: ", disk.name))?;
    match is_named(disk, &typed) {
        true => Ok(()),
        false => Err(Error::NotConfirmed(format!(
            "{:?} was typed, and the disk is {}",
            typed.trim(),
            disk.name
        ))),
    }
}

fn question(words: &str) -> Result<String, Error> {
    eprint!("{words}");
    let _ = io::stderr().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read {
        Ok(n) if n > 0 => Ok(line.trim().to_owned()),
        _ => Err(Error::NotConfirmed("nothing was typed".into())),
    }
}

/// `tandem-flash list`.
pub(super) fn list(root: &Path, all: bool, reporter: &Reporter) -> Result<(), Error> {
    let disks = disks(root)?;
    let shown: Vec<&Disk> = disks.iter().filter(|d| all || is_real(d)).collect();
    if reporter.is_json() {
        reporter.event(&json!({"event": "disks", "disks": shown}));
        return Ok(());
    }
    match shown.is_empty() {
        true => println!("There is no disk here (--all shows loop devices, RAID and others)."),
        false => print!("{}", table(&shown)),
    }
    Ok(())
}

fn table(disks: &[&Disk]) -> String {
    let mut text = format!(
        "{:<10} {:>9}  {:<6} {:<4} {:<26} {:<20} {}\n",
        "NAME", "SIZE", "BUS", "", "MODEL", "SERIAL", "USE"
    );
    for disk in disks {
        let used = match disk.uses.len() {
            0 if disk.is_read_only => "read-only".to_owned(),
            0 => "free".to_owned(),
            _ if disk.is_system() => "THE RUNNING SYSTEM".to_owned(),
            _ => "in use".to_owned(),
        };
        text += &format!(
            "{:<10} {:>9}  {:<6} {:<4} {:<26} {:<20} {used}\n",
            disk.name,
            size(disk.size),
            disk.bus,
            if disk.is_removable { "rem." } else { "" },
            disk.model.as_deref().unwrap_or("-"),
            disk.serial.as_deref().unwrap_or("-"),
        );
        if let Some(by_id) = &disk.by_id {
            text += &format!("           {}\n", by_id.display());
        }
        for used in &disk.uses {
            text += &format!("           {used}\n");
        }
    }
    text
}

/// All that is known of a disk, for somebody who is about to erase it.
fn details(disk: &Disk) -> String {
    let mut text = format!(
        "  {}  {}  {}  {}\n",
        disk.name,
        size(disk.size),
        disk.model.as_deref().unwrap_or("(no model)"),
        disk.bus
    );
    if let Some(serial) = &disk.serial {
        text += &format!("  serial number {serial}\n");
    }
    if let Some(by_id) = &disk.by_id {
        text += &format!("  {}\n", by_id.display());
    }
    for partition in &disk.partitions {
        text += &format!(
            "  {}  {}  {} {}\n",
            partition.name,
            size(partition.size),
            partition.content.as_deref().unwrap_or("-"),
            partition.label.as_deref().unwrap_or_default(),
        );
    }
    if disk.partitions.is_empty() {
        text += "  no partitions\n";
    }
    text
}
