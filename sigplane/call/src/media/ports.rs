//! The allocator of our media ports.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use tandem_link::SlotTable;

/// What a realm has for media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmMedia {
    /// Our media addresses in it.
    pub addresses: Vec<IpAddr>,
    /// The media ports of each address: the first even, the last odd.
    pub ports: RangeInclusive<u16>,
}

/// How many port pairs (RTP and RTCP) of a realm are in use and free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In use.
    pub used: usize,
    /// Free.
    pub free: usize,
}

/// Our media ports, all realms.
#[derive(Debug)]
pub struct Ports {
    slots: SlotTable,
}

impl Ports {
    /// All ports free. `seed` decides the order in which they are handed out.
    #[must_use]
    pub fn new(realms: &[RealmMedia], slots: SlotTable, seed: u64) -> Self {
        let _ = (realms, seed);
        Self { slots }
    }

    /// Takes another table of owners, of a dataplane that (re)started. Ports in use stay in use.
    pub fn set_slots(&mut self, slots: SlotTable) {
        self.slots = slots;
    }

    /// How many pairs of a realm are in use and free; zeros for a realm that does not exist.
    #[must_use]
    pub fn usage(&self, realm: u16) -> Usage {
        let _ = realm;
        Usage::default()
    }
}
