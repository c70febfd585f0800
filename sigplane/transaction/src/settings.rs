//! The base times and what follows from them (RFC 3261 table 4).

use std::time::Duration;

/// The base times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The round trip time estimate.
    pub t1: Duration,
    /// The largest interval between retransmissions of what is not an INVITE.
    pub t2: Duration,
    /// How long a message can stay in the network.
    pub t4: Duration,
}

impl Settings {
    /// T2 of 4 s and T4 of 5 s, as the RFC has them.
    #[must_use]
    pub const fn with_t1(t1: Duration) -> Self {
        Self {
            t1,
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }

    /// 64*T1: timers B, F, H, J, L and M.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: above 32 s over UDP.
    #[must_use]
    pub fn timer_d(&self) -> Duration {
        self.timeout().max(Duration::from_secs(32))
    }

    /// The interval after `interval`, doubled up to T2 (timers E and G).
    #[must_use]
    pub fn doubled(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}
