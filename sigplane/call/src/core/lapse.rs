//! Calls that are over, or may be, and whose CDR waits: for one that belongs to the same call, or for figures.
//!
//! **What a call is.** An INVITE with its Call-ID and From tag, until its final answer or its end. The process may die before the
//! caller has heard of it: then the same INVITE comes again, and is the same call, with the begin that it had. So is the INVITE that
//! answers a challenge (401, 407) which came from the side that was called (RFC 3261 section 22.1: the same Call-ID and From tag, a
//! higher CSeq). A call that ended when the process died, or because it did, has flows in the dataplane yet: their figures are taken
//! with them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tandem_link::{Command, FlowReport};
use tandem_policy::EndCause;

use super::Core;
use super::account::add_report;
use super::timer::Timer;
use crate::counters::Counter;
use crate::io::{Now, Output};
use crate::journal;
use crate::media::Session;
use crate::message::Message;
use crate::record::{Ending, Record};

/// How long a life waits for the flows of calls that the one before had.
const FIGURES: Duration = Duration::from_secs(5);
/// How much later than it should an INVITE may come again.
const SLACK: Duration = Duration::from_secs(1);

/// Calls whose CDR waits, by their keys and by their Call-IDs.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    calls: HashMap<u64, Lapsed>,
    by_call_id: HashMap<Vec<u8>, u64>,
}

#[derive(Debug)]
struct Lapsed {
    record: Record,
    /// Whether it may come again; else it is its figures that are awaited.
    may_return: bool,
    /// Commands that remove its flows, whose last reports are awaited.
    awaiting: BTreeSet<u64>,
    /// Whether figures of it came.
    reported: bool,
}

impl Lapses {
    fn remove(&mut self, key: u64) -> Option<Lapsed> {
        let lapsed = self.calls.remove(&key)?;
        self.by_call_id.remove(&lapsed.record.call_id);
        Some(lapsed)
    }
}

impl Core {
    /// A call of the last life that does not go on here, as far as is known.
    pub(super) fn lapse_restored(&mut self, now: Now, key: u64, mut record: Record) {
        let since = |ms: u64| Duration::from_millis(now.wall_ms.saturating_sub(ms));
        let most = self.config.t1.saturating_mul(64);
        let wait = match record.ending {
            Some(ending) if is_challenged(&record) => most.checked_sub(since(ending.end_ms)),
            Some(_) => None,
            // Each time that an INVITE is sent again comes after twice the time (RFC 3261 section 17.1.1.2).
            None => {
                let age = since(record.start_ms);
                let heard = record.account.ring_ms.is_some();
                let repeats = matches!(record.caller.hop.path, crate::io::Path::Stream(_));
                let comes_again = !heard && !repeats && age < most;
                comes_again.then(|| age + self.config.t1 + SLACK)
            }
        };
        if wait.is_none() {
            self.counters.add(Counter::CallsLost);
            record.ending.get_or_insert(Ending {
                cause: EndCause::Local,
                end_ms: now.wall_ms,
            });
        }
        self.lapse(now, key, record, wait);
    }

    /// The CDR of a call waits: so long for its INVITE to come again, or, without a time, for its figures.
    fn lapse(&mut self, now: Now, key: u64, record: Record, wait: Option<Duration>) {
        let has_media = record.media.as_ref().is_some_and(Session::had_media);
        if wait.is_none() && !has_media {
            return self.write_off(now, key, record);
        }
        self.timers
            .set(Timer::Lapsed(key), now.mono + wait.unwrap_or(FIGURES));
        self.lapses.by_call_id.insert(record.call_id.clone(), key);
        let lapsed = Lapsed {
            record,
            may_return: wait.is_some(),
            awaiting: BTreeSet::new(),
            reported: false,
        };
        self.lapses.calls.insert(key, lapsed);
    }

    /// A call that was challenged, and has ended: says whether its CDR waits for the INVITE with credentials.
    pub(super) fn lapse_challenged(&mut self, now: Now, key: u64, record: &Record) -> bool {
        if !is_challenged(record) {
            return false;
        }
        self.outputs.push_back(Output::Journal {
            key,
            body: Some(journal::encode(record)),
            cdr: None,
            follower: None,
        });
        let wait = self.config.t1.saturating_mul(64);
        self.lapse(now, key, record.clone(), Some(wait));
        true
    }

    /// The call that an INVITE takes up again: its key, and what it was.
    pub(super) fn resume(&mut self, invite: &Message<'_>) -> Option<(u64, Record)> {
        let key = *self.lapses.by_call_id.get(invite.call_id())?;
        let lapsed = self.lapses.calls.get(&key)?;
        let record = &lapsed.record;
        let is_same = lapsed.may_return
            && record.from_tag == invite.tag_of_from()
            && match record.ending {
                None => record.caller.cseq == invite.cseq(),
                Some(_) => record.caller.cseq < invite.cseq(),
            };
        if !is_same {
            return None;
        }
        self.timers.clear(Timer::Lapsed(key));
        self.counters.add(Counter::CallsResumed);
        self.lapses.remove(key).map(|lapsed| (key, lapsed.record))
    }

    /// Nothing came.
    pub(super) fn lapsed_out(&mut self, now: Now, key: u64) {
        let Some(lapsed) = self.lapses.remove(key) else {
            return;
        };
        let mut record = lapsed.record;
        if lapsed.may_return && record.ending.is_none() {
            self.counters.add(Counter::CallsLost);
        }
        if !lapsed.awaiting.is_empty() || !(lapsed.may_return || lapsed.reported) {
            self.counters.add(Counter::ReportsMissing);
            record.account.media_partial = true;
        }
        self.write_off(now, key, record);
    }

    /// A flow of such a call is still there: it is removed, and its last figures are the call's. Says whether it is one.
    pub(super) fn remove_lapsed_flow(&mut self, key: u64, report: &FlowReport) -> bool {
        if !self.lapses.calls.contains_key(&key) {
            return false;
        }
        let seq = self.try_command(Some(key), Command::remove(&report.spec), 1);
        if let (Some(seq), Some(lapsed)) = (seq, self.lapses.calls.get_mut(&key)) {
            lapsed.awaiting.insert(seq);
        }
        true
    }

    /// The last figures of a flow of such a call.
    pub(super) fn add_lapsed_report(&mut self, key: u64, report: &FlowReport) {
        if let Some(lapsed) = self.lapses.calls.get_mut(&key) {
            lapsed.reported = true;
            add_report(&mut lapsed.record, report);
        }
    }

    /// A command for such a call was carried out.
    pub(super) fn lapsed_done(&mut self, now: Now, key: u64, seq: u64) {
        let Some(lapsed) = self.lapses.calls.get_mut(&key) else {
            return;
        };
        if lapsed.awaiting.remove(&seq) && lapsed.awaiting.is_empty() && !lapsed.may_return {
            self.timers.clear(Timer::Lapsed(key));
            self.lapsed_out(now, key);
        }
    }

    /// The dataplane's flows are known: of a call without any there is nothing to wait for.
    pub(super) fn settle_lapses(&mut self, now: Now) {
        let calls = self.lapses.calls.iter();
        let over: Vec<u64> = calls
            .filter(|(_, lapsed)| !lapsed.may_return && lapsed.awaiting.is_empty())
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            self.timers.clear(Timer::Lapsed(key));
            self.lapsed_out(now, key);
        }
    }

    /// Commands are not answered any more.
    pub(super) fn forget_lapsed_commands(&mut self) {
        for lapsed in self.lapses.calls.values_mut() {
            lapsed.awaiting.clear();
        }
    }

    /// A call that cannot go on: its CDR is all that is left of it.
    pub(super) fn write_off(&mut self, now: Now, key: u64, mut record: Record) {
        record.ending.get_or_insert(Ending {
            cause: EndCause::Local,
            end_ms: now.wall_ms,
        });
        self.counters.add(Counter::Cdrs);
        let follower = self.dialogs_follow(&record);
        let cdr = self.cdr(key, record);
        self.outputs.push_back(Output::Journal {
            key,
            body: None,
            cdr: Some(Box::new(cdr)),
            follower,
        });
    }
}

/// Whether a call ended with a challenge that its caller may meet.
fn is_challenged(record: &Record) -> bool {
    let is_rejected = record.ending.is_some_and(|e| e.cause == EndCause::Rejected);
    is_rejected && matches!(record.sip_code, 401 | 407)
}
