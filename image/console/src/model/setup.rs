//! The set-up of a new machine; comes in a later step.

use crate::feed::{Got, Machine, SetupNews};

/// The set-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {}

impl Setup {
    pub(crate) fn machine(&mut self, _now: u64, _got: Got<Box<Machine>>) {}
    pub(crate) fn progress(&mut self, _news: SetupNews) {}
}
