//! One target after the other.

use tandem_link::Cookie;
use tandem_policy::{EndCause, StateChange};
use tandem_transaction::{ClientId, InviteRequest, Method};

use super::reply::Answer;
use super::timer::Timer;
use super::{ClientUse, Core, Failure};
use crate::call::{Branch, CancelPlan, CancelStage, Exchange, Late};
use crate::compose::{self, Onward};
use crate::config::Side;
use crate::counters::Counter;
use crate::io::Now;
use crate::media::{MediaSettings, Party, Refusal, Session};
use crate::message::{Message, retarget};
use crate::record::{Direction, Hop};

impl Core {
    /// Gives the call to its next target, or ends it when none is left.
    pub(super) fn next_target(&mut self, now: Now, key: u64) {
        loop {
            let Some(setup) = self.setup_mut(key) else {
                return;
            };
            let Some(target) = setup.targets.pop_front() else {
                self.counters.add(Counter::CallsNoTarget);
                let answer = Answer::unavailable();
                return self.reject(now, key, &answer, EndCause::Rejected);
            };
            let Some((hop, realm)) = self.hop_to_target(key, target) else {
                self.counters.add(Counter::TargetsWithoutWay);
                continue;
            };
            if let Err(refusal) = self.try_target(now, key, target, hop, realm) {
                self.counters.add(Counter::CallsMediaRefused);
                let answer = Answer::new(refusal.status, reason_of(&refusal))
                    .with("Warning", &warning(&refusal, hop));
                self.reject(now, key, &answer, EndCause::Rejected);
            }
            return;
        }
    }

    /// How the target is reached, and the realm that its media is in.
    fn hop_to_target(&self, key: u64, target: i64) -> Option<(Hop, u16)> {
        let side = match self.calls.get(&key)?.record.direction {
            Direction::Inbound => Side::Internal,
            Direction::Outbound => Side::External,
        };
        let target = self.dispatcher.target(target)?;
        let peer = target.address;
        let (path, local) = self.config.way(side, target.transport, peer)?;
        let hop = Hop {
            path,
            local,
            peer,
            connect: None,
        };
        Some((hop, self.config.media_realm(path)?))
    }

    fn try_target(
        &mut self,
        now: Now,
        key: u64,
        target: i64,
        hop: Hop,
        realm: u16,
    ) -> Result<(), Refusal> {
        let Some(call) = self.calls.get_mut(&key) else {
            return Ok(());
        };
        let Some(setup) = call.setup.as_mut() else {
            return Ok(());
        };
        let invite = setup.invite.clone();
        let Ok(message) = Message::read(&invite) else {
            return Ok(());
        };
        let caller = call.record.caller.clone();
        match call.record.media.as_mut() {
            Some(session) => session.next_target(&mut self.ports, realm),
            None => {
                let Some(caller_realm) = self.config.media_realm(caller.hop.path) else {
                    return Ok(());
                };
                let settings = media_settings(&self.config.media);
                call.record.media = Some(Session::new(Cookie(key), caller_realm, realm, settings));
            }
        }
        call.record.dialogs.clear();
        call.record.target = Some(target);
        call.record.destination = self
            .dispatcher
            .target(target)
            .map(|t| t.row.destination.clone())
            .unwrap_or_default();

        let mut exchange = Exchange::None;
        let body = self.anchor_offer(key, &mut exchange, Party::Caller, b"", &message)?;
        let branch = self.tokens.branch();
        let uri = retarget(message.uri(), hop.peer);
        let onward = Onward {
            uri: &uri,
            via: &self.via(hop, &branch),
            routes: &[],
            record_route: Some(&self.record_route(hop)),
            contact: &self.contact_for(&caller, hop),
            body: &body,
        };
        let client = self.send_invite(now, &message, &onward, hop, &branch);
        self.clients.insert(client.0, ClientUse::Invite(key));
        self.timers.set(
            Timer::FirstResponse(key),
            now.mono + self.config.dispatcher.first_response,
        );
        self.dispatcher.call_begins(target);
        if let Some(call) = self.calls.get_mut(&key) {
            call.counted = Some(target);
            if let Some(setup) = call.setup.as_mut() {
                setup.exchange = exchange;
                setup.branch = Some(Branch {
                    client: client.0,
                    target,
                    cancel: client.1,
                });
            }
        }
        Ok(())
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
        if self.branch(key).is_none_or(|b| b.client != client) {
            return;
        }
        let Some(branch) = self.take_branch(key) else {
            return;
        };
        self.counters.add(match failure {
            Failure::Silence => Counter::FailoverSilence,
            Failure::Unreachable => Counter::FailoverUnreachable,
        });
        let change = self
            .dispatcher
            .failed(branch.target, failure == Failure::Silence);
        self.note_change(change);
        if failure == Failure::Silence {
            self.make_late(now, branch);
        }
        self.go_on(now, key);
    }

    /// After a target failed: the next one, unless the caller gave up.
    pub(super) fn go_on(&mut self, now: Now, key: u64) {
        match self.setup_mut(key) {
            Some(setup) if setup.cancelled => {
                let answer = Answer::new(487, "Request Terminated");
                self.reject(now, key, &answer, EndCause::Cancelled);
            }
            Some(_) => self.next_target(now, key),
            None => {}
        }
    }

    pub(super) fn branch(&self, key: u64) -> Option<&Branch> {
        self.calls.get(&key)?.setup.as_ref()?.branch.as_ref()
    }

    /// Takes the call from its target.
    pub(super) fn take_branch(&mut self, key: u64) -> Option<Branch> {
        let branch = self.setup_mut(key)?.branch.take()?;
        self.release_target(key);
        self.timers.clear(Timer::FirstResponse(key));
        self.timers.clear(Timer::C(key));
        self.timers.clear(Timer::Cancelled(key));
        Some(branch)
    }

    pub(super) fn release_target(&mut self, key: u64) {
        if let Some(target) = self.calls.get_mut(&key).and_then(|c| c.counted.take()) {
            self.dispatcher.call_ends(target);
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
                cancel: branch.cancel,
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
