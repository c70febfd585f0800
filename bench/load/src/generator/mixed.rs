//! Many streams' packets in random order at one rate.

use super::endpoints::Hosts;
use super::pace::Pace;
use super::streams::Streams;
use super::{HostError, Mixed, Sink, StreamId};
use crate::Nanos;

/// Its state.
pub(super) struct Mixing {
    /// Places of the streams: each once in a round, and another order in each round.
    places: Vec<u32>,
    at: usize,
    random: u64,
    pace: Pace,
    /// Packets that were never sent.
    pub(super) skipped: u64,
}

impl Mixing {
    pub(super) fn new(
        mixed: &Mixed,
        first_id: u32,
        begin: Nanos,
        streams: &mut Streams,
        hosts: &mut Hosts,
    ) -> Result<Self, HostError> {
        let ids = first_id..;
        let add = |(id, spec)| streams.add(StreamId(id), spec, hosts);
        let places = ids.zip(&mixed.streams).map(add).collect::<Result<_, _>>()?;
        Ok(Self {
            places,
            at: 0,
            random: mixed.seed | 1,
            pace: Pace::new(begin, mixed.rate),
            skipped: 0,
        })
    }

    /// Sends up to `most` packets; answers how many.
    pub(super) fn send(
        &mut self,
        now: Nanos,
        most: usize,
        (streams, hosts): (&mut Streams, &Hosts),
        sink: &mut impl Sink,
    ) -> usize {
        let (due, skipped) = self.pace.due(now, most as u64);
        self.skipped += skipped;
        let mut sent = 0;
        while sent < due {
            let Some(place) = self.pick() else { break };
            if !streams.send_now(place, now, hosts, sink) {
                break;
            }
            self.at += 1;
            sent += 1;
        }
        self.pace.give(sent);
        sent as usize
    }

    /// The next stream. The one that is picked is any of those that were not in this round (Fisher and Yates).
    #[inline]
    fn pick(&mut self) -> Option<u32> {
        if self.at >= self.places.len() {
            self.at = 0;
        }
        // xorshift64: any cheap one does.
        let mut r = self.random;
        r ^= r << 13;
        r ^= r >> 7;
        r ^= r << 17;
        self.random = r;
        let left = (self.places.len() - self.at) as u64;
        let with = self.at + (((r >> 32) * left) >> 32) as usize;
        if with < self.places.len() {
            self.places.swap(self.at, with);
        }
        self.places.get(self.at).copied()
    }
}
