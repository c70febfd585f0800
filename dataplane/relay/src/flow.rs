//! A flow pair's state: 512 bytes, since thousands of them are touched in random order.

use std::mem::offset_of;
use std::net::IpAddr;

use tandem_link::{Cookie, Event, FlowId, FlowKind, FlowReport, FlowSpec, Leg, LegSpec, LegStats};

use crate::endpoint::Endpoint;
use crate::learn::Learn;
use crate::stats::{Carried, RtcpStats, RtpStats};

/// Cache lines that an RTP packet touches.
pub(crate) const LINES: usize = 4;
const LINE: usize = 64;
/// No next hop was looked up yet: a position that no snapshot has.
const NO_HOP: u32 = u32::MAX;

/// A flow pair. Arrays have leg A first. A packet touches the first line, the RTP lines of both
/// legs and the statistics of the leg that it came in on.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) cookie: Cookie,
    /// When the last packet was accepted or the timeout began to count anew, in nanoseconds.
    pub(crate) active: u64,
    /// Of the forwarding snapshot that the hops belong to.
    generation: u64,
    pub(crate) timeout_s: u32,
    pub(crate) kind: FlowKind,
    /// Its timeout has been reported and no packet came since.
    pub(crate) idle: bool,
    pub(crate) carried: Carried,
    pub(crate) ways: [Way; 2],
    pub(crate) rtp: [Learn; 2],
    pub(crate) rtp_stats: [RtpStats; 2],
    rtcp: [Learn; 2],
    pub(crate) rtcp_stats: [RtcpStats; 2],
    rtcp_hops: [u32; 2],
    learn: [u32; 2],
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
            Learn::new(Endpoint::of_peer(leg.remote, leg.local), hint)
        };
        let learn_rtcp = |leg: &LegSpec| {
            let hint = Endpoint::of_peer(leg.latched_rtcp, leg.local);
            Learn::new(Endpoint::of_peer(leg.remote_rtcp, leg.local), hint)
        };
        Self {
            id: spec.id,
            cookie: spec.cookie,
            active: now,
            generation: 0,
            timeout_s: spec.timeout_s,
            kind: spec.kind,
            idle: false,
            carried: Carried::new(spec.media, spec.clock_rate),
            ways: [Way::new(&spec.a, a), Way::new(&spec.b, b)],
            rtp: [learn(&spec.a), learn(&spec.b)],
            rtp_stats: Default::default(),
            rtcp: [learn_rtcp(&spec.a), learn_rtcp(&spec.b)],
            rtcp_stats: Default::default(),
            rtcp_hops: [NO_HOP; 2],
            learn: [spec.a.learn, spec.b.learn],
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
        self.timeout_s = spec.timeout_s;
        reopened
    }

    fn update_leg(&mut self, now: u64, window: u64, leg: Leg, spec: &LegSpec, local: u16) -> bool {
        let rtp = Endpoint::of_peer(spec.remote, spec.local);
        let rtcp = Endpoint::of_peer(spec.remote_rtcp, spec.local);
        let learn = of_mut(&mut self.learn, leg);
        let reopen = *learn != spec.learn;
        *learn = spec.learn;
        if reopen {
            of_mut(&mut self.rtp, leg).reopen(now, window, rtp);
            of_mut(&mut self.rtcp, leg).reopen(now, window, rtcp);
        } else {
            of_mut(&mut self.rtp, leg).set_remote(rtp);
            of_mut(&mut self.rtcp, leg).set_remote(rtcp);
        }
        *of_mut(&mut self.ways, leg) = Way::new(spec, local);
        self.forget_hops(leg);
        reopen
    }

    /// Where in it the cache lines begin that an RTP packet to a leg needs.
    #[inline]
    pub(crate) const fn lines(leg: Leg) -> [usize; LINES] {
        let rtp = offset_of!(Self, rtp);
        let stats = offset_of!(Self, rtp_stats);
        match leg {
            Leg::A => [0, rtp, rtp + LINE, stats],
            Leg::B => [0, rtp, rtp + LINE, stats + LINE],
        }
    }

    /// What the port that a packet came in on knows of its peer.
    #[inline]
    pub(crate) fn learner(&mut self, leg: Leg, odd_port: bool) -> &mut Learn {
        of_mut(
            if odd_port {
                &mut self.rtcp
            } else {
                &mut self.rtp
            },
            leg,
        )
    }

    /// Where packets leave to on a leg; `apart` for RTCP on its own port.
    #[inline]
    pub(crate) fn destination(&self, leg: Leg, apart: bool) -> Endpoint {
        if apart {
            self.rtcp_destination(leg)
        } else {
            of(&self.rtp, leg).destination()
        }
    }

    /// RTCP goes to its own learned source or hint. While there is none: next to RTP's destination
    /// when the SDP's addresses do not hold (a NAT) or it has none for RTCP, else as the SDP says.
    fn rtcp_destination(&self, leg: Leg) -> Endpoint {
        let (rtp, rtcp) = (of(&self.rtp, leg), of(&self.rtcp, leg));
        let known = rtcp.destination();
        let from_sdp = known == rtcp.remote() && rtcp.latched().is_none();
        if !known.is_some() || from_sdp && rtp.is_translated() {
            let rtp = rtp.destination();
            return if rtp.is_some() {
                rtp.beside()
            } else {
                Endpoint::NONE
            };
        }
        known
    }

    /// The next hop that is remembered for packets on a leg, in the snapshot of this generation.
    #[inline]
    pub(crate) fn hop(&mut self, generation: u64, leg: Leg, apart: bool) -> &mut u32 {
        if self.generation != generation {
            self.generation = generation;
            self.forget_hops(Leg::A);
            self.forget_hops(Leg::B);
        }
        if apart {
            of_mut(&mut self.rtcp_hops, leg)
        } else {
            &mut of_mut(&mut self.ways, leg).hop
        }
    }

    /// The leg's destination may be another.
    pub(crate) fn forget_hops(&mut self, leg: Leg) {
        of_mut(&mut self.ways, leg).hop = NO_HOP;
        *of_mut(&mut self.rtcp_hops, leg) = NO_HOP;
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
            },
            worker,
            a: self.leg_stats(now, Leg::A),
            b: self.leg_stats(now, Leg::B),
            idle: self.idle,
        }
    }

    fn leg_spec(&self, leg: Leg, local: IpAddr) -> LegSpec {
        let (way, rtp, rtcp) = (of(&self.ways, leg), of(&self.rtp, leg), of(&self.rtcp, leg));
        LegSpec {
            realm: way.realm,
            local,
            port: way.port,
            remote: rtp.remote().socket(),
            remote_rtcp: rtcp.remote().socket(),
            latched: rtp.hint(),
            latched_rtcp: rtcp.hint(),
            learn: *of(&self.learn, leg),
            dscp: way.dscp,
        }
    }

    fn leg_stats(&self, now: u64, leg: Leg) -> LegStats {
        LegStats {
            rtp: of(&self.rtp_stats, leg).report(now, self.carried),
            rtcp: of(&self.rtcp_stats, leg).report(now),
            latched: of(&self.rtp, leg).latched(),
            latched_rtcp: of(&self.rtcp, leg).latched(),
        }
    }
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
        // What every packet touches is in one line, and what is kept of each direction in another.
        assert!(offset_of!(Flow, rtp) <= LINE);
        assert_eq!((size_of::<Learn>(), offset_of!(Flow, rtp)), (LINE, LINE));
        assert_eq!(
            (size_of::<RtpStats>(), offset_of!(Flow, rtp_stats) % LINE),
            (LINE, 0)
        );
    }
}
