//! The flow table: by port for packets, by name for commands.

use tandem_link::{FlowId, Leg};

use crate::flow::{Flow, LINES};
use crate::ids::Ids;

/// Pairs of an even and an odd port in the port space.
const PAIRS: usize = 1 << 15;

/// All flow pairs of one worker.
#[derive(Debug)]
pub(crate) struct FlowTable {
    flows: Vec<Option<Flow>>,
    /// Places that are or were used.
    used: usize,
    free: Vec<u32>,
    by_id: Ids,
    /// An [`Entry`] by local address and port pair ([`index`]). A port number is an index: no hash, no comparison of keys.
    ports: Vec<u32>,
    limit: usize,
}

/// A flow's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// What the table of ports says of a port: 0 for none, else twice (the flow's place plus 1), plus 1 for leg B.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry(u32);

/// A port's key: index of its local address, and the number.
pub(crate) type PortKey = (u16, u16);

impl FlowTable {
    /// For so many local addresses and at most so many flow pairs.
    pub(crate) fn new(addresses: usize, limit: usize) -> Self {
        let limit = limit.min(1 << 30);
        Self {
            // All of it now: a table that grows would stop the packets while it is copied.
            flows: Vec::with_capacity(limit),
            used: 0,
            free: Vec::with_capacity(limit),
            by_id: Ids::new(limit),
            ports: vec![0; addresses * PAIRS],
            limit,
        }
    }

    /// The flow pair and the leg of a port, even or odd.
    #[inline]
    pub(crate) fn at_port(&self, key: PortKey) -> Option<(Place, Leg)> {
        self.entry(key).place()
    }

    /// The same, for later.
    #[inline(always)]
    pub(crate) fn entry(&self, key: PortKey) -> Entry {
        self.ports
            .get(index(key))
            .map_or(Entry::NONE, |entry| Entry(*entry))
    }

    /// Writes to all of its memory, so that the kernel has to find it now and not when a flow pair is installed. For
    /// a table that is empty.
    pub(crate) fn settle(&mut self) {
        if self.used == 0 {
            self.flows.resize_with(self.limit, || None);
            self.free.resize(self.limit, 0);
            self.free.clear();
            self.by_id.clear();
            self.ports.fill(0);
        }
    }

    pub(crate) fn find(&self, id: FlowId) -> Option<Place> {
        self.by_id
            .find(id, |place| name(&self.flows, place))
            .map(Place)
    }

    #[inline]
    pub(crate) fn get(&self, place: Place) -> Option<&Flow> {
        self.flows.get(place.0 as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Flow> {
        self.flows.get_mut(place.0 as usize)?.as_mut()
    }

    /// The cache lines that an RTP packet to a leg needs: to be fetched, without a look into any of them.
    #[inline]
    pub(crate) fn lines(&self, place: Place, leg: Leg) -> Option<[*const (); LINES]> {
        let flow = std::ptr::from_ref(self.flows.get(place.0 as usize)?);
        Some(Flow::lines(leg).map(|line| flow.wrapping_byte_add(line).cast()))
    }

    /// Adds a flow pair and its ports; none if the table is full.
    pub(crate) fn insert(&mut self, flow: Flow) -> Option<Place> {
        let (id, keys) = (flow.id, keys(&flow));
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.used < self.limit => {
                if self.flows.len() == self.used {
                    self.flows.push(None);
                }
                self.used += 1;
                u32::try_from(self.used - 1).ok()?
            }
            None => return None,
        };
        *self.flows.get_mut(place as usize)? = Some(flow);
        self.by_id.insert(id, place);
        self.set_ports(Place(place), keys);
        Some(Place(place))
    }

    /// Takes a flow pair and its ports away.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let place = self.by_id.remove(id, |place| name(&self.flows, place))?;
        let flow = self.flows.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.clear_ports(keys(&flow));
        Some(flow)
    }

    /// Changes a flow pair; its ports may become others.
    pub(crate) fn change<T>(
        &mut self,
        place: Place,
        change: impl FnOnce(&mut Flow) -> T,
    ) -> Option<T> {
        let flow = self.get_mut(place)?;
        let before = keys(flow);
        let answer = change(flow);
        let after = keys(flow);
        if before != after {
            self.clear_ports(before);
            self.set_ports(place, after);
        }
        Some(answer)
    }

    pub(crate) fn len(&self) -> usize {
        self.used - self.free.len()
    }

    /// Places ever used.
    pub(crate) fn slots(&self) -> usize {
        self.used
    }

    /// The flow pair at a slot.
    pub(crate) fn slot_mut(&mut self, slot: usize) -> Option<&mut Flow> {
        self.flows.get_mut(slot)?.as_mut()
    }

    /// Every flow pair from a slot on, with its slot.
    pub(crate) fn iter_at(&self, slot: usize) -> impl Iterator<Item = (usize, &Flow)> {
        let slots = self.flows.iter().enumerate().take(self.used).skip(slot);
        slots.filter_map(|(slot, flow)| Some((slot, flow.as_ref()?)))
    }

    fn set_ports(&mut self, Place(place): Place, [a, b]: [PortKey; 2]) {
        let entry = (place + 1) << 1;
        self.set_port(a, entry);
        self.set_port(b, entry | 1);
    }

    fn clear_ports(&mut self, [a, b]: [PortKey; 2]) {
        self.set_port(a, 0);
        self.set_port(b, 0);
    }

    fn set_port(&mut self, key: PortKey, entry: u32) {
        if let Some(slot) = self.ports.get_mut(index(key)) {
            *slot = entry;
        }
    }
}

impl Entry {
    pub(crate) const NONE: Self = Self(0);

    #[inline(always)]
    pub(crate) fn place(self) -> Option<(Place, Leg)> {
        let leg = if self.0 & 1 == 0 { Leg::A } else { Leg::B };
        Some((Place((self.0 >> 1).checked_sub(1)?), leg))
    }

    #[inline(always)]
    pub(crate) fn is_some(self) -> bool {
        self.0 > 1
    }
}

/// Whose a place is.
fn name(flows: &[Option<Flow>], place: u32) -> Option<FlowId> {
    flows.get(place as usize)?.as_ref().map(|flow| flow.id)
}

/// Where a port pair is in the table of ports.
#[inline]
fn index((local, port): PortKey) -> usize {
    usize::from(local) * PAIRS + usize::from(port >> 1)
}

fn keys(flow: &Flow) -> [PortKey; 2] {
    flow.ways.map(|way| (way.local, way.port))
}
