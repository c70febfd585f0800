//! Whatever comes: no panic, exactly one outcome is counted, and what is sent is in order.

use proptest::prelude::*;
use tandem_relay::{Checksum, RxChecksums, Verdict};

use crate::lab::*;

/// Gives a lab a frame and checks what must hold for any.
fn check(
    lab: &mut Lab,
    port: u16,
    bytes: &[u8],
    received: RxChecksums,
) -> Result<(), TestCaseError> {
    let before = lab.relay.counters().received_sum();
    let (verdict, out) = lab.receive_as(port, bytes, received);
    prop_assert_eq!(lab.relay.counters().received_sum(), before + 1);
    match verdict {
        Verdict::Transmit {
            port, checksums, ..
        } => {
            sent(port, checksums, &out);
        }
        Verdict::Exception { .. } => {
            // Untagged, and otherwise as it came.
            prop_assert!(
                bytes == out || bytes.len() == out.len() + 4 && bytes.ends_with(&out[12..])
            );
        }
        Verdict::Sip(meta) => prop_assert!(meta.payload.end <= HEADROOM + bytes.len()),
        Verdict::HandOff { .. } => prop_assert!(false, "there is one worker"),
        Verdict::SipRelayed { .. } => prop_assert!(false, "nobody asked for that"),
        Verdict::Drop => prop_assert_eq!(bytes, &out[..]),
    }
    Ok(())
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop_oneof![
        Just(Checksum::Unknown),
        Just(Checksum::Good),
        Just(Checksum::Absent),
        Just(Checksum::Bad)
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let payload = prop_oneof![
        (0u16..10).prop_map(rtp),
        Just(RTCP.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..1600),
    ];
    let ends = prop_oneof![
        Just(("192.0.2.10:4000", "192.0.2.1:30000")),
        Just(("192.0.2.10:4001", "192.0.2.1:30001")),
        Just(("10.0.0.10:5000", "10.0.0.1:30128")),
        Just(("[2001:db8:2::10]:5000", "[2001:db8:2::1]:30130")),
        Just(("192.0.2.10:5060", "192.0.2.1:5060")),
    ];
    (
        ends,
        payload,
        any::<u8>(),
        any::<bool>(),
        prop_oneof![Just(None), Just(Some(0))],
    )
        .prop_map(
            |((from, to), payload, traffic_class, dont_fragment, udp_checksum)| Packet {
                traffic_class,
                dont_fragment,
                udp_checksum,
                ..Packet::new(from, to, &payload)
            },
        )
}

/// With an IPv4 flow, and one from IPv4 to IPv6.
fn lab() -> Lab {
    let mut lab = Lab::with_flow();
    let mut mixed = spec();
    mixed.id = tandem_link::FlowId(8);
    mixed.a.port += 2;
    mixed.b = leg(1, "2001:db8:2::1", PORTS[1] + 2, "[2001:db8:2::10]:5000");
    lab.put(&mixed);
    lab
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..256), port in 0u16..3) {
        check(&mut lab(), port, &bytes, RxChecksums::default())?;
    }

    #[test]
    fn good_packets_in_any_order(
        packets in proptest::collection::vec((packet(), checksum(), checksum()), 1..20),
    ) {
        let mut lab = lab();
        for (packet, ip, udp) in packets {
            lab.now += SECOND / 4;
            check(&mut lab, packet.port(), &packet.bytes(), RxChecksums { ip, udp })?;
        }
    }

    #[test]
    fn packets_with_damage(
        packet in packet(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<proptest::sample::Index>(),
        cut_it: bool,
    ) {
        let mut bytes = packet.bytes();
        for (at, value) in damage {
            let at = at.index(bytes.len().min(80));
            bytes[at] = value;
        }
        if cut_it {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        // Checksums that nobody looked at let damage through to the deeper checks.
        check(&mut lab(), packet.port(), &bytes, all(Checksum::Absent))?;
        check(&mut lab(), packet.port(), &bytes, RxChecksums::default())?;
    }
}
