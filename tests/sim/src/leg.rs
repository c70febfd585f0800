//! A phone's part in a call: its dialogs, and what it does in them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::{Agent, Alarm, Context, Key, Outgoing, Server, T1, TIMEOUT};
use crate::ledger::RESPONSE;
use crate::plan::{Act, CalleePlan, CallerPlan, Talk, Verdict};
use crate::rng::Rng;
use crate::shell::{POOL, at, is_inside, ours};
use crate::text::{self, Text};

/// What Call-IDs of the inside end with.
pub const INSIDE_CALL_ID: &str = "inside";

/// What a leg does when a time has come.
#[derive(Clone, Debug)]
pub enum Do {
    /// The caller gives up.
    Cancel,
    /// The callee's provisional response with this number.
    Ring(usize),
    /// The callee's last word.
    Final,
    /// A reliable provisional response again: dialog, its number, the wait before.
    RingAgain(usize, u32, Duration),
    /// A 2xx again: dialog, CSeq, the wait before, when it was first sent.
    AcceptAgain(usize, u32, Duration, Duration),
    /// The answer to a re-INVITE.
    Reanswer(usize, Key),
    /// An act of the talk, and how often it had to wait.
    Act(usize, Act, u32),
    /// Cancels this re-INVITE.
    CancelReinvite(Key),
    /// The second fork answers.
    Second(usize),
    /// Falls silent for ever.
    Die,
}

/// A phone's part in a call.
#[derive(Debug, Default)]
pub struct Leg {
    /// The call's number.
    pub call: u32,
    /// It called.
    pub caller: bool,
    /// The caller's tag.
    pub tag: String,
    /// From and To as it sees them, without tags.
    pub local: String,
    /// See there.
    pub remote: String,
    /// The Call-ID as it sees it.
    pub call_id: String,
    /// Where the first INVITE goes.
    pub target: String,
    /// Its dialogs.
    pub dialogs: Vec<Dialog>,
    /// It has fallen silent.
    pub dead: bool,
    /// It fell silent in this call, or never spoke.
    pub silent: bool,
    /// The first INVITE.
    pub invite: Option<Key>,
    /// Its final status, 0 for silence.
    pub result: Option<u16>,
    /// Without an offer.
    delayed: bool,
    /// The other takes reliable provisional responses.
    prack: bool,
    early_update: bool,
    cancelled: bool,
    talk: Talk,
    plan: Option<CalleePlan>,
    last_fork: usize,
    final_tries: u32,
}

/// A dialog as one end sees it.
#[derive(Debug, Default)]
pub struct Dialog {
    /// The own tag.
    pub local: String,
    /// The other's.
    pub remote: String,
    /// Where requests go.
    pub target: String,
    /// And by whom.
    pub routes: Vec<String>,
    /// The last CSeq.
    pub cseq: u32,
    /// The other's last CSeq.
    pub remote_cseq: u32,
    /// Answered: the 2xx was sent or received.
    pub answered: bool,
    /// The ACK was sent or received.
    pub acked: bool,
    /// It was the proxy's.
    pub acked_by_proxy: bool,
    /// A BYE was sent; what came of it: whether by the other side, and its status.
    pub bye: Option<Option<(bool, u16)>>,
    /// A BYE of the other side came.
    pub got_bye: bool,
    /// A BYE of the proxy came.
    pub proxy_bye: bool,
    /// The media port.
    port: u16,
    version: u32,
    /// A reliable provisional response that awaits its PRACK.
    reliable: Option<(u32, String)>,
    rseq: u32,
    /// Media was exchanged for good.
    settled: bool,
    /// Media was given in a provisional response.
    shown: bool,
    /// The offer of a reliable response awaits its answer in PRACK.
    awaits_answer: bool,
    invite: Option<Key>,
    update: Option<Key>,
    /// The re-INVITE that is being served.
    serving: Option<Key>,
    /// The last 2xx: CSeq, text, whether it has an offer, whether it was acknowledged.
    accept: Option<(u32, String, bool, bool)>,
    acks: BTreeMap<u32, String>,
}

impl Dialog {
    /// Nothing more happens in it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.bye.is_some() || self.got_bye || self.proxy_bye
    }

    fn is_busy(&self) -> bool {
        self.invite.is_some()
            || self.update.is_some()
            || self.serving.is_some()
            || self.accept.as_ref().is_some_and(|a| !a.3)
    }
}

impl Agent {
    /// A request outside of calls.
    pub fn message(&mut self, c: &mut Context<'_>, number: u32) {
        let leg = self.begin(c, number);
        let sent = Outgoing {
            method: "MESSAGE",
            cseq: 1,
            headers: vec![],
            body: String::new(),
        };
        self.send(c, leg, None, sent);
    }

    /// A leg of a caller.
    fn begin(&mut self, c: &mut Context<'_>, number: u32) -> usize {
        let proxy = ours(self.address);
        let transport = if self.stream { ";transport=tcp" } else { "" };
        let side = if is_inside(self.address) {
            INSIDE_CALL_ID
        } else {
            "outside"
        };
        self.legs.push(Leg {
            call: number,
            caller: true,
            tag: c.ledger.name(),
            local: format!("<sip:caller{number}@sim.example>"),
            remote: format!("<sip:{number}@sim.example>"),
            call_id: format!("{}@{side}", c.ledger.name()),
            target: format!("sip:{number}@{proxy}{transport}"),
            ..Leg::default()
        });
        self.legs.len() - 1
    }

    /// A call begins.
    pub fn call(&mut self, c: &mut Context<'_>, number: u32, plan: &CallerPlan) {
        let leg = self.begin(c, number);
        if let Some(of) = self.legs.get_mut(leg) {
            of.delayed = plan.delayed;
            of.prack = plan.prack;
            of.early_update = plan.early_update;
            of.talk = plan.talk.clone();
        }
        let body = if plan.delayed {
            String::new()
        } else {
            let port = c.ledger.port((self.index, leg));
            text::sdp(self.address, port, 1)
        };
        let mut headers = vec![(
            "Allow",
            "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE".to_owned(),
        )];
        if plan.prack {
            headers.push(("Supported", "100rel".into()));
        }
        let sent = Outgoing {
            method: "INVITE",
            cseq: 1,
            headers,
            body,
        };
        let key = self.send(c, leg, None, sent);
        if let Some(of) = self.legs.get_mut(leg) {
            of.invite = key;
        }
        if let Some(time) = plan.cancel {
            c.after(time, Alarm::Leg(leg, Do::Cancel));
        }
        if let Some(time) = plan.dies {
            c.after(time, Alarm::Leg(leg, Do::Die));
        }
    }

    /// An alarm of a leg's.
    pub fn act(&mut self, c: &mut Context<'_>, leg: usize, what: Do) {
        match what {
            Do::Cancel => {
                let Some(of) = self.legs.get_mut(leg).filter(|l| l.result.is_none()) else {
                    return;
                };
                of.cancelled = true;
                if let Some(key) = of.invite.clone() {
                    self.cancel(c, &key);
                }
            }
            Do::CancelReinvite(key) => self.cancel(c, &key),
            Do::Ring(step) => self.ring(c, leg, step),
            Do::Final => self.last_word(c, leg),
            Do::RingAgain(dialog, rseq, wait) => {
                let outstanding = self.dialog(leg, dialog).and_then(|d| d.reliable.clone());
                if let Some((_, text)) = outstanding.filter(|(r, _)| *r == rseq)
                    && wait < TIMEOUT
                {
                    c.out.push(text);
                    c.after(
                        wait * 2,
                        Alarm::Leg(leg, Do::RingAgain(dialog, rseq, wait * 2)),
                    );
                }
            }
            Do::AcceptAgain(dialog, cseq, wait, since) => {
                self.accept_again(c, leg, dialog, cseq, wait, since);
            }
            Do::Reanswer(dialog, key) => self.reanswer(c, leg, dialog, &key),
            Do::Act(dialog, act, waited) => self.talk(c, leg, dialog, act, waited),
            Do::Second(dialog) => self.accept_first(c, leg, dialog),
            Do::Die => {
                if let Some(of) = self.legs.get_mut(leg) {
                    of.dead = true;
                }
            }
        }
    }

    fn dialog(&mut self, leg: usize, dialog: usize) -> Option<&mut Dialog> {
        self.legs.get_mut(leg)?.dialogs.get_mut(dialog)
    }

    fn cancel(&mut self, c: &mut Context<'_>, key: &Key) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.cancelled = true;
        if client.heard {
            self.send_cancel(c, key);
        }
    }

    // The caller's side of the first INVITE.

    /// A provisional response to the first INVITE.
    pub fn provisional(&mut self, c: &mut Context<'_>, leg: usize, key: &Key, message: &Text) {
        let tag = message.to_tag();
        let done = self.legs.get(leg).is_none_or(|l| l.result.is_some());
        if tag.is_empty() || message.value(RESPONSE).is_none() || done {
            return;
        }
        let dialog = self.caller_dialog(leg, &tag, message);
        let has_sdp = !message.body.is_empty();
        let delayed = self.legs.get(leg).is_some_and(|l| l.delayed);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        if !message.is_reliable() {
            of.shown |= has_sdp;
            return;
        }
        let rseq = message.number("RSeq").unwrap_or(0);
        if rseq <= of.rseq {
            return;
        }
        of.rseq = rseq;
        of.settled |= has_sdp;
        of.cseq += 1;
        let cseq = of.cseq;
        let invite = self.clients.get(key).map_or(1, |client| client.cseq);
        let body = if delayed && has_sdp {
            self.sdp(c, leg, dialog)
        } else {
            String::new()
        };
        let sent = Outgoing {
            method: "PRACK",
            cseq,
            headers: vec![("RAck", format!("{rseq} {invite} INVITE"))],
            body,
        };
        self.send(c, leg, Some(dialog), sent);
    }

    fn caller_dialog(&mut self, leg: usize, tag: &str, message: &Text) -> usize {
        let Some(of) = self.legs.get_mut(leg) else {
            return 0;
        };
        let mut routes: Vec<String> = message.values("Record-Route").map(str::to_owned).collect();
        routes.reverse();
        let target = message.contact().unwrap_or_else(|| of.target.clone());
        if let Some(at) = of.dialogs.iter().position(|d| d.remote == tag) {
            if let Some(dialog) = of.dialogs.get_mut(at) {
                dialog.target = target;
            }
            return at;
        }
        of.dialogs.push(Dialog {
            local: of.tag.clone(),
            remote: tag.to_owned(),
            target,
            routes,
            cseq: 1,
            ..Dialog::default()
        });
        of.dialogs.len() - 1
    }

    fn sdp(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) -> String {
        let (index, address) = (self.index, self.address);
        let Some(of) = self.dialog(leg, dialog) else {
            return String::new();
        };
        if of.port == 0 {
            of.port = c.ledger.port((index, leg));
        }
        of.version += 1;
        text::sdp(address, of.port, of.version)
    }

    /// A final response came.
    pub fn finished(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: Option<usize>,
        key: &Key,
        message: &Text,
        code: u16,
    ) {
        match (key.1.as_str(), dialog) {
            ("CANCEL", _) => {}
            ("INVITE", None) => self.first_finished(c, leg, key, message, code),
            (method, Some(dialog)) => {
                self.relayed(c, leg, dialog, key, message, code);
                let alive = self.dialog(leg, dialog).is_some_and(|d| !d.is_over());
                let lost = matches!(code, 408 | 481) && method != "BYE";
                if alive && lost {
                    self.bye(c, leg, dialog);
                }
            }
            _ => {}
        }
    }

    fn first_finished(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        key: &Key,
        message: &Text,
        code: u16,
    ) {
        let Some(of) = self.legs.get_mut(leg) else {
            return;
        };
        of.result = Some(code);
        if code >= 300 {
            return;
        }
        let (call, delayed, cancelled) = (of.call, of.delayed, of.cancelled);
        let tag = message.to_tag();
        let dialog = self.caller_dialog(leg, &tag, message);
        let has_sdp = !message.body.is_empty();
        let cseq = self.clients.get(key).map_or(1, |client| client.cseq);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        of.answered = true;
        of.acked = true;
        let settled = std::mem::replace(&mut of.settled, true);
        if !has_sdp && !settled {
            c.ledger
                .soft(call, format!("call {call}: answered without media"));
        }
        let body = if delayed && !settled {
            self.sdp(c, leg, dialog)
        } else {
            String::new()
        };
        self.ack(c, leg, dialog, cseq, body);
        if cancelled {
            return self.bye(c, leg, dialog);
        }
        self.begin_talk(c, leg, dialog);
    }

    fn ack(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize, cseq: u32, body: String) {
        let sent = Outgoing {
            method: "ACK",
            cseq,
            headers: vec![],
            body,
        };
        let text = self.send(c, leg, Some(dialog), sent);
        if let (Some((text, _)), Some(of)) = (text, self.dialog(leg, dialog)) {
            of.acks.insert(cseq, text);
        }
    }

    /// A 2xx that came before.
    pub fn ack_again(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        _dialog: Option<usize>,
        message: &Text,
    ) {
        let tag = message.to_tag();
        let from = message.from_tag();
        let of = self.legs.get(leg).and_then(|l| {
            let fits = |d: &&Dialog| d.remote == tag && d.local == from;
            l.dialogs.iter().find(fits)
        });
        if let Some(ack) = of.and_then(|d| d.acks.get(&message.cseq().0)) {
            c.out.push(ack.clone());
        }
    }

    fn begin_talk(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
        let acts = self.legs.get(leg).map(|l| l.talk.acts.clone());
        for (at, act) in acts.unwrap_or_default() {
            c.after(at, Alarm::Leg(leg, Do::Act(dialog, act, 0)));
        }
    }

    // The callee's side of the first INVITE.

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

    fn fork(&mut self, c: &mut Context<'_>, leg: usize, fork: usize) -> usize {
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

    fn still_open(&self, leg: usize) -> Option<(Key, CalleePlan)> {
        let of = self.legs.get(leg)?;
        let key = of.invite.clone()?;
        let server = self.servers.get(&key)?;
        let open = !server.is_final();
        open.then_some((key, of.plan.clone()?))
    }

    fn ring(&mut self, c: &mut Context<'_>, leg: usize, step: usize) {
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
    fn first_sdp(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) -> String {
        if let Some(of) = self.dialog(leg, dialog) {
            of.version = 0;
        }
        self.sdp(c, leg, dialog)
    }

    fn last_word(&mut self, c: &mut Context<'_>, leg: usize) {
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

    fn accept_first(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
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
    fn accept(
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

    fn accept_again(
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
        if accept.2 && message.body.is_empty() && !own {
            c.ledger
                .soft(call, format!("call {call}: the ACK has no answer"));
        }
        of.acked_by_proxy = own;
        if !std::mem::replace(&mut of.acked, true) && !of.is_over() {
            self.begin_talk(c, leg, dialog);
        }
    }

    // In a dialog.

    fn talk(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize, act: Act, waited: u32) {
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        if of.is_over() {
            return;
        }
        let waits = match act {
            Act::Info => false,
            Act::Bye => of.is_busy(),
            Act::Reinvite { .. } | Act::Update(_) => of.is_busy(),
        };
        if waits && waited < 30 {
            let again = Alarm::Leg(leg, Do::Act(dialog, act, waited + 1));
            let wait = c.rng.ms(100, 700);
            return c.after(wait, again);
        }
        match act {
            Act::Bye => return self.bye(c, leg, dialog),
            _ if waits => return,
            _ => {}
        }
        of.cseq += 1;
        let cseq = of.cseq;
        let (method, offers) = match act {
            Act::Reinvite { delayed, .. } => ("INVITE", !delayed),
            Act::Update(offers) => ("UPDATE", offers),
            Act::Info | Act::Bye => ("INFO", false),
        };
        let body = if offers {
            self.sdp(c, leg, dialog)
        } else {
            String::new()
        };
        let sent = Outgoing {
            method,
            cseq,
            headers: vec![],
            body,
        };
        let key = self.send(c, leg, Some(dialog), sent);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        match act {
            Act::Reinvite { cancel, .. } => {
                of.invite.clone_from(&key);
                if let Some(key) = key.filter(|_| cancel) {
                    let wait = c.rng.ms(0, 1500);
                    c.after(wait, Alarm::Leg(leg, Do::CancelReinvite(key)));
                }
            }
            Act::Update(_) => of.update = key,
            Act::Info | Act::Bye => {}
        }
    }

    fn bye(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        if of.is_over() {
            return;
        }
        of.bye = Some(None);
        of.cseq += 1;
        let cseq = of.cseq;
        let sent = Outgoing {
            method: "BYE",
            cseq,
            headers: vec![],
            body: String::new(),
        };
        self.send(c, leg, Some(dialog), sent);
    }

    /// A final response to a request in a dialog.
    fn relayed(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: usize,
        key: &Key,
        message: &Text,
        code: u16,
    ) {
        let client = self.clients.get(key);
        let (cseq, delayed) = client.map_or((0, false), |client| (client.cseq, client.delayed));
        let relayed = message.value(RESPONSE).is_some();
        let early = self.legs.get(leg).is_some_and(|l| l.result.is_none());
        let wants_update = self
            .legs
            .get(leg)
            .is_some_and(|l| l.early_update && !l.delayed && l.caller);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        match key.1.as_str() {
            "INVITE" => {
                of.invite = None;
                if let Some(target) = message.contact().filter(|_| code < 300) {
                    of.target = target;
                }
                if code < 300 {
                    let body = if delayed && !message.body.is_empty() {
                        self.sdp(c, leg, dialog)
                    } else {
                        String::new()
                    };
                    return self.ack(c, leg, dialog, cseq, body);
                }
                if code == 491 {
                    let wait = c.rng.ms(0, 4000);
                    let act = Act::Reinvite {
                        delayed,
                        cancel: false,
                    };
                    c.after(wait, Alarm::Leg(leg, Do::Act(dialog, act, 0)));
                }
            }
            "UPDATE" => {
                of.update = None;
                if let Some(target) = message.contact().filter(|_| code < 300) {
                    of.target = target;
                }
            }
            "PRACK" if code < 300 && early && of.settled && wants_update => {
                if let Some(l) = self.legs.get_mut(leg) {
                    l.early_update = false;
                }
                let offers = c.rng.per_mille(500);
                c.after(
                    Duration::ZERO,
                    Alarm::Leg(leg, Do::Act(dialog, Act::Update(offers), 0)),
                );
            }
            "BYE" => of.bye = Some(Some((relayed, code))),
            _ => {}
        }
    }

    /// A request got no answer.
    pub fn timed_out(&mut self, c: &mut Context<'_>, leg: usize, dialog: Option<usize>, key: &Key) {
        match (key.1.as_str(), dialog) {
            ("CANCEL", _) => {}
            (_, None) => {
                if let Some(of) = self.legs.get_mut(leg) {
                    of.result.get_or_insert(0);
                }
            }
            (_, Some(dialog)) => {
                if let Some(of) = self.dialog(leg, dialog) {
                    of.invite = None;
                    of.update = None;
                }
                if self.dialog(leg, dialog).is_some_and(|d| d.answered) {
                    self.bye(c, leg, dialog);
                }
            }
        }
    }

    /// A request in a dialog came.
    pub fn serve(&mut self, c: &mut Context<'_>, key: &Key, leg: usize, dialog: usize, own: bool) {
        let Some(request) = self.servers.get(key).map(|s| s.request.clone()) else {
            return;
        };
        let call = self.legs.get(leg).map_or(0, |l| l.call);
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        let cseq = request.cseq().0;
        if cseq <= of.remote_cseq {
            if own {
                c.ledger.soft(
                    call,
                    format!("call {call}: the proxy's BYE has an old CSeq"),
                );
            }
            if key.1 != "BYE" {
                self.respond(c, key, 500, "", &[], "");
                return;
            }
        }
        of.remote_cseq = of.remote_cseq.max(cseq);
        if key.1 == "BYE" {
            of.got_bye |= !own;
            of.proxy_bye |= own;
            let serving = of.serving.take();
            self.respond(c, key, 200, "", &[], "");
            if let Some(invite) = serving {
                self.respond(c, &invite, 487, "", &[], "");
            }
            return;
        }
        if of.is_over() {
            self.respond(c, key, 481, "", &[], "");
            return;
        }
        if let Some(target) = request
            .contact()
            .filter(|_| matches!(key.1.as_str(), "INVITE" | "UPDATE"))
        {
            of.target = target;
        }
        let offers = !request.body.is_empty();
        match key.1.as_str() {
            "INVITE" => {
                if of.invite.is_some() || of.update.is_some() {
                    self.respond(c, key, 491, "", &[], "");
                } else if of.is_busy() {
                    self.respond(c, key, 500, "", &[("Retry-After", "1".into())], "");
                } else {
                    of.serving = Some(key.clone());
                    let wait = c.rng.ms(0, 2000);
                    c.after(wait, Alarm::Leg(leg, Do::Reanswer(dialog, key.clone())));
                }
            }
            "UPDATE" => {
                if offers && (of.invite.is_some() || of.update.is_some()) {
                    self.respond(c, key, 491, "", &[], "");
                } else if offers && of.is_busy() {
                    self.respond(c, key, 500, "", &[("Retry-After", "1".into())], "");
                } else {
                    let body = if offers {
                        self.sdp(c, leg, dialog)
                    } else {
                        String::new()
                    };
                    self.respond(c, key, 200, "", &[], &body);
                }
            }
            "PRACK" => {
                let rack = request.value("RAck").unwrap_or_default();
                let rseq: u32 = rack
                    .split(' ')
                    .next()
                    .and_then(|r| r.parse().ok())
                    .unwrap_or(0);
                let fits = of.reliable.as_ref().is_some_and(|(r, _)| *r == rseq);
                if !fits {
                    self.respond(c, key, 481, "", &[], "");
                    return;
                }
                of.reliable = None;
                if std::mem::take(&mut of.awaits_answer) && !offers {
                    c.ledger
                        .soft(call, format!("call {call}: PRACK without the answer"));
                }
                self.respond(c, key, 200, "", &[], "");
            }
            _ => {
                self.respond(c, key, 200, "", &[], "");
            }
        }
    }

    fn reanswer(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize, key: &Key) {
        let Some(server) = self.servers.get(key).filter(|s| !s.is_final()) else {
            return;
        };
        let delayed = server.request.body.is_empty();
        let Some(of) = self.dialog(leg, dialog) else {
            return;
        };
        of.serving = None;
        if of.is_over() {
            self.respond(c, key, 487, "", &[], "");
        } else if c.rng.per_mille(120) {
            self.respond(c, key, 488, "", &[], "");
        } else {
            let body = self.sdp(c, leg, dialog);
            self.accept(c, key, leg, dialog, &body, delayed);
        }
    }
}
