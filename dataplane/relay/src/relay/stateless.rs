//! SIP that goes on without the signaling plane.

use std::sync::Arc;

use super::Relay;
use crate::forwarding::NextHop;
use crate::stateless::{Arrival, Fate, Scratch, Stateless, Way, Why};
use crate::{Frame, SipMeta, SipSend, Verdict};

/// What relaying SIP takes.
#[derive(Debug)]
pub(super) struct Relaying {
    by: Option<Arc<Stateless>>,
    /// None while it is in use.
    scratch: Option<Box<Scratch>>,
}

impl Relaying {
    pub(super) fn new() -> Self {
        Self {
            by: None,
            scratch: Some(Box::new(Scratch::new())),
        }
    }
}

impl Relay {
    /// Relays SIP like this from now on, or not at all. Answers what it was before, to be freed elsewhere.
    pub fn set_stateless(
        &mut self,
        now: u64,
        stateless: Option<Arc<Stateless>>,
    ) -> Option<Arc<Stateless>> {
        for (realm, ip) in stateless.iter().flat_map(|s| s.places()) {
            // The first request shall find the way.
            if let NextHop::Unresolved { neighbour } = self.forwarding.next_hop(realm, ip, 0) {
                self.hops.missing(now, realm, neighbour);
            }
        }
        std::mem::replace(&mut self.stateless.by, stateless)
    }

    /// A datagram for the signaling plane: relayed without it, if it is one of those that are.
    #[inline]
    pub(super) fn without_signaling(
        &mut self,
        now: u64,
        frame: &mut Frame<'_>,
        meta: SipMeta,
    ) -> Verdict {
        // Taken out and put back: counting another owner would be an atomic operation.
        let Some(stateless) = self.stateless.by.take() else {
            return Verdict::Sip(meta);
        };
        let verdict = self.relay_sip(now, frame, meta, &stateless);
        self.stateless.by = Some(stateless);
        verdict
    }

    fn relay_sip(
        &mut self,
        now: u64,
        frame: &mut Frame<'_>,
        meta: SipMeta,
        stateless: &Stateless,
    ) -> Verdict {
        let Some(mut scratch) = self.stateless.scratch.take() else {
            return Verdict::Sip(meta);
        };
        let arrival = Arrival {
            realm: meta.realm,
            source: meta.source,
            local: meta.local,
            bytes: frame.payload(&meta.payload),
        };
        let fate = stateless.relay(arrival, &mut scratch);
        let counters = &mut self.counters;
        let verdict = match fate {
            Fate::NotOurs => Verdict::Sip(meta),
            Fate::Up(why) => {
                *match why {
                    Why::Odd => &mut counters.stateless_up_odd,
                    Why::Source => &mut counters.stateless_up_source,
                    Why::NoTarget => &mut counters.stateless_up_no_target,
                    Why::Hops => &mut counters.stateless_up_hops,
                    Why::Extension => &mut counters.stateless_up_extension,
                } += 1;
                Verdict::Sip(meta)
            }
            Fate::Forged => {
                counters.stateless_forged += 1;
                Verdict::Drop
            }
            Fate::Relayed(way) => {
                let message = scratch.out.message().unwrap_or_default();
                self.send_relayed(now, frame, way, message)
            }
        };
        self.stateless.scratch = Some(scratch);
        verdict
    }

    fn send_relayed(
        &mut self,
        now: u64,
        frame: &mut Frame<'_>,
        way: Way,
        message: &[u8],
    ) -> Verdict {
        let Way {
            is_request,
            realm,
            source,
            destination,
        } = way;
        let send = self.frame_sip(now, realm, source, destination, message, frame);
        let is_there = match send {
            SipSend::Transmit { .. } => true,
            SipSend::Unresolved | SipSend::TooLong => frame.put(message),
            SipSend::Refused => false,
        };
        let counters = &mut self.counters;
        if !is_there {
            counters.stateless_not_sent += 1;
            return Verdict::Drop;
        }
        *if is_request {
            &mut counters.stateless_requests
        } else {
            &mut counters.stateless_responses
        } += 1;
        Verdict::SipRelayed {
            send,
            realm,
            source,
            destination,
        }
    }
}
