//! Flows with registered user agents, as the registrars' answers show them. Nothing is sent to a user agent
//! by this table (see `flow`): it says who may call, and whose NAT is kept open.
//!
//! # Who may call
//! A REGISTER that a registrar accepted makes a stranger one who may send requests to the registrars: from the
//! very address and port (over a stream: by that connection's) that the REGISTER came from, until the
//! registration expires. The inside authenticates what it gets, as it did the REGISTER; its challenge passes.
//! So what an attacker gains is this. Over UDP, who forges the address and port of a registered user agent
//! puts requests before the registrars, as everybody can with a REGISTER, and sees no answer. Who owns
//! credentials may call, which is what they are for. Such a user agent is nobody else: it may not
//! speak in dialogs of others, as a carrier's second address may (see `source`), and its 3xx is never followed.
//!
//! A call may come to another worker than the REGISTER did: all are told of each flow. What is in the journal and
//! who sends keepalives is the worker's that the REGISTER came to.
//!
//! # Keeping NATs open
//! Over UDP, a Contact that is not where its REGISTER came from is behind a NAT. It gets an OPTIONS every now
//! and then; whatever it answers shows that the way is open. These have no transactions: another one follows
//! anyway. After some without an answer no more are sent until it registers again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_sip::{NameAddr, shard};

use super::Core;
use super::timer::Timer;
use crate::counters::Counter;
use crate::hiding::Flow;
use crate::io::{Now, Output, Path, Registered};
use crate::journal;
use crate::message::{self, Message, Name};
use crate::record::Hop;

/// Users that may register over one flow; those above are not remembered.
const MAX_USERS: usize = 64;
/// For how long a binding is where nobody says (RFC 3261 section 10.2.1.1).
const DEFAULT_EXPIRES: u64 = 3_600;
/// The longest that we believe.
const MAX_EXPIRES: u64 = 7 * 24 * 3_600;

/// Branches of our keepalives begin with this; the binding's key follows.
const BRANCH: &str = "z9hG4bKnat";

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_flow: HashMap<Flow, Binding>,
    by_key: HashMap<u64, Flow>,
    /// Flows of other workers: of which ones, and until when.
    told: HashMap<Flow, Vec<(u16, u64)>>,
}

/// What is kept of a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Binding {
    flow: Flow,
    /// Whose it is (a hash of each address of record), and until when, in Unix milliseconds.
    users: Vec<(u64, u64)>,
    /// Whether it is behind a NAT that forgets.
    pings: bool,
    #[serde(skip)]
    key: u64,
    /// Keepalives in a row without an answer.
    #[serde(skip)]
    missed: u32,
    /// The last keepalive has no answer yet.
    #[serde(skip)]
    awaited: bool,
}

impl Binding {
    fn until_ms(&self) -> u64 {
        self.users
            .iter()
            .map(|(_, until)| *until)
            .max()
            .unwrap_or(0)
    }
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.by_flow.len()
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut Binding> {
        self.by_flow.get_mut(self.by_key.get(&key)?)
    }
}

impl Core {
    /// Whether a registered user agent is there.
    pub(super) fn is_registered(&self, now: Now, hop: Hop) -> bool {
        let flow = Flow::of(hop);
        let own = self.bindings.by_flow.get(&flow).map(Binding::until_ms);
        let told = self.bindings.told.get(&flow);
        let told = told.into_iter().flatten().map(|(_, until)| *until);
        own.into_iter().chain(told).any(|until| now.wall_ms < until)
    }

    /// Another worker has seen a registration.
    pub(super) fn told_of(&mut self, now: Now, registered: Registered) {
        let Registered {
            worker,
            flow,
            until_ms,
        } = registered;
        let limit = self.config.nat.max_bindings;
        let told = &mut self.bindings.told;
        if until_ms <= now.wall_ms {
            if let Some(by) = told.get_mut(&flow) {
                by.retain(|(by, _)| *by != worker);
                if by.is_empty() {
                    told.remove(&flow);
                }
            }
            return;
        }
        if told.len() >= limit && !told.contains_key(&flow) {
            told.retain(|_, by| by.iter().any(|(_, until)| now.wall_ms < *until));
            if told.len() >= limit {
                return self.counters.add(Counter::BindingsOverLimit);
            }
        }
        let by = told.entry(flow).or_default();
        by.retain(|(by, _)| *by != worker);
        by.push((worker, until_ms));
    }

    /// Learns from a registrar's 2xx.
    pub(super) fn learn(
        &mut self,
        now: Now,
        request: &Message<'_>,
        response: &Message<'_>,
        came: Hop,
    ) {
        let own = request.list(Name::Contact);
        if own.is_empty() {
            return;
        }
        let seconds = |text: &[u8]| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok();
        let stated: Option<u64> = response.first(Name::Expires).and_then(seconds);
        let mut expires = 0;
        let mut pings = false;
        for contact in response.list(Name::Contact) {
            if !own.iter().any(|own| message::is_same_contact(own, contact)) {
                continue;
            }
            let parts = NameAddr::parse(contact);
            let own = parts.and_then(|p| p.parameter("expires")).and_then(seconds);
            let for_it = own.or(stated).unwrap_or(DEFAULT_EXPIRES);
            expires = expires.max(for_it.min(MAX_EXPIRES));
            let address = parts.and_then(|p| message::address_of(p.uri));
            pings |= for_it > 0 && address != Some(came.peer);
        }
        let user = hash(request.to_uri());
        if expires == 0 {
            return self.unlearn(now, Flow::of(came), user);
        }
        let pings = pings && !matches!(came.path, Path::Stream(_));
        self.bind(
            now,
            Flow::of(came),
            user,
            now.wall_ms + expires * 1_000,
            pings,
            // So that it stays with this worker.
            shard(request.call_id()),
        );
    }

    pub(super) fn bind(
        &mut self,
        now: Now,
        flow: Flow,
        user: u64,
        until_ms: u64,
        pings: bool,
        shard: u16,
    ) {
        if !self.bindings.by_flow.contains_key(&flow) {
            if self.bindings.len() >= self.config.nat.max_bindings {
                return self.counters.add(Counter::BindingsOverLimit);
            }
            let key = self.new_key(now, shard);
            self.counters.add(Counter::BindingsLearned);
            self.bindings.by_key.insert(key, flow);
            let binding = Binding {
                flow,
                users: Vec::new(),
                pings,
                key,
                missed: 0,
                awaited: false,
            };
            self.bindings.by_flow.insert(flow, binding);
        }
        let Some(binding) = self.bindings.by_flow.get_mut(&flow) else {
            return;
        };
        binding
            .users
            .retain(|(u, until)| *u != user && now.wall_ms < *until);
        if binding.users.len() < MAX_USERS {
            binding.users.push((user, until_ms));
        }
        binding.pings = pings;
        (binding.missed, binding.awaited) = (0, false);
        let key = binding.key;
        self.keep_binding(now, key);
    }

    pub(super) fn unlearn(&mut self, now: Now, flow: Flow, user: u64) {
        let Some(binding) = self.bindings.by_flow.get_mut(&flow) else {
            return;
        };
        binding.users.retain(|(u, _)| *u != user);
        let (key, is_empty) = (binding.key, binding.users.is_empty());
        if is_empty {
            self.counters.add(Counter::BindingsRemoved);
            self.forget_binding(key);
        } else {
            self.keep_binding(now, key);
        }
    }

    /// Writes a binding down, and sets its timers.
    fn keep_binding(&mut self, now: Now, key: u64) {
        let Some(binding) = self.bindings.get_mut(key) else {
            return;
        };
        let (flow, until_ms, pings) = (binding.flow, binding.until_ms(), binding.pings);
        let body = journal::encode_binding(binding);
        self.outputs.push_back(Output::Journal {
            key,
            body: Some(body),
            cdr: None,
            follower: None,
        });
        self.watch_binding(now, key, flow, until_ms, pings);
    }

    fn watch_binding(&mut self, now: Now, key: u64, flow: Flow, until_ms: u64, pings: bool) {
        self.tell_registered(flow, until_ms);
        let left = Duration::from_millis(until_ms.saturating_sub(now.wall_ms));
        self.timers.set(Timer::Binding(key), now.mono + left);
        let interval = self.config.nat.keepalive;
        if !pings || interval.is_zero() {
            self.timers.clear(Timer::Keepalive(key));
        } else if !self.timers.is_set(Timer::Keepalive(key)) {
            self.next_keepalive(now, key);
        }
    }

    /// Tells the others until when a flow is registered here.
    fn tell_registered(&mut self, flow: Flow, until_ms: u64) {
        let worker = self.config.share.worker;
        self.outputs.push_back(Output::Registered(Registered {
            worker,
            flow,
            until_ms,
        }));
    }

    /// Keepalives go by the new interval at once.
    pub(super) fn pace_keepalives(&mut self, now: Now, old: Duration) {
        let interval = self.config.nat.keepalive;
        if interval == old {
            return;
        }
        let pinged = self.bindings.by_flow.values().filter(|b| b.pings);
        let stopped = self.config.nat.keepalive_misses;
        let pinged: Vec<u64> = pinged
            .filter(|b| b.missed < stopped)
            .map(|b| b.key)
            .collect();
        for key in pinged {
            self.timers.clear(Timer::Keepalive(key));
            if !interval.is_zero() {
                self.next_keepalive(now, key);
            }
        }
    }

    /// Between three quarters of the interval and all of it: they shall not all come at once.
    fn next_keepalive(&mut self, now: Now, key: u64) {
        let interval = self.config.nat.keepalive;
        let spread = u32::try_from(self.tokens.number() % 256).unwrap_or(0);
        let wait = interval - interval / 4 * spread / 256;
        self.timers.set(Timer::Keepalive(key), now.mono + wait);
    }

    fn forget_binding(&mut self, key: u64) {
        self.timers.clear(Timer::Binding(key));
        self.timers.clear(Timer::Keepalive(key));
        let flow = self.bindings.by_key.remove(&key);
        if let Some(flow) = flow {
            self.bindings.by_flow.remove(&flow);
            self.tell_registered(flow, 0);
        }
        self.outputs.push_back(Output::Journal {
            key,
            body: None,
            cdr: None,
            follower: None,
        });
    }

    /// A connection is gone, and with it what was registered by it (RFC 5626 section 5.3).
    pub(super) fn connection_closed(&mut self, path: Path, peer: SocketAddr) {
        let Path::Stream(listener) = path else {
            return;
        };
        let Some(listener) = self.config.streams.get(usize::from(listener)) else {
            return;
        };
        let local = listener.listen;
        let binding = self.bindings.by_flow.get(&Flow { path, local, peer });
        if let Some(key) = binding.map(|b| b.key) {
            self.counters.add(Counter::BindingsClosed);
            self.forget_binding(key);
        }
    }

    /// The last of a flow's registrations was not refreshed.
    pub(super) fn binding_expired(&mut self, now: Now, key: u64) {
        let until = self.bindings.get_mut(key).map(|b| b.until_ms());
        match until {
            // The wall clock was set back.
            Some(until) if now.wall_ms < until => {
                let left = Duration::from_millis(until - now.wall_ms);
                self.timers.set(Timer::Binding(key), now.mono + left);
            }
            _ => {
                self.counters.add(Counter::BindingsExpired);
                self.forget_binding(key);
            }
        }
    }

    /// It is time for a keepalive.
    pub(super) fn keepalive(&mut self, now: Now, key: u64) {
        let limit = self.config.nat.keepalive_misses;
        // Switched off meanwhile.
        if self.config.nat.keepalive.is_zero() {
            return;
        }
        let Some(binding) = self.bindings.get_mut(key) else {
            return;
        };
        let hop = binding.flow.hop();
        if std::mem::replace(&mut binding.awaited, true) {
            binding.missed += 1;
            let missed = binding.missed;
            self.counters.add(Counter::KeepalivesMissed);
            if missed >= limit {
                return self.counters.add(Counter::KeepalivesStopped);
            }
        }
        let branch = format!("{BRANCH}{key:016x}");
        let bytes = self.own_options(&format!("sip:{}", hop.peer), hop, &branch);
        self.counters.add(Counter::KeepalivesSent);
        self.send(hop, bytes);
        self.next_keepalive(now, key);
    }

    /// Whether a response is that of a user agent to a keepalive.
    pub(super) fn keepalive_answered(&mut self, hop: Hop, message: &Message<'_>) -> bool {
        let key = std::str::from_utf8(message.branch())
            .ok()
            .and_then(|b| b.strip_prefix(BRANCH))
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let Some(binding) = key.and_then(|key| self.bindings.get_mut(key)) else {
            return false;
        };
        if binding.flow != Flow::of(hop) {
            return false;
        }
        if std::mem::take(&mut binding.awaited) {
            binding.missed = 0;
            self.counters.add(Counter::KeepalivesAnswered);
        }
        true
    }

    /// Takes up a binding from the journal. Connections did not survive.
    pub(super) fn restore_binding(&mut self, now: Now, key: u64, binding: Binding) {
        if matches!(binding.flow.path, Path::Stream(_)) {
            self.counters.add(Counter::BindingsClosed);
            return self.forget_binding(key);
        }
        let binding = Binding { key, ..binding };
        let (flow, until_ms, pings) = (binding.flow, binding.until_ms(), binding.pings);
        self.bindings.by_key.insert(key, flow);
        self.bindings.by_flow.insert(flow, binding);
        self.watch_binding(now, key, flow, until_ms, pings);
    }
}

pub(super) fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
