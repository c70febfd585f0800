//! Who answers calls (RFC 3261 sections 13.3 and 17.2).

use std::hash::Hasher as _;
use std::net::SocketAddr;

use rustc_hash::{FxHashMap, FxHasher};
use tandem_wire::sip::Name;

use super::callers::{Callers, ours, ports};
use super::dialog::{NO_BODY, Remote, Sdp, copy, put, status_line};
use super::settings::{CallSettings, Side, T1, T2, TRIED};
use super::shared::{Context, Free, Owner, Tag};
use super::text::{decimal, hex};
use super::view::View;
use crate::Nanos;
use crate::generator::{Payload, StreamId, StreamSpec};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is over. What still comes for it is answered.
    Over,
    /// The INVITE came.
    Coming,
    /// It rings.
    Ringing,
    /// 200 is sent, and ACK has not come.
    Answered,
    /// A refusal is sent, and ACK has not come.
    Refused,
    /// It is up.
    Up,
    /// Its media is ending, and our BYE follows.
    Closing,
    /// BYE is sent.
    Leaving,
}

/// One call.
#[derive(Debug)]
struct Call {
    state: State,
    generation: u32,
    timer: u32,
    interval: Nanos,
    deadline: Nanos,
    /// What finds it: its INVITE's transaction.
    key: u64,
    /// Who sent the INVITE.
    source: SocketAddr,
    /// What all responses to the INVITE have in common; empty when they are over.
    head: Vec<u8>,
    /// The final answer's code.
    code: u16,
    /// When 200 is due.
    answer_at: Nanos,
    /// From, To and Call-ID of requests of ours.
    identity: Vec<u8>,
    remote: Remote,
    media_port: u16,
    /// Where the calling end's media is, when that is ours.
    other: Option<(usize, SocketAddr)>,
    stream: Option<StreamId>,
}

/// All calls at their answering end.
#[derive(Debug)]
pub(crate) struct Called {
    side: Side,
    settings: CallSettings,
    calls: Vec<Call>,
    free: Free,
    by_key: FxHashMap<u64, u32>,
    ports: std::collections::VecDeque<u16>,
    active: u32,
    taken: u64,
    seed: u32,
    contact: Vec<u8>,
    via: Vec<u8>,
    sdp: Sdp,
}

impl Called {
    pub(crate) fn new(settings: CallSettings, side: Side, seed: u32) -> Self {
        let local = side.address;
        Self {
            side,
            calls: Vec::new(),
            free: Free::default(),
            by_key: FxHashMap::default(),
            ports: ports(&settings),
            active: 0,
            taken: 0,
            seed,
            contact: format!("Contact: <sip:tandem-load@{local}>\r\n").into_bytes(),
            via: format!(" SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK").into_bytes(),
            sdp: Sdp::new(local.ip(), settings.ptime),
            settings,
        }
    }

    /// Calls that are not over.
    pub(crate) const fn active(&self) -> u32 {
        self.active
    }

    /// An INVITE outside of a dialog.
    pub(crate) fn invite(
        &mut self,
        context: &mut Context<'_>,
        callers: Option<&mut Callers>,
        view: &View<'_>,
        from: SocketAddr,
    ) {
        let key = key(view);
        if let Some(slot) = self.by_key.get(&key).copied() {
            context.shared.counts.retransmissions_received += 1;
            self.say_again(context, slot);
            return;
        }
        let Some(slot) = self.slot() else { return };
        let now = context.now;
        let media_port = self.ports.pop_front();
        self.taken += 1;
        let refused = self
            .settings
            .refuse
            .filter(|(every, _)| self.taken.is_multiple_of(u64::from(*every)));
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        let tag = Tag {
            owner: Owner::Called,
            slot,
            generation: call.generation.wrapping_add(1),
        };
        let mut head = Vec::with_capacity(512);
        copy(&mut head, view, true, |out| tag.write(out));
        let mut identity = Vec::with_capacity(256);
        put(&mut identity, &[b"From: ", view.header(Name::To), b";tag="]);
        tag.write(&mut identity);
        put(
            &mut identity,
            &[
                b"\r\nTo: ",
                view.header(Name::From),
                b"\r\nCall-ID: ",
                view.header(Name::CallId),
                b"\r\nCSeq: 1 BYE\r\n",
            ],
        );
        let other = ours(view.header(Name::From)).filter(|t| t.owner == Owner::Caller);
        let other = other.and_then(|tag| callers?.meet(tag, slot));
        *call = Call {
            state: State::Coming,
            generation: tag.generation,
            timer: call.timer,
            interval: T1,
            deadline: 0,
            key,
            source: from,
            head,
            code: refused.map_or(200, |(_, code)| code),
            answer_at: now + self.settings.answer_after,
            identity,
            remote: Remote::read(view, from, false),
            media_port: media_port.unwrap_or(self.settings.media_ports.0),
            other,
            stream: None,
        };
        self.by_key.insert(key, slot);
        self.active += 1;
        context.shared.counts.calls_taken += 1;
        match self.settings.ring_after {
            Some(0) => self.ring(context, slot),
            Some(after) if after < self.settings.answer_after => {
                self.wake(context, slot, now + after);
            }
            _ => self.wait_or_answer(context, slot),
        }
    }

    fn ring(&mut self, context: &mut Context<'_>, slot: u32) {
        if let Some(call) = self.calls.get_mut(slot as usize) {
            call.state = State::Ringing;
            self.respond(context, slot, 180);
            self.wait_or_answer(context, slot);
        }
    }

    fn wait_or_answer(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        let at = call.answer_at;
        if at <= context.now {
            self.answer(context, slot);
        } else {
            self.wake(context, slot, at);
        }
    }

    /// The final answer.
    fn answer(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        call.state = if call.code < 300 {
            State::Answered
        } else {
            State::Refused
        };
        call.interval = T1;
        call.deadline = context.now + TRIED;
        let (code, at) = (call.code, context.now + T1);
        self.respond(context, slot, code);
        self.wake(context, slot, at);
    }

    /// A response to a call's INVITE.
    fn respond(&self, context: &mut Context<'_>, slot: u32, code: u16) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        let mut out = Vec::with_capacity(1024);
        status_line(&mut out, code);
        out.extend_from_slice(&call.head);
        if code < 300 {
            out.extend_from_slice(&self.contact);
        }
        if code == 200 {
            self.sdp.write(&mut out, call.media_port);
        } else {
            out.extend_from_slice(NO_BODY);
        }
        context.send(self.side, call.source, out);
    }

    /// The INVITE came again.
    fn say_again(&self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        match call.state {
            State::Ringing => self.respond(context, slot, 180),
            State::Answered | State::Refused => self.respond(context, slot, call.code),
            _ => {}
        }
    }

    /// A slot that is not in use.
    fn slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.take(false) {
            if let Some(call) = self.calls.get(slot as usize) {
                self.by_key.remove(&call.key);
            }
            return Some(slot);
        }
        let slot = u32::try_from(self.calls.len()).ok()?;
        self.calls.push(Call {
            state: State::Over,
            generation: self.seed,
            timer: 0,
            interval: T1,
            deadline: 0,
            key: 0,
            source: self.side.address,
            head: Vec::new(),
            code: 0,
            answer_at: 0,
            identity: Vec::new(),
            remote: Remote::default(),
            media_port: 0,
            other: None,
            stream: None,
        });
        Some(slot)
    }

    fn find(&mut self, tag: Tag) -> Option<&mut Call> {
        let found = self.calls.get_mut(tag.slot as usize);
        found.filter(|c| c.generation == tag.generation)
    }

    fn wake(&mut self, context: &mut Context<'_>, slot: u32, at: Nanos) {
        if let Some(call) = self.calls.get_mut(slot as usize) {
            call.timer = call.timer.wrapping_add(1);
            context.wake(at, Owner::Called, slot, call.timer);
        }
    }

    /// A timer went off.
    pub(crate) fn timer(&mut self, context: &mut Context<'_>, slot: u32, number: u32) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        if call.timer != number {
            return;
        }
        let is_late = context.now >= call.deadline;
        match call.state {
            State::Over | State::Up => {}
            State::Coming if self.settings.ring_after.is_some() && call.answer_at > context.now => {
                self.ring(context, slot);
            }
            State::Coming | State::Ringing => self.wait_or_answer(context, slot),
            State::Answered | State::Refused | State::Leaving if is_late => {
                context.shared.counts.unacknowledged += 1;
                self.over(context, slot);
            }
            State::Answered | State::Refused => {
                call.interval = (call.interval * 2).min(T2);
                let (code, at) = (call.code, (context.now + call.interval).min(call.deadline));
                context.shared.counts.retransmissions_sent += 1;
                self.respond(context, slot, code);
                self.wake(context, slot, at);
            }
            State::Closing => {
                call.state = State::Leaving;
                call.interval = T1;
                call.deadline = context.now + TRIED;
                self.bye(context, slot);
            }
            State::Leaving => {
                call.interval = (call.interval * 2).min(T2);
                context.shared.counts.retransmissions_sent += 1;
                self.bye(context, slot);
            }
        }
    }

    fn bye(&mut self, context: &mut Context<'_>, slot: u32) {
        let Some(call) = self.calls.get(slot as usize) else {
            return;
        };
        let mut out = Vec::with_capacity(512);
        put(&mut out, &[b"BYE ", &call.remote.target, &self.via]);
        hex(&mut out, slot);
        hex(&mut out, call.generation);
        put(
            &mut out,
            &[
                b"s\r\nMax-Forwards: 70\r\n",
                &call.remote.routes,
                &call.identity,
                NO_BODY,
            ],
        );
        let to = call.remote.hop.unwrap_or(call.source);
        let at = (context.now + call.interval).min(call.deadline);
        context.send(self.side, to, out);
        self.wake(context, slot, at);
    }

    /// ACK, for a 2xx or a refusal.
    pub(crate) fn acknowledged(&mut self, context: &mut Context<'_>, tag: Tag) {
        let Self { settings, side, .. } = self;
        let (has_media, ptime, side) = (settings.media, settings.ptime, *side);
        let Some(call) = self.find(tag) else {
            context.shared.counts.late += 1;
            return;
        };
        match call.state {
            State::Answered => {
                call.state = State::Up;
                call.timer = call.timer.wrapping_add(1);
                call.head = Vec::new();
                if let Some(to) = call.remote.media.filter(|_| has_media) {
                    let payload = Payload {
                        payload_type: call.remote.payload_type,
                        ptime_ms: ptime,
                    };
                    let begin = context.now + context.shared.phase(ptime);
                    call.stream = Some(context.out.start(StreamSpec {
                        port: side.port,
                        source: SocketAddr::new(side.address.ip(), call.media_port),
                        destination: to,
                        arrives: call.other,
                        payload,
                        begin,
                    }));
                }
            }
            State::Refused => self.over(context, tag.slot),
            _ => {}
        }
    }

    /// BYE from the other end. True when the call is known.
    pub(crate) fn hung_up(&mut self, context: &mut Context<'_>, tag: Tag) -> bool {
        let Some(call) = self.find(tag) else {
            return false;
        };
        if call.state == State::Over {
            context.shared.counts.retransmissions_received += 1;
        }
        self.over(context, tag.slot);
        true
    }

    /// CANCEL of an INVITE. True when the call is known.
    pub(crate) fn cancelled(&mut self, context: &mut Context<'_>, view: &View<'_>) -> bool {
        let Some(slot) = self.by_key.get(&key(view)).copied() else {
            return false;
        };
        if let Some(call) = self.calls.get_mut(slot as usize)
            && matches!(call.state, State::Coming | State::Ringing)
        {
            call.code = 487;
            self.answer(context, slot);
        }
        true
    }

    /// An answer to a BYE of ours.
    pub(crate) fn response(&mut self, context: &mut Context<'_>, view: &View<'_>, tag: Tag) {
        let Some(call) = self.find(tag) else {
            context.shared.counts.late += 1;
            return;
        };
        if call.state == State::Leaving && view.status() >= 200 {
            if view.status() >= 300 {
                let refused = context.shared.counts.byes_refused.entry(view.status());
                *refused.or_default() += 1;
            }
            self.over(context, tag.slot);
        }
    }

    /// Ends a call's media, and with a time the call then.
    pub(crate) fn close(&mut self, context: &mut Context<'_>, slot: u32, bye: Option<Nanos>) {
        let Some(call) = self.calls.get_mut(slot as usize) else {
            return;
        };
        if let Some(stream) = call.stream.take() {
            context.out.stop(stream);
        }
        if let (Some(at), State::Up) = (bye, call.state) {
            call.state = State::Closing;
            self.wake(context, slot, at);
        }
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
        call.head = Vec::new();
        call.identity = Vec::new();
        call.remote = Remote::default();
        if let Some(stream) = call.stream.take() {
            context.out.stop(stream);
        }
        if self.settings.media {
            self.ports.push_back(call.media_port);
        }
        self.active = self.active.saturating_sub(1);
        self.free.put(slot);
    }

    /// SDP of a call, for a re-INVITE of the other end.
    pub(crate) fn describe(&self, out: &mut Vec<u8>, tag: Tag) -> bool {
        let found = self.calls.get(tag.slot as usize);
        match found.filter(|c| c.generation == tag.generation && c.state != State::Over) {
            Some(call) => {
                out.extend_from_slice(&self.contact);
                self.sdp.write(out, call.media_port);
                true
            }
            None => false,
        }
    }

    /// Where a call's media arrives.
    pub(crate) fn media_of(&self, slot: u32) -> Option<(usize, SocketAddr)> {
        let call = self.calls.get(slot as usize)?;
        let address = SocketAddr::new(self.side.address.ip(), call.media_port);
        Some((self.side.port, address))
    }
}

/// What an INVITE and its CANCEL have in common: the Call-ID and the topmost Via with its branch.
fn key(view: &View<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(view.header(Name::CallId));
    hasher.write_u8(0);
    hasher.write(view.header(Name::Via));
    hasher.finish()
}

/// A response outside of any call: to OPTIONS, and to what is not understood.
pub(crate) fn plain(view: &View<'_>, code: u16, number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    status_line(&mut out, code);
    copy(&mut out, view, false, |out| {
        out.push(b'o');
        decimal(out, u64::from(number));
    });
    out.extend_from_slice(
        b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nAccept: application/sdp\r\n",
    );
    out.extend_from_slice(NO_BODY);
    out
}
