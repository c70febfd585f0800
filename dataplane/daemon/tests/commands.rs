//! Commands on flows, as many as come, cost no packet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod lab;
#[path = "lab/wires.rs"]
mod wires;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use lab::controller::Controller;
use lab::{Lab, Options, PATIENCE};
use tandem_link::{
    Command, Cookie, FlowId, FlowKind, FlowSpec, FromDataplane, LegSpec, MediaKind, RateLimit,
    ToDataplane, decode, encode,
};
use tandem_shm::{Record, payload_buffer};
use tandem_wire::checksum::Sum;
use tandem_wire::{EthernetRepr, Ipv4Repr, RtpRepr, UdpRepr, ethernet, udp};
use wires::Wires;

/// Flow pairs that stand, with packets, and those that come and go.
const STANDING: u64 = 64;
const CHANGING: u64 = 400;
const COMMANDS: u64 = 300_000;
/// Commands that were not answered yet, and packets on their way: less than a ring holds, so that whatever is lost was lost by
/// the daemon.
const OPEN: u64 = 128;
const UNDER_WAY: u64 = 512;
/// A second. A busy machine with a build for tests is slower than the appliance: what it reaches is printed.
const AT_LEAST: f64 = 20_000.0;

#[test]
fn commands_cost_no_packet() {
    let mut lab = Lab::new(&Options {
        memif: "xy",
        ..Options::default()
    });
    lab.start();
    wires::quiet(&lab);
    let mut controller = Controller::connect(&lab.link_socket());
    let mut wires = Wires::new(&lab);
    for id in 0..STANDING {
        controller.ok(Command::PutFlow(flow(id)));
    }
    let media: Vec<_> = (0..STANDING).map(|id| frame(port(id))).collect();
    let is_media = |frame: &[u8]| {
        frame.starts_with(&[4, 0, 0, 0, 0, 2])
            && frame.get(12..14) == Some(&[0x08, 0x00])
            && frame.get(23) == Some(&17)
    };

    // The first flow pair's packets show when the daemon has seen its links and neighbours; the others' count.
    let since = Instant::now();
    while wires.take(1, |frame| is_media(frame) && to_first(frame)) == 0 {
        assert!(since.elapsed() < PATIENCE, "nothing is relayed");
        wires.send(0, |packet| packet.write(&media[0]).unwrap());
        std::thread::yield_now();
    }
    let is_media = |frame: &[u8]| is_media(frame) && !to_first(frame);
    wires.finish(0);

    let end = &mut controller.ends[0];
    let mut buffer = payload_buffer();
    let (mut given, mut answered, mut last_figures) = (0, 0, 0);
    let (mut sent, mut relayed, mut next) = (0, 0, 0);
    let begun = Instant::now();
    let mut since = begun;
    while answered < COMMANDS || relayed < sent {
        while given < COMMANDS && given - answered < OPEN {
            let command = command(given);
            let message = encode(&ToDataplane::Command {
                seq: given,
                command,
            });
            if end.producer.push_message(&message).is_err() {
                break;
            }
            given += 1;
        }
        while let Some((record, length)) = end.consumer.pop(&mut buffer).unwrap() {
            assert_eq!(record, Record::Message);
            match decode(&buffer[..length]).unwrap() {
                FromDataplane::Done { seq, result } => {
                    assert_eq!((seq, result), (answered, Ok(())));
                    answered += 1;
                }
                FromDataplane::Flow { .. } => last_figures += 1,
                other => panic!("{other:?}"),
            }
            since = Instant::now();
        }
        if answered < COMMANDS && sent - relayed < UNDER_WAY {
            sent += wires.send(0, |packet| {
                packet.write(&media[1 + next % (media.len() - 1)]).unwrap();
                next += 1;
            });
        }
        relayed += wires.take(1, is_media);
        assert!(
            since.elapsed() < PATIENCE,
            "{answered} answers, {relayed} of {sent} packets"
        );
    }
    let rate = COMMANDS as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} commands a second, {sent} packets meanwhile, none lost");
    assert_eq!(last_figures, COMMANDS / 2);
    assert!(sent > 10_000, "{sent} packets");
    assert_eq!(relayed, sent);
    assert!(rate > AT_LEAST, "{rate:.0} commands a second");
    assert_eq!(controller.counter("flow_commands"), COMMANDS + STANDING);
    assert_eq!(controller.counter("flows"), STANDING);
    assert_eq!(lab.stop(), Some(0));
}

/// Whether a frame is of the first flow pair.
fn to_first(frame: &[u8]) -> bool {
    frame.get(36..38) == Some(&port(0).to_be_bytes())
}

/// Half of them install a flow pair; the others remove it again, when as many as can be are there.
fn command(n: u64) -> Command {
    let (round, step) = (n / (2 * CHANGING), n % (2 * CHANGING));
    let id = STANDING + step % CHANGING;
    let spec = FlowSpec {
        id: FlowId(id + round * CHANGING),
        ..flow(id)
    };
    if step < CHANGING {
        Command::PutFlow(spec)
    } else {
        Command::RemoveFlow {
            flow: spec.id,
            port: spec.a.port,
        }
    }
}

fn port(id: u64) -> u16 {
    30_000 + 2 * id as u16
}

fn flow(id: u64) -> FlowSpec {
    let leg = |side: u16| {
        let ip = |host| IpAddr::V4(Ipv4Addr::new(10, side as u8 + 1, 0, host));
        LegSpec {
            realm: side,
            local: ip(1),
            port: port(id),
            remote: Some((ip(2), port(id)).into()),
            remote_rtcp: Some((ip(2), port(id) + 1).into()),
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
        kind: FlowKind::Rtp,
        media: MediaKind::Audio,
        clock_rate: 8000,
        a: leg(0),
        b: leg(1),
        timeout_s: 60,
        limit: RateLimit::default(),
    }
}

/// G.711 from side x to a port of ours.
fn frame(port: u16) -> Vec<u8> {
    let (peer, local) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(10, 1, 0, 1));
    let mut payload = [0x55; 172];
    let rtp = RtpRepr {
        marker: false,
        payload_type: 0,
        sequence: 1,
        timestamp: 160,
        ssrc: 9,
    };
    rtp.emit(&mut payload).unwrap();
    let link = EthernetRepr {
        destination: [2, 0, 0, 0, 0, 1],
        source: [4, 0, 0, 0, 0, 1],
        tag: None,
        ethertype: ethernet::IPV4,
    };
    let ip = Ipv4Repr {
        source: peer,
        destination: local,
        traffic_class: 0xb8,
        id: 1,
        dont_fragment: true,
        ttl: 60,
        protocol: udp::PROTOCOL,
        payload_len: 180,
        checksum_offloaded: false,
    };
    let datagram = UdpRepr {
        source_port: port,
        destination_port: port,
        length: 180,
        checksum: 0,
    }
    .with_checksum(Sum::ZERO.ipv4(peer).ipv4(local), &payload);
    let mut bytes = vec![0; 14 + 20 + 180];
    let rest = ip.emit(link.emit(&mut bytes).unwrap()).unwrap();
    datagram.emit(rest).unwrap().copy_from_slice(&payload);
    bytes
}
