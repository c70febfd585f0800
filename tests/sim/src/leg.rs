//! A phone's part in a call: its dialogs, and what it does in them.

mod callee;
mod caller;
mod dialog;

use crate::agent::{Agent, Alarm, Context, Key, TIMEOUT};
use crate::plan::{Act, CalleePlan, Talk};
use crate::text;
use std::collections::BTreeMap;
use std::time::Duration;

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
}
