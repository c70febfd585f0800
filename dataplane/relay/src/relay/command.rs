//! Commands, reports and timeouts.

use std::net::{IpAddr, Ipv4Addr};

use tandem_link::{CommandError, FlowId, FlowReport, FlowSpec, LegSpec};

use super::{Relay, push_event};
use crate::flow::Flow;
use crate::forwarding::NextHop;
use crate::table::PortKey;

/// How long the scan for timeouts takes at least to come round, in nanoseconds. A flow is looked at
/// once in this time, however often the worker asks: the table's cache lines belong to the packets.
const ROUND: u64 = 500_000_000;

/// Where the scan for timeouts is.
#[derive(Debug, Default)]
pub(super) struct Scan {
    slot: usize,
    /// When the round began.
    began: u64,
}

impl Relay {
    /// Installs a flow pair, or brings an existing one to this specification: counters and latched
    /// sources stay, ports may change. The same again changes nothing.
    ///
    /// # Errors
    /// Says what of the specification cannot be; nothing changes then.
    pub fn put_flow(&mut self, now: u64, spec: &FlowSpec) -> Result<(), CommandError> {
        let (a, b) = (self.key(&spec.a)?, self.key(&spec.b)?);
        if self.slots.owner(spec.a.port) != self.slots.owner(spec.b.port) {
            return Err(CommandError::TwoOwners(spec.a.port, spec.b.port));
        }
        let owner = self.slots.owner(spec.a.port);
        if owner != self.worker {
            return Err(CommandError::NotOwner(spec.a.port, owner));
        }
        if a == b {
            return Err(CommandError::PortInUse(spec.b.port, spec.id.0));
        }
        let place = self.table.find(spec.id);
        for key in [a, b] {
            let user = self.table.at_port(key).map(|(place, _)| place);
            if user.is_some() && user != place {
                let user = user.and_then(|place| self.table.get(place));
                return Err(CommandError::PortInUse(
                    key.1,
                    user.map_or(0, |flow| flow.id.0),
                ));
            }
        }
        let locals = [a.0, b.0];
        match place {
            None => {
                let flow = Flow::new(now, spec, locals);
                self.table.insert(flow).ok_or(CommandError::TableFull)?;
            }
            Some(place) => {
                let window = self.learning_ns;
                let reopened = self
                    .table
                    .change(place, |flow| flow.update(now, window, spec, locals))
                    .ok_or(CommandError::NoSuchFlow)?;
                self.counters.relearning += reopened;
            }
        }
        self.prepare_hops(now, spec);
        Ok(())
    }

    /// Asks for the next hops that the flow will need and that are not resolved, before its first packet is there.
    fn prepare_hops(&mut self, now: u64, spec: &FlowSpec) {
        for leg in [&spec.a, &spec.b] {
            let Some(remote) = leg.remote else { continue };
            // Gateways are kept resolved, so which one of several it would be does not matter.
            let hop = self.forwarding.next_hop(leg.realm, remote.ip(), 0);
            if let NextHop::Unresolved { neighbour } = hop {
                self.hops.missing(now, leg.realm, neighbour);
            }
        }
    }

    /// A leg's port in the table.
    fn key(&self, leg: &LegSpec) -> Result<PortKey, CommandError> {
        let realm = self
            .networks
            .realm(leg.realm)
            .ok_or(CommandError::NoSuchRealm(leg.realm))?;
        let local = realm
            .media_index(leg.local)
            .ok_or(CommandError::NotLocal(leg.local))?;
        if !realm.is_media_pair(leg.port) {
            return Err(CommandError::BadPort(leg.port));
        }
        Ok((local, leg.port))
    }

    /// Takes a flow pair away and tells its last figures.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn remove_flow(&mut self, now: u64, id: FlowId) -> Result<FlowReport, CommandError> {
        let flow = self.table.remove(id).ok_or(CommandError::NoSuchFlow)?;
        Ok(self.report(now, &flow))
    }

    /// How many flow pairs there are.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.table.len()
    }

    /// Every flow pair.
    pub fn flows(&self, now: u64) -> impl Iterator<Item = FlowReport> + '_ {
        self.table
            .iter_at(0)
            .map(move |(_, flow)| self.report(now, flow))
    }

    /// Up to `budget` flow pairs from `cursor` on (0 at first), and the cursor to go on with; none
    /// at the end. To list many without keeping packets waiting: what is installed or removed in
    /// between may be missed or still told of, no other is told of twice.
    pub fn flows_from(
        &self,
        now: u64,
        cursor: usize,
        budget: usize,
        mut each: impl FnMut(FlowReport),
    ) -> Option<usize> {
        let mut next = None;
        for (slot, flow) in self.table.iter_at(cursor).take(budget) {
            each(self.report(now, flow));
            next = Some(slot + 1);
        }
        next.or((budget == 0).then_some(cursor))
    }

    fn report(&self, now: u64, flow: &Flow) -> FlowReport {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ip = |way: u16| {
            self.networks
                .local(way)
                .map_or(nobody, |local| local.address.ip())
        };
        let locals = flow.ways.map(|way| ip(way.local));
        flow.report(now, self.worker, locals)
    }

    /// Looks at up to `budget` flow pairs for media timeouts, and at as many sources of SIP whose time may be over; to be called often. Every flow is
    /// looked at about twice a second if the budget allows.
    pub fn expire(&mut self, now: u64, budget: usize) {
        self.police.sweep(now, budget);
        let slots = self.table.slots();
        if self.scan.slot >= slots {
            if now.saturating_sub(self.scan.began) < ROUND {
                return;
            }
            self.scan = Scan {
                slot: 0,
                began: now,
            };
        }
        // The share of the table that the time since the round's begin allows.
        let elapsed = now.saturating_sub(self.scan.began).min(ROUND);
        let due = (slots as u64).saturating_mul(elapsed).div_ceil(ROUND);
        let end = slots.min(usize::try_from(due).unwrap_or(slots));
        let end = end.min(self.scan.slot.saturating_add(budget));
        for slot in self.scan.slot..end {
            let late = self.table.slot_mut(slot).filter(|flow| flow.is_late(now));
            if let Some(flow) = late {
                flow.idle = true;
                let event = flow.timeout_event();
                self.counters.media_timeout += 1;
                push_event(&mut self.events, &mut self.counters, event);
            }
        }
        self.scan.slot = self.scan.slot.max(end);
    }
}
