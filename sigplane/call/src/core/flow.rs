//! Requests from the inside for registered user agents (RFC 5626 section 5.3). Their first Route is a Path
//! of ours, and its user part says the way: the address, or the connection, that the REGISTER came by.
//! Nothing is remembered for it.
//!
//! What somebody can do with a token: only who is in the pool or among the registrars may use one, so a
//! user agent that learns its own (or another's) cannot send anything through it. A token leads to where
//! a registrar accepted a registration from, never elsewhere: nobody without the key makes one. Of a
//! connection it says the far end, so who gets the same address and port from the same NAT after the
//! connection has ended, and connects to us, gets what was for the former one until that registers anew
//! or its registration expires; over TLS and WebSocket as well. Registrations should not outlive NAT
//! bindings by much.

use super::reply::Answer;
use super::request::Arrival;
use super::{Core, Failure};
use crate::call::Candidate;
use crate::config::Side;
use crate::counters::Counter;
use crate::hiding::{Flow, OpenedFlow};
use crate::message::{self, Name};
use crate::record::Hop;

impl Core {
    /// The user agent that a request is for, if its first Route is a Path of ours; else none.
    ///
    /// # Errors
    /// What the request is answered with.
    pub(super) fn flow_route(
        &mut self,
        arrival: Arrival<'_, '_>,
    ) -> Result<Option<Candidate>, Answer> {
        let message = arrival.message;
        if self.config.side(arrival.hop.path) != Some(Side::Internal) {
            return Ok(None);
        }
        let Some(keys) = self.config.hiding.keys.as_ref() else {
            return Ok(None);
        };
        let routes = message.list(Name::Route);
        let Some((first, rest)) = routes.split_first() else {
            return Ok(None);
        };
        let Some(token) = message::user_of(first) else {
            return Ok(None);
        };
        let flow = match keys.open_flow(token) {
            OpenedFlow::Foreign => return Ok(None),
            OpenedFlow::Forged => {
                self.counters.add(Counter::FlowsForged);
                return Err(Answer::new(403, "Forbidden"));
            }
            OpenedFlow::Ours(flow)
                if self.config.side(flow.path) == Some(Side::External)
                    && self.config.has(flow.path, flow.local) =>
            {
                flow
            }
            OpenedFlow::Old | OpenedFlow::Ours(_) => {
                self.counters.add(Counter::FlowsOld);
                return Err(flow_failed());
            }
        };
        self.counters.add(Counter::ToFlows);
        Ok(Some(Candidate::Flow {
            uri: message::start_line_uri(message.uri()).to_vec(),
            hop: Hop {
                hidden: self.hides(Side::External),
                ..flow.hop()
            },
            routes: rest.iter().map(|r| r.to_vec()).collect(),
        }))
    }

    /// The answer to a request that does not reach its user agent.
    pub(super) fn flow_failed(&mut self, failure: Failure) -> Answer {
        match failure {
            Failure::Silence => Answer::new(408, "Request Timeout"),
            Failure::Unreachable => {
                self.counters.add(Counter::FlowsFailed);
                flow_failed()
            }
        }
    }
}

/// RFC 5626 section 11.5.
fn flow_failed() -> Answer {
    Answer::new(430, "Flow Failed")
}

impl Flow {
    /// The flow that something came by.
    pub(super) const fn of(hop: Hop) -> Self {
        Self {
            path: hop.path,
            local: hop.local,
            peer: hop.peer,
        }
    }

    /// How something goes by it.
    pub(super) const fn hop(self) -> Hop {
        Hop {
            path: self.path,
            local: self.local,
            peer: self.peer,
            connect: None,
            hidden: None,
            flow: true,
        }
    }
}
