//! How long things took.

use std::time::Duration;

use super::Core;
use crate::histogram::{ANSWERS, Histogram, MACHINERY};

macro_rules! histograms {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal in $bounds:ident,)+) => {
        /// The core's histograms.
        #[derive(Debug)]
        pub(super) struct Latencies {
            $($(#[doc = $doc])+ pub(super) $field: Histogram,)+
        }

        impl Default for Latencies {
            fn default() -> Self {
                Self { $($field: Histogram::new($bounds),)+ }
            }
        }

        impl Latencies {
            fn all(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
                [$(($name, &self.$field),)+].into_iter()
            }
        }
    };
}

histograms! {
    /// Time that a SIP message waited between being received and being looked at.
    message_wait = "sip_message_wait_seconds" in MACHINERY,
    /// Time from an INVITE to its first 18x response: post-dial delay.
    ringing = "call_post_dial_delay_seconds" in ANSWERS,
    /// Time from an INVITE to its 2xx response.
    answer = "call_answer_delay_seconds" in ANSWERS,
    /// Round trip of OPTIONS probes to dispatcher targets.
    probe = "dispatcher_probe_seconds" in ANSWERS,
}

impl Core {
    /// Every histogram by its name.
    pub fn histograms(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        self.latencies.all()
    }

    /// The first 18x of a call came.
    pub(super) fn rings(&mut self, mono: Duration, key: u64) {
        if let Some(setup) = self.setup_mut(key)
            && !std::mem::replace(&mut setup.rang, true)
        {
            let took = mono.saturating_sub(setup.begun);
            self.latencies.ringing.record(took);
        }
    }

    /// Its 2xx came.
    pub(super) fn picks_up(&mut self, mono: Duration, key: u64) {
        if let Some(setup) = self.setup_mut(key) {
            let took = mono.saturating_sub(setup.begun);
            self.latencies.answer.record(took);
        }
    }
}
