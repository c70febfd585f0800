//! A flow pair: what the controller asks for, and what the dataplane tells of it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A flow pair's name, chosen by the controller, unique among its live flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlowId(pub u64);

/// The controller's mark on a flow: the call that it belongs to. A returning controller finds its
/// calls' flows by it; the dataplane only carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cookie(pub u64);

/// One of the two sides of a flow pair. Which side faces the caller is the controller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Leg {
    /// The first leg of the specification.
    A,
    /// The second leg.
    B,
}

impl Leg {
    /// The opposite leg: where a packet that came in on this one leaves.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// How packets of a flow are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowKind {
    /// RTP (RFC 3550) on the even port and RTCP on the odd one (or on the same, RFC 5761).
    Rtp,
    /// A media line that is not RTP (T.38 over UDPTL): relayed unparsed.
    Raw,
    /// SRTP that passes as it is (RFC 3711): its headers are in the clear and checked as RTP's, the reports of its RTCP are not.
    Srtp,
}

/// What a flow carries, for its controller's figures: the dataplane only tells it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaKind {
    /// Speech.
    #[default]
    Audio,
    /// Video, T.38, and all else.
    Other,
}

/// What the controller wants of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegSpec {
    /// Index into the configuration's `[[realm]]` list, the same in both planes.
    pub realm: u16,
    /// The appliance's own address on this leg; one of the realm's media addresses.
    pub local: IpAddr,
    /// The appliance's own RTP port: even. RTCP uses `port + 1`.
    pub port: u16,
    /// Where the peer said in its SDP that it receives RTP; none before its SDP is known.
    pub remote: Option<SocketAddr>,
    /// Where the peer said that it receives RTCP (`a=rtcp`, RFC 3605, or `remote` port + 1; equal
    /// to `remote` when the legs multiplex, RFC 5761).
    pub remote_rtcp: Option<SocketAddr>,
    /// The RTP source that this leg had latched to in an earlier life of the dataplane. Used as
    /// destination until a source is learned anew; ignored for a flow that exists.
    pub latched: Option<SocketAddr>,
    /// The same for RTCP.
    pub latched_rtcp: Option<SocketAddr>,
    /// Goes up by one when the peer gave new SDP or a new To-tag appeared: learning reopens.
    /// The same number again changes nothing, so a specification may be repeated at will.
    pub learn: u32,
    /// DSCP of packets sent on this leg, 0 to 63. EF is 46 (RFC 3246).
    pub dscp: u8,
    /// Nothing is learned: packets are taken from `remote` and `remote_rtcp` alone. For peers that send from where they receive, without a
    /// NAT between.
    pub strict: bool,
    /// The payload type of telephone-event (RFC 4733) in what this leg's peer sends; none if it was not agreed on.
    pub event_type: Option<u8>,
}

/// A flow pair as the controller wants it to be. Installing it again replaces what differs and
/// keeps counters and latched sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSpec {
    /// Its name.
    pub id: FlowId,
    /// The call's mark.
    pub cookie: Cookie,
    /// How its packets are checked.
    pub kind: FlowKind,
    /// What it carries.
    pub media: MediaKind,
    /// The clock rate of the dynamic RTP payload types (96 to 127) in Hz, as SDP says (RFC 8866 section 6.6): jitter is
    /// measured with it. 0 when it is not known: then 8,000, the telephone's.
    pub clock_rate: u32,
    /// The first leg.
    pub a: LegSpec,
    /// The second leg. Both legs' ports have the same owner ([`crate::SlotTable::owner`]).
    pub b: LegSpec,
    /// Seconds without a packet on either leg after which [`crate::Event::MediaTimeout`] is sent;
    /// 0 for never.
    pub timeout_s: u32,
    /// How much of each leg is relayed at most.
    pub limit: RateLimit,
}

/// How much is relayed of what comes in on a leg: each has a second of credit, that time fills and packets take from; a packet
/// costs the greater of these two. Zeros are no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Microseconds of credit that a packet costs.
    pub packet_us: u16,
    /// Nanoseconds of credit that each byte of its UDP payload costs.
    pub byte_ns: u16,
}

impl RateLimit {
    /// So many packets and bytes a second; 0 for no limit. They are rounded up to what can be said: at least 16 packets and 15,260 bytes, and
    /// above a million packets or half a gigabyte there is no limit.
    #[must_use]
    pub fn per_second(packets: u32, bytes: u32) -> Self {
        let cost = |all: u32, rate: u32| {
            let cost = all.checked_div(rate).unwrap_or(0);
            u16::try_from(cost).unwrap_or(u16::MAX)
        };
        Self {
            packet_us: cost(1_000_000, packets),
            byte_ns: cost(1_000_000_000, bytes),
        }
    }

    /// What a packet with so many bytes of UDP payload costs, in nanoseconds.
    #[inline]
    #[must_use]
    pub const fn cost_ns(self, bytes: usize) -> u64 {
        let packet = self.packet_us as u64 * 1_000;
        let bytes = self.byte_ns as u64 * bytes as u64;
        if packet > bytes { packet } else { bytes }
    }
}

/// Figures of the packets received on one leg in one direction (that is, from that leg's peer).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionStats {
    /// Packets relayed.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// Packets lost by sequence number (RFC 3550 A.3), never below 0.
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Interarrival jitter (RFC 3550 A.8), in RTP timestamp units.
    pub jitter: u32,
    /// The RTP payload type of the last packet; none before the first.
    pub payload_type: Option<u8>,
    /// How many RTP timestamp units of it are a second; 0 before the first.
    pub clock_rate: u32,
    /// Packets dropped because they came from a source other than the latched one.
    pub wrong_source: u64,
    /// The last packet's age when the report was made, in milliseconds; none before the first.
    pub last_seen_ms: Option<u64>,
}

/// What was seen of the RTP streams received on one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStats {
    /// The synchronisation source of the last packet; none before the first.
    pub ssrc: Option<u32>,
    /// How often it became another one.
    pub ssrc_changes: u32,
    /// How many of these went back to the one before: several streams come at the same time.
    pub ssrc_returns: u32,
    /// How often the payload type of speech became another one; events and comfort noise do not count.
    pub payload_type_changes: u32,
    /// Telephone events (DTMF digits and the like, RFC 4733) that began.
    pub events: u32,
    /// Packets dropped since they were above the flow's rate.
    pub policed: u64,
}

/// What a leg's peer says in its RTCP reports of what was sent to it, that is, of the other leg's stream as it arrived there; and how far
/// away it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Report blocks about the stream that we sent; 0 if it never spoke of it: then nothing else here is known.
    pub reports: u32,
    /// Fraction lost in 1/256, of the last report.
    pub fraction_lost: u8,
    /// The greatest that was reported.
    pub worst_fraction_lost: u8,
    /// Packets lost on the whole way, cumulative; never below 0.
    pub lost: u32,
    /// Interarrival jitter there in microseconds, of the last report.
    pub jitter_us: u32,
    /// The greatest that was reported.
    pub worst_jitter_us: u32,
    /// How often the round trip between here and the peer was measured (RFC 3550 section 6.4.1).
    pub round_trips: u32,
    /// Its mean, in microseconds.
    pub round_trip_us: u32,
    /// The longest.
    pub worst_round_trip_us: u32,
}

/// Figures of one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegStats {
    /// RTP (or the raw media) received on this leg.
    pub rtp: DirectionStats,
    /// RTCP received on this leg; only packets, bytes, wrong sources and last seen move.
    pub rtcp: DirectionStats,
    /// The source that RTP latched to.
    pub latched: Option<SocketAddr>,
    /// The source that RTCP latched to.
    pub latched_rtcp: Option<SocketAddr>,
    /// The streams received on this leg.
    pub stream: StreamStats,
    /// What this leg's peer says of what was sent to it.
    pub report: PeerReport,
}

/// A flow pair as it is: in answers to `ListFlows` and as the last word after `RemoveFlow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReport {
    /// What it was asked to be.
    pub spec: FlowSpec,
    /// The worker that owns it.
    pub worker: u16,
    /// Packets received on the first leg.
    pub a: LegStats,
    /// Packets received on the second leg.
    pub b: LegStats,
    /// Whether its timeout has been reported and no packet came since.
    pub idle: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_a_packet_costs() {
        let limit = RateLimit::per_second(1_000, 200_000);
        assert_eq!((limit.packet_us, limit.byte_ns), (1_000, 5_000));
        assert_eq!(limit.cost_ns(172), 1_000_000);
        assert_eq!(limit.cost_ns(1_000), 5_000_000);
        assert_eq!(RateLimit::per_second(0, 0), RateLimit::default());
        assert_eq!(RateLimit::default().cost_ns(1_500), 0);
        assert_eq!(
            RateLimit::per_second(u32::MAX, u32::MAX),
            RateLimit::default()
        );
        assert_eq!(
            RateLimit::per_second(1, 1),
            RateLimit {
                packet_us: u16::MAX,
                byte_ns: u16::MAX
            }
        );
    }
}
