//! User agents that register (RFC 3261 section 10.2).

use std::collections::VecDeque;

use tandem_wire::sip::Name;

use super::arrivals::Arrivals;
use super::dialog::{NO_BODY, put};
use super::digest::{Challenge, Secret};
use super::settings::{RegisterSettings, T1, T2, TRIED};
use super::shared::{Context, Owner, Tag};
use super::text::{decimal, hex};
use super::view::View;
use crate::{Nanos, SECOND};

/// REGISTERs that are begun at one look at the clock, at most.
const AT_ONCE: u32 = 32;

/// One user agent.
#[derive(Debug, Default)]
struct User {
    cseq: u32,
    timer: u32,
    interval: Nanos,
    deadline: Nanos,
    began: Nanos,
    /// A REGISTER waits for its answer.
    is_open: bool,
    is_registered: bool,
    /// How many challenges this registration was given.
    challenges: u8,
    challenge: Option<Box<Challenge>>,
    /// The last request's credentials: a header line with its end.
    credentials: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Registering {
    settings: RegisterSettings,
    users: Vec<User>,
    arrivals: Arrivals,
    /// Who was never registered yet: the next one's number.
    next: u32,
    /// Whose registration is half over.
    again: VecDeque<u32>,
    open: u32,
    seed: u32,
    is_finishing: bool,
    uri: Vec<u8>,
    via: Vec<u8>,
    local: Vec<u8>,
}

impl Registering {
    pub(crate) fn new(settings: RegisterSettings, seed: u32) -> Result<Self, String> {
        settings.rate.check()?;
        let local = settings.from.address;
        Ok(Self {
            users: (0..settings.users.count).map(|_| User::default()).collect(),
            arrivals: Arrivals::new(settings.rate, settings.spread),
            next: 0,
            again: VecDeque::new(),
            open: 0,
            seed,
            is_finishing: false,
            uri: [b"sip:", &settings.users.domain[..]].concat(),
            via: format!(" SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK").into_bytes(),
            local: local.to_string().into_bytes(),
            settings,
        })
    }

    /// REGISTERs that wait for an answer.
    pub(crate) const fn open(&self) -> u32 {
        self.open
    }

    pub(crate) const fn finish(&mut self) {
        self.is_finishing = true;
    }

    pub(crate) fn change_rate(&mut self, rate: super::Rate) {
        self.arrivals.change(rate);
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
            let Some(number) = self.take_next() else {
                return;
            };
            self.begin(context, number);
        }
    }

    /// Who is next: who is due again, then who never was, then from the first on if that is wanted.
    fn take_next(&mut self) -> Option<u32> {
        if let Some(number) = self.again.pop_front() {
            return Some(number);
        }
        if self.next >= self.settings.users.count {
            if !self.settings.repeat {
                return None;
            }
            self.next = 0;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn begin(&mut self, context: &mut Context<'_>, number: u32) {
        let Some(user) = self.users.get_mut(number as usize) else {
            return;
        };
        if user.is_open {
            context.shared.counts.registrations_held_back += 1;
            return;
        }
        user.is_open = true;
        user.challenges = 0;
        user.began = context.now;
        self.open += 1;
        context.shared.counts.registrations_attempted += 1;
        self.register(context, number);
    }

    /// A new REGISTER, with the nonce of the last challenge if there was one.
    fn register(&mut self, context: &mut Context<'_>, number: u32) {
        let cnonce = context.shared.random.next32();
        let Some(user) = self.users.get_mut(number as usize) else {
            return;
        };
        user.cseq += 1;
        user.interval = T1;
        user.deadline = context.now + TRIED;
        user.credentials.clear();
        if let Some(challenge) = &mut user.challenge {
            let all = &self.settings.users;
            let n = u64::from(number);
            let (name, password) = (all.name.with(n), all.password.with(n));
            let secret = Secret {
                user: &name,
                password: &password,
            };
            user.credentials.extend_from_slice(b"Authorization: ");
            challenge.answer(
                &mut user.credentials,
                secret,
                b"REGISTER",
                &self.uri,
                cnonce,
            );
            user.credentials.extend_from_slice(b"\r\n");
        }
        self.send(context, number);
    }

    fn send(&mut self, context: &mut Context<'_>, number: u32) {
        let Some(user) = self.users.get(number as usize) else {
            return;
        };
        let all = &self.settings.users;
        let n = u64::from(number);
        let mut out = Vec::with_capacity(768);
        put(&mut out, &[b"REGISTER ", &self.uri, &self.via]);
        hex(&mut out, number);
        hex(&mut out, self.seed);
        decimal(&mut out, u64::from(user.cseq));
        out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
        for (name, tag) in [(&b"From: <sip:"[..], true), (b"To: <sip:", false)] {
            out.extend_from_slice(name);
            all.name.write(&mut out, n);
            put(&mut out, &[b"@", &all.domain, b">"]);
            if tag {
                out.extend_from_slice(b";tag=");
                let tag = Tag {
                    owner: Owner::User,
                    slot: number,
                    generation: self.seed,
                };
                tag.write(&mut out);
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Call-ID: r");
        hex(&mut out, self.seed);
        hex(&mut out, number);
        out.extend_from_slice(b"@tandem-load\r\nCSeq: ");
        decimal(&mut out, u64::from(user.cseq));
        out.extend_from_slice(b" REGISTER\r\nContact: <sip:");
        all.name.write(&mut out, n);
        put(&mut out, &[b"@", &self.local, b">\r\nExpires: "]);
        decimal(&mut out, u64::from(self.settings.expires));
        put(&mut out, &[b"\r\n", &user.credentials, NO_BODY]);
        let at = (context.now + user.interval).min(user.deadline);
        context.send(self.settings.from, self.settings.appliance, out);
        self.wake(context, number, at);
    }

    fn wake(&mut self, context: &mut Context<'_>, number: u32, at: Nanos) {
        if let Some(user) = self.users.get_mut(number as usize) {
            user.timer = user.timer.wrapping_add(1);
            context.wake(at, Owner::User, number, user.timer);
        }
    }

    /// A timer went off.
    pub(crate) fn timer(&mut self, context: &mut Context<'_>, number: u32, timer: u32) {
        let Some(user) = self.users.get_mut(number as usize) else {
            return;
        };
        if user.timer != timer {
            return;
        }
        if !user.is_open {
            // Half of its time is over.
            if !self.is_finishing {
                self.again.push_back(number);
                self.arrivals_owe_one(context);
            }
        } else if context.now >= user.deadline {
            context.shared.counts.registrations_timeouts += 1;
            self.close(context, number, false);
        } else {
            user.interval = (user.interval * 2).min(T2);
            context.shared.counts.retransmissions_sent += 1;
            self.send(context, number);
        }
    }

    /// When all were registered once, who is due again does not wait for the rate.
    fn arrivals_owe_one(&mut self, context: &mut Context<'_>) {
        if self.next >= self.settings.users.count
            && let Some(number) = self.again.pop_front()
        {
            self.begin(context, number);
        }
    }

    fn close(&mut self, context: &mut Context<'_>, number: u32, is_registered: bool) {
        let Some(user) = self.users.get_mut(number as usize) else {
            return;
        };
        user.is_open = false;
        user.timer = user.timer.wrapping_add(1);
        self.open = self.open.saturating_sub(1);
        let counts = &mut context.shared.counts;
        match (user.is_registered, is_registered) {
            (false, true) => counts.registered += 1,
            (true, false) => counts.registered = counts.registered.saturating_sub(1),
            _ => {}
        }
        user.is_registered = is_registered;
        // Who failed tries again after as long.
        let half = u64::from(self.settings.expires) * SECOND / 2;
        if !self.settings.repeat {
            self.wake(context, number, context.now + half);
        }
    }

    /// A response.
    pub(crate) fn response(&mut self, context: &mut Context<'_>, view: &View<'_>, tag: Tag) {
        let found = self.users.get_mut(tag.slot as usize);
        let Some(user) = found.filter(|_| tag.generation == self.seed) else {
            context.shared.counts.late += 1;
            return;
        };
        let cseq = view.cseq().map(|(number, _)| number);
        if cseq != Some(user.cseq) || !user.is_open {
            context.shared.counts.retransmissions_received += 1;
            return;
        }
        match view.status() {
            0..=199 => {}
            200..=299 => {
                let took = context.now.saturating_sub(user.began);
                context.shared.registration.record(took);
                context.shared.counts.registrations_answered += 1;
                self.close(context, tag.slot, true);
            }
            status => {
                // A nonce that was used before may be too old: two challenges for one registration are in order.
                let value = view.header(Name::WwwAuthenticate);
                let most = if Challenge::is_stale(value) { 2 } else { 1 };
                let challenge = (status == 401 && user.challenges < most)
                    .then(|| Challenge::read(value))
                    .flatten();
                if let Some(challenge) = challenge {
                    user.challenges += 1;
                    user.challenge = Some(Box::new(challenge));
                    self.register(context, tag.slot);
                } else {
                    let failed = &mut context.shared.counts.registrations_failed;
                    *failed.entry(status).or_default() += 1;
                    user.challenge = None;
                    self.close(context, tag.slot, false);
                }
            }
        }
    }
}
