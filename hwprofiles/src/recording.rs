//! What was read of a machine, in one text file: to be sent along with a question, and replayed in a test.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The files and links of `/sys` and `/proc` that [`crate::detect`] reads, by their paths without the root. Ethernet
/// addresses are in it; nothing else that tells one machine from another of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Texts by path.
    pub files: BTreeMap<String, String>,
    /// Targets of links by path.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

/// A recording that cannot be made or used.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It is not one.
    #[error("this is not a recording of a machine: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// A path that leads out of the folder that it is laid into.
    #[error("{0:?} leads out of the recording: it was not made by `tandemctl hw record`")]
    Outside(String),
    /// A file could not be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Files that are read as they are.
const FILES: &[&str] = &[
    "proc/cmdline",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/net/route",
    "sys/class/dmi/id/product_name",
    "sys/class/dmi/id/sys_vendor",
    "sys/devices/system/cpu/online",
];

/// Files of each network card.
const OF_NIC: &[&str] = &[
    "class",
    "current_link_speed",
    "current_link_width",
    "device",
    "numa_node",
    "sriov_numvfs",
    "vendor",
];

impl Recording {
    /// Records the machine below `root`. What is not there is left out.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let mut recording = Self::default();
        for name in FILES {
            recording.file(root, name);
        }
        recording.shorten();
        for cpu in names(root, "sys/devices/system/cpu") {
            for name in ["core_id", "physical_package_id"] {
                recording.file(
                    root,
                    &format!("sys/devices/system/cpu/{cpu}/topology/{name}"),
                );
            }
        }
        for node in names(root, "sys/devices/system/node") {
            let folder = format!("sys/devices/system/node/{node}");
            recording.file(root, &format!("{folder}/cpulist"));
            recording.file(root, &format!("{folder}/meminfo"));
            recording.pages(root, &format!("{folder}/hugepages"));
        }
        recording.pages(root, "sys/kernel/mm/hugepages");
        for group in names(root, "sys/kernel/iommu_groups").iter().take(1) {
            // That there is one is what counts.
            let file = format!("sys/kernel/iommu_groups/{group}/type");
            recording.files.insert(file, "DMA-FQ".into());
        }
        for device in names(root, "sys/bus/pci/devices") {
            recording.device(root, &format!("sys/bus/pci/devices/{device}"));
        }
        recording
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        Ok(toml::from_str(text).map_err(Box::new)?)
    }

    /// As a text.
    #[must_use]
    pub fn text(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Lays it out below a folder, for [`crate::detect`].
    ///
    /// # Errors
    /// If a path leads out of the folder, or something cannot be written.
    pub fn lay(&self, folder: &Path) -> Result<(), RecordingError> {
        for (name, text) in &self.files {
            let path = inside(folder, name)?;
            make_parent(&path)?;
            fs::write(&path, text).map_err(|error| RecordingError::Io { path, error })?;
        }
        for (name, target) in &self.links {
            let path = inside(folder, name)?;
            // Only its last part is read.
            let target = Path::new(target).file_name().unwrap_or_default();
            make_parent(&path)?;
            std::os::unix::fs::symlink(target, &path)
                .map_err(|error| RecordingError::Io { path, error })?;
        }
        Ok(())
    }

    fn file(&mut self, root: &Path, name: &str) {
        if let Ok(text) = fs::read_to_string(root.join(name)) {
            self.files.insert(name.to_owned(), text);
        }
    }

    fn link(&mut self, root: &Path, name: &str) {
        let target = fs::read_link(root.join(name)).ok();
        let last = target
            .as_deref()
            .and_then(Path::file_name)
            .map(|last| last.to_string_lossy().into_owned());
        if let Some(last) = last {
            self.links.insert(name.to_owned(), last);
        }
    }

    fn pages(&mut self, root: &Path, folder: &str) {
        for size in names(root, folder) {
            for name in ["nr_hugepages", "free_hugepages"] {
                self.file(root, &format!("{folder}/{size}/{name}"));
            }
        }
    }

    fn device(&mut self, root: &Path, folder: &str) {
        let class = fs::read_to_string(root.join(folder).join("class"));
        if !class.is_ok_and(|class| class.starts_with("0x0200")) {
            return;
        }
        for name in OF_NIC {
            self.file(root, &format!("{folder}/{name}"));
        }
        for name in ["driver", "iommu_group", "physfn"] {
            self.link(root, &format!("{folder}/{name}"));
        }
        let inner = names(root, folder);
        let virtio = inner.iter().filter(|name| name.starts_with("virtio"));
        let folders = virtio.map(|name| format!("{folder}/{name}/net"));
        for net in folders.chain([format!("{folder}/net")]) {
            for interface in names(root, &net) {
                self.files
                    .insert(format!("{net}/{interface}/ifindex"), String::new());
                for name in ["address", "carrier", "speed"] {
                    self.file(root, &format!("sys/class/net/{interface}/{name}"));
                }
            }
        }
    }

    /// Only what is read of the first processor and of memory: the rest is long.
    fn shorten(&mut self) {
        if let Some(text) = self.files.get_mut("proc/cpuinfo") {
            *text = text.split("\n\n").next().unwrap_or_default().to_owned();
        }
        if let Some(text) = self.files.get_mut("proc/meminfo") {
            *text = text.lines().next().unwrap_or_default().to_owned();
        }
    }
}

fn names(root: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn inside(folder: &Path, name: &str) -> Result<PathBuf, RecordingError> {
    let path = Path::new(name);
    let safe = !name.is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)));
    if safe {
        Ok(folder.join(path))
    } else {
        Err(RecordingError::Outside(name.to_owned()))
    }
}

fn make_parent(path: &Path) -> Result<(), RecordingError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| RecordingError::Io {
        path: parent.to_owned(),
        error,
    })
}
