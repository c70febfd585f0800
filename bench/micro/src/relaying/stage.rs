//! A relay with its flows, and packets that come in.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::sync::Arc;

use tandem_bench_micro::prefetch;
use tandem_link::{
    Cookie, FlowId, FlowKind, FlowSpec, LegSpec, MediaKind, PoliceLimit, PoliceLimits, RateLimit,
    SlotTable, SourceClass, StatelessSpec, StatelessTarget,
};
use tandem_relay::{
    Checksum, Forwarding, Frame, PoliceConfig, PortConfig, RealmConfig, Relay, RelayConfig,
    RxChecksums, SipSend, Stateless, TxOffloads, Verdict,
};
use tandem_shm::{DatagramMeta, End, PayloadBuffer, Reader, Session, payload_buffer};
use tandem_wire::sip::ShardTable;

use super::packets::{self, Packets, VLAN, Way};
use super::{BURST, FLOWS, Load};

/// Sources with registered users.
const REGISTERED: u32 = 100_000;
/// As a device's ring: buffers of so many bursts are in use in turn.
const BUFFERS: usize = 1024 / BURST;
const BUFFER: usize = 2176;
const HEADROOM: usize = 128;
/// Nanoseconds from one packet to the next: each flow pair's leg has one in 20 ms.
const APART: u64 = 20_000_000 / (2 * FLOWS as u64);
/// SIP workers that the datagrams are dealt out to.
const READERS: u16 = 3;

/// What has to become of every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Relayed,
    Dropped,
    /// The same, but for one in a second.
    Policed,
    /// In a ring.
    Sip,
    /// Sent without the signaling plane.
    SipRelayed,
}

pub(crate) struct Stage {
    relay: Relay,
    received: RxChecksums,
    outcome: Outcome,
    packets: Packets,
    next: usize,
    /// Nanoseconds.
    now: u64,
    buffers: Vec<[[u8; BUFFER]; BURST]>,
    /// Whose buffers are in use.
    burst: usize,
    /// Of the packets in the burst.
    ports: [u16; BURST],
    lengths: [usize; BURST],
    rings: Option<Rings>,
}

/// The rings of a controller.
struct Rings {
    ends: Vec<End>,
    shards: ShardTable,
    readers: Vec<Reader>,
    buffer: PayloadBuffer,
    _session: Session,
}

impl Stage {
    pub(crate) fn new(
        way: Way,
        packets: Packets,
        outcome: Outcome,
    ) -> Result<Self, Box<dyn Error>> {
        let mut relay = relay(way, FLOWS.into())?;
        for flow in 0..FLOWS {
            relay.put_flow(0, &spec(way, flow, flow.into()))?;
        }
        for source in &packets.blocked {
            relay.block(0, *source, u64::MAX)?;
        }
        if packets.policed {
            police(&mut relay)?;
        }
        if outcome == Outcome::SipRelayed {
            relay_sip(&mut relay, way)?;
        }
        let checksum = if way.software {
            Checksum::Unknown
        } else {
            Checksum::Good
        };
        let mut buffers = vec![[[0; BUFFER]; BURST]; BUFFERS];
        for buffer in buffers.iter_mut().flatten() {
            let head = packets.items.first().map_or(0, |(_, bytes)| bytes.len());
            let tail = buffer.get_mut(HEADROOM + head..HEADROOM + head + packets.tail.len());
            tail.ok_or("a buffer is too small")?
                .copy_from_slice(&packets.tail);
        }
        Ok(Self {
            relay,
            received: RxChecksums {
                ip: checksum,
                udp: checksum,
            },
            outcome,
            packets,
            next: 0,
            now: 0,
            buffers,
            burst: 0,
            ports: [0; BURST],
            lengths: [0; BURST],
            rings: match outcome {
                Outcome::Sip => Some(Rings::new()?),
                _ => None,
            },
        })
    }
}

impl Load for Stage {
    fn prepare(&mut self) {
        self.burst = (self.burst + 1) % BUFFERS;
        self.now += BURST as u64 * APART;
        let buffers = self.buffers.get_mut(self.burst).into_iter().flatten();
        for ((buffer, port), length) in buffers.zip(&mut self.ports).zip(&mut self.lengths) {
            let Some((from, bytes)) = self.packets.items.get(self.next) else {
                continue;
            };
            self.next = (self.next + 1) % self.packets.items.len();
            *port = *from;
            *length = bytes.len() + self.packets.tail.len();
            if let Some(place) = buffer.get_mut(HEADROOM..HEADROOM + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }

    fn work(&mut self) -> u64 {
        let mut looks = [const { None }; BURST];
        let Some(burst) = self.buffers.get_mut(self.burst) else {
            return 0;
        };
        let arrived = burst.iter().zip(&self.ports).zip(&self.lengths);
        for (look, ((buffer, port), length)) in looks.iter_mut().zip(arrived) {
            let frame = buffer.get(HEADROOM..HEADROOM + length).unwrap_or_default();
            let look = look.insert(self.relay.look(*port, frame));
            self.relay
                .lines(look)
                .into_iter()
                .flatten()
                .for_each(prefetch);
        }
        let mut good = 0;
        let arrived = burst.iter_mut().zip(&self.lengths);
        for (look, (buffer, length)) in looks.into_iter().zip(arrived) {
            let frame = Frame::new(buffer, HEADROOM, *length, self.received);
            let Some((look, mut frame)) = look.zip(frame) else {
                continue;
            };
            let verdict = self.relay.decide(self.now, &mut frame, look);
            let right = match verdict {
                Verdict::Transmit { .. } => self.outcome == Outcome::Relayed,
                Verdict::Drop => matches!(self.outcome, Outcome::Dropped | Outcome::Policed),
                Verdict::Sip(_) if self.outcome == Outcome::Policed => true,
                Verdict::Sip(meta) => match &mut self.rings {
                    Some(rings) => rings.push(&meta, buffer),
                    None => false,
                },
                Verdict::SipRelayed {
                    send: SipSend::Transmit { .. },
                    ..
                } => self.outcome == Outcome::SipRelayed,
                _ => false,
            };
            good += u64::from(right);
        }
        if let Some(rings) = &mut self.rings {
            rings.ends.iter_mut().for_each(|end| end.producer.flush());
        }
        good
    }

    fn tidy(&mut self) {
        if let Some(Rings {
            readers, buffer, ..
        }) = &mut self.rings
        {
            let ends = readers.iter_mut().flat_map(|reader| &mut reader.ends);
            ends.for_each(|end| while let Ok(Some(_)) = end.consumer.pop(buffer) {});
        }
    }
}

impl Rings {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (session, ends) = Session::create(1, 1, READERS, 1 << 20)?;
        let bells = session.doorbell_fds().map(|bell| bell.try_clone_to_owned());
        let bells = bells.collect::<Result<_, _>>()?;
        let memory = session.memory_fd().as_fd().try_clone_to_owned()?;
        Ok(Self {
            ends: ends.into_iter().flatten().collect(),
            shards: ShardTable::deal(READERS),
            readers: tandem_shm::attach(memory, bells, 1, 1)?,
            buffer: payload_buffer(),
            _session: session,
        })
    }

    /// As the worker does it.
    fn push(&mut self, meta: &tandem_relay::SipMeta, buffer: &[u8]) -> bool {
        let payload = buffer.get(meta.payload.clone()).unwrap_or_default();
        let reader = self.shards.route(payload).unwrap_or(0);
        let Some(end) = self.ends.get_mut(usize::from(reader)) else {
            return false;
        };
        let datagram = DatagramMeta {
            realm: meta.realm,
            source: meta.source,
            destination: meta.local,
            dscp: 0,
            timestamp_ns: 1,
        };
        end.producer.has_free(2) && end.producer.push(&datagram, payload).is_ok()
    }
}

/// SIP of the outer side's peer goes to three targets, of which one takes calls: the inner side's peer.
fn relay_sip(relay: &mut Relay, way: Way) -> Result<(), Box<dyn Error>> {
    let [(outer, sender), (inner, peer)] = [0, 1].map(|leg| way.ends(leg));
    let target = |port: u16| StatelessTarget {
        address: (peer, port).into(),
        realm: 1,
        weight: 1,
        up: port == packets::SIP,
        place: port.to_be_bytes().to_vec(),
    };
    let spec = StatelessSpec {
        realms: vec![0],
        record_route: true,
        key: [7; 16],
        hash: (1, 2),
        senders: vec![(sender, 32)],
        targets: (0..3).map(|n| target(packets::SIP + n)).collect(),
    };
    let sip = [outer, inner].map(|ip| vec![(ip, packets::SIP).into()]);
    relay.set_stateless(0, Some(Arc::new(Stateless::new(&spec, &sip)?)));
    Ok(())
}

/// The answers to INVITEs that were relayed so.
pub(crate) fn answers(way: Way) -> Option<Packets> {
    let mut relay = relay(way, 1).ok()?;
    relay_sip(&mut relay, way).ok()?;
    let mut sent = Vec::new();
    for (port, bytes) in packets::invite(way)?.items {
        let mut buffer = [0; BUFFER];
        buffer
            .get_mut(HEADROOM..HEADROOM + bytes.len())?
            .copy_from_slice(&bytes);
        let mut frame = Frame::new(&mut buffer, HEADROOM, bytes.len(), RxChecksums::default())?;
        relay.receive(1, port, &mut frame);
        let headers = tandem_wire::ethernet::HEADER + 20 + tandem_wire::udp::HEADER;
        sent.push(frame.bytes().get(headers..)?.to_vec());
    }
    packets::answers(way, sent)
}

/// 100,000 sources are registered, and all others together may send one datagram a second.
fn police(relay: &mut Relay) -> Result<(), Box<dyn Error>> {
    relay.police(&PoliceLimits {
        all_unknown: PoliceLimit { rate: 1, burst: 1 },
        ..PoliceLimits::default()
    });
    for n in 0..REGISTERED {
        let source = IpAddr::from(Ipv4Addr::from(0x0b00_0000 + n));
        relay.classify(source, SourceClass::Registered, u64::MAX, 1)?;
    }
    relay.classify_done(1, Box::default());
    Ok(())
}

/// A relay with two realms and their routes, for so many flow pairs.
pub(crate) fn relay(way: Way, max_flows: u32) -> Result<Relay, Box<dyn Error>> {
    let locals = [0, 1].map(|leg| vec![way.ends(leg).0]);
    relay_on(way, max_flows, &locals)
}

/// The same with these media addresses.
pub(crate) fn relay_on(
    way: Way,
    max_flows: u32,
    locals: &[Vec<IpAddr>; 2],
) -> Result<Relay, Box<dyn Error>> {
    let realm = |port: u16, locals: &[IpAddr]| RealmConfig {
        port,
        vlan: (way.vlan && port == 1).then_some(VLAN),
        sip: locals.iter().map(|ip| (*ip, packets::SIP).into()).collect(),
        media: locals.to_vec(),
        media_ports: 10_000..=59_999,
    };
    let port = |mac| PortConfig {
        mac,
        mtu: 1500,
        offloads: TxOffloads::default(),
    };
    let [outer, inner] = locals;
    let mut relay = Relay::new(RelayConfig {
        worker: 0,
        slots: SlotTable::deal(&[0]),
        ports: packets::MACS.map(port).to_vec(),
        realms: vec![realm(0, outer), realm(1, inner)],
        sip_dscp: 24,
        learning_ns: 3_000_000_000,
        max_flows,
        seed: [0; 16],
        police: PoliceConfig {
            most_registered: REGISTERED,
            most_unknown: 65_536,
            ..PoliceConfig::default()
        },
    })?;
    let mut forwarding = Forwarding::builder(1, 2);
    for index in 0..2u16 {
        let (_, peer) = way.ends(index);
        let prefix = if peer.is_ipv4() { 24 } else { 64 };
        forwarding
            .route(index, peer, prefix, 0, None, 1)
            .neighbour(index, peer, [4; 6]);
    }
    relay.set_forwarding(Arc::new(forwarding.build()));
    Ok(relay)
}

/// The flow pair on the ports of a number, with this name.
pub(crate) fn spec(way: Way, flow: u16, id: u64) -> FlowSpec {
    spec_on(way, flow, id, [0, 1].map(|leg| way.ends(leg).0))
}

/// The same on these addresses of ours.
pub(crate) fn spec_on(way: Way, flow: u16, id: u64, [a, b]: [IpAddr; 2]) -> FlowSpec {
    let [a, b] = [(0, a), (1, b)].map(|(leg, local)| {
        let (_, peer) = way.ends(leg);
        let port = packets::port(flow);
        LegSpec {
            realm: leg,
            local,
            port,
            remote: Some((peer, port).into()),
            remote_rtcp: Some((peer, port + 1).into()),
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: false,
            event_type: None,
        }
    });
    FlowSpec {
        id: FlowId(id),
        cookie: Cookie(id),
        kind: FlowKind::Rtp,
        media: MediaKind::Audio,
        clock_rate: 0,
        a,
        b,
        timeout_s: 60,
        limit: RateLimit::default(),
    }
}
