//! Who uses a device: the mount table and the swap table.

use std::path::Path;

use super::Use;
use super::read::System;

/// Where what is mounted belongs to the running system.
const OF_SYSTEM: &[&str] = &[
    "/", "/boot", "/usr", "/var", "/etc", "/data", "/home", "/nix",
];

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug)]
struct Mount {
    number: String,
    at: String,
    kind: String,
    source: String,
    options: String,
}

/// What is mounted, and what is swap.
#[derive(Debug, Default)]
pub(super) struct Tables {
    mounts: Vec<Mount>,
    swaps: Vec<String>,
    /// Loop devices and the file under each.
    loops: Vec<(String, String)>,
}

impl Tables {
    pub(super) fn read(system: &System) -> Self {
        let mounts = system.text("proc/self/mountinfo").unwrap_or_default();
        let swaps = system.text("proc/swaps").unwrap_or_default();
        let names = system.names("sys/block").into_iter();
        Self {
            mounts: mounts.lines().filter_map(mount).collect(),
            swaps: swaps
                .lines()
                .skip(1)
                .filter_map(|l| Some(unescaped(l.split_whitespace().next()?)))
                .collect(),
            loops: names
                .filter_map(|n| {
                    let file = system.text(format!("sys/block/{n}/loop/backing_file"))?;
                    Some((n, file))
                })
                .collect(),
        }
    }

    /// Whether the running system needs what is mounted there: by the place, as a layer of a system's overlay, or through
    /// a loop device with a file on it whose file system the system needs, as live systems have it.
    fn is_system(&self, mount: &Mount, depth: usize) -> bool {
        if depth > 4 {
            return true;
        }
        let at = mount.at.as_str();
        if OF_SYSTEM.contains(&at) || at.starts_with("/boot/") {
            return true;
        }
        let is_layer = self.mounts.iter().any(|upper| {
            upper.kind == "overlay" && OF_SYSTEM.contains(&upper.at.as_str()) && {
                let options = upper.options.split(',').filter_map(|o| o.split_once('='));
                options
                    .filter(|(key, _)| matches!(*key, "lowerdir" | "upperdir" | "workdir"))
                    .flat_map(|(_, dirs)| dirs.split(':'))
                    .any(|dir| self.lies_on(dir, mount))
            }
        });
        let has_loop = self.loops.iter().any(|(name, file)| {
            self.lies_on(file, mount)
                && self
                    .mounts
                    .iter()
                    .any(|m| m.source == format!("/dev/{name}") && self.is_system(m, depth + 1))
        });
        is_layer || has_loop
    }

    /// Whether a path is in this mount's file system: it is the deepest one around it.
    fn lies_on(&self, path: &str, mount: &Mount) -> bool {
        let path = Path::new(path);
        let around = self.mounts.iter().filter(|m| path.starts_with(&m.at));
        let deepest = around.max_by_key(|m| m.at.len());
        mount.at != "/" && deepest.is_some_and(|m| m.number == mount.number)
    }
}

/// Mounts and swap of one device. A file system that spans devices (btrfs) has a number of its own, and its source tells.
pub(super) fn mounts_of(system: &System, tables: &Tables, name: &str, number: &str) -> Vec<Use> {
    let path = format!("/dev/{name}");
    let mapped = system
        .text(format!("sys/block/{name}/dm/name"))
        .map(|n| format!("/dev/mapper/{n}"));
    let is_it = |source: &str| source == path || mapped.as_deref() == Some(source);
    let mut uses: Vec<Use> = Vec::new();
    for mount in &tables.mounts {
        if mount.number == number || is_it(&mount.source) {
            let it = Use::Mounted {
                device: name.to_owned(),
                at: mount.at.clone(),
                is_system: tables.is_system(mount, 0),
            };
            if !uses.contains(&it) {
                uses.push(it);
            }
        }
    }
    for swap in tables.swaps.iter().filter(|s| is_it(s)) {
        uses.push(Use::Swap {
            device: swap.clone(),
        });
    }
    uses
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let number = left.next()?.to_owned();
    let at = unescaped(left.nth(1)?);
    let mut right = right.split(' ');
    Some(Mount {
        number,
        at,
        kind: right.next()?.to_owned(),
        source: unescaped(right.next()?),
        options: unescaped(right.next().unwrap_or_default()),
    })
}

/// Blanks and backslashes are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
