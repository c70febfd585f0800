//! A packet of our own through all that a call's packet goes through, but for the ports: that this software relays on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tandem_link::{
    CommandError, Cookie, FlowId, FlowKind, FlowSpec, LegSpec, MediaKind, RateLimit,
};
use tandem_wire::{Ethernet, Ipv4, Ipv6, Mac, Udp};

use super::Relay;
use crate::endpoint::Endpoint;
use crate::rewrite::{Headers, UdpChecksum};
use crate::{Forwarding, Frame, RxChecksums, Verdict};

/// No controller chooses it.
const FLOW: FlowId = FlowId(u64::MAX);
/// Nobody has it: a locally administered address.
const NEIGHBOUR: Mac = [0x02, 0, 0x5e, 0, 0x53, 1];
/// The peers are in the documentation's networks (RFC 5737, RFC 3849), on ports like a peer's.
const PEERS: [u16; 2] = [40_000, 40_002];
/// RTP: version 2, PCMU, and a payload to be recognized by.
const RTP: [u8; 24] = *b"\x80\x00\x12\x34\x00\x00\x56\x78\x00\x00\x9a\xbcTANDEM PROOF";
/// Room for headers, the longest, twice over.
const BUFFER: usize = 256;
const HEADROOM: usize = 128;

/// Where [`Relay::prove`]'s packets would go: to be made by somebody who may allocate, once.
#[must_use]
pub fn proof_forwarding(realms: u16) -> Forwarding {
    let mut builder = Forwarding::builder(u64::MAX, realms.into());
    for realm in 0..realms {
        for v4 in [true, false] {
            let any = if v4 {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            builder.route(realm, any, 0, 0, None, 1);
            builder.neighbour(realm, peer(v4), NEIGHBOUR);
        }
    }
    builder.build()
}

fn peer(v4: bool) -> IpAddr {
    match v4 {
        true => Ipv4Addr::new(203, 0, 113, 77).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77).into(),
    }
}

impl Relay {
    /// Installs a flow pair on free ports from the first realm to the last one, relays a packet each way, looks at what comes out, and
    /// takes the pair away. Nothing is left of it but the counter. A worker that owns no ports has nothing to prove.
    ///
    /// # Errors
    /// [`CommandError::NotRelayed`], or why the flow pair could not be installed.
    pub fn prove(&mut self, now: u64, forwarding: Arc<Forwarding>) -> Result<(), CommandError> {
        let Some(spec) = self.proof_spec() else {
            return Ok(());
        };
        let (counters, events) = (self.counters.clone(), self.events.len());
        let before = std::mem::replace(&mut self.forwarding, forwarding);
        let result = self.put_flow(now, &spec).and_then(|()| {
            let there = self.proof_packet(now, &spec.a, &spec.b);
            let back = self.proof_packet(now, &spec.b, &spec.a);
            let _ = self.table.remove(FLOW);
            match there == Some(true) && back == Some(true) {
                true => Ok(()),
                false => Err(CommandError::NotRelayed),
            }
        });
        self.forwarding = before;
        self.counters = counters;
        self.events.truncate(events);
        for leg in [&spec.a, &spec.b] {
            self.hops.forget(leg.realm, peer(leg.local.is_ipv4()));
        }
        match result {
            Ok(()) => self.counters.proof_relayed += 1,
            Err(_) => self.counters.proof_failed += 1,
        }
        result
    }

    fn proof_spec(&self) -> Option<FlowSpec> {
        let realms = self.networks.realms();
        let first = self.proof_leg(0, PEERS[0], 0)?;
        let last = realms.checked_sub(1)?;
        let second = self.proof_leg(last, PEERS[1], first.port)?;
        Some(FlowSpec {
            id: FLOW,
            cookie: Cookie(u64::MAX),
            kind: FlowKind::Rtp,
            media: MediaKind::Audio,
            clock_rate: 8_000,
            a: first,
            b: second,
            timeout_s: 0,
            limit: RateLimit::default(),
        })
    }

    /// A leg on a free port of ours; none if there is none.
    fn proof_leg(&self, realm: u16, peer_port: u16, taken: u16) -> Option<LegSpec> {
        let networks = self.networks.realm(realm)?;
        let (local, index) = networks.first_media()?;
        let free = |port: &u16| {
            networks.is_media_pair(*port)
                && *port != taken
                && self.owner(*port) == self.worker
                && self.table.at_port((index, *port)).is_none()
        };
        Some(LegSpec {
            realm,
            local,
            port: networks.media_ports().rev().find(free)?,
            remote: Some(SocketAddr::new(peer(local.is_ipv4()), peer_port)),
            remote_rtcp: None,
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: true,
            event_type: None,
        })
    }

    /// A packet that comes in on a leg: whether it leaves by the other, as it should.
    fn proof_packet(&mut self, now: u64, from: &LegSpec, to: &LegSpec) -> Option<bool> {
        let way = self.networks.realm(from.realm)?.way;
        let out = self.networks.realm(to.realm)?.way;
        let peer = Endpoint::new(from.remote?);
        let local = Endpoint::new(SocketAddr::new(from.local, from.port));
        let mut headers = Headers::new(&way, way.mac, peer, local, 0).whole();
        headers = headers.fragmentation(true, &mut self.ids);
        let mut buffer = [0; BUFFER];
        let length = headers.len() + tandem_wire::udp::HEADER + RTP.len();
        let window = buffer.get_mut(HEADROOM..HEADROOM + length)?;
        window.get_mut(length - RTP.len()..)?.copy_from_slice(&RTP);
        headers.emit(window, UdpChecksum::Compute)?;
        let mut frame = Frame::new(&mut buffer, HEADROOM, length, RxChecksums::default())?;
        let Verdict::Transmit { port, .. } = self.receive(now, way.port, &mut frame) else {
            return Some(false);
        };
        Some(port == out.port && is_right(frame.bytes(), out.mac, to)?)
    }
}

/// Whether a frame is what our packet has to look like on its way out by a leg.
fn is_right(frame: &[u8], mac: Mac, leg: &LegSpec) -> Option<bool> {
    let ethernet = Ethernet::parse(frame).ok()?;
    let (source, destination, udp) = match leg.local {
        IpAddr::V4(_) => {
            let ip = Ipv4::parse(ethernet.payload()).ok()?;
            (ip.source().into(), ip.destination().into(), ip.payload())
        }
        IpAddr::V6(_) => {
            let ip = Ipv6::parse(ethernet.payload()).ok()?;
            (ip.source().into(), ip.destination().into(), ip.payload())
        }
    };
    let udp = Udp::parse(udp).ok()?;
    let remote = leg.remote?;
    Some(
        ethernet.source() == mac
            && ethernet.destination() == NEIGHBOUR
            && SocketAddr::new(source, udp.source_port()) == SocketAddr::new(leg.local, leg.port)
            && SocketAddr::new(destination, udp.destination_port()) == remote
            && udp.payload() == RTP,
    )
}
