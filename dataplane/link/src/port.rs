//! What the dataplane says of its ports.

use serde::{Deserialize, Serialize};

/// A port of the dataplane, as it is now; counts are since the dataplane's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReport {
    /// Its name in the configuration.
    pub name: String,
    /// The device, as in the configuration.
    pub device: String,
    /// The driver.
    pub driver: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The MTU in force.
    pub mtu: u16,
    /// The NUMA node that the device is on, if it is on one.
    pub node: Option<u32>,
    /// How packets are spread over the receive queues, for people.
    pub steering: String,
    /// Whether it has a link, if that can be told.
    pub link_up: Option<bool>,
    /// Mbit/s, if known.
    pub speed_mbps: Option<u32>,
    /// How often the link has come and gone.
    pub link_changes: u64,
    /// What its queues do.
    pub state: PortState,
    /// How often it was stopped and started since a queue had stalled.
    pub restarts: u64,
    /// How often that failed.
    pub restarts_failed: u64,
    /// What came and went.
    pub rx: TrafficReport,
    /// See above.
    pub tx: TrafficReport,
    /// What was lost here, by reason; each name is that of a counter `port_NAME_REASON`.
    pub drops: Vec<crate::CounterValue>,
    /// Receive queues, in order.
    pub rx_queues: Vec<QueueReport>,
    /// Transmit queues, in order.
    pub tx_queues: Vec<QueueReport>,
}

/// What a port's queues do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortState {
    /// They move, or there is nothing to move.
    Running,
    /// One gives or takes nothing any more.
    Stalled,
    /// The port is being stopped and started.
    Restarting,
}

impl PortState {
    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stalled => "stalled",
            Self::Restarting => "restarting",
        }
    }
}

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Packets.
    pub packets: u64,
    /// Their bytes, without frame check sequences.
    pub bytes: u64,
}

/// A queue of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueReport {
    /// The worker that has it.
    pub worker: u16,
    /// What went through it; none where the driver does not count by queue.
    pub traffic: Option<TrafficReport>,
}
