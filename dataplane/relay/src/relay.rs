//! The relay: what the worker calls.

mod command;
mod media;
mod plain;
mod police;
mod proof;
mod sip;
mod stateless;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use tandem_link::{Event, FlowId, SLOTS, SlotTable, slot};

use crate::blocked::Blocked;
use crate::classify::{Class, Glance, classify, glance};
use crate::counters::Counter;
use crate::flow::LINES;
use crate::hops::Hops;
use crate::network::Networks;
use crate::police::Police;
use crate::police::source::Seed;
use crate::table::{Entry, FlowTable};
use crate::{ConfigError, Counters, Forwarding, Frame, RelayConfig, Verdict};
use media::Relayed;
pub use plain::Plain;
pub use proof::proof_forwarding;

/// Events kept for a worker that does not fetch them.
const EVENTS: usize = 4096;
/// How often a packet goes from one flow of ours to another: a call that was forwarded that often has other troubles.
const PASSES: u8 = 4;

/// One worker's relay. One input, then the worker drains [`Relay::event`] and
/// [`Relay::needed_next_hop`]. Nothing is allocated on a packet's way. All times are nanoseconds of
/// one monotonic clock.
#[derive(Debug)]
pub struct Relay {
    worker: u16,
    /// The owner of every slot of the port space.
    owners: [u16; SLOTS],
    slots: SlotTable,
    networks: Networks,
    table: FlowTable,
    forwarding: Arc<Forwarding>,
    hops: Hops,
    by_kernel: sip::ByKernel,
    events: VecDeque<Event>,
    counters: Counters,
    seed: Seed,
    blocked: Blocked,
    police: Police,
    learning_ns: u64,
    sip_dscp: u8,
    stateless: stateless::Relaying,
    /// The last IPv4 identification.
    ids: u16,
    scan: command::Scan,
}

impl Relay {
    /// A relay without flows and without routes.
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn new(config: RelayConfig) -> Result<Self, ConfigError> {
        let networks = Networks::new(config.ports, config.realms)?;
        let limit = usize::try_from(config.max_flows).map_err(|_| ConfigError::TooMany("flows"))?;
        let seed = Seed::new(config.seed);
        let mut owners = [0; SLOTS];
        for port in 0..2 * SLOTS as u16 {
            if let Some(owner) = owners.get_mut(slot(port)) {
                *owner = config.slots.owner(port);
            }
        }
        Ok(Self {
            worker: config.worker,
            owners,
            slots: config.slots,
            table: FlowTable::new(networks.locals(), limit),
            networks,
            forwarding: Arc::default(),
            hops: Hops::new(),
            by_kernel: sip::ByKernel::new(),
            events: VecDeque::with_capacity(EVENTS),
            counters: Counters::default(),
            seed,
            blocked: Blocked::new(seed),
            police: Police::new(config.police, seed),
            learning_ns: config.learning_ns,
            sip_dscp: config.sip_dscp & 0x3f,
            stateless: stateless::Relaying::new(),
            ids: 0,
            scan: command::Scan::default(),
        })
    }

    /// Writes to all memory that it will ever use: to be called by the worker's own thread before the first packet, so that the
    /// memory is on its node and no command on a flow has to wait for the kernel to find some.
    pub fn settle(&mut self) {
        self.table.settle();
    }

    /// A frame came in on a port.
    pub fn receive(&mut self, now: u64, port: u16, frame: &mut Frame<'_>) -> Verdict {
        let look = self.look(port, frame.bytes());
        self.decide(now, frame, look)
    }

    /// The first half of [`Relay::receive`]: classifies a frame and finds its flow pair. A worker looks at a
    /// whole burst, and fetches the [`Relay::lines`] of each look, before it decides on the first frame: so it
    /// waits for all of that memory at once and not for each flow pair in turn.
    #[inline(always)]
    #[must_use]
    pub fn look(&self, port: u16, frame: &[u8]) -> Look {
        match glance(&self.networks, port, frame) {
            Some(Glance { key, plain }) => Look {
                port,
                ip: plain,
                entry: self.table.entry(key),
            },
            None => Look {
                port,
                ..Look::NOTHING
            },
        }
    }

    /// The cache lines that [`Relay::decide`] will want, for a prefetch; none if there is no flow pair.
    #[inline(always)]
    #[must_use]
    pub fn lines(&self, look: &Look) -> Option<[*const (); LINES]> {
        let (place, leg) = look.entry.place()?;
        self.table.lines(place, leg)
    }

    /// The second half: what becomes of the frame that was looked at. No command may have come
    /// between the halves.
    #[inline]
    pub fn decide(&mut self, now: u64, frame: &mut Frame<'_>, look: Look) -> Verdict {
        match self.relay_plain(now, frame, look) {
            Some(done) => done.verdict(),
            None => self.decide_otherwise(now, frame, look),
        }
    }

    /// The second half for a frame that [`Relay::relay_plain`] has left as it was.
    pub fn decide_otherwise(&mut self, now: u64, frame: &mut Frame<'_>, look: Look) -> Verdict {
        self.classified(now, look.port, 0, false, frame)
    }

    /// A frame came from another worker, as [`Verdict::HandOff`] says. What is in it is this worker's.
    pub fn received_by_hand_off(
        &mut self,
        now: u64,
        port: u16,
        passes: u8,
        frame: &mut Frame<'_>,
    ) -> Verdict {
        let look = self.look(port, frame.bytes());
        if let Some(done) = self.relay_plain(now, frame, look) {
            self.counters.taken_over += 1;
            return done.verdict();
        }
        self.classified(now, port, passes, true, frame)
    }

    /// The general way, of any frame.
    #[inline(never)]
    fn classified(
        &mut self,
        now: u64,
        port: u16,
        passes: u8,
        handed_off: bool,
        frame: &mut Frame<'_>,
    ) -> Verdict {
        let class = classify(&self.networks, port, frame.bytes());
        let verdict = match &class {
            Ok(Class::Media(datagram, local)) => {
                let owner = self.owner(datagram.local.port);
                if handed_off {
                    self.counters.taken_over += 1;
                } else if owner != self.worker {
                    self.counters.handed_over += 1;
                    return Verdict::HandOff {
                        worker: owner,
                        port,
                        passes,
                    };
                }
                let place = self.table.at_port((*local, datagram.local.port));
                match self.media(now, frame, datagram, place) {
                    Ok(Relayed::Out(verdict)) => Ok(verdict),
                    Ok(Relayed::ToUs(port)) => return self.again(now, port, passes + 1, frame),
                    Err(counter) => Err(counter),
                }
            }
            Ok(Class::Sip(datagram)) => match self.sip(now, frame, datagram) {
                Ok(Verdict::Sip(meta)) => Ok(self.without_signaling(now, frame, meta)),
                other => other,
            },
            Ok(Class::Exception { realm, counter }) => {
                counter.count(&mut self.counters);
                if is_tagged(frame) {
                    frame.strip_tag();
                }
                return Verdict::Exception { realm: *realm };
            }
            Err(counter) => Err(*counter),
        };
        verdict.unwrap_or_else(|counter| {
            counter.count(&mut self.counters);
            Verdict::Drop
        })
    }

    /// A frame that was relayed to an address of our own: it comes in again, if a flow is there.
    #[cold]
    fn again(&mut self, now: u64, port: u16, passes: u8, frame: &mut Frame<'_>) -> Verdict {
        let class = classify(&self.networks, port, frame.bytes());
        let counter = match &class {
            _ if passes > PASSES => Counter::of(|c| &mut c.drop_hairpin_loop),
            Ok(Class::Media(datagram, local))
                if self.table.at_port((*local, datagram.local.port)).is_some()
                    || self.owner(datagram.local.port) != self.worker =>
            {
                self.counters.hairpinned += 1;
                return self.classified(now, port, passes, false, frame);
            }
            _ => Counter::of(|c| &mut c.drop_destination_local),
        };
        counter.count(&mut self.counters);
        Verdict::Drop
    }

    #[inline]
    fn owner(&self, port: u16) -> u16 {
        self.owners.get(slot(port)).copied().unwrap_or(0)
    }

    /// The flow pair that a received frame belongs to, if this worker owns it: for a capture, before
    /// [`Relay::receive`].
    #[must_use]
    pub fn flow_of(&self, port: u16, frame: &Frame<'_>) -> Option<FlowId> {
        let Ok(Class::Media(datagram, local)) = classify(&self.networks, port, frame.bytes())
        else {
            return None;
        };
        let (place, _) = self.table.at_port((local, datagram.local.port))?;
        Some(self.table.get(place)?.id)
    }

    /// Uses another snapshot from now on.
    pub fn set_forwarding(&mut self, forwarding: Arc<Forwarding>) {
        self.forwarding = forwarding;
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next neighbour, with its realm, that is to be resolved and kept alive.
    pub fn needed_next_hop(&mut self) -> Option<(u16, IpAddr)> {
        self.hops.next()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What [`Relay::look`] found out about a frame: little, since many are kept at a time.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    port: u16,
    /// Where the IP header of a plain packet begins in the frame; 0 for all others.
    ip: u8,
    /// The flow pair and the leg of a media packet.
    entry: Entry,
}

impl Look {
    /// What is seen of no frame.
    pub const NOTHING: Self = Self {
        entry: Entry::NONE,
        port: 0,
        ip: 0,
    };
}

/// Adds an event; of too many the oldest is lost.
fn push_event(events: &mut VecDeque<Event>, counters: &mut Counters, event: Event) {
    if events.len() >= EVENTS {
        events.pop_front();
        counters.event_dropped += 1;
    }
    events.push_back(event);
}

fn is_tagged(frame: &Frame<'_>) -> bool {
    let [high, low] = tandem_wire::ethernet::VLAN.to_be_bytes();
    matches!(frame.bytes(), [_, _, _, _, _, _, _, _, _, _, _, _, a, b, ..] if [*a, *b] == [high, low])
}
