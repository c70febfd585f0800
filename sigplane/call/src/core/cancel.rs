//! CANCEL, and what ends a call before its answer.

use tandem_policy::EndCause;
use tandem_policy::defence::Sight;
use tandem_transaction::{ClientId, ServerId, ServerKey};

use super::Core;
use super::reply::Answer;
use super::request::Arrival;
use super::source::Speaker;
use crate::counters::Counter;
use crate::io::Now;
use crate::message::Message;
use crate::record::Hop;

impl Core {
    /// The caller's CANCEL (RFC 3261 sections 9.2 and 16.10): answered by us, and passed on as one
    /// of our own. It is served without a transaction, since serving it twice does no harm.
    pub(super) fn cancel(&mut self, now: Now, arrival: Arrival<'_, '_>, key: &ServerKey<'_>) {
        self.hurry(now, key);
        let Some(server) = self.layer.to_cancel(key) else {
            self.counters.add(Counter::NoSuchDialog);
            return self.reply(arrival, &Answer::no_such_dialog());
        };
        // From where the INVITE came, or at least from somebody who could have sent it.
        match self.canceller(server, arrival.hop) {
            Some(Speaker::Entitled) => {}
            Some(Speaker::Unknown) => return self.counters.add(Counter::InDialogTooEarly),
            Some(Speaker::Stranger) => {
                self.counters.add(Counter::InDialogForbidden);
                self.saw(arrival.hop, Sight::Failure);
                return self.reply(arrival, &Answer::new(403, "Forbidden"));
            }
            // The INVITE has its answer, and the call is gone: there is nothing to cancel, but a CANCEL
            // that comes again gets what it got before.
            None => {}
        }
        self.counters.add(Counter::Cancels);
        let call = self.setups.get(&server).and_then(|key| self.calls.get(key));
        let hop = Hop {
            flow: call.is_some_and(|c| c.record.caller.hop.flow),
            ..arrival.hop
        };
        self.reply(Arrival { hop, ..arrival }, &Answer::new(200, "OK"));
        if let Some(key) = self.setups.get(&server).copied() {
            self.note_reason(key, arrival.message);
            self.cancel_setup(now, key);
        } else {
            self.cancel_relay(now, server);
        }
    }

    /// What a CANCEL's sender is to the sender of the INVITE; none when that call is gone.
    fn canceller(&self, server: ServerId, hop: Hop) -> Option<Speaker> {
        let caller = |key: &u64| self.calls.get(key).map(|c| &c.record.caller);
        let sender = match self.setups.get(&server) {
            Some(key) => caller(key)?,
            None => {
                let relay = self.relays.get(&server)?;
                let record = &self.calls.get(&relay.call)?.record;
                record.end(relay.from, &relay.tag)?
            }
        };
        if self.config.side(sender.hop.path) != self.config.side(hop.path) {
            return Some(Speaker::Stranger);
        }
        Some(self.speaker(sender, hop))
    }

    fn cancel_setup(&mut self, now: Now, key: u64) {
        let Some(setup) = self.setup_mut(key) else {
            return;
        };
        if std::mem::replace(&mut setup.cancelled, true) {
            return;
        }
        setup.sets.clear();
        setup.carriers.clear();
        if setup.branches.is_empty() {
            return;
        }
        self.cancel_branches(now, key);
    }

    fn cancel_relay(&mut self, now: Now, server: ServerId) {
        let Some(mut plan) = self.relays.get_mut(&server).and_then(|r| r.cancel.take()) else {
            return;
        };
        self.want_cancel(now, &mut plan);
        if let Some(relay) = self.relays.get_mut(&server) {
            relay.cancel = Some(plan);
        }
    }

    /// The target does not answer our CANCEL.
    pub(super) fn cancel_unanswered(&mut self, now: Now, key: u64) {
        self.give_up_branches(now, key);
        let best = self.setup_mut(key).and_then(|s| s.best.take());
        if let Some(best) = best {
            return self.pass_refusal(now, key, &best);
        }
        let answer = Answer::new(487, "Request Terminated");
        self.reject(now, key, &answer, EndCause::Cancelled);
    }

    /// Timer C: a target has been ringing for too long. While others still do, they may answer.
    pub(super) fn rang_out(&mut self, now: Now, key: u64, client: ClientId) {
        if self.setup(key).is_some_and(|s| s.branches.len() > 1) {
            if let Some(branch) = self.take_branch(now, key, client) {
                self.note_tried(now, key, branch.attempt, 408);
                self.make_late(now, branch);
            }
            return;
        }
        let answer = Answer::new(408, "Request Timeout");
        self.reject(now, key, &answer, EndCause::NoAnswer);
    }

    /// Ends a call before its answer with an answer of our own. Targets that were ringing are
    /// cancelled.
    pub(super) fn reject(&mut self, now: Now, key: u64, answer: &Answer, cause: EndCause) {
        self.give_up_branches(now, key);
        let Some(setup) = self.calls.get(&key).and_then(|c| c.setup.as_ref()) else {
            return;
        };
        let (server, vias, invite) = (setup.server, setup.vias.clone(), setup.invite.clone());
        if let Ok(message) = Message::read(&invite) {
            self.respond(now, server, &vias, &message, answer);
        }
        self.refused(now, key, answer.code, answer.reason.clone(), cause);
    }

    /// The caller has its final answer, a failure: the call is over.
    pub(super) fn refused(
        &mut self,
        now: Now,
        key: u64,
        code: u16,
        reason: String,
        cause: EndCause,
    ) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.setup = None;
            call.record.sip_code = code;
            call.record.sip_reason = reason;
        }
        self.end_call(now, key, cause);
    }
}
