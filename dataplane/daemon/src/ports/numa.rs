//! NUMA nodes: where ports and cores are, and packet buffers with them.

use std::path::Path;

use tandem_config::Config;
use tandem_dpdk::{Device, Eal, Error, Mempool};

/// A pool of packet buffers for each node that a port is on.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// Of the first node, and for whoever is on none.
    first: (Option<u32>, Mempool),
    others: Vec<(Option<u32>, Mempool)>,
}

impl Pools {
    /// Makes them, each with so many buffers.
    pub(crate) fn create(
        eal: Eal,
        nodes: &[Option<u32>],
        (buffers, cache, room): (u32, u32, u16),
    ) -> Result<Self, Error> {
        let mut wanted = pool_nodes(nodes).into_iter();
        let make = |node: Option<u32>, name: String| {
            let pool = Mempool::create_on(eal, &name, buffers, cache, room, node)?;
            Ok::<_, Error>((node, pool))
        };
        let first = make(wanted.next().flatten(), "packets".to_owned())?;
        let name = |node: Option<u32>| format!("packets-node{}", node.unwrap_or(0));
        let others = wanted.map(|node| make(node, name(node)));
        Ok(Self {
            first,
            others: others.collect::<Result<_, Error>>()?,
        })
    }

    /// That of a node, or another one where there is none of it.
    pub(crate) fn of(&self, node: Option<u32>) -> &Mempool {
        let own = self.others.iter().find(|(other, _)| *other == node);
        &own.unwrap_or(&self.first).1
    }

    /// Buffers in all, and those that are free.
    pub(crate) fn buffers(&self) -> (u64, u64) {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.fold((0, 0), |(buffers, free), (_, pool)| {
            (
                buffers + u64::from(pool.buffers()),
                free + u64::from(pool.available()),
            )
        })
    }
}

/// The nodes that need a pool, by the nodes of the ports: each once, and one at least. A port on no node, as a virtual device
/// is, takes that of another port.
fn pool_nodes(ports: &[Option<u32>]) -> Vec<Option<u32>> {
    let mut nodes: Vec<Option<u32>> = Vec::new();
    for node in ports.iter().filter(|node| node.is_some()) {
        if !nodes.contains(node) {
            nodes.push(*node);
        }
    }
    if nodes.is_empty() {
        nodes.push(None);
    }
    nodes
}

/// The node of a PCI device; none for a virtual one, or on a machine with one node.
pub(crate) fn of_device(device: &Device) -> Option<u32> {
    if !device.is_pci() {
        return None;
    }
    let file = Path::new("/sys/bus/pci/devices")
        .join(device.name())
        .join("numa_node");
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The node of a core.
pub(crate) fn of_core(core: u16) -> Option<u32> {
    let folder = format!("/sys/devices/system/cpu/cpu{core}");
    let names = std::fs::read_dir(folder).ok()?;
    names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("node")?.parse().ok())
}

/// A worker that polls a port on another node: each packet crosses from one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Of the port.
    pub(crate) port: String,
    pub(crate) text: String,
}

/// All of them. `nodes` are the ports'.
pub(crate) fn foreign(
    config: &Config,
    nodes: &[Option<u32>],
    node_of_core: impl Fn(u16) -> Option<u32>,
) -> Vec<Foreign> {
    let mut all = Vec::new();
    for (port, node) in config.ports.iter().zip(nodes) {
        for worker in &port.rx_workers {
            let core = config.dataplane.workers.get(usize::from(*worker)).copied();
            let (Some(node), Some(core)) = (*node, core) else {
                continue;
            };
            let Some(other) = node_of_core(core).filter(|other| *other != node) else {
                continue;
            };
            all.push(Foreign {
                port: port.name.clone(),
                text: format!(
                    "port {} is on NUMA node {node}, worker core {core} on node {other}: give it a worker on \
                     a core of node {node} (dataplane.workers, port.rx_workers)",
                    port.name
                ),
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_pool_and_there_is_one_at_least() {
        assert_eq!(pool_nodes(&[None, None]), [None]);
        assert_eq!(
            pool_nodes(&[Some(1), None, Some(0), Some(1)]),
            [Some(1), Some(0)]
        );
        assert_eq!(pool_nodes(&[]), [None]);
    }

    #[test]
    fn a_worker_on_another_node_than_its_port_is_named() {
        let text = include_str!("../../../../config/tandem.example.toml");
        let mut config = tandem_config::parse(text).unwrap();
        config.dataplane.workers = vec![3, 18];
        config.ports[0].rx_workers = vec![0, 1];
        config.ports[1].rx_workers = vec![0];
        let node_of_core = |core| Some(u32::from(core >= 16));
        let found = foreign(&config, &[Some(1), Some(0)], node_of_core);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].port, "carrier");
        let text = &found[0].text;
        let said = "port carrier is on NUMA node 1, worker core 3 on node 0: ";
        assert!(text.starts_with(said), "{text}");
        assert_eq!(foreign(&config, &[None, None], node_of_core), []);
        assert_eq!(foreign(&config, &[Some(1), Some(1)], |_| None), []);
    }

    #[test]
    fn a_core_of_this_machine_is_on_some_node_or_none() {
        assert!(of_core(0).is_none_or(|node| node < 1_024));
        assert_eq!(of_device(&"net_null0".parse().unwrap()), None);
    }
}
