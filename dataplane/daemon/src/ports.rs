//! DPDK's start: memory, ports, and who polls and sends on which queue.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_config::Config;
use tandem_dpdk::{
    Device, Eal, EalSettings, Error, Port, PortConfig, PortReport, PortStats, RxQueue, SlotQueues,
    TxQueue,
};
use tandem_link::SlotTable;
use tracing::info;

pub(crate) mod numa;

pub(crate) use numa::Pools;

/// Bytes of a packet that fit a buffer at least: an MTU of 1,500 with two VLAN tags, and most SIP.
const ROOM: u16 = 2048;

/// Buffers that each worker keeps at hand.
const CACHE: u32 = 256;

/// A started port.
pub(crate) struct StartedPort {
    pub(crate) name: String,
    pub(crate) port: Arc<Port>,
    /// The driver is at work on it, on another thread: it is not asked.
    pub(crate) is_untouchable: Cell<bool>,
    last: Cell<PortStats>,
    pub(crate) report: PortReport,
    /// Which worker has which queue.
    pub(crate) rx_workers: Vec<u16>,
    pub(crate) tx_workers: Vec<u16>,
    /// Where the kernel counts what a virtual device drops silently.
    pub(crate) kernel_statistics: Option<PathBuf>,
}

impl StartedPort {
    /// Its counters; the last ones while it cannot be asked.
    pub(crate) fn stats(&self) -> PortStats {
        if !self.is_untouchable.get()
            && let Ok(stats) = self.port.stats()
        {
            self.last.set(stats);
        }
        self.last.get()
    }

    /// The workers that have queues of it.
    pub(crate) fn workers(&self) -> Vec<usize> {
        let mut workers: Vec<usize> = self.rx_workers.iter().map(|w| (*w).into()).collect();
        workers.extend(self.tx_workers.iter().map(|w| usize::from(*w)));
        workers.sort_unstable();
        workers.dedup();
        workers
    }

    /// Whether it has a link, as far as that can be told without waiting. `net_af_packet` says that it always has: the
    /// kernel's interface below it knows better.
    pub(crate) fn link_up(&self) -> Option<bool> {
        if self.is_untouchable.get() {
            return None;
        }
        let below = self
            .kernel_statistics
            .as_ref()
            .and_then(|path| path.parent());
        match below {
            // An interface that is switched off, or gone, has no carrier that could be read.
            Some(interface) => {
                let carrier = std::fs::read_to_string(interface.join("carrier"));
                Some(carrier.is_ok_and(|carrier| carrier.trim() == "1"))
            }
            None => self.port.link().ok().map(|link| link.up),
        }
    }
}

/// A worker's queues, by port.
pub(crate) struct WorkerQueues {
    pub(crate) rx: Vec<Option<RxQueue>>,
    pub(crate) tx: Vec<TxWay>,
}

/// How a worker sends on a port.
pub(crate) enum TxWay {
    /// On a queue of its own.
    Own {
        queue: TxQueue,
        /// Bytes of the longest frame that the device takes.
        longest: usize,
    },
    /// Through the worker with this index: the device has too few queues.
    Through(u16),
}

/// All that DPDK gave us.
pub(crate) struct Hardware {
    pub(crate) eal: Eal,
    pub(crate) pools: Pools,
    pub(crate) ports: Vec<StartedPort>,
    /// By worker.
    pub(crate) queues: Vec<WorkerQueues>,
}

/// Starts DPDK and every port. Pins the calling thread to the control core.
pub(crate) fn start(config: &Config) -> Result<Hardware, Error> {
    let devices = config
        .ports
        .iter()
        .map(|p| p.device.parse())
        .collect::<Result<Vec<Device>, _>>()?;
    let settings = EalSettings {
        main_core: config.dataplane.control_core,
        memory_mb: config.dataplane.memory_mb,
        // Virtual devices are attached one by one, so that an error names the culprit.
        devices: devices.iter().filter(|d| d.is_pci()).cloned().collect(),
        further: config.dataplane.eal.clone(),
    };
    let eal = Eal::init(&settings.arguments())?;
    let mtu = config.ports.iter().map(|p| p.mtu).max().unwrap_or(1500);
    let room = ROOM.max(mtu.saturating_add(64));
    let buffers = config.dataplane.mbufs;
    let nodes: Vec<_> = devices.iter().map(numa::of_device).collect();
    let pools = Pools::create(eal, &nodes, (buffers, CACHE.min(buffers / 8), room))?;
    let slots = SlotTable::deal(&config.media.relay_workers);

    let workers = config.dataplane.workers.len();
    let mut queues: Vec<_> = (0..workers)
        .map(|_| WorkerQueues {
            rx: Vec::new(),
            tx: Vec::new(),
        })
        .collect();
    let mut ports = Vec::new();
    for (index, (port, device)) in config.ports.iter().zip(&devices).enumerate() {
        let node = nodes.get(index).copied().flatten();
        let wanted = PortConfig {
            slot_queues: slot_queues(&slots, &port.rx_workers),
            tagged: is_tagged(config, index),
            ..wanted(port, workers)
        };
        let started = Port::start(eal, device, &wanted, pools.of(node))?;
        log(&port.name, &eal.version(), &started.report);
        deal(
            port,
            started.rx,
            started.tx,
            started.report.longest_frame,
            &mut queues,
        );
        let mut tx_workers = send_order(&port.rx_workers, workers);
        tx_workers.truncate(started.report.tx_queues.into());
        ports.push(StartedPort {
            name: port.name.clone(),
            port: Arc::new(started.port),
            is_untouchable: Cell::new(false),
            last: Cell::default(),
            report: started.report,
            rx_workers: port.rx_workers.clone(),
            tx_workers,
            kernel_statistics: present_kernel_statistics(&port.device),
        });
    }
    Ok(Hardware {
        eal,
        pools,
        ports,
        queues,
    })
}

/// The queue of each slot's owner; where that does not poll the port, any, in turn.
fn slot_queues(slots: &SlotTable, rx_workers: &[u16]) -> SlotQueues {
    let queues = rx_workers.len().max(1);
    std::array::from_fn(|slot| {
        let owner = slots.owner(count(slot << 1));
        let polled = rx_workers.iter().position(|worker| *worker == owner);
        count(polled.unwrap_or(slot % queues))
    })
}

/// Whether a realm on this port has a VLAN.
fn is_tagged(config: &Config, port: usize) -> bool {
    let mut realms = config.realms.iter();
    realms.any(|realm| usize::from(realm.port) == port && realm.vlan.is_some())
}

/// What is wanted of a port: a send queue for each worker, or as many as the device has.
fn wanted(port: &tandem_config::Port, workers: usize) -> PortConfig {
    PortConfig {
        rx_queues: count(port.rx_workers.len()),
        tx_queues: send_queues(&port.device, workers),
        mtu: port.mtu,
        // VRRP's virtual MAC addresses are ours too; the relay drops what is not.
        promiscuous: true,
        ..PortConfig::default()
    }
}

/// Send queues of a port: one for each worker, unless the device is known to have fewer.
/// `net_af_packet` has as many of both kinds as `qpairs` says.
fn send_queues(device: &str, workers: usize) -> u16 {
    let wanted = count(workers);
    if !device.starts_with("net_af_packet") && !device.starts_with("eth_af_packet") {
        return wanted;
    }
    let pairs = device
        .split(',')
        .find_map(|part| part.strip_prefix("qpairs="));
    wanted.min(pairs.and_then(|n| n.parse().ok()).unwrap_or(1))
}

fn count(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// Gives a port's queues to the workers: receive queues to those that poll it, send queues to
/// them first and then to the others.
fn deal(
    port: &tandem_config::Port,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    longest: usize,
    queues: &mut [WorkerQueues],
) {
    let mut rx: Vec<_> = rx.into_iter().map(Some).collect();
    let mut tx: Vec<_> = tx.into_iter().map(Some).collect();
    let order = send_order(&port.rx_workers, queues.len());
    let first = order.first().copied().unwrap_or(0);
    for (index, worker) in queues.iter_mut().enumerate() {
        let polls = port
            .rx_workers
            .iter()
            .position(|w| usize::from(*w) == index);
        worker.rx.push(polls.and_then(|n| rx.get_mut(n)?.take()));
        let sends = order.iter().position(|w| usize::from(*w) == index);
        let own = sends.and_then(|n| tx.get_mut(n)?.take());
        worker
            .tx
            .push(own.map_or(TxWay::Through(first), |queue| TxWay::Own { queue, longest }));
    }
}

/// The workers in the order in which they get a send queue.
fn send_order(rx_workers: &[u16], workers: usize) -> Vec<u16> {
    let others = (0..count(workers)).filter(|w| !rx_workers.contains(w));
    rx_workers.iter().copied().chain(others).collect()
}

fn log(name: &str, version: &str, report: &PortReport) {
    let [a, b, c, d, e, f] = report.mac;
    info!(
        "port {name}: {} ({version}), MAC {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, \
         MTU {}, receive queues {} of {} descriptors, send queues {} of {}, NUMA node {}, steering: {}, \
         link state by {}, checksums by the device: receive IPv4 {} UDP {}, send IPv4 {} UDP {}",
        report.driver,
        report.mtu,
        report.rx_queues,
        report.rx_descriptors,
        report.tx_queues,
        report.tx_descriptors,
        report
            .node
            .map_or("any".to_owned(), |node| node.to_string()),
        report.steering,
        match report.link_interrupt {
            true => "interrupt",
            false => "polling",
        },
        report.rx_ipv4_checksum,
        report.rx_udp_checksum,
        report.tx_ipv4_checksum,
        report.tx_udp_checksum,
    );
}

/// A virtual device over a kernel interface drops in the kernel, where DPDK does not see it.
fn kernel_statistics(device: &str) -> Option<PathBuf> {
    let interface = device
        .split(',')
        .find_map(|part| part.strip_prefix("iface="))?;
    let safe = !interface.is_empty() && !interface.contains(['/', '.']);
    safe.then(|| {
        PathBuf::from("/sys/class/net")
            .join(interface)
            .join("statistics")
    })
}

/// The same, if it is there: `/sys` may be another network namespace's.
fn present_kernel_statistics(device: &str) -> Option<PathBuf> {
    kernel_statistics(device).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_that_poll_a_port_send_on_it_first() {
        assert_eq!(send_order(&[1], 3), [1, 0, 2]);
        assert_eq!(send_order(&[0, 1], 2), [0, 1]);
    }

    #[test]
    fn each_slot_has_the_queue_of_its_owner() {
        let slots = SlotTable::deal(&[0, 1, 2]);
        let all = slot_queues(&slots, &[0, 1, 2]);
        let owners: Vec<u16> = (0..64).map(|slot| slots.owner(slot << 1)).collect();
        assert_eq!(all.to_vec(), owners);
        // Worker 2 has the first queue, worker 0 the second; worker 1 polls another port.
        let some = slot_queues(&slots, &[2, 0]);
        for (slot, owner) in owners.iter().enumerate() {
            let fair = [1, u16::try_from(slot % 2).unwrap(), 0];
            assert_eq!(some[slot], fair[usize::from(*owner)]);
        }
        assert_eq!(slot_queues(&slots, &[]), [0; 64]);
        assert_eq!(tandem_dpdk::SLOTS, tandem_link::SLOTS);
    }

    #[test]
    fn a_device_with_few_queues_is_not_asked_for_more() {
        assert_eq!(send_queues("0000:41:00.0", 4), 4);
        assert_eq!(send_queues("net_af_packet0,iface=veth1", 4), 1);
        assert_eq!(send_queues("net_af_packet0,iface=veth1,qpairs=2", 4), 2);
        assert_eq!(send_queues("net_af_packet0,iface=veth1,qpairs=8", 4), 4);
    }

    #[test]
    fn the_kernel_interface_behind_a_device_is_found() {
        let path = kernel_statistics("net_af_packet0,iface=veth1,qpairs=2").unwrap();
        assert_eq!(path, PathBuf::from("/sys/class/net/veth1/statistics"));
        assert_eq!(kernel_statistics("0000:41:00.0"), None);
        assert_eq!(kernel_statistics("net_af_packet0,iface=../../etc"), None);
    }
}
