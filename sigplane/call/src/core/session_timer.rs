//! Session timers as a proxy sees them (RFC 4028 section 8): who agreed to refresh the session and does
//! not is gone, and the call ends.

use std::time::Duration;

use tandem_policy::EndCause;

use super::Core;
use super::timer::Timer;
use crate::io::Now;
use crate::message::{Message, Name};
use crate::record::SessionTimer;

/// The shortest interval that may be agreed on (RFC 4028 section 4), in seconds.
const SHORTEST: u32 = 90;

impl Core {
    /// Keeps what a 2xx of INVITE or UPDATE says: the session is fresh for that long. Without
    /// Session-Expires it needs no refreshing any more (RFC 4028 section 10).
    pub(super) fn note_session(&mut self, now: Now, key: u64, response: &Message<'_>) {
        let agreed = response.first(Name::SessionExpires).and_then(interval);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.record.session = agreed.map(|interval_s| SessionTimer {
            interval_s,
            refreshed_ms: now.wall_ms,
        });
        self.watch_session(now, key);
    }

    /// Sets the timer for the end of a session that is not refreshed. A refresh that is under way by then
    /// is repeated for 64*T1 at most.
    pub(super) fn watch_session(&mut self, now: Now, key: u64) {
        let session = self.calls.get(&key).and_then(|c| c.record.session);
        let Some(session) = session else {
            return self.timers.clear(Timer::Session(key));
        };
        let spent = now.wall_ms.saturating_sub(session.refreshed_ms);
        let left = Duration::from_secs(session.interval_s.into())
            .saturating_sub(Duration::from_millis(spent))
            + self.config.t1.saturating_mul(64);
        self.timers.set(Timer::Session(key), now.mono + left);
    }

    pub(super) fn session_expired(&mut self, now: Now, key: u64) {
        self.hang_up(now, key, EndCause::SessionExpired);
    }
}

/// The interval in a Session-Expires, in seconds.
fn interval(value: &[u8]) -> Option<u32> {
    let digits = value.split(|b| *b == b';').next()?.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    // What is too long for a number is for ever.
    Some(text.parse().unwrap_or(u32::MAX).max(SHORTEST))
}
