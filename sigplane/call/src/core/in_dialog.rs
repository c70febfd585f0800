//! Requests in dialogs, and their responses.

use std::sync::Arc;

use tandem_policy::EndCause;
use tandem_policy::defence::Sight;
use tandem_transaction::{ClientId, Method, ServerId, ServerKey};

use super::branch::{reason_of, warning};
use super::reply::{Answer, via_block};
use super::request::Arrival;
use super::source::Speaker;
use super::timer::Timer;
use super::{ClientUse, Core};
use crate::body::{Found, find_sdp};
use crate::call::{CancelPlan, Exchange, LateRelay, Relay, RelayKind};
use crate::compose::{self, Body, Onward};
use crate::counters::Counter;
use crate::io::Now;
use crate::media::{Party, Refusal, Session};
use crate::message::{Message, Name, response_hop};
use crate::record::{Hop, Peer};

/// The dialog that a request belongs to, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) key: u64,
    pub(super) from: Party,
    /// The callee's tag.
    pub(super) tag: &'a [u8],
}

/// Why a request belongs to no dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// There is none with these tags on this side.
    NoDialog,
    /// There is one, but not for this sender.
    Stranger,
    /// There is one; whether for this sender cannot be said yet.
    TooEarly,
}

/// Where a request goes on to.
struct Way {
    hop: Hop,
    sender: Peer,
    receiver: Peer,
}

impl Core {
    pub(super) fn in_dialog(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: ServerKey<'_>,
    ) {
        if !self.may_pass(arrival) {
            return;
        }
        let message = arrival.message;
        let kind = RelayKind::of(message.method());
        let place = match self.place(arrival) {
            Ok(place) => Some(place),
            Err(Misplaced::NoDialog) if self.pass_in_dialog(now, arrival, &server_key) => return,
            Err(Misplaced::NoDialog) => None,
            Err(Misplaced::Stranger) => {
                self.saw(arrival.hop, Sight::Failure);
                return self.reply(arrival, &Answer::new(403, "Forbidden"));
            }
            Err(Misplaced::TooEarly) => return,
        };
        let place = place.filter(|p| {
            // What has ended can only be ended again, by both sides at a time.
            kind == RelayKind::Bye
                || self
                    .calls
                    .get(&p.key)
                    .is_some_and(|c| c.record.ending.is_none())
        });
        if let Some(place) = place {
            if self.waits_for_name(now, place, arrival) {
                return;
            }
            self.note_source(place, arrival);
        }
        let way = place.and_then(|p| Some((p, self.way(p)?)));
        let vias = message.list(Name::Via);
        // A registered user agent that does not know of `rport` is where it is all the same.
        let flow = way.as_ref().is_some_and(|(_, way)| way.sender.hop.flow);
        let hop = Hop {
            flow,
            ..arrival.hop
        };
        let back = vias.first().and_then(|via| response_hop(via, hop));
        let (Some((place, way)), Some(back)) = (way, back) else {
            self.counters.add(Counter::NoSuchDialog);
            return self.reply(arrival, &Answer::no_such_dialog());
        };
        let server = self.layer.accept(server_key, back);
        let vias = via_block(&vias, arrival.hop.peer);
        if kind == RelayKind::Invite {
            self.respond(now, server, &vias, message, &Answer::new(100, "Trying"));
        }
        if let Some(answer) = self.glare(place, kind, message) {
            return self.respond(now, server, &vias, message, &answer);
        }
        let mut exchange = Exchange::None;
        let body = match self.request_body(place, kind, &mut exchange, message) {
            Ok(body) => body,
            Err(refusal) => {
                self.counters.add(Counter::OffersRefused);
                let answer = Answer::new(refusal.status, reason_of(&refusal))
                    .with("Warning", &warning(&refusal, arrival.hop));
                return self.respond(now, server, &vias, message, &answer);
            }
        };
        self.note_request(place, kind, message);
        self.counters.add(Counter::InDialog);
        let (client, cancel) = self.pass_on(now, message, kind, &way, &body);
        self.clients.insert(client, ClientUse::Relay(server));
        if kind == RelayKind::Invite {
            // Just before the transaction would time out and forget it: a late answer needs it.
            let silence = self.config.t1.saturating_mul(63);
            self.timers.set(Timer::RelayC(server), now.mono + silence);
        }
        let relay = Relay {
            call: place.key,
            from: place.from,
            tag: place.tag.to_vec(),
            client,
            kind,
            request: message.bytes().into(),
            vias,
            contact: self.contact_for(&way.receiver, way.sender.hop),
            exchange,
            answered: None,
            cancel,
        };
        self.relays.insert(server, Box::new(relay));
        if let Some(call) = self.calls.get_mut(&place.key) {
            call.relays.push(server);
        }
        if kind == RelayKind::Bye {
            self.note_reason(place.key, message);
            self.bye_passed(now, place);
        }
    }

    /// The dialog that a request belongs to, by its tags, the side that it came from, and its
    /// source (see `source`): a tag alone is not enough to speak for the other side. Counts why
    /// there is none, but for a dialog that nobody knows.
    pub(super) fn place<'a>(&mut self, arrival: Arrival<'_, 'a>) -> Result<Place<'a>, Misplaced> {
        let message = arrival.message;
        let side = self.config.side(arrival.hop.path);
        let mut found = Err((Misplaced::NoDialog, None));
        for key in self.keys_of(message.call_id()) {
            let Some(record) = self.calls.get(key).map(|c| &c.record) else {
                continue;
            };
            let (from, tag) = if record.from_tag == message.tag_of_from() {
                (Party::Caller, message.to_tag())
            } else if record.from_tag == message.to_tag() {
                (Party::Callee, message.tag_of_from())
            } else {
                continue;
            };
            let (Some(_), Some(sender)) = (record.dialog(tag), record.end(from, tag)) else {
                continue;
            };
            let key = *key;
            let here = if self.config.side(sender.hop.path) != side {
                Err((Misplaced::NoDialog, Some(Counter::WrongSide)))
            } else {
                match self.speaker(sender, arrival.hop) {
                    Speaker::Entitled => Ok(Place { key, from, tag }),
                    Speaker::Stranger => {
                        Err((Misplaced::Stranger, Some(Counter::InDialogForbidden)))
                    }
                    Speaker::Unknown => Err((Misplaced::TooEarly, Some(Counter::InDialogTooEarly))),
                }
            };
            if found.is_err() {
                found = here;
            }
        }
        found.map_err(|(misplaced, counter)| {
            if let Some(counter) = counter {
                self.counters.add(counter);
            }
            misplaced
        })
    }

    fn way(&self, place: Place<'_>) -> Option<Way> {
        let record = &self.calls.get(&place.key)?.record;
        let sender = record.end(place.from, place.tag)?.clone();
        let receiver = record.end(place.from.other(), place.tag)?.clone();
        Some(Way {
            hop: self.way_to(&receiver),
            sender,
            receiver,
        })
    }

    /// An offer while another one is open (RFC 3261 section 14.2, RFC 3311 section 5.2): the
    /// sessions would be mixed up.
    fn glare(&self, place: Place<'_>, kind: RelayKind, message: &Message<'_>) -> Option<Answer> {
        let refreshes = kind.refreshes_target();
        if !refreshes || find_sdp(message) == Found::None {
            return None;
        }
        let call = self.calls.get(&place.key)?;
        let relays = call.relays.iter().filter_map(|r| self.relays.get(r));
        let setup = call.setup.as_ref().map(|s| s.exchange);
        // An offer in a 2xx, whose ACK was overtaken or is still to come.
        let in_ack = call.record.answer_in_ack;
        let in_ack = in_ack.map(|(_, answerer)| Exchange::Offered(answerer.other()));
        let mut open = setup
            .into_iter()
            .chain(in_ack)
            .chain(relays.map(|r| r.exchange));
        let offerer = open.find_map(|exchange| match exchange {
            Exchange::Offered(party) => Some(party),
            Exchange::None | Exchange::Answered(_) => None,
        })?;
        Some(if offerer == place.from {
            Answer::new(500, "Server Internal Error").with("Retry-After", b"2")
        } else {
            Answer::new(491, "Request Pending")
        })
    }

    fn request_body(
        &mut self,
        place: Place<'_>,
        kind: RelayKind,
        exchange: &mut Exchange,
        message: &Message<'_>,
    ) -> Result<Body, Refusal> {
        if !kind.negotiates() {
            return Ok(match find_sdp(message) {
                Found::None => Body::Same,
                Found::Sdp(_) | Found::Unreadable => {
                    self.counters.add(Counter::BodiesUnreadable);
                    Body::Removed
                }
            });
        }
        let Place { key, from, tag } = place;
        // A reliable provisional response made an offer: PRACK has its answer (RFC 3262 section 5).
        if kind == RelayKind::Prack
            && self
                .invite_exchange(key)
                .is_some_and(|e| *e == Exchange::Offered(from.other()))
        {
            let body = self.anchor_answer(key, from, tag, message)?;
            if matches!(body, Body::Replaced(_))
                && let Some(exchange) = self.invite_exchange(key)
            {
                *exchange = Exchange::Answered(from.other());
            }
            return Ok(body);
        }
        self.anchor_offer(key, exchange, from, tag, message)
    }

    /// The exchange of the call's INVITE that is under way.
    fn invite_exchange(&mut self, key: u64) -> Option<&mut Exchange> {
        let call = self.calls.get_mut(&key)?;
        if let Some(setup) = call.setup.as_mut() {
            return Some(&mut setup.exchange);
        }
        let is_open = |server: &&ServerId| {
            let relay = self.relays.get(server);
            relay.is_some_and(|r| r.kind == RelayKind::Invite && r.answered.is_none())
        };
        let server = call.relays.iter().find(is_open)?;
        self.relays.get_mut(server).map(|relay| &mut relay.exchange)
    }

    /// Keeps what a request says of its sender.
    fn note_request(&mut self, place: Place<'_>, kind: RelayKind, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(&place.key) else {
            return;
        };
        let Some(sender) = call.record.end_mut(place.from, place.tag) else {
            return;
        };
        sender.cseq = sender.cseq.max(message.cseq());
        if kind.refreshes_target()
            && let Some(uri) = message.contact_uri()
        {
            sender.target = uri.to_vec();
        }
        // A BYE's record follows, with the end of the call: see `bye`.
        if kind != RelayKind::Bye {
            self.journal(place.key);
        }
    }

    fn pass_on(
        &mut self,
        now: Now,
        message: &Message<'_>,
        kind: RelayKind,
        way: &Way,
        body: &Body,
    ) -> (ClientId, Option<CancelPlan>) {
        let branch = self.tokens.branch();
        let (uri, routes) = way.receiver.route_set();
        let realms = Arc::clone(&self.realms);
        let onward = Onward {
            edits: [None; 2],
            from: None,
            uri,
            via: &self.via(way.hop, &branch),
            routes: &routes,
            record_route: None,
            contact: &self.contact_for(&way.sender, way.hop),
            realms: &realms,
            body,
        };
        if kind == RelayKind::Invite {
            let (client, plan) = self.send_invite(now, message, &onward, way.hop, &branch);
            return (client, Some(plan));
        }
        let bytes: Arc<[u8]> = compose::onward(message, &onward).into();
        let client = self
            .layer
            .request(now.mono, branch.as_bytes(), Method::Other, way.hop, bytes);
        self.flush();
        (client, None)
    }

    pub(super) fn relay_response(
        &mut self,
        now: Now,
        server: ServerId,
        _hop: Hop,
        message: &Message<'_>,
    ) {
        let code = message.code();
        let Some(relay) = self.relays.get_mut(&server) else {
            return;
        };
        if code < 200 {
            self.relay_provisional(now, server);
            if code == 100 {
                return;
            }
        } else if let Some(bytes) = relay.answered.clone() {
            self.layer.respond(now.mono, server, code, bytes);
            return self.flush();
        } else {
            self.timers.clear(Timer::RelayC(server));
        }
        let Some(relay) = self.relays.get(&server) else {
            return;
        };
        let (key, kind, from) = (relay.call, relay.kind, relay.from);
        let (tag, mut exchange) = (relay.tag.clone(), relay.exchange);
        let mut body = Body::Same;
        if kind.negotiates() && code < 300 {
            match self.anchor_response(key, &mut exchange, from.other(), &tag, message) {
                Ok(anchored) => body = anchored,
                Err(refusal) => {
                    self.counters.add(Counter::AnswersRefused);
                    if code >= 200 {
                        return self.answer_refused(now, server, message, &refusal);
                    }
                    body = Body::Removed;
                }
            }
        }
        if code >= 200 {
            if code < 300 && kind.refreshes_target() {
                self.note_session(now, key, message);
            }
            exchange = self.relay_completed(key, kind, from, &tag, exchange, message);
        }
        let Some(relay) = self.relays.get_mut(&server) else {
            return;
        };
        relay.exchange = exchange;
        let contact = (code < 300).then_some(relay.contact.as_slice());
        let bytes: Arc<[u8]> = compose::back(message, &relay.vias, contact, &body).into();
        if (200..300).contains(&code) {
            relay.answered = Some(bytes.clone());
        }
        let before = self.outputs.len();
        self.layer.respond(now.mono, server, code, bytes);
        self.flush();
        let sent = self.outputs.len() - before;
        if code >= 200 && kind != RelayKind::Invite {
            // The transactions absorb what comes again.
            self.forget_relay(server);
        }
        if kind == RelayKind::Bye && code >= 200 {
            self.bye_answered(now, key, from, &tag, code);
            // Nobody hears that a call is over before the journal knows.
            let new = self.outputs.make_contiguous().get_mut(before..);
            if let Some(new) = new.filter(|new| sent <= new.len()) {
                new.rotate_left(sent);
            }
        }
    }

    fn relay_provisional(&mut self, now: Now, server: ServerId) {
        let Some(mut plan) = self.relays.get_mut(&server).and_then(|r| r.cancel.take()) else {
            return;
        };
        self.may_cancel(now, &mut plan);
        self.timers
            .set(Timer::RelayC(server), now.mono + self.config.timer_c);
        if let Some(relay) = self.relays.get_mut(&server) {
            relay.cancel = Some(plan);
        }
    }

    /// A final response: what it changes in the call. Returns what is left of the exchange.
    fn relay_completed(
        &mut self,
        key: u64,
        kind: RelayKind,
        from: Party,
        tag: &[u8],
        exchange: Exchange,
        message: &Message<'_>,
    ) -> Exchange {
        let success = message.code() < 300;
        if success && kind.refreshes_target() {
            let responder = self
                .calls
                .get_mut(&key)
                .and_then(|call| call.record.end_mut(from.other(), tag));
            if let (Some(responder), Some(uri)) = (responder, message.contact_uri()) {
                responder.target = uri.to_vec();
            }
        }
        match exchange {
            Exchange::None => {}
            // An offer in the 2xx: its answer comes in the ACK.
            Exchange::Offered(party) if success && party != from => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.record.answer_in_ack = Some((message.cseq(), from));
                }
            }
            Exchange::Answered(_) if success => self.settle_if_answered(key),
            Exchange::Offered(_) | Exchange::Answered(_) => {
                self.with_media(key, Session::reject_offer);
            }
        }
        let alive = self
            .calls
            .get(&key)
            .is_some_and(|c| c.record.ending.is_none());
        if alive && (exchange != Exchange::None || (success && kind.refreshes_target())) {
            self.journal(key);
        }
        Exchange::None
    }

    /// The answer to an offer in a dialog cannot be anchored: the sides have different sessions
    /// in mind now, so the call ends.
    fn answer_refused(
        &mut self,
        now: Now,
        server: ServerId,
        message: &Message<'_>,
        refusal: &Refusal,
    ) {
        let Some(relay) = self.relays.get_mut(&server) else {
            return;
        };
        relay.exchange = Exchange::None;
        let (key, kind, from) = (relay.call, relay.kind, relay.from);
        let (tag, vias, request) = (relay.tag.clone(), relay.vias.clone(), relay.request.clone());
        if kind == RelayKind::Invite {
            let responder = self
                .calls
                .get(&key)
                .and_then(|c| c.record.end(from.other(), &tag))
                .cloned();
            if let Some(responder) = responder {
                self.own_ack(
                    &responder,
                    message.value_of_from(),
                    message.to_value(),
                    message.call_id(),
                    message.cseq(),
                );
            }
        }
        if let Ok(request) = Message::read(&request) {
            let answer = Answer::new(refusal.status, reason_of(refusal));
            self.respond(now, server, &vias, &request, &answer);
        }
        self.hang_up(now, key, EndCause::Local);
    }

    /// The other side does not answer a request in a dialog.
    pub(super) fn relay_failed(&mut self, now: Now, server: ServerId) {
        self.counters.add(Counter::InDialogTimeouts);
        self.timers.clear(Timer::RelayC(server));
        let Some(relay) = self.relays.get_mut(&server) else {
            return;
        };
        let exchange = std::mem::replace(&mut relay.exchange, Exchange::None);
        let (key, kind, from) = (relay.call, relay.kind, relay.from);
        let (tag, vias, request) = (relay.tag.clone(), relay.vias.clone(), relay.request.clone());
        if exchange.is_open() {
            self.with_media(key, Session::reject_offer);
            if self
                .calls
                .get(&key)
                .is_some_and(|c| c.record.ending.is_none())
            {
                self.journal(key);
            }
        }
        if let Ok(request) = Message::read(&request) {
            let answer = Answer::new(408, "Request Timeout");
            self.respond(now, server, &vias, &request, &answer);
        }
        if kind == RelayKind::Bye {
            self.bye_answered(now, key, from, &tag, 408);
        }
    }

    /// A re-INVITE is not answered, or rings for too long (timer C): its sender gets 408. An answer that comes yet is not lost: see
    /// `late_relay_response`.
    pub(super) fn relay_rang_out(&mut self, now: Now, server: ServerId) {
        let Some(relay) = self.relays.get_mut(&server) else {
            return;
        };
        let (client, call) = (relay.client, relay.call);
        let (asked, tag) = (relay.from.other(), relay.tag.clone());
        let plan = relay.cancel.take();
        let responder = self
            .calls
            .get(&call)
            .and_then(|c| c.record.end(asked, &tag))
            .cloned();
        self.layer.give_up(now.mono, client);
        self.clients.insert(client, ClientUse::LateRelay);
        if let (Some(mut cancel), Some(responder)) = (plan, responder) {
            self.want_cancel(now, &mut cancel);
            let late = LateRelay {
                call,
                responder,
                cancel,
            };
            self.late_relays.insert(client, Box::new(late));
        }
        self.relay_failed(now, server);
    }
}
