//! Commands and reports.

use tandem_link::{CommandError, FlowId, SlotTable};
use tandem_relay::{ConfigError, Relay};

use crate::lab::*;

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut lab = Lab::with(|config| config.slots = SlotTable::deal(&[0, 1]));
    lab.put(&spec());
    let before = lab.report();
    let mut refused = |change: fn(&mut tandem_link::FlowSpec)| {
        let mut spec = spec();
        change(&mut spec);
        lab.relay.put_flow(lab.now, &spec).unwrap_err()
    };
    assert_eq!(refused(|s| s.b.realm = 2), CommandError::NoSuchRealm(2));
    assert_eq!(
        refused(|s| s.b.local = s.a.local),
        CommandError::NotLocal(ip("192.0.2.1"))
    );
    assert_eq!(
        refused(|s| s.a.port = 30_001),
        CommandError::BadPort(30_001)
    );
    assert_eq!(
        refused(|s| s.a.port = 29_998),
        CommandError::BadPort(29_998)
    );
    assert_eq!(
        refused(|s| s.a.port = 40_000),
        CommandError::BadPort(40_000)
    );
    assert_eq!(
        refused(|s| s.a.port = 30_002),
        CommandError::TwoOwners(30_002, 30_128)
    );
    let another = |s: &mut tandem_link::FlowSpec| {
        s.id = FlowId(8);
        s.a.port = 30_256;
    };
    assert_eq!(refused(another), CommandError::PortInUse(30_128, 7));
    assert_eq!(
        refused(|s| s.b = s.a.clone()),
        CommandError::PortInUse(30_000, 7)
    );
    assert_eq!(lab.report(), before);
    assert_eq!(lab.relay.flow_count(), 1);
    assert_eq!(
        lab.relay.remove_flow(0, FlowId(8)).unwrap_err(),
        CommandError::NoSuchFlow
    );
    lab.moved(&[]);
}

#[test]
fn the_same_specification_again_changes_nothing() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.relays(&Packet::to_b(&rtp(1)));
    let before = lab.report();
    assert_eq!(before.spec, spec());
    lab.put(&spec());
    assert_eq!(lab.report(), before);
}

#[test]
fn a_removed_flow_says_its_last_word_and_its_ports_are_free() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)));
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    lab.now += 5_000_000;
    let report = lab.relay.remove_flow(lab.now, spec().id).unwrap();
    assert_eq!((report.spec, report.worker), (spec(), 0));
    assert_eq!(
        (report.a.rtp.packets, report.a.rtp.last_seen_ms),
        (1, Some(5))
    );
    lab.drops(0, &Packet::to_a(&rtp(2)).bytes(), "drop_no_flow");
    let mut next = spec();
    next.id = FlowId(8);
    lab.put(&next);
    // A new call: nothing of the old one is left.
    let report = lab.report();
    assert_eq!(
        (report.spec, report.a.latched, report.a.rtp.packets),
        (next, None, 0)
    );
}

#[test]
fn a_flow_may_move_to_other_ports_and_keeps_what_it_knows() {
    let mut lab = Lab::with_flow();
    lab.relays(&Packet::to_a(&rtp(1)));
    let mut moved = spec();
    moved.a.port = 30_256;
    moved.a.dscp = 0;
    moved.b.dscp = 34;
    lab.put(&moved);
    lab.moved(&[("relayed", 1), ("relayed_bytes", 172), ("latched", 1)]);
    lab.drops(0, &Packet::to_a(&rtp(2)).bytes(), "drop_no_flow");
    let sent = lab.relays(&Packet::to_a(&rtp(2)).to("192.0.2.1:30256"));
    assert_eq!(sent.traffic_class, 34 << 2);
    assert_eq!(
        lab.relays(&Packet::to_b(&rtp(1))).source,
        socket("192.0.2.1:30256")
    );
    assert_eq!(lab.report().a.rtp.packets, 2);
    // The legs' ports may also change places.
    let mut swapped = spec();
    (swapped.a.port, swapped.b.port) = (PORTS[1], PORTS[0]);
    lab.put(&swapped);
    lab.relays(&Packet::to_a(&rtp(3)).to("192.0.2.1:30128"));
}

#[test]
fn the_table_has_an_end_and_places_are_used_again() {
    let mut lab = Lab::new();
    let flow = |n: u16| {
        let mut spec = spec();
        spec.id = FlowId(n.into());
        spec.a.port += 2 * n;
        spec.b.port += 2 * n;
        spec
    };
    for n in 0..4 {
        lab.put(&flow(n));
    }
    assert_eq!(
        lab.relay.put_flow(0, &flow(4)),
        Err(CommandError::TableFull)
    );
    // One that exists can still be changed.
    lab.put(&flow(3));
    lab.relay.remove_flow(0, FlowId(1)).unwrap();
    lab.put(&flow(4));
    let mut ids: Vec<_> = lab.relay.flows(0).map(|report| report.spec.id.0).collect();
    ids.sort_unstable();
    assert_eq!((ids, lab.relay.flow_count()), (vec![0, 2, 3, 4], 4));

    let mut listed = Vec::new();
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = lab
            .relay
            .flows_from(0, at, 3, |report| listed.push(report.spec.id.0));
    }
    listed.sort_unstable();
    assert_eq!(listed, [0, 2, 3, 4]);
}

#[test]
fn a_capture_finds_a_packets_flow() {
    let mut lab = Lab::with_flow();
    let packet = Packet::to_a(&rtp(1));
    let mut bytes = packet.bytes();
    let length = bytes.len();
    let frame = tandem_relay::Frame::new(&mut bytes, 0, length, Default::default()).unwrap();
    assert_eq!(lab.relay.flow_of(0, &frame), Some(FlowId(7)));
    lab.relay.remove_flow(0, FlowId(7)).unwrap();
    assert_eq!(lab.relay.flow_of(0, &frame), None);
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let refused = |change: fn(&mut tandem_relay::RelayConfig)| {
        let mut config = config();
        change(&mut config);
        Relay::new(config).unwrap_err()
    };
    assert_eq!(
        refused(|c| c.realms[1].port = 2),
        ConfigError::NoSuchPort { realm: 1, port: 2 }
    );
    assert_eq!(
        refused(|c| c.realms[1].vlan = Some(4095)),
        ConfigError::BadVlan {
            realm: 1,
            vlan: 4095
        }
    );
    assert_eq!(
        refused(|c| c.realms[1].vlan = Some(0)),
        ConfigError::BadVlan { realm: 1, vlan: 0 }
    );
    let same = |c: &mut tandem_relay::RelayConfig| {
        c.realms[1].port = 0;
        c.realms[1].vlan = None;
    };
    assert_eq!(refused(same), ConfigError::SameNetwork(0, 1));
}
