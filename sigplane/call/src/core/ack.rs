//! ACK of a 2xx: end to end, without a transaction (RFC 3261 section 13.2.2.4).

use std::sync::Arc;
use tandem_policy::EndCause;

use super::Core;
use super::in_dialog::{Misplaced, Place};
use super::request::Arrival;
use crate::body::{Found, find_sdp};
use crate::call::PassedAck;
use crate::compose::{self, Body, Onward};
use crate::counters::Counter;
use crate::io::Now;
use crate::media::Party;
use crate::message::Message;

impl Core {
    pub(super) fn ack(&mut self, now: Now, arrival: Arrival<'_, '_>) {
        let message = arrival.message;
        if message.max_forwards() == Some(0) {
            return self.counters.add(Counter::TooManyHops);
        }
        let place = match self.place(arrival) {
            Ok(place) => place,
            Err(Misplaced::NoDialog) => return self.counters.add(Counter::AcksUnmatched),
            Err(Misplaced::Stranger | Misplaced::TooEarly) => return,
        };
        if self.note_source(place, arrival) && self.is_going_on(place.key) {
            self.journal(place.key);
        }
        if self.ack_again(place, message) || self.waits_for_name(now, place, arrival) {
            return;
        }
        let (body, refused) = self.ack_body(place, message);
        let Some(record) = self.calls.get(&place.key).map(|c| &c.record) else {
            return;
        };
        let sender = record.end(place.from, place.tag);
        let receiver = record.end(place.from.other(), place.tag);
        let (Some(sender), Some(receiver)) = (sender, receiver) else {
            return;
        };
        let hop = self.way_to(receiver);
        let receiver = receiver.clone();
        let (uri, routes) = receiver.route_set();
        let contact = self.contact_for(sender, hop);
        let branch = self.tokens.branch();
        let realms = Arc::clone(&self.realms);
        let onward = Onward {
            edits: [None; 2],
            from: None,
            uri,
            via: &self.via(hop, &branch),
            routes: &routes,
            record_route: None,
            contact: &contact,
            realms: &realms,
            body: &body,
        };
        let bytes = compose::onward(message, &onward);
        self.send(hop, bytes.clone());
        if let Some(call) = self.calls.get_mut(&place.key) {
            call.acks
                .retain(|a| a.from != place.from || a.tag != place.tag);
            call.acks.reserve_exact(1);
            call.acks.push(PassedAck {
                from: place.from,
                tag: place.tag.to_vec(),
                cseq: message.cseq(),
                hop,
                bytes: bytes.into(),
            });
            if place.from == Party::Caller
                && let Some(dialog) = call.record.dialog_mut(place.tag)
            {
                dialog.acked = Some(message.cseq());
            }
        }
        if refused {
            self.hang_up(now, place.key, EndCause::Local);
        }
    }

    /// An ACK that has passed already goes again as it went.
    fn ack_again(&mut self, place: Place<'_>, message: &Message<'_>) -> bool {
        let passed = self.calls.get(&place.key).and_then(|call| {
            call.acks
                .iter()
                .find(|a| a.from == place.from && a.tag == place.tag && a.cseq == message.cseq())
        });
        let Some((hop, bytes)) = passed.map(|a| (a.hop, a.bytes.to_vec())) else {
            return false;
        };
        self.send(hop, bytes);
        true
    }

    /// The answer to an offer in the 2xx is in here; no other SDP can be. Says also whether the
    /// answer had to be refused: it cannot be told to the sender but by ending the call.
    fn ack_body(&mut self, place: Place<'_>, message: &Message<'_>) -> (Body, bool) {
        let Place { key, from, tag } = place;
        let awaited = self.calls.get(&key).and_then(|c| c.record.answer_in_ack);
        if awaited != Some((message.cseq(), from)) {
            return match find_sdp(message) {
                Found::None => (Body::Same, false),
                Found::Sdp(_) | Found::Unreadable => {
                    self.counters.add(Counter::BodiesUnreadable);
                    (Body::Removed, false)
                }
            };
        }
        let body = self.anchor_answer(key, from, tag, message);
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.answer_in_ack = None;
        }
        match body {
            Ok(body) => {
                self.settle_if_answered(key);
                self.journal(key);
                (body, false)
            }
            Err(_) => {
                self.counters.add(Counter::AnswersRefused);
                (Body::Removed, true)
            }
        }
    }
}
