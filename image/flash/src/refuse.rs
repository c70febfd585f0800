//! Which disks may not be written, with every reason at once.

use std::path::Path;

use crate::disks::{Disk, Use, size};
use crate::error::Error;

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Bytes that the disk must have.
    pub size: u64,
    /// The name of the disk on which the image's own file lies, if it is known.
    pub image_on: Option<&'a str>,
}

/// Whether a disk may be written.
///
/// # Errors
/// [`Error::Refused`] with every reason.
pub fn check(disk: &Disk, wanted: &Wanted<'_>) -> Result<(), Error> {
    let mut problems = Vec::new();
    let mut remedies: Vec<&str> = Vec::new();
    if disk.is_system() {
        problems.push("the running system is on this disk".to_owned());
        remedies.push("choose another one");
    }
    if wanted.image_on == Some(disk.name.as_str()) {
        problems.push("the image itself lies on this disk".to_owned());
        remedies.push("copy it somewhere else first");
    }
    for used in &disk.uses {
        problems.push(used.to_string());
        remedies.push(match used {
            _ if disk.is_system() => continue,
            Use::Mounted { .. } => "unmount it with umount",
            Use::Swap { .. } => "end it with swapoff",
            Use::Held { .. } => "stop what holds it (vgchange -an, mdadm --stop, cryptsetup close)",
        });
    }
    if disk.is_read_only {
        problems.push("it is read-only".to_owned());
        remedies.push("look for a switch at the stick or the adapter");
    }
    if disk.sector != 512 {
        problems.push(format!(
            "it addresses sectors of {} bytes, and the image is made for 512",
            disk.sector
        ));
        remedies.push("an NVMe disk can often be formatted to 512 (nvme format --lbaf)");
    }
    if disk.size < wanted.size {
        problems.push(format!(
            "it has {} ({} bytes), and {} ({} bytes) are needed",
            size(disk.size),
            disk.size,
            size(wanted.size),
            wanted.size
        ));
        remedies.push("take a larger one");
    }
    if problems.is_empty() {
        return Ok(());
    }
    remedies.dedup();
    Err(Error::Refused {
        disk: disk.name.clone(),
        problems,
        remedy: remedies.join("; "),
    })
}

/// Whether the disk is still the one that was chosen.
///
/// # Errors
/// [`Error::Refused`]: what differs.
pub fn unchanged(now: Option<&Disk>, chosen: &Disk) -> Result<(), Error> {
    let problem = match now {
        None => "it is gone since it was chosen".to_owned(),
        Some(now) => match now.changed(chosen) {
            None => return Ok(()),
            Some(what) => {
                format!("{what} is not what it was when it was chosen: it is another disk")
            }
        },
    };
    Err(Error::Refused {
        disk: chosen.name.clone(),
        problems: vec![problem],
        remedy: "look at `tandem-flash list` and start again".into(),
    })
}

/// Whether what was typed is the disk's name: `sdb`, `/dev/sdb`, or its stable name.
#[must_use]
pub fn is_named(disk: &Disk, typed: &str) -> bool {
    let typed = typed.trim();
    typed == disk.name
        || Path::new(typed) == disk.path
        || disk.by_id.as_deref().is_some_and(|by_id| {
            Path::new(typed) == by_id || by_id.file_name().is_some_and(|n| n == typed)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        Disk {
            name: "sdb".into(),
            path: "/dev/sdb".into(),
            by_id: Some("/dev/disk/by-id/usb-Stick_1-0:0".into()),
            size: 4_000_000_000,
            sector: 512,
            serial: Some("1".into()),
            diskseq: Some(7),
            ..Disk::default()
        }
    }

    fn refused(disk: &Disk, wanted: &Wanted<'_>) -> String {
        let Err(error) = check(disk, wanted) else {
            return String::new();
        };
        assert_eq!(error.exit_code(), 4);
        format!("{error}. {}", error.remedy())
    }

    const FITS: Wanted<'_> = Wanted {
        size: 2_000_000_000,
        image_on: None,
    };

    #[test]
    fn a_free_disk_may_be_written() {
        assert_eq!(refused(&disk(), &FITS), "");
    }

    #[test]
    fn every_reason_is_told_with_its_remedy() {
        let mut used = disk();
        used.uses = vec![
            Use::Mounted {
                device: "sdb1".into(),
                at: "/media/stick".into(),
                is_system: false,
            },
            Use::Swap {
                device: "/dev/sdb2".into(),
            },
        ];
        used.is_read_only = true;
        used.sector = 4096;
        let wanted = Wanted {
            size: 5_000_000_000,
            image_on: Some("sdb"),
        };
        let text = refused(&used, &wanted);
        for part in [
            "the image itself lies on this disk",
            "sdb1 is mounted at /media/stick",
            "/dev/sdb2 is swap space in use",
            "read-only",
            "sectors of 4096 bytes",
            "it has 4.0 GB (4000000000 bytes), and 5.0 GB",
            "umount",
            "swapoff",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn another_disk_under_the_same_name_is_refused() {
        let chosen = disk();
        assert!(unchanged(Some(&disk()), &chosen).is_ok());
        assert!(unchanged(None, &chosen).is_err());
        let mut others = vec![disk(); 4];
        others[0].serial = Some("2".into());
        others[1].diskseq = Some(8);
        others[2].size = 1;
        others[3].by_id = None;
        for other in others {
            let error = unchanged(Some(&other), &chosen).unwrap_err();
            assert!(error.to_string().contains("another disk"), "{error}");
        }
    }

    #[test]
    fn only_its_own_names_confirm_a_disk() {
        for name in [
            "sdb",
            " sdb\n",
            "/dev/sdb",
            "usb-Stick_1-0:0",
            "/dev/disk/by-id/usb-Stick_1-0:0",
        ] {
            assert!(is_named(&disk(), name), "{name}");
        }
        for name in ["", "y", "yes", "sdb1", "sda", "SDB", "/dev/sd"] {
            assert!(!is_named(&disk(), name), "{name}");
        }
    }
}
