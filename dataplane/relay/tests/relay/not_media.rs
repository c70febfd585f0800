//! What is not for a flow: the kernel's, the signaling plane's, nobody's.

use std::sync::Arc;

use tandem_relay::{Frame, RxChecksums, SipSend, TxOffloads, Verdict};
use tandem_wire::{EthernetRepr, ethernet};

use crate::lab::*;

const OPTIONS: &[u8] = b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n";

/// A frame of another protocol.
fn other(port: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let tag = (port == 1).then_some(VLAN);
    let destination = OUR_MACS[usize::from(port)];
    let repr = EthernetRepr {
        destination,
        source: PEER,
        tag,
        ethertype,
    };
    let mut bytes = vec![0; repr.len() + payload.len()];
    repr.emit(&mut bytes).unwrap().copy_from_slice(payload);
    bytes
}

#[test]
fn what_is_not_udp_to_us_is_the_kernels() {
    let mut lab = Lab::with_flow();
    let mut icmp = Packet::to_a(&[]).bytes();
    icmp[14 + 9] = 1;
    let mut icmp6 = Packet::new("[2001:db8:1::10]:1", "[2001:db8:1::1]:30000", &[]).bytes();
    icmp6[14 + 6] = 58;
    let dns = Packet::new("192.0.2.10:53", "192.0.2.1:40000", b"x").bytes();
    let elsewhere = Packet::new("192.0.2.10:53", "192.0.2.99:30000", b"x").bytes();
    for frame in [
        other(0, 0x0806, &[0; 28]),
        other(0, 0x88cc, &[]),
        icmp,
        icmp6,
        dns,
        elsewhere,
    ] {
        let (verdict, bytes) = lab.receive_as(0, &frame, RxChecksums::default());
        assert_eq!((verdict, bytes), (Verdict::Exception { realm: 0 }, frame));
        lab.moved(&[("exception", 1)]);
    }
}

#[test]
fn the_kernel_gets_frames_without_their_tag() {
    let mut lab = Lab::new();
    let (verdict, bytes) = lab.receive_as(1, &other(1, 0x0806, b"arp"), RxChecksums::default());
    assert_eq!(verdict, Verdict::Exception { realm: 1 });
    let untagged = [&OUR_MACS[1][..], &PEER, &[0x08, 0x06], b"arp"].concat();
    assert_eq!(bytes, untagged);
    lab.moved(&[("exception", 1)]);
}

#[test]
fn broadcasts_are_the_kernels_but_media_to_all_is_nobodys() {
    let mut lab = Lab::with_flow();
    let mut arp = other(0, 0x0806, &[0; 28]);
    arp[..6].fill(0xff);
    assert_eq!(lab.receive(0, &arp), Verdict::Exception { realm: 0 });
    lab.moved(&[("exception", 1)]);
    let mut packet = Packet::to_a(&rtp(1));
    packet.destination_mac = [0xff; 6];
    lab.drops(0, &packet.bytes(), "drop_eth_group");
    let mut sip = Packet::new("192.0.2.10:5060", "192.0.2.1:5060", OPTIONS);
    sip.destination_mac = [0x01, 0, 0x5e, 0, 0, 1];
    lab.drops(0, &sip.bytes(), "drop_eth_group");
}

#[test]
fn fragments_and_options() {
    let mut lab = Lab::with_flow();
    let mut fragment = Packet::to_a(&rtp(1)).bytes();
    fragment[14 + 6] = 0x20;
    assert_eq!(lab.receive(0, &fragment), Verdict::Exception { realm: 0 });
    lab.moved(&[("exception_fragment", 1)]);
    let six = Packet::new("[2001:db8:1::10]:4000", "[2001:db8:1::1]:30000", &rtp(1)).bytes();
    for (next_header, counter) in [
        (44, "exception_fragment"),
        (0, "exception_ip6_extension"),
        (43, "exception_ip6_extension"),
    ] {
        let mut extended = six.clone();
        extended[14 + 6] = next_header;
        assert_eq!(lab.receive(0, &extended), Verdict::Exception { realm: 0 });
        lab.moved(&[(counter, 1)]);
    }
    // Four bytes of options: the payload begins there.
    let with_options = |packet: Packet| {
        let mut bytes = packet.bytes();
        bytes.splice(34..34, [1, 1, 1, 0]);
        bytes[14] = 0x46;
        bytes[14 + 3] += 4;
        bytes
    };
    lab.drops(0, &with_options(Packet::to_a(&rtp(1))), "drop_ip4_options");
    let sip = with_options(Packet::new("192.0.2.10:5060", "192.0.2.1:5060", OPTIONS));
    assert_eq!(lab.receive(0, &sip), Verdict::Exception { realm: 0 });
    lab.moved(&[("exception_options", 1)]);
}

#[test]
fn each_bad_frame_has_its_counter() {
    let mut lab = Lab::with_flow();
    let good = Packet::to_a(&rtp(1)).bytes();
    let six = Packet::new("[2001:db8:1::10]:4000", "[2001:db8:1::1]:30000", &rtp(1)).bytes();
    let change = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[14 + at] = value;
        bytes
    };
    lab.drops(2, &good, "drop_port_unknown");
    lab.drops(0, &good[..13], "drop_eth_truncated");
    lab.drops(1, &good, "drop_eth_not_ours");
    let mut tagged = Packet::to_a(&rtp(1));
    tagged.vlan = Some(9);
    lab.drops(0, &tagged.bytes(), "drop_vlan_unknown");
    let mut untagged = Packet::to_b(&rtp(1));
    untagged.vlan = None;
    lab.drops(1, &untagged.bytes(), "drop_vlan_unknown");
    lab.drops(0, &good[..33], "drop_ip4_truncated");
    lab.drops(0, &change(&good, 0, 0x65), "drop_ip4_version");
    lab.drops(0, &change(&good, 0, 0x44), "drop_ip4_header_length");
    lab.drops(0, &good[..good.len() - 1], "drop_ip4_length");
    lab.drops(0, &six[..53], "drop_ip6_truncated");
    lab.drops(0, &change(&six, 0, 0x40), "drop_ip6_version");
    lab.drops(0, &six[..six.len() - 1], "drop_ip6_length");
    lab.drops(0, &change(&six, 5, 7), "drop_udp_truncated");
    lab.drops(0, &change(&good, 20 + 4, 0xff), "drop_udp_length");
    lab.drops(
        0,
        &Packet::to_a(&rtp(1)).to("192.0.2.1:39999").bytes(),
        "drop_no_flow",
    );
    lab.drops(
        1,
        &Packet::to_b(&rtp(1)).to("10.0.0.1:30000").bytes(),
        "drop_no_flow",
    );

    let mut spec = spec();
    spec.a = leg(0, "2001:db8:1::1", PORTS[0], "[2001:db8:1::10]:4000");
    lab.put(&spec);
    let missing = Packet {
        udp_checksum: Some(0),
        ..Packet::new("[2001:db8:1::10]:4000", "[2001:db8:1::1]:30000", &rtp(1))
    };
    lab.drops(0, &missing.bytes(), "drop_udp_checksum_missing");
}

#[test]
fn a_priority_tag_is_not_a_vlan() {
    let mut lab = Lab::with_flow();
    let mut packet = Packet::to_a(&rtp(1));
    packet.vlan = Some(5 << 13);
    let verdict = lab.receive(0, &packet.bytes());
    assert!(
        matches!(verdict, Verdict::Transmit { port: 1, .. }),
        "{verdict:?}"
    );
}

#[test]
fn sip_is_found_with_its_addresses() {
    let mut lab = Lab::new();
    for (source, local, realm) in [
        ("192.0.2.10:5062", "192.0.2.1:5060", 0),
        ("[2001:db8:1::10]:5062", "[2001:db8:1::1]:5060", 0),
        ("10.0.0.10:5060", "10.0.0.1:5060", 1),
    ] {
        let packet = Packet::new(source, local, OPTIONS);
        let mut bytes = packet.bytes();
        bytes.extend([0; 7]); // padding
        let Verdict::Sip(meta) = lab.receive(packet.port(), &bytes) else {
            panic!("{source}")
        };
        assert_eq!(
            (meta.realm, meta.source, meta.local),
            (realm, socket(source), socket(local))
        );
        assert_eq!(&lab.buffer[meta.payload], OPTIONS);
    }
    lab.moved(&[("sip", 3), ("sip_unknown", 3)]);
    let bad = Packet {
        udp_checksum: Some(1),
        ..Packet::new("192.0.2.10:5060", "192.0.2.1:5060", OPTIONS)
    };
    lab.drops(0, &bad.bytes(), "drop_udp_checksum");
    let nobody = Packet::new("192.0.2.10:0", "192.0.2.1:5060", OPTIONS);
    lab.drops(0, &nobody.bytes(), "drop_bad_source");
}

#[test]
fn sip_of_a_blocked_source_is_dropped_and_nothing_else_of_it() {
    let mut lab = Lab::with_flow();
    let ip = |text: &str| text.parse().unwrap();
    let until = lab.now + 5 * SECOND;
    for source in ["192.0.2.10", "2001:db8:1::99"] {
        lab.relay.block(lab.now, ip(source), until).unwrap();
    }
    let sip = |source: &str, local: &str| Packet::new(source, local, OPTIONS).bytes();
    for (source, local) in [
        ("192.0.2.10:5062", "192.0.2.1:5060"),
        ("[2001:db8:1::10]:5062", "[2001:db8:1::1]:5060"),
    ] {
        lab.drops(0, &sip(source, local), "drop_blocked");
    }
    let others = sip("192.0.2.11:5062", "192.0.2.1:5060");
    assert!(matches!(lab.receive(0, &others), Verdict::Sip(_)));
    lab.moved(&[("sip", 1), ("sip_unknown", 1)]);
    let media = lab.receive(0, &Packet::to_a(&rtp(1)).bytes());
    assert!(matches!(media, Verdict::Transmit { .. }), "{media:?}");
    lab.relay.unblock(ip("192.0.2.10"));
    let again = sip("192.0.2.10:5062", "192.0.2.1:5060");
    assert!(matches!(lab.receive(0, &again), Verdict::Sip(_)));
    lab.now = until;
    let over = sip("[2001:db8:1::10]:5062", "[2001:db8:1::1]:5060");
    assert!(matches!(lab.receive(0, &over), Verdict::Sip(_)));
}

fn send(lab: &mut Lab, realm: u16, from: &str, to: &str, payload: &[u8]) -> (SipSend, Vec<u8>) {
    let mut frame = Frame::new(&mut lab.buffer, HEADROOM, 0, RxChecksums::default()).unwrap();
    let sent = lab.relay.send_sip(
        lab.now,
        realm,
        socket(from),
        socket(to),
        payload,
        &mut frame,
    );
    (sent, frame.bytes().to_vec())
}

#[test]
fn sip_is_sent_with_all_its_headers() {
    let mut lab = Lab::new();
    for (realm, from, to, mac, tag) in [
        (0, "192.0.2.1:5060", "198.51.100.1:5060", GATEWAY, None),
        (
            0,
            "[2001:db8:1::1]:5060",
            "[2001:db8:1::10]:5070",
            PEER,
            None,
        ),
        (
            1,
            "10.0.0.1:5060",
            "10.0.0.10:5060",
            PEER,
            Some(3 << 13 | VLAN),
        ),
    ] {
        let (answer, bytes) = send(&mut lab, realm, from, to, OPTIONS);
        let SipSend::Transmit { port, checksums } = answer else {
            panic!("{answer:?}")
        };
        let sent = sent(port, checksums, &bytes);
        assert_eq!((sent.port, sent.to_mac, sent.tag), (realm, mac, tag));
        assert_eq!((sent.source, sent.destination), (socket(from), socket(to)));
        assert_eq!(
            (sent.traffic_class, sent.ttl, &sent.payload[..]),
            (24 << 2, 64, OPTIONS)
        );
    }
    lab.moved(&[("sip_send_transmit", 3)]);
}

#[test]
fn sip_does_not_overtake_what_the_kernel_was_to_send() {
    let mut lab = Lab::new();
    let (ours, theirs) = ("192.0.2.1:5060", "192.0.2.11:5060");
    assert_eq!(
        send(&mut lab, 0, ours, theirs, OPTIONS).0,
        SipSend::Unresolved
    );
    let mut builder = forwarding(2);
    builder.neighbour(0, ip("192.0.2.11"), [6; 6]);
    lab.relay.set_forwarding(Arc::new(builder.build()));
    lab.now += 9_999_999;
    // By this one the time is not extended.
    assert_eq!(
        send(&mut lab, 0, ours, theirs, OPTIONS).0,
        SipSend::Unresolved
    );
    let other = "192.0.2.11:5062";
    for to in [other, theirs] {
        assert!(matches!(
            send(&mut lab, 0, ours, to, OPTIONS).0,
            SipSend::Transmit { .. }
        ));
        lab.now += 1;
    }
}

#[test]
fn sip_that_cannot_be_framed_says_why() {
    let mut lab = Lab::new();
    let (ours, theirs) = ("192.0.2.1:5060", "192.0.2.10:5060");
    let long = vec![b'x'; 1473];
    assert!(matches!(
        send(&mut lab, 0, ours, theirs, &long[1..]).0,
        SipSend::Transmit { .. }
    ));
    assert_eq!(
        send(&mut lab, 0, ours, theirs, &long),
        (SipSend::TooLong, Vec::new())
    );
    lab.moved(&[("sip_send_transmit", 1), ("sip_send_too_long", 1)]);
    assert_eq!(
        send(&mut lab, 0, ours, "192.0.2.11:5060", OPTIONS).0,
        SipSend::Unresolved
    );
    assert_eq!(
        send(&mut lab, 1, "10.0.0.1:5060", "203.0.113.1:5060", OPTIONS).0,
        SipSend::Unresolved
    );
    lab.moved(&[("sip_send_unresolved", 2)]);
    let needed: Vec<_> = std::iter::from_fn(|| lab.relay.needed_next_hop()).collect();
    assert_eq!(needed, [(0, ip("192.0.2.10")), (0, ip("192.0.2.11"))]);
    for (realm, from, to) in [
        (2, ours, theirs),
        (0, "192.0.2.1:5061", theirs),
        (1, ours, theirs),
        (0, ours, "[2001:db8:1::10]:5060"),
        (0, ours, "0.0.0.0:5060"),
        (0, ours, "192.0.2.10:0"),
    ] {
        assert_eq!(
            send(&mut lab, realm, from, to, OPTIONS).0,
            SipSend::Refused,
            "{from} {to}"
        );
    }
    lab.moved(&[("sip_send_refused", 6)]);
}

#[test]
fn sip_checksums_are_left_to_a_port_that_can() {
    let mut lab = Lab::with(|config| {
        config.ports[0].offloads = TxOffloads {
            ipv4: true,
            udp: true,
        };
    });
    lab.relay.set_forwarding(Arc::new(forwarding(3).build()));
    for (from, to) in [
        ("192.0.2.1:5060", "192.0.2.10:5060"),
        ("[2001:db8:1::1]:5060", "[2001:db8:1::10]:5060"),
    ] {
        let (answer, bytes) = send(&mut lab, 0, from, to, OPTIONS);
        let SipSend::Transmit { port, checksums } = answer else {
            panic!("{answer:?}")
        };
        assert!(checksums.udp && checksums.ipv4 != checksums.ipv6);
        sent(port, checksums, &bytes);
    }
}

#[test]
fn an_ethertype_of_ip_is_no_promise() {
    let mut lab = Lab::new();
    lab.drops(0, &other(0, ethernet::IPV4, &[]), "drop_ip4_truncated");
    lab.drops(0, &other(0, ethernet::IPV6, &[]), "drop_ip6_truncated");
    // A tag whose end is missing.
    lab.drops(1, &other(1, 0x0806, &[])[..16], "drop_eth_truncated");
}
