//! Frames without end: real ones of everything that a port may meet, most of them damaged, and noise. The same seed gives
//! the same frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod seeds;

use seeds::seeds;

/// The longest frame, in bytes: what a buffer of usual size holds.
pub(crate) const LONGEST: usize = 2000;

/// What frames are made for: a realm of ours, and somebody in it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Our Ethernet address.
    pub(crate) mac: [u8; 6],
    pub(crate) vlan: Option<u16>,
    /// Our addresses, of media and of SIP.
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    pub(crate) peer_mac: [u8; 6],
    pub(crate) peer_v4: Ipv4Addr,
    pub(crate) peer_v6: Ipv6Addr,
    /// From and to these ports media flows already: RTP, and RTCP one higher.
    pub(crate) flows: Vec<(u16, u16)>,
}

impl Target {
    fn ends(&self, v4: bool) -> (IpAddr, IpAddr) {
        if v4 {
            (self.peer_v4.into(), self.v4.into())
        } else {
            (self.peer_v6.into(), self.v6.into())
        }
    }

    fn sockets(&self, v4: bool, from: u16, to: u16) -> (SocketAddr, SocketAddr) {
        let (peer, us) = self.ends(v4);
        (SocketAddr::new(peer, from), SocketAddr::new(us, to))
    }
}

/// The source of frames.
pub(crate) struct Frames {
    random: Random,
    target: Target,
    seeds: Vec<Vec<u8>>,
}

impl Frames {
    pub(crate) fn new(seed: u64, target: Target) -> Self {
        Self {
            random: Random(seed),
            seeds: seeds(&target),
            target,
        }
    }

    /// The next frame, in place of what is in `frame`.
    pub(crate) fn next(&mut self, frame: &mut Vec<u8>) {
        frame.clear();
        let random = &mut self.random;
        if random.below(12) == 0 {
            return noise(random, &self.target, frame);
        }
        let seed = random.below(self.seeds.len());
        frame.extend_from_slice(&self.seeds[seed]);
        // Undamaged, slightly damaged, badly damaged.
        let damages = [0, 0, 1, 1, 2, 3, 6][random.below(7)];
        for _ in 0..damages {
            damage(random, frame);
        }
        // Whose checksums are right is looked at more closely.
        if damages > 0 && random.below(2) == 0 {
            mend(frame);
        }
    }
}

/// An undamaged packet of G.711 from a port of the peer's to one of ours, over IPv4.
#[allow(dead_code, reason = "each test uses what it needs")]
pub(crate) fn media(target: &Target, from: u16, to: u16) -> Vec<u8> {
    seeds::datagram(target, true, from, to, &seeds::rtp(172))
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few instructions a number.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }
}

/// Random bytes, behind our Ethernet address mostly, for else they would not come far.
fn noise(random: &mut Random, target: &Target, frame: &mut Vec<u8>) {
    let length = match random.below(8) {
        0 => random.below(14),
        1 => random.below(LONGEST),
        _ => random.below(128),
    };
    while frame.len() < length {
        frame.extend_from_slice(&random.next().to_ne_bytes());
    }
    frame.truncate(length);
    let kind = random.below(8);
    if kind > 0 && length >= 14 {
        frame[..6].copy_from_slice(&target.mac);
        let mut at = 12;
        if let Some(vlan) = target.vlan.filter(|_| length >= 18) {
            put(frame, 12, 0x8100);
            put(frame, 14, vlan);
            at = 16;
        }
        match kind {
            1 | 2 => put(frame, at, 0x0800),
            3 | 4 => put(frame, at, 0x86dd),
            _ => {}
        }
    }
}

/// One kind of damage.
fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    // Headers are hit more often than what is behind them.
    let at = |random: &mut Random, length: usize| {
        let most = if random.below(4) == 0 {
            length
        } else {
            length.min(64)
        };
        random.below(most.max(1))
    };
    match random.below(12) {
        0 | 1 => {
            let place = at(random, frame.len());
            if let Some(byte) = frame.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 | 3 => {
            let place = at(random, frame.len());
            if let Some(byte) = frame.get_mut(place) {
                *byte = random.next() as u8;
            }
        }
        // Lengths, offsets and ports at their limits.
        4 | 5 => {
            let place = at(random, frame.len()) & !1;
            let word = [0, 1, 7, 8, 0x3fff, 0x7fff, 0x8000, 0xffff][random.below(8)];
            put(frame, place, word);
        }
        6 => {
            let place = at(random, frame.len()) & !1;
            if let Some([high, low]) = frame.get(place..place + 2) {
                let word = u16::from_be_bytes([*high, *low]);
                put(
                    frame,
                    place,
                    if random.below(2) == 0 {
                        word.wrapping_add(1)
                    } else {
                        word.wrapping_sub(1)
                    },
                );
            }
        }
        7 | 8 => {
            let length = at(random, frame.len());
            frame.truncate(length);
        }
        9 => {
            let more = 1 + random.below(64);
            for _ in 0..more.min(LONGEST - frame.len()) {
                frame.push(random.next() as u8);
            }
        }
        // A tag more, or one less.
        10 if frame.len() >= 14 && frame.len() + 4 <= LONGEST => {
            let tpid = [0x81_u8, 0x88, 0x91][random.below(3)];
            let low = if tpid == 0x88 { 0xa8 } else { 0 };
            let tag = random.next() as u16;
            frame.splice(12..12, [tpid, low, (tag >> 8) as u8, tag as u8]);
        }
        10 => {}
        _ if frame.len() >= 18 => {
            if random.below(2) == 0 {
                frame.drain(12..16);
            } else {
                let types = [
                    0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8847, 0x8863, 0x88cc, 0x0005, 0xffff,
                ];
                put(frame, 12, types[random.below(types.len())]);
            }
        }
        _ => {}
    }
}

/// Makes the checksums of IPv4 and UDP right, if there is a place for them.
fn mend(frame: &mut [u8]) {
    let mut at = 12;
    while matches!(word(frame, at), Some(0x8100 | 0x88a8 | 0x9100)) && at < 28 {
        at += 4;
    }
    let ip = at + 2;
    match word(frame, at) {
        Some(0x0800) => {
            let header = frame.get(ip).map_or(0, |byte| usize::from(byte & 15) * 4);
            let Some(bytes) = frame.get(ip..ip + header).filter(|_| header >= 20) else {
                return;
            };
            let sum = folded(sum(bytes) - u32::from(u16::from_be_bytes([bytes[10], bytes[11]])));
            put(frame, ip + 10, !sum);
            if frame[ip + 9] == 17 {
                mend_udp(frame, ip + 12..ip + 20, ip + header);
            }
        }
        Some(0x86dd) if frame.get(ip + 6) == Some(&17) => {
            mend_udp(frame, ip + 8..ip + 40, ip + 40);
        }
        _ => {}
    }
}

fn mend_udp(frame: &mut [u8], addresses: std::ops::Range<usize>, udp: usize) {
    let Some(length) = word(frame, udp + 4) else {
        return;
    };
    let addresses = frame.get(addresses).map_or(0, sum);
    let Some(datagram) = frame.get(udp..udp + usize::from(length)) else {
        return;
    };
    if let [_, _, _, _, _, _, high, low, ..] = datagram {
        let old = u32::from(u16::from_be_bytes([*high, *low]));
        let sum = folded(sum(datagram) - old + addresses + 17 + u32::from(length));
        put(frame, udp + 6, if sum == 0xffff { sum } else { !sum });
    }
}

/// The sum of the words (RFC 1071), not folded: frames are short.
fn sum(bytes: &[u8]) -> u32 {
    let mut chunks = bytes.chunks_exact(2);
    let words: u32 = chunks
        .by_ref()
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let odd = chunks.remainder().first();
    words + odd.map_or(0, |byte| u32::from(*byte) << 8)
}

fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    let bytes = frame.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn put(frame: &mut [u8], at: usize, word: u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}
