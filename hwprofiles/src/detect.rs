//! Reads a machine from its `/sys` and `/proc`, below any root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::machine::{Core, Iommu, Machine, Nic, Node, NodePages, PageSize, PciAddress};

/// A machine that cannot be read.
#[derive(Debug, Error)]
pub enum DetectError {
    /// A file that every machine has is not there.
    #[error("{}: {error}: this is not the root of a Linux machine with /sys and /proc", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file has something else than the kernel writes.
    #[error("{}: {text:?} is not {expected}", path.display())]
    Strange {
        /// Which.
        path: PathBuf,
        /// What is in it.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// The machine whose file system is below `root` (`/` for this one).
///
/// # Errors
/// If it cannot be one. What only some machines have may be absent.
pub fn detect(root: &Path) -> Result<Machine, DetectError> {
    let tree = Tree(root);
    let information = tree.must("proc/cpuinfo")?;
    let flags = field(&information, "flags").unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let nodes = nodes(&tree)?;
    let model = ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|name| tree.may(&format!("sys/class/dmi/id/{name}")))
        .collect::<Vec<_>>()
        .join(" ");
    Ok(Machine {
        model,
        processor: field(&information, "model name")
            .unwrap_or_default()
            .to_owned(),
        is_virtual: has("hypervisor"),
        gigabyte_pages: has("pdpe1gb"),
        memory_mb: memory(&tree.must("proc/meminfo")?, "MemTotal"),
        cores: cores(&tree, &nodes)?,
        nodes: nodes.into_iter().map(|(node, _)| node).collect(),
        nics: nics(&tree)?,
        iommu: if tree.list("sys/kernel/iommu_groups").is_empty() {
            Iommu::Off
        } else {
            Iommu::On
        },
        command_line: tree.must("proc/cmdline")?,
    })
}

/// Numbers of a list such as `0-3,8`; none if it is not one.
pub(crate) fn list(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        // A machine of more cores than this is not read from a file, but made up.
        if last < first || last > 4095 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Files below a root.
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn must(&self, name: &str) -> Result<String, DetectError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(DetectError::Missing { path, error }),
        }
    }

    fn may(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.may(name)?.parse().ok()
    }

    /// The last part of where a link points to.
    fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.path(name)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Names in a folder, sorted.
    fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name));
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// Megabytes of a line `name: N kB`, which in a node's file has words before it.
fn memory(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            let kilobytes = value.trim().strip_suffix("kB")?;
            key.ends_with(name)
                .then(|| kilobytes.trim().parse::<u64>().ok())?
        })
        .unwrap_or(0)
        / 1024
}

/// Nodes with their cores. A kernel without NUMA has one node.
fn nodes(tree: &Tree<'_>) -> Result<Vec<(Node, Vec<u16>)>, DetectError> {
    const FOLDER: &str = "sys/devices/system/node";
    let mut nodes = Vec::new();
    for name in tree.list(FOLDER) {
        let Some(id) = name.strip_prefix("node").and_then(|n| n.parse().ok()) else {
            continue;
        };
        let folder = format!("{FOLDER}/{name}");
        let file = format!("{folder}/cpulist");
        let cores = numbers(tree, &file, &tree.must(&file)?)?;
        let information = tree.may(&format!("{folder}/meminfo")).unwrap_or_default();
        let node = Node {
            id,
            memory_mb: memory(&information, "MemTotal"),
            pages: pages(tree, &format!("{folder}/hugepages")),
        };
        nodes.push((node, cores));
    }
    if nodes.is_empty() {
        let file = "sys/devices/system/cpu/online";
        let cores = numbers(tree, file, &tree.must(file)?)?;
        let node = Node {
            id: 0,
            memory_mb: memory(&tree.must("proc/meminfo")?, "MemTotal"),
            pages: pages(tree, "sys/kernel/mm/hugepages"),
        };
        nodes.push((node, cores));
    }
    nodes.sort_by_key(|(node, _)| node.id);
    Ok(nodes)
}

fn pages(tree: &Tree<'_>, folder: &str) -> Vec<NodePages> {
    [PageSize::Two, PageSize::Gigabyte]
        .into_iter()
        .filter_map(|size| {
            let folder = format!("{folder}/hugepages-{}kB", size.kilobytes());
            Some(NodePages {
                size,
                total: tree.number(&format!("{folder}/nr_hugepages"))?,
                free: tree.number(&format!("{folder}/free_hugepages"))?,
            })
        })
        .collect()
}

fn numbers(tree: &Tree<'_>, file: &str, text: &str) -> Result<Vec<u16>, DetectError> {
    list(text).ok_or_else(|| DetectError::Strange {
        path: tree.path(file),
        text: text.to_owned(),
        expected: "a list of cores such as 0-3,8",
    })
}

fn cores(tree: &Tree<'_>, nodes: &[(Node, Vec<u16>)]) -> Result<Vec<Core>, DetectError> {
    const FOLDER: &str = "sys/devices/system/cpu";
    let file = format!("{FOLDER}/online");
    let online = numbers(tree, &file, &tree.must(&file)?)?;
    let core = |id: u16| {
        let topology = format!("{FOLDER}/cpu{id}/topology");
        let node = nodes.iter().find(|(_, cores)| cores.contains(&id));
        Core {
            id,
            core: tree
                .number(&format!("{topology}/core_id"))
                .unwrap_or(id.into()),
            package: tree
                .number(&format!("{topology}/physical_package_id"))
                .unwrap_or(0),
            node: node.map_or(0, |(node, _)| node.id),
        }
    };
    Ok(online.into_iter().map(core).collect())
}

fn nics(tree: &Tree<'_>) -> Result<Vec<Nic>, DetectError> {
    const FOLDER: &str = "sys/bus/pci/devices";
    /// Network controller, Ethernet.
    const ETHERNET: &str = "0x0200";
    let way_out = default_interface(tree);
    let mut nics = Vec::new();
    for name in tree.list(FOLDER) {
        let folder = format!("{FOLDER}/{name}");
        let is_ethernet = tree
            .may(&format!("{folder}/class"))
            .is_some_and(|class| class.starts_with(ETHERNET));
        if !is_ethernet {
            continue;
        }
        let address = name.parse().map_err(|_| DetectError::Strange {
            path: tree.path(FOLDER),
            text: name.clone(),
            expected: "a PCI address",
        })?;
        nics.push(nic(tree, &folder, address, way_out.as_deref())?);
    }
    nics.sort_by_key(|nic| nic.address);
    Ok(nics)
}

fn nic(
    tree: &Tree<'_>,
    folder: &str,
    address: PciAddress,
    way_out: Option<&str>,
) -> Result<Nic, DetectError> {
    let id = |name: &str| {
        let file = format!("{folder}/{name}");
        let text = tree.must(&file)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u16::from_str_radix(digits, 16).map_err(|_| DetectError::Strange {
            path: tree.path(&file),
            text: text.clone(),
            expected: "a number such as 0x8086",
        })
    };
    let interface = interface(tree, folder);
    let net = interface
        .as_ref()
        .map(|name| format!("sys/class/net/{name}"));
    let of = |name: &str| tree.may(&format!("{}/{name}", net.as_ref()?));
    let width = tree.number::<u8>(&format!("{folder}/current_link_width"));
    let speed = tree.may(&format!("{folder}/current_link_speed"));
    // "8.0 GT/s PCIe"
    let speed = speed.and_then(|text| text.split(' ').next()?.parse::<f32>().ok());
    Ok(Nic {
        address,
        vendor: id("vendor")?,
        device: id("device")?,
        // -1 where the firmware does not say.
        node: tree.number(&format!("{folder}/numa_node")),
        driver: tree.link(&format!("{folder}/driver")),
        mac: of("address"),
        // Reading it fails while the interface is down.
        carrier: of("carrier").map(|text| text == "1"),
        speed_mbps: of("speed").and_then(|text| text.parse().ok()),
        has_default_route: interface.is_some() && interface.as_deref() == way_out,
        interface,
        group: tree
            .link(&format!("{folder}/iommu_group"))
            .and_then(|group| group.parse().ok()),
        virtual_of: tree
            .link(&format!("{folder}/physfn"))
            .and_then(|name| name.parse().ok()),
        virtual_functions: tree.number(&format!("{folder}/sriov_numvfs")).unwrap_or(0),
        pcie: width
            .zip(speed)
            .map(|(width, speed)| (width, (speed * 1000.0).round() as u32)),
    })
}

/// The kernel's interface of a device; virtio has its own device in between.
fn interface(tree: &Tree<'_>, folder: &str) -> Option<String> {
    let direct = tree.list(&format!("{folder}/net")).into_iter().next();
    direct.or_else(|| {
        tree.list(folder)
            .iter()
            .filter(|name| name.starts_with("virtio"))
            .find_map(|name| {
                tree.list(&format!("{folder}/{name}/net"))
                    .into_iter()
                    .next()
            })
    })
}

/// The interface of the default route.
fn default_interface(tree: &Tree<'_>) -> Option<String> {
    let routes = tree.may("proc/net/route")?;
    routes.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (interface, destination) = (words.next()?, words.next()?);
        let mask = words.nth(5)?;
        (destination == "00000000" && mask == "00000000").then(|| interface.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(list(""), Some(vec![]));
        for wrong in ["3-1", "a", "1-", "0-99999", "0-5000"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
    }
}
