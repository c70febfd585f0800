//! Latching, as flows and events show it. The rules one by one are tested where they are.

use tandem_link::{Event, Leg};

use crate::lab::*;

#[test]
fn the_first_source_latches_and_a_stranger_is_dropped_and_counted() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)).from("198.51.100.7:61000"));
    let latched = Event::Latched {
        flow: spec().id,
        cookie: spec().cookie,
        leg: Leg::A,
        rtcp: false,
        source: socket("198.51.100.7:61000"),
    };
    assert_eq!(lab.events(), [latched]);
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    let stranger = Packet::to_a(&rtp(2)).from("203.0.113.66:4000");
    lab.drops(0, &stranger.bytes(), "drop_wrong_source");
    let report = lab.report();
    assert_eq!((report.a.rtp.wrong_source, report.a.rtp.packets), (1, 1));
    assert_eq!(report.a.latched, Some(socket("198.51.100.7:61000")));
    assert_eq!(report.b.rtp.wrong_source, 0);
    assert_eq!(lab.events(), []);
    // What comes for the peer goes to where it speaks from, not to where its SDP says.
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(1))).destination,
        socket("198.51.100.7:61000")
    );
}

#[test]
fn a_stranger_on_the_rtcp_port_is_dropped_and_counted() {
    let mut lab = Lab::with_flow();
    let rtcp = Packet::to_a(&RTCP)
        .from("192.0.2.10:4001")
        .to("192.0.2.1:30001");
    lab.relays(&rtcp);
    assert!(matches!(
        lab.events()[..],
        [Event::Latched {
            rtcp: true,
            leg: Leg::A,
            ..
        }]
    ));
    lab.moved(&[
        ("relayed", 1),
        ("relayed_bytes", 8),
        ("relayed_rtcp", 1),
        ("latched", 1),
    ]);
    lab.drops(
        0,
        &rtcp.clone().from("192.0.2.66:4001").bytes(),
        "drop_wrong_source",
    );
    assert_eq!(lab.report().a.rtcp.wrong_source, 1);
    // Ports are learned apart: RTP still may come from anywhere.
    lab.relays(&Packet::to_a(&rtp(1)).from("192.0.2.66:4001"));
}

#[test]
fn a_hint_of_an_earlier_life_is_the_destination_until_somebody_speaks() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.a.latched = Some(socket("198.51.100.7:61000"));
    spec.a.latched_rtcp = Some(socket("198.51.100.7:62000"));
    lab.put(&spec);
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(1))).destination,
        socket("198.51.100.7:61000")
    );
    let rtcp_to_b = Packet::to_b(&RTCP)
        .from("10.0.0.10:5001")
        .to("10.0.0.1:30129");
    assert_eq!(
        lab.relays(&rtcp_to_b).destination,
        socket("198.51.100.7:62000")
    );
    assert_eq!(lab.report().spec.a.latched, spec.a.latched);
    // For a flow that exists it is ignored.
    spec.a.latched = Some(socket("198.51.100.9:9000"));
    lab.put(&spec);
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(2))).destination,
        socket("198.51.100.7:61000")
    );
}

#[test]
fn new_sdp_reopens_learning_and_is_followed_at_once() {
    let mut lab = Lab::new();
    let mut spec = spec();
    lab.put(&spec);
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.relays(&Packet::to_b(&rtp(1)));
    lab.moved(&[("relayed", 2), ("relayed_bytes", 344), ("latched", 2)]);
    spec.a.remote = Some(socket("192.0.2.10:7000"));
    spec.a.learn = 2;
    lab.put(&spec);
    lab.put(&spec);
    lab.moved(&[("relearning", 1)]);
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(2))).destination,
        socket("192.0.2.10:7000")
    );
    // The one before is still heard, but does not get its media back.
    lab.relays(&Packet::to_a(&rtp(2)));
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(3))).destination,
        socket("192.0.2.10:7000")
    );
    assert_eq!(lab.report().a.latched, None);
    lab.relays(&Packet::to_a(&rtp(100)).from("192.0.2.10:7000"));
    lab.moved(&[("relayed", 4), ("relayed_bytes", 688), ("latched", 1)]);
    lab.drops(0, &Packet::to_a(&rtp(3)).bytes(), "drop_wrong_source");
    assert_eq!(lab.report().a.latched, Some(socket("192.0.2.10:7000")));
}

#[test]
fn the_other_leg_is_not_touched_by_new_sdp() {
    let mut lab = Lab::new();
    let mut spec = spec();
    lab.put(&spec);
    lab.relays(&Packet::to_b(&rtp(1)).from("10.0.0.10:5500"));
    spec.a.learn = 2;
    lab.put(&spec);
    assert_eq!(lab.report().b.latched, Some(socket("10.0.0.10:5500")));
    assert_eq!(
        lab.relays(&Packet::to_a(&rtp(1))).destination,
        socket("10.0.0.10:5500")
    );
}

#[test]
fn sdp_that_comes_late_is_the_destination_as_soon_as_it_is_known() {
    let mut lab = Lab::new();
    let mut spec = spec();
    spec.b.remote = None;
    spec.b.remote_rtcp = None;
    lab.put(&spec);
    lab.receive(0, &Packet::to_a(&rtp(1)).bytes());
    lab.moved(&[("drop_no_destination", 1), ("latched", 1)]);
    spec.b = crate::lab::spec().b;
    lab.put(&spec);
    assert_eq!(
        lab.relays(&Packet::to_a(&rtp(2))).destination,
        socket("10.0.0.10:5000")
    );
}

#[test]
fn an_address_of_nobody_is_no_destination() {
    let mut lab = Lab::new();
    for nobody in [
        "0.0.0.0:5000",
        "224.0.0.1:5000",
        "10.0.0.10:0",
        "[2001:db8:2::10]:5000",
    ] {
        let mut spec = spec();
        spec.b.remote = Some(socket(nobody));
        spec.b.remote_rtcp = None;
        lab.put(&spec);
        assert_eq!(
            lab.receive(0, &Packet::to_a(&rtp(1)).bytes()),
            tandem_relay::Verdict::Drop
        );
    }
    lab.moved(&[("drop_no_destination", 4), ("latched", 1)]);
}

#[test]
fn sources_that_nobody_can_have_do_not_latch() {
    let mut lab = Lab::with_flow();
    for source in [
        "192.0.2.10:0",
        "0.0.0.0:4000",
        "127.0.0.1:4000",
        "224.0.0.1:4000",
    ] {
        lab.drops(
            0,
            &Packet::to_a(&rtp(1)).from(source).bytes(),
            "drop_bad_source",
        );
    }
    assert_eq!(lab.report().a.latched, None);
}
