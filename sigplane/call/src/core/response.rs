//! Sorts the responses.

use tandem_policy::EndCause;
use tandem_policy::defence::Sight;
use tandem_transaction::{ClientId, ClientKey, Method, Response};

use super::{ClientUse, Core};
use crate::call::{Call, MAX_DIALOGS};
use crate::counters::Counter;
use crate::io::Now;
use crate::message::{Message, Name};
use crate::record::Hop;

/// How far the CSeq of a BYE of our own is above the INVITE's: the caller may have sent requests in that
/// dialog (PRACK, UPDATE), and what is not above them gets 500 (RFC 3261 section 12.2.2).
const ABOVE_EARLY_REQUESTS: u32 = 1000;

impl Core {
    pub(super) fn response(&mut self, now: Now, hop: Hop, message: &Message<'_>) {
        let key = ClientKey {
            branch: message.branch(),
            method: match message.cseq_method() {
                b"INVITE" => Method::Invite,
                b"CANCEL" => Method::Cancel,
                _ => Method::Other,
            },
        };
        // A response with two Vias has been to us by mistake (RFC 3261 section 8.1.3.3).
        if message.list(Name::Via).len() != 1 {
            return self.unmatched(hop);
        }
        let id = match self
            .layer
            .response(now.mono, &key, message.code(), message.to_value())
        {
            Response::Unmatched if self.keepalive_answered(hop, message) => return,
            Response::Unmatched => return self.unmatched(hop),
            Response::Absorbed(_) => return self.counters.add(Counter::ResponsesAbsorbed),
            Response::Pass(id) => id,
        };
        // The ACK of a failure goes out before anything that follows from it.
        self.flush();
        // A user agent's answer comes by its flow.
        let flow = self.layer.client_hop(id).is_some_and(|h| h.flow);
        let hop = Hop { flow, ..hop };
        match self.clients.get(&id).copied() {
            Some(ClientUse::Invite(key)) => self.invite_response(now, key, id, hop, message),
            Some(ClientUse::Late) => self.late_response(now, id, hop, message),
            Some(ClientUse::LateRelay) => self.late_relay_response(now, id, message),
            Some(ClientUse::Relay(server)) => self.relay_response(now, server, hop, message),
            Some(ClientUse::Passage(server)) => self.passage_response(now, server, message),
            Some(ClientUse::Probe(target)) => self.probe_answered(now, target, message.code()),
            Some(ClientUse::Cancel | ClientUse::Bye { .. }) | None => {}
        }
    }

    fn unmatched(&mut self, hop: Hop) {
        self.counters.add(Counter::ResponsesUnmatched);
        self.saw(hop, Sight::Request);
    }

    /// A target that was given up answers.
    fn late_response(&mut self, now: Now, id: ClientId, hop: Hop, message: &Message<'_>) {
        let Some(mut late) = self.lates.remove(&id) else {
            return;
        };
        match message.code() {
            100..200 => {
                if let Some(plan) = &mut late.cancel {
                    self.may_cancel(now, plan);
                }
            }
            200..300 => self.end_answer(now, hop, message, &mut late.ended),
            _ => {}
        }
        self.lates.insert(id, late);
    }

    /// The answer to a re-INVITE whose sender got our 408 meanwhile: acknowledged, or it would come
    /// again and again. Then the two sides have different sessions in mind, so the dialog ends
    /// (RFC 3261 sections 12.2.1.2 and 14.1), if the 408 has not made its sender end it already.
    fn late_relay_response(&mut self, now: Now, id: ClientId, message: &Message<'_>) {
        let Some(mut late) = self.late_relays.remove(&id) else {
            return;
        };
        match message.code() {
            100..200 => self.may_cancel(now, &mut late.cancel),
            200..300 => {
                self.own_ack(
                    &late.responder,
                    message.value_of_from(),
                    message.to_value(),
                    message.call_id(),
                    message.cseq(),
                );
                let ends = |call: &Call| call.record.ending.is_some() || call.bye.is_some();
                if self.calls.get(&late.call).is_some_and(|c| !ends(c)) {
                    self.counters.add(Counter::LateAnswers);
                    self.hang_up(now, late.call, EndCause::Local);
                }
            }
            _ => {}
        }
        self.late_relays.insert(id, late);
    }

    /// An answer that nobody wants: acknowledged, and ended at once; each fork's once.
    pub(super) fn end_answer(
        &mut self,
        now: Now,
        hop: Hop,
        message: &Message<'_>,
        ended: &mut Vec<Vec<u8>>,
    ) {
        let tag = message.to_tag();
        let known = ended.iter().any(|t| t == tag);
        if !known && ended.len() >= MAX_DIALOGS {
            return self.counters.add(Counter::DialogsOverLimit);
        }
        let callee = self.callee_of(0, hop, message);
        self.own_ack(
            &callee,
            message.value_of_from(),
            message.to_value(),
            message.call_id(),
            message.cseq(),
        );
        if !known {
            ended.push(tag.to_vec());
            self.counters.add(Counter::LateAnswers);
            let cseq = message.cseq().saturating_add(ABOVE_EARLY_REQUESTS);
            self.own_bye(
                now,
                &callee,
                message.value_of_from(),
                message.to_value(),
                message.call_id(),
                cseq,
                None,
            );
        }
    }
}
