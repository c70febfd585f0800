//! Two user agents outside whose calls meet in a proxy inside that leaves session descriptions alone: what leaves one
//! flow for the inside is for another flow of ours.

use tandem_link::{FlowId, FlowSpec, SlotTable};
use tandem_relay::{Frame, RxChecksums, TxOffloads, Verdict};

use crate::lab::{Lab, Packet, RTCP, leg, rtp, socket};

/// Who calls, through leg A of its flow; the legs inside point at each other.
fn caller() -> FlowSpec {
    FlowSpec {
        id: FlowId(7),
        b: leg(1, "10.0.0.1", 30_128, "10.0.0.1:30256"),
        ..crate::lab::spec()
    }
}

/// Who is called, behind the gateway.
fn called() -> FlowSpec {
    FlowSpec {
        id: FlowId(8),
        a: leg(0, "192.0.2.1", 30_384, "198.51.100.7:6000"),
        b: leg(1, "10.0.0.1", 30_256, "10.0.0.1:30128"),
        ..crate::lab::spec()
    }
}

#[test]
fn media_goes_from_one_flow_to_the_other_and_back() {
    let mut lab = Lab::new();
    lab.put(&caller());
    lab.put(&called());
    let out = lab.relays(&Packet::to_a(&rtp(1)));
    assert_eq!(out.source, socket("192.0.2.1:30384"));
    assert_eq!(out.destination, socket("198.51.100.7:6000"));
    lab.moved(&[
        ("relayed", 1),
        ("relayed_bytes", 172),
        ("hairpinned", 1),
        ("latched", 2),
    ]);
    let back = Packet::new("198.51.100.7:6000", "192.0.2.1:30384", &rtp(1));
    let back = lab.relays(&back);
    assert_eq!(back.source, socket("192.0.2.1:30000"));
    assert_eq!(back.destination, socket("192.0.2.10:4000"));
    lab.relays(&Packet::new("192.0.2.10:4001", "192.0.2.1:30001", &RTCP));
    let moved = |name: &str| {
        lab.relay
            .counters()
            .iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1
    };
    assert_eq!(
        (moved("relayed"), moved("relayed_rtcp"), moved("hairpinned")),
        (3, 1, 3)
    );
}

#[test]
fn checksums_are_whole_although_the_port_would_make_them() {
    let mut lab = Lab::with(|config| {
        for port in &mut config.ports {
            port.offloads = TxOffloads {
                ipv4: true,
                udp: true,
            };
        }
    });
    lab.put(&caller());
    lab.put(&called());
    // Without a checksum of the sender's one has to be made, twice.
    let packet = Packet {
        udp_checksum: Some(0),
        ..Packet::to_a(&rtp(1))
    };
    assert!(matches!(
        lab.receive(0, &packet.bytes()),
        Verdict::Transmit { .. }
    ));
    lab.moved(&[
        ("relayed", 1),
        ("relayed_bytes", 172),
        ("hairpinned", 1),
        ("latched", 2),
    ]);
}

#[test]
fn the_other_flow_may_be_another_workers() {
    let slots = SlotTable::deal(&[0, 1]);
    let ports = |worker: u16| {
        let ports = (30_000..40_000).step_by(2);
        let mut ports = ports.filter(|port| slots.owner(*port) == worker);
        [ports.next().unwrap(), ports.next().unwrap()]
    };
    let ([a, b], [c, d]) = (ports(0), ports(1));
    let worker = |worker: u16| {
        Lab::with(|config| {
            config.slots = slots.clone();
            config.worker = worker;
        })
    };
    let (mut first, mut second) = (worker(0), worker(1));
    first.put(&FlowSpec {
        a: leg(0, "192.0.2.1", a, "192.0.2.10:4000"),
        b: leg(1, "10.0.0.1", b, &format!("10.0.0.1:{d}")),
        ..caller()
    });
    second.put(&FlowSpec {
        a: leg(0, "192.0.2.1", c, "198.51.100.7:6000"),
        b: leg(1, "10.0.0.1", d, &format!("10.0.0.1:{b}")),
        ..called()
    });
    let packet = Packet::to_a(&rtp(1)).to(&format!("192.0.2.1:{a}"));
    let (verdict, bytes) = first.receive_as(0, &packet.bytes(), RxChecksums::default());
    // It comes in on the inside's port.
    let hand_off = Verdict::HandOff {
        worker: 1,
        port: 1,
        passes: 1,
    };
    assert_eq!(verdict, hand_off);
    first.moved(&[("handed_over", 1), ("hairpinned", 1), ("latched", 1)]);
    let mut buffer = vec![0; 2048];
    buffer[128..128 + bytes.len()].copy_from_slice(&bytes);
    let mut frame = Frame::new(&mut buffer, 128, bytes.len(), RxChecksums::default()).unwrap();
    let verdict = second.relay.received_by_hand_off(0, 1, 1, &mut frame);
    assert!(
        matches!(verdict, Verdict::Transmit { port: 0, .. }),
        "{verdict:?}"
    );
    second.moved(&[
        ("taken_over", 1),
        ("relayed", 1),
        ("relayed_bytes", 172),
        ("latched", 1),
    ]);
}

#[test]
fn without_a_flow_there_is_a_drop_and_circles_end() {
    let mut lab = Lab::new();
    lab.put(&caller());
    let packet = Packet::to_a(&rtp(1));
    assert_eq!(lab.receive(0, &packet.bytes()), Verdict::Drop);
    lab.moved(&[("drop_destination_local", 1), ("latched", 1)]);

    // Both legs of a flow inside, and each sends to the other: whatever comes to one goes round.
    let mut round = called();
    round.a = leg(1, "10.0.0.1", 30_384, "10.0.0.1:30256");
    round.b = leg(1, "10.0.0.1", 30_256, "10.0.0.1:30384");
    round.b.learn = 0;
    lab.put(&round);
    assert_eq!(lab.receive(0, &packet.bytes()), Verdict::Drop);
    let counters = lab.relay.counters();
    let value = |name: &str| counters.iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!(
        (
            value("drop_hairpin_loop") + value("drop_wrong_source"),
            value("relayed")
        ),
        (1, 0)
    );
}
