//! What is to be said of a port: as counters by name, and as a report.

use std::path::Path;

use tandem_dpdk::{PortStats, QueueStats};
use tandem_link::{CounterValue, PortReport, PortState, QueueReport, TrafficReport};

use super::value;
use crate::ports::StartedPort;

/// What its watcher knows of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// How often the link has come and gone.
    pub(crate) link_changes: u64,
    pub(crate) state: PortState,
    /// How often it was stopped and started, and how often in vain.
    pub(crate) restarts: u64,
    pub(crate) restarts_failed: u64,
}

/// All counters of a port, by their names.
pub(crate) fn counters(port: &StartedPort) -> Vec<CounterValue> {
    let mut values = Vec::new();
    let mut push = |what: &str, number| {
        values.push(value(&format!("port_{}_{what}", port.name), number));
    };
    let stats = port.stats();
    push("rx_packets", stats.rx_packets);
    push("tx_packets", stats.tx_packets);
    push("rx_bytes", stats.rx_bytes);
    push("tx_bytes", stats.tx_bytes);
    for (what, number) in lost(&stats) {
        push(what, number);
    }
    if let Some(folder) = &port.kernel_statistics {
        for what in [
            "rx_packets",
            "tx_packets",
            "rx_dropped",
            "tx_dropped",
            "tx_errors",
        ] {
            if let Some(number) = statistic(folder, what) {
                push(&format!("kernel_{what}"), number);
            }
        }
    }
    let report = &port.report;
    push("rx_queues", report.rx_queues.into());
    push("tx_queues", report.tx_queues.into());
    push("rx_descriptors", report.rx_descriptors.into());
    push("tx_descriptors", report.tx_descriptors.into());
    push("steered", report.steering.is_exact().into());
    if let Some(node) = report.node {
        push("numa_node", node.into());
    }
    if let Some(up) = port.link_up() {
        push("link_up", up.into());
    }
    values
}

/// Everything of a port in one.
pub(crate) fn report(port: &StartedPort, watched: Watched) -> PortReport {
    let stats = port.stats();
    let (queues, link) = match port.is_untouchable.get() {
        true => (QueueStats::default(), None),
        false => (
            port.port.queue_stats().unwrap_or_default(),
            port.port.link().ok(),
        ),
    };
    let mut drops: Vec<_> = lost(&stats).map(|(what, n)| value(what, n)).into();
    if let Some(folder) = &port.kernel_statistics {
        for what in ["rx_dropped", "tx_dropped", "tx_errors"] {
            let number = statistic(folder, what);
            drops.extend(number.map(|number| value(&format!("kernel_{what}"), number)));
        }
    }
    PortReport {
        name: port.name.clone(),
        device: port.port.device().to_string(),
        driver: port.report.driver.clone(),
        mac: port.report.mac,
        mtu: port.report.mtu,
        node: port.report.node,
        steering: port.report.steering.to_string(),
        link_up: port.link_up(),
        speed_mbps: link.and_then(|link| link.speed_mbps),
        link_changes: watched.link_changes,
        state: watched.state,
        restarts: watched.restarts,
        restarts_failed: watched.restarts_failed,
        rx: TrafficReport {
            packets: stats.rx_packets,
            bytes: stats.rx_bytes,
        },
        tx: TrafficReport {
            packets: stats.tx_packets,
            bytes: stats.tx_bytes,
        },
        drops,
        rx_queues: by_queue(&port.rx_workers, &queues.rx),
        tx_queues: by_queue(&port.tx_workers, &queues.tx),
    }
}

/// What the device lost, by reason.
fn lost(stats: &PortStats) -> [(&'static str, u64); 4] {
    [
        ("rx_missed", stats.rx_missed),
        ("rx_errors", stats.rx_errors),
        ("rx_no_buffer", stats.rx_no_buffer),
        ("tx_errors", stats.tx_errors),
    ]
}

/// Each queue with its worker. A driver that counts for the port alone has zeros for all queues.
fn by_queue(workers: &[u16], counts: &[(u64, u64)]) -> Vec<QueueReport> {
    let counts_by_queue = counts.iter().any(|(packets, _)| *packets != 0);
    let queue = |(queue, worker): (usize, &u16)| QueueReport {
        worker: *worker,
        traffic: counts
            .get(queue)
            .filter(|_| counts_by_queue)
            .map(|(packets, bytes)| TrafficReport {
                packets: *packets,
                bytes: *bytes,
            }),
    };
    workers.iter().enumerate().map(queue).collect()
}

fn statistic(folder: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_has_its_worker_and_what_the_driver_counts_of_it() {
        let traffic = |packets, bytes| Some(TrafficReport { packets, bytes });
        let queue = |worker, traffic| QueueReport { worker, traffic };
        assert_eq!(
            by_queue(&[2, 0], &[(5, 500), (0, 0), (0, 0)]),
            [queue(2, traffic(5, 500)), queue(0, traffic(0, 0))]
        );
        // More queues than DPDK has places for, and a driver that does not count by queue.
        assert_eq!(by_queue(&[1], &[]), [queue(1, None)]);
        assert_eq!(by_queue(&[1], &[(0, 0)]), [queue(1, None)]);
    }
}
