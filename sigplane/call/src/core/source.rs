//! Who may speak: for a new call, and in the name of a dialog's end.
//!
//! Over UDP a request in a dialog proves no more than that its sender knows the Call-ID and both
//! tags. They are hard to guess but travel in clear, and are seen by every proxy on the way. So
//! the source counts too. A request speaks for an end of a dialog only from that end's side of the
//! appliance, and from
//!
//! - the IP address that the end was last seen with, whatever the port: a NAT that forgot its
//!   binding gives another port to the same phone;
//! - the IP address that we send the end's requests to (its Contact or first route, as far as we
//!   believe it): whoever is there gets our requests anyway;
//! - any address from which that side could set up calls: a carrier's other border element takes
//!   a call over, or a NAT pool gives a phone another address. Such a source is trusted to call
//!   at our cost already; ending or moving a call whose identifiers it knows is less.
//!
//! Everybody else gets 403, ACKs are dropped. From the right source a request with a CSeq that is not
//! an old one also moves the place where that end is seen, and requests to it go there unless
//! its Contact says a believable other place. What remains: a forged source address, if the
//! network lets it pass, together with the right identifiers.
//!
//! Before the tables were read nobody knows who belongs to which group. Only the address that the
//! end was seen with is served then; requests of others are dropped without an answer, so that
//! their senders repeat them: 403 would cost a good peer its call.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_policy::Origin;

use super::Core;
use super::in_dialog::Place;
use super::request::Arrival;
use crate::config::Side;
use crate::counters::Counter;
use crate::io::Path;
use crate::record::{Hop, Peer};

/// Peers whose names are kept.
const MOST_CERTIFIED: usize = 100_000;

/// What the source of a request may do in a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Speak for that end.
    Entitled,
    /// Not that.
    Stranger,
    /// That cannot be said yet.
    Unknown,
}

impl Core {
    /// Whether who sent this may set up calls: carriers, trunks and their networks on the external side, pool
    /// members on the internal one.
    pub(super) fn may_call(&self, side: Side, hop: Hop) -> bool {
        let is_target = self.is_target(side, hop.peer.ip());
        match side {
            Side::External => {
                let group = self.config.routing.carrier_group;
                is_target
                    || self.is_of_trunk(hop.peer.ip())
                    || self.access.is_member(group, &self.origin(hop))
            }
            Side::Internal => is_target,
        }
    }

    fn origin(&self, hop: Hop) -> Origin<'_> {
        let name = self.certified.get(&(hop.path, hop.peer));
        Origin {
            source: hop.peer,
            transport: self.config.transport(hop.path),
            tls_name: name.map(|name| &**name),
        }
    }

    /// A peer has shown a certificate, or has none.
    pub(super) fn certified(&mut self, path: Path, peer: SocketAddr, name: Option<Arc<str>>) {
        match name {
            // Who sends again is named again.
            Some(_) if self.certified.len() >= MOST_CERTIFIED => self.certified.clear(),
            Some(_) => {}
            None => {
                self.certified.remove(&(path, peer));
            }
        }
        if let Some(name) = name {
            self.certified.insert((path, peer), name);
        }
    }

    /// Whether who sent this on the side of `end` may speak for it.
    pub(super) fn speaker(&self, end: &Peer, hop: Hop) -> Speaker {
        let ip = hop.peer.ip().to_canonical();
        let is_at = |end: Hop| end.peer.ip().to_canonical() == ip;
        let entitled = is_at(end.hop)
            || is_at(self.way_to(end))
            || self
                .config
                .side(hop.path)
                .is_some_and(|side| self.may_call(side, hop));
        if entitled {
            Speaker::Entitled
        } else if self.has_tables {
            Speaker::Stranger
        } else {
            Speaker::Unknown
        }
    }

    /// Keeps where a request's sender is seen now. Says whether that is another place.
    pub(super) fn note_source(&mut self, place: Place<'_>, arrival: Arrival<'_, '_>) -> bool {
        let sender = self
            .calls
            .get_mut(&place.key)
            .and_then(|call| call.record.end_mut(place.from, place.tag))
            .filter(|sender| sender.cseq <= arrival.message.cseq());
        let Some(sender) = sender else {
            return false;
        };
        let flow = sender.hop.flow;
        let hop = Hop {
            flow,
            ..arrival.hop
        };
        if sender.hop == hop {
            return false;
        }
        sender.hop = hop;
        self.counters.add(Counter::SourcesChanged);
        true
    }
}
