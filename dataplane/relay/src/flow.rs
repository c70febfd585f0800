//! A flow pair's state: compact, since thousands of them are touched in random order.

use tandem_link::{FlowKind, FlowReport, FlowSpec, Leg, LegSpec, LegStats};
use tandem_wire::ethernet::Mac;

use crate::endpoint::Endpoint;
use crate::forwarding::{Forwarding, Unreachable};
use crate::latch::Latch;
use crate::stats::{RtcpStats, RtpStats};

/// What the packet's path needs of a flow pair.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) legs: [LegState; 2],
    /// When a packet was last relayed, or the flow installed; nanoseconds.
    pub(crate) active: u64,
    pub(crate) timeout_s: u32,
    pub(crate) kind: FlowKind,
    /// Its timeout has been reported.
    pub(crate) idle: bool,
}

/// A leg.
#[derive(Debug)]
pub(crate) struct LegState {
    pub(crate) rtp: Stream,
    pub(crate) rtcp: Stream,
    pub(crate) rtp_stats: RtpStats,
    pub(crate) rtcp_stats: RtcpStats,
    pub(crate) local: Endpoint,
    pub(crate) realm: u16,
    /// DSCP in the traffic class's upper six bits.
    pub(crate) traffic_class: u8,
}

/// One of a leg's two streams: RTP, or RTCP on its own port.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stream {
    /// The address in the SDP.
    pub(crate) signalled: Endpoint,
    /// Where an earlier life of the dataplane had learned it.
    pub(crate) hint: Endpoint,
    pub(crate) latch: Latch,
    hop: CachedHop,
}

#[derive(Clone, Copy, Debug, Default)]
struct CachedHop {
    destination: Endpoint,
    /// 0 for nothing cached: snapshots count from 1.
    generation: u32,
    index: u32,
}

impl Flow {
    pub(crate) fn new(now: u64, spec: &FlowSpec) -> Self {
        Self {
            legs: [LegState::new(&spec.a), LegState::new(&spec.b)],
            active: now,
            timeout_s: spec.timeout_s,
            kind: spec.kind,
            idle: false,
        }
    }

    /// Brings it to a new specification; counters and learned sources stay, unless a leg's learning
    /// number is another than in `old`.
    pub(crate) fn update(&mut self, now: u64, window: u64, old: &FlowSpec, new: &FlowSpec) {
        let [a, b] = &mut self.legs;
        a.update(now, window, &old.a, &new.a);
        b.update(now, window, &old.b, &new.b);
        if self.timeout_s != new.timeout_s || self.kind != new.kind {
            // A new limit counts from now: a call that comes back from hold is not late at once.
            self.active = now;
            self.idle = false;
        }
        self.timeout_s = new.timeout_s;
        self.kind = new.kind;
    }

    #[inline]
    pub(crate) const fn legs_mut(&mut self, received: Leg) -> (&mut LegState, &mut LegState) {
        let [a, b] = &mut self.legs;
        match received {
            Leg::A => (a, b),
            Leg::B => (b, a),
        }
    }

    pub(crate) fn report(&self, now: u64, worker: u16, spec: &FlowSpec) -> FlowReport {
        let [a, b] = &self.legs;
        FlowReport {
            spec: spec.clone(),
            worker,
            a: a.report(now),
            b: b.report(now),
            idle: self.idle,
        }
    }
}

impl LegState {
    fn new(spec: &LegSpec) -> Self {
        let mut leg = Self {
            rtp: Stream { hint: Endpoint::of(spec.latched), ..Stream::default() },
            rtcp: Stream { hint: Endpoint::of(spec.latched_rtcp), ..Stream::default() },
            rtp_stats: RtpStats::default(),
            rtcp_stats: RtcpStats::default(),
            local: Endpoint::NONE,
            realm: spec.realm,
            traffic_class: 0,
        };
        leg.set(spec);
        leg
    }

    fn set(&mut self, spec: &LegSpec) {
        self.rtp.signalled = Endpoint::of(spec.remote);
        self.rtcp.signalled = Endpoint::of(spec.remote_rtcp);
        self.local = Endpoint::new(spec.local, spec.port);
        self.realm = spec.realm;
        self.traffic_class = (spec.dscp & 0x3f) << 2;
    }

    fn update(&mut self, now: u64, window: u64, old: &LegSpec, new: &LegSpec) {
        if old.learn != new.learn {
            for stream in [&mut self.rtp, &mut self.rtcp] {
                stream.latch.reopen(now, window);
                stream.hint = Endpoint::NONE;
            }
        }
        if old.realm != new.realm {
            self.rtp.hop = CachedHop::default();
            self.rtcp.hop = CachedHop::default();
        }
        self.set(new);
    }

    /// Whether the peer has RTP and RTCP on one port (RFC 5761).
    #[inline]
    pub(crate) fn multiplexes(&self) -> bool {
        self.rtp.signalled.is_some() && self.rtp.signalled == self.rtcp.signalled
    }

    /// Where the peer's RTP goes.
    #[inline]
    pub(crate) fn rtp_destination(&self) -> Endpoint {
        first([self.rtp.latch.learned(), self.rtp.hint, self.rtp.signalled])
    }

    /// Where the peer's RTCP goes: its own learned source; while there is none, next to the learned RTP
    /// source when that is not where the SDP said (a NAT), else as the SDP says.
    #[inline]
    pub(crate) fn rtcp_destination(&self) -> Endpoint {
        let rtp = first([self.rtp.latch.learned(), self.rtp.hint]);
        let beside = if rtp.is_some() && rtp.ip() != self.rtp.signalled.ip() {
            rtp.next_port()
        } else {
            Endpoint::NONE
        };
        first([self.rtcp.latch.learned(), self.rtcp.hint, beside, self.rtcp.signalled])
    }

    /// The next hop's MAC to `destination`, looked up again only when the destination or the snapshot is
    /// another than last time.
    #[inline]
    pub(crate) fn next_hop(
        &mut self,
        rtcp: bool,
        destination: Endpoint,
        forwarding: &Forwarding,
    ) -> Result<Mac, Unreachable> {
        let realm = self.realm;
        let stream = if rtcp { &mut self.rtcp } else { &mut self.rtp };
        let cached = stream.hop;
        if cached.generation != forwarding.generation() || cached.destination != destination {
            let hash = u64::from(self.local.port()) ^ u64::from(destination.port()) << 16;
            // Fibonacci hashing spreads neighbouring ports.
            let hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let index = forwarding.lookup(realm, destination.ip(), hash)?;
            stream.hop = CachedHop { destination, generation: forwarding.generation(), index };
        }
        forwarding.hop(stream.hop.index).map(|h| h.mac).ok_or(Unreachable::NoRoute)
    }

    fn report(&self, now: u64) -> LegStats {
        LegStats {
            rtp: self.rtp_stats.report(now),
            rtcp: self.rtcp_stats.report(now),
            latched: self.rtp.latch.learned().socket(),
            latched_rtcp: self.rtcp.latch.learned().socket(),
        }
    }
}

#[inline]
fn first<const N: usize>(candidates: [Endpoint; N]) -> Endpoint {
    candidates.into_iter().find(Endpoint::is_some).unwrap_or(Endpoint::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_pair_fits_in_512_bytes() {
        let size = size_of::<Flow>();
        assert!(size <= 512, "{size}");
    }
}
