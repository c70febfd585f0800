//! A dialog that is up: requests in it, both ways, until BYE.

use std::time::Duration;

use super::Do;
use crate::agent::{Agent, Alarm, Context, Key, Outgoing};
use crate::ledger::RESPONSE;
use crate::plan::Act;
use crate::text::Text;
impl Agent {
    pub(super) fn talk(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: usize,
        act: Act,
        waited: u32,
    ) {
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

    pub(super) fn bye(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
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
    pub(super) fn relayed(
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

    pub(super) fn reanswer(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize, key: &Key) {
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
