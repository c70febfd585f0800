//! The files that carry a plan out at the next start.

use crate::plan::Plan;
use crate::profile::Binding;

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path from the root, without the first slash.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// What it is for.
    pub purpose: &'static str,
}

/// What a plan writes on a Debian system: a drop-in for GRUB, the module that takes the ports, and for each port an
/// override that driverctl(8) carries out before the kernel's driver has it.
#[must_use]
pub fn files(plan: &Plan) -> Vec<File> {
    let mut files = vec![File {
        path: "etc/default/grub.d/60-tandem.cfg".into(),
        text: format!(
            "# Written by tandemctl hw apply.\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {}\"\n",
            plan.kernel_arguments.join(" ")
        ),
        purpose: "the kernel's command line, after update-grub",
    }];
    let taken: Vec<_> = plan
        .ports
        .iter()
        .filter(|port| port.role.is_relayed() && port.binding == Binding::VfioPci)
        .collect();
    if !taken.is_empty() {
        files.push(File {
            path: "etc/modules-load.d/tandem.conf".into(),
            text: "# Written by tandemctl hw apply.\nvfio-pci\n".into(),
            purpose: "the driver that gives ports to the dataplane",
        });
    }
    for port in taken {
        files.push(File {
            path: format!("etc/driverctl.d/{}", port.address),
            text: "vfio-pci\n".into(),
            purpose: "the port's driver, by driverctl",
        });
    }
    files
}
