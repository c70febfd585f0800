//! All streams: sent to their schedule, and accounted for as they arrive.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::endpoints::{Hop, Hosts};
use super::stream::{Mark, Template};
use super::track::{Arrival, Track};
use super::wheel::Wheel;
use super::{HostError, Sink, StreamId, StreamSpec};
use crate::figures::{GeneratorCounts, RtpCounts};
use crate::histogram::Histogram;
use crate::{MILLISECOND, Nanos, SECOND};

/// After its end, what was on its way may come for so long.
const REST: Nanos = SECOND;
/// Later than this is late.
const LATE: Nanos = MILLISECOND;

/// The sending side of a stream.
struct Sending {
    id: StreamId,
    template: Template,
    port: u16,
    hop: Hop,
    sending: bool,
    /// Whether the wheel has its place: then nobody else may get it.
    in_wheel: bool,
    interval: Nanos,
    sequence: u64,
    timestamp: u32,
}

/// The receiving side.
struct Receiving {
    id: StreamId,
    arrives: Option<(usize, SocketAddr)>,
    track: Track,
    received: u64,
    /// Counted as lost so far.
    missing: u64,
    /// How long the last packet was on its way; none before the first.
    transit: Option<Nanos>,
    /// Interarrival jitter times 16, in nanoseconds (RFC 3550 section A.8).
    jitter: u64,
}

/// The streams of a generator, and what is counted of them.
pub(super) struct Streams {
    sending: Vec<Sending>,
    receiving: Vec<Receiving>,
    free: Vec<u32>,
    by_id: HashMap<StreamId, u32>,
    wheel: Wheel,
    /// Ended ones, in order, with the time when they are forgotten.
    resting: VecDeque<(Nanos, u32)>,
    /// What was counted, from the start.
    pub(super) counts: RtpCounts,
    pub(super) second: Latencies,
    pub(super) lateness: Histogram,
    pub(super) late: u64,
    pub(super) skipped: u64,
    pub(super) unresolved: u64,
}

/// What packets took that came since it was last emptied.
#[derive(Default)]
pub(super) struct Latencies {
    pub(super) latency: Histogram,
    pub(super) jitter: Histogram,
}

impl Streams {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            sending: Vec::new(),
            receiving: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            wheel: Wheel::new(now),
            resting: VecDeque::new(),
            counts: RtpCounts::default(),
            second: Latencies::default(),
            lateness: Histogram::default(),
            late: 0,
            skipped: 0,
            unresolved: 0,
        }
    }

    /// Takes a stream up; answers its place. It is not sent yet.
    pub(super) fn add(
        &mut self,
        id: StreamId,
        spec: &StreamSpec,
        hosts: &mut Hosts,
    ) -> Result<u32, HostError> {
        let (local, remote) = (spec.source.ip(), spec.destination.ip());
        let hop = hosts.hop(spec.port, local, remote)?;
        if let Some((port, address)) = spec.arrives
            && !hosts.get(port)?.owns(address.ip())
        {
            return Err(HostError::Address(address.ip(), port));
        }
        let ethernet = hosts.get(spec.port)?.ethernet([0; 6], local);
        // Any number would do that differs from the neighbours'.
        let ssrc = id.0.wrapping_mul(0x9e37_79b9);
        let template =
            Template::new(spec, ethernet, ssrc).ok_or(HostError::Families(local, remote))?;
        let sending = Sending {
            id,
            template,
            port: u16::try_from(spec.port).unwrap_or(u16::MAX),
            hop,
            sending: true,
            in_wheel: false,
            interval: spec.payload.interval(),
            sequence: 0,
            timestamp: ssrc,
        };
        let receiving = Receiving {
            id,
            arrives: spec.arrives,
            track: Track::default(),
            received: 0,
            missing: 0,
            transit: None,
            jitter: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                let at = place as usize;
                if let (Some(s), Some(r)) = (self.sending.get_mut(at), self.receiving.get_mut(at)) {
                    (*s, *r) = (sending, receiving);
                }
                place
            }
            None => {
                self.sending.push(sending);
                self.receiving.push(receiving);
                u32::try_from(self.sending.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_id.insert(id, place);
        self.counts.streams += 1;
        Ok(place)
    }

    /// Sends the stream at `place` by its own clock from `begin` on.
    pub(super) fn schedule(&mut self, place: u32, begin: Nanos) {
        if let Some(stream) = self.sending.get_mut(place as usize) {
            stream.in_wheel = true;
            self.wheel.insert(place, begin);
        }
    }

    /// Ends a stream.
    pub(super) fn stop(&mut self, id: StreamId, now: Nanos) {
        let Some(place) = self.by_id.remove(&id) else {
            return;
        };
        if let Some(stream) = self.sending.get_mut(place as usize) {
            stream.sending = false;
        }
        self.counts.streams -= 1;
        self.resting.push_back((now + REST, place));
    }

    /// Ends all with this number or a higher one.
    pub(super) fn stop_from(&mut self, first: StreamId, now: Nanos) {
        let all: Vec<StreamId> = self
            .by_id
            .keys()
            .filter(|id| **id >= first)
            .copied()
            .collect();
        all.into_iter().for_each(|id| self.stop(id, now));
    }

    /// Forgets those that have rested long enough, or all that were ended.
    pub(super) fn settle(&mut self, now: Option<Nanos>) {
        while let Some((until, place)) = self.resting.front().copied() {
            if now.is_some_and(|now| now < until) {
                return;
            }
            self.resting.pop_front();
            let at = place as usize;
            let (Some(s), Some(r)) = (self.sending.get(at), self.receiving.get_mut(at)) else {
                continue;
            };
            if let (true, Some(now)) = (s.in_wheel, now) {
                self.resting.push_back((now + REST, place));
                continue;
            }
            // Exactly what did not come, instead of the gaps that were seen: the last packets leave none.
            let lost = s.sequence.saturating_sub(r.received);
            self.counts.lost = (self.counts.lost + lost).saturating_sub(r.missing);
            // Nobody has this number.
            r.id = StreamId(0);
            self.free.push(place);
        }
    }

    /// Sends up to `most` packets that are due; answers how many.
    pub(super) fn send_due(
        &mut self,
        now: Nanos,
        most: usize,
        hosts: &Hosts,
        sink: &mut impl Sink,
    ) -> usize {
        for sent in 0..most {
            let Some((place, mut due)) = self.wheel.next(now) else {
                return sent;
            };
            let Some(stream) = self.sending.get_mut(place as usize) else {
                continue;
            };
            if !stream.sending {
                stream.in_wheel = false;
                continue;
            }
            let behind = now.saturating_sub(due);
            if behind > 2 * stream.interval {
                let skipped = behind / stream.interval;
                self.skipped += skipped;
                due += skipped * stream.interval;
                let samples = stream.template.samples();
                stream.timestamp = stream
                    .timestamp
                    .wrapping_add(samples.wrapping_mul(skipped as u32));
            }
            let Some(mac) = hosts.mac(stream.hop) else {
                self.unresolved += 1;
                self.wheel.insert(place, due + stream.interval);
                continue;
            };
            let written = write(stream, place, mac, now, sink);
            if written == 0 {
                self.wheel.put_back(place, due);
                return sent;
            }
            let late = now.saturating_sub(due);
            self.lateness.record(late);
            self.late += u64::from(late > LATE);
            self.counts.sent += 1;
            self.counts.bytes_sent += written;
            self.wheel.insert(place, due + stream.interval);
        }
        most
    }

    /// Sends the next packet of the stream at `place` now; says whether the device took it.
    pub(super) fn send_now(
        &mut self,
        place: u32,
        now: Nanos,
        hosts: &Hosts,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(stream) = self.sending.get_mut(place as usize) else {
            return false;
        };
        let Some(mac) = hosts.mac(stream.hop) else {
            self.unresolved += 1;
            return false;
        };
        let written = write(stream, place, mac, now, sink);
        self.counts.sent += u64::from(written > 0);
        self.counts.bytes_sent += written;
        written > 0
    }

    /// A packet of ours arrived.
    pub(super) fn arrived(
        &mut self,
        now: Nanos,
        mark: Mark,
        at: (usize, SocketAddr),
        frame_len: usize,
    ) {
        let Self { counts, second, .. } = self;
        let stream = self.receiving.get_mut(mark.place as usize);
        let Some(stream) = stream.filter(|s| s.id == mark.id) else {
            counts.unknown += 1;
            return;
        };
        if stream.arrives.is_some_and(|wanted| wanted != at) {
            counts.misdelivered += 1;
            return;
        }
        match stream.track.arrive(mark.sequence) {
            Arrival::Again => {
                counts.duplicated += 1;
                return;
            }
            Arrival::Late => {
                counts.reordered += 1;
                counts.lost = counts.lost.saturating_sub(1);
                stream.missing = stream.missing.saturating_sub(1);
            }
            Arrival::Next { missing } => {
                counts.lost += missing;
                stream.missing += missing;
            }
        }
        stream.received += 1;
        counts.received += 1;
        counts.bytes_received += frame_len as u64;
        let transit = now.saturating_sub(mark.sent);
        second.latency.record(transit);
        if let Some(before) = stream.transit {
            // How late we sent is no jitter of the appliance: sent is when it was, not when it should have been.
            let difference = transit.abs_diff(before);
            stream.jitter = (stream.jitter + difference).saturating_sub((stream.jitter + 8) >> 4);
            second.jitter.record(stream.jitter >> 4);
        }
        stream.transit = Some(transit);
    }

    /// Its part of the generator's own counts.
    pub(super) fn add_to(&self, counts: &mut GeneratorCounts) {
        counts.late += self.late;
        counts.skipped += self.skipped;
        counts.unresolved += self.unresolved;
    }
}

/// Writes the stream's next packet; answers its bytes, 0 when the device takes none.
#[inline]
fn write(stream: &mut Sending, place: u32, mac: [u8; 6], now: Nanos, sink: &mut impl Sink) -> u64 {
    let Sending {
        id,
        template,
        sequence,
        timestamp,
        ..
    } = stream;
    let mark = Mark {
        place,
        id: *id,
        sequence: *sequence,
        sent: now,
    };
    if !sink.frame(stream.port.into(), |buffer| {
        template.write(mac, mark, *timestamp, buffer)
    }) {
        return 0;
    }
    *sequence += 1;
    *timestamp = timestamp.wrapping_add(template.samples());
    template.frame_len() as u64
}
