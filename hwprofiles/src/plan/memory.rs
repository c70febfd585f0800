//! Buffers, flows and huge pages.

use crate::machine::{Machine, PageSize};
use crate::plan::cores::Cores;
use crate::plan::ports::Chosen;
use crate::plan::{HugePages, Note, PER_CALL, Pool};

/// Bytes of a buffer with its header and its headroom.
const BUFFER: u64 = 2048 + 128 + 128;
/// Bytes of a flow pair, and of its places in the tables.
const FLOW: u64 = 512 + 64;
/// Megabytes that DPDK itself takes, and the rings.
const BESIDES: u64 = 256;
/// Buffers that a worker keeps at hand, and those in its bursts and rings.
const AT_HAND: u64 = 512 + 4096;
/// Flow pairs of a worker, at least.
const FLOWS: u64 = 65_536;
/// A node's memory in megabytes from which on it has pages of 1 GB.
const LARGE: u64 = 16_384;

/// What the dataplane needs, in pages of the workers' nodes.
pub(super) fn plan(
    machine: &Machine,
    ports: &[Chosen<'_>],
    cores: &Cores,
    packets: u64,
    notes: &mut Vec<Note>,
) -> (Pool, Vec<HugePages>) {
    let workers = cores.workers.len() as u64;
    let descriptors: u64 = ports
        .iter()
        .map(|port| {
            let rx = u64::from(port.profile.rx_descriptors.wanted);
            let tx = u64::from(port.profile.tx_descriptors.wanted);
            (rx + tx) * workers
        })
        .sum();
    // 2^n - 1 is the size that wastes nothing of the pool's ring.
    let buffers = (descriptors + AT_HAND * workers).next_power_of_two() - 1;
    // Twice what an even spread needs: calls do not spread evenly.
    let calls = packets / PER_CALL;
    let flows = (2 * calls / workers.max(1)).max(FLOWS).next_power_of_two();
    let bytes = buffers * BUFFER + flows * FLOW * workers;
    let megabytes = bytes.div_ceil(1 << 20) + BESIDES;
    let pool = Pool {
        buffers: u32::try_from(buffers).unwrap_or(u32::MAX),
        flows: u32::try_from(flows).unwrap_or(u32::MAX),
        megabytes,
    };
    (pool, pages(machine, cores, megabytes, notes))
}

fn pages(
    machine: &Machine,
    cores: &Cores,
    megabytes: u64,
    notes: &mut Vec<Note>,
) -> Vec<HugePages> {
    let mut nodes: Vec<u16> = cores.workers.iter().map(|worker| worker.node).collect();
    nodes.dedup();
    nodes
        .into_iter()
        .map(|id| {
            let node = machine.nodes.iter().find(|node| node.id == id);
            let memory = node.map_or(machine.memory_mb, |node| node.memory_mb);
            let size = if machine.gigabyte_pages && memory >= LARGE {
                PageSize::Gigabyte
            } else {
                PageSize::Two
            };
            let count = megabytes.div_ceil(size.megabytes());
            notes.push(Note::choice(format!(
                "node {id}: {count} x {size} of huge pages for {megabytes} MB of buffers and flows{}",
                match size {
                    PageSize::Gigabyte => "",
                    PageSize::Two if machine.gigabyte_pages => ": the node is too small for pages of 1 GB",
                    PageSize::Two => ": the processor has no pages of 1 GB",
                }
            )));
            if count * size.megabytes() * 2 > memory {
                notes.push(Note::shortfall(format!(
                    "node {id} has {memory} MB of memory; with {} MB of huge pages less than half is left for signaling and the kernel",
                    count * size.megabytes()
                )));
            }
            HugePages { node: id, size, count }
        })
        .collect()
}
