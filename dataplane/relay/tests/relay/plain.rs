//! Nearly every packet goes a short way. It comes to the same as the general one.

use proptest::prelude::*;
use tandem_relay::{Checksum, Frame, RxChecksums, Verdict};

use crate::lab::*;

/// Gives a lab a frame by the general way: whoever saw nothing of a frame assumes nothing of it.
fn in_general(
    lab: &mut Lab,
    packet: &Packet,
    bytes: &[u8],
    received: RxChecksums,
) -> (Verdict, Vec<u8>) {
    lab.buffer[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
    let mut frame = Frame::new(&mut lab.buffer, HEADROOM, bytes.len(), received).unwrap();
    let nothing = lab.relay.look(packet.port(), &[]);
    let verdict = lab.relay.decide(lab.now, &mut frame, nothing);
    (verdict, frame.bytes().to_vec())
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop_oneof![
        3 => Just(Checksum::Good),
        3 => Just(Checksum::Unknown),
        1 => Just(Checksum::Absent),
        1 => Just(Checksum::Bad)
    ]
}

/// A packet, and how long after the one before it comes.
#[derive(Clone, Debug)]
struct Step {
    packet: Packet,
    received: RxChecksums,
    damage: Option<(usize, u8)>,
    padding: usize,
    wait: u64,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let sequence = prop_oneof![8 => 1u16..40, 1 => any::<u16>()];
    let first = prop_oneof![
        8 => Just(0x80u8), 1 => Just(0x90), 1 => Just(0xa0), 1 => Just(0x82), 1 => any::<u8>()
    ];
    let second = prop_oneof![6 => Just(0u8), 1 => Just(0x80), 1 => Just(101), 1 => any::<u8>()];
    prop_oneof![
        12 => (sequence, first, second).prop_map(|(sequence, first, second)| {
            let mut bytes = rtp(sequence);
            (bytes[0], bytes[1]) = (first, second);
            bytes
        }),
        1 => Just(RTCP.to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        // Above the MTU, with its headers.
        1 => Just([rtp(1), vec![1; 1310]].concat()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ends = prop_oneof![
        10 => Just(("192.0.2.10:4000", "192.0.2.1:30000")),
        10 => Just(("10.0.0.10:5000", "10.0.0.1:30128")),
        1 => Just(("192.0.2.10:4001", "192.0.2.1:30001")),
        1 => Just(("192.0.2.66:4000", "192.0.2.1:30000")),
        1 => Just(("192.0.2.10:4000", "192.0.2.1:30002")),
        1 => Just(("192.0.2.10:4000", "192.0.2.1:30004")),
        1 => Just(("224.0.0.1:4000", "192.0.2.1:30000")),
    ];
    let damage = prop_oneof![6 => Just(None), 1 => (0usize..60, any::<u8>()).prop_map(Some)];
    let wait = prop_oneof![8 => Just(SECOND / 50), 1 => Just(4 * SECOND), 1 => Just(70 * SECOND)];
    (
        (
            ends,
            payload(),
            any::<u8>(),
            any::<bool>(),
            prop_oneof![9 => Just(None), 1 => Just(Some(0))],
        ),
        (checksum(), checksum(), damage, 0usize..8, wait),
    )
        .prop_map(
            |((ends, payload, traffic_class, dont_fragment, udp_checksum), rest)| {
                let (ip, udp, damage, padding, wait) = rest;
                let packet = Packet {
                    traffic_class,
                    dont_fragment,
                    udp_checksum,
                    ..Packet::new(ends.0, ends.1, &payload)
                };
                let received = RxChecksums { ip, udp };
                Step {
                    packet,
                    received,
                    damage,
                    padding,
                    wait,
                }
            },
        )
}

/// With a second flow, from IPv4 to IPv6.
fn lab(offload: bool) -> Lab {
    let mut lab = Lab::with(|config| {
        for port in &mut config.ports {
            port.offloads.ipv4 = offload;
        }
    });
    let mut limited = spec();
    limited.a.event_type = Some(101);
    limited.limit = tandem_link::RateLimit::per_second(20, 0);
    lab.put(&limited);
    let mut mixed = spec();
    mixed.id = tandem_link::FlowId(8);
    mixed.a.port += 2;
    mixed.b = leg(1, "2001:db8:2::1", PORTS[1] + 2, "[2001:db8:2::10]:5000");
    lab.put(&mixed);
    lab
}

proptest! {
    #[test]
    fn the_short_way_is_the_general_one(
        steps in proptest::collection::vec(step(), 1..40), offload: bool,
    ) {
        let (mut short, mut general) = (lab(offload), lab(offload));
        for step in steps {
            let mut bytes = step.packet.bytes();
            if let Some((at, value)) = step.damage {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.resize(bytes.len() + step.padding, 0);
            for lab in [&mut short, &mut general] {
                lab.now += step.wait;
                lab.relay.expire(lab.now, 32);
            }
            prop_assert_eq!(
                short.receive_as(step.packet.port(), &bytes, step.received),
                in_general(&mut general, &step.packet, &bytes, step.received)
            );
            prop_assert_eq!(short.relay.counters(), general.relay.counters());
            prop_assert_eq!(short.report(), general.report());
            prop_assert_eq!(short.events(), general.events());
        }
    }
}
