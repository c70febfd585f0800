//! The flow table: by port for packets, by number for commands.

use std::collections::HashMap;
use std::net::IpAddr;

use tandem_link::{CommandError, FlowId, FlowSpec, Leg};

use crate::flow::Flow;

/// An entry of a port table: 0 for none, else the flow's place plus 1, with the leg in the top bit.
type Entry = u32;
const LEG_B: Entry = 1 << 31;

/// All flow pairs of one worker.
#[derive(Debug)]
pub(crate) struct FlowTable {
    /// What packets touch.
    flows: Vec<Option<Flow>>,
    /// What commands touch, at the same places.
    specs: Vec<Option<FlowSpec>>,
    free: Vec<u32>,
    by_id: HashMap<FlowId, u32>,
    ports: Vec<AddressTable>,
    limit: usize,
    scan: usize,
}

/// The ports of one local address of one realm.
#[derive(Debug)]
struct AddressTable {
    realm: u16,
    address: IpAddr,
    entries: Box<[Entry]>,
}

impl FlowTable {
    pub(crate) fn new(addresses: impl IntoIterator<Item = (u16, IpAddr)>, limit: usize) -> Self {
        let ports = addresses
            .into_iter()
            .map(|(realm, address)| AddressTable {
                realm,
                address,
                entries: vec![0; 1 << 16].into_boxed_slice(),
            })
            .collect();
        Self {
            flows: Vec::new(),
            specs: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            ports,
            limit: limit.min(1 << 30),
            scan: 0,
        }
    }

    /// Whether this is a media address of the realm.
    #[inline]
    pub(crate) fn has_address(&self, realm: u16, address: IpAddr) -> bool {
        self.address_table(realm, address).is_some()
    }

    /// The place and leg of the flow that has this port (the RTP port for its RTCP port too).
    #[inline]
    pub(crate) fn at_port(&self, realm: u16, address: IpAddr, port: u16) -> Option<(u32, Leg)> {
        let table = self.address_table(realm, address)?;
        let entry = *table.entries.get(usize::from(port & !1))?;
        let place = (entry & !LEG_B).checked_sub(1)?;
        Some((place, if entry & LEG_B == 0 { Leg::A } else { Leg::B }))
    }

    #[inline]
    pub(crate) fn flow_mut(&mut self, place: u32) -> Option<&mut Flow> {
        self.flows.get_mut(usize::try_from(place).ok()?)?.as_mut()
    }

    pub(crate) fn spec(&self, place: u32) -> Option<&FlowSpec> {
        self.specs.get(usize::try_from(place).ok()?)?.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Installs a flow pair or brings it to a new specification; says whether it is new. The addresses
    /// are the realms' own.
    pub(crate) fn put(
        &mut self,
        now: u64,
        window: u64,
        spec: &FlowSpec,
    ) -> Result<bool, CommandError> {
        let known = self.by_id.get(&spec.id).copied();
        for leg in [&spec.a, &spec.b] {
            if let Some((place, _)) = self.at_port(leg.realm, leg.local, leg.port)
                && known != Some(place)
            {
                let other = self.spec(place).map_or(0, |s| s.id.0);
                return Err(CommandError::PortInUse(leg.port, other));
            }
        }
        let place = match known {
            Some(place) => place,
            None => self.take_place()?,
        };
        let at = place as usize;
        let old = self.specs.get_mut(at).and_then(Option::take);
        if let Some(old) = &old {
            self.map_ports(old, None);
        }
        self.map_ports(spec, Some(place));
        if let (Some(flow), Some(spec_place)) = (self.flows.get_mut(at), self.specs.get_mut(at)) {
            match (flow.as_mut(), &old) {
                (Some(flow), Some(old)) => flow.update(now, window, old, spec),
                _ => *flow = Some(Flow::new(now, spec)),
            }
            *spec_place = Some(spec.clone());
        }
        self.by_id.insert(spec.id, place);
        Ok(old.is_none())
    }

    /// Takes a flow pair away.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<(Flow, FlowSpec)> {
        let place = self.by_id.remove(&id)?;
        let spec = self.specs.get_mut(place as usize)?.take()?;
        let flow = self.flows.get_mut(place as usize)?.take()?;
        self.map_ports(&spec, None);
        self.free.push(place);
        Some((flow, spec))
    }

    /// Every flow pair.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Flow, &FlowSpec)> {
        self.flows.iter().zip(&self.specs).filter_map(|(f, s)| Some((f.as_ref()?, s.as_ref()?)))
    }

    /// The next places in turn, for work that is spread over time: at most `budget` of them, and each
    /// place once.
    pub(crate) fn scan(&mut self, budget: usize, mut visit: impl FnMut(&mut Flow, &FlowSpec)) {
        for _ in 0..budget.min(self.flows.len()) {
            self.scan = (self.scan + 1) % self.flows.len();
            let flow = self.flows.get_mut(self.scan).and_then(Option::as_mut);
            let spec = self.specs.get(self.scan).and_then(Option::as_ref);
            if let (Some(flow), Some(spec)) = (flow, spec) {
                visit(flow, spec);
            }
        }
    }

    fn take_place(&mut self) -> Result<u32, CommandError> {
        if let Some(place) = self.free.pop() {
            return Ok(place);
        }
        if self.flows.len() >= self.limit {
            return Err(CommandError::TableFull);
        }
        let place = u32::try_from(self.flows.len()).map_err(|_| CommandError::TableFull)?;
        self.flows.push(None);
        self.specs.push(None);
        Ok(place)
    }

    fn map_ports(&mut self, spec: &FlowSpec, place: Option<u32>) {
        for (leg, bit) in [(&spec.a, 0), (&spec.b, LEG_B)] {
            let entry = place.map_or(0, |p| (p + 1) | bit);
            let table =
                self.ports.iter_mut().find(|t| t.realm == leg.realm && t.address == leg.local);
            if let Some(place) = table.and_then(|t| t.entries.get_mut(usize::from(leg.port))) {
                *place = entry;
            }
        }
    }

    #[inline]
    fn address_table(&self, realm: u16, address: IpAddr) -> Option<&AddressTable> {
        self.ports.iter().find(|t| t.realm == realm && t.address == address)
    }
}
