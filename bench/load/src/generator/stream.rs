//! RTP streams: what they are.

use std::net::SocketAddr;

use crate::Nanos;

/// A stream's name, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// One direction of a call's media: RTP of G.711 from an address of ours through the appliance to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// The generator's port that it leaves by.
    pub port: usize,
    /// An address of ours on that port, and the UDP port.
    pub source: SocketAddr,
    /// Where it is sent to: what the appliance's SDP said.
    pub destination: SocketAddr,
    /// Where it shall arrive: the generator's port, an address of ours and the UDP port, as the other end's SDP said.
    /// None when that is not known: then it may arrive anywhere at the generator.
    pub arrives: Option<(usize, SocketAddr)>,
    /// What its packets are.
    pub payload: Payload,
    /// When the first packet is sent; a time that is past means at once.
    pub begin: Nanos,
}

/// RTP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The RTP payload type: 0 for PCMU, 8 for PCMA.
    pub payload_type: u8,
    /// Between two packets, in milliseconds: 1 to 200.
    pub ptime_ms: u8,
}

impl Payload {
    /// PCMU, 20 ms: 50 packets a second of 160 bytes.
    pub const PCMU: Self = Self {
        payload_type: 0,
        ptime_ms: 20,
    };
}
