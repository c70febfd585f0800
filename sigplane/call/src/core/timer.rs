//! The core's own timers.

use tandem_transaction::{ClientId, ServerId, trim};

use super::{Core, Failure};
use crate::io::Now;

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A call's target has been silent for too long.
    FirstResponse(u64, ClientId),
    /// Timer C: a call's target has been ringing for too long.
    C(u64, ClientId),
    /// The target does not answer our CANCEL.
    Cancelled(u64),
    /// A BYE was challenged, and its retry does not come.
    ByeRetry(u64),
    /// The call has its longest duration.
    MaxDuration(u64),
    /// The call's session was not refreshed.
    Session(u64),
    /// The last media figures of the call do not come.
    Reports(u64),
    /// A call that may come again has not, or the figures of one that is over have not.
    Lapsed(u64),
    /// A re-INVITE has been silent, or ringing (timer C), for too long.
    RelayC(ServerId),
    /// The target of a request outside of calls has been silent for too long.
    Passage(ServerId),
    /// The registrations over a flow end.
    Binding(u64),
    /// A registered user agent's NAT is to be kept open.
    Keepalive(u64),
    /// The target is to be probed.
    Probe(i64),
    /// A target's name is to be looked up.
    Locate(i64),
    /// Registrations may be over.
    Location,
    /// The other workers are to be told the targets' loads.
    Loads,
    /// Those who could call before a change are forgotten.
    Former,
    /// A request has waited for a name for too long.
    Held,
    /// The target's answer to a probe does not come.
    ProbeTimeout(i64),
}

impl Core {
    pub(super) fn expire(&mut self, now: Now) {
        self.layer.expire(now.mono);
        self.settle(now);
        trim(&mut self.clients);
        trim(&mut self.setups);
        trim(&mut self.relays);
        self.timers.trim();
        while let Some(timer) = self.timers.expired(now.mono) {
            match timer {
                Timer::FirstResponse(key, client) => {
                    self.branch_failed(now, key, client, Failure::Silence);
                }
                Timer::C(key, client) => self.rang_out(now, key, client),
                Timer::Cancelled(key) => self.cancel_unanswered(now, key),
                Timer::ByeRetry(key) => self.bye_not_retried(now, key),
                Timer::MaxDuration(key) => self.duration_reached(now, key),
                Timer::Session(key) => self.session_expired(now, key),
                Timer::Reports(key) => self.reports_missing(now, key),
                Timer::Lapsed(key) => self.lapsed_out(now, key),
                Timer::RelayC(server) => self.relay_rang_out(now, server),
                Timer::Passage(server) => self.passage_silent(now, server),
                Timer::Binding(key) => self.binding_expired(now, key),
                Timer::Keepalive(key) => self.keepalive(now, key),
                Timer::Probe(target) => self.probe(now, target),
                Timer::Locate(target) => self.locate_target(now, target),
                Timer::Location => self.location_due(now),
                Timer::Loads => self.tell_loads(),
                Timer::Former => self.forget_former(now),
                Timer::Held => self.held_too_long(now),
                Timer::ProbeTimeout(target) => self.probe_silent(now, target),
            }
            self.settle(now);
        }
    }

    /// Drops every timer of a call, but for those of its branches, which go with them.
    pub(super) fn clear_timers(&mut self, key: u64) {
        let timers = [
            Timer::Cancelled(key),
            Timer::ByeRetry(key),
            Timer::MaxDuration(key),
            Timer::Session(key),
            Timer::Reports(key),
        ];
        for timer in timers {
            self.timers.clear(timer);
        }
    }
}
