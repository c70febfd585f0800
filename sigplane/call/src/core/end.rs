//! The end of a call: its flows go, its last figures come, its CDR is written.

use std::time::Duration;

use tandem_policy::{EndCause, Follower};

use super::Core;
use super::reply::Answer;
use super::timer::Timer;
use crate::counters::Counter;
use crate::io::{Now, Output};
use crate::journal;
use crate::media::Session;
use crate::record::{Ending, Record};

/// How long the dataplane has for the last figures.
const REPORTS: Duration = Duration::from_secs(2);

impl Core {
    /// Ends a call of our own accord, whatever state it is in.
    pub(super) fn hang_up(&mut self, now: Now, key: u64, cause: EndCause) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        if call.record.ending.is_some() {
            return;
        }
        if call.setup.is_some() {
            let answer = match cause {
                // Whoever called is not to try the next way.
                EndCause::Administrator => Answer::new(480, "Temporarily Unavailable"),
                _ => Answer::unavailable(),
            };
            return self.reject(now, key, &answer, cause);
        }
        // A BYE of a peer that is under way says it all.
        if call.bye.is_none() {
            self.bye_both(now, key, cause);
        }
        self.end_call(now, key, cause);
    }

    /// The call is over, for this cause unless a BYE came before: its flows and ports are given
    /// back at once.
    pub(super) fn end_call(&mut self, now: Now, key: u64, cause: EndCause) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.record.ending.is_some() {
            return;
        }
        let Ending { cause, .. } = *call.record.ending.insert(call.bye.take().unwrap_or(Ending {
            cause,
            end_ms: now.wall_ms,
        }));
        self.counters.add(match cause {
            EndCause::Caller => Counter::CallsEndedByCaller,
            EndCause::Callee => Counter::CallsEndedByCallee,
            EndCause::Cancelled => Counter::CallsCancelled,
            EndCause::Rejected => Counter::CallsRejected,
            EndCause::NoAnswer => Counter::CallsNoAnswer,
            EndCause::MediaTimeout => Counter::CallsMediaTimeout,
            EndCause::MaxDuration => Counter::CallsMaxDuration,
            EndCause::SessionExpired => Counter::CallsSessionExpired,
            EndCause::Local => Counter::CallsEndedLocally,
            EndCause::Administrator => Counter::CallsEndedByAdministrator,
        });
        self.release_target(now, key);
        self.release_limits(key);
        self.clear_timers(key);
        self.outlive_answer(key);
        self.with_media(key, Session::close);
        if self.calls.get(&key).is_some_and(|c| c.awaiting.is_empty()) {
            return self.finish(now, key);
        }
        self.journal(key);
        self.timers.set(Timer::Reports(key), now.mono + REPORTS);
    }

    pub(super) fn reports_missing(&mut self, now: Now, key: u64) {
        self.counters.add(Counter::ReportsMissing);
        if let Some(call) = self.calls.get_mut(&key) {
            call.record.account.media_partial = true;
        }
        self.finish(now, key);
    }

    /// Writes the CDR and forgets the call.
    pub(super) fn finish(&mut self, now: Now, key: u64) {
        let Some(call) = self.calls.remove(&key) else {
            return;
        };
        self.clear_timers(key);
        if self.lapse_challenged(now, key, &call.record) {
            return;
        }
        self.counters.add(Counter::Cdrs);
        let follower = self.dialogs_follow(&call.record);
        let cdr = self.cdr(key, call.record);
        self.outputs.push_back(Output::Journal {
            key,
            body: None,
            cdr: Some(Box::new(cdr)),
            follower,
        });
    }

    pub(super) fn duration_reached(&mut self, now: Now, key: u64) {
        self.hang_up(now, key, EndCause::MaxDuration);
    }

    /// Sets the timer for the longest duration of an answered call.
    pub(super) fn limit_duration(&mut self, now: Now, key: u64) {
        let limit = self.config.media.max_duration;
        if limit.is_zero() {
            return;
        }
        let answered = self.calls.get(&key).and_then(|c| c.record.answer_ms);
        let spent =
            Duration::from_millis(now.wall_ms.saturating_sub(answered.unwrap_or(now.wall_ms)));
        self.timers.set(
            Timer::MaxDuration(key),
            now.mono + limit.saturating_sub(spent),
        );
    }

    /// Writes the call's present state into the journal.
    pub(super) fn journal(&mut self, key: u64) {
        if let Some(call) = self.calls.get(&key) {
            let body = Some(journal::encode(&call.record));
            let follower = self.dialogs_follow(&call.record);
            self.outputs.push_back(Output::Journal {
                key,
                body,
                cdr: None,
                follower,
            });
        }
    }

    /// Whether `dialog` is told: of an answered call.
    pub(super) fn dialogs_follow(&self, record: &Record) -> Option<Follower> {
        let is_told = self.config.dialog_table && record.answer_ms.is_some();
        is_told.then_some(Follower::Dialog)
    }
}
