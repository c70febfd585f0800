//! Responses of the target to the first INVITE.

use std::sync::Arc;

use tandem_policy::EndCause;
use tandem_transaction::ClientId;

use super::branch::{reason_of, warning};
use super::reply::Answer;
use super::timer::Timer;
use super::{ClientUse, Core};
use crate::call::{Accepted, Exchange, Late};
use crate::compose::{self, Body};
use crate::counters::Counter;
use crate::io::Now;
use crate::media::{Party, Session};
use crate::message::Message;
use crate::record::Hop;

impl Core {
    pub(super) fn invite_response(
        &mut self,
        now: Now,
        key: u64,
        client: ClientId,
        hop: Hop,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        if call.setup.is_none() {
            return self.answer_again(now, key, hop, message);
        }
        match message.code() {
            100..200 => self.provisional(now, key, hop, message),
            200..300 => self.answered(now, key, client, hop, message),
            _ => self.failed(now, key, message),
        }
    }

    fn provisional(&mut self, now: Now, key: u64, hop: Hop, message: &Message<'_>) {
        self.timers.clear(Timer::FirstResponse(key));
        self.timers
            .set(Timer::C(key), now.mono + self.config.timer_c);
        if let Some(mut branch) = self.setup_mut(key).and_then(|s| s.branch.take()) {
            self.may_cancel(now, &mut branch.cancel);
            if let Some(setup) = self.setup_mut(key) {
                setup.branch = Some(branch);
            }
        }
        // 100 is from hop to hop.
        if message.code() == 100 {
            return;
        }
        let tag = message.to_tag();
        if !tag.is_empty() && !self.note_dialog(key, hop, message) {
            return self.counters.add(Counter::DialogsOverLimit);
        }
        let Some(mut exchange) = self.setup_mut(key).map(|s| s.exchange) else {
            return;
        };
        let body = self
            .anchor_response(key, &mut exchange, Party::Callee, tag, message)
            .unwrap_or_else(|_| {
                self.counters.add(Counter::AnswersRefused);
                Body::Removed
            });
        if let Some(setup) = self.setup_mut(key) {
            setup.exchange = exchange;
        }
        if matches!(body, Body::Replaced(_)) {
            self.journal(key);
        }
        self.pass_back(now, key, message, &body);
    }

    /// Passes a response to the caller; returns it as it went.
    fn pass_back(
        &mut self,
        now: Now,
        key: u64,
        message: &Message<'_>,
        body: &Body,
    ) -> Option<Arc<[u8]>> {
        let call = self.calls.get(&key)?;
        let setup = call.setup.as_ref()?;
        let dialog = call.record.dialog(message.to_tag());
        let contact = dialog.map(|d| self.contact_for(&d.callee, call.record.caller.hop));
        let makes_dialog = message.code() < 300;
        let head = if makes_dialog {
            &setup.head
        } else {
            &setup.vias
        };
        let contact = contact.as_deref().filter(|_| makes_dialog);
        let bytes: Arc<[u8]> = compose::back(message, head, contact, body).into();
        self.layer
            .respond(now.mono, setup.server, message.code(), bytes.clone());
        self.flush();
        Some(bytes)
    }

    fn answered(&mut self, now: Now, key: u64, client: ClientId, hop: Hop, message: &Message<'_>) {
        let tag = message.to_tag();
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.dialogs.retain(|d| d.tag == tag);
        }
        let Some(mut exchange) = self.setup_mut(key).map(|s| s.exchange) else {
            return;
        };
        let anchored = if tag.is_empty() {
            None
        } else {
            self.note_dialog(key, hop, message);
            match self.anchor_response(key, &mut exchange, Party::Callee, tag, message) {
                Ok(body) => Some(body),
                Err(refusal) => {
                    self.counters.add(Counter::AnswersRefused);
                    let answer = Answer::new(refusal.status, reason_of(&refusal))
                        .with("Warning", &warning(&refusal, hop));
                    return self.refuse_answer(now, key, client, hop, message, &answer);
                }
            }
        };
        let Some(body) = anchored else {
            // Without a tag there is no dialog: the target broke the protocol.
            self.counters.add(Counter::MalformedResponses);
            let answer = Answer::new(502, "Bad Gateway");
            return self.refuse_answer(now, key, client, hop, message, &answer);
        };
        for timer in [
            Timer::FirstResponse(key),
            Timer::C(key),
            Timer::Cancelled(key),
        ] {
            self.timers.clear(timer);
        }
        self.counters.add(Counter::CallsAnswered);
        if exchange != Exchange::Offered(Party::Callee) {
            self.with_media(key, Session::settle);
        }
        if let Some(call) = self.calls.get_mut(&key) {
            let record = &mut call.record;
            record.confirmed = Some(tag.to_vec());
            record.answer_ms = Some(now.wall_ms);
            record.sip_code = message.code();
            record.sip_reason = String::from_utf8_lossy(message.reason()).into_owned();
            record.answer_in_ack = match exchange {
                Exchange::Offered(Party::Callee) => Some((message.cseq(), Party::Caller)),
                _ => None,
            };
        }
        self.journal(key);
        self.limit_duration(now, key);
        let response = self.pass_back(now, key, message, &body);
        if let Some(call) = self.calls.get_mut(&key)
            && let Some(setup) = call.setup.take()
            && let Some(response) = response
        {
            call.accepted = Some(Accepted {
                server: setup.server,
                response,
                ended: Vec::new(),
            });
        }
    }

    /// A 2xx that the caller cannot be given: the callee's end is closed, the caller refused.
    fn refuse_answer(
        &mut self,
        now: Now,
        key: u64,
        client: ClientId,
        hop: Hop,
        message: &Message<'_>,
        answer: &Answer,
    ) {
        if let Some(branch) = self.take_branch(key) {
            let mut ended = Vec::new();
            self.end_answer(now, hop, message, &mut ended);
            self.clients.insert(client, ClientUse::Late);
            self.lates.insert(
                client,
                Late {
                    cancel: branch.cancel,
                    ended,
                },
            );
        }
        self.reject(now, key, answer, EndCause::Rejected);
    }

    /// A 2xx after the first: repeated, or another fork's.
    fn answer_again(&mut self, now: Now, key: u64, hop: Hop, message: &Message<'_>) {
        if !(200..300).contains(&message.code()) {
            return;
        }
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.record.ending.is_some() {
            return;
        }
        let same = call.record.confirmed.as_deref() == Some(message.to_tag());
        let Some(accepted) = call.accepted.as_mut() else {
            return;
        };
        if same {
            self.layer.respond(
                now.mono,
                accepted.server,
                message.code(),
                accepted.response.clone(),
            );
            return self.flush();
        }
        let mut ended = std::mem::take(&mut accepted.ended);
        self.end_answer(now, hop, message, &mut ended);
        if let Some(accepted) = self.calls.get_mut(&key).and_then(|c| c.accepted.as_mut()) {
            accepted.ended = ended;
        }
    }

    /// A failure: another target may do better (408 and 5xx), or the caller gets it.
    fn failed(&mut self, now: Now, key: u64, message: &Message<'_>) {
        let code = message.code();
        let Some(branch) = self.take_branch(key) else {
            return;
        };
        let cancelled = self.setup_mut(key).is_some_and(|s| s.cancelled);
        match code {
            408 | 500..600 => {
                // Any other 5xx may be the callee's fault alone.
                if matches!(code, 408 | 503) {
                    let change = self.dispatcher.failed(branch.target, false);
                    self.note_change(change);
                }
                if !cancelled {
                    self.counters.add(Counter::FailoverResponse);
                }
                self.go_on(now, key);
            }
            // Contacts in a redirection would show one side to the other, and we do not follow
            // them.
            300..400 => {
                self.counters.add(Counter::Redirects);
                let answer = Answer::new(480, "Temporarily Unavailable");
                self.reject(now, key, &answer, EndCause::Rejected);
            }
            _ => {
                let cause = if cancelled {
                    EndCause::Cancelled
                } else {
                    EndCause::Rejected
                };
                self.pass_back(now, key, message, &Body::Same);
                let reason = String::from_utf8_lossy(message.reason()).into_owned();
                self.refused(now, key, code, reason, cause);
            }
        }
    }
}
