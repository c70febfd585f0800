//! The profiles: their schema and those that are built in.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Nic;

/// A figure and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure<T> {
    /// The figure.
    pub value: T,
    /// A document, or the file and name in a source.
    pub source: String,
}

/// A kind of port: a family of network cards, or virtual devices of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, as in `--profile`.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The PCI devices that it is for; empty for the lab's virtual devices.
    #[serde(default)]
    pub pci: Vec<PciId>,
    /// The DPDK drivers of virtual devices that it is for.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The kernel's driver.
    pub kernel_driver: String,
    /// DPDK's driver.
    pub pmd: String,
    /// Debian's package of it.
    pub package: String,
    /// How the port comes to DPDK.
    pub binding: Binding,
    /// Whether the device is there for virtual machines: its queues and memory are the host's to give.
    #[serde(default)]
    pub virtual_machine: bool,
    /// The fastest link, in Mbit/s.
    pub speed_mbps: Figure<u32>,
    /// Receive queues that the driver offers at most.
    pub rx_queues: Figure<u16>,
    /// Send queues that the driver offers at most.
    pub tx_queues: Figure<u16>,
    /// Descriptors of a receive queue.
    pub rx_descriptors: Descriptors,
    /// Descriptors of a send queue.
    pub tx_descriptors: Descriptors,
    /// How packets find the core that owns their flow, the best way first.
    pub steering: Figure<Vec<Steering>>,
    /// Entries of the table of receive-side scaling; 0 for none.
    pub reta: Figure<u16>,
    /// Whether the device verifies and computes checksums of IPv4 and UDP.
    pub checksums: Figure<bool>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// Packets a second that one port takes at most, if it is below its line rate.
    #[serde(default)]
    pub packets_per_second: Option<Figure<u64>>,
    /// Arguments for the kernel's command line that this kind of port needs.
    #[serde(default)]
    pub kernel_arguments: Vec<Figure<String>>,
    /// Debian's package with its firmware, if the driver loads one.
    #[serde(default)]
    pub firmware: Option<String>,
    /// What an operator should know.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// A PCI device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PciId {
    /// Vendor and device in hexadecimal, such as `8086:10fb`.
    pub id: String,
    /// What it is.
    pub name: String,
}

/// How a port comes to DPDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// The kernel's driver lets go of it, and vfio-pci takes it.
    VfioPci,
    /// The kernel's driver stays: both have it (mlx5).
    Bifurcated,
    /// It is no PCI device.
    None,
}

/// Descriptors of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptors {
    /// What the driver takes.
    pub range: Figure<Range>,
    /// What we ask for: 1,024 hold 68 us of a 10GbE port full of the smallest packets.
    pub wanted: u16,
}

/// From the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The fewest.
    pub min: u16,
    /// The most.
    pub max: u16,
    /// A multiple of this.
    pub multiple: u16,
}

/// How packets find the core that owns their flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steering {
    /// Receive-side scaling by the UDP destination port alone.
    L4Destination,
    /// Flow rules with masked UDP destination ports.
    FlowRules,
    /// Neither: packets on the wrong core are handed over.
    HandOff,
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L4Destination => "receive-side scaling by UDP destination port",
            Self::FlowRules => "flow rules on masked UDP destination ports",
            Self::HandOff => "hand-over between cores",
        })
    }
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// Polls on.
    Poll,
    /// Sleeps for up to 100 us.
    Pause,
}

/// A profile that cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// It is not TOML of this schema.
    #[error("{file}: {error}")]
    Syntax {
        /// Where.
        file: String,
        /// What, with its line.
        #[source]
        error: Box<toml::de::Error>,
    },
    /// It contradicts itself.
    #[error("{file}: {what}")]
    Nonsense {
        /// Where.
        file: String,
        /// What, and the remedy.
        what: String,
    },
    /// Two profiles are for the same device, or have the same name.
    #[error("{0} is in two profiles: take it out of one")]
    Twice(String),
}

macro_rules! built_in {
    ($($file:literal,)*) => {
        /// The built-in profiles' files and texts.
        const BUILT_IN: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../profiles/", $file)))),*];
    };
}

built_in! {
    "intel-82599.toml",
    "intel-x550.toml",
    "intel-700.toml",
    "intel-e810.toml",
    "intel-i350.toml",
    "intel-i210.toml",
    "nvidia-connectx5.toml",
    "nvidia-connectx6.toml",
    "virtio.toml",
    "vmxnet3.toml",
    "e1000.toml",
    "aws-ena.toml",
    "lab.toml",
}

/// All profiles.
#[derive(Clone, Debug)]
pub struct Profiles(Vec<Profile>);

impl Profiles {
    /// Those that are built in.
    ///
    /// # Errors
    /// None that a build can have whose tests have passed.
    pub fn built_in() -> Result<Self, ProfileError> {
        Self::new(BUILT_IN.iter().copied())
    }

    /// Those of these files: name and text.
    ///
    /// # Errors
    /// The first mistake, with its file and its line.
    pub fn new<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ProfileError> {
        let mut profiles = Vec::new();
        let mut seen = BTreeSet::new();
        for (file, text) in files {
            let profile = Profile::parse(file, text)?;
            let ids = profile.pci.iter().map(|p| p.id.clone());
            let devices = profile.devices.iter().cloned();
            for name in ids.chain(devices).chain([profile.name.clone()]) {
                if !seen.insert(name.clone()) {
                    return Err(ProfileError::Twice(name));
                }
            }
            profiles.push(profile);
        }
        Ok(Self(profiles))
    }

    /// The profile of a card.
    #[must_use]
    pub fn of(&self, nic: &Nic) -> Option<&Profile> {
        self.0.iter().find(|p| p.is_for(nic))
    }

    /// The profile of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Profile> {
        self.0.iter().find(|p| p.name == name)
    }

    /// Every one.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.0.iter()
    }
}

impl Profile {
    /// Reads a profile; `file` is for the error.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(file: &str, text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|error| ProfileError::Syntax {
            file: file.to_owned(),
            error: Box::new(error),
        })?;
        match profile.contradiction() {
            None => Ok(profile),
            Some(what) => Err(ProfileError::Nonsense {
                file: file.to_owned(),
                what,
            }),
        }
    }

    /// Whether it is for this card.
    #[must_use]
    pub fn is_for(&self, nic: &Nic) -> bool {
        let id = nic.id();
        self.pci.iter().any(|p| p.id == id)
    }

    fn contradiction(&self) -> Option<String> {
        if self.pci.is_empty() == self.devices.is_empty() {
            return Some(
                "a profile is for PCI devices or for virtual ones: give it `pci` or `devices`"
                    .into(),
            );
        }
        if let Some(bad) = self.pci.iter().find(|p| !is_pci_id(&p.id)) {
            return Some(format!(
                "{:?} is not a PCI id: write vendor:device in small hexadecimal digits, as lspci -n does",
                bad.id
            ));
        }
        if self.pci.is_empty() != (self.binding == Binding::None) {
            return Some("`binding` is \"none\" for virtual devices, and for them alone".into());
        }
        for (which, descriptors) in [
            ("rx_descriptors", &self.rx_descriptors),
            ("tx_descriptors", &self.tx_descriptors),
        ] {
            let Range { min, max, multiple } = descriptors.range.value;
            let wanted = descriptors.wanted;
            if multiple == 0 || !(min..=max).contains(&wanted) || !wanted.is_multiple_of(multiple) {
                return Some(format!(
                    "{which}: {wanted} wanted is not a multiple of {multiple} from {min} to {max}"
                ));
            }
        }
        if self.steering.value.last() != Some(&Steering::HandOff) {
            return Some("`steering` ends with \"hand-off\", which always works".into());
        }
        let empty = [
            &self.speed_mbps.source,
            &self.rx_queues.source,
            &self.tx_queues.source,
            &self.rx_descriptors.range.source,
            &self.tx_descriptors.range.source,
            &self.steering.source,
            &self.reta.source,
            &self.checksums.source,
        ]
        .iter()
        .any(|source| source.trim().is_empty());
        if empty || self.rx_queues.value == 0 || self.tx_queues.value == 0 {
            return Some("every figure has a source, and there is at least one queue".into());
        }
        None
    }
}

fn is_pci_id(id: &str) -> bool {
    let hex = |part: &str| {
        part.len() == 4
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    id.split_once(':')
        .is_some_and(|(vendor, device)| hex(vendor) && hex(device))
}
