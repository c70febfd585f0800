//! A flow pair's state: 512 bytes, since thousands of them are touched in random order.

use std::mem::offset_of;
use std::net::IpAddr;

use tandem_link::{
    Cookie, Event, FlowId, FlowKind, FlowReport, FlowSpec, Leg, LegSpec, LegStats, RateLimit,
};
use tandem_wire::{Rtcp, RtpHeader};

use crate::Counters;
use crate::endpoint::Endpoint;
use crate::learn::{Known, Learn, RtcpPort, Source};
use crate::quality::Quality;
use crate::stats::{Carried, RtcpStats, RtpMore, RtpStats};

/// Cache lines that an RTP packet touches.
pub(crate) const LINES: usize = 3;
const LINE: usize = 64;
/// No next hop was looked up yet: a position that no snapshot has.
const NO_HOP: u32 = u32::MAX;

/// A flow pair. Arrays have leg A first. A packet touches the first two lines, and the statistics of the leg that it came in on.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) cookie: Cookie,
    /// When the last packet was accepted or the timeout began to count anew, in nanoseconds.
    pub(crate) active: u64,
    /// Of the forwarding snapshot that the hops belong to: the low half of its number.
    generation: u32,
    pub(crate) timeout_s: u32,
    pub(crate) ways: [Way; 2],
    pub(crate) limit: RateLimit,
    pub(crate) carried: Carried,
    pub(crate) kind: FlowKind,
    /// Its timeout has been reported and no packet came since.
    pub(crate) idle: bool,

    pub(crate) rtp: [Learn; 2],
    learn: [u32; 2],
    /// When RTCP came last, by coarse time; 0 for never.
    rtcp_seen: [u32; 2],
    /// Where the SDP has its RTCP, if that is another host than RTP's: nearly nobody does that.
    elsewhere: Option<Box<[Endpoint; 2]>>,

    pub(crate) rtp_stats: [RtpStats; 2],
    pub(crate) sides: [Side; 2],
}

/// What a leg has beside: two cache lines.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) quality: Quality,
    pub(crate) more: RtpMore,
    rtcp_stats: RtcpStats,
    rtcp: RtcpPort,
    known: Known,
}

/// How packets leave on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Next hop of RTP in the snapshot, or [`NO_HOP`].
    hop: u32,
    /// Index of the leg's local address.
    pub(crate) local: u16,
    /// Our RTP port.
    pub(crate) port: u16,
    pub(crate) realm: u16,
    pub(crate) dscp: u8,
    /// Whether the peer has RTP and RTCP on one port (RFC 5761).
    pub(crate) multiplexed: bool,
}

/// The element of a leg.
#[inline]
pub(crate) fn of<T>(pair: &[T; 2], leg: Leg) -> &T {
    let [a, b] = pair;
    match leg {
        Leg::A => a,
        Leg::B => b,
    }
}

/// The same, to be changed.
#[inline]
pub(crate) fn of_mut<T>(pair: &mut [T; 2], leg: Leg) -> &mut T {
    let [a, b] = pair;
    match leg {
        Leg::A => a,
        Leg::B => b,
    }
}

impl Flow {
    /// `locals` are the indices of the legs' local addresses.
    pub(crate) fn new(now: u64, spec: &FlowSpec, locals: [u16; 2]) -> Self {
        let [a, b] = locals;
        let learn = |leg: &LegSpec| {
            let hint = Endpoint::of_peer(leg.latched, leg.local);
            Learn::new(Endpoint::of_peer(leg.remote, leg.local), hint, leg.strict)
        };
        let rtcp = |leg: &LegSpec| {
            let hint = Endpoint::of_peer(leg.latched_rtcp, leg.local);
            let remote = Endpoint::of_peer(leg.remote_rtcp, leg.local);
            let (learn, known) = Learn::new(remote, hint, leg.strict);
            RtcpPort::pack(learn, &known)
        };
        let ((rtp_a, known_a), (rtp_b, known_b)) = (learn(&spec.a), learn(&spec.b));
        let stats = |leg: &LegSpec| {
            let mut stats = RtpStats::default();
            stats.set_event_type(leg.event_type);
            stats
        };
        Self {
            id: spec.id,
            cookie: spec.cookie,
            active: now,
            generation: 0,
            timeout_s: spec.timeout_s,
            ways: [Way::new(&spec.a, a), Way::new(&spec.b, b)],
            limit: spec.limit,
            carried: Carried::new(spec.media, spec.clock_rate),
            kind: spec.kind,
            idle: false,
            rtp: [rtp_a, rtp_b],
            learn: [spec.a.learn, spec.b.learn],
            rtcp_seen: [0; 2],
            elsewhere: elsewhere(spec),
            rtp_stats: [stats(&spec.a), stats(&spec.b)],
            sides: [
                Side::new(known_a, rtcp(&spec.a)),
                Side::new(known_b, rtcp(&spec.b)),
            ],
        }
    }

    /// Brings it to another specification: counters and learned sources stay, unless a leg's
    /// learning number is another. Answers how many legs learn anew.
    pub(crate) fn update(
        &mut self,
        now: u64,
        window: u64,
        spec: &FlowSpec,
        locals: [u16; 2],
    ) -> u64 {
        let [a, b] = locals;
        let reopened = u64::from(self.update_leg(now, window, Leg::A, &spec.a, a))
            + u64::from(self.update_leg(now, window, Leg::B, &spec.b, b));
        self.elsewhere = elsewhere(spec);
        if self.kind != spec.kind {
            self.rtp_stats.iter_mut().for_each(RtpStats::end_stream);
        }
        if reopened > 0 || self.kind != spec.kind || self.timeout_s != spec.timeout_s {
            // A new limit counts from now: a call that comes back from hold is not late at once.
            self.active = now;
            self.idle = false;
        }
        self.cookie = spec.cookie;
        self.kind = spec.kind;
        self.carried = Carried::new(spec.media, spec.clock_rate);
        self.limit = spec.limit;
        self.timeout_s = spec.timeout_s;
        reopened
    }

    fn update_leg(&mut self, now: u64, window: u64, leg: Leg, spec: &LegSpec, local: u16) -> bool {
        let remote = Endpoint::of_peer(spec.remote, spec.local);
        let remote_rtcp = Endpoint::of_peer(spec.remote_rtcp, spec.local);
        let (mut rtcp, mut known_rtcp) = self.rtcp(leg);
        let learn = of_mut(&mut self.learn, leg);
        let reopen = *learn != spec.learn;
        *learn = spec.learn;
        let (rtp, side) = (of_mut(&mut self.rtp, leg), of_mut(&mut self.sides, leg));
        let strict = spec.strict;
        if reopen {
            rtp.reopen(&mut side.known, now, window, remote, strict);
            rtcp.reopen(&mut known_rtcp, now, window, remote_rtcp, strict);
        } else {
            rtp.set_remote(&mut side.known, remote, strict);
            rtcp.set_remote(&mut known_rtcp, remote_rtcp, strict);
        }
        side.rtcp = RtcpPort::pack(rtcp, &known_rtcp);
        of_mut(&mut self.rtp_stats, leg).set_event_type(spec.event_type);
        *of_mut(&mut self.ways, leg) = Way::new(spec, local);
        reopen
    }

    /// Where in it the cache lines begin that an RTP packet to a leg needs.
    #[inline]
    pub(crate) const fn lines(leg: Leg) -> [usize; LINES] {
        let stats = offset_of!(Self, rtp_stats);
        match leg {
            Leg::A => [0, offset_of!(Self, rtp), stats],
            Leg::B => [0, offset_of!(Self, rtp), stats + LINE],
        }
    }

    /// A valid packet came to one of a leg's ports from `source`.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        now: u64,
        window: u64,
        leg: Leg,
        odd_port: bool,
        source: Endpoint,
    ) -> Source {
        if odd_port {
            return self.hear_rtcp(now, window, leg, source);
        }
        let known = &mut of_mut(&mut self.sides, leg).known;
        of_mut(&mut self.rtp, leg).hear(known, now, window, source)
    }

    #[inline(never)]
    fn hear_rtcp(&mut self, now: u64, window: u64, leg: Leg, source: Endpoint) -> Source {
        let (mut learn, mut known) = self.rtcp(leg);
        let answer = learn.hear(&mut known, now, window, source);
        of_mut(&mut self.sides, leg).rtcp = RtcpPort::pack(learn, &known);
        answer
    }

    /// What is known of the peer of a leg's RTCP port.
    fn rtcp(&self, leg: Leg) -> (Learn, Known) {
        let side = of(&self.sides, leg);
        let host = match self.elsewhere.as_deref().map(|ends| *of(ends, leg)) {
            Some(host) if host.is_some() => host,
            _ => side.known.remote(),
        };
        side.rtcp.unpack(host)
    }

    /// An RTP packet came in on a leg from its source; answers whether it is inside of the rate.
    #[inline(always)]
    pub(crate) fn heard_rtp(
        &mut self,
        now: u64,
        leg: Leg,
        rtp: RtpHeader<'_>,
        bytes: usize,
    ) -> bool {
        let (stats, side) = (
            of_mut(&mut self.rtp_stats, leg),
            of_mut(&mut self.sides, leg),
        );
        let Some(elapsed) = stats.heard(now, bytes, self.limit) else {
            return side.more.police();
        };
        stats.heard_rtp(elapsed, rtp, self.carried, &mut side.more);
        true
    }

    /// The same of a packet that is not RTP.
    #[inline(never)]
    pub(crate) fn heard_raw(&mut self, now: u64, leg: Leg, bytes: usize) -> bool {
        let stats = of_mut(&mut self.rtp_stats, leg);
        stats.heard(now, bytes, self.limit).is_some() || of_mut(&mut self.sides, leg).more.police()
    }

    /// The same of an RTCP packet, whose reports are read.
    #[inline(never)]
    pub(crate) fn heard_rtcp(
        &mut self,
        now: u64,
        leg: Leg,
        payload: &[u8],
        counters: &mut Counters,
    ) -> bool {
        let side = of_mut(&mut self.sides, leg);
        let seen = of_mut(&mut self.rtcp_seen, leg);
        if !side.rtcp_stats.heard(now, seen) {
            return side.more.police();
        }
        if self.kind == FlowKind::Rtp {
            // SRTCP is not for us to read.
            match Rtcp::parse(payload) {
                Ok(rtcp) => self.read_reports(now, leg, &rtcp),
                Err(_) => counters.rtcp_unread += 1,
            }
        }
        true
    }

    /// Reads the reports in an RTCP packet that came in on a leg.
    fn read_reports(&mut self, now: u64, leg: Leg, rtcp: &Rtcp<'_>) {
        // What this leg's peer hears is what comes in on the other one.
        let stream = of(&self.rtp_stats, leg.other()).source(self.carried);
        let other = of(&self.sides, leg.other()).quality;
        let quality = &mut of_mut(&mut self.sides, leg).quality;
        for packet in rtcp.packets() {
            if let Some(sender) = packet.sender() {
                quality.sent(now, &sender);
            }
            if let Some((ssrc, rate)) = stream {
                let blocks = packet.blocks().filter(|block| block.ssrc == ssrc);
                blocks.for_each(|block| quality.heard(now, &other, &block, rate));
            }
        }
    }

    /// A packet came to one of a leg's ports from another source than its own.
    pub(crate) fn strange(&mut self, leg: Leg, is_rtcp: bool) {
        if is_rtcp {
            of_mut(&mut self.sides, leg).rtcp_stats.strange();
        } else {
            of_mut(&mut self.rtp_stats, leg).strange();
        }
    }

    /// A packet that came in on a leg was relayed.
    #[inline]
    pub(crate) fn relayed(&mut self, leg: Leg, is_rtcp: bool, bytes: usize) {
        if is_rtcp {
            of_mut(&mut self.sides, leg).rtcp_stats.relayed(bytes);
        } else {
            of_mut(&mut self.rtp_stats, leg).relayed(bytes);
        }
    }

    /// Whether it was the first packet above the rate of a leg.
    pub(crate) fn began_to_flood(&self, leg: Leg) -> bool {
        of(&self.sides, leg).more.policed == 1
    }

    /// Where packets leave to on a leg; `apart` for RTCP on its own port.
    #[inline]
    pub(crate) fn destination(&self, leg: Leg, apart: bool) -> Endpoint {
        if apart {
            self.rtcp_destination(leg)
        } else {
            of(&self.rtp, leg).destination(&of(&self.sides, leg).known)
        }
    }

    /// RTCP goes to its own learned source or hint. While there is none: next to RTP's destination
    /// when the SDP's addresses do not hold (a NAT) or it has none for RTCP, else as the SDP says.
    #[inline(never)]
    fn rtcp_destination(&self, leg: Leg) -> Endpoint {
        let (rtp, side) = (of(&self.rtp, leg), of(&self.sides, leg));
        let (rtcp, known) = self.rtcp(leg);
        let destination = rtcp.destination(&known);
        let from_sdp = destination == known.remote() && rtcp.latched(&known).is_none();
        if !destination.is_some() || from_sdp && rtp.is_translated(&side.known) {
            let rtp = rtp.destination(&side.known);
            return if rtp.is_some() {
                rtp.beside()
            } else {
                Endpoint::NONE
            };
        }
        destination
    }

    /// The next hop that is remembered for packets on a leg, in the snapshot of this generation. RTCP on its own port has none, but RTP's
    /// where it goes to the same host.
    #[inline]
    pub(crate) fn hop(&mut self, generation: u64, leg: Leg) -> &mut u32 {
        if self.generation != generation as u32 {
            self.generation = generation as u32;
            self.forget_hops(Leg::A);
            self.forget_hops(Leg::B);
        }
        &mut of_mut(&mut self.ways, leg).hop
    }

    /// Whether RTP goes to this host, too.
    pub(crate) fn is_beside_rtp(&self, leg: Leg, destination: Endpoint) -> bool {
        self.destination(leg, false).address == destination.address
    }

    /// The next hop of RTP on a leg, if it was looked up in the snapshot of this generation; else a position that no
    /// snapshot has.
    #[inline]
    pub(crate) fn known_hop(&self, generation: u64, leg: Leg) -> u32 {
        if self.generation == generation as u32 {
            of(&self.ways, leg).hop
        } else {
            NO_HOP
        }
    }

    /// The leg's destination may be another.
    pub(crate) fn forget_hops(&mut self, leg: Leg) {
        of_mut(&mut self.ways, leg).hop = NO_HOP;
    }

    /// Spreads flows over equal routes.
    pub(crate) fn hash(&self, leg: Leg) -> u32 {
        let way = of(&self.ways, leg);
        let key = self.id.0 ^ u64::from(way.port) << 48;
        // Fibonacci hashing: neighbouring numbers fall far apart.
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }

    /// Whether it has been silent for its timeout.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        let limit = u64::from(self.timeout_s) * 1_000_000_000;
        limit > 0 && !self.idle && now.saturating_sub(self.active) >= limit
    }

    pub(crate) fn timeout_event(&self) -> Event {
        Event::MediaTimeout {
            flow: self.id,
            cookie: self.cookie,
        }
    }

    pub(crate) fn flooded_event(&self, leg: Leg) -> Event {
        Event::Flooded {
            flow: self.id,
            cookie: self.cookie,
            leg,
        }
    }

    pub(crate) fn resumed_event(&self) -> Event {
        Event::MediaResumed {
            flow: self.id,
            cookie: self.cookie,
        }
    }

    /// `locals` are the legs' local addresses.
    pub(crate) fn report(&self, now: u64, worker: u16, locals: [IpAddr; 2]) -> FlowReport {
        let [a, b] = locals;
        FlowReport {
            spec: FlowSpec {
                id: self.id,
                cookie: self.cookie,
                kind: self.kind,
                media: self.carried.media(),
                clock_rate: self.carried.clock_hz(),
                a: self.leg_spec(Leg::A, a),
                b: self.leg_spec(Leg::B, b),
                timeout_s: self.timeout_s,
                limit: self.limit,
            },
            worker,
            a: self.leg_stats(now, Leg::A),
            b: self.leg_stats(now, Leg::B),
            idle: self.idle,
        }
    }

    fn leg_spec(&self, leg: Leg, local: IpAddr) -> LegSpec {
        let (way, rtp, known) = (
            of(&self.ways, leg),
            of(&self.rtp, leg),
            of(&self.sides, leg).known,
        );
        let (rtcp, known_rtcp) = self.rtcp(leg);
        LegSpec {
            realm: way.realm,
            local,
            port: way.port,
            remote: known.remote().socket(),
            remote_rtcp: known_rtcp.remote().socket(),
            latched: rtp.hint(&known),
            latched_rtcp: rtcp.hint(&known_rtcp),
            learn: *of(&self.learn, leg),
            dscp: way.dscp,
            strict: rtp.is_strict(),
            event_type: of(&self.rtp_stats, leg).event_type(),
        }
    }

    fn leg_stats(&self, now: u64, leg: Leg) -> LegStats {
        let (side, stats) = (of(&self.sides, leg), of(&self.rtp_stats, leg));
        let (rtcp, known_rtcp) = self.rtcp(leg);
        LegStats {
            rtp: stats.report(now, self.carried),
            rtcp: side.rtcp_stats.report(now, *of(&self.rtcp_seen, leg)),
            latched: of(&self.rtp, leg).latched(&side.known),
            latched_rtcp: rtcp.latched(&known_rtcp),
            stream: side.more.report(stats),
            report: side.quality.report(),
        }
    }
}

impl Side {
    fn new(known: Known, rtcp: RtcpPort) -> Self {
        Self {
            quality: Quality::default(),
            more: RtpMore::default(),
            rtcp_stats: RtcpStats::default(),
            rtcp,
            known,
        }
    }
}

/// Where the SDP has its RTCP, where that is not RTP's host.
fn elsewhere(spec: &FlowSpec) -> Option<Box<[Endpoint; 2]>> {
    let of_leg = |leg: &LegSpec| {
        let rtp = Endpoint::of_peer(leg.remote, leg.local);
        let rtcp = Endpoint::of_peer(leg.remote_rtcp, leg.local);
        if rtcp.address == rtp.address {
            Endpoint::NONE
        } else {
            rtcp
        }
    };
    let ends = [of_leg(&spec.a), of_leg(&spec.b)];
    ends.iter().any(Endpoint::is_some).then(|| Box::new(ends))
}

impl Way {
    fn new(spec: &LegSpec, local: u16) -> Self {
        Self {
            hop: NO_HOP,
            local,
            port: spec.port,
            realm: spec.realm,
            dscp: spec.dscp & 0x3f,
            multiplexed: spec.remote.is_some() && spec.remote == spec.remote_rtcp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_pair_and_its_place_in_the_table_take_512_bytes() {
        assert_eq!(size_of::<Option<Flow>>(), 512);
        // What every packet touches is in two lines, and its leg's statistics in a third one.
        assert_eq!(offset_of!(Flow, rtp), LINE);
        assert_eq!(offset_of!(Flow, rtp_stats), 2 * LINE);
        assert_eq!((size_of::<RtpStats>(), size_of::<Side>()), (LINE, 2 * LINE));
    }
}
