//! A media packet's way through its flow pair.

use tandem_link::{Event, FlowKind, Leg};
use tandem_wire::{Mac, RtcpError, Rtp, RtpError, rtcp};

use super::{Relay, push_event};
use crate::classify::Datagram;
use crate::counters::Counter;
use crate::endpoint::Endpoint;
use crate::flow::{Flow, of};
use crate::forwarding::{Forwarding, NextHop};
use crate::hops::Hops;
use crate::learn::Source;
use crate::network::Way;
use crate::rewrite::{Headers, UdpChecksum};
use crate::table::Place;
use crate::{Frame, TxChecksums, Verdict};

/// What a packet is, once checked.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Rtp(Rtp<'a>),
    Rtcp,
    Raw,
}

/// Where a packet that was relayed goes.
#[derive(Debug)]
pub(super) enum Relayed {
    /// To the wire.
    Out(Verdict),
    /// To ourselves: as if it came in on this port.
    ToUs(u16),
}

impl Relay {
    /// A datagram to a media port that this worker owns; an error is the counter of its drop.
    #[inline]
    pub(super) fn media(
        &mut self,
        now: u64,
        frame: &mut Frame<'_>,
        datagram: &Datagram,
        place: Option<(Place, Leg)>,
    ) -> Result<Relayed, Counter> {
        let no_flow = Counter::of(|c| &mut c.drop_no_flow);
        let (place, leg) = place.ok_or(no_flow)?;
        let flow = self.table.get_mut(place).ok_or(no_flow)?;
        let checksum = datagram.verify(frame.received(), frame.bytes())?;
        datagram.check_source()?;
        let odd_port = datagram.local.port % 2 == 1;
        let payload = frame.bytes().get(datagram.payload()).unwrap_or_default();
        let content = read(flow.kind, odd_port, payload)?;
        let bytes = payload.len();

        match flow.hear(now, self.learning_ns, leg, odd_port, datagram.source) {
            Source::Known => {}
            Source::Latched { changed } => {
                flow.forget_hops(leg);
                if changed {
                    self.counters.latched += 1;
                    if let Some(event) = latched(flow, leg, odd_port, datagram.source) {
                        push_event(&mut self.events, &mut self.counters, event);
                    }
                }
            }
            Source::Stranger => {
                flow.strange(leg, matches!(content, Content::Rtcp));
                return Err(Counter::of(|c| &mut c.drop_wrong_source));
            }
        }
        let is_rtcp = matches!(content, Content::Rtcp);
        let allowed = match content {
            Content::Rtp(rtp) => flow.heard_rtp(now, leg, *rtp, bytes),
            Content::Raw => flow.heard_raw(now, leg, bytes),
            Content::Rtcp => flow.heard_rtcp(now, leg, payload, &mut self.counters),
        };
        if !allowed {
            return Err(self.above_rate(place, leg));
        }
        flow.active = now;
        if flow.idle {
            flow.idle = false;
            self.counters.media_resumed += 1;
            let event = flow.resumed_event();
            push_event(&mut self.events, &mut self.counters, event);
        }

        // It leaves by the other leg.
        let out = leg.other();
        let way = *of(&flow.ways, out);
        let apart = is_rtcp && !way.multiplexed;
        let destination = flow.destination(out, apart);
        if !destination.is_some() {
            return Err(Counter::of(|c| &mut c.drop_no_destination));
        }
        let neighbour = next_hop(
            now,
            flow,
            &self.forwarding,
            &mut self.hops,
            out,
            apart,
            destination,
        )?;
        let no_route = Counter::of(|c| &mut c.drop_no_route);
        let local = self.networks.local(way.local).ok_or(no_route)?;
        let source = Endpoint {
            port: way.port + u16::from(apart),
            ..local.address
        };
        let traffic_class = way.dscp << 2 | datagram.traffic_class & 0x03;
        let out = Out {
            way: &local.way,
            neighbour,
            source,
            destination,
            traffic_class,
        };
        let checksums = out.write(frame, datagram, checksum, &mut self.ids)?;
        let port = local.way.port;

        flow.relayed(leg, is_rtcp, bytes);
        if neighbour.is_none() {
            // It counts once, when it leaves.
            return Ok(Relayed::ToUs(port));
        }
        self.counters.relayed_rtcp += u64::from(is_rtcp);
        self.counters.relayed += 1;
        self.counters.relayed_bytes += bytes as u64;
        Ok(Relayed::Out(Verdict::Transmit { port, checksums }))
    }

    /// A packet is above its flow's rate: the counter of its drop.
    #[cold]
    pub(super) fn above_rate(&mut self, place: Place, leg: Leg) -> Counter {
        if let Some(flow) = self
            .table
            .get(place)
            .filter(|flow| flow.began_to_flood(leg))
        {
            self.counters.media_flooded += 1;
            let event = flow.flooded_event(leg);
            push_event(&mut self.events, &mut self.counters, event);
        }
        Counter::of(|c| &mut c.drop_above_rate)
    }
}

/// How a packet leaves.
struct Out<'a> {
    way: &'a Way,
    /// None for ourselves.
    neighbour: Option<Mac>,
    source: Endpoint,
    destination: Endpoint,
    traffic_class: u8,
}

impl Out<'_> {
    /// Writes its headers over those that it came with. `checksum` is the UDP checksum if it can be built upon.
    fn write(
        &self,
        frame: &mut Frame<'_>,
        datagram: &Datagram,
        checksum: Option<u16>,
        ids: &mut u16,
    ) -> Result<TxChecksums, Counter> {
        let to = self.neighbour.unwrap_or(self.way.mac);
        let (source, destination) = (self.source, self.destination);
        let mut headers = Headers::new(self.way, to, source, destination, self.traffic_class)
            .fragmentation(datagram.dont_fragment, ids);
        if self.neighbour.is_none() {
            headers = headers.whole();
        }
        if !headers.fits(datagram.udp_len()) {
            return Err(Counter::of(|c| &mut c.drop_too_long));
        }
        let udp_checksum = match checksum {
            Some(checksum) => {
                let old = datagram.source.sum().sum(datagram.local.sum());
                UdpChecksum::Update { checksum, old }
            }
            None => UdpChecksum::Compute,
        };
        let (at, len, end) = (datagram.udp(), headers.len(), datagram.end());
        let checksums = frame
            .room(at, len, end)
            .and_then(|window| headers.emit(window, udp_checksum))
            .ok_or(Counter::of(|c| &mut c.drop_no_headroom))?;
        frame.set(at, len, end);
        Ok(checksums)
    }
}

/// Checks what a packet has to be.
#[inline]
fn read(kind: FlowKind, odd_port: bool, payload: &[u8]) -> Result<Content<'_>, Counter> {
    match kind {
        FlowKind::Raw if odd_port => Err(Counter::of(|c| &mut c.drop_raw_odd_port)),
        FlowKind::Raw => Ok(Content::Raw),
        FlowKind::Rtp | FlowKind::Srtp if odd_port || rtcp::is_rtcp(payload) => {
            // Not the whole compound packet: it may be encrypted from end to end.
            match rtcp::check_first(payload) {
                Ok(()) => Ok(Content::Rtcp),
                Err(RtcpError::Version) => Err(Counter::of(|c| &mut c.drop_rtcp_version)),
                Err(RtcpError::Type) => Err(Counter::of(|c| &mut c.drop_rtcp_type)),
                Err(RtcpError::Truncated | RtcpError::Padding) => {
                    Err(Counter::of(|c| &mut c.drop_rtcp_truncated))
                }
            }
        }
        FlowKind::Rtp | FlowKind::Srtp => match Rtp::parse(payload) {
            Ok(rtp) => Ok(Content::Rtp(rtp)),
            Err(RtpError::Truncated) => Err(Counter::of(|c| &mut c.drop_rtp_truncated)),
            Err(RtpError::Version) => Err(Counter::of(|c| &mut c.drop_rtp_version)),
            Err(RtpError::Padding) => Err(Counter::of(|c| &mut c.drop_rtp_padding)),
        },
    }
}

fn latched(flow: &Flow, leg: Leg, rtcp: bool, source: Endpoint) -> Option<Event> {
    let (id, cookie) = (flow.id, flow.cookie);
    Some(Event::Latched {
        flow: id,
        cookie,
        leg,
        rtcp,
        source: source.socket()?,
    })
}

/// The next hop's Ethernet address, looked up again only when the destination or the snapshot is
/// another than last time; none for ourselves.
#[inline]
fn next_hop(
    now: u64,
    flow: &mut Flow,
    forwarding: &Forwarding,
    hops: &mut Hops,
    leg: Leg,
    apart: bool,
    destination: Endpoint,
) -> Result<Option<Mac>, Counter> {
    if apart && !flow.is_beside_rtp(leg, destination) {
        return look_up(now, flow, forwarding, hops, leg, apart, destination);
    }
    // What was not looked up yet is a position that no snapshot has.
    match forwarding.mac(*flow.hop(forwarding.generation(), leg)) {
        Some(mac) => Ok(Some(mac)),
        None => look_up(now, flow, forwarding, hops, leg, apart, destination),
    }
}

#[cold]
fn look_up(
    now: u64,
    flow: &mut Flow,
    forwarding: &Forwarding,
    hops: &mut Hops,
    leg: Leg,
    apart: bool,
    destination: Endpoint,
) -> Result<Option<Mac>, Counter> {
    let realm = of(&flow.ways, leg).realm;
    let no_route = Counter::of(|c| &mut c.drop_no_route);
    match forwarding.next_hop(realm, destination.ip(), flow.hash(leg)) {
        NextHop::Resolved { index, neighbour } => {
            hops.used(now, realm, neighbour);
            if !apart || flow.is_beside_rtp(leg, destination) {
                *flow.hop(forwarding.generation(), leg) = index;
            }
            forwarding.mac(index).map(Some).ok_or(no_route)
        }
        NextHop::Unresolved { neighbour } => {
            hops.missing(now, realm, neighbour);
            Err(Counter::of(|c| &mut c.drop_next_hop_unresolved))
        }
        NextHop::Local => Ok(None),
        NextHop::NoRoute => Err(no_route),
    }
}
