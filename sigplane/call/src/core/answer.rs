//! Responses of the targets to the first INVITE.

use std::sync::Arc;

use tandem_policy::EndCause;
use tandem_transaction::ClientId;

use super::branch::{reason_of, warning};
use super::reply::Answer;
use super::timer::Timer;
use super::{ClientUse, Core};
use crate::call::{Accepted, Candidate, Exchange, Late, MAX_DIALOGS, Refused};
use crate::compose::{self, Body};
use crate::counters::Counter;
use crate::io::Now;
use crate::media::{Party, Session};
use crate::message::{self, Message, Name};
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
            100..200 => self.provisional(now, key, client, hop, message),
            200..300 => self.answered(now, key, client, hop, message),
            _ => self.failed(now, key, client, hop, message),
        }
    }

    fn provisional(
        &mut self,
        now: Now,
        key: u64,
        client: ClientId,
        hop: Hop,
        message: &Message<'_>,
    ) {
        let Some(at) = self
            .setup(key)
            .and_then(|s| s.branches.iter().position(|b| b.client == client))
        else {
            return;
        };
        self.timers.clear(Timer::FirstResponse(key, client));
        self.timers
            .set(Timer::C(key, client), now.mono + self.config.timer_c);
        if let Some(mut branch) = self.setup_mut(key).map(|s| s.branches.remove(at)) {
            self.may_cancel(now, &mut branch.cancel);
            if let Some(setup) = self.setup_mut(key) {
                setup.branches.insert(at, branch);
            }
        }
        // 100 is from hop to hop.
        if message.code() == 100 {
            return;
        }
        let is_ringing = (180..190).contains(&message.code());
        if is_ringing {
            self.rings(now.mono, key);
        }
        let rings = is_ringing && self.note_ringing(now, key);
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
        // When it rang outlives the process: who is rung has said 18x, and the caller sends its INVITE no more.
        if rings || matches!(body, Body::Replaced(_)) {
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
                    // The caller is told, by the address of ours that it knows.
                    let caller = self.calls.get(&key).map_or(hop, |c| c.record.caller.hop);
                    let answer = Answer::new(refusal.status, reason_of(&refusal))
                        .with("Warning", &warning(&refusal, caller));
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
        // The call stays counted among the target's that answered.
        let counted = self.calls.get_mut(&key).and_then(|c| c.counted.take());
        let answering = self.take_branch(now, key, client);
        if let Some(branch) = &answering {
            self.note_tried(now, key, branch.attempt, message.code());
        }
        self.give_up_branches(now, key);
        if let Some(call) = self.calls.get_mut(&key) {
            call.counted = counted;
            if let Some(branch) = &answering
                && let Candidate::Contact { uri, .. } = &branch.candidate
            {
                call.record.destination = String::from_utf8_lossy(uri).into_owned();
            }
        }
        self.timers.clear(Timer::Cancelled(key));
        self.counters.add(Counter::CallsAnswered);
        self.picks_up(now.mono, key);
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
        self.note_session(now, key, message);
        self.journal(key);
        self.limit_duration(now, key);
        self.look_ahead(now, key);
        let response = self.pass_back(now, key, message, &body);
        if let Some(call) = self.calls.get_mut(&key)
            && let Some(setup) = call.setup.take()
            && let Some(response) = response
        {
            call.accepted = Some(Accepted {
                server: setup.server,
                response,
                client: answering.map(|branch| branch.client),
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
        if let Some(branch) = self.take_branch(now, key, client) {
            self.note_tried(now, key, branch.attempt, message.code());
            let mut ended = Vec::new();
            self.end_answer(now, hop, message, &mut ended);
            self.clients.insert(client, ClientUse::Late);
            self.lates.insert(
                client,
                Late {
                    cancel: None,
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

    /// An answered call ends: what its INVITE brings yet is nobody's. Another fork that answers now
    /// is acknowledged and ended as before.
    pub(super) fn outlive_answer(&mut self, key: u64) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(accepted) = call.accepted.take() else {
            return;
        };
        let mut ended = accepted.ended;
        ended.extend(call.record.confirmed.clone());
        if let Some(client) = accepted.client
            && self.layer.client_hop(client).is_some()
        {
            self.clients.insert(client, ClientUse::Late);
            let cancel = None;
            self.lates.insert(client, Late { cancel, ended });
        }
    }

    /// A failure: another target may do better, or the caller gets it.
    fn failed(&mut self, now: Now, key: u64, client: ClientId, hop: Hop, message: &Message<'_>) {
        let code = message.code();
        let Some(branch) = self.take_branch(now, key, client) else {
            return;
        };
        self.note_tried(now, key, branch.attempt, code);
        let cancelled = self.setup(key).is_some_and(|s| s.cancelled);
        let trunk = self.setup(key).and_then(|s| s.trunk.as_ref());
        let passes_over = match trunk {
            Some(trunk) => trunk.failover.has(code),
            None => matches!(code, 408 | 500..600),
        };
        match (&branch.candidate, code) {
            // Out of order, or a carrier that does not want the call: the next one may.
            (candidate @ Candidate::Target { .. }, _) if passes_over => {
                // Any other 5xx may be the callee's fault alone.
                if matches!(code, 408 | 503) {
                    self.call_failed_at(now, key, candidate, false);
                }
                if !cancelled {
                    self.counters.add(Counter::FailoverResponse);
                    // A carrier's other servers would say the same; if nobody takes the call its caller hears of it.
                    if !matches!(code, 408 | 500..600) {
                        if let Some(setup) = self.setup_mut(key) {
                            setup.sets.clear();
                        }
                        self.note_refusal(key, message, false);
                    }
                }
            }
            (_, 300..400) => {
                self.counters.add(Counter::Redirects);
                // A user agent does not decide whom we call.
                let is_agent = matches!(branch.candidate, Candidate::Flow { .. });
                let follow = self.config.routing.follow_redirects && !cancelled && !is_agent;
                if !follow || !self.redirect(key, hop, message) {
                    let is_final = branch.candidate.target().is_some();
                    self.note_refusal(key, message, is_final);
                }
            }
            (candidate, _) => {
                let is_final = code >= 600 || candidate.target().is_some();
                self.note_refusal(key, message, is_final);
                if code >= 600 {
                    self.cancel_branches(now, key);
                }
            }
        }
        self.go_on(now, key);
    }

    /// Keeps a refusal, if it is the best so far. After a final one nobody else is asked.
    fn note_refusal(&mut self, key: u64, message: &Message<'_>, is_final: bool) {
        let Some(setup) = self.setup_mut(key) else {
            return;
        };
        if is_final {
            setup.sets.clear();
            setup.carriers.clear();
        }
        let refused = Refused {
            code: message.code(),
            response: message.bytes().into(),
            challenges: Vec::new(),
        };
        setup.best = Some(match setup.best.take() {
            None => refused,
            Some(best) => best.or_better(refused),
        });
    }

    /// Takes up the contacts of a redirection, in the order of their q; says whether there is one
    /// that can be asked. They are on the side of who redirects.
    fn redirect(&mut self, key: u64, hop: Hop, message: &Message<'_>) -> bool {
        let contacts = self.redirections(hop, message);
        let Some(setup) = self.setup_mut(key) else {
            return false;
        };
        // A target that redirects is in order: the others would say the same.
        let is_target = |c: &Candidate| c.target().is_some();
        setup.sets.retain(|set| !set.iter().any(is_target));
        let mut sets: Vec<(u16, Vec<Candidate>)> = Vec::new();
        for (q, uri, hop) in contacts {
            if setup.redirected.len() >= MAX_DIALOGS || setup.redirected.contains(&uri) {
                continue;
            }
            setup.redirected.push(uri.clone());
            let candidate = Candidate::Contact { uri, hop };
            match sets.last_mut() {
                Some((last, set)) if *last == q => set.push(candidate),
                _ => sets.push((q, vec![candidate])),
            }
        }
        let found = !sets.is_empty();
        if found {
            self.counters.add(Counter::RedirectsFollowed);
        }
        if let Some(setup) = self.setup_mut(key) {
            for (_, set) in sets.into_iter().rev() {
                setup.sets.push_front(set);
            }
        }
        found
    }

    /// The contacts of a redirection with their q in thousandths, the highest first, and how they are
    /// reached.
    fn redirections(&self, hop: Hop, message: &Message<'_>) -> Vec<(u16, Vec<u8>, Hop)> {
        let Some(side) = self.config.side(hop.path) else {
            return Vec::new();
        };
        let mut contacts: Vec<_> = message
            .list(Name::Contact)
            .into_iter()
            .filter_map(|contact| {
                let (uri, q) = message::contact_and_q(contact)?;
                let address = message::address_of(uri)
                    .filter(|a| message::is_sendable(*a) && !self.config.is_ours(*a))?;
                let transport = message::transport_of(uri).unwrap_or_default();
                let (path, local) = self.config.way(side, transport, address)?;
                let hop = Hop {
                    path,
                    local,
                    peer: address,
                    connect: None,
                    hidden: hop.hidden,
                    flow: false,
                };
                Some((q, message::start_line_uri(uri).to_vec(), hop))
            })
            .collect();
        contacts.sort_by_key(|(q, ..)| std::cmp::Reverse(*q));
        contacts
    }

    /// The caller gets the best refusal.
    pub(super) fn pass_refusal(&mut self, now: Now, key: u64, best: &Refused) {
        let Ok(message) = Message::read(&best.response) else {
            return;
        };
        // Contacts in a redirection would show one side to the other.
        if (300..400).contains(&best.code) {
            let answer = Answer::new(480, "Temporarily Unavailable");
            return self.reject(now, key, &answer, EndCause::Rejected);
        }
        let cancelled = self.setup(key).is_some_and(|s| s.cancelled);
        let cause = if cancelled {
            EndCause::Cancelled
        } else {
            EndCause::Rejected
        };
        if let Some(setup) = self.setup_mut(key) {
            setup.vias.extend_from_slice(&best.challenges);
        }
        self.pass_back(now, key, &message, &Body::Same);
        self.note_reason(key, &message);
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.account.refused_by_peer = true;
        }
        let reason = String::from_utf8_lossy(message.reason()).into_owned();
        self.refused(now, key, best.code, reason, cause);
    }
}
