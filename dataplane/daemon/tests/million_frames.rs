//! Twenty million random and damaged frames through the real daemon, over shared memory: each frame that its ports received is
//! in exactly one named counter, and calls go on afterwards. `TANDEM_FRAMES` says how many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../../relay/tests/frames/mod.rs"]
mod frames;
mod lab;
#[path = "lab/wires.rs"]
mod wires;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use frames::{Frames, Random, Target};
use lab::controller::Controller;
use lab::{Lab, Options, PATIENCE};
use tandem_link::{Command, Cookie, FlowId, FlowKind, FlowSpec, LegSpec, MediaKind};
use tandem_relay::Counters;
use wires::Wires;

const FRAMES: u64 = 20_000_000;
/// Of the flows between the two sides.
const PORTS: [u16; 3] = [30_000, 30_002, 30_004];
/// One frame in so many is longer than a buffer.
const JUMBO: usize = 1000;

#[test]
fn every_frame_is_in_one_named_counter() {
    let frames = std::env::var("TANDEM_FRAMES");
    let frames: u64 = frames.map_or(FRAMES, |text| text.parse().unwrap());
    let mut lab = Lab::new(&Options {
        vlan: Some(100),
        memif: "xy",
        ..Options::default()
    });
    lab.start();
    wires::quiet(&lab);
    let mut controller = Controller::connect(&lab.link_socket());
    let mut wires = Wires::new(&lab);
    let call = flow(1, PORTS[0], [true, true], FlowKind::Rtp);
    for flow in [
        call.clone(),
        flow(2, PORTS[0], [false, false], FlowKind::Rtp),
        flow(3, PORTS[1], [true, false], FlowKind::Raw),
        flow(4, PORTS[2], [false, true], FlowKind::Rtp),
    ] {
        controller.ok(Command::PutFlow(flow));
    }
    let begun = Instant::now();
    let mut sources = [0, 1].map(|side| Frames::new(11 + u64::from(side), target(side)));
    let mut random = Random(3);
    let mut bytes = Vec::new();
    let mut sent = [0; 2];
    while sent[0] + sent[1] < frames {
        for side in 0..2 {
            sent[side] += wires.send(side, |frame| {
                sources[side].next(&mut bytes);
                if random.below(JUMBO) == 0 {
                    bytes.resize(2100 + random.below(1900), 0x5a);
                }
                if bytes.is_empty() {
                    bytes.push(0);
                }
                frame.write(&bytes).unwrap();
            });
        }
        wires.drain();
    }
    let took = begun.elapsed();
    let counters = settled(&mut controller, &mut wires, sent);
    let of = |name: &str| counters[name];
    let outcomes: Vec<_> = Counters::NAMES
        .into_iter()
        .filter(|name| Counters::is_outcome(name))
        .map(|name| (name, of(name)))
        .collect();
    println!("{sent:?} frames in {took:.1?}:");
    for (name, value) in outcomes.iter().filter(|(_, value)| *value > 0) {
        println!("{name} {value}");
    }
    println!("rx_segmented {}", of("rx_segmented"));

    // All that was sent was received, and each is in one counter.
    assert_eq!([of("port_x_rx_packets"), of("port_y_rx_packets")], sent);
    let outcomes: u64 = outcomes.iter().map(|(_, value)| value).sum();
    let received = outcomes - of("taken_over") + of("rx_segmented");
    assert_eq!(received, sent[0] + sent[1]);
    assert!(of("rx_segmented") > 0 && of("relayed") > 0);
    // The same a step further: what is for the kernel, and for the controller.
    let exceptions = [
        "exception",
        "exception_fragment",
        "exception_options",
        "exception_ip6_extension",
    ];
    let exceptions: u64 = exceptions.into_iter().map(of).sum();
    let given = [
        "exception_given",
        "exception_policed",
        "exception_fragment_policed",
        "exception_ring_full",
    ];
    let given: u64 = given.into_iter().map(of).sum();
    assert_eq!(given, exceptions);
    let sip = [
        "sip_received",
        "sip_ring_full",
        "sip_ring_crowded",
        "sip_ring_reserved",
        "sip_no_controller",
    ];
    assert_eq!(sip.into_iter().map(of).sum::<u64>(), of("sip"));

    // The neighbours that the administrator named are as he named them.
    assert_eq!(of("drop_next_hop_unresolved"), 0);

    // A new call is relayed.
    controller.ok(Command::PutFlow(flow(
        9,
        30_010,
        [true, true],
        FlowKind::Rtp,
    )));
    for _ in 0..100 {
        let media = frames::media(&target(0), 20_010, 30_010);
        wires.send(0, |frame| frame.write(&media).unwrap());
        wires.await_media(target(1).peer_mac, 20_010);
    }
    assert_eq!(lab.stop(), Some(0));
}

/// What the daemon counted, when it has taken all that was sent.
fn settled(controller: &mut Controller, wires: &mut Wires, sent: [u64; 2]) -> HashMap<String, u64> {
    let since = Instant::now();
    let mut done = false;
    loop {
        wires.drain();
        let all = controller.ok(Command::Counters).counters;
        let all: HashMap<_, _> = all.into_iter().map(|c| (c.name, c.value)).collect();
        // The ports are asked after the workers: what they say of the last frames, these say the next time.
        if done || since.elapsed() > PATIENCE {
            return all;
        }
        done = ["port_x_rx_packets", "port_y_rx_packets"].map(|name| all[name]) == sent;
    }
}

/// Realm x has a VLAN, realm y has none.
fn target(side: u8) -> Target {
    let net = side + 1;
    let v4 = |host| Ipv4Addr::new(10, net, 0, host);
    let v6 = |host| Ipv6Addr::new(0xfd00 + u16::from(net), 0, 0, 0, 0, 0, 0, host);
    Target {
        mac: [2, 0, 0, 0, 0, net],
        vlan: (side == 0).then_some(100),
        v4: v4(1),
        v6: v6(1),
        peer_mac: [4, 0, 0, 0, 0, net],
        peer_v4: v4(2),
        peer_v6: v6(2),
        flows: PORTS.map(|port| (port - 10_000, port)).to_vec(),
    }
}

/// A flow between the two; of IPv4 on this side and on that.
fn flow(id: u64, port: u16, v4: [bool; 2], kind: FlowKind) -> FlowSpec {
    let leg = |side: u16| {
        let target = target(side as u8);
        let (local, peer): (IpAddr, IpAddr) = if v4[usize::from(side)] {
            (target.v4.into(), target.peer_v4.into())
        } else {
            (target.v6.into(), target.peer_v6.into())
        };
        LegSpec {
            realm: side,
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
