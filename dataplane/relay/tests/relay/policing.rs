//! SIP is policed by its sources before anybody reads it.

use std::net::IpAddr;

use tandem_link::{ClassifiedSource, PoliceLimit, PoliceLimits, SourceClass};
use tandem_relay::{PoliceConfig, TrustedNetworks, Verdict};

use crate::lab::{Lab, OUR_MACS, Packet, SECOND, rtp};

const OPTIONS: &[u8] = b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n";
const OURS: &str = "192.0.2.1:5060";
const TRUNK: &str = "198.51.100.7:5060";
const USER: &str = "203.0.113.9:40000";
const STRANGER: &str = "192.0.2.66:5060";

const fn limit(rate: u32, burst: u32) -> PoliceLimit {
    PoliceLimit { rate, burst }
}

const LIMITS: PoliceLimits = PoliceLimits {
    trusted: limit(100, 20),
    registered: limit(10, 5),
    unknown: limit(1, 2),
    all_registered: limit(10, 8),
    all_unknown: limit(4, 4),
    all: limit(1_000, 40),
    fragments: limit(0, 0),
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The second realm is the inside.
fn lab() -> Lab {
    let police = PoliceConfig {
        limits: LIMITS,
        most_registered: 8,
        most_unknown: 64,
        trusted_realms: vec![false, true],
    };
    Lab::with(|config| config.police = police)
}

/// Says who is who: a trunk's network, a carrier's address, a user.
fn classify(lab: &mut Lab, generation: u16) {
    let until = lab.now + 60 * SECOND;
    let sources = [
        ("192.0.2.77", SourceClass::Trusted),
        ("203.0.113.9", SourceClass::Registered),
    ];
    for (source, class) in sources {
        let done = lab.relay.classify(ip(source), class, until, generation);
        assert_eq!(done, Ok(()));
    }
    let network = ClassifiedSource {
        source: ip("198.51.100.0"),
        length: 24,
        class: SourceClass::Trusted,
        left_ms: u64::MAX,
    };
    let (networks, _) = TrustedNetworks::new(&[network]);
    lab.relay.classify_done(generation, Box::new(networks));
}

/// How many of so many datagrams pass.
fn passed(lab: &mut Lab, source: &str, local: &str, count: usize) -> usize {
    let packet = Packet::new(source, local, OPTIONS);
    let (port, bytes) = (packet.port(), packet.bytes());
    let verdicts = (0..count).map(|_| lab.receive(port, &bytes));
    verdicts
        .filter(|verdict| matches!(verdict, Verdict::Sip(_)))
        .count()
}

fn class_of(lab: &mut Lab, source: &str) -> SourceClass {
    let report = lab.relay.police_report(lab.now, Some(ip(source)));
    report.source.unwrap().class
}

#[test]
fn each_class_has_its_own_share() {
    let mut lab = lab();
    classify(&mut lab, 1);
    assert_eq!(passed(&mut lab, STRANGER, OURS, 10), 2);
    lab.moved(&[("sip", 2), ("sip_unknown", 2), ("drop_sip_rate_source", 8)]);
    // Two more come before all of them together have had enough.
    for (last, expected) in [(1, 1), (2, 1), (3, 0)] {
        let other = format!("192.0.2.{last}:5060");
        assert_eq!(passed(&mut lab, &other, OURS, 1), expected);
    }
    assert_eq!(passed(&mut lab, STRANGER, OURS, 10), 0);
    lab.moved(&[
        ("sip", 2),
        ("sip_unknown", 2),
        ("drop_sip_rate_unknown", 11),
    ]);
    assert_eq!(passed(&mut lab, USER, OURS, 10), 5);
    lab.moved(&[
        ("sip", 5),
        ("sip_registered", 5),
        ("drop_sip_rate_source", 5),
    ]);
    assert_eq!(passed(&mut lab, TRUNK, OURS, 21), 20);
    lab.moved(&[
        ("sip", 20),
        ("sip_trusted", 20),
        ("drop_sip_rate_source", 1),
    ]);
    // Everybody has had 29 of 40.
    assert_eq!(passed(&mut lab, "192.0.2.77:5060", OURS, 20), 11);
    lab.moved(&[("sip", 11), ("sip_trusted", 11), ("drop_sip_rate_all", 9)]);
    lab.now += SECOND;
    assert_eq!(passed(&mut lab, TRUNK, OURS, 21), 20);
    assert_eq!(passed(&mut lab, USER, OURS, 10), 5);
    assert_eq!(
        passed(&mut lab, STRANGER, OURS, 10),
        0,
        "half is not for him"
    );
    lab.now += SECOND;
    assert_eq!(passed(&mut lab, STRANGER, OURS, 10), 2);
}

#[test]
fn all_registered_sources_share_a_bucket_too() {
    let mut lab = lab();
    classify(&mut lab, 1);
    for last in 1..=3 {
        let source = ip(&format!("203.0.113.{last}"));
        let until = lab.now + SECOND;
        lab.relay
            .classify(source, SourceClass::Registered, until, 1)
            .unwrap();
    }
    for (last, expected) in [(1, 5), (2, 3), (3, 0)] {
        let source = format!("203.0.113.{last}:5060");
        assert_eq!(passed(&mut lab, &source, OURS, 5), expected);
    }
    lab.moved(&[
        ("sip", 8),
        ("sip_registered", 8),
        ("drop_sip_rate_registered", 7),
    ]);
}

#[test]
fn the_inside_is_limited_by_what_all_may_send_alone() {
    let mut lab = lab();
    classify(&mut lab, 1);
    let many = passed(&mut lab, "10.0.0.10:5060", "10.0.0.1:5060", 100);
    assert_eq!(many, 40);
    lab.moved(&[("sip", 40), ("sip_trusted", 40), ("drop_sip_rate_all", 60)]);
}

#[test]
fn before_the_first_set_nobody_is_a_stranger() {
    let mut lab = lab();
    assert_eq!(passed(&mut lab, STRANGER, OURS, 100), 40);
    lab.moved(&[("sip", 40), ("sip_unknown", 40), ("drop_sip_rate_all", 60)]);
    assert!(!lab.relay.police_report(lab.now, None).complete);
}

#[test]
fn a_new_set_replaces_the_one_before_when_it_is_complete() {
    let mut lab = lab();
    classify(&mut lab, 1);
    assert_eq!(class_of(&mut lab, "192.0.2.77"), SourceClass::Trusted);
    assert_eq!(class_of(&mut lab, "198.51.100.255"), SourceClass::Trusted);
    assert_eq!(class_of(&mut lab, "203.0.113.9"), SourceClass::Registered);
    // The signaling plane dies in the middle of the next set: nothing changes.
    lab.relay
        .classify(ip("192.0.2.78"), SourceClass::Trusted, 0, 2)
        .unwrap();
    assert_eq!(class_of(&mut lab, "192.0.2.77"), SourceClass::Trusted);
    lab.relay.classify_done(3, Box::default());
    for (source, class) in [
        ("192.0.2.77", SourceClass::Unknown),
        ("192.0.2.78", SourceClass::Unknown),
        ("198.51.100.7", SourceClass::Unknown),
        // He is registered until he is not.
        ("203.0.113.9", SourceClass::Registered),
    ] {
        assert_eq!(class_of(&mut lab, source), class, "{source}");
    }
    lab.now += 60 * SECOND;
    assert_eq!(class_of(&mut lab, "203.0.113.9"), SourceClass::Unknown);
    // Taken out of the table meanwhile, so that another one has room.
    for _ in 0..10_000 {
        lab.now += 10_000_000;
        lab.relay.expire(lab.now, 32);
    }
    let report = lab.relay.police_report(lab.now, None);
    assert_eq!((report.trusted, report.registered), (0, 0));
}

#[test]
fn a_full_table_is_said_and_takes_nothing_from_anybody() {
    let mut lab = lab();
    classify(&mut lab, 1);
    let until = lab.now + SECOND;
    let mut register = |last: u8| {
        let source = ip(&format!("203.0.113.{last}"));
        lab.relay
            .classify(source, SourceClass::Registered, until, 1)
            .is_ok()
    };
    assert!((100..107).all(&mut register));
    assert!(!register(200));
    lab.moved(&[("police_full", 1)]);
    assert_eq!(class_of(&mut lab, "203.0.113.9"), SourceClass::Registered);
    assert_eq!(class_of(&mut lab, "203.0.113.200"), SourceClass::Unknown);
}

#[test]
fn what_costs_least_is_asked_first() {
    let mut lab = lab();
    classify(&mut lab, 1);
    let until = lab.now + SECOND;
    lab.relay.block(lab.now, ip("192.0.2.50"), until).unwrap();
    let bytes = |source: &str, payload: &[u8]| {
        let packet = Packet {
            udp_checksum: Some(1),
            destination_mac: OUR_MACS[0],
            ..Packet::new(source, OURS, payload)
        };
        packet.bytes()
    };
    // Each has every fault behind the one that it is dropped for.
    lab.drops(0, &bytes("192.0.2.50:0", b"hello"), "drop_sip_garbage");
    lab.drops(0, &bytes("192.0.2.50:0", OPTIONS), "drop_bad_source");
    lab.drops(0, &bytes("192.0.2.50:5060", OPTIONS), "drop_blocked");
    for _ in 0..2 {
        lab.drops(0, &bytes(STRANGER, OPTIONS), "drop_udp_checksum");
    }
    lab.drops(0, &bytes(STRANGER, OPTIONS), "drop_sip_rate_source");
    lab.drops(0, &bytes(TRUNK, OPTIONS), "drop_udp_checksum");
}

#[test]
fn keepalives_and_stun_go_where_sip_goes() {
    let mut lab = lab();
    classify(&mut lab, 1);
    let stun = [
        0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    for payload in [&b""[..], b"\r\n\r\n", b"\0", &stun, b"FOO not sip at all"] {
        let packet = Packet::new(TRUNK, OURS, payload).bytes();
        assert!(matches!(lab.receive(0, &packet), Verdict::Sip(_)));
    }
    lab.moved(&[("sip", 5), ("sip_trusted", 5)]);
}

#[test]
fn media_is_not_policed() {
    let mut lab = Lab::with(|config| {
        (config.police.limits, config.police.most_registered) = (LIMITS, 8);
    });
    classify(&mut lab, 1);
    lab.put(&crate::lab::spec());
    for sequence in 0..100 {
        lab.relays(&Packet::to_a(&rtp(sequence)));
    }
}
