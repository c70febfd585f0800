//! The dataplane's ports, as the management API shows them.

use tandem_admin::{Port, PortDrops, Queue, Traffic};
use tandem_link::{PortReport, QueueReport, TrafficReport};

/// A port.
pub(super) fn port(report: PortReport) -> Port {
    Port {
        mac: report.mac.map(|byte| format!("{byte:02x}")).join(":"),
        name: report.name,
        device: report.device,
        driver: report.driver,
        mtu: report.mtu,
        numa_node: report.node,
        steering: report.steering,
        link_up: report.link_up,
        speed_mbps: report.speed_mbps,
        link_changes: report.link_changes,
        state: report.state.as_str().to_owned(),
        restarts: report.restarts,
        restarts_failed: report.restarts_failed,
        rx: traffic(report.rx),
        tx: traffic(report.tx),
        drops: report
            .drops
            .into_iter()
            .map(|drops| PortDrops {
                reason: drops.name,
                packets: drops.value,
            })
            .collect(),
        rx_queues: report.rx_queues.iter().map(queue).collect(),
        tx_queues: report.tx_queues.iter().map(queue).collect(),
    }
}

fn queue(report: &QueueReport) -> Queue {
    Queue {
        worker: report.worker,
        traffic: report.traffic.map(traffic),
    }
}

fn traffic(report: TrafficReport) -> Traffic {
    Traffic {
        packets: report.packets,
        bytes: report.bytes,
    }
}
