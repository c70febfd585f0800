//! Who is called: ringing, the last word, and what comes of it.

use std::time::Duration;

use super::{Dialog, Do, Leg};
use crate::agent::{Agent, Alarm, Context, Key, Server, T1, TIMEOUT};
use crate::plan::{CalleePlan, Verdict};
use crate::rng::Rng;
use crate::shell::{POOL, at};
use crate::text::{self, Text};

impl Agent {
    /// A first INVITE came.
    pub fn called(&mut self, c: &mut Context<'_>, key: &Key, mut server: Server) {
        let request = &server.request;
        let call = request.number("X-Sim-Call").unwrap_or(u32::MAX);
        let leg = self.legs.len();
        let mut rng = Rng::new(c.rng.number());
        let plan = CalleePlan::new(&mut rng);
        let plain = |name| text::uri(request.value(name).unwrap_or_default()).to_owned();
        self.legs.push(Leg {
            call,
            local: format!("<{}>", plain("To")),
            remote: format!("<{}>", plain("From")),
            call_id: request.value("Call-ID").unwrap_or_default().to_owned(),
            dead: plan.verdict == Verdict::Silent,
            silent: plan.verdict == Verdict::Silent,
            invite: Some(key.clone()),
            delayed: request.body.is_empty(),
            prack: request.values("Supported").any(|v| v.contains("100rel")),
            talk: plan.talk.clone(),
            plan: Some(plan.clone()),
            ..Leg::default()
        });
        let sent = request
            .number(crate::ledger::REQUEST)
            .and_then(|n| c.ledger.sent_request(n));
        if sent.is_none_or(|s| s.call != call || s.method != "INVITE") {
            c.ledger
                .fault(format!("call {call}: an INVITE that nobody sent"));
        }
        server.leg = leg;
        self.servers.insert(key.clone(), server);
        if plan.verdict == Verdict::Silent {
            return;
        }
        if rng.per_mille(500) {
            self.respond(c, key, 100, "", &[], "");
        }
        let first = plan.rings.first().map(|r| (r.0, Do::Ring(0)));
        let (time, what) = first.unwrap_or((plan.end, Do::Final));
        c.after(time, Alarm::Leg(leg, what));
        if let Some(time) = plan.dies {
            c.after(time, Alarm::Leg(leg, Do::Die));
        }
    }

    pub(super) fn fork(&mut self, c: &mut Context<'_>, leg: usize, fork: usize) -> usize {
        let Some(of) = self.legs.get_mut(leg) else {
            return 0;
        };
        of.last_fork = fork;
        let server = of.invite.as_ref().and_then(|k| self.servers.get(k));
        let Some(request) = server.map(|s| s.request.clone()) else {
            return 0;
        };
        while of.dialogs.len() <= fork {
            of.dialogs.push(Dialog {
                local: c.ledger.name(),
                remote: request.from_tag(),
                target: request.contact().unwrap_or_default(),
                routes: request.values("Record-Route").map(str::to_owned).collect(),
                remote_cseq: request.cseq().0,
                ..Dialog::default()
            });
        }
        fork
    }

    pub(super) fn still_open(&self, leg: usize) -> Option<(Key, CalleePlan)> {
        let of = self.legs.get(leg)?;
        let key = of.invite.clone()?;
        let server = self.servers.get(&key)?;
        let open = !server.is_final();
        open.then_some((key, of.plan.clone()?))
    }

    pub(super) fn ring(&mut self, c: &mut Context<'_>, leg: usize, step: usize) {
        let Some((key, plan)) = self.still_open(leg) else {
            return;
        };
        if let Some((time, what)) = match plan.rings.get(step + 1) {
            Some(next) => Some((next.0, Do::Ring(step + 1))),
            None => Some((plan.end, Do::Final)),
        } {
            c.after(time, Alarm::Leg(leg, what));
        }
        let Some((_, fork, media, reliable)) = plan.rings.get(step).copied() else {
            return;
        };
        let dialog = self.fork(c, leg, fork);
        let (delayed, prack) = self
            .legs
            .get(leg)
            .map_or((false, false), |l| (l.delayed, l.prack));
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        let reliable = reliable && prack && of.reliable.is_none();
        let offers = delayed && media && reliable && plan.forks == 1 && !of.settled;
        let answers = !delayed && media && !(of.settled && reliable);
        if reliable {
            of.rseq += 1;
            of.settled |= offers || answers;
            of.awaits_answer |= offers;
        }
        let (rseq, tag) = (of.rseq, of.local.clone());
        let body = if offers || answers {
            self.first_sdp(c, leg, dialog)
        } else {
            String::new()
        };
        let mut headers = vec![];
        if reliable {
            headers.push(("Require", "100rel".to_owned()));
            headers.push(("RSeq", rseq.to_string()));
        }
        let code = if body.is_empty() { 180 } else { 183 };
        let text = self.respond(c, &key, code, &tag, &headers, &body);
        if reliable && let Some(of) = self.dialog(leg, dialog) {
            of.reliable = Some((rseq, text));
            c.after(T1, Alarm::Leg(leg, Do::RingAgain(dialog, rseq, T1)));
        }
    }

    /// The answer (or offer) to the first INVITE: the same in each of its responses.
    pub(super) fn first_sdp(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) -> String {
        if let Some(of) = self.dialog(leg, dialog) {
            of.version = 0;
        }
        self.sdp(c, leg, dialog)
    }

    pub(super) fn last_word(&mut self, c: &mut Context<'_>, leg: usize) {
        let Some((key, plan)) = self.still_open(leg) else {
            return;
        };
        let fork = self.legs.get(leg).map_or(0, |l| l.last_fork);
        let dialog = self.fork(c, leg, fork);
        let tag = self.dialog(leg, dialog).map(|d| d.local.clone());
        let tag = tag.unwrap_or_default();
        let waits = self
            .legs
            .get(leg)
            .is_some_and(|l| l.dialogs.iter().any(|d| d.reliable.is_some()));
        if waits && let Some(of) = self.legs.get_mut(leg) {
            of.final_tries += 1;
            if of.final_tries < 130 {
                return c.after(T1 / 2, Alarm::Leg(leg, Do::Final));
            }
            self.respond(c, &key, 504, &tag, &[], "");
            return;
        }
        match plan.verdict {
            Verdict::Answer => {
                self.accept_first(c, leg, dialog);
                if plan.second {
                    let other = self.fork(c, leg, (fork + 1) % plan.forks);
                    c.after(T1, Alarm::Leg(leg, Do::Second(other)));
                }
            }
            Verdict::Refuse(code) => {
                self.respond(c, &key, code, &tag, &[], "");
            }
            Verdict::Redirect => {
                let other = POOL.iter().find(|p| at(p) != self.address);
                let other = other.copied().unwrap_or_default();
                if POOL.iter().any(|p| at(p) == self.address) {
                    let transport = if c.streams.iter().any(|s| s == other) {
                        ";transport=tcp"
                    } else {
                        ""
                    };
                    let contact = format!("<sip:other@{other}{transport}>");
                    self.respond(c, &key, 302, &tag, &[("Contact", contact)], "");
                } else {
                    self.respond(c, &key, 480, &tag, &[], "");
                }
            }
            Verdict::Never | Verdict::Silent => {}
        }
    }

    pub(super) fn accept_first(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
        let Some(key) = self.legs.get(leg).and_then(|l| l.invite.clone()) else {
            return;
        };
        let delayed = self.legs.get(leg).is_some_and(|l| l.delayed);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        of.answered = true;
        let settled = std::mem::replace(&mut of.settled, true);
        let body = if settled {
            String::new()
        } else {
            self.first_sdp(c, leg, dialog)
        };
        self.accept(c, &key, leg, dialog, &body, delayed && !settled);
        if let Some(of) = self.legs.get_mut(leg) {
            of.result = Some(200);
        }
    }

    /// Sends a 2xx to INVITE, and again until its ACK comes.
    pub(super) fn accept(
        &mut self,
        c: &mut Context<'_>,
        key: &Key,
        leg: usize,
        dialog: usize,
        body: &str,
        offers: bool,
    ) {
        let tag = self.dialog(leg, dialog).map(|d| d.local.clone());
        // Nobody refreshes it: calls are shorter, unless a phone died.
        let expires = [("Session-Expires", "90;refresher=uas".to_owned())];
        let extra = if c.rng.per_mille(200) {
            &expires[..]
        } else {
            &[]
        };
        let text = self.respond(c, key, 200, &tag.unwrap_or_default(), extra, body);
        let cseq = self.servers.get(key).map_or(0, |s| s.request.cseq().0);
        if let Some(of) = self.dialog(leg, dialog) {
            of.accept = Some((cseq, text, offers, false));
        }
        let now = c.now;
        c.after(T1, Alarm::Leg(leg, Do::AcceptAgain(dialog, cseq, T1, now)));
    }

    pub(super) fn accept_again(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: usize,
        cseq: u32,
        wait: Duration,
        since: Duration,
    ) {
        let call = self.legs.get(leg).map_or(0, |l| l.call);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        let Some((_, text, ..)) = of.accept.clone().filter(|a| a.0 == cseq && !a.3) else {
            return;
        };
        if of.is_over() {
            return;
        }
        if c.now < since + TIMEOUT {
            c.out.push(text);
            let wait = (wait * 2).min(T1 * 8);
            return c.after(
                wait,
                Alarm::Leg(leg, Do::AcceptAgain(dialog, cseq, wait, since)),
            );
        }
        c.ledger
            .soft(call, format!("call {call}: no ACK of the 2xx to {cseq}"));
        if let Some(accept) = of.accept.as_mut() {
            accept.3 = true;
        }
        self.bye(c, leg, dialog);
    }

    /// A CANCEL of this INVITE came.
    pub fn cancelled(&mut self, c: &mut Context<'_>, invite: &Key) {
        let Some(server) = self.servers.get(invite) else {
            return;
        };
        if server.is_final() {
            return;
        }
        let (leg, dialog) = (server.leg, server.dialog);
        if let Some(dialog) = dialog {
            let tag = self.dialog(leg, dialog).map(|d| {
                d.serving = None;
                d.local.clone()
            });
            self.respond(c, invite, 487, &tag.unwrap_or_default(), &[], "");
            return;
        }
        let races = self
            .legs
            .get(leg)
            .and_then(|l| l.plan.as_ref())
            .is_some_and(|p| p.races);
        let fork = self.legs.get(leg).map_or(0, |l| l.last_fork);
        let dialog = self.fork(c, leg, fork);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        if races && of.reliable.is_none() {
            return self.accept_first(c, leg, dialog);
        }
        of.reliable = None;
        let tag = of.local.clone();
        self.respond(c, invite, 487, &tag, &[], "");
    }

    /// An ACK of a 2xx came.
    pub fn acknowledged(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: usize,
        message: &Text,
        own: bool,
    ) {
        let call = self.legs.get(leg).map_or(0, |l| l.call);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        let cseq = message.cseq().0;
        let is_over = of.is_over();
        if of.accept.as_ref().is_some_and(|a| a.0 > cseq) {
            return;
        }
        let Some(accept) = of.accept.as_mut().filter(|a| a.0 == cseq) else {
            return c
                .ledger
                .soft(call, format!("call {call}: an ACK of nothing: {cseq}"));
        };
        if std::mem::replace(&mut accept.3, true) {
            return;
        }
        // Behind a BYE that overtook it there is no media to speak of.
        if accept.2 && message.body.is_empty() && !own && !is_over {
            c.ledger
                .soft(call, format!("call {call}: the ACK has no answer"));
        }
        of.acked_by_proxy = own;
        if !std::mem::replace(&mut of.acked, true) && !of.is_over() {
            self.begin_talk(c, leg, dialog);
        }
    }
}
