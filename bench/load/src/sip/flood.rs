//! Floods: frames of many spoofed sources, as fast as they are asked for. The messages are written once; of each frame
//! the source and what makes a message another one (branch, tag, Call-ID) are new.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{IPV4, IPV6};
use tandem_wire::{EthernetRepr, Ipv4Repr, Ipv6Repr, Mac, UdpRepr};

use super::random::Random;
use super::text::hex_digits;
use crate::Nanos;
use crate::generator::Source;

/// UDP in the IP header.
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// Hexadecimal digits that differ from message to message.
const DIGITS: usize = 16;
/// Where they stand in a message that is being written.
const MARK: &str = "{_____id_____}__";

/// What a frame of a flood is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shot {
    /// A call.
    Invite,
    /// A registration.
    Register,
    /// A question for abilities.
    Options,
    /// Random bytes, 1 to 600 of them.
    Garbage,
    /// What begins as SIP does, and is none.
    Broken,
    /// RTP of G.711 with a random source, to the media ports.
    Rtp,
}

/// Whom a flood comes from: so many addresses from this one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// The first address.
    pub first: IpAddr,
    /// How many.
    pub count: u32,
}

/// What a flood is.
#[derive(Clone, Debug)]
pub struct FloodSettings {
    /// The Ethernet header's addresses and tag.
    pub ethernet: (Mac, Mac, Option<u16>),
    /// Where it goes.
    pub target: SocketAddr,
    /// The UDP ports that RTP goes to, first and last.
    pub media_ports: (u16, u16),
    /// Who sends it.
    pub crowd: Crowd,
    /// What it is made of, in turns.
    pub shots: Vec<Shot>,
}

/// A flood.
#[derive(Clone, Debug)]
pub struct Flood {
    settings: FloodSettings,
    messages: Vec<Message>,
    next: usize,
    random: Random,
}

/// A message and where its digits are.
#[derive(Clone, Debug)]
struct Message {
    shot: Shot,
    bytes: Vec<u8>,
    marks: Vec<usize>,
}

impl Flood {
    /// The flood. The same seed gives the same frames.
    ///
    /// # Errors
    /// There is nothing that it could be made of, or nobody, or the families do not fit.
    pub fn new(settings: FloodSettings, seed: u64) -> Result<Self, String> {
        let FloodSettings {
            target,
            crowd,
            shots,
            media_ports,
            ..
        } = &settings;
        if shots.is_empty() || crowd.count == 0 {
            return Err("a flood needs at least one source and one kind of packet".to_owned());
        }
        if target.is_ipv4() != crowd.first.is_ipv4() {
            return Err(format!(
                "a flood of {target} by {}: two families",
                crowd.first
            ));
        }
        if media_ports.0 > media_ports.1 {
            return Err("media_ports: the first is above the last".to_owned());
        }
        let messages = shots.iter().map(|s| Message::new(*s, *target)).collect();
        Ok(Self {
            settings,
            messages,
            next: 0,
            random: Random::new(seed),
        })
    }

    /// Writes a frame and answers its length; 0 when it has no place.
    #[inline]
    pub fn write(&mut self, buffer: &mut [u8]) -> usize {
        self.try_write(buffer).unwrap_or(0)
    }

    fn try_write(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let Self {
            settings,
            messages,
            next,
            random,
        } = self;
        let message = messages.get_mut(*next)?;
        *next = if *next + 1 < settings.shots.len() {
            *next + 1
        } else {
            0
        };
        let length = message.renew(random);
        let payload = message.bytes.get(..length)?;
        let mut target = settings.target;
        if message.shot == Shot::Rtp {
            let (first, last) = settings.media_ports;
            let width = u64::from(last - first) / 2 + 1;
            let offset = u16::try_from(random.below(width) * 2).ok()?;
            target.set_port(first + offset);
        }
        let from = nth(
            settings.crowd.first,
            random.below(settings.crowd.count.into()),
        );
        let port = 1_024 + u16::try_from(random.below(60_000)).ok()?;
        write_frame(
            buffer,
            settings.ethernet,
            SocketAddr::new(from, port),
            target,
            payload,
        )
    }
}

impl Source for Flood {
    fn frame(&mut self, _: Nanos, buffer: &mut [u8]) -> usize {
        self.write(buffer)
    }
}

impl Message {
    fn new(shot: Shot, target: SocketAddr) -> Self {
        let id = MARK;
        let request = |method: &str, uri: &str, more: &str| {
            format!(
                "{method} sip:{uri} SIP/2.0\r\nVia: SIP/2.0/UDP flood.invalid:5060;rport;branch=z9hG4bK{id}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:flood@flood.invalid>;tag={id}\r\nTo: <sip:{uri}>\r\n\
                 Call-ID: {id}@flood.invalid\r\nCSeq: 1 {method}\r\nContact: <sip:flood@flood.invalid:5060>\r\n{more}"
            )
        };
        let sdp = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0 8\r\na=sendrecv\r\n";
        let text = match shot {
            Shot::Invite => request(
                "INVITE",
                &format!("+4930555@{target}"),
                &format!(
                    "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                    sdp.len()
                ),
            ),
            Shot::Register => request(
                "REGISTER",
                &target.to_string(),
                "Expires: 3600\r\nContent-Length: 0\r\n\r\n",
            ),
            Shot::Options => request(
                "OPTIONS",
                &target.to_string(),
                "Accept: application/sdp\r\nContent-Length: 0\r\n\r\n",
            ),
            Shot::Broken => format!("INVITE sip:{id} SIP/2.0\r\nVia SIP/2.0/UDP {id}\r\n{id}"),
            Shot::Garbage => "x".repeat(600),
            Shot::Rtp => "x".repeat(172),
        };
        let mut bytes = text.into_bytes();
        let marks = (0..bytes.len())
            .filter(|at| {
                bytes
                    .get(*at..)
                    .is_some_and(|rest| rest.starts_with(MARK.as_bytes()))
            })
            .collect();
        if shot == Shot::Rtp
            && let Some(header) = bytes.first_chunk_mut()
        {
            *header = [0x80, 0, 0, 1];
        }
        Self { shot, bytes, marks }
    }

    /// Makes it another one; answers how long it is.
    #[inline]
    fn renew(&mut self, random: &mut Random) -> usize {
        let all = self.bytes.len();
        match self.shot {
            Shot::Garbage => {
                let length = 1 + usize::try_from(random.below(all as u64)).unwrap_or(0);
                for word in self.bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&random.next().to_ne_bytes());
                }
                length.min(all)
            }
            Shot::Rtp => {
                // Sequence number, time stamp and SSRC.
                if let Some(words) = self.bytes.get_mut(2..12) {
                    let (first, second) = (random.next(), random.next32());
                    for (byte, new) in words
                        .iter_mut()
                        .zip(first.to_ne_bytes().into_iter().chain(second.to_ne_bytes()))
                    {
                        *byte = new;
                    }
                }
                all
            }
            _ => {
                let (high, low) = (random.next32(), random.next32());
                let mut digits = [0; DIGITS];
                let (first, second) = digits.split_at_mut(8);
                first.copy_from_slice(&hex_digits(high));
                second.copy_from_slice(&hex_digits(low));
                for at in &self.marks {
                    if let Some(place) = self.bytes.get_mut(*at..*at + DIGITS) {
                        place.copy_from_slice(&digits);
                    }
                }
                all
            }
        }
    }
}

/// A whole frame with right checksums.
fn write_frame(
    buffer: &mut [u8],
    (from, to, vlan): (Mac, Mac, Option<u16>),
    source: SocketAddr,
    target: SocketAddr,
    payload: &[u8],
) -> Option<usize> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let room = buffer.len();
    let ethernet = EthernetRepr {
        destination: to,
        source: from,
        tag: vlan,
        ethertype: if target.is_ipv4() { IPV4 } else { IPV6 },
    };
    let rest = ethernet.emit(buffer)?;
    let (rest, addresses) = match (source.ip(), target.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Repr {
                source,
                destination,
                traffic_class: 0,
                id: 0,
                dont_fragment: true,
                ttl: 64,
                protocol: UDP,
                payload_len: length,
                checksum_offloaded: false,
            };
            let sum = Sum::ZERO.ipv4(source).ipv4(destination);
            (header.emit(rest)?, sum)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Repr {
                source,
                destination,
                traffic_class: 0,
                next_header: UDP,
                hop_limit: 64,
                payload_len: length,
            };
            let sum = Sum::ZERO.ipv6(source).ipv6(destination);
            (header.emit(rest)?, sum)
        }
        _ => return None,
    };
    let udp = UdpRepr {
        source_port: source.port(),
        destination_port: target.port(),
        length,
        checksum: 0,
    };
    let body = udp.with_checksum(addresses, payload).emit(rest)?;
    let end = body.len().checked_sub(payload.len())?;
    body.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(room - end)
}

/// The address so many behind this one.
fn nth(first: IpAddr, n: u64) -> IpAddr {
    match first {
        IpAddr::V4(first) => {
            let n = u32::try_from(n).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits().wrapping_add(n)).into()
        }
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(n.into())).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tandem_wire::sip::{self, Name, Start};
    use tandem_wire::{Ethernet, Ipv4, Ipv6, Udp};

    use super::*;
    use crate::generator::MAX_FRAME;

    fn settings(shots: &[Shot]) -> FloodSettings {
        FloodSettings {
            ethernet: ([2; 6], [4; 6], None),
            target: "192.0.2.10:5060".parse().unwrap(),
            media_ports: (30_000, 30_009),
            crowd: Crowd {
                first: "198.18.0.1".parse().unwrap(),
                count: 1_000,
            },
            shots: shots.to_vec(),
        }
    }

    #[test]
    fn every_frame_is_whole_and_another_one() {
        let all = [
            Shot::Invite,
            Shot::Register,
            Shot::Options,
            Shot::Garbage,
            Shot::Broken,
            Shot::Rtp,
        ];
        let mut flood = Flood::new(settings(&all), 1).unwrap();
        let (mut sources, mut ids, mut methods) = (BTreeSet::new(), BTreeSet::new(), [0; 3]);
        let mut ports = BTreeSet::new();
        let mut buffer = [0; MAX_FRAME];
        for n in 0..12_000 {
            let length = flood.write(&mut buffer);
            let frame = Ethernet::parse(&buffer[..length]).unwrap();
            assert_eq!(frame.destination(), [4; 6]);
            let ip = Ipv4::parse(frame.payload()).unwrap();
            assert!(ip.checksum_ok());
            assert_eq!(ip.payload().len(), length - 34);
            let udp = Udp::parse(ip.payload()).unwrap();
            assert!(udp.checksum_ok(ip.address_sum()));
            sources.insert(ip.source());
            let payload = udp.payload();
            match all[n % 6] {
                Shot::Garbage => assert!((1..=600).contains(&payload.len())),
                Shot::Broken => {
                    assert!(payload.starts_with(b"INVITE sip:") && sip::parse(payload).is_err())
                }
                Shot::Rtp => {
                    assert_eq!((payload.len(), &payload[..2]), (172, &[0x80, 0][..]));
                    ports.insert(udp.destination_port());
                }
                _ => {
                    let index = sip::parse(payload).unwrap();
                    let Start::Request { method, .. } = &index.start else {
                        panic!("a request")
                    };
                    let names = [&b"INVITE"[..], b"REGISTER", b"OPTIONS"];
                    let place = names
                        .iter()
                        .position(|m| *m == &payload[method.clone()])
                        .unwrap();
                    methods[place] += 1;
                    let field = index
                        .fields
                        .iter()
                        .find(|f| f.name == Name::CallId)
                        .unwrap();
                    assert!(ids.insert(payload[field.value.clone()].to_vec()));
                }
            }
        }
        assert_eq!(methods, [2_000; 3]);
        assert!(sources.len() > 990, "{}", sources.len());
        let edge: Ipv4Addr = "198.18.3.232".parse().unwrap();
        assert!(
            sources
                .iter()
                .all(|s| *s <= edge && *s >= Ipv4Addr::new(198, 18, 0, 1))
        );
        assert_eq!(
            ports,
            BTreeSet::from([30_000, 30_002, 30_004, 30_006, 30_008])
        );
    }

    #[test]
    fn it_goes_over_ipv6_and_in_a_vlan_too() {
        let mut wanted = settings(&[Shot::Options]);
        wanted.ethernet.2 = Some(100);
        wanted.target = "[2001:db8::10]:5060".parse().unwrap();
        assert!(Flood::new(wanted.clone(), 1).is_err(), "two families");
        wanted.crowd.first = "2001:db8:ffff::1".parse().unwrap();
        let mut buffer = [0; MAX_FRAME];
        let length = Flood::new(wanted, 1).unwrap().write(&mut buffer);
        let frame = Ethernet::parse(&buffer[..length]).unwrap();
        assert_eq!(frame.vlan(), Some(100));
        let ip = Ipv6::parse(frame.payload()).unwrap();
        let udp = Udp::parse(ip.payload()).unwrap();
        assert!(udp.checksum_ok(ip.address_sum()));
        assert!(sip::parse(udp.payload()).is_ok());
        assert_eq!(
            Flood::new(settings(&[Shot::Options]), 1)
                .unwrap()
                .write(&mut [0; 100]),
            0
        );
    }
}
