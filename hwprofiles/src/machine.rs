//! What a machine has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A machine as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Its maker and model, as its firmware says.
    pub model: String,
    /// Its processor, as it says itself.
    pub processor: String,
    /// Whether it is a virtual machine.
    pub is_virtual: bool,
    /// Whether the processor has pages of 1 GB.
    pub gigabyte_pages: bool,
    /// Megabytes of memory.
    pub memory_mb: u64,
    /// The logical cores that are online, by number.
    pub cores: Vec<Core>,
    /// The NUMA nodes, by number.
    pub nodes: Vec<Node>,
    /// The network cards' ports, by address.
    pub nics: Vec<Nic>,
    /// What isolates devices from memory.
    pub iommu: Iommu,
    /// The kernel's command line.
    pub command_line: String,
}

/// A logical core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Core {
    /// The kernel's number.
    pub id: u16,
    /// The physical core's number in its package.
    pub core: u32,
    /// The package (socket).
    pub package: u32,
    /// The NUMA node.
    pub node: u16,
}

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its number.
    pub id: u16,
    /// Megabytes of memory.
    pub memory_mb: u64,
    /// Its huge pages.
    pub pages: Vec<NodePages>,
}

/// Huge pages of one size on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NodePages {
    /// The size.
    pub size: PageSize,
    /// How many there are.
    pub total: u64,
    /// How many nobody has.
    pub free: u64,
}

/// A size of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PageSize {
    /// 2 MB.
    #[serde(rename = "2M")]
    Two,
    /// 1 GB.
    #[serde(rename = "1G")]
    Gigabyte,
}

impl PageSize {
    /// In megabytes.
    #[must_use]
    pub const fn megabytes(self) -> u64 {
        match self {
            Self::Two => 2,
            Self::Gigabyte => 1024,
        }
    }

    /// In kilobytes, as sysfs names it.
    #[must_use]
    pub const fn kilobytes(self) -> u64 {
        self.megabytes() * 1024
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Two => "2M",
            Self::Gigabyte => "1G",
        })
    }
}

/// Where a device is on the PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// The domain.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The device.
    pub device: u8,
    /// The function.
    pub function: u8,
}

impl PciAddress {
    /// Whether both are functions of one card.
    #[must_use]
    pub fn is_beside(self, other: Self) -> bool {
        (self.domain, self.bus, self.device) == (other.domain, other.bus, other.device)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{:x}",
            self.domain, self.bus, self.device, self.function
        )
    }
}

impl FromStr for PciAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a PCI address such as 0000:41:00.0");
        let mut parts = text.split([':', '.']);
        let mut part = || parts.next().ok_or_else(wrong);
        let hex = |text: &str| u32::from_str_radix(text, 16).map_err(|_| wrong());
        let byte = |text: &str| u8::from_str_radix(text, 16).map_err(|_| wrong());
        let address = Self {
            domain: hex(part()?)?,
            bus: byte(part()?)?,
            device: byte(part()?)?,
            function: byte(part()?)?,
        };
        if parts.next().is_some() || address.device > 31 || address.function > 7 {
            return Err(wrong());
        }
        Ok(address)
    }
}

impl Serialize for PciAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PciAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A port of a network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// Where it is.
    pub address: PciAddress,
    /// Its vendor.
    pub vendor: u16,
    /// Its device.
    pub device: u16,
    /// The NUMA node that it is attached to; none if the firmware does not say.
    pub node: Option<u16>,
    /// Who has it now.
    pub driver: Option<String>,
    /// The kernel's interface, if a kernel driver has it.
    pub interface: Option<String>,
    /// Its Ethernet address, if the kernel knows it.
    pub mac: Option<String>,
    /// Whether a cable is in, if the kernel knows it.
    pub carrier: Option<bool>,
    /// The link's speed in Mbit/s, if the kernel knows it.
    pub speed_mbps: Option<u32>,
    /// Its IOMMU group.
    pub group: Option<u32>,
    /// The physical function, if this is a virtual one.
    pub virtual_of: Option<PciAddress>,
    /// Virtual functions that were made of it.
    pub virtual_functions: u16,
    /// The width and the speed (in MT/s) of its PCI Express link.
    pub pcie: Option<(u8, u32)>,
    /// Whether the machine's default route goes by it: whoever administers the machine comes this way.
    pub has_default_route: bool,
}

impl Nic {
    /// Vendor and device, as lspci -n writes them.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// What keeps a device from memory that is not its.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Iommu {
    /// There is one, and the kernel uses it.
    On,
    /// The kernel has none in use.
    #[default]
    Off,
}

impl Machine {
    /// Logical cores of the same physical core, the core itself among them.
    pub fn siblings(&self, of: Core) -> impl Iterator<Item = Core> + '_ {
        self.cores
            .iter()
            .copied()
            .filter(move |c| (c.package, c.core, c.node) == (of.package, of.core, of.node))
    }

    /// The first logical core of each physical one.
    #[must_use]
    pub fn physical(&self) -> Vec<Core> {
        let mut first: Vec<Core> = Vec::new();
        for core in &self.cores {
            let known = first
                .iter()
                .any(|c| (c.package, c.core, c.node) == (core.package, core.core, core.node));
            if !known {
                first.push(*core);
            }
        }
        first
    }

    /// A core by its number.
    #[must_use]
    pub fn core(&self, id: u16) -> Option<Core> {
        self.cores.iter().copied().find(|c| c.id == id)
    }

    /// A card's port by its address.
    #[must_use]
    pub fn nic(&self, address: PciAddress) -> Option<&Nic> {
        self.nics.iter().find(|n| n.address == address)
    }
}
