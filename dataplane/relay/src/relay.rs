//! The relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tandem_link::{CommandError, Event, FlowId, FlowReport, FlowSpec};

use crate::{ConfigError, Counters, Forwarding, Frame, RelayConfig, SipSend, Verdict};

/// One worker's relay.
#[derive(Debug)]
pub struct Relay { counters: Counters }

impl Relay {
    /// A relay without flows.
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn new(_config: RelayConfig) -> Result<Self, ConfigError> { Ok(Self { counters: Counters::default() }) }
    /// Loads into the cache what a frame will need; to be called for a whole burst before the first `receive`.
    pub fn warm(&self, _port: u16, _frame: &Frame<'_>) {}
    /// A frame came in on a port.
    pub fn receive(&mut self, _now: u64, _port: u16, _frame: &mut Frame<'_>) -> Verdict { Verdict::Drop }
    /// A frame came from the worker that received it on `port`. Never hands it off again.
    pub fn received_by_hand_off(&mut self, _now: u64, _port: u16, _frame: &mut Frame<'_>) -> Verdict { Verdict::Drop }
    /// The flow pair that a received frame belongs to: for a capture, before `receive`.
    #[must_use]
    pub fn flow_of(&self, _port: u16, _frame: &Frame<'_>) -> Option<FlowId> { None }
    /// Installs a flow pair or brings it to its specification.
    ///
    /// # Errors
    /// If the specification cannot be met.
    pub fn put_flow(&mut self, _now: u64, _spec: &FlowSpec) -> Result<(), CommandError> { Err(CommandError::TableFull) }
    /// Takes a flow pair away.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn remove_flow(&mut self, _now: u64, _id: FlowId) -> Result<FlowReport, CommandError> { Err(CommandError::NoSuchFlow) }
    /// How many flow pairs there are.
    #[must_use]
    pub fn flow_count(&self) -> usize { 0 }
    /// Every flow pair.
    pub fn flows(&self, _now: u64) -> impl Iterator<Item = FlowReport> + '_ { std::iter::empty() }
    /// Up to `budget` flow pairs from slot `cursor` on, and the cursor to go on with; none at the end: for listing many between bursts.
    pub fn flows_from(&self, _now: u64, _cursor: usize, _budget: usize, _each: impl FnMut(FlowReport)) -> Option<usize> { None }
    /// Uses another snapshot from now on.
    pub fn set_forwarding(&mut self, _forwarding: Arc<Forwarding>) {}
    /// Frames a SIP datagram into an empty buffer.
    pub fn send_sip(&mut self, _now: u64, _realm: u16, _source: SocketAddr, _destination: SocketAddr, _payload: &[u8], _frame: &mut Frame<'_>) -> SipSend { SipSend::Refused }
    /// Looks at up to `budget` flow pairs for media timeouts.
    pub fn expire(&mut self, _now: u64, _budget: usize) {}
    /// The next event.
    pub fn event(&mut self) -> Option<Event> { None }
    /// The next neighbour, with its realm, that is to be resolved and kept alive.
    pub fn needed_next_hop(&mut self) -> Option<(u16, IpAddr)> { None }
    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters { &self.counters }
}
