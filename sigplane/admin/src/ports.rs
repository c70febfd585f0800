//! What is known of the dataplane's ports.

use serde::{Deserialize, Serialize};

/// `tandem.ports.list`: a port of the dataplane, as it is now. Counts are since the dataplane's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name in the configuration.
    pub name: String,
    /// The device, as in the configuration: a PCI address, or a virtual device with its parameters.
    pub device: String,
    /// DPDK's driver.
    pub driver: String,
    /// The MAC address.
    pub mac: String,
    /// The MTU in force.
    pub mtu: u16,
    /// The NUMA node that the device is on, if it is on one.
    pub numa_node: Option<u32>,
    /// How packets are spread over the receive queues, for people.
    pub steering: String,
    /// Whether it has a link, if that can be told.
    pub link_up: Option<bool>,
    /// Mbit/s, if known.
    pub speed_mbps: Option<u32>,
    /// How often the link has come and gone.
    pub link_changes: u64,
    /// `running`, `stalled` or `restarting`.
    pub state: String,
    /// How often it was stopped and started since a queue had stalled.
    pub restarts: u64,
    /// How often that failed.
    pub restarts_failed: u64,
    /// Received.
    pub rx: Traffic,
    /// Sent.
    pub tx: Traffic,
    /// What was lost here, by reason; each is a counter `port_NAME_REASON`, too.
    pub drops: Vec<PortDrops>,
    /// Receive queues, in order.
    pub rx_queues: Vec<Queue>,
    /// Transmit queues, in order.
    pub tx_queues: Vec<Queue>,
}

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes, without frame check sequences.
    pub bytes: u64,
}

/// Packets that were lost for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDrops {
    /// Such as `rx_missed`: a receive queue was full.
    pub reason: String,
    /// How many.
    pub packets: u64,
}

/// A queue of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The dataplane's worker that has it.
    pub worker: u16,
    /// What went through it; none where the driver does not count by queue.
    pub traffic: Option<Traffic>,
}
