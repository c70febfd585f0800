//! Requests outside of calls that are for the other side: MESSAGE, OPTIONS to a user, INFO, PUBLISH,
//! and methods that nobody has heard of. Each is a transaction and nothing more (RFC 3261 section 16).

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_policy::defence::Sight;
use tandem_transaction::{ClientId, Method, ServerId, ServerKey};

use super::edge;
use super::invite::Decision;
use super::reply::{Answer, via_block};
use super::request::Arrival;
use super::routes::{NoRoute, Ruled};
use super::timer::Timer;
use super::{ClientUse, Core, Failure};
use crate::call::Candidate;
use crate::compose::{self, Body, Onward};
use crate::config::Side;
use crate::counters::Counter;
use crate::edits::Edits;
use crate::io::Now;
use crate::message::{Message, Name, response_hop};
use crate::record::Hop;

/// A request on its way to the other side.
#[derive(Debug)]
pub(super) struct Passage {
    /// As it came.
    pub(super) request: Arc<[u8]>,
    pub(super) came: Hop,
    /// Its Via headers, for responses.
    pub(super) vias: Vec<u8>,
    /// Where it is now.
    client: ClientId,
    candidate: Candidate,
    /// Where it may go yet.
    rest: VecDeque<Candidate>,
    edits: Edits,
}

/// How a request came, and where it may go.
struct Way {
    came: Hop,
    vias: Vec<u8>,
    rest: VecDeque<Candidate>,
    edits: Edits,
}

impl Core {
    /// A new request for the other side.
    pub(super) fn pass(&mut self, now: Now, arrival: Arrival<'_, '_>, server_key: ServerKey<'_>) {
        if !self.may_pass(arrival) {
            return;
        }
        if !self.has_tables {
            return self.too_early(now, arrival, server_key);
        }
        let Some(decision) = self.decide(now, arrival) else {
            self.counters.add(Counter::Forbidden);
            self.saw(arrival.hop, Sight::Failure);
            return self.reply(arrival, &Answer::new(403, "Forbidden"));
        };
        let arrival = decision.arrival(arrival);
        if let Err(answer) = self.admit_user(now, arrival, decision) {
            return self.reply(arrival, &answer);
        }
        let mut ruled = self.ask_rules(arrival, decision);
        if let Some(no) = Self::refused_by_rule(&ruled) {
            self.note_rules(&ruled);
            self.counters.add(no.counter);
            return self.reply(arrival, &no.answer);
        }
        let candidates = match self.agents(now, arrival) {
            Ok(Some(agents)) if agents.is_empty() => {
                match self.passage_candidates(now, arrival, decision, &mut ruled) {
                    Ok(candidates) => candidates,
                    Err(no) => {
                        self.counters.add(no.counter);
                        return self.reply(arrival, &no.answer);
                    }
                }
            }
            // A request that is no INVITE is not forked: the first one that there is has it.
            Ok(Some(agents)) => agents.into_iter().flatten().take(1).collect(),
            Ok(None) => return,
            Err(answer) => return self.reply(arrival, &answer),
        };
        self.note_rules(&ruled);
        self.begin_passage(now, arrival, server_key, candidates, ruled.edits);
    }

    /// Whom a request that is no INVITE goes to: by the rules as a call does, else to the usual set of its sender's. Of
    /// carriers it is the first one that is there: limits and numbers of trunks are for calls.
    fn passage_candidates(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        decision: Decision,
        ruled: &mut Ruled,
    ) -> Result<VecDeque<Candidate>, NoRoute> {
        if !ruled.has_way() {
            return Ok(self.candidates(now, decision.set, arrival));
        }
        let route = self.route(arrival, decision, ruled)?;
        let carriers = route.carriers.iter().map(|trunk| trunk.set);
        let sets: Vec<u32> = route.sets.iter().copied().chain(carriers).collect();
        Ok(self.first_candidates(now, &sets, arrival))
    }

    pub(super) fn begin_passage(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: ServerKey<'_>,
        candidates: VecDeque<Candidate>,
        edits: Edits,
    ) {
        let message = arrival.message;
        let vias = message.list(Name::Via);
        let Some(back) = vias.first().and_then(|via| response_hop(via, arrival.hop)) else {
            return;
        };
        let server = self.layer.accept(server_key, back);
        self.counters.add(Counter::Passages);
        let vias = via_block(&vias, arrival.hop.peer);
        let way = Way {
            came: arrival.hop,
            vias,
            rest: candidates,
            edits,
        };
        self.next_passage(now, server, message, way);
    }

    /// Sends it to the next candidate, or answers it when none is left.
    fn next_passage(&mut self, now: Now, server: ServerId, message: &Message<'_>, way: Way) {
        let Way {
            came,
            vias,
            mut rest,
            edits,
        } = way;
        let side = self.config.side(came.path).map(Side::other);
        while let (Some(side), Some(candidate)) = (side, rest.pop_front()) {
            let Some(hop) = self.hop_of(&candidate, side) else {
                self.counters.add(Counter::TargetsWithoutWay);
                continue;
            };
            let uri = self.uri_for(&candidate, came, message.uri());
            let branch = self.tokens.branch();
            let via = self.via(hop, &branch);
            let bytes: Arc<[u8]> = if message.method() == b"REGISTER" {
                let head = self.register_head(message, came, hop);
                compose::register(message, &uri, &via, &head).into()
            } else {
                let realms = Arc::clone(&self.realms);
                let onward = Onward {
                    edits: [Some(&edits), None],
                    from: None,
                    uri: &uri,
                    via: &via,
                    routes: candidate.routes(),
                    record_route: None,
                    contact: &self.standing_contact(message, came, hop),
                    realms: &realms,
                    body: &Body::Same,
                };
                compose::onward(message, &onward).into()
            };
            let client = self
                .layer
                .request(now.mono, branch.as_bytes(), Method::Other, hop, bytes);
            self.flush();
            self.clients.insert(client, ClientUse::Passage(server));
            if !rest.is_empty() {
                let patience = self.config.dispatcher.first_response;
                self.timers.set(Timer::Passage(server), now.mono + patience);
            }
            let passage = Passage {
                request: message.bytes().into(),
                came,
                vias,
                client,
                candidate,
                rest,
                edits,
            };
            self.passages.insert(server, passage);
            return;
        }
        self.counters.add(Counter::PassagesNoTarget);
        self.respond(now, server, &vias, message, &Answer::unavailable());
    }

    pub(super) fn passage_response(&mut self, now: Now, server: ServerId, message: &Message<'_>) {
        let code = message.code();
        self.timers.clear(Timer::Passage(server));
        // 100 is from hop to hop.
        if code == 100 {
            return;
        }
        let Some(passage) = self.passages.get(&server) else {
            return;
        };
        if matches!(code, 408 | 503) && passage.candidate.target().is_some() {
            self.passage_failed_at(now, server, false);
            if self
                .passages
                .get(&server)
                .is_some_and(|p| !p.rest.is_empty())
            {
                self.counters.add(Counter::FailoverResponse);
                return self.passage_goes_on(now, server);
            }
        }
        let Some(passage) = self.passages.get(&server) else {
            return;
        };
        if message.cseq_method() == b"REGISTER" {
            return self.register_response(now, server, message);
        }
        let came = passage.came;
        let side = self.config.side(came.path).map(Side::other);
        let from = side.and_then(|side| self.hop_of(&passage.candidate, side));
        let contact = self.standing_contact(message, from.unwrap_or(came), came);
        // Contacts of a redirection would show one side to the other.
        let contact = (code < 300).then_some(contact.as_slice());
        let mut bytes = compose::back(message, &passage.vias, contact, &Body::Same);
        if self.config.side(passage.came.path) == Some(Side::Internal)
            && self.hides(Side::External).is_some()
            && let Ok(request) = Message::read(&passage.request)
        {
            bytes = edge::as_asked(&request, bytes);
        }
        self.layer.respond(now.mono, server, code, bytes.into());
        self.flush();
    }

    /// Its target does not answer. When no other is left, nothing is said: by now its sender has given
    /// up, and a late 408 would only come in the way of others' answers (RFC 4320 section 4.2).
    pub(super) fn passage_failed(
        &mut self,
        now: Now,
        server: ServerId,
        client: ClientId,
        failure: Failure,
    ) {
        if self
            .passages
            .get(&server)
            .is_none_or(|p| p.client != client)
        {
            return;
        }
        let is_agent = |p: &Passage| matches!(p.candidate, Candidate::Flow { .. });
        if self.passages.get(&server).is_some_and(is_agent) {
            return self.agent_failed(now, server, failure);
        }
        self.passage_failed_at(now, server, failure == Failure::Silence);
        self.counters.add(match failure {
            Failure::Silence => Counter::FailoverSilence,
            Failure::Unreachable => Counter::FailoverUnreachable,
        });
        let is_last = self.passages.get(&server).is_none_or(|p| p.rest.is_empty());
        if !is_last || failure == Failure::Unreachable {
            self.passage_goes_on(now, server);
        } else {
            self.layer.forget(server);
        }
    }

    /// The user agent that it is for is not reached.
    fn agent_failed(&mut self, now: Now, server: ServerId, failure: Failure) {
        let Some(passage) = self.passages.remove(&server) else {
            return;
        };
        let is_flow = matches!(&passage.candidate, Candidate::Flow { hop, .. } if hop.flow);
        let answer = if is_flow {
            self.flow_failed(failure)
        } else {
            Answer::unavailable()
        };
        self.clients.remove(&passage.client);
        match (failure, Message::read(&passage.request)) {
            (Failure::Unreachable, Ok(message)) => {
                self.respond(now, server, &passage.vias, &message, &answer);
            }
            _ => self.layer.forget(server),
        }
    }

    /// The server that it is at failed.
    fn passage_failed_at(&mut self, now: Now, server: ServerId, silent: bool) {
        if let Some(passage) = self.passages.get(&server) {
            let candidate = passage.candidate.clone();
            let others = passage
                .rest
                .iter()
                .any(|c| c.target() == candidate.target());
            self.server_failed(now, &candidate, others, silent);
        }
    }

    /// The target has been silent for too long, and there are others.
    pub(super) fn passage_silent(&mut self, now: Now, server: ServerId) {
        if let Some(client) = self.passages.get(&server).map(|p| p.client) {
            self.passage_failed(now, server, client, Failure::Silence);
        }
    }

    fn passage_goes_on(&mut self, now: Now, server: ServerId) {
        let Some(passage) = self.passages.remove(&server) else {
            return;
        };
        self.clients.remove(&passage.client);
        if let Ok(message) = Message::read(&passage.request) {
            let Passage {
                came,
                vias,
                rest,
                edits,
                ..
            } = passage;
            let way = Way {
                came,
                vias,
                rest,
                edits,
            };
            self.next_passage(now, server, &message, way);
        }
    }
}
