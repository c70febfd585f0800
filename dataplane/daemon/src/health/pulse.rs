//! What a worker says of itself while it runs: its turns, and what it is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::unistd::gettid;

/// Bits of a stamp that say what the worker is doing; those above count its turns.
const PHASE_BITS: u32 = 16;

/// What a worker can be doing. Ports have a phase each, from [`Phase::PORTS`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase(u16);

impl Phase {
    pub(crate) const BEGIN: Self = Self(0);
    pub(crate) const HANDED_OVER: Self = Self(1);
    pub(crate) const SIP: Self = Self(2);
    pub(crate) const ORDERS: Self = Self(3);
    pub(crate) const EXPIRY: Self = Self(4);
    pub(crate) const SENDING: Self = Self(5);
    pub(crate) const BELLS: Self = Self(6);
    pub(crate) const REST: Self = Self(7);
    const PORTS: u16 = 64;

    /// At this port: it receives, or decides on what came.
    #[inline]
    pub(crate) const fn port(index: u16) -> Self {
        Self(Self::PORTS.saturating_add(index))
    }

    /// Of a stamp.
    pub(crate) const fn of(stamp: u64) -> Self {
        Self((stamp & ((1 << PHASE_BITS) - 1)) as u16)
    }

    /// For people. Ports have these names.
    pub(crate) fn describe(self, ports: &[String]) -> String {
        let port = self.0.checked_sub(Self::PORTS).map(usize::from);
        match (self, port.and_then(|port| ports.get(port))) {
            (_, Some(name)) => format!("at port {name}"),
            (Self::BEGIN, _) => "at its start".to_owned(),
            (Self::HANDED_OVER, _) => "at packets of other workers".to_owned(),
            (Self::SIP, _) => "at the controller's ring".to_owned(),
            (Self::ORDERS, _) => "at orders of the control thread".to_owned(),
            (Self::EXPIRY, _) => "at timeouts of flows".to_owned(),
            (Self::SENDING, _) => "sending".to_owned(),
            (Self::BELLS, _) => "ringing bells".to_owned(),
            (Self::REST, _) => "resting".to_owned(),
            (Self(number), None) => format!("at phase {number}"),
        }
    }
}

/// One worker's stamp, on a cache line of its own: the worker writes it, the control thread reads it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Pulse {
    stamp: AtomicU64,
    /// The kernel's number of the thread.
    thread: AtomicI32,
}

impl Pulse {
    /// Another one than before: the worker has moved.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// What the kernel says of the thread: `R (running)` and the like.
    pub(crate) fn thread_state(&self) -> String {
        let thread = self.thread.load(Ordering::Relaxed);
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status"));
        let status = status.unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        state.map_or("unknown", str::trim).to_owned()
    }
}

/// The worker's end of its pulse.
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    turns: u64,
}

impl Beat {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, turns: 0 }
    }

    /// The worker runs on the calling thread from now on.
    pub(crate) fn begin(&mut self) {
        let thread = gettid().as_raw();
        self.pulse.thread.store(thread, Ordering::Relaxed);
    }

    /// A turn begins.
    #[inline]
    pub(crate) fn turn(&mut self) {
        self.turns = self.turns.wrapping_add(1 << PHASE_BITS);
    }

    /// What the worker does from now on. One store.
    #[inline]
    pub(crate) fn at(&self, phase: Phase) {
        self.pulse
            .stamp
            .store(self.turns | u64::from(phase.0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_says_what_and_differs_in_each_turn() {
        let pulse = Arc::new(Pulse::default());
        let mut beat = Beat::new(Arc::clone(&pulse));
        beat.begin();
        let ports = ["carrier".to_owned()];
        beat.turn();
        beat.at(Phase::port(0));
        let first = pulse.stamp();
        assert_eq!(Phase::of(first).describe(&ports), "at port carrier");
        beat.at(Phase::SIP);
        assert_eq!(
            Phase::of(pulse.stamp()).describe(&ports),
            "at the controller's ring"
        );
        beat.turn();
        beat.at(Phase::port(0));
        assert_ne!(pulse.stamp(), first);
        assert_eq!(Phase::port(9).describe(&ports), "at phase 73");
        assert_eq!(pulse.thread_state(), "R (running)");
    }
}
