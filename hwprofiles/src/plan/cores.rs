//! Which core does what.

use crate::machine::{Core, Machine};
use crate::plan::ports::Chosen;
use crate::plan::{Note, PER_WORKER, PlannedWorker};

/// SIP workers that are planned at most: more have not been measured.
const SIGNALING: usize = 8;

/// The cores and what they do.
#[derive(Debug)]
pub(super) struct Cores {
    pub(super) workers: Vec<PlannedWorker>,
    pub(super) control: u16,
    pub(super) signaling: Vec<u16>,
    /// Other threads of the workers' cores.
    pub(super) idle_threads: Vec<u16>,
    /// A worker has its core not for itself.
    pub(super) shared: bool,
}

/// Deals the cores out: one for the kernel and control, as many workers on the ports' node as the packets need and the
/// queues allow, the rest for signaling, of which there is one at least if there are three cores.
pub(super) fn deal(
    machine: &Machine,
    node: Option<u16>,
    packets: u64,
    queues: u16,
    notes: &mut Vec<Note>,
) -> Cores {
    let physical = machine.physical();
    let control = physical.first().map_or(0, |core| core.id);
    let rest: Vec<Core> = physical.into_iter().skip(1).collect();
    if rest.is_empty() {
        notes.push(Note::shortfall(
            "there is one core for everything: the dataplane shares it and sleeps when there is nothing to do; \
             this is for trying out, not for calls that matter",
        ));
        let workers = vec![PlannedWorker {
            core: control,
            node: machine.core(control).map_or(0, |core| core.node),
        }];
        return Cores {
            workers,
            control,
            signaling: Vec::new(),
            idle_threads: Vec::new(),
            shared: true,
        };
    }
    let near = |core: &Core| node.is_none_or(|node| core.node == node);
    let (mut candidates, far): (Vec<Core>, Vec<Core>) = rest.into_iter().partition(near);
    let mut others = far;
    if candidates.is_empty() {
        // Its only core has the kernel: the other node's must do.
        std::mem::swap(&mut candidates, &mut others);
    }
    let for_signaling = usize::from(others.is_empty() && candidates.len() > 1);
    let available = candidates.len() - for_signaling;
    let needed = usize::try_from(packets.div_ceil(PER_WORKER)).unwrap_or(usize::MAX);
    let needed = needed.max(1);
    let count = needed.min(available).min(queues.into());
    explain_workers(needed, available, count, queues, packets, notes);
    let signaling: Vec<u16> = candidates
        .split_off(count)
        .into_iter()
        .chain(others)
        .take(SIGNALING)
        .map(|core| core.id)
        .collect();
    if signaling.is_empty() {
        notes.push(Note::shortfall(format!(
            "no core is left for signaling: it shares core {control} with the kernel"
        )));
    }
    let idle_threads: Vec<u16> = candidates
        .iter()
        .flat_map(|core| machine.siblings(*core).filter(|s| s.id != core.id))
        .map(|core| core.id)
        .collect();
    if !idle_threads.is_empty() {
        notes.push(Note::choice(format!(
            "left alone: threads {}. Each shares its core with a worker, and would take half of it",
            join(&idle_threads)
        )));
    }
    let workers = candidates.iter().map(|core| PlannedWorker {
        core: core.id,
        node: core.node,
    });
    Cores {
        workers: workers.collect(),
        control,
        signaling,
        idle_threads,
        shared: false,
    }
}

fn explain_workers(
    needed: usize,
    available: usize,
    count: usize,
    queues: u16,
    packets: u64,
    notes: &mut Vec<Note>,
) {
    notes.push(Note::choice(format!(
        "workers: {count} of {needed} wanted for {packets} packets a second, {PER_WORKER} each"
    )));
    if count == needed {
        return;
    }
    let carried = PER_WORKER * count as u64;
    let why = if count == available {
        format!(
            "there are too few cores on the ports' node, {available} after the kernel and signaling have theirs"
        )
    } else {
        format!("the ports have {queues} queues")
    };
    notes.push(Note::shortfall(format!(
        "{why}: it is planned for {carried} packets a second, not for {packets}"
    )));
}

/// Says where a port and its workers are on two nodes.
pub(super) fn check_nodes(port: &Chosen<'_>, workers: &[PlannedWorker], notes: &mut Vec<Note>) {
    let Some(node) = port.nic.node else { return };
    for worker in workers.iter().filter(|worker| worker.node != node) {
        notes.push(Note::shortfall(format!(
            "port {} is on NUMA node {node}, worker core {} on node {}: every packet crosses the link between them",
            port.nic.address, worker.core, worker.node
        )));
    }
}

/// Numbers with commas.
pub(super) fn join(cores: &[u16]) -> String {
    let texts: Vec<_> = cores.iter().map(u16::to_string).collect();
    texts.join(",")
}
