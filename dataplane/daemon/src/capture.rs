//! A worker's part of a capture: matching packets, copied into a bounded ring. Without a capture
//! it costs one test of an option per burst.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tandem_link::{CaptureFilter, Direction, FlowId, FlowSpec, LegSpec};
use tandem_wire::sip;

use crate::counters::WorkerCounters;

/// Bytes of a record's header in the ring.
const HEADER: usize = 20;

/// A captured packet, as the control thread reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// Monotonic nanoseconds.
    pub(crate) time: u64,
    pub(crate) port: u16,
    pub(crate) direction: Direction,
    /// On the wire.
    pub(crate) length: u32,
    pub(crate) data: Vec<u8>,
}

/// What a worker holds while a capture runs.
#[derive(Debug)]
pub(crate) struct Capture {
    filter: CaptureFilter,
    snaplen: usize,
    /// The appliance's media addresses and RTP ports of the flows of the filter.
    media: Vec<(FlowId, IpAddr, u16)>,
    /// Records: time, length, bytes kept, port, direction, then the bytes.
    ring: rtrb::Producer<u8>,
}

impl Capture {
    pub(crate) fn new(filter: CaptureFilter, snaplen: u32, ring: rtrb::Producer<u8>) -> Self {
        let snaplen = usize::try_from(snaplen)
            .unwrap_or(usize::MAX)
            .min(MAX_SNAPLEN);
        // Room for both legs, so that a flow that is learned of does not allocate.
        let media = Vec::with_capacity(filter.flows.len() * 2);
        Self {
            filter,
            snaplen,
            media,
            ring,
        }
    }

    /// A flow is there, or was changed.
    pub(crate) fn learn(&mut self, flow: &FlowSpec) {
        if !self.filter.flows.contains(&flow.id) {
            return;
        }
        self.media.retain(|(id, ..)| *id != flow.id);
        let end = |leg: &LegSpec| (flow.id, leg.local, leg.port);
        self.media.extend([end(&flow.a), end(&flow.b)]);
    }

    /// Takes a frame if it matches and there is room.
    pub(crate) fn offer(
        &mut self,
        time: u64,
        port: u16,
        direction: Direction,
        frame: &[u8],
        counters: &WorkerCounters,
    ) {
        if !self.matches(frame) {
            return;
        }
        let kept = frame.get(..self.snaplen).unwrap_or(frame);
        let Ok(mut chunk) = self.ring.write_chunk(HEADER + kept.len()) else {
            counters.capture_full.add(1);
            return;
        };
        let [t0, t1, t2, t3, t4, t5, t6, t7] = time.to_le_bytes();
        let [l0, l1, l2, l3] = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
        let [k0, k1, k2, k3] = u32::try_from(kept.len()).unwrap_or(0).to_le_bytes();
        let [p0, p1] = port.to_le_bytes();
        let sent = u8::from(direction == Direction::Sent);
        let header: [u8; HEADER] = [
            t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, l2, l3, k0, k1, k2, k3, p0, p1, sent, 0,
        ];
        let (first, second) = chunk.as_mut_slices();
        let to = first.iter_mut().chain(second);
        to.zip(header.iter().chain(kept))
            .for_each(|(to, from)| *to = *from);
        chunk.commit_all();
        counters.captured.add(1);
    }

    fn matches(&self, frame: &[u8]) -> bool {
        let filter = &self.filter;
        if filter.flows.is_empty() && filter.addresses.is_empty() && filter.call_ids.is_empty() {
            return true;
        }
        let Some(packet) = Packet::of(frame) else {
            return false;
        };
        let ours = |ip: IpAddr, port: u16| {
            // RTCP has the odd port above.
            self.media
                .iter()
                .any(|(_, local, rtp)| *local == ip && *rtp == port & !1)
        };
        filter
            .addresses
            .iter()
            .any(|ip| *ip == packet.source || *ip == packet.destination)
            || packet.udp.is_some_and(|udp| {
                ours(packet.source, udp.source)
                    || ours(packet.destination, udp.destination)
                    || !filter.call_ids.is_empty()
                        && sip::call_id(udp.payload)
                            .is_some_and(|id| filter.call_ids.iter().any(|wanted| wanted == id))
            })
    }
}

/// The most bytes kept of a packet: a message of the link has room for them.
const MAX_SNAPLEN: usize = 32 * 1024;

/// Takes the next captured packet out of a worker's ring.
pub(crate) fn next(ring: &mut rtrb::Consumer<u8>) -> Option<Captured> {
    let header = ring.read_chunk(HEADER).ok()?;
    let mut bytes = [0; HEADER];
    let (first, second) = header.as_slices();
    bytes
        .iter_mut()
        .zip(first.iter().chain(second))
        .for_each(|(to, from)| *to = *from);
    header.commit_all();
    let [
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
        l0,
        l1,
        l2,
        l3,
        k0,
        k1,
        k2,
        k3,
        p0,
        p1,
        sent,
        _,
    ] = bytes;
    let kept = usize::try_from(u32::from_le_bytes([k0, k1, k2, k3])).ok()?;
    // Written as one chunk with its header, so it is there.
    let chunk = ring.read_chunk(kept).ok()?;
    let (first, second) = chunk.as_slices();
    let data = [first, second].concat();
    chunk.commit_all();
    Some(Captured {
        time: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        port: u16::from_le_bytes([p0, p1]),
        direction: if sent == 1 {
            Direction::Sent
        } else {
            Direction::Received
        },
        length: u32::from_le_bytes([l0, l1, l2, l3]),
        data,
    })
}

/// What the filter looks at in an IP packet.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    udp: Option<Udp<'a>>,
}

#[derive(Clone, Copy)]
struct Udp<'a> {
    source: u16,
    destination: u16,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a frame, with or without VLAN tags; also packets that the relay would not accept.
    fn of(frame: &'a [u8]) -> Option<Self> {
        let mut l2 = frame.get(12..)?;
        while let [0x81, 0x00, _, _, rest @ ..] | [0x88, 0xA8, _, _, rest @ ..] = l2 {
            l2 = rest;
        }
        let (source, destination, protocol, l4): (IpAddr, IpAddr, u8, &[u8]) = match l2 {
            [0x08, 0x00, ip @ ..] => {
                let header = ip.first_chunk::<20>()?;
                let [first, .., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
                let length = usize::from(first & 0xF) * 4;
                let [_, _, _, _, _, _, f0, f1, _, protocol, ..] = *header;
                // Behind the first fragment there is no UDP header.
                let whole = u16::from_be_bytes([f0, f1]) & 0x1FFF == 0;
                (
                    Ipv4Addr::from([s0, s1, s2, s3]).into(),
                    Ipv4Addr::from([d0, d1, d2, d3]).into(),
                    protocol,
                    if whole { ip.get(length..)? } else { &[] },
                )
            }
            [0x86, 0xDD, ip @ ..] => {
                let source: [u8; 16] = ip.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = ip.get(24..40)?.try_into().ok()?;
                (
                    Ipv6Addr::from(source).into(),
                    Ipv6Addr::from(destination).into(),
                    *ip.get(6)?,
                    ip.get(40..)?,
                )
            }
            _ => return None,
        };
        let udp = match l4 {
            [s0, s1, d0, d1, _, _, _, _, payload @ ..] if protocol == 17 => Some(Udp {
                source: u16::from_be_bytes([*s0, *s1]),
                destination: u16::from_be_bytes([*d0, *d1]),
                payload,
            }),
            _ => None,
        };
        Some(Self {
            source,
            destination,
            udp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_link::{Cookie, FlowKind};

    fn frame(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0, 0, 5, 8, 0]);
        let mut ip = [0; 20];
        ip[0] = 0x45;
        ip[9] = 17;
        ip[12..16].copy_from_slice(&source);
        ip[16..20].copy_from_slice(&destination);
        frame.extend(ip);
        frame.extend(ports.0.to_be_bytes());
        frame.extend(ports.1.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    fn capture(filter: CaptureFilter, snaplen: u32) -> (Capture, rtrb::Consumer<u8>) {
        let (producer, consumer) = rtrb::RingBuffer::new(4096);
        (Capture::new(filter, snaplen, producer), consumer)
    }

    fn takes(filter: CaptureFilter, frame: &[u8]) -> bool {
        let (mut capture, mut ring) = capture(filter, 100);
        capture.offer(1, 0, Direction::Received, frame, &WorkerCounters::default());
        next(&mut ring).is_some()
    }

    #[test]
    fn a_packet_comes_out_as_it_went_in_cut_to_the_snaplen() {
        let counters = WorkerCounters::default();
        let (mut capture, mut ring) = capture(CaptureFilter::default(), 30);
        let frame = frame([1; 4], [2; 4], (5060, 5060), b"hello");
        capture.offer(77, 3, Direction::Sent, &frame, &counters);
        let captured = next(&mut ring).unwrap();
        assert_eq!(
            captured,
            Captured {
                time: 77,
                port: 3,
                direction: Direction::Sent,
                length: frame.len() as u32,
                data: frame[..30].to_vec(),
            }
        );
        assert_eq!(next(&mut ring), None);
        while counters.capture_full.value() == 0 {
            capture.offer(77, 3, Direction::Sent, &frame, &counters);
        }
        assert_eq!(counters.captured.value(), 1 + 4096 / 50);
        let left = std::iter::from_fn(|| next(&mut ring)).count();
        assert_eq!(left, 4096 / 50);
    }

    #[test]
    fn each_kind_of_filter_takes_its_packets_only() {
        let invite = b"INVITE sip:x SIP/2.0\r\nCall-ID: abc\r\n\r\n";
        let sip = frame([1, 1, 1, 1], [2, 2, 2, 2], (5060, 5060), invite);
        let by_id = |id: &[u8]| CaptureFilter {
            call_ids: vec![id.to_vec()],
            ..CaptureFilter::default()
        };
        assert!(takes(by_id(b"abc"), &sip));
        assert!(!takes(by_id(b"abd"), &sip));
        let by_address = |ip: [u8; 4]| CaptureFilter {
            addresses: vec![ip.into()],
            ..CaptureFilter::default()
        };
        assert!(takes(by_address([1, 1, 1, 1]), &sip));
        assert!(takes(by_address([2, 2, 2, 2]), &sip));
        assert!(!takes(by_address([3, 3, 3, 3]), &sip));
        assert!(!takes(by_address([1, 1, 1, 1]), b"short"));
    }

    #[test]
    fn media_of_a_flow_is_taken_on_both_legs_with_its_rtcp() {
        let leg = |local: [u8; 4], port| LegSpec {
            realm: 0,
            local: local.into(),
            port,
            remote: None,
            remote_rtcp: None,
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: false,
            event_type: None,
        };
        let flow = |id| FlowSpec {
            id: FlowId(id),
            cookie: Cookie(1),
            kind: FlowKind::Rtp,
            media: tandem_link::MediaKind::Audio,
            clock_rate: 0,
            a: leg([10, 0, 0, 1], 30000),
            b: leg([10, 0, 1, 1], 30002),
            timeout_s: 60,
            limit: tandem_link::RateLimit::default(),
        };
        let counters = WorkerCounters::default();
        let filter = CaptureFilter {
            flows: vec![FlowId(5)],
            ..CaptureFilter::default()
        };
        let (mut capture, mut ring) = capture(filter, 100);
        capture.learn(&flow(6));
        let inward = frame([9; 4], [10, 0, 0, 1], (4000, 30001), b"x");
        let outward = frame([10, 0, 1, 1], [9; 4], (30002, 4000), b"x");
        let other = frame([9; 4], [10, 0, 0, 1], (4000, 30002), b"x");
        for (flow, taken) in [(flow(6), 0), (flow(5), 2)] {
            capture.learn(&flow);
            for frame in [&inward, &outward, &other] {
                capture.offer(0, 0, Direction::Received, frame, &counters);
            }
            assert_eq!(std::iter::from_fn(|| next(&mut ring)).count(), taken);
        }
    }
}
