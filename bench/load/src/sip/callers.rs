//! Who places calls (RFC 3261 sections 13.2 and 17.1, without what only phones need).

mod prove;
mod write;

use std::net::SocketAddr;

use super::arrivals::Arrivals;
use super::called::Called;
use super::dialog::{Remote, Sdp};
use super::settings::{CallSettings, Hangup, HoldSpread, T1, T2, TAIL, TRIED};
use super::shared::{Context, Free, Owner, Tag};
use super::view::{View, tag};
use crate::generator::{Payload, StreamId, StreamSpec};
use crate::{Nanos, SECOND};

/// Calls that are begun at one look at the clock, at most.
const AT_ONCE: u32 = 32;
/// How fast calls that are up are ended at the end of a run, at least: so many a second.
const FAREWELLS: f64 = 100.0;

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is over, or never was. What still comes for it is answered.
    Over,
    /// The INVITE is sent; nothing came.
    Calling,
    /// A provisional answer came.
    Proceeding,
    /// It takes too long: CANCEL is sent.
    Cancelling,
    /// It is up.
    Up,
    /// Its media ends, and the BYE follows.
    Closing,
    /// BYE is sent.
    Leaving,
}

/// One call.
#[derive(Debug)]
struct Call {
    state: State,
    generation: u32,
    /// Counts calls from 0.
    number: u64,
    /// The last request's; that of the INVITE that was answered.
    cseq: u32,
    invite: u32,
    /// Only the timer with this number is meant.
    timer: u32,
    /// Until the next repetition.
    interval: Nanos,
    /// When the transaction has failed.
    deadline: Nanos,
    /// When the first INVITE was sent.
    began: Nanos,
    has_rung: bool,
    media_port: u16,
    remote: Remote,
    /// A header line with credentials, with its end; empty without.
    credentials: Vec<u8>,
    /// The answering end's slot, when that is ours.
    called: Option<u32>,
    stream: Option<StreamId>,
}

/// All calls, at their calling end.
#[derive(Debug)]
pub(crate) struct Callers {
    pub(crate) settings: CallSettings,
    calls: Vec<Call>,
    free: Free,
    ports: std::collections::VecDeque<u16>,
    arrivals: Arrivals,
    active: u32,
    begun: u64,
    /// Generations begin here: another run's calls have other names.
    seed: u32,
    is_finishing: bool,
    fixed: Fixed,
}

/// Pieces of messages that are the same in all of them.
#[derive(Debug)]
struct Fixed {
    /// `\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK`.
    via: Vec<u8>,
    /// `192.0.2.10:5060`, where the appliance is.
    appliance: Vec<u8>,
    /// `192.0.2.1:5060`.
    local: Vec<u8>,
    /// The host of From.
    home: Vec<u8>,
    sdp: Sdp,
}

impl Callers {
    pub(crate) fn new(settings: CallSettings, seed: u32) -> Result<Self, String> {
        settings.check()?;
        let local = settings.caller.address.to_string().into_bytes();
        let appliance = settings.appliance.to_string().into_bytes();
        let home = settings
            .users
            .as_ref()
            .map_or_else(|| local.clone(), |u| u.domain.clone());
        let fixed = Fixed {
            via: [
                b"\r\nVia: SIP/2.0/UDP ",
                &local[..],
                b";rport;branch=z9hG4bK",
            ]
            .concat(),
            sdp: Sdp::new(settings.caller.address.ip(), settings.ptime),
            appliance,
            local,
            home,
        };
        Ok(Self {
            calls: Vec::new(),
            free: Free::default(),
            ports: ports(&settings),
            arrivals: Arrivals::new(settings.rate, settings.spread),
            active: 0,
            begun: 0,
            seed,
            is_finishing: false,
            fixed,
            settings,
        })
    }

    /// Calls that are not over.
    pub(crate) const fn active(&self) -> u32 {
        self.active
    }

    /// Begins what is due.
    pub(crate) fn begin_due(&mut self, context: &mut Context<'_>) {
        if self.is_finishing {
            return;
        }
        let due = self
            .arrivals
            .due(context.now, AT_ONCE, &mut context.shared.random);
        for _ in 0..due {
            if self.settings.limit.is_some_and(|l| self.begun >= l) {
                return;
            }
            if self.active >= self.settings.concurrent {
                // Without an end of their own calls just stay up: this is what was wanted.
                let ends = u64::from(self.settings.hold.is_some());
                context.shared.counts.calls_held_back += ends;
                continue;
            }
            self.begin(context);
        }
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        let Some(slot) = self.slot() else { return };
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        let media_port = self.ports.pop_front();
        *call = Call {
            state: State::Calling,
            generation: call.generation.wrapping_add(1),
            number: self.begun,
            cseq: 0,
            invite: 0,
            timer: call.timer,
            interval: T1,
            deadline: 0,
            began: context.now,
            has_rung: false,
            media_port: media_port.unwrap_or(self.settings.media_ports.0),
            remote: Remote::default(),
            credentials: Vec::new(),
            called: None,
            stream: None,
        };
        self.begun += 1;
        self.active += 1;
        context.shared.counts.calls_attempted += 1;
        self.invite(context, slot);
    }

    /// A slot that is not in use.
    fn slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.take(false) {
            return Some(slot);
        }
        let slot = u32::try_from(self.calls.len()).ok()?;
        self.calls.push(Call {
            state: State::Over,
            generation: self.seed,
            number: 0,
            cseq: 0,
            invite: 0,
            timer: 0,
            interval: T1,
            deadline: 0,
            began: 0,
            has_rung: false,
            media_port: 0,
            remote: Remote::default(),
            credentials: Vec::new(),
            called: None,
            stream: None,
        });
        Some(slot)
    }

    /// A new INVITE of a call.
    fn invite(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        call.cseq += 1;
        call.invite = call.cseq;
        call.interval = T1;
        call.deadline = context.now + TRIED;
        self.repeat(context, slot, b"INVITE");
    }

    /// Sends the request of the transaction under way, and sets its timer.
    fn repeat(&mut self, context: &mut Context<'_>, slot: u32, method: &[u8]) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        let (to, bytes) = self.request(slot, call, method, call.cseq);
        let next = (context.now + call.interval).min(call.deadline);
        context.send(self.settings.caller, to, bytes);
        self.wake(context, slot, next);
    }

    fn wake(&mut self, context: &mut Context<'_>, slot: u32, at: Nanos) {
        if let Some(call) = self.calls.get_mut(slot as usize) {
            call.timer = call.timer.wrapping_add(1);
            context.wake(at, Owner::Caller, slot, call.timer);
        }
    }

    /// A timer went off.
    pub(crate) fn timer(
        &mut self,
        context: &mut Context<'_>,
        called: Option<&mut Called>,
        slot: u32,
        number: u32,
    ) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        if call.timer != number {
            return;
        }
        let is_late = context.now >= call.deadline;
        match call.state {
            State::Over => {}
            State::Calling | State::Cancelling | State::Leaving if is_late => {
                context.shared.counts.timeouts += 1;
                if call.state == State::Leaving {
                    context.shared.counts.calls_up =
                        context.shared.counts.calls_up.saturating_sub(1);
                }
                self.over(context, slot);
            }
            State::Calling => {
                call.interval *= 2;
                context.shared.counts.retransmissions_sent += 1;
                self.repeat(context, slot, b"INVITE");
            }
            State::Proceeding => {
                call.state = State::Cancelling;
                call.interval = T1;
                call.deadline = context.now + TRIED;
                self.repeat(context, slot, b"CANCEL");
            }
            State::Cancelling | State::Leaving => {
                let method: &[u8] = if call.state == State::Leaving {
                    b"BYE"
                } else {
                    b"CANCEL"
                };
                call.interval = (call.interval * 2).min(T2);
                context.shared.counts.retransmissions_sent += 1;
                self.repeat(context, slot, method);
            }
            State::Up => self.close(context, called, slot),
            State::Closing => self.leave(context, slot),
        }
    }

    /// Ends the media of a call that is up, so that its BYE finds nothing on the way.
    fn close(&mut self, context: &mut Context<'_>, called: Option<&mut Called>, slot: u32) {
        let hangup = self.settings.hangup;
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        call.state = State::Closing;
        let has_media = call.stream.is_some();
        if let Some(stream) = call.stream.take() {
            context.out.stop(stream);
        }
        let by_called = match hangup {
            Hangup::Caller => false,
            Hangup::Called => true,
            Hangup::Both => call.number % 2 == 1,
        };
        let at = context.now + if has_media { TAIL } else { 0 };
        // The other end's BYE is waited for as for an answer to ours.
        let mut limit = at;
        if let (Some(called), Some(other)) = (called, call.called) {
            called.close(context, other, by_called.then_some(at));
            limit += if by_called { TRIED } else { 0 };
        }
        self.wake(context, slot, limit);
    }

    fn leave(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        call.state = State::Leaving;
        call.cseq += 1;
        call.interval = T1;
        call.deadline = context.now + TRIED;
        call.credentials.clear();
        self.repeat(context, slot, b"BYE");
    }

    fn over(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        if call.state == State::Over {
            return;
        }
        call.state = State::Over;
        call.timer = call.timer.wrapping_add(1);
        if let Some(stream) = call.stream.take() {
            context.out.stop(stream);
        }
        if self.settings.media {
            self.ports.push_back(call.media_port);
        }
        self.active = self.active.saturating_sub(1);
        self.free.put(slot);
    }

    /// A response to a request of ours.
    pub(crate) fn response(
        &mut self,
        context: &mut Context<'_>,
        called: Option<&mut Called>,
        view: &View<'_>,
        from: SocketAddr,
        tag: Tag,
    ) {
        let found = self.calls.get_mut(tag.slot as usize);
        let Some(call) = found.filter(|c| c.generation == tag.generation) else {
            context.shared.counts.late += 1;
            return;
        };
        match view.cseq() {
            Some((number, b"INVITE")) if number == call.invite => {
                self.answer(context, called, view, from, tag.slot);
            }
            Some((number, b"INVITE")) if number < call.invite => {
                // The challenge came again: our ACK was lost.
                self.acknowledge_refusal(context, view, tag.slot, number);
                context.shared.counts.retransmissions_received += 1;
            }
            Some((number, b"BYE")) if number == call.cseq => self.farewell(context, view, tag.slot),
            Some((_, b"CANCEL" | b"BYE")) => {}
            _ => context.shared.counts.strange += 1,
        }
    }

    /// An answer to the INVITE under way.
    fn answer(
        &mut self,
        context: &mut Context<'_>,
        called: Option<&mut Called>,
        view: &View<'_>,
        from: SocketAddr,
        slot: u32,
    ) {
        let patience = self.settings.patience;
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        let (status, state, invite) = (view.status(), call.state, call.invite);
        let is_open = matches!(
            state,
            State::Calling | State::Proceeding | State::Cancelling
        );
        match status {
            100..=199 => {
                if status > 100 && is_open && !call.has_rung {
                    call.has_rung = true;
                    let took = context.now.saturating_sub(call.began);
                    context.shared.ringing.record(took);
                }
                if state == State::Calling {
                    call.state = State::Proceeding;
                    self.wake(context, slot, context.now + patience);
                }
            }
            200..=299 if is_open => self.established(context, called, view, from, slot),
            200..=299 => {
                // It came again: so the ACK was lost.
                context.shared.counts.retransmissions_received += 1;
                self.acknowledge(context, slot);
            }
            401 | 407 if is_open && self.prove(context, view, slot) => {}
            _ => {
                self.acknowledge_refusal(context, view, slot, invite);
                if is_open {
                    let counts = &mut context.shared.counts;
                    if state == State::Cancelling {
                        counts.timeouts += 1;
                    } else {
                        *counts.calls_failed.entry(status).or_default() += 1;
                    }
                    self.over(context, slot);
                } else {
                    context.shared.counts.retransmissions_received += 1;
                }
            }
        }
    }

    fn established(
        &mut self,
        context: &mut Context<'_>,
        called: Option<&mut Called>,
        view: &View<'_>,
        from: SocketAddr,
        slot: u32,
    ) {
        let Self {
            settings,
            calls,
            is_finishing,
            ..
        } = self;
        let Some(call) = calls.get_mut(slot as usize) else {
            return;
        };
        call.remote = Remote::read(view, from, true);
        let was_cancelled = call.state == State::Cancelling;
        call.state = State::Up;
        let counts = &mut context.shared.counts;
        counts.calls_answered += 1;
        counts.calls_up += 1;
        context
            .shared
            .setup
            .record(context.now.saturating_sub(call.began));
        let other = called.as_ref().zip(call.called);
        let other = other.and_then(|(called, slot)| called.media_of(slot));
        if settings.media && !was_cancelled {
            let begin = context.now + context.shared.phase(settings.ptime);
            call.stream = call.remote.media.map(|to| {
                context.out.start(StreamSpec {
                    port: settings.caller.port,
                    source: SocketAddr::new(settings.caller.address.ip(), call.media_port),
                    destination: to,
                    arrives: other,
                    payload: Payload {
                        payload_type: call.remote.payload_type,
                        ptime_ms: settings.ptime,
                    },
                    begin,
                })
            });
            if call.stream.is_none() {
                context.shared.counts.without_media += 1;
            }
        }
        let hold = match (settings.hold, settings.hold_spread) {
            (_, _) if was_cancelled || *is_finishing => Some(0),
            (None, _) => None,
            (Some(hold), HoldSpread::Fixed) => Some(hold),
            (Some(hold), HoldSpread::Exponential) => {
                Some((hold as f64 * context.shared.random.exponential()) as u64)
            }
        };
        // No repetition any more, whatever else.
        call.timer = call.timer.wrapping_add(1);
        self.acknowledge(context, slot);
        if let Some(hold) = hold {
            self.wake(context, slot, context.now + hold);
        }
    }

    fn farewell(&mut self, context: &mut Context<'_>, view: &View<'_>, slot: u32) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        if view.status() < 200 || call.state != State::Leaving {
            return;
        }
        let is_first = call.credentials.is_empty();
        if matches!(view.status(), 401 | 407)
            && is_first
            && self.credentials(context, view, slot, b"BYE")
        {
            if let Some(call) = self.calls.get_mut(slot as usize) {
                call.cseq += 1;
                call.interval = T1;
            }
            return self.repeat(context, slot, b"BYE");
        }
        let counts = &mut context.shared.counts;
        counts.calls_up = counts.calls_up.saturating_sub(1);
        if view.status() < 300 {
            counts.calls_completed += 1;
        } else {
            *counts.byes_refused.entry(view.status()).or_default() += 1;
        }
        self.over(context, slot);
    }

    /// BYE from the other end. True when the call is known.
    pub(crate) fn hung_up(&mut self, context: &mut Context<'_>, tag: Tag) -> bool {
        let found = self.calls.get_mut(tag.slot as usize);
        let Some(call) = found.filter(|c| c.generation == tag.generation) else {
            return false;
        };
        let counts = &mut context.shared.counts;
        match call.state {
            State::Over => counts.retransmissions_received += 1,
            State::Closing => {
                counts.calls_up = counts.calls_up.saturating_sub(1);
                counts.calls_completed += 1;
            }
            // Both at once: our BYE's answer will come.
            State::Leaving => return true,
            State::Up => {
                counts.calls_up = counts.calls_up.saturating_sub(1);
                counts.calls_cut += 1;
            }
            State::Calling | State::Proceeding | State::Cancelling => counts.strange += 1,
        }
        self.over(context, tag.slot);
        true
    }

    /// Remembers which slot of the answering end a call has come to; answers where its media is.
    pub(crate) fn meet(&mut self, tag: Tag, called: u32) -> Option<(usize, SocketAddr)> {
        let found = self.calls.get_mut(tag.slot as usize);
        let call = found.filter(|c| c.generation == tag.generation)?;
        call.called = Some(called);
        let side = self.settings.caller;
        Some((
            side.port,
            SocketAddr::new(side.address.ip(), call.media_port),
        ))
    }

    /// No new calls; those that are up end, some at a time.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) {
        self.is_finishing = true;
        let rate = self.arrivals.rate(context.now).max(FAREWELLS);
        let mut count = 0.0;
        for slot in 0..self.calls.len() {
            if self.calls.get(slot).is_none_or(|c| c.state != State::Up) {
                continue;
            }
            let after = (count / rate * SECOND as f64) as u64;
            count += 1.0;
            self.wake(
                context,
                u32::try_from(slot).unwrap_or(0),
                context.now + after,
            );
        }
    }

    /// Another rate from now on.
    pub(crate) fn change_rate(&mut self, rate: super::Rate) {
        self.arrivals.change(rate);
    }
}

/// All media ports, the first first.
pub(crate) fn ports(settings: &CallSettings) -> std::collections::VecDeque<u16> {
    if settings.media {
        let (first, last) = settings.media_ports;
        (first..last).step_by(2).collect()
    } else {
        std::collections::VecDeque::new()
    }
}

/// The tag of a header that says whose it is.
pub(crate) fn ours(value: &[u8]) -> Option<Tag> {
    tag(value).and_then(Tag::read)
}
