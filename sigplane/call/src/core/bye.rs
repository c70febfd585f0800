//! BYE of a peer: the call is over when the other side has said so.
//!
//! Not before: a far side may challenge a BYE (401, 407; RFC 3261 section 22), and the retry with
//! credentials needs the dialog and its route. Any other final answer ends the call, silence too
//! (RFC 3261 section 15.1.1), each at the time of the BYE. A challenge that nobody meets ends it
//! after 64*T1: who sent that BYE has hung up. What is kept here is not in the journal: a BYE
//! whose answer is lost with the process is sent again by its sender.

use tandem_policy::EndCause;

use super::Core;
use super::in_dialog::Place;
use super::timer::Timer;
use crate::counters::Counter;
use crate::io::Now;
use crate::media::Party;
use crate::record::Ending;

impl Core {
    /// A BYE goes on to the other side.
    pub(super) fn bye_passed(&mut self, now: Now, place: Place<'_>) {
        self.timers.clear(Timer::ByeRetry(place.key));
        let ending = by(now, place.from);
        let Some(call) = self.calls.get_mut(&place.key) else {
            return;
        };
        // Before the answer it is the INVITE that ends the call (RFC 3261 section 15). Of two
        // BYEs that cross the first counts; of one and its retry, the retry.
        if call.setup.is_none() && call.bye.is_none_or(|b| b.cause == ending.cause) {
            call.bye = Some(ending);
        }
    }

    /// The other side answered a BYE with this final response (408: not at all).
    pub(super) fn bye_answered(&mut self, now: Now, key: u64, from: Party, tag: &[u8], code: u16) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.setup.is_some() || call.record.confirmed.as_deref() != Some(tag) {
            return;
        }
        if call.record.ending.is_some() {
            return;
        }
        if matches!(code, 401 | 407) {
            self.counters.add(Counter::ByesChallenged);
            let wait = self.config.t1.saturating_mul(64);
            self.timers.set(Timer::ByeRetry(key), now.mono + wait);
            return;
        }
        let cause = call.bye.get_or_insert(by(now, from)).cause;
        self.end_call(now, key, cause);
    }

    /// Nobody met the challenge.
    pub(super) fn bye_not_retried(&mut self, now: Now, key: u64) {
        self.counters.add(Counter::ByesNotRetried);
        let bye = self.calls.get(&key).and_then(|c| c.bye);
        self.end_call(now, key, bye.map_or(EndCause::Local, |b| b.cause));
    }
}

/// The end that a BYE of this party makes.
const fn by(now: Now, party: Party) -> Ending {
    Ending {
        cause: match party {
            Party::Caller => EndCause::Caller,
            Party::Callee => EndCause::Callee,
        },
        end_ms: now.wall_ms,
    }
}
