//! What a relayed packet costs in the pure relay: no device, no driver.
//!
//! 10,000 flow pairs, G.711 (172 bytes of UDP payload), packets of both directions in random order,
//! bursts of 32. The bench also has to lay out each packet anew, since the relay rewrites it in
//! place; that is measured alone and taken off.
//!
//!     cargo run --release -p tandem-bench-micro
//!
//! Time depends on the machine; instructions do not. For these:
//!
//!     valgrind --tool=callgrind --callgrind-out-file=callgrind.out \
//!         target/release/tandem-bench-micro 640000
//!     callgrind_annotate --inclusive=yes callgrind.out
//!
//! and divide what `classified` (the decision) and `classify` collected by the packets.

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_bench_micro::prefetch;
use tandem_link::{Cookie, FlowId, FlowKind, FlowSpec, LegSpec, SlotTable};
use tandem_relay::{
    Checksum, Forwarding, Frame, PortConfig, RealmConfig, Relay, RelayConfig, RxChecksums,
    TxOffloads, Verdict,
};
use tandem_wire::checksum::Sum;
use tandem_wire::{EthernetRepr, Ipv4Repr, Mac, RtpRepr, UdpRepr, ethernet};

const FLOWS: u16 = 10_000;
const BURST: usize = 32;
/// As a device's ring: so many buffers are in use in turn.
const BUFFERS: usize = 1024;
const BUFFER: usize = 2176;
const HEADROOM: usize = 128;
/// Ethernet, IPv4, UDP and RTP.
const HEADERS: usize = 14 + 20 + 8 + 12;
const PAYLOAD: usize = 160;
const LOCALS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(10, 0, 0, 1)];
const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(10, 0, 0, 10)];
const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1]];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-micro: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let packets = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of packets"))?,
        None => 20_000_000,
    };
    let checksums = [
        ("checksums verified by the device", Checksum::Good),
        ("checksums verified in software", Checksum::Unknown),
    ];
    // Instructions are counted for one way only.
    let runs = if packets < 1_000_000 {
        1
    } else {
        checksums.len()
    };
    println!("{packets} packets, {FLOWS} flow pairs in random order, bursts of {BURST}");
    for (name, checksum) in checksums.into_iter().take(runs) {
        let received = RxChecksums {
            ip: checksum,
            udp: checksum,
        };
        let mut bench = Bench::new(received)?;
        let empty = bench.time(packets, |_, _, frames| frames.len() as u64)?;
        let full = bench.time(packets, relay_burst)?;
        let cost = full.saturating_sub(empty).as_secs_f64() * 1e9 / packets as f64;
        println!("{name}: {cost:.1} ns a packet");
    }
    Ok(())
}

/// As a worker does it: looks at the whole burst, then decides on each frame. Answers how many were
/// relayed.
fn relay_burst(relay: &mut Relay, ports: &[u16; BURST], frames: &mut [Frame<'_>; BURST]) -> u64 {
    let mut looks = [const { None }; BURST];
    for ((look, port), frame) in looks.iter_mut().zip(ports).zip(frames.iter()) {
        let look = look.insert(relay.look(*port, frame.bytes()));
        relay.lines(look).into_iter().flatten().for_each(prefetch);
    }
    let mut relayed = 0;
    for (look, frame) in looks.into_iter().zip(frames) {
        let verdict = look.map(|look| relay.decide(1, frame, look));
        relayed += u64::from(matches!(verdict, Some(Verdict::Transmit { .. })));
    }
    relayed
}

/// A relay with its flows, and packets for it.
struct Bench {
    relay: Relay,
    /// Headers of every packet: by flow and direction, in random order.
    headers: Vec<(u16, [u8; HEADERS])>,
    buffers: Vec<u8>,
    received: RxChecksums,
}

impl Bench {
    fn new(received: RxChecksums) -> Result<Self, Box<dyn Error>> {
        let realm = |port: u16, local| RealmConfig {
            port,
            vlan: None,
            sip: Vec::new(),
            media: vec![IpAddr::V4(local)],
            media_ports: 10_000..=59_999,
        };
        let [outer, inner] = LOCALS;
        let port = |mac| PortConfig {
            mac,
            mtu: 1500,
            offloads: TxOffloads::default(),
        };
        let mut relay = Relay::new(RelayConfig {
            worker: 0,
            slots: SlotTable::deal(&[0]),
            ports: MACS.map(port).to_vec(),
            realms: vec![realm(0, outer), realm(1, inner)],
            sip_dscp: 24,
            learning_ns: 3_000_000_000,
            max_flows: FLOWS.into(),
            seed: [0; 16],
        })?;
        let mut forwarding = Forwarding::builder(1, 2);
        for (index, peer) in (0u16..).zip(PEERS) {
            let peer = IpAddr::V4(peer);
            forwarding
                .route(index, peer, 24, 0, None, 1)
                .neighbour(index, peer, [4; 6]);
        }
        relay.set_forwarding(Arc::new(forwarding.build()));
        let mut headers = Vec::new();
        for flow in 0..FLOWS {
            relay.put_flow(0, &spec(flow))?;
            headers.push((0, packet(0, flow).ok_or("no room for headers")?));
            headers.push((1, packet(1, flow).ok_or("no room for headers")?));
        }
        shuffle(&mut headers);
        let mut buffers = vec![0; BUFFERS * BUFFER];
        for buffer in buffers.chunks_mut(BUFFER) {
            let payload = buffer.get_mut(HEADROOM + HEADERS..HEADROOM + HEADERS + PAYLOAD);
            payload.ok_or("a buffer is too small")?.fill(0x55);
        }
        Ok(Self {
            relay,
            headers,
            buffers,
            received,
        })
    }

    /// The time for so many packets; `each` answers how many of a burst were in order.
    fn time(
        &mut self,
        packets: usize,
        mut each: impl FnMut(&mut Relay, &[u16; BURST], &mut [Frame<'_>; BURST]) -> u64,
    ) -> Result<Duration, Box<dyn Error>> {
        let mut good = 0;
        let mut next = self.headers.iter().cycle();
        let mut done = 0;
        let began = Instant::now();
        while done < packets {
            for burst in self.buffers.chunks_mut(BURST * BUFFER) {
                let mut ports = [0; BURST];
                // What the device and its driver do.
                for ((buffer, port), (from, headers)) in
                    burst.chunks_mut(BUFFER).zip(&mut ports).zip(&mut next)
                {
                    *port = *from;
                    if let Some(place) = buffer.get_mut(HEADROOM..HEADROOM + HEADERS) {
                        place.copy_from_slice(headers);
                    }
                }
                let mut buffers = burst.chunks_mut(BUFFER);
                let mut frames = [(); BURST].map(|()| {
                    let buffer = buffers.next().unwrap_or_default();
                    let length = HEADERS + PAYLOAD;
                    Frame::new(buffer, HEADROOM, length, self.received).unwrap_or_default()
                });
                good += each(&mut self.relay, &ports, &mut frames);
                black_box(&frames);
                done += BURST;
                if done >= packets {
                    break;
                }
            }
        }
        let took = began.elapsed();
        if good != done as u64 {
            return Err(format!("not all were relayed: {:?}", self.relay.counters()).into());
        }
        Ok(took)
    }
}

fn spec(flow: u16) -> FlowSpec {
    let [a, b] = [0u16, 1].map(|leg| {
        let [local, peer] = ends(leg);
        LegSpec {
            realm: leg,
            local: IpAddr::V4(local),
            port: port(flow),
            remote: Some(SocketAddr::new(IpAddr::V4(peer), port(flow))),
            remote_rtcp: Some(SocketAddr::new(IpAddr::V4(peer), port(flow) + 1)),
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: false,
            event_type: None,
        }
    });
    let id = u64::from(flow);
    FlowSpec {
        id: FlowId(id),
        cookie: Cookie(id),
        kind: FlowKind::Rtp,
        media: tandem_link::MediaKind::Audio,
        clock_rate: 0,
        a,
        b,
        timeout_s: 60,
        limit: tandem_link::RateLimit::default(),
    }
}

/// Our address and the peer's on a leg.
fn ends(leg: u16) -> [Ipv4Addr; 2] {
    let ([a, b], [c, d]) = (LOCALS, PEERS);
    if leg == 0 { [a, c] } else { [b, d] }
}

fn port(flow: u16) -> u16 {
    10_000 + 2 * flow
}

/// The headers of a packet to a flow's leg, from its peer.
fn packet(leg: u16, flow: u16) -> Option<[u8; HEADERS]> {
    let [local, peer] = ends(leg);
    let mut bytes = [0; HEADERS];
    let [outer, inner] = MACS;
    let link = EthernetRepr {
        destination: if leg == 0 { outer } else { inner },
        source: [4; 6],
        tag: None,
        ethertype: ethernet::IPV4,
    };
    let payload_len = u16::try_from(8 + 12 + PAYLOAD).ok()?;
    let ip = Ipv4Repr {
        source: peer,
        destination: local,
        traffic_class: 46 << 2,
        id: 1,
        dont_fragment: true,
        ttl: 60,
        protocol: 17,
        payload_len,
        checksum_offloaded: false,
    };
    let rtp = RtpRepr {
        marker: false,
        payload_type: 0,
        sequence: 1,
        timestamp: 160,
        ssrc: 1,
    };
    let mut payload = [0x55; 12 + PAYLOAD];
    rtp.emit(&mut payload)?;
    let udp = UdpRepr {
        source_port: port(flow),
        destination_port: port(flow),
        length: payload_len,
        checksum: 0,
    }
    .with_checksum(Sum::ZERO.ipv4(peer).ipv4(local), &payload);
    let rest = udp.emit(ip.emit(link.emit(&mut bytes)?)?)?;
    rest.copy_from_slice(payload.first_chunk::<12>()?);
    Some(bytes)
}

/// Fisher and Yates, by a small generator that always gives the same order.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(last, (state % (last as u64 + 1)) as usize);
    }
}
