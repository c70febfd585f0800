//! Who calls: the INVITE, its CANCEL, its answers, its ACK.

use super::{Dialog, Do, INSIDE_CALL_ID, Leg};
use crate::agent::{Agent, Alarm, Context, Key, Outgoing};
use crate::ledger::RESPONSE;
use crate::plan::CallerPlan;
use crate::shell::{is_inside, ours};
use crate::text::{self, Text};
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
    pub(super) fn begin(&mut self, c: &mut Context<'_>, number: u32) -> usize {
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

    pub(super) fn cancel(&mut self, c: &mut Context<'_>, key: &Key) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.cancelled = true;
        if client.heard {
            self.send_cancel(c, key);
        }
    }

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

    pub(super) fn caller_dialog(&mut self, leg: usize, tag: &str, message: &Text) -> usize {
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

    pub(super) fn first_finished(
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

    pub(super) fn ack(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: usize,
        cseq: u32,
        body: String,
    ) {
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

    pub(super) fn begin_talk(&mut self, c: &mut Context<'_>, leg: usize, dialog: usize) {
        let acts = self.legs.get(leg).map(|l| l.talk.acts.clone());
        for (at, act) in acts.unwrap_or_default() {
            c.after(at, Alarm::Leg(leg, Do::Act(dialog, act, 0)));
        }
    }
}
