//! One frame of each kind that a port may meet.

use std::net::{IpAddr, SocketAddr};

use super::{LONGEST, Target, mend};

/// All of them, to `target`.
pub(super) fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Media, several times: it is what a port meets most.
    for &(from, to) in &target.flows {
        for v4 in [true, false] {
            for length in [0, 1, 12, 13, 172, 1000, 1452, 1473] {
                all.push(datagram(target, v4, from, to, &rtp(length)));
            }
            for content in [&RECEIVER_REPORT[..], &SENDER_REPORT, &STUN] {
                all.push(datagram(target, v4, from + 1, to + 1, content));
                all.push(datagram(target, v4, from, to, content));
            }
        }
    }
    for v4 in [true, false] {
        ours(target, v4, &mut all);
        for length in [0, 1, 1480, 1900] {
            all.push(datagram(target, v4, 4000, 5060, &vec![0x5a; length]));
        }
    }
    neighbours(target, &mut all);
    others(target, &mut all);
    for frame in &mut all {
        frame.truncate(LONGEST);
    }
    all
}

/// UDP, TCP and ICMP to our addresses, and what IP may have between its header and them.
fn ours(target: &Target, v4: bool, all: &mut Vec<Vec<u8>>) {
    let (peer, us) = target.ends(v4);
    for sip in [INVITE, ACK, RESPONSE, b"\r\n\r\n", b"INVITE", b"\0"] {
        all.push(datagram(target, v4, 5060, 5060, sip));
    }
    // Without a flow, to the kernel, and without a checksum.
    all.push(datagram(target, v4, 4000, 39_998, &rtp(172)));
    all.push(datagram(target, v4, 53, 53, b"question"));
    let mut bare = datagram(target, v4, 4000, target.flows[0].1, &rtp(172));
    let at = bare.len() - 172 - 2;
    bare[at..at + 2].fill(0);
    all.push(bare);
    for port in [22, 179, 5061] {
        let mut tcp = vec![
            0x9c, 0x40, 0, port as u8, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff,
        ];
        tcp.extend([0, 0, 0, 0]);
        all.push(packet(target, peer, us, 6, &tcp));
    }
    all.push(packet(
        target,
        peer,
        us,
        if v4 { 1 } else { 58 },
        &[8, 0, 0, 0, 0, 1, 0, 1],
    ));
    all.push(packet(
        target,
        peer,
        us,
        112,
        &[0x31, 1, 100, 1, 0, 1, 0, 0],
    ));
    all.push(packet(target, peer, us, 132, &[0; 12]));
    all.push(packet(target, peer, us, 50, &[1; 40]));
    let udp = udp(target.sockets(v4, 4000, target.flows[0].1), &rtp(172));
    if v4 {
        // The first fragment, one in the middle, the last.
        for (flags, part) in [
            (0x2000, &udp[..96]),
            (0x200c, &udp[96..136]),
            (0x0011, &udp[136..]),
        ] {
            let mut frame = packet(target, peer, us, 17, part);
            let ip = frame.len() - part.len() - 20;
            frame[ip + 6..ip + 8].copy_from_slice(&u16::to_be_bytes(flags));
            mend_header(&mut frame);
            all.push(frame);
        }
        // Router alert, and a record of the route.
        for options in [&[0x94, 4, 0, 0][..], &[7, 7, 4, 0, 0, 0, 0, 0]] {
            all.push(with_options(target, options, &udp));
            let sip = self::udp(target.sockets(v4, 5060, 5060), INVITE);
            all.push(with_options(target, options, &sip));
        }
    } else {
        // Hop-by-hop, routing, destination options; a fragment; two of them.
        for kind in [0, 43, 60] {
            let extension = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp].concat();
            all.push(packet(target, peer, us, kind, &extension));
        }
        let fragment = [&[17, 0, 0, 1, 0, 0, 0, 9][..], &udp[..96]].concat();
        all.push(packet(target, peer, us, 44, &fragment));
        let both = [&[44, 0, 1, 4, 0, 0, 0, 0][..], &fragment].concat();
        all.push(packet(target, peer, us, 0, &both));
        all.push(packet(target, peer, us, 59, &[]));
    }
}

/// ARP, neighbour discovery and what is for many.
fn neighbours(target: &Target, all: &mut Vec<Vec<u8>>) {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(target.peer_mac);
    arp.extend(target.peer_v4.octets());
    arp.extend([0; 6]);
    arp.extend(target.v4.octets());
    all.push(frame(target, [0xff; 6], &[], 0x0806, &arp));
    all.push(frame(target, target.mac, &[], 0x0806, &arp));
    let (peer, us) = target.ends(false);
    let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
    solicitation.extend(target.v6.octets());
    solicitation.extend([1, 1]);
    solicitation.extend(target.peer_mac);
    let mut many = packet(target, peer, us, 58, &solicitation);
    many[..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 1]);
    all.push(many);
    // Media and SIP to many, and to somebody else.
    for to in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [2, 9, 9, 9, 9, 9]] {
        for port in [target.flows[0].1, 5060] {
            let mut frame = datagram(target, true, 4000, port, &rtp(20));
            frame[..6].copy_from_slice(&to);
            all.push(frame);
        }
    }
    // From nobody, from ourselves, from many.
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        let from: IpAddr = source.parse().unwrap();
        let to = SocketAddr::new(us4(target), 5060);
        let udp = udp((SocketAddr::new(from, 5060), to), INVITE);
        all.push(packet(target, from, us4(target), 17, &udp));
    }
}

/// Other tags and other protocols.
fn others(target: &Target, all: &mut Vec<Vec<u8>>) {
    let flow = target.flows[0];
    let (_, inner) = datagram(target, true, flow.0, flow.1, &rtp(172))
        .split_at(14 + 4 * usize::from(target.vlan.is_some()))
        .to_owned_pair();
    let vlan = target.vlan.unwrap_or(7);
    for tags in [
        &[(0x8100, 0)][..],
        &[(0x8100, 4095)],
        &[(0x88a8, vlan)],
        &[(0x88a8, 9), (0x8100, vlan)],
        &[(0x8100, vlan), (0x8100, vlan)],
        &[(0x9100, 1), (0x88a8, 2), (0x8100, 3), (0x8100, vlan)],
    ] {
        all.push(frame(target, target.mac, tags, 0x0800, &inner));
    }
    // LLDP, EAPOL, MPLS, PPPoE, IS-IS and spanning tree over 802.3, and lengths that are none.
    for kind in [
        0x88cc, 0x888e, 0x8847, 0x8863, 0x8864, 0x0026, 0, 1500, 1535, 0xffff,
    ] {
        all.push(frame(target, target.mac, &[], kind, &[0x42; 46]));
    }
    for length in 0..14 {
        all.push(vec![0x55; length]);
    }
    all.push(frame(target, target.mac, &[], 0x0800, &[0; 1900]));
    all.push(frame(target, target.mac, &[], 0x86dd, &[0; 1900]));
}

trait OwnedPair {
    fn to_owned_pair(self) -> (Vec<u8>, Vec<u8>);
}

impl OwnedPair for (&[u8], &[u8]) {
    fn to_owned_pair(self) -> (Vec<u8>, Vec<u8>) {
        (self.0.to_vec(), self.1.to_vec())
    }
}

fn us4(target: &Target) -> IpAddr {
    target.v4.into()
}

pub(super) fn datagram(target: &Target, v4: bool, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let ends = target.sockets(v4, from, to);
    packet(target, ends.0.ip(), ends.1.ip(), 17, &udp(ends, payload))
}

/// Its checksum comes with its IP header.
fn udp((from, to): (SocketAddr, SocketAddr), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn packet(target: &Target, from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = Vec::new();
    let kind = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = (20 + payload.len() as u16).to_be_bytes();
            ip.extend([
                0x45, 0xb8, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0,
            ]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            0x0800
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = (payload.len() as u16).to_be_bytes();
            ip.extend([0x6b, 0x80, 0, 0, length[0], length[1], protocol, 64]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            0x86dd
        }
        _ => unreachable!("one family"),
    };
    ip.extend(payload);
    let mut frame = frame(target, target.mac, &[], kind, &ip);
    mend(&mut frame);
    frame
}

fn with_options(target: &Target, options: &[u8], udp: &[u8]) -> Vec<u8> {
    let mut frame = packet(target, target.peer_v4.into(), target.v4.into(), 17, udp);
    let ip = frame.len() - udp.len() - 20;
    frame[ip] += options.len() as u8 / 4;
    let length = (20 + options.len() + udp.len()) as u16;
    frame[ip + 2..ip + 4].copy_from_slice(&length.to_be_bytes());
    frame.splice(ip + 20..ip + 20, options.iter().copied());
    mend(&mut frame);
    frame
}

/// A fragment's UDP checksum is that of the whole: only the header's is made right.
fn mend_header(frame: &mut [u8]) {
    let udp = frame.len();
    let ip = frame
        .windows(2)
        .position(|pair| pair == [0x45, 0xb8])
        .unwrap_or(udp);
    if let Some(header) = frame.get_mut(ip..ip + 20) {
        header[10..12].fill(0);
        let sum = !super::folded(super::sum(header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// With the realm's tag, or with these.
fn frame(target: &Target, to: [u8; 6], tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(to);
    bytes.extend(target.peer_mac);
    let own = target.vlan.map(|vlan| (0x8100, vlan));
    let tags = if tags.is_empty() {
        own.as_slice()
    } else {
        tags
    };
    for (tpid, tag) in tags {
        bytes.extend(tpid.to_be_bytes());
        bytes.extend(tag.to_be_bytes());
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// So many bytes of RTP.
pub(super) fn rtp(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9];
    bytes.resize(length, 0x5a);
    bytes
}

const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];
const SENDER_REPORT: [u8; 28] = {
    let mut bytes = [0; 28];
    bytes[0] = 0x80;
    bytes[1] = 200;
    bytes[3] = 6;
    bytes
};
const STUN: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
const INVITE: &[u8] = b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1@example.com\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.10>\r\nContent-Length: 0\r\n\r\n";
const ACK: &[u8] = b"ACK sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK2\r\nMax-Forwards: 70\r\n\
    From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=2\r\ni: 2@example.com\r\nCSeq: 1 ACK\r\n\r\n";
const RESPONSE: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtnd1\r\n\
    Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK3;rport=5060\r\nFrom: <sip:a@example.com>;tag=1\r\n\
    To: <sip:bob@example.com>;tag=2\r\nCall-ID: 3@example.com\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
