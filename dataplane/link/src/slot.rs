//! Which worker owns a media port.
//!
//! Both planes compute it from the port number alone: the allocator takes both legs' ports from
//! one owner, and a worker that receives a packet knows whose it is without a lookup. The RTP port
//! (even) and its RTCP port (odd) share a slot.

use serde::{Deserialize, Serialize};

/// How many slots the port space is dealt into. A power of two, so that a NIC can steer on a
/// masked destination port.
pub const SLOTS: usize = 64;

/// The slot of a UDP port: its bits 1 to 6.
#[must_use]
pub const fn slot(port: u16) -> usize {
    ((port >> 1) as usize) & (SLOTS - 1)
}

/// The worker index that owns each slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTable(Vec<u16>);

impl SlotTable {
    /// Deals the slots out to `workers` (indices into the dataplane's worker list) in turn.
    /// An empty list gives every slot to worker 0.
    #[must_use]
    pub fn deal(workers: &[u16]) -> Self {
        Self(
            (0..SLOTS)
                .map(|s| match workers.len() {
                    0 => 0,
                    n => workers.get(s % n).copied().unwrap_or(0),
                })
                .collect(),
        )
    }

    /// The worker that owns `port`. A table that came over the wire too short answers 0.
    #[must_use]
    pub fn owner(&self, port: u16) -> u16 {
        self.0.get(slot(port)).copied().unwrap_or(0)
    }

    /// The distinct workers that own at least one slot, in ascending order.
    #[must_use]
    pub fn workers(&self) -> Vec<u16> {
        let mut all = self.0.clone();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_and_rtcp_share_a_slot_and_workers_alternate() {
        let table = SlotTable::deal(&[0, 1]);
        assert_eq!(table.owner(30000), table.owner(30001));
        assert_ne!(table.owner(30000), table.owner(30002));
        assert_eq!(table.workers(), vec![0, 1]);
    }

    #[test]
    fn an_empty_table_never_panics() {
        assert_eq!(SlotTable(Vec::new()).owner(5060), 0);
        assert_eq!(SlotTable::deal(&[]).owner(30002), 0);
    }
}
