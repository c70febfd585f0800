//! A new call: who calls, who may, and where to.

use std::collections::VecDeque;

use tandem_sip::shard;
use tandem_transaction::ServerKey;

use super::Core;
use super::authenticate::Asker;
use super::dialog::{alias, foreign};
use super::registrar::{Whereabouts, aor_of, host_of};
use super::reply::{Answer, via_block};
use super::request::Arrival;
use super::routes::Route;
use crate::call::{Call, Candidate, Exchange, Setup};
use crate::config::Side;
use crate::counters::Counter;
use crate::io::Now;
use crate::message::{Name, response_hop};
use crate::record::{Account, Direction, Hop, Peer, Record};
use tandem_policy::defence::Sight;
use tandem_policy::{CdrMedia, EndCause};

/// Where a caller's calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) direction: Direction,
    /// The dispatcher set.
    pub(super) set: u32,
    /// Whether the caller is a registered user agent.
    pub(super) registered: bool,
    /// Whether it has to say who it is first.
    pub(super) asked: bool,
}

impl Decision {
    /// That of a REGISTER for the registrars in this set.
    pub(super) const fn register(set: u32) -> Self {
        Self {
            direction: Direction::Inbound,
            set,
            registered: true,
            asked: false,
        }
    }

    /// A request, and how its sender is reached from now on.
    pub(super) const fn arrival<'m, 'a>(&self, arrival: Arrival<'m, 'a>) -> Arrival<'m, 'a> {
        let hop = Hop {
            flow: self.registered,
            ..arrival.hop
        };
        Arrival { hop, ..arrival }
    }
}

impl Core {
    pub(super) fn invite(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: ServerKey<'_>,
        bytes: &[u8],
    ) {
        if !self.may_pass(arrival) {
            return;
        }
        let message = arrival.message;
        if !self.has_tables {
            return self.too_early(now, arrival, server_key);
        }
        let Some(decision) = self.decide(now, arrival) else {
            self.counters.add(Counter::Forbidden);
            self.saw(arrival.hop, Sight::Failure);
            return self.reply(arrival, &Answer::new(403, "Forbidden"));
        };
        // Before a nonce is spent on it.
        if self.leave_for_later(now, arrival.hop.path) {
            return;
        }
        let arrival = decision.arrival(arrival);
        if let Err(answer) = self.admit_user(now, arrival, decision) {
            return self.reply(arrival, &answer);
        }
        let mut ruled = self.ask_rules(arrival, decision);
        let agents = match self.agents(now, arrival) {
            Ok(Some(agents)) => agents,
            Ok(None) => return,
            Err(answer) => return self.reply(arrival, &answer),
        };
        let route = if agents.is_empty() {
            self.route(arrival, decision, &mut ruled)
        } else {
            Self::refused_by_rule(&ruled).map_or_else(|| Ok(Route::default()), Err)
        };
        if self.is_merged(arrival) {
            self.counters.add(Counter::LoopDetected);
            return self.reply(arrival, &Answer::new(482, "Loop Detected"));
        }
        let vias = message.list(Name::Via);
        let Some(back) = vias.first().and_then(|via| response_hop(via, arrival.hop)) else {
            return;
        };
        self.note_rules(&ruled);
        let server = self.layer.accept(server_key, back);
        let vias = via_block(&vias, arrival.hop.peer);
        self.respond(now, server, &vias, message, &Answer::new(100, "Trying"));

        let resumed = self.resume(message);
        let (key, earlier) = match resumed {
            Some((key, record)) => (key, Some(record)),
            None => (self.new_key(now, shard(message.call_id())), None),
        };
        let mut head = vias.clone();
        for route in std::iter::once(self.record_route(arrival.hop).as_slice())
            .chain(message.list(Name::RecordRoute))
        {
            head.extend_from_slice(b"Record-Route: ");
            head.extend_from_slice(route);
            head.extend_from_slice(b"\r\n");
        }
        let setup = Setup {
            server,
            invite: bytes.into(),
            vias,
            head,
            user: None,
            edits: std::mem::take(&mut ruled.edits),
            carriers: VecDeque::new(),
            trunk: None,
            sets: VecDeque::new(),
            branches: Vec::new(),
            best: None,
            redirected: Vec::new(),
            cancelled: false,
            begun: now.mono.saturating_sub(arrival.waited),
            rang: false,
            exchange: Exchange::None,
        };
        let mut record = self.record(now, key, decision.direction, arrival);
        record.tenant.clone_from(&ruled.tenant);
        record.trunk.clone_from(&ruled.source_trunk);
        let call = Call {
            record: record.resuming(earlier),
            setup: Some(setup),
            accepted: None,
            acks: Vec::new(),
            counted: None,
            bye: None,
            relays: Vec::new(),
            awaiting: std::collections::BTreeSet::new(),
        };
        let over_limit = self.calls.len() >= self.config.max_calls;
        self.calls.insert(key, call);
        self.setups.insert(server, key);
        self.counters.add(Counter::Calls);
        self.counters.add(match decision.direction {
            Direction::Inbound => Counter::CallsInbound,
            Direction::Outbound => Counter::CallsOutbound,
        });
        self.journal(key);

        let refusal = if over_limit {
            Some(Counter::CallsOverLimit)
        } else if !self.link.is_ready() {
            Some(Counter::CallsNoDataplane)
        } else {
            let limits = self.own_limits(&ruled);
            route
                .as_ref()
                .ok()
                .and_then(|_| self.admit(now, key, message, limits).err())
        };
        if let Some(counter) = refusal {
            self.counters.add(counter);
            let answer = Answer::unavailable().with("Retry-After", b"5");
            return self.reject(now, key, &answer, EndCause::Local);
        }
        let Route {
            sets,
            carriers,
            user,
        } = match route {
            Ok(route) => route,
            Err(no) => {
                self.counters.add(no.counter);
                return self.reject(now, key, &no.answer, no.cause);
            }
        };
        let sets = if agents.is_empty() {
            let candidates = self.first_candidates(now, &sets, arrival);
            candidates.into_iter().map(|c| vec![c]).collect()
        } else {
            agents.into()
        };
        if let Some(setup) = self.setup_mut(key) {
            setup.sets = sets;
            setup.carriers = carriers;
            setup.user = user;
        }
        self.next_set_for(now, key, message);
    }

    /// What becomes of a call from there; none when its sender may not call.
    pub(super) fn decide(&self, now: Now, arrival: Arrival<'_, '_>) -> Option<Decision> {
        let hop = arrival.hop;
        let routing = &self.config.routing;
        let side = self.config.side(hop.path)?;
        if !self.may_call(side, hop) {
            let message = arrival.message;
            let from = self.own_domain(message.uri_of_from());
            if side == Side::External && from.is_some() {
                return Some(Decision {
                    direction: Direction::Inbound,
                    set: self.inner_set_for(message.uri()),
                    registered: true,
                    asked: true,
                });
            }
            let set = routing.registrar_set?;
            return self.is_registered(now, hop).then_some(Decision {
                direction: Direction::Inbound,
                set,
                registered: true,
                asked: false,
            });
        }
        let (direction, set) = match side {
            Side::External => {
                let set = self.inner_set_for(arrival.message.uri());
                (Direction::Inbound, set)
            }
            Side::Internal => (Direction::Outbound, routing.trunk_set),
        };
        Some(Decision {
            direction,
            set,
            registered: false,
            asked: false,
        })
    }

    /// Whether a user agent that has to say who it is has done so, and is who it says in From.
    ///
    /// # Errors
    /// What it is answered with.
    pub(super) fn admit_user(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        decision: Decision,
    ) -> Result<(), Answer> {
        if decision.asked {
            let from = arrival.message.uri_of_from();
            let realm = host_of(from).unwrap_or_default();
            let user = self.authenticate(now, arrival, &realm, Asker::Proxy)?;
            if aor_of(from) != Some([user.as_slice(), b"@", &realm].concat()) {
                self.counters.add(Counter::AuthOtherUser);
                self.saw(arrival.hop, Sight::Failure);
                return Err(Answer::new(403, "From Is Another User"));
            }
        }
        if decision.registered {
            self.counters.add(Counter::FromRegistered);
        }
        Ok(())
    }

    /// The user agents that a request from the inside is for, in sets; none of them, if it is for no user agent. Nothing if
    /// that is not known yet: the request comes again.
    ///
    /// # Errors
    /// What it is answered with.
    pub(super) fn agents(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
    ) -> Result<Option<Vec<Vec<Candidate>>>, Answer> {
        if let Some(agent) = self.flow_route(arrival)? {
            return Ok(Some(vec![vec![agent]]));
        }
        match self.whereabouts(now, arrival) {
            None => Ok(Some(Vec::new())),
            Some(Whereabouts::Here(sets)) => {
                self.counters.add(Counter::ToUsers);
                Ok(Some(sets))
            }
            Some(Whereabouts::Asked) => Ok(None),
            Some(Whereabouts::Nowhere) => Err(self.not_there(true)),
            Some(Whereabouts::Unknown) => Err(self.not_there(false)),
        }
    }

    /// Whether this very request is being served already, but came on another way (RFC 3261
    /// section 8.2.2.2): it has looped, or was forked and merged. A call from a registered user agent that
    /// the registrar sends on to another one is a spiral: it comes from the other side.
    fn is_merged(&self, arrival: Arrival<'_, '_>) -> bool {
        let message = arrival.message;
        let side = self.config.side(arrival.hop.path);
        self.keys_of(message.call_id())
            .iter()
            .filter_map(|k| self.calls.get(k))
            .any(|call| {
                call.setup.is_some()
                    && self.config.side(call.record.caller.hop.path) == side
                    && call.record.from_tag == message.tag_of_from()
                    && call.record.caller.cseq == message.cseq()
            })
    }

    /// The calls with this Call-ID.
    pub(super) fn keys_of(&self, call_id: &[u8]) -> &[u64] {
        self.calls.with_call_id(call_id)
    }

    fn record(&self, now: Now, key: u64, direction: Direction, arrival: Arrival<'_, '_>) -> Record {
        let message = arrival.message;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let target = message.contact_uri().map_or_else(
            || format!("sip:{}", arrival.hop.peer).into_bytes(),
            <[u8]>::to_vec,
        );
        Record {
            direction,
            call_id: message.call_id().to_vec(),
            from_tag: message.tag_of_from().to_vec(),
            from: message.value_of_from().to_vec(),
            from_uri: text(message.uri_of_from()),
            to_uri: text(message.to_uri()),
            request_uri: text(message.uri()),
            source: arrival.hop.peer,
            target: None,
            destination: String::new(),
            caller: Peer {
                hop: arrival.hop,
                alias: alias(key, &target),
                target,
                routes: foreign(&self.config, &message.list(Name::RecordRoute)),
                cseq: message.cseq(),
            },
            dialogs: Vec::new(),
            confirmed: None,
            answer_in_ack: None,
            start_ms: now.wall_ms,
            answer_ms: None,
            sip_code: 0,
            sip_reason: String::new(),
            ending: None,
            session: None,
            media: None,
            admitted: Vec::new(),
            shown_from: None,
            caller_media: CdrMedia::default(),
            callee_media: CdrMedia::default(),
            caller_quality: tandem_policy::CdrQuality::default(),
            callee_quality: tandem_policy::CdrQuality::default(),
            tenant: String::new(),
            trunk: String::new(),
            account: Account::default(),
        }
    }

    pub(super) fn setup_mut(&mut self, key: u64) -> Option<&mut Setup> {
        self.calls.get_mut(&key)?.setup.as_mut()
    }
}
