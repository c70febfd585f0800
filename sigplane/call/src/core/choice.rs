//! Which targets a request tries, which sets there are on each side, and what the administrator and the other workers say
//! of targets.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tandem_policy::{Draw, Field, TargetState};
use tandem_sip::{Host, Uri};

use super::Core;
use super::request::Arrival;
use super::share::Item;
use super::timer::Timer;
use crate::call::Candidate;
use crate::config::Side;
use crate::counters::Counter;
use crate::io::{Now, Output};
use crate::journal::{self, HeldTarget};
use crate::message::{Message, Name, auth_user};

/// How long changes of targets' loads gather before the other workers are told.
const GATHER: Duration = Duration::from_millis(100);

/// What the administrator said of targets, and what the other workers do not know yet.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The journal's keys of states that last.
    kept: std::collections::BTreeMap<(u32, String), u64>,
    /// Targets whose load has changed.
    changed: BTreeSet<i64>,
}

impl Core {
    /// The servers of the targets that a request for this set tries, in their order.
    pub(super) fn candidates(
        &mut self,
        now: Now,
        set: u32,
        arrival: Arrival<'_, '_>,
    ) -> VecDeque<Candidate> {
        let message = arrival.message;
        let draw = Draw {
            call_id: message.call_id(),
            random: self.tokens.number(),
        };
        let source = arrival.hop.peer.ip();
        let order = self
            .dispatcher
            .order(set, draw, |field| says(message, source, field));
        let mut candidates = VecDeque::new();
        for id in order {
            let servers = self.servers_of(now, id, message.call_id());
            if servers.is_empty() {
                self.counters.add(Counter::TargetsUnlocated);
            }
            let candidate = |server| Candidate::Target { id, server };
            candidates.extend(servers.into_iter().map(candidate));
        }
        candidates
    }

    /// The same of the first of these sets that has targets which take calls.
    pub(super) fn first_candidates(
        &mut self,
        now: Now,
        sets: &[u32],
        arrival: Arrival<'_, '_>,
    ) -> VecDeque<Candidate> {
        for set in sets {
            let candidates = self.candidates(now, *set, arrival);
            if !candidates.is_empty() {
                return candidates;
            }
        }
        VecDeque::new()
    }

    /// The sets inside: of the media servers, the conferences and the registrars, with their fallbacks.
    pub(super) fn inner_sets(&self) -> impl Iterator<Item = u32> + '_ {
        let routing = &self.config.routing;
        let conference = routing.conference.as_ref().map(|c| c.set);
        let sets = std::iter::once(routing.pool_set)
            .chain(routing.registrar_set)
            .chain(conference)
            .chain(self.dids.sets())
            .chain(routing.plan.inner_sets());
        sets.flat_map(|set| self.dispatcher.reachable(set))
    }

    /// The sets outside: of the trunks, with their fallbacks.
    pub(super) fn outer_sets(&self) -> impl Iterator<Item = u32> + '_ {
        let routing = &self.config.routing;
        let sets = std::iter::once(routing.trunk_set).chain(routing.plan.outer_sets());
        sets.flat_map(|set| self.dispatcher.reachable(set))
    }

    /// The sets that are routed to on each side, each once.
    pub(super) fn routed_sets(&self) -> BTreeSet<(u32, bool)> {
        let inner = self.inner_sets().map(|set| (set, true));
        inner
            .chain(self.outer_sets().map(|set| (set, false)))
            .collect()
    }

    /// Whether this is the address of a target on this side.
    pub(super) fn is_target(&self, side: Side, ip: IpAddr) -> bool {
        self.neighbours.is_target(side, ip.to_canonical())
    }

    /// The set inside for a request to this user.
    pub(super) fn inner_set_for(&self, uri: &[u8]) -> u32 {
        let routing = &self.config.routing;
        let user = Uri::parse(uri).map(|u| u.user).unwrap_or_default();
        let conference = routing.conference.as_ref().filter(|conference| {
            let begins = user.get(..conference.prefix.len());
            begins.is_some_and(|b| b.eq_ignore_ascii_case(conference.prefix.as_bytes()))
        });
        conference.map_or(routing.pool_set, |conference| conference.set)
    }

    /// A call was given to a target.
    pub(super) fn call_begins(&mut self, now: Now, target: i64) {
        self.dispatcher.call_begins(target);
        self.load_changed(now, target);
    }

    /// A call of a target's ended, or went to another one.
    pub(super) fn call_ends(&mut self, now: Now, target: i64) {
        self.dispatcher.call_ends(target);
        self.load_changed(now, target);
    }

    fn load_changed(&mut self, now: Now, target: i64) {
        if self.config.share.is_all() {
            return;
        }
        self.choice.changed.insert(target);
        if !self.timers.is_set(Timer::Loads) {
            self.timers.set(Timer::Loads, now.mono + GATHER);
        }
    }

    /// The others are told how many calls our targets have.
    pub(super) fn tell_loads(&mut self) {
        let worker = self.config.share.worker;
        for target in std::mem::take(&mut self.choice.changed) {
            let calls = self.dispatcher.target(target).map_or(0, |t| t.calls);
            self.tell(Item::Load {
                worker,
                target,
                calls,
            });
        }
    }

    /// The administrator sets the state of a target, by its row's id; every worker is to be told by the shell. Disabled and
    /// draining last until another word, here or in the row's flags. Whether there is such a target.
    pub fn set_target_state(&mut self, now: Now, id: i64, state: TargetState) -> bool {
        if !self.dispatcher.set_state(id, state) {
            return false;
        }
        self.counters.add(Counter::TargetsSet);
        self.keep_held(now);
        self.schedule_probes(now);
        true
    }

    /// Brings the journal in line with what the administrator said. One worker has it.
    pub(super) fn keep_held(&mut self, now: Now) {
        if self.config.share.worker != 0 {
            return;
        }
        let held = self.dispatcher.held().clone();
        let over: Vec<_> = self
            .choice
            .kept
            .keys()
            .filter(|place| !held.contains_key(place))
            .cloned()
            .collect();
        for place in over {
            if let Some(key) = self.choice.kept.remove(&place) {
                self.outputs.push_back(Output::Journal {
                    key,
                    body: None,
                    cdr: None,
                    follower: None,
                });
            }
        }
        for ((set, destination), state) in held {
            let place = (set, destination.clone());
            let key = match self.choice.kept.get(&place) {
                Some(key) => *key,
                // This shard is the first worker's, however many there are.
                None => self.new_key(now, 0),
            };
            self.choice.kept.insert(place, key);
            let body = journal::encode_held(&HeldTarget {
                set,
                destination,
                draining: state == TargetState::Draining,
            });
            self.outputs.push_back(Output::Journal {
                key,
                body: Some(body),
                cdr: None,
                follower: None,
            });
        }
    }

    /// Takes up what the administrator said in a life before.
    pub(super) fn restore_held(&mut self, key: u64, held: HeldTarget) {
        let place = (held.set, held.destination.clone());
        self.choice.kept.insert(place, key);
        self.hold(&held);
        self.tell(Item::Held(held));
    }

    /// What the administrator said of a target, or of one that will be there.
    pub(super) fn hold(&mut self, held: &HeldTarget) {
        let state = if held.draining {
            TargetState::Draining
        } else {
            TargetState::Disabled
        };
        self.dispatcher
            .hold((held.set, held.destination.clone()), state);
    }
}

/// What a request says.
pub(super) fn says(message: &Message<'_>, source: IpAddr, field: &Field) -> Vec<u8> {
    let user = |uri: &[u8]| Uri::parse(uri).map(|u| u.user.to_vec()).unwrap_or_default();
    let host = |uri: &[u8]| match Uri::parse(uri).and_then(|u| u.host) {
        Some(Host::Name(name)) => name.to_ascii_lowercase(),
        Some(Host::Address(ip)) => ip.to_string().into_bytes(),
        None => Vec::new(),
    };
    let first = |name| message.first(name).unwrap_or_default().to_vec();
    match field {
        Field::CallId => message.call_id().to_vec(),
        Field::FromUri => message.uri_of_from().to_vec(),
        Field::FromUser => user(message.uri_of_from()),
        Field::FromHost => host(message.uri_of_from()),
        Field::ToUri => message.to_uri().to_vec(),
        Field::ToUser => user(message.to_uri()),
        Field::ToHost => host(message.to_uri()),
        Field::RequestUri => message.uri().to_vec(),
        Field::RequestUser => user(message.uri()),
        Field::RequestHost => host(message.uri()),
        Field::AuthUser => message
            .first(Name::ProxyAuthorization)
            .or_else(|| message.first(Name::Authorization))
            .and_then(auth_user)
            .unwrap_or_default(),
        Field::SourceAddress => source.to_string().into_bytes(),
        Field::UserAgent => first(Name::UserAgent),
        Field::Header(wanted) => message
            .fields()
            .find(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
            .map(|(_, _, value)| value.to_vec())
            .unwrap_or_default(),
    }
}
