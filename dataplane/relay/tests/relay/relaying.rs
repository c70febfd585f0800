//! Packets through a flow pair.

use std::sync::Arc;

use tandem_link::{Event, FlowKind, SlotTable};
use tandem_relay::{Checksum, Frame, RxChecksums, TxChecksums, TxOffloads, Verdict};

use crate::lab::*;

#[test]
fn rtp_is_rewritten_from_the_ethernet_header_to_the_ports() {
    let mut lab = Lab::with_flow();
    let packet = Packet {
        traffic_class: 0b10,
        ..Packet::to_a(&rtp(1))
    };
    let sent = lab.relays(&packet);
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    assert_eq!(
        (sent.port, sent.from_mac, sent.to_mac),
        (1, OUR_MACS[1], PEER)
    );
    assert_eq!(sent.tag, Some(5 << 13 | VLAN));
    assert_eq!(
        (sent.source, sent.destination),
        (socket("10.0.0.1:30128"), socket("10.0.0.10:5000"))
    );
    // EF, and the sender's congestion bits.
    assert_eq!((sent.traffic_class, sent.ttl), (46 << 2 | 0b10, 64));
    assert_eq!((sent.dont_fragment, sent.id), (true, 0));
    assert_eq!(sent.payload, rtp(1));
    assert_eq!(sent.checksums, TxChecksums::default());

    let back = lab.relays(&Packet::to_b(&rtp(500)));
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    assert_eq!((back.port, back.tag, back.from_mac), (0, None, OUR_MACS[0]));
    assert_eq!(
        (back.source, back.destination),
        (socket("192.0.2.1:30000"), socket("192.0.2.10:4000"))
    );

    lab.relays(&Packet::to_a(&rtp(2)));
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172)]);
    let report = lab.report();
    assert_eq!(
        (report.a.rtp.packets, report.a.rtp.bytes, report.a.rtp.lost),
        (2, 344, 0)
    );
    assert_eq!(
        (report.b.rtp.packets, report.b.rtp.last_seen_ms),
        (1, Some(0))
    );
}

#[test]
fn ipv4_becomes_ipv6_and_the_other_way_round() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.b = leg(1, "2001:db8:2::1", PORTS[1], "[2001:db8:2::10]:5000");
    lab.put(&spec);
    let sent = lab.relays(&Packet::to_a(&rtp(1)));
    assert_eq!(sent.source, socket("[2001:db8:2::1]:30128"));
    assert_eq!(sent.destination, socket("[2001:db8:2::10]:5000"));
    assert_eq!(
        (sent.tag, sent.ttl, sent.payload),
        (Some(5 << 13 | VLAN), 64, rtp(1))
    );
    let six = Packet::new("[2001:db8:2::10]:5000", "[2001:db8:2::1]:30128", &rtp(1));
    let back = lab.relays(&Packet {
        traffic_class: 3,
        ..six
    });
    assert_eq!(
        (back.source, back.destination),
        (socket("192.0.2.1:30000"), socket("192.0.2.10:4000"))
    );
    assert_eq!(
        (back.traffic_class, back.dont_fragment, back.payload),
        (46 << 2 | 3, false, rtp(1))
    );
    lab.moved(&[("relayed", 2), ("relayed_bytes", 344), ("latched", 2)]);
}

#[test]
fn ipv6_stays_ipv6() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a = leg(0, "2001:db8:1::1", PORTS[0], "[2001:db8:1::10]:4000");
    spec.b = leg(1, "2001:db8:2::1", PORTS[1], "[2001:db8:2::10]:5000");
    lab.put(&spec);
    let sent = lab.relays(&Packet::new(
        "[2001:db8:1::10]:4000",
        "[2001:db8:1::1]:30000",
        &rtp(1),
    ));
    assert_eq!(sent.destination, socket("[2001:db8:2::10]:5000"));
}

#[test]
fn a_packet_that_may_be_fragmented_stays_so_and_gets_its_own_identification() {
    let mut lab = Lab::with_flow();
    let packet = Packet {
        dont_fragment: false,
        ..Packet::to_a(&rtp(1))
    };
    let (first, second) = (lab.relays(&packet), lab.relays(&packet));
    assert!(!first.dont_fragment && !second.dont_fragment && first.id != second.id);
}

#[test]
fn a_packet_without_checksum_gets_one_and_a_wrong_one_is_dropped() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet {
        udp_checksum: Some(0),
        ..Packet::to_a(&rtp(1))
    });
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    let wrong = Packet {
        udp_checksum: Some(0xbad),
        ..Packet::to_a(&rtp(2))
    };
    lab.drops(0, &wrong.bytes(), "drop_udp_checksum");
    let mut bytes = Packet::to_a(&rtp(3)).bytes();
    bytes[14 + 8] ^= 1; // TTL
    lab.drops(0, &bytes, "drop_ip4_checksum");
}

#[test]
fn what_the_device_says_of_checksums_is_believed() {
    let mut lab = Lab::with_flow();
    let fine = Packet::to_a(&rtp(1));
    let bad_udp = RxChecksums {
        ip: Checksum::Good,
        udp: Checksum::Bad,
    };
    assert_eq!(lab.receive_as(0, &fine.bytes(), bad_udp).0, Verdict::Drop);
    lab.moved(&[("drop_udp_checksum", 1)]);
    let bad_ip = RxChecksums {
        ip: Checksum::Bad,
        udp: Checksum::Good,
    };
    assert_eq!(lab.receive_as(0, &fine.bytes(), bad_ip).0, Verdict::Drop);
    lab.moved(&[("drop_ip4_checksum", 1)]);
    lab.relays_as(&fine, all(Checksum::Good));
    // A virtual device left it out: what stands there is worthless, and a right one is sent.
    let partial = Packet {
        udp_checksum: Some(0x1234),
        ..fine
    };
    lab.relays_as(&partial, all(Checksum::Absent));
    lab.moved(&[("relayed", 2), ("relayed_bytes", 344), ("latched", 1)]);
}

#[test]
fn a_good_packet_keeps_its_senders_protection_of_the_payload() {
    let mut lab = Lab::with_flow();
    // The device errs: the payload was damaged in our memory. The receiver must be able to see it.
    let mut bytes = Packet::to_a(&rtp(1)).bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x10;
    let (_, out) = lab.receive_as(0, &bytes, all(Checksum::Good));
    let link = tandem_wire::Ethernet::parse(&out).unwrap();
    let ip = tandem_wire::Ipv4::parse(link.payload()).unwrap();
    assert!(
        !tandem_wire::Udp::parse(ip.payload())
            .unwrap()
            .checksum_ok(ip.address_sum())
    );
}

#[test]
fn a_port_that_can_gets_the_checksums_to_do() {
    let mut lab = Lab::with(|config| {
        config.ports[1].offloads = TxOffloads {
            ipv4: true,
            udp: true,
        };
    });
    lab.put(&spec());
    let sent = lab.relays(&Packet::to_a(&rtp(1)));
    assert_eq!((sent.checksums.ipv4, sent.checksums.udp), (true, false));
    let sent = lab.relays(&Packet {
        udp_checksum: Some(0),
        ..Packet::to_a(&rtp(2))
    });
    assert_eq!((sent.checksums.ipv4, sent.checksums.udp), (true, true));
    // The other port cannot.
    let back = lab.relays(&Packet {
        udp_checksum: Some(0),
        ..Packet::to_b(&rtp(2))
    });
    assert_eq!(back.checksums, TxChecksums::default());
}

#[test]
fn ethernet_padding_is_left_behind() {
    let mut lab = Lab::with_flow();
    let mut bytes = Packet::to_a(&rtp(1)[..12]).bytes();
    bytes.resize(64, 0xee);
    let (verdict, out) = lab.receive_as(0, &bytes, RxChecksums::default());
    let Verdict::Transmit {
        port, checksums, ..
    } = verdict
    else {
        panic!("{verdict:?}")
    };
    assert_eq!(sent(port, checksums, &out).payload.len(), 12);
}

#[test]
fn too_long_for_the_other_port_or_for_the_buffer() {
    let mut lab = Lab::with(|config| config.ports[1].mtu = 199);
    lab.put(&spec());
    lab.relays(&Packet::to_a(&rtp(1)[..171]));
    lab.moved(&[("relayed", 1), ("relayed_bytes", 171), ("latched", 1)]);
    lab.drops(0, &Packet::to_a(&rtp(2)).bytes(), "drop_too_long");

    let mut bytes = Packet::to_a(&rtp(3)[..100]).bytes();
    let length = bytes.len();
    let mut frame = Frame::new(&mut bytes, 0, length, RxChecksums::default()).unwrap();
    assert_eq!(lab.relay.receive(lab.now, 0, &mut frame), Verdict::Drop);
    assert_eq!((frame.start(), frame.len()), (0, length));
    lab.moved(&[("drop_no_headroom", 1)]);
}

#[test]
fn rtcp_goes_by_its_own_ports_or_the_same_as_the_peer_wants() {
    let mut lab = Lab::new();
    let mut spec = spec();
    lab.put(&spec);
    let odd = Packet::to_a(&RTCP)
        .from("192.0.2.10:4001")
        .to("192.0.2.1:30001");
    let sent = lab.relays(&odd);
    assert_eq!(
        (sent.source.port(), sent.destination),
        (30_129, socket("10.0.0.10:5001"))
    );
    // A peer that multiplexes sends RTCP to the even port; the other one wants it apart.
    let even = lab.relays(&Packet::to_a(&RTCP));
    assert_eq!(
        (even.source.port(), even.destination),
        (30_129, socket("10.0.0.10:5001"))
    );
    lab.moved(&[
        ("relayed", 2),
        ("relayed_bytes", 16),
        ("relayed_rtcp", 2),
        ("latched", 2),
    ]);
    let report = lab.report();
    assert_eq!(
        (
            report.a.rtcp.packets,
            report.a.rtcp.bytes,
            report.a.rtp.packets
        ),
        (2, 16, 0)
    );
    assert_eq!(report.a.latched_rtcp, Some(socket("192.0.2.10:4001")));

    spec.b.remote_rtcp = spec.b.remote;
    lab.put(&spec);
    let sent = lab.relays(&odd);
    assert_eq!(
        (sent.source.port(), sent.destination),
        (30_128, socket("10.0.0.10:5000"))
    );
}

#[test]
fn rtcp_to_a_peer_behind_a_nat_goes_next_to_its_rtp_until_it_speaks() {
    let mut lab = Lab::with_flow();
    let rtcp_to_b = Packet::to_b(&RTCP)
        .from("10.0.0.10:5001")
        .to("10.0.0.1:30129");
    assert_eq!(
        lab.relays(&rtcp_to_b).destination,
        socket("192.0.2.10:4001")
    );
    lab.relays(&Packet::to_a(&rtp(1)).from("198.51.100.7:61000"));
    assert_eq!(
        lab.relays(&rtcp_to_b).destination,
        socket("198.51.100.7:61001")
    );
    lab.relays(
        &Packet::to_a(&RTCP)
            .from("198.51.100.7:62345")
            .to("192.0.2.1:30001"),
    );
    assert_eq!(
        lab.relays(&rtcp_to_b).destination,
        socket("198.51.100.7:62345")
    );
}

#[test]
fn rtcp_without_an_address_of_its_own_goes_next_to_rtp() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a.remote_rtcp = None;
    lab.put(&spec);
    let rtcp_to_b = Packet::to_b(&RTCP)
        .from("10.0.0.10:5001")
        .to("10.0.0.1:30129");
    assert_eq!(
        lab.relays(&rtcp_to_b).destination,
        socket("192.0.2.10:4001")
    );
}

#[test]
fn what_is_not_rtp_or_rtcp_has_its_counters() {
    let mut lab = Lab::with_flow();
    let stun = [
        0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut padded = rtp(1);
    padded[0] = 0xa0;
    padded[171] = 200;
    for (payload, counter) in [
        (&stun[..], "drop_rtp_version"),
        (&[], "drop_rtp_truncated"),
        (&rtp(1)[..11], "drop_rtp_truncated"),
        (&padded, "drop_rtp_padding"),
        (&RTCP[..7], "drop_rtcp_truncated"),
    ] {
        lab.drops(0, &Packet::to_a(payload).bytes(), counter);
    }
    for (payload, counter) in [
        (&rtp(1)[..], "drop_rtcp_type"),
        (&[0x80, 0, 0, 0], "drop_rtcp_type"),
        (&[], "drop_rtcp_truncated"),
        (&RTCP[..6], "drop_rtcp_truncated"),
        (&stun, "drop_rtcp_version"),
    ] {
        lab.drops(
            0,
            &Packet::to_a(payload).to("192.0.2.1:30001").bytes(),
            counter,
        );
    }
    // None of it latched.
    assert_eq!(
        (lab.report().a.latched, lab.report().a.latched_rtcp),
        (None, None)
    );
}

#[test]
fn raw_media_is_relayed_unparsed() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.kind = FlowKind::Raw;
    lab.put(&spec);
    let udptl = [0, 1, 5, 1, 2, 3];
    assert_eq!(lab.relays(&Packet::to_a(&udptl)).payload, udptl);
    assert_eq!(lab.relays(&Packet::to_a(&[])).payload, []);
    lab.moved(&[("relayed", 2), ("relayed_bytes", 6), ("latched", 1)]);
    lab.drops(
        0,
        &Packet::to_a(&RTCP).to("192.0.2.1:30001").bytes(),
        "drop_raw_odd_port",
    );
    // T.38 becomes speech again.
    spec.kind = FlowKind::Rtp;
    lab.put(&spec);
    lab.drops(0, &Packet::to_a(&udptl).bytes(), "drop_rtp_version");
    lab.relays(&Packet::to_a(&rtp(1)));
}

#[test]
fn loss_is_what_the_sender_counted_more_than_we_saw() {
    let mut lab = Lab::with_flow();
    for sequence in [65_534, 65_535, 2, 1, 3] {
        lab.relays(&Packet::to_a(&rtp(sequence)));
        lab.now += 20_000_000;
    }
    let stats = lab.report().a.rtp;
    assert_eq!(
        (
            stats.packets,
            stats.lost,
            stats.reordered,
            stats.last_seen_ms
        ),
        (5, 1, 1, Some(20))
    );
}

#[test]
fn without_a_way_there_is_a_counter_and_the_next_hop_is_asked_for() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.b.remote = None;
    spec.b.remote_rtcp = None;
    lab.put(&spec);
    let packet = Packet::to_a(&rtp(1));
    assert_eq!(lab.receive(0, &packet.bytes()), Verdict::Drop);
    lab.moved(&[("drop_no_destination", 1), ("latched", 1)]);
    // It counts as heard, not as relayed.
    let stats = lab.report().a.rtp;
    assert_eq!((stats.packets, stats.last_seen_ms), (0, Some(0)));

    for (remote, counter) in [
        ("203.0.113.1:5000", "drop_no_route"),
        ("10.0.0.1:5000", "drop_destination_local"),
        ("10.0.0.11:5000", "drop_next_hop_unresolved"),
    ] {
        spec.b.remote = Some(socket(remote));
        lab.put(&spec);
        lab.drops(0, &packet.bytes(), counter);
    }
    assert_eq!(lab.relay.needed_next_hop(), Some((1, ip("10.0.0.11"))));
    lab.drops(0, &packet.bytes(), "drop_next_hop_unresolved");
    assert_eq!(lab.relay.needed_next_hop(), None);
    lab.now += SECOND;
    lab.drops(0, &packet.bytes(), "drop_next_hop_unresolved");
    assert_eq!(lab.relay.needed_next_hop(), Some((1, ip("10.0.0.11"))));

    let mut builder = forwarding(2);
    builder.neighbour(1, ip("10.0.0.11"), [6; 6]);
    lab.relay.set_forwarding(Arc::new(builder.build()));
    assert_eq!(lab.relays(&packet).to_mac, [6; 6]);
}

#[test]
fn a_next_hop_is_asked_for_before_the_first_packet() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.b.remote = Some(socket("10.0.0.11:5000"));
    lab.put(&spec);
    assert_eq!(lab.relay.needed_next_hop(), Some((1, ip("10.0.0.11"))));
    spec.b.remote = Some(socket("10.0.0.12:5000"));
    lab.put(&spec);
    assert_eq!(lab.relay.needed_next_hop(), Some((1, ip("10.0.0.12"))));
    assert_eq!(lab.relay.needed_next_hop(), None);
}

#[test]
fn a_next_hop_in_use_is_asked_for_once_and_a_new_snapshot_is_followed() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.relays(&Packet::to_a(&rtp(2)));
    assert_eq!(lab.relay.needed_next_hop(), Some((1, ip("10.0.0.10"))));
    assert_eq!(lab.relay.needed_next_hop(), None);
    let mut builder = forwarding(2);
    builder.neighbour(1, ip("10.0.0.10"), [8; 6]);
    lab.relay.set_forwarding(Arc::new(builder.build()));
    assert_eq!(lab.relays(&Packet::to_a(&rtp(3))).to_mac, [8; 6]);
    lab.relay.set_forwarding(Arc::default());
    lab.moved(&[("relayed", 3), ("relayed_bytes", 516), ("latched", 1)]);
    lab.drops(0, &Packet::to_a(&rtp(4)).bytes(), "drop_no_route");
}

#[test]
fn a_peer_behind_the_gateway_is_reached_by_it() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)).from("198.51.100.7:61000"));
    let back = lab.relays(&Packet::to_b(&rtp(1)));
    assert_eq!(
        (back.to_mac, back.destination),
        (GATEWAY, socket("198.51.100.7:61000"))
    );
}

#[test]
fn a_packet_on_the_wrong_worker_is_handed_to_its_owner() {
    // Port 30000 has slot 24, port 30128 too.
    let slots = SlotTable::deal(&[1]);
    let mut wrong = Lab::with(|config| config.slots = slots.clone());
    let mut owner = Lab::with(|config| {
        config.slots = slots;
        config.worker = 1;
    });
    owner.put(&spec());
    let packet = Packet::to_a(&rtp(1));
    let (verdict, bytes) = wrong.receive_as(0, &packet.bytes(), RxChecksums::default());
    let hand_off = Verdict::HandOff {
        worker: 1,
        port: 0,
        passes: 0,
    };
    assert_eq!(verdict, hand_off);
    assert_eq!(bytes, packet.bytes());
    wrong.moved(&[("handed_over", 1)]);

    let mut buffer = vec![0; 2048];
    buffer[128..128 + bytes.len()].copy_from_slice(&bytes);
    let mut frame = Frame::new(&mut buffer, 128, bytes.len(), RxChecksums::default()).unwrap();
    let verdict = owner.relay.received_by_hand_off(0, 0, 0, &mut frame);
    assert!(
        matches!(verdict, Verdict::Transmit { port: 1, .. }),
        "{verdict:?}"
    );
    owner.moved(&[
        ("taken_over", 1),
        ("relayed", 1),
        ("relayed_bytes", 172),
        ("latched", 1),
    ]);

    // Tables that differ must not send a packet round in circles.
    let mut frame = Frame::new(&mut buffer, 128, 0, RxChecksums::default()).unwrap();
    assert!(frame.is_empty());
    assert_eq!(
        owner.relay.received_by_hand_off(0, 0, 0, &mut frame),
        Verdict::Drop
    );
    owner.moved(&[("drop_eth_truncated", 1)]);
    wrong.buffer[128..128 + bytes.len()].copy_from_slice(&bytes);
    let mut frame =
        Frame::new(&mut wrong.buffer, 128, bytes.len(), RxChecksums::default()).unwrap();
    assert_eq!(
        wrong.relay.received_by_hand_off(0, 0, 0, &mut frame),
        Verdict::Drop
    );
    wrong.moved(&[("taken_over", 1), ("drop_no_flow", 1)]);
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let mut lab = Lab::with_flow();
    let id = spec().id;
    let cookie = spec().cookie;
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.events();
    let heard = lab.now;
    let expire = |lab: &mut Lab, at: u64| {
        for step in 0..4 {
            lab.relay.expire(at + step * SECOND / 2, 32);
        }
        lab.events()
    };
    assert_eq!(expire(&mut lab, heard + 57 * SECOND), []);
    assert_eq!(
        expire(&mut lab, heard + 60 * SECOND),
        [Event::MediaTimeout { flow: id, cookie }]
    );
    assert!(lab.report().idle);
    assert_eq!(expire(&mut lab, heard + 300 * SECOND), []);
    lab.now = heard + 300 * SECOND;
    lab.relays(&Packet::to_a(&rtp(2)));
    assert_eq!(lab.events(), [Event::MediaResumed { flow: id, cookie }]);
    assert!(!lab.report().idle);
    lab.moved(&[
        ("relayed", 2),
        ("relayed_bytes", 344),
        ("latched", 1),
        ("media_timeout", 1),
        ("media_resumed", 1),
    ]);
}

#[test]
fn a_call_on_hold_has_its_own_limit_and_none_is_none() {
    let mut lab = Lab::new();
    let mut spec = spec();
    let expire = |lab: &mut Lab, at: u64| {
        for step in 0..4 {
            lab.relay.expire(at + step * SECOND / 2, 32);
        }
        lab.events().len()
    };
    spec.timeout_s = 0;
    lab.put(&spec);
    assert_eq!(expire(&mut lab, 10_000 * SECOND), 0);
    spec.timeout_s = 3600;
    lab.now = 20_000 * SECOND;
    lab.put(&spec);
    assert_eq!(expire(&mut lab, 23_500 * SECOND), 0);
    // Back from hold after nearly an hour: the new limit counts from now.
    spec.timeout_s = 60;
    lab.now = 23_550 * SECOND;
    lab.put(&spec);
    assert_eq!(expire(&mut lab, 23_600 * SECOND), 0);
    // The same specification again does not prolong it.
    lab.now = 23_605 * SECOND;
    lab.put(&spec);
    assert_eq!(expire(&mut lab, 23_612 * SECOND), 1);
}

#[test]
fn looking_at_a_burst_first_decides_the_same() {
    let (mut at_once, mut in_halves) = (Lab::with_flow(), Lab::with_flow());
    let stranger = Packet::to_a(&rtp(2)).from("192.0.2.66:4000");
    let sip = Packet::new("192.0.2.10:5060", "192.0.2.1:5060", b"x");
    let packets = [Packet::to_a(&rtp(1)), stranger, Packet::to_b(&rtp(1)), sip];
    let looks = packets
        .each_ref()
        .map(|p| in_halves.relay.look(p.port(), &p.bytes()));
    for (packet, look) in packets.iter().zip(looks) {
        let (verdict, out) = at_once.receive_as(packet.port(), &packet.bytes(), Default::default());
        let mut buffer = vec![0; 2176];
        let length = packet.bytes().len();
        buffer[HEADROOM..HEADROOM + length].copy_from_slice(&packet.bytes());
        let mut frame = Frame::new(&mut buffer, HEADROOM, length, Default::default()).unwrap();
        assert_eq!(
            in_halves.relay.decide(in_halves.now, &mut frame, look),
            verdict
        );
        assert_eq!(frame.bytes(), out);
    }
    assert_eq!(at_once.relay.counters(), in_halves.relay.counters());
    assert_eq!(at_once.report(), in_halves.report());
}
