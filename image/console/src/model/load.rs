//! The load test that is watched from here.

use std::collections::VecDeque;

use crate::feed::{Criterion, LoadNews, LoadSecond};
use crate::text::clean;

/// Seconds and lines kept.
const KEPT: usize = 240;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// None has run since the console was started.
    #[default]
    None,
    /// It runs.
    Runs,
    /// It is over, with this exit code; none when it was killed.
    Ended(Option<i32>),
}

/// The load test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) phase: Phase,
    /// Its profile.
    pub(crate) profile: String,
    pub(crate) seconds: VecDeque<LoadSecond>,
    /// What it said.
    pub(crate) said: VecDeque<String>,
    pub(crate) criteria: Vec<Criterion>,
    /// By the kernel's sockets instead of DPDK.
    pub(crate) socket: bool,
}

impl Load {
    /// Whether one runs.
    pub(crate) fn runs(&self) -> bool {
        self.phase == Phase::Runs
    }

    /// Takes news.
    pub(crate) fn take(&mut self, news: LoadNews) {
        match news {
            LoadNews::Started(profile) => {
                *self = Self {
                    phase: Phase::Runs,
                    profile,
                    socket: self.socket,
                    ..Self::default()
                };
            }
            LoadNews::Second(second) => push(&mut self.seconds, *second),
            LoadNews::Said(text) => push(&mut self.said, clean(&text)),
            LoadNews::Ended { code, criteria } => {
                self.phase = Phase::Ended(code);
                self.criteria = criteria;
            }
        }
    }
}

fn push<T>(series: &mut VecDeque<T>, value: T) {
    if series.len() >= KEPT {
        series.pop_front();
    }
    series.push_back(value);
}
