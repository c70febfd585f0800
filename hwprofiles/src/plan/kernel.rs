//! The kernel's command line.

use crate::machine::{Iommu, Machine, PageSize};
use crate::plan::cores::{Cores, join};
use crate::plan::ports::Chosen;
use crate::plan::{HugePages, Note};
use crate::profile::Binding;

/// Arguments of Linux 6.1 (Debian 12): Documentation/admin-guide/kernel-parameters.txt.
pub(super) fn arguments(
    machine: &Machine,
    ports: &[Chosen<'_>],
    cores: &Cores,
    pages: &[HugePages],
    notes: &mut Vec<Note>,
) -> Vec<String> {
    let mut arguments = huge_pages(pages);
    arguments.push("transparent_hugepage=never".into());
    if !cores.shared {
        let mut quiet: Vec<u16> = cores.workers.iter().map(|worker| worker.core).collect();
        quiet.extend(&cores.idle_threads);
        quiet.sort_unstable();
        let list = join(&quiet);
        notes.push(Note::choice(format!(
            "the kernel's scheduler, timer tick, callbacks and interrupts keep off cores {list}: a worker that is interrupted for 1 ms \
             loses what does not fit into its queues"
        )));
        let rest: Vec<u16> = machine
            .cores
            .iter()
            .map(|core| core.id)
            .filter(|id| !quiet.contains(id))
            .collect();
        arguments.push(format!("isolcpus=managed_irq,domain,{list}"));
        arguments.push(format!("nohz_full={list}"));
        arguments.push(format!("rcu_nocbs={list}"));
        arguments.push(format!("irqaffinity={}", join(&rest)));
        arguments.push("nowatchdog".into());
    }
    if ports.iter().any(|p| p.profile.binding == Binding::VfioPci) {
        iommu(machine, &mut arguments, notes);
    }
    for port in ports {
        for argument in &port.profile.kernel_arguments {
            if !arguments.contains(&argument.value) {
                arguments.push(argument.value.clone());
            }
        }
    }
    arguments
}

fn huge_pages(pages: &[HugePages]) -> Vec<String> {
    let Some(size) = pages.first().map(|p| p.size) else {
        return Vec::new();
    };
    let mut arguments = vec![format!("default_hugepagesz={size}")];
    for size in [PageSize::Two, PageSize::Gigabyte] {
        let of_size = pages.iter().filter(|p| p.size == size);
        let counts: Vec<_> = of_size.map(|p| format!("{}:{}", p.node, p.count)).collect();
        if !counts.is_empty() {
            arguments.push(format!("hugepagesz={size}"));
            arguments.push(format!("hugepages={}", counts.join(",")));
        }
    }
    arguments
}

fn iommu(machine: &Machine, arguments: &mut Vec<String>, notes: &mut Vec<Note>) {
    let is_intel = machine.processor.contains("Intel");
    if is_intel {
        arguments.push("intel_iommu=on".into());
    }
    arguments.push("iommu=pt".into());
    if machine.iommu == Iommu::On {
        return;
    }
    let switch = match (machine.is_virtual, is_intel) {
        (true, _) => "give the virtual machine one (QEMU: -device intel-iommu)",
        (false, true) => "switch on VT-d in the firmware",
        (false, false) => "switch on AMD-Vi (IOMMU) in the firmware",
    };
    notes.push(Note::shortfall(format!(
        "no IOMMU is in use: {switch} and start again with this plan. Until then vfio-pci works only in its unsafe mode, in which a \
         device can write to all memory"
    )));
    arguments.push("vfio.enable_unsafe_noiommu_mode=1".into());
}
