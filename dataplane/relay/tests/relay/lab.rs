//! A relay between networks of two ports, and frames for it.
//!
//! Realm 0: port 0, untagged, 192.0.2.1 and 2001:db8:1::1. Realm 1: port 1, VLAN 100, 10.0.0.1 and
//! 2001:db8:2::1. Peers end in .10 (::10); behind the gateway 192.0.2.254 is the rest.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tandem_link::{Cookie, Event, FlowId, FlowKind, FlowReport, FlowSpec, LegSpec, SlotTable};
use tandem_relay::{
    Checksum, Counters, Forwarding, ForwardingBuilder, Frame, PortConfig, RealmConfig, Relay,
    RelayConfig, RxChecksums, TxChecksums, TxOffloads, Verdict,
};
use tandem_wire::checksum::Sum;
use tandem_wire::{
    Ethernet, EthernetRepr, Ipv4, Ipv4Repr, Ipv6, Ipv6Repr, Mac, RtpRepr, Udp, UdpRepr, ethernet,
};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const LEARNING: u64 = 3 * SECOND;
pub(crate) const HEADROOM: usize = 128;
pub(crate) const OUR_MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1]];
pub(crate) const PEER: Mac = [4, 0, 0, 0, 0, 10];
pub(crate) const GATEWAY: Mac = [4, 0, 0, 0, 0, 254];
/// A flow's RTP ports on legs A and B.
pub(crate) const PORTS: [u16; 2] = [30_000, 30_128];
pub(crate) const VLAN: u16 = 100;

/// A relay whose counters are compared.
pub(crate) struct Lab {
    pub(crate) relay: Relay,
    counted: Counters,
    pub(crate) buffer: Vec<u8>,
    pub(crate) now: u64,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let mut relay = Relay::new(config).unwrap();
        relay.set_forwarding(Arc::new(forwarding(1).build()));
        Self {
            relay,
            counted: Counters::default(),
            buffer: vec![0; 2176],
            now: SECOND,
        }
    }

    /// With the flow of [`spec`].
    pub(crate) fn with_flow() -> Self {
        let mut lab = Self::new();
        lab.put(&spec());
        lab
    }

    pub(crate) fn put(&mut self, spec: &FlowSpec) {
        self.relay.put_flow(self.now, spec).unwrap();
    }

    /// All counters, against those that are expected to have moved since the last time.
    #[track_caller]
    pub(crate) fn moved(&mut self, expected: &[(&str, u64)]) {
        let now = self.relay.counters().clone();
        let moved: Vec<_> = now
            .iter()
            .zip(self.counted.values())
            .map(|((name, value), before)| (name, value - before))
            .filter(|(_, moved)| *moved != 0)
            .collect();
        self.counted = now;
        let mut expected = expected.to_vec();
        expected.sort_by_key(|(name, _)| Counters::NAMES.iter().position(|n| n == name));
        assert_eq!(moved, expected);
    }

    /// One packet dropped by this counter, and nothing else.
    #[track_caller]
    pub(crate) fn drops(&mut self, port: u16, frame: &[u8], counter: &str) {
        assert_eq!(self.receive(port, frame), Verdict::Drop, "{counter}");
        self.moved(&[(counter, 1)]);
    }

    pub(crate) fn receive(&mut self, port: u16, frame: &[u8]) -> Verdict {
        self.receive_as(port, frame, RxChecksums::default()).0
    }

    /// Gives it a frame; answers what became of it, and the frame.
    pub(crate) fn receive_as(
        &mut self,
        port: u16,
        bytes: &[u8],
        received: RxChecksums,
    ) -> (Verdict, Vec<u8>) {
        self.buffer[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
        let mut frame = Frame::new(&mut self.buffer, HEADROOM, bytes.len(), received).unwrap();
        let verdict = self.relay.receive(self.now, port, &mut frame);
        (verdict, frame.bytes().to_vec())
    }

    /// Gives it a packet that has to be relayed.
    #[track_caller]
    pub(crate) fn relays(&mut self, packet: &Packet) -> Sent {
        self.relays_as(packet, RxChecksums::default())
    }

    #[track_caller]
    pub(crate) fn relays_as(&mut self, packet: &Packet, received: RxChecksums) -> Sent {
        let (verdict, bytes) = self.receive_as(packet.port(), &packet.bytes(), received);
        let Verdict::Transmit {
            port, checksums, ..
        } = verdict
        else {
            panic!("{verdict:?}, {:?}", self.relay.counters());
        };
        sent(port, checksums, &bytes)
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.relay.event()).collect()
    }

    pub(crate) fn report(&self) -> FlowReport {
        self.relay.flows(self.now).next().unwrap()
    }
}

pub(crate) fn config() -> RelayConfig {
    let port = |mac| PortConfig {
        mac,
        mtu: 1500,
        offloads: TxOffloads::default(),
    };
    RelayConfig {
        worker: 0,
        slots: SlotTable::deal(&[0]),
        ports: OUR_MACS.map(port).to_vec(),
        realms: vec![
            RealmConfig {
                port: 0,
                vlan: None,
                sip: vec![socket("192.0.2.1:5060"), socket("[2001:db8:1::1]:5060")],
                media: vec![ip("192.0.2.1"), ip("2001:db8:1::1")],
                media_ports: 30_000..=39_999,
            },
            RealmConfig {
                port: 1,
                vlan: Some(VLAN),
                sip: vec![socket("10.0.0.1:5060"), socket("[2001:db8:2::1]:5060")],
                media: vec![ip("10.0.0.1"), ip("2001:db8:2::1")],
                media_ports: 30_000..=39_999,
            },
        ],
        sip_dscp: 24,
        learning_ns: LEARNING,
        max_flows: 4,
        seed: [0; 16],
        police: tandem_relay::PoliceConfig::default(),
    }
}

pub(crate) fn forwarding(generation: u64) -> ForwardingBuilder {
    let mut builder = Forwarding::builder(generation, 2);
    for (realm, ours, net, width, peer) in [
        (0, "192.0.2.1", "192.0.2.0", 24, "192.0.2.10"),
        (0, "2001:db8:1::1", "2001:db8:1::", 64, "2001:db8:1::10"),
        (1, "10.0.0.1", "10.0.0.0", 24, "10.0.0.10"),
        (1, "2001:db8:2::1", "2001:db8:2::", 64, "2001:db8:2::10"),
    ] {
        builder
            .address(realm, ip(ours))
            .route(realm, ip(net), width, 0, None, 1);
        builder.neighbour(realm, ip(peer), PEER);
    }
    builder.route(0, ip("0.0.0.0"), 0, 0, Some(ip("192.0.2.254")), 1);
    builder.neighbour(0, ip("192.0.2.254"), GATEWAY);
    builder
}

/// Leg A: 192.0.2.1:30000, peer 192.0.2.10:4000. Leg B: 10.0.0.1:30128, peer 10.0.0.10:5000.
pub(crate) fn spec() -> FlowSpec {
    FlowSpec {
        id: FlowId(7),
        cookie: Cookie(70),
        kind: FlowKind::Rtp,
        media: tandem_link::MediaKind::Audio,
        clock_rate: 0,
        a: leg(0, "192.0.2.1", PORTS[0], "192.0.2.10:4000"),
        b: leg(1, "10.0.0.1", PORTS[1], "10.0.0.10:5000"),
        timeout_s: 60,
        limit: tandem_link::RateLimit::default(),
    }
}

pub(crate) fn leg(realm: u16, local: &str, port: u16, remote: &str) -> LegSpec {
    let remote = socket(remote);
    LegSpec {
        realm,
        local: ip(local),
        port,
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        latched: None,
        latched_rtcp: None,
        learn: 1,
        dscp: 46,
        strict: false,
        event_type: None,
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// G.711: 20 ms.
pub(crate) fn rtp(sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x5a; 172];
    let timestamp = u32::from(sequence) * 160;
    RtpRepr {
        marker: false,
        payload_type: 0,
        sequence,
        timestamp,
        ssrc: 9,
    }
    .emit(&mut bytes);
    bytes
}

/// An empty receiver report.
pub(crate) const RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];

/// A UDP packet to be made.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) destination_mac: Mac,
    pub(crate) vlan: Option<u16>,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) traffic_class: u8,
    pub(crate) dont_fragment: bool,
    /// None for a right one.
    pub(crate) udp_checksum: Option<u16>,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    /// To leg A of [`spec`]'s flow, from its peer.
    pub(crate) fn to_a(payload: &[u8]) -> Self {
        Self::new("192.0.2.10:4000", "192.0.2.1:30000", payload)
    }

    /// To leg B.
    pub(crate) fn to_b(payload: &[u8]) -> Self {
        Self::new("10.0.0.10:5000", "10.0.0.1:30128", payload)
    }

    pub(crate) fn new(source: &str, destination: &str, payload: &[u8]) -> Self {
        let destination = socket(destination);
        let tagged = [ip("10.0.0.1"), ip("2001:db8:2::1")].contains(&destination.ip());
        Self {
            destination_mac: OUR_MACS[usize::from(tagged)],
            vlan: tagged.then_some(VLAN),
            source: socket(source),
            destination,
            traffic_class: 0,
            dont_fragment: true,
            udp_checksum: None,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn from(self, source: &str) -> Self {
        Self {
            source: socket(source),
            ..self
        }
    }

    pub(crate) fn to(self, destination: &str) -> Self {
        Self {
            destination: socket(destination),
            ..self
        }
    }

    /// The port that it comes in on.
    pub(crate) fn port(&self) -> u16 {
        u16::from(self.vlan.is_some())
    }

    pub(crate) fn l2(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let v4 = self.source.is_ipv4();
        let length = u16::try_from(8 + self.payload.len()).unwrap();
        let mut bytes = vec![0; self.l2() + if v4 { 20 } else { 40 } + usize::from(length)];
        let ethertype = if v4 { ethernet::IPV4 } else { ethernet::IPV6 };
        let link = EthernetRepr {
            destination: self.destination_mac,
            source: PEER,
            tag: self.vlan,
            ethertype,
        };
        let rest = link.emit(&mut bytes).unwrap();
        let (rest, addresses) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let repr = Ipv4Repr {
                    source,
                    destination,
                    traffic_class: self.traffic_class,
                    id: 0x1234,
                    dont_fragment: self.dont_fragment,
                    ttl: 9,
                    protocol: 17,
                    payload_len: length,
                    checksum_offloaded: false,
                };
                (
                    repr.emit(rest).unwrap(),
                    Sum::ZERO.ipv4(source).ipv4(destination),
                )
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let repr = Ipv6Repr {
                    source,
                    destination,
                    traffic_class: self.traffic_class,
                    next_header: 17,
                    hop_limit: 9,
                    payload_len: length,
                };
                (
                    repr.emit(rest).unwrap(),
                    Sum::ZERO.ipv6(source).ipv6(destination),
                )
            }
            _ => panic!("two families"),
        };
        let mut header = UdpRepr {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            length,
            checksum: 0,
        }
        .with_checksum(addresses, &self.payload);
        header.checksum = self.udp_checksum.unwrap_or(header.checksum);
        header.emit(rest).unwrap().copy_from_slice(&self.payload);
        bytes
    }
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) port: u16,
    pub(crate) checksums: TxChecksums,
    pub(crate) to_mac: Mac,
    pub(crate) from_mac: Mac,
    pub(crate) tag: Option<u16>,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) traffic_class: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) id: u16,
    pub(crate) payload: Vec<u8>,
}

/// Reads a packet that was sent, and checks all of its checksums that are not left to the port.
#[track_caller]
pub(crate) fn sent(port: u16, checksums: TxChecksums, bytes: &[u8]) -> Sent {
    let link = Ethernet::parse(bytes).unwrap();
    let (source, destination, ip_payload, sum, traffic_class, ttl, dont_fragment, id) =
        match link.ethertype() {
            ethernet::IPV4 => {
                let ip = Ipv4::parse(link.payload()).unwrap();
                assert!(ip.checksum_ok() || checksums.ipv4);
                assert!(ip.options().is_empty() && !ip.is_fragment() && ip.protocol() == 17);
                assert_eq!(ip.header_len() + ip.payload().len(), link.payload().len());
                let (from, to) = (ip.source().into(), ip.destination().into());
                let fragmentation = (ip.dont_fragment(), ip.id());
                (
                    from,
                    to,
                    ip.payload(),
                    ip.address_sum(),
                    ip.traffic_class(),
                    ip.ttl(),
                    fragmentation.0,
                    fragmentation.1,
                )
            }
            ethernet::IPV6 => {
                let ip = Ipv6::parse(link.payload()).unwrap();
                assert_eq!(ip.next_header(), 17);
                assert_eq!(40 + ip.payload().len(), link.payload().len());
                let (from, to): (IpAddr, IpAddr) = (ip.source().into(), ip.destination().into());
                let (sum, class) = (ip.address_sum(), ip.traffic_class());
                (from, to, ip.payload(), sum, class, ip.hop_limit(), true, 0)
            }
            other => panic!("{other:#x}"),
        };
    let udp = Udp::parse(ip_payload).unwrap();
    assert_eq!(udp.len(), ip_payload.len());
    if checksums.udp {
        let pseudo = tandem_wire::udp::pseudo_header(sum, udp.len()).folded();
        assert_eq!(
            udp.checksum(),
            pseudo,
            "the port needs the pseudo header's sum"
        );
    } else {
        assert!(udp.checksum() != 0 && udp.checksum_ok(sum));
    }
    if checksums != TxChecksums::default() {
        assert_eq!(usize::from(checksums.l2_len), link.header_len());
        assert_eq!(checksums.l3_len, if checksums.ipv6 { 40 } else { 20 });
        assert_eq!(checksums.ipv6, link.ethertype() == ethernet::IPV6);
    }
    Sent {
        port,
        checksums,
        to_mac: link.destination(),
        from_mac: link.source(),
        tag: link.tag(),
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        traffic_class,
        ttl,
        dont_fragment,
        id,
        payload: udp.payload().to_vec(),
    }
}

/// What a device says that looked at nothing, saw good ones, and so on.
pub(crate) fn all(checksum: Checksum) -> RxChecksums {
    RxChecksums {
        ip: checksum,
        udp: checksum,
    }
}
