//! The plan: ports to roles, queues to cores, cores to signaling, huge pages, the kernel's command line.

mod cores;
mod kernel;
mod memory;
mod ports;

pub use ports::management_port;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::machine::{Machine, PageSize, PciAddress};
use crate::profile::{Binding, Idle, Profiles, Steering};

/// Packets a second that a worker is planned for. What one carries is in docs/SCALING.md; half of that leaves room for
/// what is not evenly spread.
const PER_WORKER: u64 = 5_000_000;
/// Bytes on the wire of G.711 at 20 ms: 160 of payload, 54 of headers, 24 of the Ethernet frame around it.
const BYTES_ON_WIRE: u64 = 238;
/// Packets a second of a call that come in: 50 from each side.
const PER_CALL: u64 = 100;

/// What the operator wants otherwise than proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The port to the carriers.
    pub carrier: Option<PciAddress>,
    /// The port to the media servers.
    pub core: Option<PciAddress>,
    /// The port that stays the kernel's for management.
    pub management: Option<PciAddress>,
    /// Ports that stay the kernel's for something else: the link to the other machine of a pair, say.
    pub spare: Vec<PciAddress>,
    /// The profile that the ports are to be of; another card is refused.
    pub profile: Option<String>,
    /// Calls at the same time, instead of what the ports carry.
    pub calls: Option<u32>,
}

impl Wishes {
    /// Roles that nobody named a port for stay where a plan of before has them, as long as that port is there and not
    /// wanted for something else. A port that DPDK has does not say whether a cable is in, and management's default route may be in a
    /// table of its own: a new proposal would know less than the old one did.
    #[must_use]
    pub fn or_planned(self, before: &Plan, machine: &Machine) -> Self {
        let named = [self.carrier, self.core, self.management];
        let of = |role: Role| {
            let mut ports = before.ports.iter();
            let is_free = |port: &&PlannedPort| {
                machine.nic(port.address).is_some()
                    && !named.contains(&Some(port.address))
                    && !self.spare.contains(&port.address)
            };
            let has = |port: &&PlannedPort| {
                port.role == role || (port.role == Role::Both && role.is_relayed())
            };
            ports.find(|p| has(p) && is_free(p)).map(|p| p.address)
        };
        Self {
            carrier: self.carrier.or_else(|| of(Role::Carrier)),
            core: self.core.or_else(|| of(Role::Core)),
            management: self.management.or_else(|| of(Role::Management)),
            ..self
        }
    }
}

/// What a machine becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The ports of the dataplane, and what the others are for.
    pub ports: Vec<PlannedPort>,
    /// The dataplane's workers, by index.
    pub workers: Vec<PlannedWorker>,
    /// The core of the kernel, of management and of the dataplane's control thread.
    pub control_core: u16,
    /// The SIP workers' cores; the kernel's choice if there are none to spare.
    pub signaling_cores: Vec<u16>,
    /// The other threads of the workers' cores, which are left alone.
    pub idle_threads: Vec<u16>,
    /// What the workers do when there is nothing to do.
    pub idle: Idle,
    /// Packet buffers.
    pub pool: Pool,
    /// Huge pages, by node.
    pub huge_pages: Vec<HugePages>,
    /// Arguments for the kernel.
    pub kernel_arguments: Vec<String>,
    /// G.711 calls at the same time that it is planned for.
    pub calls: u64,
    /// Why it is so, and what is missing.
    pub notes: Vec<Note>,
}

/// A port and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPort {
    /// Where it is.
    pub address: PciAddress,
    /// What it is for.
    pub role: Role,
    /// Its profile; none if it stays the kernel's and we know none.
    pub profile: Option<String>,
    /// Its node.
    pub node: Option<u16>,
    /// How it comes to DPDK; it stays with the kernel if it has no role for the dataplane.
    pub binding: Binding,
    /// Receive queues: one for each worker, by index.
    pub queues: u16,
    /// Descriptors of each receive queue and of each send queue.
    pub descriptors: (u16, u16),
    /// How packets find their worker, the best way first.
    pub steering: Vec<Steering>,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// To the carriers.
    Carrier,
    /// To the media servers.
    Core,
    /// To both, in VLANs.
    Both,
    /// The kernel's: management.
    Management,
    /// The kernel's, and free: for the link to the other node of a pair, say.
    Spare,
}

impl Role {
    /// Whether the dataplane has it.
    #[must_use]
    pub const fn is_relayed(self) -> bool {
        matches!(self, Self::Carrier | Self::Core | Self::Both)
    }
}

/// A worker and its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWorker {
    /// The core.
    pub core: u16,
    /// Its node.
    pub node: u16,
}

/// The packet buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// How many.
    pub buffers: u32,
    /// Flow pairs for each worker.
    pub flows: u32,
    /// Megabytes of these and of what DPDK needs.
    pub megabytes: u64,
}

/// Huge pages of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// The node.
    pub node: u16,
    /// Their size.
    pub size: PageSize,
    /// How many.
    pub count: u64,
}

/// A reason or a shortfall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it means for the operator.
    pub weight: Weight,
    /// What it says.
    pub text: String,
}

/// What a note means for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Why it was chosen so.
    Choice,
    /// It works, but not as well as it could.
    Shortfall,
}

/// There is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No card that the dataplane could have.
    #[error("no port is left for the dataplane: {0}")]
    NoPort(String),
    /// The operator wants a port that is not there.
    #[error("there is no network card at {0}; there are: {1}")]
    NoSuchPort(PciAddress, String),
    /// The operator wants a port for two things.
    #[error("{0} cannot be for two things: name another port")]
    TwoRoles(PciAddress),
    /// We know no profile for it.
    #[error("{0} is a {1}, for which there is no profile; there are profiles for: {2}")]
    Unknown(PciAddress, String, String),
    /// The operator names a profile that there is not.
    #[error("there is no profile {0:?}; there are: {1}")]
    NoSuchProfile(String, String),
    /// A profile that is not for this card.
    #[error("profile {wanted} is not for {address}, which is a {id}: that is for profile {right}")]
    WrongProfile {
        /// What was wanted.
        wanted: String,
        /// For which card.
        address: PciAddress,
        /// What the card is.
        id: String,
        /// What it needs.
        right: String,
    },
    /// Whoever administers the machine comes by this port.
    #[error(
        "the default route goes by {0} ({1}): if the dataplane takes it, nobody reaches this machine by it any \
         more; name another port, or one for --management"
    )]
    Management(PciAddress, String),
}

/// Plans a machine.
///
/// # Errors
/// If there is no port for the dataplane, or a wish cannot be fulfilled.
pub fn plan(profiles: &Profiles, machine: &Machine, wishes: &Wishes) -> Result<Plan, PlanError> {
    let mut notes = Vec::new();
    let chosen = ports::choose(profiles, machine, wishes, &mut notes)?;
    let line_rate = chosen
        .iter()
        .map(ports::Chosen::packets_per_second)
        .sum::<u64>();
    let wanted = match wishes.calls {
        Some(calls) => {
            let packets = u64::from(calls) * PER_CALL;
            if packets > line_rate {
                notes.push(Note::shortfall(format!(
                    "{calls} calls are {packets} packets a second; the ports carry {line_rate}, which is {} calls",
                    line_rate / PER_CALL
                )));
            }
            packets.min(line_rate)
        }
        None => line_rate,
    };
    let queues = chosen.iter().map(ports::Chosen::queues).min().unwrap_or(1);
    let node = chosen.iter().find_map(|port| port.nic.node);
    let cores = cores::deal(machine, node, wanted, queues, &mut notes);
    for port in &chosen {
        cores::check_nodes(port, &cores.workers, &mut notes);
    }
    let count = u16::try_from(cores.workers.len()).unwrap_or(u16::MAX);
    let carried = wanted.min(PER_WORKER * u64::from(count));
    let (pool, huge_pages) = memory::plan(machine, &chosen, &cores, carried, &mut notes);
    let kernel_arguments = kernel::arguments(machine, &chosen, &cores, &huge_pages, &mut notes);
    let idle = if cores.shared || chosen.iter().any(|p| p.profile.idle == Idle::Pause) {
        Idle::Pause
    } else {
        Idle::Poll
    };
    let mut ports: Vec<_> = chosen.iter().map(|port| port.planned(count)).collect();
    ports.extend(ports::others(profiles, machine, wishes, &chosen));
    Ok(Plan {
        ports,
        workers: cores.workers,
        control_core: cores.control,
        signaling_cores: cores.signaling,
        idle_threads: cores.idle_threads,
        idle,
        pool,
        huge_pages,
        kernel_arguments,
        calls: carried / PER_CALL,
        notes,
    })
}

impl Note {
    fn choice(text: impl Into<String>) -> Self {
        Self {
            weight: Weight::Choice,
            text: text.into(),
        }
    }

    fn shortfall(text: impl Into<String>) -> Self {
        Self {
            weight: Weight::Shortfall,
            text: text.into(),
        }
    }
}
