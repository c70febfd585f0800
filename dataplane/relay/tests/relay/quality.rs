//! Reports, round trips, streams, events, rates and strict sources, as flows and counters show them.

use tandem_link::{Event, FlowKind, Leg, RateLimit};
use tandem_wire::RtpRepr;

use crate::lab::*;

/// A sender report with one block, from the peer of a leg.
fn sender_report(ssrc: u32, ntp: u64, block: [u32; 6]) -> Vec<u8> {
    let mut bytes = vec![0x81, 200, 0, 12];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(ntp.to_be_bytes());
    bytes.extend([0; 12]);
    bytes.extend(block.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// An RTP packet of 20 ms: payload type, marker, sequence number, timestamp, source.
fn packet(payload_type: u8, marker: bool, sequence: u16, timestamp: u32, ssrc: u32) -> Packet {
    let mut bytes = vec![0x5a; 172];
    let repr = RtpRepr {
        marker,
        payload_type,
        sequence,
        timestamp,
        ssrc,
    };
    repr.emit(&mut bytes);
    Packet::to_a(&bytes)
}

fn rtcp_a(payload: &[u8]) -> Packet {
    Packet::to_a(payload)
        .from("192.0.2.10:4001")
        .to("192.0.2.1:30001")
}

fn rtcp_b(payload: &[u8]) -> Packet {
    Packet::to_b(payload)
        .from("10.0.0.10:5001")
        .to("10.0.0.1:30129")
}

#[test]
fn a_report_on_a_report_is_a_round_trip() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)));
    // A says its time, B repeats it after having kept it for 1 s, 1.05 s later.
    let ntp = 0x1122_3344_5566_7788;
    lab.relays(&rtcp_a(&sender_report(9, ntp, [0; 6])));
    lab.now += 1_050_000_000;
    let block = [9, 0x40_00_00_05, 0, 80, 0x3344_5566, 65_536];
    lab.relays(&rtcp_b(&sender_report(77, 1, block)));
    let report = lab.report();
    let (far, near) = (report.b.report, report.a.report);
    assert!((49_900..=50_100).contains(&far.round_trip_us), "{far:?}");
    assert_eq!(
        (far.reports, far.lost, far.fraction_lost, far.jitter_us),
        (1, 5, 64, 10_000)
    );
    assert_eq!(near.reports, 0);
    assert_eq!(report.a.rtcp.packets + report.b.rtcp.packets, 2);

    // On somebody else's stream it says nothing of ours.
    lab.relays(&rtcp_b(&sender_report(77, 1, [8, 0, 0, 0, 0x3344_5566, 0])));
    assert_eq!(lab.report().b.report.reports, 1);
    // What is no compound packet passes unread.
    lab.relays(&rtcp_a(&[0x80, 201, 0, 1, 0, 0, 0, 9, 1]));
    let counters = lab.relay.counters();
    assert_eq!((counters.relayed_rtcp, counters.rtcp_unread), (4, 1));
}

#[test]
fn encrypted_reports_are_not_read() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.kind = FlowKind::Srtp;
    lab.put(&spec);
    lab.relays(&Packet::to_a(&rtp(1)));
    let block = [9, u32::MAX, 0, u32::MAX, 0, 0];
    lab.relays(&rtcp_b(&sender_report(77, 1, block)));
    let report = lab.report();
    assert_eq!(report.spec, spec);
    assert_eq!((report.b.report.reports, report.b.rtcp.packets), (0, 1));
    assert_eq!((report.a.rtp.packets, report.a.stream.ssrc), (1, Some(9)));
    assert_eq!(lab.relay.counters().rtcp_unread, 0);
}

#[test]
fn events_are_counted_and_are_no_speech() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a.event_type = Some(101);
    lab.put(&spec);
    let mut sequence = 0;
    let mut send = |lab: &mut Lab, payload_type, marker, timestamp| {
        sequence += 1;
        lab.now += 20_000_000;
        lab.relays(&packet(payload_type, marker, sequence, timestamp, 9));
    };
    for at in 1..10 {
        send(&mut lab, 8, false, at * 160);
    }
    // A digit of 60 ms whose end is said three times, one whose first packet was lost, and a long one in two segments.
    for _ in 0..6 {
        send(&mut lab, 101, false, 1_600);
    }
    send(&mut lab, 101, false, 4_000);
    send(&mut lab, 101, true, 8_000);
    send(&mut lab, 101, false, 8_000 + 65_535);
    // Comfort noise, and speech again where the time has gone on.
    send(&mut lab, 13, false, 90_000);
    for at in 20..30 {
        send(&mut lab, 8, false, at * 160);
    }
    let report = lab.report();
    let (rtp, stream) = (report.a.rtp, report.a.stream);
    assert_eq!((stream.events, stream.payload_type_changes), (3, 0));
    assert_eq!((rtp.payload_type, rtp.lost, rtp.packets), (Some(8), 0, 29));
    assert_eq!(rtp.jitter, 0, "events are no speech");
    send(&mut lab, 0, false, 30 * 160);
    assert_eq!(lab.report().a.stream.payload_type_changes, 1);
    assert_eq!(lab.report().spec, spec);
}

#[test]
fn streams_that_change_or_mix_are_seen() {
    let mut lab = Lab::with_flow();
    let mut send = |ssrc| {
        lab.relays(&packet(8, false, 1, 160, ssrc));
        let stream = lab.report().a.stream;
        (stream.ssrc, stream.ssrc_changes, stream.ssrc_returns)
    };
    assert_eq!(send(7), (Some(7), 0, 0));
    assert_eq!(send(8), (Some(8), 1, 0));
    assert_eq!(send(9), (Some(9), 2, 0));
    assert_eq!(send(8), (Some(8), 3, 1));
    assert_eq!(send(9), (Some(9), 4, 2));
}

#[test]
fn what_is_above_the_rate_is_dropped_and_told_once() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.limit = RateLimit::per_second(100, 100_000);
    lab.put(&spec);
    // A second of credit at once, and not one packet more.
    for sequence in 0..100 {
        lab.relays(&Packet::to_a(&rtp(sequence)));
    }
    lab.events();
    lab.moved(&[("relayed", 100), ("relayed_bytes", 17_200), ("latched", 1)]);
    let flood = Packet::to_a(&rtp(100)).bytes();
    assert!(matches!(
        lab.receive(0, &flood),
        tandem_relay::Verdict::Drop
    ));
    lab.moved(&[("drop_above_rate", 1), ("media_flooded", 1)]);
    let told = Event::Flooded {
        flow: spec.id,
        cookie: spec.cookie,
        leg: Leg::A,
    };
    assert_eq!(lab.events(), [told]);
    lab.drops(0, &flood, "drop_above_rate");
    assert_eq!(lab.events(), []);
    // A flood costs nobody's credit: time fills it, and the other leg has its own.
    lab.now += 10_000_000;
    lab.relays(&Packet::to_a(&rtp(100)));
    lab.relays(&Packet::to_b(&rtp(1)));
    assert_eq!(lab.report().a.stream.policed, 2);
    assert_eq!(lab.report().b.stream.policed, 0);
    // Strangers have none of it.
    lab.now += 10_000_000;
    let stranger = Packet::to_a(&rtp(5)).from("192.0.2.66:4000").bytes();
    for _ in 0..100 {
        lab.receive(0, &stranger);
    }
    lab.relays(&Packet::to_a(&rtp(101)));
    // Long packets cost what their bytes cost: 10 ms for each 1,000.
    lab.now += 2 * SECOND;
    let mut long = rtp(102);
    long.resize(1_400, 0);
    for _ in 0..71 {
        lab.relays(&Packet::to_a(&long));
    }
    let long = Packet::to_a(&long).bytes();
    assert!(matches!(lab.receive(0, &long), tandem_relay::Verdict::Drop));
    // So many reports at once are a flood, too.
    let before = lab.relay.counters().drop_above_rate;
    for _ in 0..10 {
        lab.receive(0, &rtcp_a(&RTCP).bytes());
    }
    assert_eq!(lab.relay.counters().drop_above_rate - before, 6);
    assert_eq!(lab.report().spec, spec);
}

#[test]
fn a_strict_leg_takes_what_the_sdp_says() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a.strict = true;
    lab.put(&spec);
    let stranger = Packet::to_a(&rtp(1)).from("198.51.100.7:61000").bytes();
    lab.drops(0, &stranger, "drop_wrong_source");
    lab.drops(
        0,
        &rtcp_a(&RTCP).from("192.0.2.10:4003").bytes(),
        "drop_wrong_source",
    );
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.relays(&rtcp_a(&RTCP));
    assert_eq!(lab.events(), []);
    // New SDP is in force at once.
    spec.a.learn += 1;
    spec.a.remote = Some(socket("192.0.2.10:4010"));
    lab.put(&spec);
    lab.moved(&[
        ("relayed", 2),
        ("relayed_bytes", 180),
        ("relayed_rtcp", 1),
        ("relearning", 1),
    ]);
    lab.drops(0, &Packet::to_a(&rtp(2)).bytes(), "drop_wrong_source");
    lab.relays(&Packet::to_a(&rtp(2)).from("192.0.2.10:4010"));
    assert_eq!(lab.report().spec, spec);
    assert_eq!(lab.report().a.latched, None);
}

#[test]
fn rtcp_on_another_host_is_where_the_sdp_says() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a.remote_rtcp = Some(socket("198.51.100.11:7001"));
    lab.put(&spec);
    assert_eq!(lab.report().spec, spec);
    assert_eq!(
        lab.relays(&rtcp_b(&RTCP)).destination,
        socket("198.51.100.11:7001")
    );
    lab.relays(&rtcp_a(&RTCP).from("198.51.100.11:7001"));
    spec.a.remote_rtcp = Some(socket("192.0.2.10:4001"));
    lab.put(&spec);
    assert_eq!(lab.report().spec, spec);
}
