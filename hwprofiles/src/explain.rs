//! A plan for people, and for the configuration.

use std::fmt;

use crate::plan::{Plan, Role, Weight};
use crate::profile::{Binding, Idle};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Ports")?;
        for port in &self.ports {
            let profile = port.profile.as_deref().unwrap_or("no profile");
            let node = port
                .node
                .map_or(String::new(), |node| format!(", node {node}"));
            write!(f, "  {}  {:<11} {profile}{node}", port.address, port.role)?;
            if port.role.is_relayed() {
                let (rx, tx) = port.descriptors;
                let steering = port.steering.first().map(ToString::to_string);
                write!(
                    f,
                    "; {}; queues: {}, of {rx} descriptors to receive, {tx} to send; {}",
                    match port.binding {
                        Binding::VfioPci => "vfio-pci",
                        Binding::Bifurcated => "shared with the kernel",
                        Binding::None => "no binding",
                    },
                    port.queues,
                    steering.unwrap_or_default()
                )?;
            }
            writeln!(f)?;
        }
        writeln!(f, "Cores")?;
        writeln!(
            f,
            "  {:<11} kernel, management, control of the dataplane",
            self.control_core
        )?;
        for (index, worker) in self.workers.iter().enumerate() {
            writeln!(
                f,
                "  {:<11} worker {index}, queue {index} of each port, node {}",
                worker.core, worker.node
            )?;
        }
        for core in &self.signaling_cores {
            writeln!(f, "  {core:<11} signaling")?;
        }
        for core in &self.idle_threads {
            writeln!(f, "  {core:<11} left alone")?;
        }
        writeln!(f, "Memory")?;
        writeln!(
            f,
            "  {} buffers, {} flow pairs for each worker, {} MB in all",
            self.pool.buffers, self.pool.flows, self.pool.megabytes
        )?;
        for pages in &self.huge_pages {
            writeln!(
                f,
                "  node {}: {} x {} of huge pages",
                pages.node, pages.count, pages.size
            )?;
        }
        writeln!(f, "Kernel")?;
        for argument in &self.kernel_arguments {
            writeln!(f, "  {argument}")?;
        }
        writeln!(f, "Planned for {} G.711 calls at the same time", self.calls)?;
        for (weight, title) in [
            (Weight::Choice, "Because"),
            (Weight::Shortfall, "Shortfalls"),
        ] {
            let notes: Vec<_> = self.notes.iter().filter(|n| n.weight == weight).collect();
            if !notes.is_empty() {
                writeln!(f, "{title}")?;
            }
            for note in notes {
                writeln!(f, "  - {}", note.text)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Carrier => "carrier",
            Self::Core => "core",
            Self::Both => "carrier+core",
            Self::Management => "management",
            Self::Spare => "spare",
        })
    }
}

impl Plan {
    /// What of the appliance's configuration follows from it.
    #[must_use]
    pub fn configuration(&self) -> String {
        let numbers = |numbers: &mut dyn Iterator<Item = u16>| {
            let texts: Vec<_> = numbers.map(|n| n.to_string()).collect();
            format!("[{}]", texts.join(", "))
        };
        let workers = numbers(&mut self.workers.iter().map(|w| w.core));
        let idle = match self.idle {
            Idle::Poll => "poll",
            Idle::Pause => "pause",
        };
        let mut text = format!(
            "[dataplane]\nworkers = {workers}\ncontrol_core = {}\nidle = \"{idle}\"\nmbufs = {}\nmax_flows = {}\n",
            self.control_core, self.pool.buffers, self.pool.flows
        );
        for port in self.ports.iter().filter(|p| p.role.is_relayed()) {
            let name = match port.role {
                Role::Both => "trunk".to_owned(),
                role => role.to_string(),
            };
            text += &format!(
                "\n[[port]]\nname = \"{name}\"\ndevice = \"{}\"\n",
                port.address
            );
            let polled = numbers(&mut (0..port.queues));
            if usize::from(port.queues) < self.workers.len() {
                text += &format!("rx_workers = {polled}\n");
            }
        }
        if !self.signaling_cores.is_empty() {
            let cores = numbers(&mut self.signaling_cores.iter().copied());
            text += &format!(
                "\n[sip]\nworkers = {}\ncores = {cores}\n",
                self.signaling_cores.len()
            );
        }
        text
    }
}
