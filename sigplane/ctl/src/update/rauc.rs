//! RAUC: what it says of a bundle, and what its refusals mean.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use semver::Version;
use serde::Deserialize;

use crate::client::Failure;

/// The configuration in the slot: no file of the operator stands in front of it.
const CONFIGURATION: &str = "/usr/lib/tandem/rauc/system.conf";
/// The image in a bundle that goes into a slot.
const IMAGE: &str = "system";
/// Its file.
pub(super) const IMAGE_FILE: &str = "rootfs.img";

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Bundle {
    pub(super) compatible: String,
    pub(super) version: String,
    #[serde(default)]
    images: Vec<BTreeMap<String, Image>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Image {
    size: u64,
}

impl Bundle {
    /// Reads the answer of `rauc info --output-format=json`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        // Its messages may stand in front.
        let json = text
            .lines()
            .find(|line| line.starts_with('{'))
            .unwrap_or("");
        serde_json::from_str(json).map_err(|error| {
            Failure::Protocol(format!(
                "rauc's words on the bundle are not understood: {error}"
            ))
        })
    }

    /// Bytes of what goes into the slot.
    pub(super) fn size(&self) -> Option<u64> {
        let found = self.images.iter().find_map(|image| image.get(IMAGE));
        found.map(|image| image.size)
    }
}

/// Which way an update goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Forward,
    Same,
    Back,
}

/// From one version to another. What is no version in the sense of semver.org is taken for a step back, so that it is asked for.
pub(super) fn step(from: &str, to: &str) -> Step {
    if from == to {
        return Step::Same;
    }
    match (Version::parse(from), Version::parse(to)) {
        (Ok(from), Ok(to)) if to > from => Step::Forward,
        _ => Step::Back,
    }
}

/// Which configuration and keyring RAUC is asked with.
pub(super) fn configuration(root: &Path) -> std::path::PathBuf {
    root.join(CONFIGURATION.trim_start_matches('/'))
}

/// What is in a bundle whose signature is good.
pub(super) fn info(root: &Path, bundle: &Path) -> Result<Bundle, Failure> {
    let said = run(
        root,
        [
            "info".as_ref(),
            "--output-format=json".as_ref(),
            bundle.as_os_str(),
        ],
    )?;
    Bundle::parse(&said)
}

/// Checks every byte of a bundle, and unpacks it into a directory that is not there yet.
pub(super) fn extract(root: &Path, bundle: &Path, into: &Path) -> Result<(), Failure> {
    run(
        root,
        ["extract".as_ref(), bundle.as_os_str(), into.as_os_str()],
    )
    .map(drop)
}

fn run<const N: usize>(root: &Path, arguments: [&OsStr; N]) -> Result<String, Failure> {
    let output = Command::new("rauc")
        .arg("--conf")
        .arg(configuration(root))
        .args(arguments)
        .output()
        .map_err(absent)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => {
            let all = said + &String::from_utf8_lossy(&output.stderr);
            Err(Failure::Refused(explain(&all)))
        }
    }
}

/// Writes a bundle into the other slot; `progress` hears each step.
pub(super) fn install(bundle: &Path, mut progress: impl FnMut(&str)) -> Result<(), Failure> {
    let mut child = Command::new("rauc")
        .arg("install")
        .arg(bundle)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(absent)?;
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            match line.trim().split_once('%') {
                Some((part, _)) if part.parse::<u8>().is_ok() => progress(line.trim()),
                _ => {
                    said += &line;
                    said.push('\n');
                }
            }
        }
    }
    if let Some(mut errors) = child.stderr.take() {
        let _ = errors.read_to_string(&mut said);
    }
    let status = child.wait().map_err(absent)?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::Refused(explain(&said))),
    }
}

fn absent(error: std::io::Error) -> Failure {
    Failure::Refused(format!(
        "rauc cannot be run ({error}): updates are for an appliance that was installed from its image"
    ))
}

/// What RAUC's words mean, and what to do.
pub(super) fn explain(said: &str) -> String {
    const MEANINGS: [(&str, &str); 17] = [
        (
            "Already processing",
            "an update runs already: `tandemctl update status`",
        ),
        (
            "D-Bus error",
            "RAUC's service does not run, or ended while it worked: `journalctl -u rauc`",
        ),
        (
            "Failed to execute child process",
            "a program that RAUC needs is not in this system, or cannot be run: boot the other version (`tandemctl update rollback`), and tell who makes your releases",
        ),
        (
            "certificate has expired",
            "the certificate that the bundle is signed with has expired: take a newer bundle, or put the machine's clock right if it is wrong (`timedatectl`)",
        ),
        (
            "certificate is not yet valid",
            "the certificate that the bundle is signed with is not valid yet: the machine's clock is wrong (`timedatectl`, `chronyc sources`)",
        ),
        (
            "unsuitable certificate purpose",
            "the bundle is signed with a certificate that is not for code: take one from who makes your releases",
        ),
        (
            "self-signed certificate",
            "the bundle is signed with a key that this machine does not trust: take one from who makes your releases",
        ),
        (
            "unable to get local issuer certificate",
            "the bundle is signed with a key that this machine does not trust: take one from who makes your releases",
        ),
        (
            "payload is corrupted",
            "the bundle is not what was signed: it was damaged or changed; load it again, and compare it with SHA256SUMS",
        ),
        (
            "Invalid bundle format",
            "the file is no bundle, or not all of one: load it again, and compare it with SHA256SUMS",
        ),
        (
            "signature verification failed",
            "the bundle's signature is damaged: load it again, and compare it with SHA256SUMS",
        ),
        ("No such file", "there is no such file"),
        (
            "Compatible mismatch",
            "the bundle is for another kind of machine",
        ),
        (
            "still mounted",
            "the other slot is mounted: `findmnt` says where; unmount it",
        ),
        (
            "already mounted",
            "the other slot is mounted: `findmnt` says where; unmount it",
        ),
        (
            "No space left",
            "there is no space left on the data partition: `df /data`, and remove what is not needed",
        ),
        (
            "Hook returned",
            "the slot could not be prepared: `journalctl -u rauc`",
        ),
    ];
    let meaning = MEANINGS.iter().find(|(words, _)| said.contains(words));
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.unwrap_or("nothing");
    match meaning {
        Some((_, meaning)) => format!("{meaning} (RAUC says: {last})"),
        None => format!("RAUC refused: {last}; `journalctl -u rauc` has more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_behind_messages() {
        let text = "rauc-Message: 12:36:57: Reading bundle\n{\"compatible\":\"tandem-amd64\",\"version\":\"0.2.0\",\
            \"build\":null,\"hooks\":[],\"images\":[{\"system\":{\"variant\":null,\"filename\":\"rootfs.img\",\"size\":315392}}]}\n";
        let bundle = Bundle::parse(text).unwrap();
        assert_eq!(
            (bundle.version.as_str(), bundle.size()),
            ("0.2.0", Some(315_392))
        );
        for broken in ["", "{", "{}", "[]"] {
            assert!(Bundle::parse(broken).is_err());
        }
    }

    #[test]
    fn steps() {
        assert_eq!(step("0.1.0", "0.2.0"), Step::Forward);
        assert_eq!(step("0.10.0", "0.9.0"), Step::Back);
        assert_eq!(step("1.0.0-rc.1", "1.0.0"), Step::Forward);
        assert_eq!(step("0.1.0", "0.1.0"), Step::Same);
        assert_eq!(step("0.1.0", "today"), Step::Back);
    }

    #[test]
    fn refusals_name_a_remedy() {
        let said = "rauc-Message: Verifying\nsignature verification failed: Verify error: certificate has expired\n";
        assert!(explain(said).contains("clock"), "{}", explain(said));
        let said = "signature verification failed: Verify error: self-signed certificate";
        assert!(explain(said).contains("does not trust"));
        assert!(explain("what is this").contains("journalctl"));
        assert!(explain("").contains("nothing"));
        let said = "D-Bus error while installing: No such file or directory";
        assert!(explain(said).contains("service does not run"));
        let said = "Failed to start unsquashfs: Failed to execute child process “unsquashfs” (No such file or directory)";
        assert!(explain(said).contains("a program that RAUC needs"));
    }
}
