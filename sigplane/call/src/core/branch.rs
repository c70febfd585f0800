//! Whom a call is offered to: one set of candidates after the other, those of a set at the same time
//! (RFC 3261 sections 16.6 and 16.7).

use std::sync::Arc;
use tandem_link::Cookie;
use tandem_policy::{EndCause, StateChange};
use tandem_sip::NameAddr;
use tandem_transaction::{ClientId, InviteRequest, Method};

use super::account::Asked;
use super::reply::Answer;
use super::timer::Timer;
use super::{ClientUse, Core, Failure};
use crate::call::{Branch, CancelPlan, CancelStage, Candidate, Exchange, Late, Setup};
use crate::compose::{self, Body, Onward};
use crate::config::Side;
use crate::counters::Counter;
use crate::io::Now;
use crate::media::{MediaSettings, Party, Refusal, Session};
use crate::message::{Message, retarget};
use crate::record::{Direction, Hop};

impl Core {
    /// Asks the next set of candidates, or ends the call when none is left.
    fn next_set(&mut self, now: Now, key: u64) {
        let Some(invite) = self.setup(key).map(|s| s.invite.clone()) else {
            return;
        };
        // It was read when it came.
        if let Ok(message) = Message::read(&invite) {
            self.next_set_for(now, key, &message);
        }
    }

    /// The same, with the call's INVITE.
    pub(super) fn next_set_for(&mut self, now: Now, key: u64, invite: &Message<'_>) {
        loop {
            let Some(setup) = self.setup_mut(key) else {
                return;
            };
            let Some(set) = setup.sets.pop_front() else {
                if self.next_carrier(now, key, invite) {
                    continue;
                }
                return self.nobody_left(now, key);
            };
            let mut reached: Vec<(Candidate, Hop, u16)> = Vec::new();
            let mut elsewhere = Vec::new();
            for candidate in set {
                match self.way_to_candidate(key, &candidate) {
                    // Media is anchored between two realms: who is in a third one has to wait.
                    Some((hop, realm)) if reached.first().is_none_or(|(_, _, r)| *r == realm) => {
                        reached.push((candidate, hop, realm));
                    }
                    Some(_) => elsewhere.push(candidate),
                    None => self.counters.add(Counter::TargetsWithoutWay),
                }
            }
            if let Some(setup) = self.setup_mut(key).filter(|_| !elsewhere.is_empty()) {
                setup.sets.push_front(elsewhere);
            }
            let Some((_, hop, realm)) = reached.first() else {
                continue;
            };
            let (hop, realm) = (*hop, *realm);
            match self.prepare(key, realm, invite) {
                Ok(body) => {
                    for (candidate, hop, _) in reached {
                        self.ask(now, key, candidate, hop, invite, &body);
                    }
                }
                Err(refusal) => {
                    self.counters.add(Counter::CallsMediaRefused);
                    let caller = self.calls.get(&key).map_or(hop, |c| c.record.caller.hop);
                    let answer = Answer::new(refusal.status, reason_of(&refusal))
                        .with("Warning", &warning(&refusal, caller));
                    self.reject(now, key, &answer, EndCause::Rejected);
                }
            }
            return;
        }
    }

    /// Everybody was asked: the caller gets the best of what was said.
    fn nobody_left(&mut self, now: Now, key: u64) {
        let best = self.setup_mut(key).and_then(|s| s.best.take());
        if let Some(best) = best {
            return self.pass_refusal(now, key, &best);
        }
        self.counters.add(Counter::CallsNoTarget);
        let answer = Answer::unavailable();
        self.reject(now, key, &answer, EndCause::Rejected);
    }

    /// How a candidate is reached, and the realm that its media is in.
    fn way_to_candidate(&self, key: u64, candidate: &Candidate) -> Option<(Hop, u16)> {
        let side = match self.calls.get(&key)?.record.direction {
            Direction::Inbound => Side::Internal,
            Direction::Outbound => Side::External,
        };
        let hop = self.hop_of(candidate, side)?;
        Some((hop, self.config.media_realm(hop.path)?))
    }

    /// The Request-URI of a request for a candidate: the target's host in the place of ours, by its
    /// name if it has one. What a registered user agent asks for is for the registrar to understand, so it
    /// changes only where it names us.
    pub(super) fn uri_for(&self, candidate: &Candidate, came: Hop, uri: &[u8]) -> Vec<u8> {
        match candidate {
            Candidate::Contact { uri, .. } | Candidate::Flow { uri, .. } => uri.clone(),
            Candidate::Target { .. } if came.flow && !self.names_us(uri) => uri.to_vec(),
            Candidate::Target { id, server } => {
                let named = self.dispatcher.target(*id).and_then(|t| t.wanted.named());
                retarget(uri, named.as_deref(), server.address)
            }
        }
    }

    /// How a candidate on this side is reached.
    pub(super) fn hop_of(&self, candidate: &Candidate, side: Side) -> Option<Hop> {
        Some(match candidate {
            Candidate::Contact { hop, .. } | Candidate::Flow { hop, .. } => *hop,
            Candidate::Target { server, .. } => {
                let peer = server.address;
                let (path, local) = self.config.way(side, server.transport, peer)?;
                Hop {
                    path,
                    local,
                    peer,
                    connect: None,
                    hidden: self.hides(side),
                    flow: false,
                }
            }
        })
    }

    /// Gets the call's media ready for callees in this realm: the body of their INVITEs.
    fn prepare(&mut self, key: u64, realm: u16, invite: &Message<'_>) -> Result<Body, Refusal> {
        let Some(call) = self.calls.get_mut(&key).filter(|c| c.setup.is_some()) else {
            return Ok(Body::Removed);
        };
        match call.record.media.as_mut() {
            Some(session) => session.next_target(&mut self.ports, realm),
            None => {
                let path = call.record.caller.hop.path;
                let Some(caller_realm) = self.config.media_realm(path) else {
                    return Ok(Body::Removed);
                };
                let settings = media_settings(&self.config.media);
                let session = Session::new(Cookie(key), caller_realm, realm, settings);
                call.record.media = Some(session.guarded(self.config.media.guard.clone()));
            }
        }
        call.record.dialogs.clear();
        let mut exchange = Exchange::None;
        let body = self.anchor_offer(key, &mut exchange, Party::Caller, b"", invite)?;
        if let Some(setup) = self.setup_mut(key) {
            setup.exchange = exchange;
        }
        Ok(body)
    }

    /// Sends the INVITE to a candidate.
    fn ask(
        &mut self,
        now: Now,
        key: u64,
        candidate: Candidate,
        hop: Hop,
        invite: &Message<'_>,
        body: &Body,
    ) {
        let branch = self.tokens.branch();
        let Some(call) = self.calls.get(&key).filter(|c| c.setup.is_some()) else {
            return;
        };
        let Some(setup) = call.setup.as_ref() else {
            return;
        };
        let trunk = setup
            .trunk
            .as_ref()
            .filter(|_| candidate.target().is_some());
        let told = trunk.map(|trunk| Self::told_to(trunk, invite));
        let mut told = told.unwrap_or_default();
        let instead = told.called.take();
        let instead = instead.or_else(|| setup.user.as_ref().map(|u| u.as_bytes().to_vec()));
        // The host is the target's in any case.
        let instead = instead.map(|user| [b"sip:", user.as_slice(), b"@instead"].concat());
        let asked = instead.as_deref().unwrap_or_else(|| invite.uri());
        let uri = self.uri_for(&candidate, call.record.caller.hop, asked);
        let realms = Arc::clone(&self.realms);
        let edits = self
            .setup_mut(key)
            .map(|s| std::mem::take(&mut s.edits))
            .unwrap_or_default();
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let onward = Onward {
            edits: [Some(&edits), Some(&told.edits)],
            from: told.from.as_deref(),
            uri: &uri,
            via: &self.via(hop, &branch),
            routes: candidate.routes(),
            record_route: Some(&self.record_route(hop)),
            contact: &self.contact_for(&call.record.caller, hop),
            realms: &realms,
            body,
        };
        if let Some(call) = self.calls.get_mut(&key) {
            let uri = told.from.as_deref().and_then(NameAddr::parse);
            let uri = uri.map(|parts| String::from_utf8_lossy(parts.uri).into_owned());
            call.record.account.sent_from = uri.unwrap_or_default();
            call.record.shown_from.clone_from(&told.from);
        }
        let (client, cancel) = self.send_invite(now, invite, &onward, hop, &branch);
        if let Some(setup) = self.setup_mut(key) {
            setup.edits = edits;
        }
        self.clients.insert(client, ClientUse::Invite(key));
        // There is nobody else to ask for a user agent: it has the time of its transaction.
        if !matches!(candidate, Candidate::Flow { .. }) {
            self.timers.set(
                Timer::FirstResponse(key, client),
                now.mono + self.config.dispatcher.first_response,
            );
        }
        let target = candidate.target();
        let destination = match target.and_then(|id| self.dispatcher.target(id)) {
            Some(target) => target.row.destination.clone(),
            None => String::from_utf8_lossy(&uri).into_owned(),
        };
        if let Some(target) = target {
            self.call_begins(now, target);
        }
        let asked = Asked {
            hop,
            uri: &uri,
            target: &destination,
        };
        let attempt = self.note_asked(now, key, &asked);
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.target = target;
            call.record.destination = destination;
            call.counted = target;
            if let Some(setup) = call.setup.as_mut() {
                setup.branches.push(Branch {
                    client,
                    candidate,
                    cancel,
                    attempt,
                });
            }
        }
    }

    /// Sends an INVITE on, and makes the plan for its cancellation.
    pub(super) fn send_invite(
        &mut self,
        now: Now,
        message: &Message<'_>,
        onward: &Onward<'_>,
        hop: Hop,
        branch: &str,
    ) -> (ClientId, CancelPlan) {
        let request = InviteRequest {
            request: compose::onward(message, onward).into(),
            ack_head: compose::hop_by_hop("ACK", message, onward).head().into(),
        };
        let cancel = compose::hop_by_hop("CANCEL", message, onward)
            .header("To", message.to_value())
            .finish(b"");
        let plan = CancelPlan {
            request: cancel.into(),
            branch: branch.to_owned(),
            hop,
            stage: CancelStage::Silent,
        };
        let client = self.layer.invite(now.mono, branch.as_bytes(), hop, request);
        self.flush();
        (client, plan)
    }

    /// The target did not answer, or is not there: the next one is tried.
    pub(super) fn branch_failed(&mut self, now: Now, key: u64, client: ClientId, failure: Failure) {
        let Some(branch) = self.take_branch(now, key, client) else {
            return;
        };
        let code = match failure {
            Failure::Silence => 408,
            Failure::Unreachable => 503,
        };
        self.note_tried(now, key, branch.attempt, code);
        if matches!(branch.candidate, Candidate::Flow { .. }) {
            let answer = self.flow_failed(failure);
            let cause = match failure {
                Failure::Silence => EndCause::NoAnswer,
                Failure::Unreachable => EndCause::Rejected,
            };
            return self.reject(now, key, &answer, cause);
        }
        self.counters.add(match failure {
            Failure::Silence => Counter::FailoverSilence,
            Failure::Unreachable => Counter::FailoverUnreachable,
        });
        let silent = failure == Failure::Silence;
        self.call_failed_at(now, key, &branch.candidate, silent);
        if failure == Failure::Silence {
            self.make_late(now, branch);
        }
        self.go_on(now, key);
    }

    /// A server failed for this call.
    pub(super) fn call_failed_at(
        &mut self,
        now: Now,
        key: u64,
        candidate: &Candidate,
        silent: bool,
    ) {
        let others = self.setup(key).is_some_and(|s| {
            let mut rest = s.sets.iter().flatten();
            rest.any(|c| c.target() == candidate.target())
        });
        self.server_failed(now, candidate, others, silent);
    }

    /// A server of a target failed; if no others of it are left, the target has.
    pub(super) fn server_failed(
        &mut self,
        now: Now,
        candidate: &Candidate,
        others: bool,
        silent: bool,
    ) {
        let Candidate::Target { id, server } = candidate else {
            return;
        };
        self.target_ailing(now, *id, server.address, (!others, silent));
    }

    /// After a target failed: when all of its set have, the next set, unless the caller gave up.
    pub(super) fn go_on(&mut self, now: Now, key: u64) {
        match self.setup(key) {
            Some(setup) if !setup.branches.is_empty() => {}
            Some(setup) if setup.cancelled && setup.best.is_none() => {
                let answer = Answer::new(487, "Request Terminated");
                self.reject(now, key, &answer, EndCause::Cancelled);
            }
            Some(_) => self.next_set(now, key),
            None => {}
        }
    }

    pub(super) fn setup(&self, key: u64) -> Option<&Setup> {
        self.calls.get(&key)?.setup.as_ref()
    }

    /// Takes the call from one of its targets.
    pub(super) fn take_branch(&mut self, now: Now, key: u64, client: ClientId) -> Option<Branch> {
        let branches = &mut self.setup_mut(key)?.branches;
        let at = branches.iter().position(|b| b.client == client)?;
        let branch = branches.remove(at);
        if branch.candidate.target().is_some() {
            self.release_target(now, key);
        }
        self.timers.clear(Timer::FirstResponse(key, client));
        self.timers.clear(Timer::C(key, client));
        if self.setup(key).is_some_and(|s| s.branches.is_empty()) {
            self.timers.clear(Timer::Cancelled(key));
        }
        Some(branch)
    }

    /// Takes the call from all of its targets: those that ring are cancelled.
    pub(super) fn give_up_branches(&mut self, now: Now, key: u64) {
        let clients: Vec<ClientId> = self
            .setup(key)
            .map(|s| s.branches.iter().map(|b| b.client).collect())
            .unwrap_or_default();
        for client in clients {
            if let Some(branch) = self.take_branch(now, key, client) {
                self.note_given_up(now, key, &branch);
                self.make_late(now, branch);
            }
        }
    }

    /// Cancels whatever rings; final answers are awaited.
    pub(super) fn cancel_branches(&mut self, now: Now, key: u64) {
        let Some(mut branches) = self.setup_mut(key).map(|s| std::mem::take(&mut s.branches))
        else {
            return;
        };
        for branch in &mut branches {
            self.want_cancel(now, &mut branch.cancel);
        }
        // RFC 3261 section 9.1: without a final answer for 64*T1 an INVITE is taken as cancelled.
        if !branches.is_empty() {
            let end = now.mono + self.config.t1.saturating_mul(64);
            self.timers.set(Timer::Cancelled(key), end);
        }
        if let Some(setup) = self.setup_mut(key) {
            setup.branches = branches;
        }
    }

    pub(super) fn release_target(&mut self, now: Now, key: u64) {
        if let Some(target) = self.calls.get_mut(&key).and_then(|c| c.counted.take()) {
            self.call_ends(now, target);
        }
    }

    /// A target that was given up may answer yet: it is cancelled as soon as that is allowed, and
    /// an answer is ended.
    pub(super) fn make_late(&mut self, now: Now, mut branch: Branch) {
        if !self.layer.is_awaiting(branch.client) {
            return;
        }
        self.layer.give_up(now.mono, branch.client);
        self.want_cancel(now, &mut branch.cancel);
        self.clients.insert(branch.client, ClientUse::Late);
        self.lates.insert(
            branch.client,
            Late {
                cancel: Some(Box::new(branch.cancel)),
                ended: Vec::new(),
            },
        );
    }

    /// Cancels an INVITE of ours: at once if a provisional response has come, else when one comes.
    pub(super) fn want_cancel(&mut self, now: Now, plan: &mut CancelPlan) {
        match plan.stage {
            CancelStage::Silent => plan.stage = CancelStage::Wanted,
            CancelStage::Ringing => self.send_cancel(now, plan),
            CancelStage::Wanted | CancelStage::Sent => {}
        }
    }

    /// A provisional response came: a CANCEL may go out now.
    pub(super) fn may_cancel(&mut self, now: Now, plan: &mut CancelPlan) {
        match plan.stage {
            CancelStage::Silent => plan.stage = CancelStage::Ringing,
            CancelStage::Wanted => self.send_cancel(now, plan),
            CancelStage::Ringing | CancelStage::Sent => {}
        }
    }

    fn send_cancel(&mut self, now: Now, plan: &mut CancelPlan) {
        plan.stage = CancelStage::Sent;
        let client = self.layer.request(
            now.mono,
            plan.branch.as_bytes(),
            Method::Cancel,
            plan.hop,
            plan.request.clone(),
        );
        self.clients.insert(client, ClientUse::Cancel);
        self.flush();
    }

    pub(super) fn note_change(&mut self, change: Option<StateChange>) {
        match change {
            Some(StateChange::Activated) => self.counters.add(Counter::TargetsActivated),
            Some(StateChange::Deactivated) => self.counters.add(Counter::TargetsDeactivated),
            None => {}
        }
    }
}

/// The reason phrase for a refusal's status.
pub(super) const fn reason_of(refusal: &Refusal) -> &'static str {
    match refusal.status {
        400 => "Bad Request",
        503 => "Service Unavailable",
        _ => "Not Acceptable Here",
    }
}

/// What was wrong with the SDP, for people (RFC 3261 section 20.43).
pub(super) fn warning(refusal: &Refusal, hop: Hop) -> Vec<u8> {
    let plain = |c: &char| !c.is_control() && !matches!(c, '"' | '\\');
    let reason: String = refusal.reason.chars().filter(plain).take(200).collect();
    format!("399 {} \"{reason}\"", hop.local).into_bytes()
}

fn media_settings(config: &crate::config::MediaConfig) -> MediaSettings {
    let seconds = |d: std::time::Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
    MediaSettings {
        dscp: config.dscp,
        timeout_s: seconds(config.timeout),
        hold_timeout_s: seconds(config.hold_timeout),
    }
}
