//! The frames: RTP with G.711 at 20 ms, over UDP and IPv4, 214 bytes without the frame check sequence.
//!
//! What changes from frame to frame (sequence number, time stamp, time of sending) stands in the payload once more, with all bits
//! turned over. So both together add nothing to a checksum, and the UDP checksum is a constant of its flow.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Bytes of a frame.
pub(crate) const FRAME: usize = 214;
/// Bytes of the Ethernet header.
const ETHERNET: usize = 14;
/// Where the UDP header begins, RTP's, and the payload.
const UDP: usize = ETHERNET + 20;
const RTP: usize = UDP + 8;
const PAYLOAD: usize = RTP + 12;
/// The time of sending, behind a mark of ours.
const STAMP: usize = PAYLOAD + 8;
const MARK: [u8; 8] = *b"tnd-rtp\0";
/// RTP time stamp units in a packet.
const TICKS: u32 = 160;

/// A MAC address.
pub(crate) type Mac = [u8; 6];

/// Both ends of a wire.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ends {
    /// The generator's.
    pub(crate) peer: (Mac, Ipv4Addr),
    /// The subject's.
    pub(crate) subject: (Mac, Ipv4Addr),
}

/// A flow's ports on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) peer: u16,
    pub(crate) subject: u16,
}

/// What makes the frames of one side's flows.
pub(crate) struct Frames {
    plain: [u8; FRAME],
    flows: Vec<Flow>,
}

struct Flow {
    ports: Ports,
    ssrc: u32,
    checksum: u16,
    sequence: u16,
}

impl Frames {
    /// Those of these flows; with UDP checksums, or with 0, which says that there is none.
    pub(crate) fn new(ends: Ends, ports: &[Ports], checksums: bool) -> Self {
        let plain = plain(ends);
        let flow = |(index, ports): (usize, &Ports)| {
            let mut flow = Flow {
                ports: *ports,
                ssrc: 0x7a00_0000 | index as u32,
                checksum: 0,
                sequence: index as u16,
            };
            if checksums {
                let mut frame = plain;
                flow.write(&mut frame, 0);
                flow.checksum = udp_checksum(&frame);
                flow.sequence = index as u16;
            }
            flow
        };
        Self {
            plain,
            flows: ports.iter().enumerate().map(flow).collect(),
        }
    }

    /// Writes the next frame of a flow, sent at this time.
    #[inline]
    pub(crate) fn next(&mut self, flow: usize, now_ns: u64, frame: &mut [u8; FRAME]) {
        *frame = self.plain;
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.write(frame, now_ns);
        }
    }
}

impl Flow {
    #[inline]
    fn write(&mut self, frame: &mut [u8; FRAME], now_ns: u64) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let ticks = u32::from(sequence).wrapping_mul(TICKS);
        put(frame, UDP, self.ports.peer.to_be_bytes());
        put(frame, UDP + 2, self.ports.subject.to_be_bytes());
        put(frame, UDP + 6, self.checksum.to_be_bytes());
        put(frame, RTP + 2, sequence.to_be_bytes());
        put(frame, RTP + 4, ticks.to_be_bytes());
        put(frame, RTP + 8, self.ssrc.to_be_bytes());
        put(frame, STAMP, now_ns.to_be_bytes());
        put(frame, STAMP + 8, (!now_ns).to_be_bytes());
        put(frame, STAMP + 16, (!ticks).to_be_bytes());
        put(frame, STAMP + 20, (!sequence).to_be_bytes());
    }
}

/// When a frame was sent; none if it is not one of ours.
#[inline]
pub(crate) fn sent_at(frame: &[u8]) -> Option<u64> {
    let (mark, rest) = frame.get(PAYLOAD..)?.split_first_chunk::<8>()?;
    let stamp = rest.first_chunk::<8>()?;
    (*mark == MARK).then(|| u64::from_be_bytes(*stamp))
}

#[inline]
fn put<const N: usize>(frame: &mut [u8; FRAME], at: usize, bytes: [u8; N]) {
    if let Some(place) = frame.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

/// What all frames of a side have in common.
fn plain(ends: Ends) -> [u8; FRAME] {
    let mut frame = [0xd5; FRAME];
    put(&mut frame, 0, ends.subject.0);
    put(&mut frame, 6, ends.peer.0);
    put(&mut frame, 12, [0x08, 0x00]);
    let length = (FRAME - ETHERNET) as u16;
    let [high, low] = length.to_be_bytes();
    // Don't fragment, 64 hops, UDP.
    put(
        &mut frame,
        ETHERNET,
        [0x45, 0xb8, high, low, 0, 0, 0x40, 0, 64, 17, 0, 0],
    );
    put(&mut frame, ETHERNET + 12, ends.peer.1.octets());
    put(&mut frame, ETHERNET + 16, ends.subject.1.octets());
    let sum = !folded(sum(frame.get(ETHERNET..UDP).unwrap_or_default()));
    put(&mut frame, ETHERNET + 10, sum.to_be_bytes());
    put(&mut frame, UDP + 4, ((FRAME - UDP) as u16).to_be_bytes());
    put(&mut frame, RTP, [0x80, 8]);
    put(&mut frame, PAYLOAD, MARK);
    frame
}

/// RFC 768 over IPv4; the field is taken as 0.
fn udp_checksum(frame: &[u8; FRAME]) -> u16 {
    let part = |from, to| sum(frame.get(from..to).unwrap_or_default());
    let pseudo = part(ETHERNET + 12, UDP) + 17 + (FRAME - UDP) as u32;
    let all = pseudo + part(UDP, UDP + 6) + part(RTP, FRAME);
    match !folded(all) {
        0 => u16::MAX,
        sum => sum,
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|w| match w {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    words.sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(checksums: bool) -> Frames {
        let ends = Ends {
            peer: ([2, 0, 0, 0, 0, 1], [192, 0, 2, 100].into()),
            subject: ([2, 0, 0, 0, 0, 2], [192, 0, 2, 10].into()),
        };
        let ports = |i: u16| Ports {
            peer: 20_000 + 2 * i,
            subject: 40_000 + 2 * i,
        };
        Frames::new(ends, &[ports(0), ports(1), ports(7)], checksums)
    }

    #[test]
    fn every_frame_has_valid_checksums() {
        let mut frames = frames(true);
        let mut frame = [0; FRAME];
        for (n, now) in [(0, 0), (1, 1), (2, u64::MAX), (2, 0x0102_0304_0506_0708)] {
            for _ in 0..70 {
                frames.next(n, now, &mut frame);
                // By another implementation than that which wrote them.
                let ip = tandem_wire::Ipv4::parse(&frame[14..]).unwrap();
                let udp = tandem_wire::Udp::parse(ip.payload()).unwrap();
                assert!(ip.checksum_ok());
                assert!(udp.checksum() != 0 && udp.checksum_ok(ip.address_sum()));
            }
        }
    }

    #[test]
    fn a_flow_counts_and_its_frames_say_when_they_were_sent() {
        let mut frames = frames(false);
        let mut frame = [0; FRAME];
        let sequence = |frame: &[u8; FRAME]| u16::from_be_bytes([frame[44], frame[45]]);
        frames.next(2, 77, &mut frame);
        assert_eq!(sent_at(&frame), Some(77));
        assert_eq!((sequence(&frame), &frame[40..42]), (2, &[0, 0][..]));
        frames.next(2, 78, &mut frame);
        assert_eq!((sequence(&frame), sent_at(&frame)), (3, Some(78)));
        assert_eq!(u16::from_be_bytes([frame[36], frame[37]]), 40_014);
        assert_eq!(sent_at(&frame[..60]), None);
    }
}
