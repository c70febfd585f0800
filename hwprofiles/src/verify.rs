//! Where a machine differs from its plan.

use std::fmt;

use crate::machine::{Iommu, Machine, PciAddress};
use crate::plan::{HugePages, Plan};
use crate::profile::Binding;

/// Something that is not as planned, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A port is not there.
    PortGone(PciAddress),
    /// Another driver has it.
    Driver {
        /// Which.
        port: PciAddress,
        /// Whose it is.
        has: Option<String>,
    },
    /// A port has no cable, or its far end is off.
    NoLink(PciAddress),
    /// A core is not there or not online.
    CoreGone(u16),
    /// Too few huge pages.
    Pages {
        /// What was planned.
        planned: HugePages,
        /// What is there.
        total: u64,
    },
    /// The kernel was started without an argument.
    Argument(String),
    /// No IOMMU is in use.
    NoIommu,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortGone(port) => write!(
                f,
                "there is no network card at {port} any more: plan again with `tandemctl hw plan`"
            ),
            Self::Driver { port, has } => write!(
                f,
                "{port} is with {}, not with vfio-pci: `driverctl set-override {port} vfio-pci`, or start the machine anew",
                has.as_deref().unwrap_or("no driver")
            ),
            Self::NoLink(port) => write!(f, "no cable is in {port}, or its far end is off"),
            Self::CoreGone(core) => {
                write!(
                    f,
                    "core {core} is not online: plan again, or bring it online"
                )
            }
            Self::Pages { planned, total } => write!(
                f,
                "node {} has {total} huge pages of {}, {} were planned: start the machine anew with the planned command line",
                planned.node, planned.size, planned.count
            ),
            Self::Argument(argument) => write!(
                f,
                "the kernel was started without {argument}: update-grub, and start the machine anew"
            ),
            Self::NoIommu => write!(
                f,
                "no IOMMU is in use: switch it on in the firmware (VT-d, AMD-Vi)"
            ),
        }
    }
}

/// What is not as planned; nothing if all is.
#[must_use]
pub fn verify(plan: &Plan, machine: &Machine) -> Vec<Difference> {
    let mut differences = Vec::new();
    let relayed = plan.ports.iter().filter(|port| port.role.is_relayed());
    for port in relayed {
        let address = port.address;
        let Some(nic) = machine.nic(address) else {
            differences.push(Difference::PortGone(address));
            continue;
        };
        if port.binding == Binding::VfioPci {
            if nic.driver.as_deref() != Some("vfio-pci") {
                differences.push(Difference::Driver {
                    port: address,
                    has: nic.driver.clone(),
                });
            }
            if machine.iommu == Iommu::Off {
                differences.push(Difference::NoIommu);
            }
        }
        if nic.carrier == Some(false) {
            differences.push(Difference::NoLink(address));
        }
    }
    let cores = plan.workers.iter().map(|worker| worker.core);
    for core in cores.chain(plan.signaling_cores.iter().copied()) {
        if machine.core(core).is_none() {
            differences.push(Difference::CoreGone(core));
        }
    }
    for planned in &plan.huge_pages {
        let node = machine.nodes.iter().find(|node| node.id == planned.node);
        let pages = node.and_then(|node| node.pages.iter().find(|p| p.size == planned.size));
        let total = pages.map_or(0, |pages| pages.total);
        if total < planned.count {
            differences.push(Difference::Pages {
                planned: *planned,
                total,
            });
        }
    }
    for argument in &plan.kernel_arguments {
        let given = machine.command_line.split_whitespace();
        if !given.into_iter().any(|word| word == argument) {
            differences.push(Difference::Argument(argument.clone()));
        }
    }
    let mut once = Vec::new();
    differences.retain(|difference| {
        let new = !once.contains(difference);
        once.push(difference.clone());
        new
    });
    differences
}
