//! Names: what they lead to is asked of the resolver, and kept here as long as it counts (RFC 3263).
//!
//! The dispatcher's targets are looked up ahead, and again whenever DNS says that it may have
//! changed, so that a call never waits for DNS. What a peer writes into its Contact or Record-Route
//! is looked up when the first request goes there. That request waits; when DNS is too slow it goes
//! to where the peer was last seen.
//!
//! Whatever a name leads to has to be as believable as an address would be (see `way_to`). Servers that
//! failed are tried last for a while.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_policy::Transport;
use tandem_policy::locate::{Errand, Finding, Host, Located, NotLocated, Server, Wanted, Why};
use tandem_transaction::{Method, ServerKey};

use super::Core;
use super::in_dialog::Place;
use super::request::{Arrival, server_key};
use super::timer::Timer;
use crate::config::Side;
use crate::counters::Counter;
use crate::io::{Now, Output};
use crate::message::{self, Message};
use crate::record::{Hop, Peer};

/// How long a request waits for a name.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests that may wait; those above it go to where the peer was last seen.
const MAX_HELD: usize = 1_024;
/// Names of peers that are remembered.
const MAX_KNOWN: usize = 4_096;
/// An answer that does not come in this time never will: the name is asked for again.
const LOST: Duration = Duration::from_secs(30);
/// After a name was too slow, how long nobody waits for it.
const SLOW: Duration = Duration::from_secs(5);
/// How long a server that failed is tried last.
const AILING: Duration = Duration::from_secs(60);
/// Servers that failed that are remembered.
const MAX_AILING: usize = 1_024;

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<Errand, Known>,
    /// Requests that wait, the longest waiting first.
    held: VecDeque<Held>,
    /// Servers that failed, and until when that counts.
    ailing: HashMap<SocketAddr, Duration>,
    /// Who has to be at an address, for TLS.
    certified: HashMap<SocketAddr, Arc<str>>,
}

#[derive(Debug)]
struct Known {
    located: Option<Located>,
    /// Until then this counts; afterwards it is better than nothing.
    until: Duration,
    /// When it was asked for, if the answer is awaited.
    asked: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    errand: Errand,
    until: Duration,
    hop: Hop,
    bytes: Vec<u8>,
}

impl Core {
    /// Brings the look-ups of the dispatcher's targets in line with the table.
    pub(super) fn locate_targets(&mut self, now: Now) {
        let named: Vec<i64> = self.named_targets().map(|(id, _)| id).collect();
        for id in named {
            if !self.timers.is_set(Timer::Locate(id)) {
                self.locate_target(now, id);
            }
        }
    }

    /// Has a target looked up.
    pub(super) fn locate_target(&mut self, now: Now, id: i64) {
        // Gone from the table, or written otherwise now: it may come back.
        let Some((_, errand)) = self.named_targets().find(|(named, _)| *named == id) else {
            return;
        };
        self.timers.set(Timer::Locate(id), now.mono + LOST);
        self.look_up(errand);
    }

    /// The targets that calls go to whose destination is a name.
    fn named_targets(&self) -> impl Iterator<Item = (i64, Errand)> + '_ {
        self.routed()
            .filter(|(target, _)| matches!(target.wanted.host(), Host::Name(_)))
            .map(|(target, side)| (target.row.id, self.errand(target.wanted.clone(), side)))
    }

    fn errand(&self, wanted: Wanted, side: Side) -> Errand {
        Errand {
            wanted,
            means: self.config.means(side),
        }
    }

    fn look_up(&mut self, errand: Errand) {
        self.counters.add(Counter::NamesAsked);
        self.outputs.push_back(Output::Locate(errand));
    }

    /// The resolver has an answer.
    pub(super) fn located(&mut self, now: Now, finding: Finding) {
        let Finding {
            errand,
            outcome,
            stale,
        } = finding;
        self.counters.add(match &outcome {
            Ok(_) if stale => Counter::NamesStale,
            Ok(_) => Counter::NamesLocated,
            Err(not) if not.why == Why::Unanswered => Counter::NamesUnanswered,
            Err(_) => Counter::NamesNotFound,
        });
        let ttl = match &outcome {
            Ok(located) => {
                self.certify(located);
                located.ttl
            }
            Err(not) => not.ttl,
        };
        let until = now.mono + ttl;
        let targets: Vec<i64> = self
            .named_targets()
            .filter(|(_, of)| *of == errand)
            .map(|(id, _)| id)
            .collect();
        for id in &targets {
            self.timers.set(Timer::Locate(*id), until);
            self.target_located(now, *id, outcome.clone());
        }
        if !targets.is_empty() {
            self.note_neighbours();
        }
        if let Some(known) = self.names.known.get_mut(&errand) {
            known.asked = None;
            known.until = until;
            match outcome {
                Ok(located) => known.located = Some(located),
                Err(not) if not.why == Why::Unanswered => {}
                Err(_) => known.located = None,
            }
            self.release(now, &errand);
        }
    }

    fn target_located(&mut self, now: Now, id: i64, outcome: Result<Located, NotLocated>) {
        let was = self.dispatcher.target(id).is_some_and(|t| t.is_located());
        self.dispatcher.locate(id, outcome);
        let is = self.dispatcher.target(id).is_some_and(|t| t.is_located());
        // Its probes had nowhere to go until now.
        if is && !was && self.timers.is_set(Timer::Probe(id)) {
            self.timers.set(Timer::Probe(id), now.mono);
        }
    }

    fn certify(&mut self, located: &Located) {
        if located.transport != Transport::Tls {
            return;
        }
        let name: Arc<str> = (*located.server_name).into();
        if self.names.certified.len() >= MAX_KNOWN {
            self.names.certified.clear();
        }
        for address in located.addresses() {
            self.names.certified.insert(address, name.clone());
        }
    }

    /// Who has to be there, for TLS: the name that led there. None when it was no name.
    pub(super) fn server_name(&self, hop: Hop) -> Option<Arc<str>> {
        if self.config.transport(hop.path) != Transport::Tls {
            return None;
        }
        let server = hop.connect.unwrap_or(hop.peer);
        self.names.certified.get(&server).cloned()
    }

    /// A server answered.
    pub(super) fn note_well(&mut self, server: SocketAddr) {
        self.names.ailing.remove(&server);
    }

    /// The servers of a target, in the order in which a call with this Call-ID tries them.
    pub(super) fn servers_of(&self, now: Now, id: i64, call_id: &[u8]) -> Vec<Server> {
        let servers = self.dispatcher.target(id).map(|t| t.servers(seed(call_id)));
        self.names.well_first(now, servers.unwrap_or_default())
    }

    /// A server did not answer, is not there, or says that it cannot.
    pub(super) fn note_ailing(&mut self, now: Now, server: SocketAddr) {
        let ailing = &mut self.names.ailing;
        if ailing.len() >= MAX_AILING {
            ailing.retain(|_, until| now.mono < *until);
        }
        if ailing.len() < MAX_AILING {
            ailing.insert(server, now.mono + AILING);
        }
    }

    /// Where the name in a URI of a peer's leads, as far as it is known; of several servers that
    /// which was seen, else the first that will do.
    pub(super) fn named_server(
        &self,
        peer: &Peer,
        will_do: impl Fn(&SocketAddr) -> bool,
    ) -> Option<Server> {
        let errand = self.errand_of(peer)?;
        let located = self.names.known.get(&errand)?.located.as_ref()?;
        let servers = located.servers(seed(&peer.alias));
        let mut fit = servers
            .into_iter()
            .filter(|s| will_do(&s.address))
            .peekable();
        let first = fit.peek().cloned();
        fit.find(|s| s.address.ip() == peer.hop.peer.ip()).or(first)
    }

    /// What is to be looked up before a request can go to a peer; none when that is an address, a
    /// registered user agent's flow, or a name that leads nowhere by its nature.
    fn errand_of(&self, peer: &Peer) -> Option<Errand> {
        if peer.hop.flow {
            return None;
        }
        let wanted = message::named_host(peer.routes.first().unwrap_or(&peer.target))?;
        Some(self.errand(wanted, self.config.side(peer.hop.path)?))
    }

    /// Whether a request has to wait until it is known where the other end of its dialog is: then it
    /// is kept, and comes again.
    pub(super) fn waits_for_name(
        &mut self,
        now: Now,
        place: Place<'_>,
        arrival: Arrival<'_, '_>,
    ) -> bool {
        let receiver = self
            .calls
            .get(&place.key)
            .and_then(|call| call.record.end(place.from.other(), place.tag));
        let Some(errand) = receiver.and_then(|peer| self.errand_of(peer)) else {
            return false;
        };
        if self.names.is_fresh(now, &errand) {
            return false;
        }
        let bytes = arrival.message.bytes();
        let same = |h: &Held| h.hop == arrival.hop && h.bytes == bytes;
        if self.names.held.iter().any(same) {
            self.counters.add(Counter::RequestsAbsorbed);
            return true;
        }
        if self.names.held.len() >= MAX_HELD {
            self.counters.add(Counter::HeldOverLimit);
            return false;
        }
        self.counters.add(Counter::Held);
        let until = now.mono + PATIENCE;
        if self.names.held.is_empty() {
            self.timers.set(Timer::Held, until);
        }
        self.names.held.push_back(Held {
            errand: errand.clone(),
            until,
            hop: arrival.hop,
            bytes: bytes.to_vec(),
        });
        self.ask_name(now, errand);
        true
    }

    /// Has the names of a call's ends looked up, so that they are known when a request goes there.
    pub(super) fn look_ahead(&mut self, now: Now, key: u64) {
        let Some(record) = self.calls.get(&key).map(|c| &c.record) else {
            return;
        };
        let callee = record.answered().map(|d| &d.callee);
        let errands = [Some(&record.caller), callee].map(|peer| self.errand_of(peer?));
        for errand in errands.into_iter().flatten() {
            if !self.names.is_fresh(now, &errand) {
                self.ask_name(now, errand);
            }
        }
    }

    fn ask_name(&mut self, now: Now, errand: Errand) {
        self.names.make_room();
        let known = self.names.known.entry(errand.clone()).or_insert(Known {
            located: None,
            until: Duration::ZERO,
            asked: None,
        });
        if known.asked.is_some_and(|asked| now.mono < asked + LOST) {
            return;
        }
        known.asked = Some(now.mono);
        self.look_up(errand);
    }

    /// Requests that have waited long enough go to where the peer was last seen.
    pub(super) fn held_too_long(&mut self, now: Now) {
        while let Some(held) = self.names.held.pop_front_if(|h| h.until <= now.mono) {
            self.go_without(now, &held);
        }
        self.set_held_timer();
    }

    /// An INVITE that waits goes on at once, since it is to be cancelled.
    pub(super) fn hurry(&mut self, now: Now, cancel: &ServerKey<'_>) {
        let is_it = |held: &Held| {
            Message::read(&held.bytes).is_ok_and(|m| {
                let key = server_key(&m);
                let method = Method::Invite;
                key == ServerKey { method, ..*cancel }
            })
        };
        if let Some(at) = self.names.held.iter().position(is_it)
            && let Some(held) = self.names.held.remove(at)
        {
            self.go_without(now, &held);
            self.set_held_timer();
        }
    }

    /// A request goes to where the peer was last seen.
    fn go_without(&mut self, now: Now, held: &Held) {
        self.counters.add(Counter::HeldTooLong);
        if let Some(known) = self.names.known.get_mut(&held.errand) {
            known.until = known.until.max(now.mono + SLOW);
        }
        self.again(now, held.hop, &held.bytes);
    }

    /// What waited for this goes on, in order.
    fn release(&mut self, now: Now, errand: &Errand) {
        let (ready, waiting): (VecDeque<Held>, VecDeque<Held>) =
            std::mem::take(&mut self.names.held)
                .into_iter()
                .partition(|h| h.errand == *errand);
        self.names.held = waiting;
        for held in ready {
            self.again(now, held.hop, &held.bytes);
        }
        self.set_held_timer();
    }

    fn again(&mut self, now: Now, hop: Hop, bytes: &[u8]) {
        if let Ok(message) = Message::read(bytes) {
            let arrival = Arrival {
                message: &message,
                hop,
                // For us it has waited no longer than it had to.
                waited: Duration::ZERO,
            };
            self.request(now, arrival, bytes);
            self.settle(now);
        }
    }

    fn set_held_timer(&mut self) {
        match self.names.held.front() {
            Some(first) => self.timers.set(Timer::Held, first.until),
            None => self.timers.clear(Timer::Held),
        }
    }
}

impl Names {
    fn is_fresh(&self, now: Now, errand: &Errand) -> bool {
        self.known.get(errand).is_some_and(|k| now.mono < k.until)
    }

    fn make_room(&mut self) {
        if self.known.len() < MAX_KNOWN {
            return;
        }
        let waiting = |e: &Errand| self.held.iter().any(|h| h.errand == *e);
        let oldest = self
            .known
            .iter()
            .filter(|(errand, _)| !waiting(errand))
            .min_by_key(|(_, known)| known.until)
            .map(|(errand, _)| errand.clone());
        if let Some(oldest) = oldest {
            self.known.remove(&oldest);
        }
    }

    fn well_first(&self, now: Now, mut servers: Vec<Server>) -> Vec<Server> {
        let ailing = |s: &Server| self.ailing.get(&s.address).is_some_and(|u| now.mono < *u);
        servers.sort_by_key(ailing);
        servers
    }
}

/// What draws the order of several servers: the same for the same text, on every node.
fn seed(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
