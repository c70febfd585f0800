//! One run.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::endpoints::Hosts;
use super::mixed::Mixing;
use super::raw::Flooding;
use super::stream::Mark;
use super::streams::Streams;
use super::{Agent, Datagram, Host, HostError, Load, Mac, Order, Outbox, Sink, StreamId, datagram};
use crate::figures::{Figures, GeneratorCounts, RawCounts, RtpCounts, Sample, SipCounts, Totals};
use crate::{Nanos, SECOND};

/// Packets of each kind in a round at most, so that none waits for the others.
const ROUND: usize = 64;
/// Datagrams for whom nobody has said the way yet.
const WAITING: usize = 1024;
/// Streams of the load itself have numbers from here on, an agent's are below.
const OWN_STREAMS: u32 = 1 << 31;
/// What speaks SIP has so long to come to its end, from the last call that ended: a transaction's timeout (RFC 3261 section 17.1.1.2),
/// and some.
const AGENT_ENDS: Nanos = 40 * SECOND;

/// A run of a [`Load`], from its beginning to its end.
pub struct Generator {
    name: String,
    hosts: Hosts,
    streams: Streams,
    mixed: Option<Mixing>,
    raw: Vec<Flooding>,
    agent: Option<Box<dyn Agent>>,
    outbox: Outbox,
    waiting: VecDeque<Order>,
    phase: Phase,
    begun: Nanos,
    /// The load's time is over then.
    end: Nanos,
    drain: Nanos,
    /// When its clock was read last, and whether there was something to do in the round that began then.
    round: (Nanos, bool),
    raw_counts: RawCounts,
    own: GeneratorCounts,
    samples: Vec<Sample>,
    totals: Totals,
    before: Before,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sending,
    /// The agent ends its calls, so many are up; not longer than this.
    Ending(Nanos, u64),
    /// What is on its way may come until then.
    Draining(Nanos),
    Done,
}

/// The counts at the last sample.
#[derive(Default)]
struct Before {
    at: Nanos,
    rtp: RtpCounts,
    raw: RawCounts,
    sip: SipCounts,
    own: GeneratorCounts,
}

/// What only the devices know, from the run's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Times that one took less than was given to it.
    pub refused: u64,
    /// Frames that they dropped because nobody fetched them.
    pub missed: u64,
}

impl Generator {
    /// A run that begins now.
    ///
    /// # Errors
    /// An address of the load is none of the hosts', or there is no way to one.
    pub fn new(hosts: Vec<Host>, load: Load, now: Nanos) -> Result<Self, HostError> {
        let mut hosts = Hosts::new(hosts);
        let mut streams = Streams::new(now);
        let first = u32::try_from(load.streams.len()).unwrap_or(0) + OWN_STREAMS;
        for (id, spec) in (OWN_STREAMS..).zip(&load.streams) {
            let place = streams.add(StreamId(id), spec, &mut hosts)?;
            streams.schedule(place, now + spec.begin);
        }
        let mixing = |m| Mixing::new(m, first, now, &mut streams, &mut hosts);
        let mixed = load.mixed.as_ref().map(mixing).transpose()?;
        for raw in &load.raw {
            hosts.get(raw.port)?;
        }
        Ok(Self {
            name: load.name,
            hosts,
            streams,
            mixed,
            raw: load
                .raw
                .into_iter()
                .map(|raw| Flooding::new(raw, now))
                .collect(),
            agent: load.agent,
            outbox: Outbox::default(),
            waiting: VecDeque::new(),
            phase: Phase::Sending,
            begun: now,
            end: now.saturating_add(load.duration),
            drain: load.drain,
            round: (now, false),
            raw_counts: RawCounts::default(),
            own: GeneratorCounts::default(),
            samples: Vec::new(),
            totals: Totals::default(),
            before: Before {
                at: now,
                ..Before::default()
            },
        })
    }

    /// A frame came in on a port.
    #[inline]
    pub fn receive(&mut self, now: Nanos, port: usize, frame: &[u8], sink: &mut impl Sink) {
        self.round.1 = true;
        let vlan = self.hosts.get(port).ok().and_then(|h| h.vlan);
        let Some(datagram) = datagram::read(frame, vlan) else {
            if !self.hosts.receive(port, frame, sink) {
                self.raw_counts.received += 1;
            }
            return;
        };
        if let Some(mark) = Mark::read(datagram.payload) {
            if datagram.intact {
                let at = (port, datagram.destination);
                self.streams.arrived(now, mark, at, frame.len());
            } else {
                self.streams.counts.damaged += 1;
            }
            return;
        }
        let local = datagram.destination;
        let own = self.hosts.get(port).is_ok_and(|h| h.owns(local.ip()));
        match &mut self.agent {
            Some(agent) if own && datagram.intact => {
                let (remote, payload) = (datagram.source, datagram.payload);
                let datagram = Datagram {
                    port,
                    local,
                    remote,
                    payload,
                };
                agent.datagram(now, datagram, &mut self.outbox);
            }
            _ => self.raw_counts.received += 1,
        }
    }

    /// A round of its loop, behind the frames that came: everything that is due is sent. Says whether there was
    /// something to do.
    pub fn poll(&mut self, now: Nanos, sink: &mut impl Sink) -> bool {
        self.clock(now);
        self.turn(now);
        self.hosts.poll(now, sink);
        let mut sent = self.orders(now, sink);
        if let Some(agent) = &mut self.agent
            && self.phase != Phase::Done
        {
            agent.poll(now, &mut self.outbox);
            sent += self.orders(now, sink);
        }
        sent += self.streams.send_due(now, ROUND, &self.hosts, sink);
        if self.phase == Phase::Sending {
            if let Some(mixed) = &mut self.mixed {
                sent += mixed.send(now, ROUND, (&mut self.streams, &self.hosts), sink);
            }
            for raw in &mut self.raw {
                sent += raw.send(now, ROUND, &mut self.raw_counts, sink);
            }
        }
        self.streams.settle(Some(now));
        self.round.1 |= sent > 0;
        self.round.1
    }

    /// Asks who is behind `remote`.
    ///
    /// # Errors
    /// An address that is not ours, or one without a way.
    pub fn seek(&mut self, port: usize, local: IpAddr, remote: IpAddr) -> Result<(), HostError> {
        self.hosts.hop(port, local, remote).map(drop)
    }

    /// Who is, if it has been said.
    pub fn sought(&mut self, port: usize, local: IpAddr, remote: IpAddr) -> Option<Mac> {
        let hop = self.hosts.hop(port, local, remote).ok()?;
        self.hosts.mac(hop)
    }

    /// Ends it before its time: what it has is ended as at the end of its time.
    pub fn stop(&mut self, now: Nanos) {
        self.end = self.end.min(now);
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether a second is over, so that [`Generator::sample`] should be asked.
    #[inline]
    #[must_use]
    pub fn is_second(&self, now: Nanos) -> bool {
        now - self.before.at >= SECOND
    }

    /// What it measured. `started_s` is the time of its beginning in seconds since 1970.
    #[must_use]
    pub fn finish(mut self, now: Nanos, device: Device, started_s: f64) -> Figures {
        self.streams.stop_from(StreamId(0), now);
        self.streams.settle(None);
        if now > self.before.at {
            self.sample(now, device);
        }
        if let Some(agent) = &self.agent {
            self.totals.setup = agent.setup().clone();
            self.totals.ringing = agent.ringing().clone();
            self.totals.registration = agent.registration().clone();
        }
        self.totals.rtp = self.streams.counts.clone();
        self.totals.raw = self.raw_counts.clone();
        self.totals.sip = self.sip().clone();
        let longest_gap_ns = self.totals.generator.longest_gap_ns;
        self.totals.generator = GeneratorCounts {
            longest_gap_ns,
            ..self.generator_counts(device)
        };
        self.totals.lateness = self.streams.lateness.clone();
        Figures {
            name: self.name,
            started: started_s as u64,
            started_s,
            duration_s: seconds(now - self.begun),
            samples: self.samples,
            totals: self.totals,
        }
    }

    /// What happened since the last one.
    pub fn sample(&mut self, now: Nanos, device: Device) -> Sample {
        let own = self.generator_counts(device);
        let sip = self.sip().clone();
        let sample = Sample {
            at_s: seconds(now - self.begun),
            length_s: seconds(now - self.before.at),
            rtp: self.streams.counts.since(&self.before.rtp),
            latency: self.streams.second.latency.percentiles(),
            jitter: self.streams.second.jitter.percentiles(),
            raw: self.raw_counts.since(&self.before.raw),
            sip: sip.since(&self.before.sip),
            generator: own.since(&self.before.own),
        };
        self.totals.latency.add(&self.streams.second.latency);
        self.totals.jitter.add(&self.streams.second.jitter);
        self.streams.second.latency.clear();
        self.streams.second.jitter.clear();
        self.totals.generator.longest_gap_ns = self
            .totals
            .generator
            .longest_gap_ns
            .max(self.own.longest_gap_ns);
        self.own.longest_gap_ns = 0;
        let rtp = self.streams.counts.clone();
        self.before = Before {
            at: now,
            rtp,
            raw: self.raw_counts.clone(),
            sip,
            own,
        };
        self.samples.push(sample.clone());
        sample
    }

    /// Its own counts so far; the longest gap is that since the last sample.
    fn generator_counts(&self, device: Device) -> GeneratorCounts {
        let mut counts = self.own.clone();
        self.streams.add_to(&mut counts);
        let skipped = self.mixed.iter().map(|m| m.skipped).sum::<u64>();
        counts.skipped += skipped + self.raw.iter().map(|r| r.skipped).sum::<u64>();
        counts.refused = device.refused;
        counts.missed = device.missed;
        counts
    }

    fn sip(&self) -> &SipCounts {
        match &self.agent {
            Some(agent) => agent.counts(),
            None => &self.before.sip,
        }
    }

    /// The time since the last round, and what it was spent for.
    #[inline]
    fn clock(&mut self, now: Nanos) {
        let (before, busy) = self.round;
        let gap = now.saturating_sub(before);
        self.own.rounds += 1;
        self.own.total_ns += gap;
        self.own.busy_ns += if busy { gap } else { 0 };
        self.own.longest_gap_ns = self.own.longest_gap_ns.max(gap);
        self.round = (now, false);
    }

    /// From one phase to the next.
    fn turn(&mut self, now: Nanos) {
        match self.phase {
            Phase::Sending if now >= self.end => {
                // The agent's are its own to end.
                self.streams.stop_from(StreamId(OWN_STREAMS), now);
                self.phase = Phase::Ending(now + AGENT_ENDS, self.sip().calls_up);
                if let Some(agent) = &mut self.agent {
                    agent.finish(now, &mut self.outbox);
                }
            }
            Phase::Ending(_, up) if self.sip().calls_up < up => {
                self.phase = Phase::Ending(now + AGENT_ENDS, self.sip().calls_up);
            }
            Phase::Ending(until, _)
                if now >= until || self.agent.as_ref().is_none_or(|agent| agent.done()) =>
            {
                self.phase = Phase::Draining(now + self.drain);
            }
            Phase::Draining(until) if now >= until => self.phase = Phase::Done,
            _ => {}
        }
    }

    /// Carries out what the agent ordered; answers how many frames went out.
    fn orders(&mut self, now: Nanos, sink: &mut impl Sink) -> usize {
        // Those that wait for a neighbour are tried once a round, in order.
        for order in std::mem::take(&mut self.waiting) {
            if let Outcome::Waits(order) | Outcome::Full(order) = self.carry_out(order, now, sink) {
                self.waiting.push_back(order);
            }
        }
        let mut sent = 0;
        while sent < 4 * ROUND
            && let Some(order) = self.outbox.take()
        {
            match self.carry_out(order, now, sink) {
                Outcome::Done(frames) => sent += frames,
                Outcome::Waits(order) if self.waiting.len() < WAITING => {
                    self.waiting.push_back(order);
                }
                Outcome::Waits(_) => self.streams.unresolved += 1,
                Outcome::Full(order) => {
                    self.outbox.put_back(order);
                    break;
                }
            }
        }
        sent
    }

    fn carry_out(&mut self, order: Order, now: Nanos, sink: &mut impl Sink) -> Outcome {
        match order {
            Order::Start(id, spec) => match self.streams.add(id, &spec, &mut self.hosts) {
                Ok(place) => self.streams.schedule(place, spec.begin.max(now)),
                // What the appliance's SDP said leads nowhere.
                Err(_) => self.streams.unresolved += 1,
            },
            Order::Stop(id) => self.streams.stop(id, now),
            Order::Send {
                port,
                local,
                remote,
                ref payload,
            } => {
                let Ok(hop) = self.hosts.hop(port, local.ip(), remote.ip()) else {
                    self.streams.unresolved += 1;
                    return Outcome::Done(0);
                };
                let (Some(mac), Ok(host)) = (self.hosts.mac(hop), self.hosts.get(port)) else {
                    return Outcome::Waits(order);
                };
                let ethernet = host.ethernet(mac, local.ip());
                let written = sink.frame(port, |buffer| {
                    datagram::write(ethernet, local, remote, payload, buffer).unwrap_or(0)
                });
                if !written {
                    return Outcome::Full(order);
                }
                return Outcome::Done(1);
            }
        }
        Outcome::Done(0)
    }
}

/// What became of an order.
enum Outcome {
    /// It is carried out; so many frames went out.
    Done(usize),
    /// Nobody has said the way yet.
    Waits(Order),
    /// The device takes no more.
    Full(Order),
}

fn seconds(time: Nanos) -> f64 {
    time as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MILLISECOND;
    use crate::generator::{Mixed, Payload, Raw, StreamSpec};

    /// Two ports whose wires lead to each other through a relay that changes UDP ports only.
    struct Wires {
        sent: VecDeque<(usize, Vec<u8>)>,
        /// Frames that the device takes before it is full.
        room: usize,
    }

    impl Sink for Wires {
        fn frame(&mut self, port: usize, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
            if self.sent.len() >= self.room {
                return false;
            }
            let mut buffer = vec![0; crate::generator::MAX_FRAME];
            let length = write(&mut buffer);
            buffer.truncate(length);
            if length > 0 {
                self.sent.push_back((port, buffer));
            }
            true
        }
    }

    fn host(last: u8) -> Host {
        Host {
            mac: [2, 0, 0, 0, 0, last],
            vlan: None,
            addresses: vec![(format!("10.0.0.{last}").parse().unwrap(), 24)],
            gateways: vec![],
            peer_mac: None,
        }
    }

    fn spec(n: u16, begin: Nanos) -> StreamSpec {
        StreamSpec {
            port: 0,
            source: format!("10.0.0.1:{}", 4000 + n).parse().unwrap(),
            destination: format!("10.0.0.2:{}", 6000 + n).parse().unwrap(),
            arrives: Some((1, format!("10.0.0.2:{}", 6000 + n).parse().unwrap())),
            payload: Payload::PCMU,
            begin,
        }
    }

    /// Runs a load over a wire; `wire` may change each frame of media or lose it. It is 250 microseconds long.
    fn run(load: Load, mut wire: impl FnMut(u64, Vec<u8>) -> Vec<Vec<u8>>) -> Figures {
        let start = 5 * SECOND;
        let mut generator = Generator::new(vec![host(1), host(2)], load, start).unwrap();
        let mut wires = Wires {
            sent: VecDeque::new(),
            room: 5000,
        };
        let (mut now, mut count) = (start, 0);
        let mut on_the_way: VecDeque<(Nanos, usize, Vec<u8>)> = VecDeque::new();
        while !generator.is_done() {
            now += 10_000;
            while on_the_way.front().is_some_and(|f| f.0 <= now) {
                let (_, port, frame) = on_the_way.pop_front().unwrap();
                generator.receive(now, port, &frame, &mut wires);
            }
            generator.poll(now, &mut wires);
            if generator.is_second(now) {
                generator.sample(now, Device::default());
            }
            for (port, frame) in std::mem::take(&mut wires.sent) {
                let media = frame.len() > 200;
                count += u64::from(media);
                let frames = if media {
                    wire(count - 1, frame)
                } else {
                    vec![frame]
                };
                on_the_way.extend(frames.into_iter().map(|f| (now + 250_000, 1 - port, f)));
            }
        }
        generator.finish(now, Device::default(), 0.0)
    }

    fn streams(count: u16, seconds: u32) -> Load {
        let mut load = Load::new("test", seconds);
        let each = 20 * MILLISECOND / Nanos::from(count);
        load.streams = (0..count).map(|n| spec(n, Nanos::from(n) * each)).collect();
        load
    }

    #[test]
    fn every_packet_of_every_stream_at_its_time() {
        let figures = run(streams(100, 3), |_, frame| vec![frame]);
        let rtp = &figures.totals.rtp;
        // 150 packets each, less those that went by before ARP was answered.
        let unresolved = figures.totals.generator.unresolved;
        assert_eq!(rtp.sent, 100 * 150 - unresolved);
        assert!(unresolved < 10, "{unresolved}");
        assert_eq!((rtp.received, rtp.lost, rtp.reordered), (rtp.sent, 0, 0));
        assert_eq!((rtp.misdelivered, rtp.unknown, rtp.duplicated), (0, 0, 0));
        let latency = figures.totals.latency.percentiles();
        assert!((250_000..=260_000).contains(&latency.p999), "{latency:?}");
        // A slot of the wheel and a round of the loop.
        assert!(figures.totals.lateness.percentiles().max <= 16_384 + 10_000);
        assert!(figures.totals.jitter.percentiles().max < 10_000);
        let a_second: Vec<u64> = figures.samples.iter().map(|s| s.rtp.sent).collect();
        assert!(a_second[1] == 5000, "{a_second:?}");
        assert_eq!(a_second.iter().sum::<u64>(), rtp.sent);
    }

    #[test]
    fn what_the_wire_loses_doubles_and_swaps_is_seen() {
        let (mut held, mut lost, mut doubled) = (None, 0, 0);
        let figures = run(streams(3, 4), |n, frame| match n % 97 {
            5 => {
                lost += 1;
                vec![]
            }
            9 => {
                doubled += 1;
                vec![frame.clone(), frame]
            }
            20 if n < 400 => {
                held = Some(frame);
                vec![]
            }
            // The same stream's next packet, and the held one behind it.
            23 => [Some(frame), held.take()].into_iter().flatten().collect(),
            _ => vec![frame],
        });
        let rtp = &figures.totals.rtp;
        assert!(lost >= 5 && doubled >= 5);
        assert_eq!(
            (rtp.lost, rtp.duplicated, rtp.reordered),
            (lost, doubled, 4)
        );
        assert_eq!(rtp.sent, rtp.received + rtp.lost);
    }

    #[test]
    fn the_last_packets_are_missed_too_and_a_damaged_one_is_none() {
        let figures = run(streams(10, 1), |n, mut frame| {
            if n == 50 {
                frame[100] ^= 1;
            }
            if n < 400 { vec![frame] } else { vec![] }
        });
        let rtp = &figures.totals.rtp;
        assert_eq!((rtp.damaged, rtp.received), (1, 399));
        assert_eq!(rtp.lost, rtp.sent - 399);
    }

    #[test]
    fn mixed_streams_keep_their_rate_and_each_has_its_share() {
        let mut load = Load::new("test", 2);
        let streams: Vec<StreamSpec> = (0..50).map(|n| spec(n, 0)).collect();
        load.mixed = Some(Mixed {
            streams,
            rate: Some(20_000.0),
            seed: 7,
        });
        let mut by_port = std::collections::BTreeMap::<u16, u32>::new();
        let figures = run(load, |_, frame| {
            *by_port
                .entry(u16::from_be_bytes([frame[36], frame[37]]))
                .or_default() += 1;
            vec![frame]
        });
        assert!(
            (39_900..=40_000).contains(&figures.totals.rtp.sent),
            "{:?}",
            figures.totals.rtp
        );
        assert_eq!(figures.totals.rtp.lost, 0);
        let (least, most) = (
            by_port.values().min().unwrap(),
            by_port.values().max().unwrap(),
        );
        assert!(by_port.len() == 50 && most - least <= 1, "{by_port:?}");
    }

    #[test]
    fn a_generator_that_stops_for_a_while_skips_and_says_so() {
        let (mut wires, start) = (
            Wires {
                sent: VecDeque::new(),
                room: 100,
            },
            0,
        );
        let mut load = streams(1, 10);
        load.duration = SECOND;
        let mut known = host(1);
        known.peer_mac = Some([9; 6]);
        let mut generator = Generator::new(vec![known, host(2)], load, start).unwrap();
        for now in [
            20_000,
            20 * MILLISECOND + 20_000,
            500 * MILLISECOND,
            501 * MILLISECOND,
        ] {
            generator.poll(now, &mut wires);
        }
        let figures = generator.finish(501 * MILLISECOND, Device::default(), 0.0);
        // At 0, 20 and 500 ms; those of 40 to 480 never.
        assert_eq!(figures.totals.rtp.sent, 3);
        assert_eq!(figures.totals.generator.skipped, 23);
        assert_eq!(figures.totals.rtp.lost, 3);
        assert!(figures.generator_limit().is_some());
        assert!(figures.totals.generator.longest_gap_ns > 400 * MILLISECOND);
    }

    #[test]
    fn a_full_device_makes_late_but_loses_nothing() {
        let mut known = host(1);
        known.peer_mac = Some([9; 6]);
        let mut load = streams(10, 1);
        load.streams.iter_mut().for_each(|s| s.begin = 0);
        let mut generator = Generator::new(vec![known, host(2)], load, 0).unwrap();
        let mut wires = Wires {
            sent: VecDeque::new(),
            room: 4,
        };
        let mut frames = Vec::new();
        for now in [20_000, 30_000, 40_000] {
            generator.poll(now, &mut wires);
            frames.extend(wires.sent.drain(..));
        }
        assert_eq!(frames.len(), 10);
        frames
            .iter()
            .for_each(|(_, f)| generator.receive(50_000, 1, f, &mut wires));
        let figures = generator.finish(60_000, Device::default(), 0.0);
        assert_eq!((figures.totals.rtp.sent, figures.totals.rtp.lost), (10, 0));
    }

    #[test]
    fn raw_frames_have_their_time_and_rate() {
        let mut load = Load::new("test", 3);
        load.raw.push(Raw {
            port: 0,
            rate: Some(1000.0),
            begin: SECOND,
            end: 2 * SECOND,
            source: Box::new(|_: Nanos, buffer: &mut [u8]| {
                buffer[..64].fill(0xff);
                64
            }),
        });
        let figures = run(load, |_, frame| vec![frame]);
        let raw = &figures.totals.raw;
        assert!((995..=1000).contains(&raw.sent), "{raw:?}");
        assert_eq!(raw.received, raw.sent);
    }

    #[test]
    fn an_address_of_nobody_is_refused() {
        let mut load = streams(1, 1);
        load.streams[0].source = "10.0.0.9:4000".parse().unwrap();
        let refused = Generator::new(vec![host(1), host(2)], load, 0).err();
        assert_eq!(
            refused,
            Some(HostError::Address("10.0.0.9".parse().unwrap(), 0))
        );
    }
}
