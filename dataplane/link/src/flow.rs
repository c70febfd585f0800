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
