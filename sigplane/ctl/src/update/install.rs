//! A bundle into the other slot.

use std::fs;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::checks;
use super::keep;
use super::place::{self, Place, failed};
use super::rauc::{self, Step, step};
use super::slot::{Slot, seal};
use super::{environment, event, now, only_root, record, restart, save};
use crate::client::Failure;
use crate::show::print;

pub(super) fn install(
    place: &Place,
    bundle: &Path,
    allow_downgrade: bool,
    reboot: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let boot = place.boot()?;
    let bundle = fs::canonicalize(bundle).map_err(|error| failed(bundle, error))?;
    let version = place.version();
    let target = boot.slot.other();
    let said = checked(place, &bundle, &version, allow_downgrade, target)?;
    only_root()?;
    let installed = rauc::install(&bundle, |step| {
        if !as_json {
            eprintln!("{step}");
        }
    });
    let mut record = record(place);
    if let Err(failure) = installed {
        record.alarm(
            now(),
            "install_failed",
            format!("version {} is not in slot {target}, so there may be no version to fall back to until a bundle is installed: {failure}", said.version),
        );
        save(place, &record)?;
        return Err(failure);
    }
    // RAUC has marked it; whether it is as it should be was looked at by its handler.
    record.over(&["slot_failed", "slot_corrupt", "install_failed"]);
    record.last = Some(event("installed", &said.version, Vec::new()));
    save(place, &record)?;
    let next =
        json!({ "slot": target, "version": said.version, "replaces": version, "reboot": reboot });
    print(as_json, &next, |_| {
        let then = if reboot {
            "the machine starts anew now"
        } else {
            "it is booted with the next start: `systemctl reboot` when calls may end"
        };
        format!("version {} is in slot {target}; {then}\n", said.version)
    })?;
    if reboot { restart() } else { Ok(()) }
}

/// Looks at a bundle from its signature to its last byte, before the other slot is touched.
fn checked(
    place: &Place,
    bundle: &Path,
    version: &str,
    allow_downgrade: bool,
    target: Slot,
) -> Result<rauc::Bundle, Failure> {
    let said = rauc::info(&place.root, bundle)?;
    let ours = compatible(place)?;
    if said.compatible != ours {
        return Err(Failure::Refused(format!(
            "the bundle is for {:?}, and this machine is {ours:?}: take one for this machine",
            said.compatible
        )));
    }
    if step(version, &said.version) == Step::Back && !allow_downgrade {
        return Err(Failure::Refused(format!(
            "the bundle has version {}, which is not newer than {version}: `--allow-downgrade` if that is what you want (configuration and journal of a newer version may not be understood by an older one)",
            said.version
        )));
    }
    let room = length(&target.device(&place.root))?;
    let size = said.size().unwrap_or(u64::MAX);
    if size > room {
        return Err(Failure::Refused(format!(
            "the bundle needs {size} bytes, and slot {target} has {room}: it is for a larger disk layout"
        )));
    }
    let into = place.kept("check");
    let _ = fs::remove_dir_all(&into);
    let kept = place.at("/data/update");
    fs::create_dir_all(&kept).map_err(|error| failed(&kept, error))?;
    if keep::free(&kept)? < size.saturating_add(16 << 20) {
        return Err(Failure::Refused(format!(
            "there is no room on the data partition to check the bundle, it needs {} MB: `df /data`, and remove what is not needed",
            (size >> 20) + 16
        )));
    }
    let found = rauc::extract(&place.root, bundle, &into).and_then(|()| {
        let image = into.join(rauc::IMAGE_FILE);
        seal(&image).map_err(|error| failed(&image, error))
    });
    let _ = fs::remove_dir_all(&into);
    match found? {
        Some(seal) if seal.version == said.version => Ok(said),
        _ => Err(Failure::Refused(
            "what is in the bundle has no seal of its version, so it could not be checked when it is booted: build it with image/update/bundle"
                .into(),
        )),
    }
}

fn compatible(place: &Place) -> Result<String, Failure> {
    let path = rauc::configuration(&place.root);
    let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix("compatible="));
    found.map(|word| word.trim().to_owned()).ok_or_else(|| {
        Failure::Config(format!("{}: there is no compatible= in it", path.display()))
    })
}

/// Bytes of a device or file.
fn length(path: &Path) -> Result<u64, Failure> {
    fs::File::open(path)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .map_err(|error| failed(path, error))
}

/// RAUC calls this before it writes, whoever called RAUC.
pub(super) fn prepare(place: &Place) -> Result<(), Failure> {
    let boot = place.boot()?;
    let (blocks, mut environment) = environment(place, boot.slot)?;
    environment.prepare(boot.slot);
    blocks
        .write(&environment)
        .map_err(|error| failed(blocks.path(), error))?;
    let findings = checks::look(&place.configuration, None);
    place::write(&place.kept("baseline.json"), &findings)
}

/// And this afterwards: what is on the disk now is what was sealed.
pub(super) fn written(place: &Place) -> Result<(), Failure> {
    let target = place.boot()?.slot.other();
    let device = target.device(&place.root);
    let Some(seal) = seal(&device).map_err(|error| failed(&device, error))? else {
        return Err(Failure::Refused(format!(
            "slot {target} has no seal after it was written"
        )));
    };
    // From the disk, not from memory.
    let _ = Command::new("blockdev")
        .arg("--flushbufs")
        .arg(&device)
        .status();
    let output = Command::new("veritysetup")
        .args(["verify", &format!("--hash-offset={}", seal.hash_offset)])
        .args([&device, &device])
        .arg(&seal.root_hash)
        .output()
        .map_err(|error| failed(Path::new("veritysetup"), error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::Refused(format!(
            "what was read back from slot {target} is not what was written: the disk may be failing (`smartctl -a`): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}
