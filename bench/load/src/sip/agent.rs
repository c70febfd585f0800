//! The agent: gives each datagram and each timer to the part that it is for.

use tandem_wire::sip::{self, Index, Name};

use super::Rate;
use super::called::{Called, plain};
use super::callers::{Callers, ours};
use super::dialog::{copy, status_line};
use super::random::Random;
use super::settings::{CallSettings, RegisterSettings, Side};
use super::shared::{Context, Owner, Shared};
use super::users::Registering;
use super::view::View;
use super::wheel::{Alarm, Wheel};
use crate::Nanos;
use crate::figures::SipCounts;
use crate::generator::{self, Datagram, Outbox};
use crate::histogram::Histogram;

/// Timers that are served at one look at the clock, at most.
const AT_ONCE: usize = 64;

/// Callers, who answers them, and who registers: as much of it as it is told.
#[derive(Debug)]
pub struct Agent {
    shared: Shared,
    callers: Option<Callers>,
    called: Option<Called>,
    users: Option<Registering>,
    index: Index,
    due: Vec<Alarm<Owner>>,
    served: usize,
    is_started: bool,
}

impl Agent {
    /// An agent with nothing to do but to answer OPTIONS. `seed` makes this run's names other ones than another run's.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            shared: Shared {
                wheel: Wheel::new(0),
                random: Random::new(seed),
                counts: SipCounts::default(),
                setup: Histogram::default(),
                ringing: Histogram::default(),
                registration: Histogram::default(),
            },
            callers: None,
            called: None,
            users: None,
            index: Index::default(),
            due: Vec::new(),
            served: 0,
            is_started: false,
        }
    }

    /// Places calls, and answers them if the settings say where.
    ///
    /// # Errors
    /// With what cannot be.
    pub fn with_calls(mut self, settings: CallSettings) -> Result<Self, String> {
        self.called = self.answering(&settings);
        self.callers = Some(Callers::new(settings, self.shared.random.next32())?);
        Ok(self)
    }

    /// Answers calls, and places none.
    ///
    /// # Errors
    /// With what cannot be.
    pub fn with_answers(mut self, settings: &CallSettings) -> Result<Self, String> {
        settings.check()?;
        self.called = self.answering(settings);
        Ok(self)
    }

    /// Registers.
    ///
    /// # Errors
    /// With what cannot be.
    pub fn with_registrations(mut self, settings: RegisterSettings) -> Result<Self, String> {
        self.users = Some(Registering::new(settings, self.shared.random.next32())?);
        Ok(self)
    }

    fn answering(&mut self, settings: &CallSettings) -> Option<Called> {
        let seed = self.shared.random.next32();
        let side = settings.called?;
        Some(Called::new(settings.clone(), side, seed))
    }

    /// Another rate of calls from now on.
    pub fn change_call_rate(&mut self, rate: Rate) {
        if let Some(callers) = &mut self.callers {
            callers.change_rate(rate);
        }
    }

    /// Another rate of registrations from now on.
    pub fn change_registration_rate(&mut self, rate: Rate) {
        if let Some(users) = &mut self.users {
            users.change_rate(rate);
        }
    }

    fn request(&mut self, now: Nanos, datagram: Datagram<'_>, view: &View<'_>, out: &mut Outbox) {
        let Self {
            shared,
            callers,
            called,
            ..
        } = self;
        let context = &mut Context { now, out, shared };
        let (from, us) = (
            datagram.remote,
            Side {
                port: datagram.port,
                address: datagram.local,
            },
        );
        let tag = ours(view.header(Name::To));
        let code = match (view.method(), tag) {
            (b"INVITE", None) => match called {
                Some(called) => {
                    called.invite(context, callers.as_mut(), view, from);
                    return;
                }
                None => {
                    context.shared.counts.strange += 1;
                    480
                }
            },
            (b"ACK", tag) => {
                match (called, tag) {
                    (Some(called), Some(tag)) if tag.owner == Owner::Called => {
                        called.acknowledged(context, tag);
                    }
                    // Of a re-INVITE's 200, or of a refusal without a call.
                    _ => {}
                }
                return;
            }
            (b"BYE", Some(tag)) => {
                let is_known = match tag.owner {
                    Owner::Caller => callers.as_mut().is_some_and(|c| c.hung_up(context, tag)),
                    Owner::Called => called.as_mut().is_some_and(|c| c.hung_up(context, tag)),
                    Owner::User => false,
                };
                if is_known { 200 } else { 481 }
            }
            (b"CANCEL", _) => {
                let is_known = called.as_mut().is_some_and(|c| c.cancelled(context, view));
                if is_known { 200 } else { 481 }
            }
            (b"INVITE" | b"UPDATE", Some(tag)) => {
                let mut response = Vec::with_capacity(1024);
                status_line(&mut response, 200);
                copy(&mut response, view, false, |_| {});
                let is_known = match tag.owner {
                    Owner::Caller => callers
                        .as_ref()
                        .is_some_and(|c| c.describe(&mut response, tag)),
                    Owner::Called => called
                        .as_ref()
                        .is_some_and(|c| c.describe(&mut response, tag)),
                    Owner::User => false,
                };
                if is_known {
                    context.send(us, from, response);
                    return;
                }
                481
            }
            (b"OPTIONS" | b"INFO" | b"NOTIFY", _) => 200,
            _ => {
                context.shared.counts.strange += 1;
                405
            }
        };
        let number = context.shared.random.next32();
        context.send(us, from, plain(view, code, number));
    }

    fn response(&mut self, now: Nanos, datagram: Datagram<'_>, view: &View<'_>, out: &mut Outbox) {
        let Self {
            shared,
            callers,
            called,
            users,
            ..
        } = self;
        let context = &mut Context { now, out, shared };
        let from = datagram.remote;
        match ours(view.header(Name::From)) {
            Some(tag) if tag.owner == Owner::Caller => {
                if let Some(callers) = callers {
                    return callers.response(context, called.as_mut(), view, from, tag);
                }
            }
            Some(tag) if tag.owner == Owner::Called => {
                if let Some(called) = called {
                    return called.response(context, view, tag);
                }
            }
            Some(tag) => {
                if let Some(users) = users {
                    return users.response(context, view, tag);
                }
            }
            None => {}
        }
        context.shared.counts.strange += 1;
    }
}

impl generator::Agent for Agent {
    fn datagram(&mut self, now: Nanos, datagram: Datagram<'_>, out: &mut Outbox) {
        let mut index = std::mem::take(&mut self.index);
        match sip::parse_into(datagram.payload, &mut index) {
            Ok(()) => {
                let view = View {
                    bytes: datagram.payload,
                    index: &index,
                };
                if view.status() == 0 {
                    self.request(now, datagram, &view, out);
                } else {
                    self.response(now, datagram, &view, out);
                }
            }
            Err(sip::Error::Keepalive) => {}
            Err(_) => self.shared.counts.strange += 1,
        }
        self.index = index;
    }

    fn poll(&mut self, now: Nanos, out: &mut Outbox) {
        let Self {
            shared,
            callers,
            called,
            users,
            due,
            served,
            is_started,
            ..
        } = self;
        if !*is_started {
            *is_started = true;
            shared.wheel = Wheel::new(now);
        }
        if *served >= due.len() {
            due.clear();
            *served = 0;
            shared.wheel.expire(now, due);
        }
        let context = &mut Context { now, out, shared };
        for alarm in due.iter().skip(*served).take(AT_ONCE) {
            let (slot, number) = (alarm.slot, alarm.number);
            match alarm.owner {
                Owner::Caller => {
                    if let Some(callers) = callers {
                        callers.timer(context, called.as_mut(), slot, number);
                    }
                }
                Owner::Called => {
                    if let Some(called) = called {
                        called.timer(context, slot, number);
                    }
                }
                Owner::User => {
                    if let Some(users) = users {
                        users.timer(context, slot, number);
                    }
                }
            }
        }
        *served += AT_ONCE;
        if let Some(callers) = callers {
            callers.begin_due(context);
        }
        if let Some(users) = users {
            users.begin_due(context);
        }
    }

    fn finish(&mut self, now: Nanos, out: &mut Outbox) {
        let context = &mut Context {
            now,
            out,
            shared: &mut self.shared,
        };
        if let Some(callers) = &mut self.callers {
            callers.finish(context);
        }
        if let Some(users) = &mut self.users {
            users.finish();
        }
    }

    fn done(&self) -> bool {
        let callers = self.callers.as_ref().map_or(0, Callers::active);
        let called = self.called.as_ref().map_or(0, Called::active);
        let users = self.users.as_ref().map_or(0, Registering::open);
        // Who answers others' calls is done when they are.
        callers == 0 && called == 0 && users == 0
    }

    fn counts(&self) -> &SipCounts {
        &self.shared.counts
    }

    fn setup(&self) -> &Histogram {
        &self.shared.setup
    }

    fn ringing(&self) -> &Histogram {
        &self.shared.ringing
    }

    fn registration(&self) -> &Histogram {
        &self.shared.registration
    }
}
