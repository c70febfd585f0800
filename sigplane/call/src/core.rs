//! The core: one input, then its outputs.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::CoreConfig;
use crate::io::{Input, Now, Output};
use crate::views::{CallView, TargetView};

/// Why a journal record could not be taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError {
    /// The record's key.
    pub key: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "journal record of call {:016x} is not usable: {}", self.key, self.reason)
    }
}

impl std::error::Error for RestoreError {}

/// The proxy core of one SIP worker.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    outputs: VecDeque<Output>,
}

impl Core {
    /// A core without calls. `seed` must be unpredictable and different in every life of the
    /// process: branches, tags and tokens are drawn from it.
    #[must_use]
    pub fn new(config: CoreConfig, seed: [u8; 16]) -> Self {
        let _ = seed;
        Self { config, outputs: VecDeque::new() }
    }

    /// Takes up a call from the journal. Before the first input, and followed by draining
    /// [`Self::output`]: a call that was not answered yet ends here, with its CDR.
    ///
    /// # Errors
    /// Names the record; the others are not harmed.
    pub fn restore(&mut self, now: Now, key: u64, body: &[u8]) -> Result<(), RestoreError> {
        let _ = (now, body);
        Err(RestoreError { key, reason: String::new() })
    }

    /// Takes one input.
    pub fn input(&mut self, now: Now, input: Input<'_>) {
        let _ = (now, input);
    }

    /// The next output, in order; none when all are drained.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timer`] is wanted, on the clock of [`Now::mono`]; none when nothing is
    /// pending.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        None
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    /// Every call.
    pub fn calls(&self) -> impl Iterator<Item = CallView> + '_ {
        std::iter::empty()
    }

    /// Every dispatcher target.
    pub fn dispatcher(&self) -> impl Iterator<Item = TargetView> + '_ {
        std::iter::empty()
    }

    /// Every counter and gauge.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        std::iter::empty()
    }
}
