//! Any bytes as a frame, and as a datagram on each port of a flow pair: every view reads or refuses, the
//! relay counts exactly one outcome, and what it sends has right lengths and checksums.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tandem_link::{Cookie, FlowId, FlowKind, FlowSpec, LegSpec, SlotTable};
use tandem_relay::{
    Checksum, Forwarding, Frame, PortConfig, RealmConfig, Relay, RelayConfig, RxChecksums,
    TxChecksums, TxOffloads, Verdict,
};
use tandem_wire::{
    Ethernet, EthernetRepr, Ipv4, Ipv4Repr, Ipv6, Mac, Rtcp, Rtp, Udp, UdpRepr, ethernet,
};

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const PEER: Mac = [4, 0, 0, 0, 0, 1];
const HEADROOM: usize = 128;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(1600)];
    views(bytes);
    let kind = match how >> 6 {
        0 | 1 => FlowKind::Rtp,
        2 => FlowKind::Raw,
        _ => FlowKind::Srtp,
    };
    let mut relay = relay(kind);
    match how & 0x0f {
        0 => frame(&mut relay, 0, bytes),
        1 => frame(&mut relay, 1, bytes),
        // A few datagrams in a row: sequence numbers and learning have a memory.
        n => {
            for payload in bytes.chunks(usize::from(n) * 16) {
                frame(&mut relay, 0, &datagram(30_000 + u16::from(how >> 4 & 1), payload));
            }
        }
    }
});

/// Every view takes the bytes, or refuses them; all accessors answer.
fn views(bytes: &[u8]) {
    if let Ok(view) = Ethernet::parse(bytes) {
        assert_eq!(view.header_len() + view.payload().len(), bytes.len());
        let _ = (view.destination(), view.source(), view.tag(), view.vlan());
    }
    if let Ok(view) = Ipv4::parse(bytes) {
        assert!(view.header_len() + view.payload().len() <= bytes.len());
        let _ = (view.checksum_ok(), view.is_fragment(), view.options(), view.address_sum());
    }
    if let Ok(view) = Ipv6::parse(bytes) {
        let _ = (view.has_extension(), view.is_fragment(), view.address_sum());
    }
    if let Ok(view) = Udp::parse(bytes) {
        assert_eq!(view.len(), 8 + view.payload().len());
    }
    if let Ok(view) = Rtp::parse(bytes) {
        let extension = view.extension().map_or(0, |(_, data)| 4 + data.len());
        assert!(12 + 4 * view.csrc().count() + extension + view.payload().len() <= bytes.len());
        let _ = (view.marker(), view.payload_type(), view.sequence(), view.timestamp(), view.ssrc());
    }
    if let Ok(view) = Rtcp::parse(bytes) {
        let length: usize = view.packets().map(|packet| 4 + packet.body().len()).sum();
        assert_eq!(length, bytes.len());
        let _ = view.is_reduced_size();
        for packet in view.packets() {
            assert!(packet.blocks().count() <= usize::from(packet.count()));
            let _ = packet.sender().map(|sender| sender.middle());
        }
    }
}

fn frame(relay: &mut Relay, port: u16, bytes: &[u8]) {
    let before = outcomes(relay);
    let mut buffer = vec![0; HEADROOM + bytes.len()];
    buffer[HEADROOM..].copy_from_slice(bytes);
    // Checksums that no device looked at would keep the fuzzer out of all that is behind them.
    let received = RxChecksums { ip: Checksum::Good, udp: Checksum::Absent };
    let mut frame =
        Frame::new(&mut buffer, HEADROOM, bytes.len(), received).expect("it is inside");
    let verdict = relay.receive(1, port, &mut frame);
    assert_eq!(outcomes(relay), before + 1, "one outcome each");
    match verdict {
        Verdict::Transmit { checksums, .. } => sent(frame.bytes(), checksums),
        Verdict::Sip(meta) => assert!(meta.payload.end <= HEADROOM + bytes.len()),
        Verdict::Exception { .. } | Verdict::Drop => {}
        Verdict::SipRelayed { .. } => panic!("nobody asked for that"),
        Verdict::HandOff { .. } => panic!("there is one worker"),
    }
    while relay.event().is_some() || relay.needed_next_hop().is_some() {}
}

fn sent(bytes: &[u8], checksums: TxChecksums) {
    assert_eq!(checksums, TxChecksums::default(), "the ports can nothing");
    let link = Ethernet::parse(bytes).expect("a frame");
    let (payload, addresses) = if link.ethertype() == ethernet::IPV4 {
        let ip = Ipv4::parse(link.payload()).expect("an IPv4 packet");
        assert!(ip.checksum_ok());
        (ip.payload(), ip.address_sum())
    } else {
        let ip = Ipv6::parse(link.payload()).expect("an IPv6 packet");
        (ip.payload(), ip.address_sum())
    };
    let udp = Udp::parse(payload).expect("a datagram");
    assert_eq!(udp.len(), payload.len());
    assert!(udp.checksum() != 0 && udp.checksum_ok(addresses));
}

fn outcomes(relay: &Relay) -> u64 {
    let outcome = |name: &str| {
        matches!(name, "relayed" | "handed_over" | "sip")
            || name.starts_with("exception")
            || name.starts_with("drop_")
    };
    relay.counters().iter().filter(|(name, _)| outcome(name)).map(|(_, value)| value).sum()
}

/// From the peer of leg A, which is IPv4; leg B is IPv6.
fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("it is short");
    let mut bytes = vec![0; 42 + payload.len()];
    let link =
        EthernetRepr { destination: MAC, source: PEER, tag: None, ethertype: ethernet::IPV4 };
    let ip = Ipv4Repr {
        source: [192, 0, 2, 10].into(),
        destination: [192, 0, 2, 1].into(),
        traffic_class: 0,
        id: 0,
        dont_fragment: true,
        ttl: 64,
        protocol: 17,
        payload_len: length,
        checksum_offloaded: false,
    };
    let udp = UdpRepr { source_port: 4000, destination_port: port, length, checksum: 1 };
    let rest = link.emit(&mut bytes).expect("there is room");
    let rest = ip.emit(rest).expect("there is room");
    udp.emit(rest).expect("there is room").copy_from_slice(payload);
    bytes
}

fn relay(kind: FlowKind) -> Relay {
    let four = IpAddr::from([192, 0, 2, 1]);
    let six = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let peer_four = IpAddr::from([192, 0, 2, 10]);
    let peer_six = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]);
    let realm = |port, vlan, ip| RealmConfig {
        port,
        vlan,
        sip: vec![SocketAddr::new(ip, 5060)],
        media: vec![ip],
        media_ports: 30_000..=39_999,
    };
    let port = PortConfig { mac: MAC, mtu: 1500, offloads: TxOffloads::default() };
    let mut relay = Relay::new(RelayConfig {
        worker: 0,
        slots: SlotTable::deal(&[0]),
        ports: vec![port; 2],
        realms: vec![realm(0, None, four), realm(1, Some(7), six)],
        sip_dscp: 24,
        learning_ns: 3_000_000_000,
        max_flows: 1,
        seed: [0; 16],
        police: tandem_relay::PoliceConfig::default(),
    })
    .expect("the configuration is right");
    let mut forwarding = Forwarding::builder(1, 2);
    for (realm, peer) in [(0, peer_four), (1, peer_six)] {
        forwarding.route(realm, peer, 0, 0, Some(peer), 1).neighbour(realm, peer, PEER);
    }
    relay.set_forwarding(Arc::new(forwarding.build()));
    let leg = |realm, local, port, peer| LegSpec {
        realm,
        local,
        port,
        remote: Some(SocketAddr::new(peer, 4000)),
        remote_rtcp: Some(SocketAddr::new(peer, 4001)),
        latched: None,
        latched_rtcp: None,
        learn: 1,
        dscp: 46,
        strict: false,
        event_type: None,
    };
    let spec = FlowSpec {
        id: FlowId(1),
        cookie: Cookie(1),
        kind,
        media: tandem_link::MediaKind::Audio,
        clock_rate: 0,
        a: leg(0, four, 30_000, peer_four),
        b: leg(1, six, 30_000, peer_six),
        timeout_s: 60,
        limit: tandem_link::RateLimit::default(),
    };
    relay.put_flow(0, &spec).expect("the flow is right");
    relay
}
