//! Raw frames.

use super::pace::Pace;
use super::{Raw, Sink};
use crate::Nanos;
use crate::figures::RawCounts;

/// A source's state.
pub(super) struct Flooding {
    raw: Raw,
    pace: Pace,
    pub(super) skipped: u64,
}

impl Flooding {
    /// `start` is when the run began.
    pub(super) fn new(mut raw: Raw, start: Nanos) -> Self {
        raw.begin = start.saturating_add(raw.begin);
        raw.end = start.saturating_add(raw.end);
        let pace = Pace::new(raw.begin, raw.rate);
        Self {
            raw,
            pace,
            skipped: 0,
        }
    }

    /// Sends up to `most` frames; answers how many.
    pub(super) fn send(
        &mut self,
        now: Nanos,
        most: usize,
        counts: &mut RawCounts,
        sink: &mut impl Sink,
    ) -> usize {
        if now < self.raw.begin || now >= self.raw.end {
            return 0;
        }
        let (due, skipped) = self.pace.due(now, most as u64);
        self.skipped += skipped;
        let mut sent = 0;
        while sent < due {
            let (source, mut length) = (&mut self.raw.source, 0);
            let taken = sink.frame(self.raw.port, |buffer| {
                length = source.frame(now, buffer);
                length
            });
            if !taken || length == 0 {
                break;
            }
            sent += 1;
            counts.sent += 1;
            counts.bytes_sent += length as u64;
        }
        self.pace.give(sent);
        sent as usize
    }
}
