//! Millions of random and damaged frames: nothing panics, each one is in exactly one named counter, and what is sent is right
//! to the last bit. `TANDEM_FRAMES` says how many; the same through the whole daemon is in its own tests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod frames;
#[path = "relay/independent.rs"]
mod independent;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use frames::{Frames, LONGEST, Random, Target};
use tandem_link::{
    Cookie, FlowId, FlowKind, FlowSpec, LegSpec, MediaKind, SlotTable, StatelessSpec,
    StatelessTarget,
};
use tandem_relay::{
    Checksum, Forwarding, Frame, PortConfig, RealmConfig, Relay, RelayConfig, RxChecksums, SipSend,
    Stateless, TxChecksums, TxOffloads, Verdict,
};

const FRAMES: u64 = 20_000_000;
const BURST: u64 = 32;
const HEADROOM: usize = 128;
const SECOND: u64 = 1_000_000_000;
/// Of the flows between the two realms, on both sides; the second is another worker's.
const PORTS: [u16; 3] = [30_000, 30_002, 30_004];

/// Realm 0 is untagged, realm 1 has a VLAN.
fn target(realm: u8) -> Target {
    let v4 = |host| Ipv4Addr::new(10, 1 + realm, 0, host);
    let v6 = |host| Ipv6Addr::new(0xfd00, 1 + u16::from(realm), 0, 0, 0, 0, 0, host);
    Target {
        mac: [2, 0, 0, 0, 0, realm],
        vlan: (realm == 1).then_some(100),
        v4: v4(1),
        v6: v6(1),
        peer_mac: [4, 0, 0, 0, 0, realm],
        peer_v4: v4(10),
        peer_v6: v6(10),
        flows: PORTS.map(|port| (port - 10_000, port)).to_vec(),
    }
}

fn relay() -> Relay {
    let realm = |index: u8| {
        let target = target(index);
        let both: [IpAddr; 2] = [target.v4.into(), target.v6.into()];
        RealmConfig {
            port: index.into(),
            vlan: target.vlan,
            sip: both.map(|ip| SocketAddr::new(ip, 5060)).to_vec(),
            media: both.to_vec(),
            media_ports: 30_000..=39_999,
        }
    };
    let port = |index| PortConfig {
        mac: target(index).mac,
        mtu: 1500,
        offloads: TxOffloads {
            ipv4: index == 1,
            udp: index == 1,
        },
    };
    let mut relay = Relay::new(RelayConfig {
        worker: 0,
        slots: SlotTable::deal(&[0, 1]),
        ports: vec![port(0), port(1)],
        realms: vec![realm(0), realm(1)],
        sip_dscp: 24,
        learning_ns: SECOND,
        max_flows: 16,
        seed: [7; 16],
        police: tandem_relay::PoliceConfig::default(),
    })
    .unwrap();
    let mut builder = Forwarding::builder(1, 2);
    for realm in 0..2 {
        let target = target(realm as u8);
        let ends: [(IpAddr, IpAddr, u8); 2] = [
            (target.v4.into(), target.peer_v4.into(), 24),
            (target.v6.into(), target.peer_v6.into(), 64),
        ];
        for (ours, peer, width) in ends {
            builder.address(realm, ours);
            builder.route(realm, peer, width, 0, None, 1);
            builder.neighbour(realm, peer, target.peer_mac);
        }
    }
    relay.set_forwarding(Arc::new(builder.build()));
    // What SIP is good enough is relayed from realm 0 to a target in realm 1.
    let spec = StatelessSpec {
        realms: vec![0],
        record_route: true,
        senders: vec![(target(0).peer_v4.into(), 32)],
        targets: vec![StatelessTarget {
            address: SocketAddr::new(target(1).peer_v4.into(), 5060),
            realm: 1,
            weight: 1,
            up: true,
            place: Vec::new(),
        }],
        ..StatelessSpec::default()
    };
    let sip = [0, 1].map(|index| realm(index).sip);
    let stateless = Stateless::new(&spec, &sip).unwrap();
    relay.set_stateless(0, Some(Arc::new(stateless)));
    relay
}

/// A flow between the realms; of one version of IP in each, or of two.
fn flow(id: u64, port: u16, v4: [bool; 2], kind: FlowKind) -> FlowSpec {
    let leg = |realm: u16| {
        let target = target(realm as u8);
        let (local, peer): (IpAddr, IpAddr) = if v4[usize::from(realm)] {
            (target.v4.into(), target.peer_v4.into())
        } else {
            (target.v6.into(), target.peer_v6.into())
        };
        LegSpec {
            realm,
            local,
            port,
            remote: Some(SocketAddr::new(peer, port - 10_000)),
            remote_rtcp: Some(SocketAddr::new(peer, port - 9_999)),
            latched: None,
            latched_rtcp: None,
            learn: 1,
            dscp: 46,
            strict: false,
            event_type: None,
        }
    };
    FlowSpec {
        id: FlowId(id),
        cookie: Cookie(id),
        kind,
        media: MediaKind::Audio,
        clock_rate: 8000,
        a: leg(0),
        b: leg(1),
        timeout_s: 60,
        limit: tandem_link::RateLimit::default(),
    }
}

fn put_flows(relay: &mut Relay, now: u64) {
    for (id, port, v4, kind) in [
        (1, PORTS[0], [true, true], FlowKind::Rtp),
        (2, PORTS[0], [false, false], FlowKind::Rtp),
        (3, PORTS[2], [true, false], FlowKind::Raw),
        (4, PORTS[2], [false, true], FlowKind::Rtp),
    ] {
        relay.put_flow(now, &flow(id, port, v4, kind)).unwrap();
    }
}

fn received(random: &mut Random) -> RxChecksums {
    let checksum = |kind| match kind {
        0 => Checksum::Absent,
        1 => Checksum::Bad,
        _ => Checksum::Unknown,
    };
    RxChecksums {
        ip: checksum(random.below(40)),
        udp: checksum(random.below(8)),
    }
}

/// Gives the relay a frame, and looks at what becomes of it.
fn give(
    relay: &mut Relay,
    now: u64,
    port: u16,
    bytes: &[u8],
    received: RxChecksums,
    buffer: &mut [u8],
) -> u64 {
    let end = HEADROOM + bytes.len();
    buffer[HEADROOM..end].copy_from_slice(bytes);
    let mut frame = Frame::new(buffer, HEADROOM, bytes.len(), received).unwrap();
    match relay.receive(now, port, &mut frame) {
        Verdict::Transmit {
            checksums, port, ..
        } => {
            let seen = independent::see(checksums, frame.bytes()).unwrap_or_else(|error| {
                panic!("{error}: {bytes:02x?} was sent as {:02x?}", frame.bytes())
            });
            assert!(checksums == TxChecksums::default() || port == 1);
            assert_eq!(
                seen.macs,
                [target(port as u8).mac, target(port as u8).peer_mac]
            );
            assert_eq!((seen.vlan, seen.ttl), (target(port as u8).vlan, 64));
            assert!(bytes.ends_with(&seen.payload) || contains(bytes, &seen.payload));
            return 1;
        }
        Verdict::Sip(meta) => assert!(meta.payload.start > HEADROOM && meta.payload.end <= end),
        Verdict::SipRelayed {
            send,
            source,
            destination,
            ..
        } => {
            let SipSend::Transmit { port, checksums } = send else {
                return 0;
            };
            let seen = independent::see(checksums, frame.bytes()).unwrap();
            assert_eq!((seen.source, seen.destination), (source, destination));
            assert_eq!(seen.macs[0], target(port as u8).mac);
        }
        Verdict::Exception { realm } => {
            assert!(realm < 2);
            let out = frame.bytes();
            assert!(out == bytes || out.len() + 4 == bytes.len() && bytes[16..] == out[12..]);
        }
        Verdict::HandOff { worker, passes, .. } => assert_eq!((worker, passes), (1, 0)),
        Verdict::Drop => {}
    }
    0
}

/// Ethernet's padding is not relayed.
fn contains(bytes: &[u8], payload: &[u8]) -> bool {
    bytes
        .windows(payload.len().max(1))
        .any(|part| part == payload)
}

#[test]
fn every_frame_is_in_one_named_counter() {
    let frames = std::env::var("TANDEM_FRAMES");
    let frames: u64 = frames.map_or(FRAMES, |text| text.parse().unwrap());
    let mut relay = relay();
    let mut random = Random(1);
    let mut sources = [0, 1].map(|realm| Frames::new(1 + u64::from(realm), target(realm)));
    let mut bytes = Vec::with_capacity(LONGEST);
    let mut buffer = vec![0; HEADROOM + LONGEST + 128];
    let (mut given, mut relayed, mut now) = (0, 0, SECOND);
    while given < frames {
        now += SECOND / 1000;
        // Flows come and go meanwhile, and latches are opened again.
        if given % (64 * BURST) == 0 {
            put_flows(&mut relay, now);
        } else if given % (61 * BURST) == 0 {
            let _ = relay.remove_flow(now, FlowId(1 + random.below(4) as u64));
        }
        for _ in 0..BURST {
            // Now and then on the other port, and on one that is not there.
            let realm = random.below(2);
            let port = [0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 2][if random.below(64) == 0 {
                random.below(11)
            } else {
                realm
            }];
            sources[realm].next(&mut bytes);
            relayed += give(
                &mut relay,
                now,
                port,
                &bytes,
                received(&mut random),
                &mut buffer,
            );
            given += 1;
        }
        relay.expire(now, 32);
        while relay.event().is_some() {}
        while relay.needed_next_hop().is_some() {}
        let counted = relay.counters().received_sum();
        assert_eq!(counted, given, "a frame is in no counter, or in two");
    }
    assert_eq!(relay.counters().relayed, relayed);
    println!("{given} frames, {relayed} of them relayed:");
    for (name, value) in relay.counters().iter().filter(|(_, value)| *value > 0) {
        println!("{name} {value}");
    }
    // Whatever can be wrong with a header was.
    let headers = [
        "exception",
        "drop_eth",
        "drop_ip",
        "drop_udp",
        "drop_rtp",
        "drop_rtcp",
    ];
    for (name, value) in relay.counters().iter() {
        let seen = value > 0 || !headers.iter().any(|prefix| name.starts_with(prefix));
        assert!(seen, "no frame came to {name}");
    }
    assert!(relayed > frames / 40);
    let counters = relay.counters();
    assert!(counters.stateless_requests > 0 && counters.stateless_up_odd > 0);
}
