//! SIP that the dataplane relays without memory: any message from a sender whose requests are relayed, and from a target. What
//! goes out is a whole frame with right checksums and our Via on top, the reply to it comes back to where the request came from,
//! and nobody makes a branch of ours.
#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tandem_link::{SlotTable, StatelessSpec, StatelessTarget};
use tandem_relay::{
    Checksum, Forwarding, Frame, PortConfig, RealmConfig, Relay, RelayConfig, RxChecksums, SipSend,
    Stateless, TxOffloads, Verdict,
};
use tandem_wire::{Ethernet, EthernetRepr, Ipv4, Ipv4Repr, Mac, Udp, UdpRepr, ethernet, sip};

const MAC: Mac = [2, 0, 0, 0, 0, 1];
const PEER: Mac = [4, 0, 0, 0, 0, 1];
const HEADROOM: usize = 128;
/// Our addresses, whose requests are relayed, and where the targets are.
const OURS: [&str; 2] = ["192.0.2.1:5060", "10.0.0.1:5060"];
const SENDER: &str = "198.51.100.7:5062";
const TARGETS: [&str; 2] = ["10.0.0.10:5060", "10.0.0.11:5070"];

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(1_400)];
    let mut relay = relay();
    let request = match how & 3 {
        // As it is.
        0 => bytes.to_vec(),
        // Headers of the fuzzer's choice in a request that makes sense.
        1 => message("INVITE", "z9hG4bKa1", bytes),
        2 => message("ACK", "1", bytes),
        // From the inside: a request of a target, or a reply that nobody waits for.
        _ => {
            let sent = pass(&mut relay, 1, (TARGETS[0], OURS[1]), bytes);
            assert!(sent.is_none() || !bytes.starts_with(b"SIP/2.0"), "a branch of ours was made");
            return;
        }
    };
    let Some(out) = pass(&mut relay, 0, (SENDER, OURS[0]), &request) else { return };
    assert!(TARGETS.contains(&&*out.to), "{}", out.to);
    let text = &out.payload;
    let mut index = sip::Index::default();
    assert!(sip::parse_into(text, &mut index).is_ok(), "it is a message");
    let at_via = text.windows(4).position(|w| w.eq_ignore_ascii_case(b"via:"));
    let ours = b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK";
    assert!(at_via.is_some_and(|at| text[at..].starts_with(ours)), "ours is on top");

    // The reply, with every header that the request had.
    let end = text.iter().position(|b| *b == b'\n').expect("a line");
    let reply = [b"SIP/2.0 200 OK\r\n", &text[end + 1..]].concat();
    let forged = counter(&relay, "stateless_forged");
    let back = pass(&mut relay, 1, (&out.to, &out.from), &reply);
    assert_eq!(counter(&relay, "stateless_forged"), forged, "it is our own branch");
    if let Some(back) = back {
        let host = |socket: &str| socket.parse::<SocketAddr>().expect("an address").ip();
        assert_eq!(host(&back.to), host(SENDER));
        assert_eq!(back.from, OURS[0]);
    }
});

/// A datagram that was sent.
struct Sent {
    from: String,
    to: String,
    payload: Vec<u8>,
}

/// A datagram comes; what goes out for it without the signaling plane.
fn pass(relay: &mut Relay, realm: u16, (from, to): (&str, &str), payload: &[u8]) -> Option<Sent> {
    let bytes = datagram(from, to, payload);
    let mut buffer = vec![0; HEADROOM + bytes.len() + 1_024];
    buffer[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(&bytes);
    let received = RxChecksums { ip: Checksum::Good, udp: Checksum::Absent };
    let mut frame = Frame::new(&mut buffer, HEADROOM, bytes.len(), received).expect("it is inside");
    let verdict = relay.receive(1, realm, &mut frame);
    let sent = match verdict {
        Verdict::SipRelayed { send: SipSend::Transmit { port, .. }, .. } => {
            assert_ne!(port, realm, "never back to the side that it came from");
            Some(read(frame.bytes()))
        }
        Verdict::SipRelayed { send: SipSend::TooLong, .. }
        | Verdict::Sip(_)
        | Verdict::Drop
        | Verdict::Exception { .. } => None,
        other => panic!("{other:?}"),
    };
    while relay.event().is_some() || relay.needed_next_hop().is_some() {}
    sent
}

fn read(bytes: &[u8]) -> Sent {
    let link = Ethernet::parse(bytes).expect("a frame");
    let ip = Ipv4::parse(link.payload()).expect("a packet");
    assert!(ip.checksum_ok());
    let udp = Udp::parse(ip.payload()).expect("a datagram");
    assert!(udp.checksum() != 0 && udp.checksum_ok(ip.address_sum()));
    Sent {
        from: format!("{}:{}", ip.source(), udp.source_port()),
        to: format!("{}:{}", ip.destination(), udp.destination_port()),
        payload: udp.payload().to_vec(),
    }
}

fn counter(relay: &Relay, name: &str) -> u64 {
    let found = relay.counters().iter().find(|(known, _)| *known == name);
    found.expect("a counter").1
}

fn message(method: &str, branch: &str, rest: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {SENDER};branch={branch};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: 1@example.com\r\nCSeq: 1 {method}\r\n"
    );
    [head.as_bytes(), rest].concat()
}

fn datagram(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = [from, to].map(|text| text.parse().expect("an address"));
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { panic!("IPv4") };
    let length = u16::try_from(8 + payload.len()).expect("it fits");
    let link = EthernetRepr { destination: MAC, source: PEER, tag: None, ethertype: ethernet::IPV4 };
    let ip = Ipv4Repr {
        source: *from.ip(),
        destination: *to.ip(),
        traffic_class: 0,
        id: 1,
        dont_fragment: true,
        ttl: 64,
        protocol: tandem_wire::udp::PROTOCOL,
        payload_len: length,
        checksum_offloaded: false,
    };
    let udp = UdpRepr {
        source_port: from.port(),
        destination_port: to.port(),
        length,
        checksum: 0,
    };
    let mut bytes = vec![0; 14 + 20 + usize::from(length)];
    let rest = link.emit(&mut bytes).expect("room");
    let rest = ip.emit(rest).expect("room");
    udp.emit(rest).expect("room").copy_from_slice(payload);
    bytes
}

fn relay() -> Relay {
    let port = PortConfig { mac: MAC, mtu: 1_500, offloads: TxOffloads::default() };
    let realm = |port: u16, sip: &str| RealmConfig {
        port,
        vlan: None,
        sip: vec![sip.parse().expect("an address")],
        media: vec![],
        media_ports: 30_000..=30_099,
    };
    let mut relay = Relay::new(RelayConfig {
        worker: 0,
        slots: SlotTable::deal(&[0]),
        ports: vec![port, port],
        realms: vec![realm(0, OURS[0]), realm(1, OURS[1])],
        sip_dscp: 24,
        learning_ns: 1,
        max_flows: 4,
        seed: [0; 16],
        police: Default::default(),
    })
    .expect("a configuration");
    let mut forwarding = Forwarding::builder(1, 2);
    for (realm, far) in [(0, SENDER), (1, TARGETS[0]), (1, TARGETS[1])] {
        let far: SocketAddr = far.parse().expect("an address");
        forwarding.route(realm, far.ip(), 24, 0, None, 1).neighbour(realm, far.ip(), PEER);
    }
    relay.set_forwarding(Arc::new(forwarding.build()));
    let target = |address: &str| StatelessTarget {
        address: address.parse().expect("an address"),
        realm: 1,
        weight: 1,
        up: true,
        place: address.as_bytes().to_vec(),
    };
    let spec = StatelessSpec {
        realms: vec![0],
        record_route: true,
        key: [7; 16],
        hash: (1, 2),
        senders: vec![("198.51.100.0".parse().expect("an address"), 24)],
        targets: TARGETS.map(target).to_vec(),
    };
    let ours = OURS.map(|ours| vec![ours.parse().expect("an address")]);
    let stateless = Stateless::new(&spec, &ours).expect("it makes sense");
    relay.set_stateless(0, Some(Arc::new(stateless)));
    relay
}
