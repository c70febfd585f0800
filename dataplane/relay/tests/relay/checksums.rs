//! Checksums of all that is rewritten or framed, by an implementation that is not ours; and that it makes no difference
//! who checks them, who makes them, and how.
//!
//! Realm r is on port r / 2, tagged if r is odd, and has 10.r.0.1 and fd00:r::1; peers have .10 and ::10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6Header, SingleVlanHeader, UdpHeader, VlanId, VlanPcp,
};
use proptest::prelude::*;
use tandem_link::{FlowId, FlowKind, FlowSpec, LegSpec};
use tandem_relay::{
    Checksum, Forwarding, Frame, PortConfig, RealmConfig, Relay, RelayConfig, RxChecksums, SipSend,
    TxChecksums, TxOffloads, Verdict,
};

use crate::independent::{Seen, finished, see};
use crate::lab::{HEADROOM, OUR_MACS, PEER, SECOND, config, leg, spec};

const REALMS: u16 = 4;

/// A packet, and the way that it takes.
#[derive(Clone, Debug)]
struct Case {
    entry: Place,
    exit: Place,
    /// Where two flows of ours meet on the way, if they do.
    meeting: Option<Place>,
    kind: FlowKind,
    /// To the odd port; of RTP flows only.
    rtcp: bool,
    dscp: u8,
    traffic_class: u8,
    ttl: u8,
    id: u16,
    dont_fragment: bool,
    priority: u8,
    peer_ports: [u16; 2],
    payload: Vec<u8>,
    zero: Zero,
}

/// A realm and a version of IP.
#[derive(Clone, Copy, Debug)]
struct Place {
    realm: u16,
    v4: bool,
}

/// A UDP checksum that comes out as zero is sent as 0xffff (RFC 768).
#[derive(Clone, Copy, Debug)]
enum Zero {
    Neither,
    Received,
    Sent,
}

impl Place {
    fn ip(self, host: u8) -> IpAddr {
        if self.v4 {
            Ipv4Addr::new(10, self.realm as u8, 0, host).into()
        } else {
            Ipv6Addr::new(0xfd00, self.realm, 0, 0, 0, 0, 0, host.into()).into()
        }
    }

    fn ours(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(1), port)
    }

    fn port(self) -> u16 {
        self.realm / 2
    }

    fn vlan(self) -> Option<u16> {
        (self.realm % 2 == 1).then_some(100 + self.realm)
    }

    fn leg(self, port: u16, remote: SocketAddr, dscp: u8) -> LegSpec {
        LegSpec {
            dscp,
            ..leg(
                self.realm,
                &self.ip(1).to_string(),
                port,
                &remote.to_string(),
            )
        }
    }
}

/// Local ports of RTP: of the entry, of the exit, and of the two ends where flows meet.
const LOCAL: [u16; 4] = [30_000, 30_128, 30_256, 30_384];

impl Case {
    fn sender(&self) -> SocketAddr {
        SocketAddr::new(self.entry.ip(10), self.peer_ports[0])
    }

    /// Where RTP goes.
    fn receiver(&self) -> SocketAddr {
        SocketAddr::new(self.exit.ip(10), self.peer_ports[1])
    }

    /// What the packet has to come out with: from, to.
    fn sent_as(&self) -> (SocketAddr, SocketAddr) {
        let odd = u16::from(self.rtcp);
        let mut to = self.receiver();
        to.set_port(to.port() + odd);
        (self.exit.ours(LOCAL[1] + odd), to)
    }

    fn flows(&self) -> Vec<FlowSpec> {
        let with = |id, a, b| FlowSpec {
            id: FlowId(id),
            kind: self.kind,
            a,
            b,
            ..spec()
        };
        let odd = u16::from(self.rtcp);
        let mut heard = self.sender();
        heard.set_port(heard.port() - odd);
        let entry = self.entry.leg(LOCAL[0], heard, 0);
        let exit = self.exit.leg(LOCAL[1], self.receiver(), self.dscp);
        match self.meeting {
            None => vec![with(1, entry, exit)],
            Some(place) => vec![
                with(1, entry, place.leg(LOCAL[2], place.ours(LOCAL[3]), 7)),
                with(2, exit, place.leg(LOCAL[3], place.ours(LOCAL[2]), 9)),
            ],
        }
    }

    /// The frame as its sender makes it; `checksum` instead of the right one.
    fn frame(&self, checksum: Option<u16>) -> Vec<u8> {
        let odd = u16::from(self.rtcp);
        let (from, to) = (self.sender(), self.entry.ours(LOCAL[0] + odd));
        let payload = self.whole_payload();
        let mut udp = header(from, to, &payload);
        udp.checksum = checksum.unwrap_or(udp.checksum);
        let ethertype = if self.entry.v4 {
            EtherType::IPV4
        } else {
            EtherType::IPV6
        };
        let mut frame = Vec::new();
        let tagged = self.entry.vlan();
        let ethernet = Ethernet2Header {
            source: PEER,
            destination: OUR_MACS[usize::from(self.entry.port())],
            ether_type: if tagged.is_some() {
                EtherType::VLAN_TAGGED_FRAME
            } else {
                ethertype
            },
        };
        frame.extend(ethernet.to_bytes());
        if let Some(vlan) = tagged {
            let tag = SingleVlanHeader {
                pcp: VlanPcp::try_new(self.priority).unwrap(),
                drop_eligible_indicator: false,
                vlan_id: VlanId::try_new(vlan).unwrap(),
                ether_type: ethertype,
            };
            frame.extend(tag.to_bytes());
        }
        frame.extend(self.ip(from.ip(), to.ip(), udp.length));
        frame.extend(udp.to_bytes());
        frame.extend(payload);
        frame
    }

    fn ip(&self, from: IpAddr, to: IpAddr, length: u16) -> Vec<u8> {
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut ip =
                    Ipv4Header::new(length, self.ttl, IpNumber::UDP, from.octets(), to.octets())
                        .unwrap();
                ip.dscp = IpDscp::try_new(self.traffic_class >> 2).unwrap();
                ip.ecn = IpEcn::try_new(self.traffic_class & 3).unwrap();
                ip.identification = self.id;
                ip.dont_fragment = self.dont_fragment;
                ip.fragment_offset = IpFragOffset::ZERO;
                ip.header_checksum = ip.calc_header_checksum();
                ip.to_bytes().to_vec()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let ip = Ipv6Header {
                    traffic_class: self.traffic_class,
                    flow_label: Ipv6FlowLabel::try_new(self.id.into()).unwrap(),
                    payload_length: length,
                    next_header: IpNumber::UDP,
                    hop_limit: self.ttl,
                    source: from.octets(),
                    destination: to.octets(),
                };
                ip.to_bytes().to_vec()
            }
            _ => unreachable!("one family"),
        }
    }

    /// The payload, with a word that makes one of the checksums zero.
    fn whole_payload(&self) -> Vec<u8> {
        let mut payload = self.payload.clone();
        let odd = u16::from(self.rtcp);
        let (from, to) = match self.zero {
            Zero::Received => (self.sender(), self.entry.ours(LOCAL[0] + odd)),
            Zero::Sent => self.sent_as(),
            Zero::Neither => return payload,
        };
        let Some(word) = payload.get_mut(12..14) else {
            return payload;
        };
        word.fill(0);
        let missing = header(from, to, &payload).checksum;
        payload[12..14].copy_from_slice(&missing.to_be_bytes());
        assert_eq!(header(from, to, &payload).checksum, 0xffff);
        payload
    }
}

/// A right UDP header.
fn header(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> UdpHeader {
    let (source, destination) = (from.port(), to.port());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ip = Ipv4Header::new(0, 0, IpNumber::UDP, from.octets(), to.octets()).unwrap();
            UdpHeader::with_ipv4_checksum(source, destination, &ip, payload).unwrap()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = Ipv6Header {
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            };
            UdpHeader::with_ipv6_checksum(source, destination, &ip, payload).unwrap()
        }
        _ => unreachable!("one family"),
    }
}

/// A relay between all realms. Its ports can do this much.
fn relay(offloads: TxOffloads) -> Relay {
    let places = |realm| [true, false].map(|v4| Place { realm, v4 });
    let realm = |realm| RealmConfig {
        port: Place { realm, v4: true }.port(),
        vlan: Place { realm, v4: true }.vlan(),
        sip: places(realm).map(|place| place.ours(5060)).to_vec(),
        media: places(realm).map(|place| place.ip(1)).to_vec(),
        media_ports: 30_000..=39_999,
    };
    let port = |mac| PortConfig {
        mac,
        mtu: 1500,
        offloads,
    };
    let mut relay = Relay::new(RelayConfig {
        ports: OUR_MACS.map(port).to_vec(),
        realms: (0..REALMS).map(realm).collect(),
        ..config()
    })
    .unwrap();
    let mut builder = Forwarding::builder(1, REALMS.into());
    for place in (0..REALMS).flat_map(places) {
        let width = if place.v4 { 24 } else { 64 };
        builder
            .address(place.realm, place.ip(1))
            .route(place.realm, place.ip(0), width, 0, None, 1)
            .neighbour(place.realm, place.ip(10), PEER);
    }
    relay.set_forwarding(Arc::new(builder.build()));
    relay
}

/// What leaves when a frame comes in.
fn relayed(
    case: &Case,
    offloads: TxOffloads,
    received: RxChecksums,
    checksum: Option<u16>,
) -> Result<(TxChecksums, Vec<u8>), TestCaseError> {
    let mut relay = relay(offloads);
    for flow in case.flows() {
        relay.put_flow(SECOND, &flow).unwrap();
    }
    let bytes = case.frame(checksum);
    let mut buffer = vec![0; HEADROOM];
    buffer.extend(&bytes);
    let mut frame = Frame::new(&mut buffer, HEADROOM, bytes.len(), received).unwrap();
    let verdict = relay.receive(SECOND, case.entry.port(), &mut frame);
    match verdict {
        Verdict::Transmit {
            port, checksums, ..
        } => {
            prop_assert_eq!(port, case.exit.port());
            Ok((checksums, frame.bytes().to_vec()))
        }
        other => Err(TestCaseError::fail(format!(
            "{other:?}, {:?}",
            relay.counters()
        ))),
    }
}

fn place() -> impl Strategy<Value = Place> {
    (0..REALMS, any::<bool>()).prop_map(|(realm, v4)| Place { realm, v4 })
}

/// What is sent: kind of flow, whether to the odd port, payload.
fn content() -> impl Strategy<Value = (FlowKind, bool, Vec<u8>)> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        bytes(1400).prop_map(|payload| (FlowKind::Raw, false, payload)),
        bytes(300).prop_map(|media| (FlowKind::Rtp, false, [&[0x80; 12][..], &media].concat())),
        bytes(300).prop_map(|rest| {
            let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
            (FlowKind::Rtp, true, [&report[..], &rest].concat())
        }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let zero = prop_oneof![Just(Zero::Neither), Just(Zero::Received), Just(Zero::Sent)];
    let places = (place(), place(), proptest::option::weighted(0.3, place()));
    let header = (
        0u8..64,
        any::<u8>(),
        1u8..,
        any::<u16>(),
        any::<bool>(),
        0u8..8,
    );
    let ports = [1024u16..65_000, 1024u16..65_000];
    (places, header, ports, content(), zero).prop_map(
        |((entry, exit, meeting), header, peer_ports, (kind, rtcp, payload), zero)| {
            let (dscp, traffic_class, ttl, id, dont_fragment, priority) = header;
            Case {
                entry,
                exit,
                meeting,
                kind,
                rtcp,
                dscp,
                traffic_class,
                ttl,
                id,
                dont_fragment,
                priority,
                peer_ports,
                payload,
                zero,
            }
        },
    )
}

/// Everything that a port may be able to do.
const OFFLOADS: [TxOffloads; 4] = {
    const fn can(ipv4: bool, udp: bool) -> TxOffloads {
        TxOffloads { ipv4, udp }
    }
    [
        can(false, false),
        can(true, false),
        can(false, true),
        can(true, true),
    ]
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Incremental equals full: with a right checksum the new one is made from it, without one from the payload. So the frame on
    /// the wire is the same to the last bit whether the device checked the sender's checksums or we did, whether there was one
    /// at all, and whether we make the new ones or the port.
    #[test]
    fn whatever_is_relayed_has_right_checksums(case in case(), garbage: u16) {
        let both = |checksum| RxChecksums { ip: checksum, udp: checksum };
        // As no virtual device leaves it: without a checksum it is the sender who wanted none.
        let garbage = garbage.max(1);
        let mut ways = vec![
            (both(Checksum::Unknown), None),
            (both(Checksum::Good), None),
            (both(Checksum::Absent), Some(garbage)),
        ];
        if case.entry.v4 {
            ways.push((both(Checksum::Unknown), Some(0)));
            ways.push((both(Checksum::Good), Some(0)));
        }
        let mut first = None;
        for (received, checksum) in ways {
            for offloads in OFFLOADS {
                let (left, bytes) = relayed(&case, offloads, received, checksum)?;
                prop_assert!(offloads.ipv4 || !left.ipv4);
                prop_assert!(offloads.udp || !left.udp);
                let seen = see(left, &bytes).map_err(TestCaseError::fail)?;
                let wire = finished(left, &bytes).map_err(TestCaseError::fail)?;
                let (first_seen, first_wire) = first.get_or_insert((seen.clone(), wire.clone()));
                prop_assert_eq!(&seen, first_seen);
                prop_assert_eq!(&wire, first_wire, "{:?} {:?} {:?}", received, checksum, offloads);
            }
        }
        let (source, destination) = case.sent_as();
        let udp_checksum = header(source, destination, &case.whole_payload()).checksum;
        if matches!(case.zero, Zero::Sent) && case.payload.len() >= 14 {
            prop_assert_eq!(udp_checksum, 0xffff);
        }
        let expected = Seen {
            macs: [OUR_MACS[usize::from(case.exit.port())], PEER],
            vlan: case.exit.vlan(),
            source,
            destination,
            traffic_class: case.dscp << 2 | case.traffic_class & 3,
            ttl: 64,
            udp_checksum,
            payload: case.whole_payload(),
        };
        prop_assert_eq!(first.map(|(seen, _)| seen), Some(expected));
    }

    /// A bit that flips on the wire is seen by us or by who receives it, never mended: a relayed packet that was damaged in
    /// what the checksum covers and that a device passed as good stays wrong.
    #[test]
    fn damage_is_not_hidden(case in case(), at: proptest::sample::Index, bit in 0u8..8) {
        let case = Case { meeting: None, kind: FlowKind::Raw, rtcp: false, ..case };
        let mut bytes = case.frame(None);
        let payload = case.payload.len();
        prop_assume!(payload > 0);
        let place = bytes.len() - payload + at.index(payload);
        bytes[place] ^= 1 << bit;
        let mut relay = relay(TxOffloads::default());
        for flow in case.flows() {
            relay.put_flow(SECOND, &flow).unwrap();
        }
        for (checksum, relays) in [(Checksum::Unknown, false), (Checksum::Good, true)] {
            let mut buffer = vec![0; HEADROOM];
            buffer.extend(&bytes);
            let received = RxChecksums { ip: checksum, udp: checksum };
            let mut frame = Frame::new(&mut buffer, HEADROOM, bytes.len(), received).unwrap();
            match relay.receive(SECOND, case.entry.port(), &mut frame) {
                Verdict::Transmit { checksums, .. } => {
                    prop_assert!(relays);
                    let error = see(checksums, frame.bytes()).unwrap_err();
                    prop_assert!(error.starts_with("UDP checksum"), "{}", error);
                }
                _ => prop_assert!(!relays),
            }
        }
    }

    /// SIP of the signaling plane, framed by us.
    #[test]
    fn whatever_sip_is_framed_has_right_checksums(
        place in place(),
        port in 1u16..,
        payload in proptest::collection::vec(any::<u8>(), 0..1452),
        which in 0..OFFLOADS.len(),
    ) {
        let mut relay = relay(OFFLOADS[which]);
        let to = SocketAddr::new(place.ip(10), port);
        let mut buffer = vec![0xa5; 2048];
        let mut frame = Frame::new(&mut buffer, HEADROOM, 0, RxChecksums::default()).unwrap();
        let sent = relay.send_sip(SECOND, place.realm, place.ours(5060), to, &payload, &mut frame);
        let SipSend::Transmit { port, checksums } = sent else {
            return Err(TestCaseError::fail(format!("{sent:?}")));
        };
        prop_assert_eq!(port, place.port());
        let seen = see(checksums, frame.bytes()).map_err(TestCaseError::fail)?;
        prop_assert_eq!((seen.source, seen.destination), (place.ours(5060), to));
        prop_assert_eq!((seen.payload, seen.vlan), (payload, place.vlan()));
    }
}
