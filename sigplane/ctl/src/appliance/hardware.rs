//! The hardware plan on this machine: made on the first start, carried out on each, and what differs from it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use tandem_config::{Config, Side};
use tandem_hwprofiles::{
    Binding, Difference, File, Iommu, Machine, Nic, PageSize, PciAddress, Plan, Profiles, Role,
    Wishes, management_port,
};

use tandem_management::Management;

/// What is wanted of the plan: ports that the configuration has are those of its realms' sides.
pub(super) fn wishes(
    management: &Management,
    config: Option<&Config>,
    profiles: &Profiles,
    machine: &Machine,
) -> Wishes {
    let of = |side: Side| {
        let config = config?;
        let mut realms = config.realms.iter();
        let realm = realms.find(|realm| realm.side == side)?;
        config
            .ports
            .get(usize::from(realm.port))?
            .device
            .parse()
            .ok()
    };
    let (carrier, core) = (of(Side::External), of(Side::Internal));
    let taken = [carrier, core];
    let free = Machine {
        nics: machine
            .nics
            .iter()
            .filter(|nic| !taken.contains(&Some(nic.address)))
            .cloned()
            .collect(),
        ..machine.clone()
    };
    Wishes {
        carrier,
        core,
        management: management
            .management
            .port
            .or_else(|| management_port(profiles, &free)),
        ..Wishes::default()
    }
}

/// The file on the ESP that GRUB sources: arguments of the next start. What could mean more to GRUB than itself is left out.
pub(super) fn grub(plan: &Plan) -> String {
    let is_plain = |argument: &&String| {
        argument
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"=,.:_-/".contains(&b))
    };
    let arguments: Vec<_> = plan
        .kernel_arguments
        .iter()
        .filter(is_plain)
        .map(String::as_str)
        .collect();
    format!("set tandem_hw=\"{}\"\n", arguments.join(" "))
}

/// That file for `tandemctl hw apply`.
pub(crate) fn grub_file(plan: &Plan) -> File {
    File {
        path: "boot/efi/EFI/tandem/hardware.cfg".into(),
        text: grub(plan),
        purpose: "the kernel's command line of the next start",
    }
}

/// PID 1 and all services keep off the workers' cores; the dataplane's threads pin themselves.
pub(super) fn manager_cores(plan: &Plan, machine: &Machine) -> String {
    let taken = |id: u16| {
        plan.workers.iter().any(|worker| worker.core == id) || plan.idle_threads.contains(&id)
    };
    let free: Vec<_> = machine
        .cores
        .iter()
        .filter(|core| !taken(core.id))
        .map(|core| core.id.to_string())
        .collect();
    let mut text =
        "# Made by tandemctl appliance hardware, of the hardware plan.\n[Manager]\n".to_owned();
    if !free.is_empty() {
        text += &format!("CPUAffinity={}\n", free.join(" "));
    }
    text
}

/// Without an IOMMU devices reach all memory by its real address: whoever drives them needs the rights for that.
pub(super) const UNSAFE_VFIO: &str = "# Made by tandemctl appliance hardware: this machine has no IOMMU in use, so the dataplane needs more rights.\n\
     [Service]\nAmbientCapabilities=CAP_SYS_RAWIO CAP_SYS_ADMIN CAP_DAC_READ_SEARCH\n\
     CapabilityBoundingSet=CAP_SYS_RAWIO CAP_SYS_ADMIN CAP_DAC_READ_SEARCH\n";

/// One line for each port, for the console.
pub(super) fn summary(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<_> = plan
        .ports
        .iter()
        .map(|port| {
            format!(
                "{} {} ({})",
                port.address,
                port.role,
                port.profile.as_deref().unwrap_or("no profile")
            )
        })
        .collect();
    let workers: Vec<_> = plan
        .workers
        .iter()
        .map(|worker| worker.core.to_string())
        .collect();
    lines.push(format!(
        "workers on cores {}, planned for {} calls",
        workers.join(", "),
        plan.calls
    ));
    lines
}

/// What differs, without what a new plan explains: arguments that are for the next start alone.
pub(super) fn remarks(differences: &[Difference], is_new: bool) -> Vec<String> {
    let (later, now): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|difference| is_new && matches!(difference, Difference::Argument(_)));
    let mut all: Vec<_> = now.iter().map(ToString::to_string).collect();
    if !later.is_empty() {
        all.push(
            "the kernel's arguments of the new plan (isolated cores, huge pages) are in force from the next start on: until then \
             workers share their cores with others"
                .into(),
        );
    }
    all
}

/// The machine's file system, below a root.
pub(super) struct System<'a> {
    pub(super) root: &'a Path,
}

/// Something that could not be done, and where.
pub(super) type Failed = String;

impl System<'_> {
    fn write(&self, path: &str, text: &str) -> Result<(), Failed> {
        let path = self.root.join(path);
        fs::write(&path, text).map_err(|error| failed(&path, &error))
    }

    /// Gives a port to vfio-pci, whoever has it now.
    pub(super) fn bind(&self, nic: &Nic) -> Result<(), Failed> {
        if nic.driver.as_deref() == Some("vfio-pci") {
            return Ok(());
        }
        let address = nic.address;
        let device = format!("sys/bus/pci/devices/{address}");
        self.write(&format!("{device}/driver_override"), "vfio-pci")?;
        if nic.driver.is_some() {
            self.write(&format!("{device}/driver/unbind"), &address.to_string())?;
        }
        self.write("sys/bus/pci/drivers_probe", &address.to_string())
    }

    /// Gives a port back that the plan leaves to the kernel and vfio-pci has: of a plan of before.
    pub(super) fn release(&self, nic: &Nic) -> Result<(), Failed> {
        if nic.driver.as_deref() != Some("vfio-pci") {
            return Ok(());
        }
        let address = nic.address;
        let device = format!("sys/bus/pci/devices/{address}");
        self.write(&format!("{device}/driver_override"), "\n")?;
        self.write(&format!("{device}/driver/unbind"), &address.to_string())?;
        self.write("sys/bus/pci/drivers_probe", &address.to_string())
    }

    /// Huge pages that the kernel's command line did not bring. Large ones need a start with it: until then as much in
    /// small ones.
    pub(super) fn huge_pages(&self, plan: &Plan, machine: &Machine) -> Result<(), Failed> {
        for wanted in &plan.huge_pages {
            let has = |size: PageSize| {
                let node = machine.nodes.iter().find(|node| node.id == wanted.node);
                let pages =
                    node.and_then(|node| node.pages.iter().find(|pages| pages.size == size));
                pages.map_or(0, |pages| pages.total)
            };
            if has(wanted.size) >= wanted.count {
                continue;
            }
            let small = wanted.count * wanted.size.megabytes() / PageSize::Two.megabytes();
            if has(PageSize::Two) >= small {
                continue;
            }
            let size = PageSize::Two.kilobytes();
            let by_node = format!(
                "sys/devices/system/node/node{}/hugepages/hugepages-{size}kB/nr_hugepages",
                wanted.node
            );
            let path = if self.root.join(&by_node).exists() {
                by_node
            } else {
                format!("sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages")
            };
            self.write(&path, &small.to_string())?;
        }
        Ok(())
    }

    /// Has vfio take devices without an IOMMU.
    pub(super) fn allow_unsafe(&self) -> Result<(), Failed> {
        self.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
    }
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Failed {
    format!("{}: {error}", path.display())
}

/// Ethernet addresses by PCI address, as long as the kernel's drivers have the ports.
pub(super) fn macs(machine: &Machine, known: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = known;
    for nic in &machine.nics {
        if let Some(mac) = &nic.mac {
            all.insert(nic.address.to_string(), mac.clone());
        }
    }
    all
}

/// Ports that go to vfio-pci.
pub(super) fn taken<'a>(plan: &'a Plan, machine: &'a Machine) -> Vec<&'a Nic> {
    let wanted = plan
        .ports
        .iter()
        .filter(|port| port.role.is_relayed() && port.binding == Binding::VfioPci);
    wanted
        .filter_map(|port| machine.nic(port.address))
        .collect()
}

/// Ports that are the kernel's.
pub(super) fn left<'a>(plan: &'a Plan, machine: &'a Machine) -> Vec<&'a Nic> {
    let wanted = plan.ports.iter().filter(|port| !port.role.is_relayed());
    wanted
        .filter_map(|port| machine.nic(port.address))
        .collect()
}

/// Interfaces of management: the plan's, or without a plan all that there are.
pub(super) fn interfaces(
    plan: Option<&Plan>,
    named: Option<PciAddress>,
    machine: &Machine,
) -> Vec<String> {
    let planned = |nic: &&Nic| match (named, plan) {
        (Some(address), _) => nic.address == address,
        (None, Some(plan)) => plan
            .ports
            .iter()
            .any(|port| port.role == Role::Management && port.address == nic.address),
        (None, None) => true,
    };
    machine
        .nics
        .iter()
        .filter(planned)
        .filter_map(|nic| nic.interface.clone())
        .collect()
}

/// Whether the ports need vfio's unsafe mode.
pub(super) fn needs_unsafe(plan: &Plan, machine: &Machine) -> bool {
    machine.iommu == Iommu::Off && !taken(plan, machine).is_empty()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::appliance::starter::tests::{config, machine, planned};

    fn profiles() -> Profiles {
        Profiles::built_in().unwrap()
    }

    #[test]
    fn management_is_the_port_that_the_dataplane_can_use_least() {
        let mut of_three = machine(3);
        let port = |machine: &Machine| management_port(&profiles(), machine).unwrap().to_string();
        assert_eq!(port(&of_three), "0000:00:02.0");
        of_three.nics[2].device = 1;
        assert_eq!(port(&of_three), "0000:00:04.0", "no profile");
        of_three.nics[0].has_default_route = true;
        assert_eq!(port(&of_three), "0000:00:02.0", "somebody comes this way");
        of_three.nics[0].has_default_route = false;
        of_three.nics[2].carrier = Some(false);
        assert_eq!(port(&of_three), "0000:00:02.0", "no cable in it");
    }

    #[test]
    fn ports_of_the_configuration_keep_their_sides() {
        let wishes = wishes(
            &Management::default(),
            Some(&config()),
            &profiles(),
            &machine(3),
        );
        let said = |address: Option<PciAddress>| address.unwrap().to_string();
        assert_eq!(said(wishes.carrier), "0000:00:03.0");
        assert_eq!(said(wishes.core), "0000:00:04.0");
        assert_eq!(said(wishes.management), "0000:00:02.0");
    }

    #[test]
    fn arguments_for_grub_are_arguments_alone() {
        let mut plan = planned(3);
        plan.kernel_arguments = vec![
            "isolcpus=managed_irq,domain,1-2".into(),
            "a=\"$(reboot)".into(),
            "iommu=pt".into(),
        ];
        assert_eq!(
            grub(&plan),
            "set tandem_hw=\"isolcpus=managed_irq,domain,1-2 iommu=pt\"\n"
        );
    }

    #[test]
    fn services_keep_off_the_workers_cores() {
        let plan = planned(3);
        let text = manager_cores(&plan, &machine(3));
        let worker = plan.workers[0].core.to_string();
        let line = text
            .lines()
            .find(|line| line.starts_with("CPUAffinity="))
            .unwrap();
        assert!(
            !line["CPUAffinity=".len()..]
                .split(' ')
                .any(|core| core == worker),
            "{text}"
        );
        assert!(line.contains('0'), "{text}");
    }

    #[test]
    fn a_port_changes_its_driver_by_override_unbind_and_probe() {
        let dir = TempDir::new().unwrap();
        let device = dir.path().join("sys/bus/pci/devices/0000:00:03.0");
        fs::create_dir_all(device.join("driver")).unwrap();
        let mut nic = machine(3).nics[1].clone();
        let system = System { root: dir.path() };
        system.bind(&nic).unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(device.join("driver_override")), "vfio-pci");
        assert_eq!(read(device.join("driver/unbind")), "0000:00:03.0");
        assert_eq!(
            read(dir.path().join("sys/bus/pci/drivers_probe")),
            "0000:00:03.0"
        );

        nic.driver = Some("vfio-pci".into());
        fs::remove_file(device.join("driver_override")).unwrap();
        system.bind(&nic).unwrap();
        assert!(
            !device.join("driver_override").exists(),
            "it has it already"
        );
        system.release(&nic).unwrap();
        assert_eq!(read(device.join("driver_override")), "\n");
    }

    #[test]
    fn large_pages_that_are_missing_are_small_ones_until_the_next_start() {
        let dir = TempDir::new().unwrap();
        let file = dir
            .path()
            .join("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "0").unwrap();
        let mut plan = planned(3);
        plan.huge_pages[0].size = PageSize::Gigabyte;
        plan.huge_pages[0].count = 2;
        System { root: dir.path() }
            .huge_pages(&plan, &machine(3))
            .unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "1024");
    }

    #[test]
    fn a_new_plan_s_arguments_are_for_the_next_start() {
        let differences = [
            Difference::Argument("isolcpus=1".into()),
            Difference::NoIommu,
        ];
        assert_eq!(remarks(&differences, false).len(), 2);
        let new = remarks(&differences, true);
        assert!(new[1].contains("from the next start on"), "{new:?}");
    }

    #[test]
    fn management_s_interfaces() {
        let plan = planned(3);
        assert_eq!(interfaces(Some(&plan), None, &machine(3)), ["enp0s2"]);
        let named = Some("0000:00:04.0".parse().unwrap());
        assert_eq!(interfaces(Some(&plan), named, &machine(3)), ["enp0s4"]);
        assert_eq!(interfaces(None, None, &machine(1)), ["enp0s2"]);
    }

    #[test]
    fn without_an_iommu_more_is_needed() {
        let mut machine = machine(3);
        assert!(!needs_unsafe(&planned(3), &machine));
        machine.iommu = Iommu::Off;
        assert!(needs_unsafe(&planned(3), &machine));
    }
}
