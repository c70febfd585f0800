//! Frames, as devices deliver them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tandem_wire::checksum::Sum;
use tandem_wire::{EthernetRepr, Ipv4Repr, Ipv6Repr, Mac, RtpRepr, UdpRepr, ethernet, udp};

use super::FLOWS;

pub(crate) const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1]];
/// The inner realm's, where one is used.
pub(crate) const VLAN: u16 = 100;
/// Our port of SIP.
pub(crate) const SIP: u16 = 5060;
/// G.711, 20 ms.
const PAYLOAD: [u8; 160] = [0x55; 160];

/// How packets come and go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    pub(crate) family: Family,
    /// The inner realm's frames are tagged.
    pub(crate) vlan: bool,
    /// The device does not look at checksums.
    pub(crate) software: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Family {
    #[default]
    V4,
    V6,
}

/// Packets in the order in which they come.
pub(crate) struct Packets {
    /// The port of each, and the bytes that are its own: all of the same length.
    pub(crate) items: Vec<(u16, Vec<u8>)>,
    /// The bytes that end all of them.
    pub(crate) tail: Vec<u8>,
    /// Sources that are blocked.
    pub(crate) blocked: Vec<IpAddr>,
    /// Whether SIP is policed, and all unknown sources together have had enough.
    pub(crate) policed: bool,
}

impl Way {
    /// Our address and the peer's on a leg.
    pub(crate) fn ends(self, leg: u16) -> (IpAddr, IpAddr) {
        let leg = leg.to_be_bytes()[1];
        match self.family {
            Family::V4 => {
                let ip = |host| IpAddr::V4(Ipv4Addr::new(192, 0, 2 + leg, host));
                (ip(1), ip(10))
            }
            Family::V6 => {
                let net = u16::from(leg);
                let ip = |host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host));
                (ip(1), ip(0x10))
            }
        }
    }
}

/// The RTP port of a flow pair, the same on both legs.
pub(crate) fn port(flow: u16) -> u16 {
    10_000 + 2 * flow
}

/// RTP to both legs of every flow pair.
pub(crate) fn rtp(way: Way) -> Option<Packets> {
    let rtp = RtpRepr {
        marker: false,
        payload_type: 0,
        sequence: 1,
        timestamp: 160,
        ssrc: 1,
    };
    let mut payload = [0x55; 12 + PAYLOAD.len()];
    rtp.emit(&mut payload)?;
    let frames = both_legs(|leg, flow| media_frame(way, leg, port(flow), &payload))?;
    Some(split(frames, PAYLOAD.len()))
}

/// A sender report with one report block (RFC 3550 section 6.4.1) and a CNAME, to both legs of every flow pair.
pub(crate) fn rtcp(way: Way) -> Option<Packets> {
    let mut report = vec![0; 52];
    report.get_mut(..4)?.copy_from_slice(&[0x81, 200, 0, 12]);
    report.extend([
        0x81, 202, 0, 3, 0, 0, 0, 1, 1, 4, b'a', b'@', b'b', b'c', 0, 0,
    ]);
    let frames = both_legs(|leg, flow| media_frame(way, leg, port(flow) + 1, &report))?;
    Some(split(frames, 0))
}

/// RTP to ports of ours that no flow has.
pub(crate) fn no_flow(way: Way) -> Option<Packets> {
    let frames = both_legs(|leg, flow| {
        let port = 10_000 + 2 * FLOWS + 2 * flow;
        media_frame(way, leg, port, &[0x80; 12 + PAYLOAD.len()])
    })?;
    Some(split(frames, PAYLOAD.len()))
}

/// SIP from sources that are blocked.
pub(crate) fn blocked(way: Way) -> Option<Packets> {
    let source = |n: u8| IpAddr::V4(Ipv4Addr::new(198, 51, 100, n));
    let message = request(0);
    let frames = (0..100u8)
        .map(|n| {
            let (local, _) = way.ends(0);
            frame(way, 0, (source(n), SIP), (local, SIP), &message).map(|frame| (0, frame))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Packets {
        blocked: (0..100).map(source).collect(),
        ..split(frames, 0)
    })
}

/// SIP from 20,000 sources that nobody knows, each of which sends once in a round.
pub(crate) fn flood(way: Way) -> Option<Packets> {
    let message = request(0);
    let frames = (0..20_000u32)
        .map(|n| {
            // An odd factor: each number once, spread over 16 million.
            let source = Ipv4Addr::from(0x3300_0000 | n.wrapping_mul(0x9e37_79b1) >> 8);
            let (local, _) = way.ends(0);
            let from = (IpAddr::V4(source), SIP);
            frame(way, 0, from, (local, SIP), &message).map(|frame| (0, frame))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Packets {
        policed: true,
        ..split(frames, message.len())
    })
}

/// INVITEs, each of a call of its own.
pub(crate) fn invite(way: Way) -> Option<Packets> {
    let (local, peer) = way.ends(0);
    let frames = (0..1000u32)
        .map(|n| frame(way, 0, (peer, SIP), (local, SIP), &request(n)).map(|frame| (0, frame)))
        .collect::<Option<Vec<_>>>()?;
    Some(split(frames, 0))
}

/// What answers each message: its end comes from the peer of the inner side.
pub(crate) fn answers(way: Way, messages: Vec<Vec<u8>>) -> Option<Packets> {
    let (local, peer) = way.ends(1);
    let frames = messages
        .iter()
        .map(|message| {
            let end = message.iter().position(|byte| *byte == b'\n')?;
            let answer = [b"SIP/2.0 200 OK\r\n", message.get(end + 1..)?].concat();
            frame(way, 1, (peer, SIP), (local, SIP), &answer).map(|frame| (1, frame))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(split(frames, 0))
}

/// An INVITE with an offer.
fn request(call: u32) -> Vec<u8> {
    let offer = "v=0\r\no=- 20518 0 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=audio 54400 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    format!(
        "INVITE sip:+15551234567@192.0.2.1 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{call:08}\r\n\
        Max-Forwards: 70\r\n\
        From: \"A caller\" <sip:+15557654321@192.0.2.10>;tag={call:08}\r\n\
        To: <sip:+15551234567@192.0.2.1>\r\n\
        Call-ID: {call:08}-0b1f-4a73-9c2e@192.0.2.10\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:+15557654321@192.0.2.10:5060>\r\n\
        Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n\
        Supported: 100rel, timer\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n{offer}",
        offer.len()
    )
    .into_bytes()
}

/// A frame of each leg of each flow, in random order.
fn both_legs(frame: impl Fn(u16, u16) -> Option<Vec<u8>>) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut frames = Vec::new();
    for flow in 0..FLOWS {
        for leg in 0..2 {
            frames.push((leg, frame(leg, flow)?));
        }
    }
    shuffle(&mut frames);
    Some(frames)
}

/// Takes the end that all frames share off each.
fn split(mut items: Vec<(u16, Vec<u8>)>, tail: usize) -> Packets {
    let end = items.first().map_or(&[][..], |(_, frame)| frame);
    let tail = end
        .get(end.len().saturating_sub(tail)..)
        .unwrap_or_default()
        .to_vec();
    for (_, frame) in &mut items {
        frame.truncate(frame.len() - tail.len());
        // A device writes all of a tagged frame and of an untagged one; so must we.
    }
    Packets {
        items,
        tail,
        blocked: Vec::new(),
        policed: false,
    }
}

/// From the peer of a leg to a port of ours.
fn media_frame(way: Way, leg: u16, port: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let (local, peer) = way.ends(leg);
    frame(way, leg, (peer, port), (local, port), payload)
}

fn frame(
    way: Way,
    leg: u16,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    payload: &[u8],
) -> Option<Vec<u8>> {
    let [outer, inner] = MACS;
    let link = EthernetRepr {
        destination: if leg == 0 { outer } else { inner },
        source: [4; 6],
        tag: (way.vlan && leg == 1).then_some(VLAN),
        ethertype: match way.family {
            Family::V4 => ethernet::IPV4,
            Family::V6 => ethernet::IPV6,
        },
    };
    let payload_len = u16::try_from(udp::HEADER + payload.len()).ok()?;
    let mut bytes = vec![0; link.len() + 40 + usize::from(payload_len)];
    let rest = link.emit(&mut bytes)?;
    let (rest, sum) = match (from.0, to.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let ip = Ipv4Repr {
                source,
                destination,
                traffic_class: 46 << 2,
                id: 1,
                dont_fragment: true,
                ttl: 60,
                protocol: udp::PROTOCOL,
                payload_len,
                checksum_offloaded: false,
            };
            (ip.emit(rest)?, Sum::ZERO.ipv4(source).ipv4(destination))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let ip = Ipv6Repr {
                source,
                destination,
                traffic_class: 46 << 2,
                next_header: udp::PROTOCOL,
                hop_limit: 60,
                payload_len,
            };
            (ip.emit(rest)?, Sum::ZERO.ipv6(source).ipv6(destination))
        }
        _ => return None,
    };
    let udp = UdpRepr {
        source_port: from.1,
        destination_port: to.1,
        length: payload_len,
        checksum: 0,
    };
    let rest = udp.with_checksum(sum, payload).emit(rest)?;
    rest.get_mut(..payload.len())?.copy_from_slice(payload);
    let spare = rest.len() - payload.len();
    bytes.truncate(bytes.len() - spare);
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
