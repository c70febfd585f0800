//! What a run sends.

use super::{Agent, Source, StreamSpec};
use crate::{Nanos, SECOND};

/// What a run sends, all of it at the same time.
#[derive(Default)]
pub struct Load {
    /// What it is called in reports.
    pub name: String,
    /// What speaks SIP.
    pub agent: Option<Box<dyn Agent>>,
    /// Streams that are sent from the beginning to the end, each by its own clock. Their `begin` counts from the run's
    /// start.
    pub streams: Vec<StreamSpec>,
    /// Streams whose packets are sent in random order at one rate.
    pub mixed: Option<Mixed>,
    /// Raw frames.
    pub raw: Vec<Raw>,
    /// How long it is sent.
    pub duration: Nanos,
    /// How long what is on its way may take at the end.
    pub drain: Nanos,
}

/// Streams whose packets are sent in random order at one rate: what a relay sees of many calls, as fast as it can bear.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// The streams; `begin` and the packets' interval do not matter.
    pub streams: Vec<StreamSpec>,
    /// Packets a second over all of them; none for as fast as the device takes them.
    pub rate: Option<f64>,
    /// Where the random order begins.
    pub seed: u64,
}

/// A source of raw frames.
pub struct Raw {
    /// The generator's port that they leave by.
    pub port: usize,
    /// Frames a second; none for as fast as the device takes them.
    pub rate: Option<f64>,
    /// When they begin, from the run's start.
    pub begin: Nanos,
    /// When they end, from the run's start.
    pub end: Nanos,
    /// Where they come from.
    pub source: Box<dyn Source>,
}

impl Load {
    /// Nothing yet, for so many seconds, with 2 s for what is on its way.
    #[must_use]
    pub fn new(name: &str, seconds: u32) -> Self {
        Self {
            name: name.to_owned(),
            duration: Nanos::from(seconds) * SECOND,
            drain: 2 * SECOND,
            ..Self::default()
        }
    }
}
