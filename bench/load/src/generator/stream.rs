//! RTP streams: what they are, and what their packets look like.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{EthernetRepr, Mac};
use tandem_wire::ipv4::Ipv4Repr;
use tandem_wire::ipv6::Ipv6Repr;
use tandem_wire::udp::{self, UdpRepr};

use crate::{MILLISECOND, Nanos};

/// A stream's name, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// One direction of a call's media: RTP of G.711 from an address of ours through the appliance to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// The generator's port that it leaves by.
    pub port: usize,
    /// An address of ours on that port, and the UDP port.
    pub source: SocketAddr,
    /// Where it is sent to: what the appliance's SDP said.
    pub destination: SocketAddr,
    /// Where it shall arrive: the generator's port, an address of ours and the UDP port, as the other end's SDP said.
    /// None when that is not known: then it may arrive anywhere at the generator.
    pub arrives: Option<(usize, SocketAddr)>,
    /// What its packets are.
    pub payload: Payload,
    /// When the first packet is sent; a time that is past means at once.
    pub begin: Nanos,
}

/// RTP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The RTP payload type: 0 for PCMU, 8 for PCMA.
    pub payload_type: u8,
    /// Between two packets, in milliseconds: [`Payload::SHORTEST`] to [`Payload::LONGEST`].
    pub ptime_ms: u8,
}

impl Payload {
    /// PCMU, 20 ms: 50 packets a second of 160 bytes.
    pub const PCMU: Self = Self {
        payload_type: 0,
        ptime_ms: 20,
    };
    /// The shortest interval whose payload has room for our mark.
    pub const SHORTEST: u8 = 4;
    /// The longest interval whose packet fits an MTU of 1,500.
    pub const LONGEST: u8 = 180;

    /// The interval.
    #[must_use]
    pub fn interval(self) -> Nanos {
        Nanos::from(self.ptime_ms.clamp(Self::SHORTEST, Self::LONGEST)) * MILLISECOND
    }

    /// Bytes of a packet's payload, and samples: the same with G.711.
    #[must_use]
    pub fn samples(self) -> u16 {
        u16::from(self.ptime_ms.clamp(Self::SHORTEST, Self::LONGEST)) * 8
    }
}

/// Begins the payload of every packet of ours.
const MAGIC: [u8; 4] = *b"tndL";
/// Bytes of the RTP header and of our mark in the payload.
const MARKED: usize = 12 + 28;
/// The longest header before RTP: with a VLAN tag and IPv6.
const LONGEST_HEAD: usize = 18 + 40 + 8;
/// Silence in PCMU.
const SILENCE: [u8; 1440] = [0xff; 1440];

/// What stands in a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The stream's place in the generator's table.
    pub(super) place: u32,
    /// Which stream it was that had that place.
    pub(super) id: StreamId,
    /// From 0, without end.
    pub(super) sequence: u64,
    /// When it was written.
    pub(super) sent: Nanos,
}

impl Mark {
    /// Reads it out of a UDP payload.
    #[inline]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let marked: &[u8; MARKED] = payload.first_chunk()?;
        let (rtp, mark) = marked.split_first_chunk::<12>()?;
        let (magic, mark) = mark.split_first_chunk::<4>()?;
        if rtp.first() != Some(&0x80) || *magic != MAGIC {
            return None;
        }
        let (place, mark) = mark.split_first_chunk::<4>()?;
        let (id, mark) = mark.split_first_chunk::<4>()?;
        let (sequence, mark) = mark.split_first_chunk::<8>()?;
        Some(Self {
            place: u32::from_be_bytes(*place),
            id: StreamId(u32::from_be_bytes(*id)),
            sequence: u64::from_be_bytes(*sequence),
            sent: u64::from_be_bytes(*mark.first_chunk()?),
        })
    }
}

/// A stream's packets, but for what differs from one to the next.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Ethernet, IP and UDP; the destination's MAC and the UDP checksum are put in.
    head: [u8; LONGEST_HEAD],
    head_len: u8,
    payload_type: u8,
    /// Bytes of the payload.
    length: u16,
    ssrc: u32,
    /// Of the pseudo header, the UDP header and the silence.
    sum: Sum,
}

impl Template {
    /// Of a stream, whose frames have this Ethernet header.
    pub(super) fn new(spec: &StreamSpec, ethernet: EthernetRepr, ssrc: u32) -> Option<Self> {
        let length = spec.payload.samples();
        let udp_len = length + 12 + udp::HEADER as u16;
        let mut head = [0; LONGEST_HEAD];
        let rest = ethernet.emit(&mut head)?;
        let (rest, addresses) = match (spec.source.ip(), spec.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let ip = Ipv4Repr {
                    source,
                    destination,
                    traffic_class: EXPEDITED,
                    id: 0,
                    dont_fragment: true,
                    ttl: 64,
                    protocol: udp::PROTOCOL,
                    payload_len: udp_len,
                    checksum_offloaded: false,
                };
                (ip.emit(rest)?, Sum::ZERO.ipv4(source).ipv4(destination))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let ip = Ipv6Repr {
                    source,
                    destination,
                    traffic_class: EXPEDITED,
                    next_header: udp::PROTOCOL,
                    hop_limit: 64,
                    payload_len: udp_len,
                };
                (ip.emit(rest)?, Sum::ZERO.ipv6(source).ipv6(destination))
            }
            _ => return None,
        };
        let udp = UdpRepr {
            source_port: spec.source.port(),
            destination_port: spec.destination.port(),
            length: udp_len,
            checksum: 0,
        };
        let left = udp.emit(rest)?.len();
        let silence = SILENCE.get(..usize::from(length) + 12 - MARKED)?;
        let sum = udp::pseudo_header(addresses, udp_len.into())
            .sum(udp.sum())
            .bytes(silence);
        Some(Self {
            head,
            head_len: u8::try_from(LONGEST_HEAD - left).ok()?,
            payload_type: spec.payload.payload_type & 0x7f,
            length,
            ssrc,
            sum,
        })
    }

    /// Bytes of a frame.
    pub(super) fn frame_len(&self) -> usize {
        usize::from(self.head_len) + 12 + usize::from(self.length)
    }

    /// Samples of a packet.
    pub(super) fn samples(&self) -> u32 {
        self.length.into()
    }

    /// Writes a packet; answers its length, 0 if there is no room.
    #[inline]
    pub(super) fn write(&self, to: Mac, mark: Mark, timestamp: u32, buffer: &mut [u8]) -> usize {
        self.put(to, mark, timestamp, buffer).unwrap_or(0)
    }

    #[inline]
    fn put(&self, to: Mac, mark: Mark, timestamp: u32, buffer: &mut [u8]) -> Option<usize> {
        let head = self.head.get(..usize::from(self.head_len))?;
        let (place, rest) = buffer.split_at_mut_checked(head.len())?;
        place.copy_from_slice(head);
        *place.first_chunk_mut()? = to;

        let body: &mut [u8; MARKED] = rest.first_chunk_mut()?;
        let begin = 0x80 << 24 | u32::from(self.payload_type) << 16;
        let begin = begin | (mark.sequence & 0xffff) as u32;
        let (a, b) = body.split_first_chunk_mut::<8>()?;
        *a = (u64::from(begin) << 32 | u64::from(timestamp)).to_be_bytes();
        let (a, b) = b.split_first_chunk_mut::<8>()?;
        *a = (u64::from(self.ssrc) << 32 | u64::from(u32::from_be_bytes(MAGIC))).to_be_bytes();
        let (a, b) = b.split_first_chunk_mut::<8>()?;
        *a = (u64::from(mark.place) << 32 | u64::from(mark.id.0)).to_be_bytes();
        let (a, b) = b.split_first_chunk_mut::<8>()?;
        *a = mark.sequence.to_be_bytes();
        *b.first_chunk_mut()? = mark.sent.to_be_bytes();

        let checksum = udp::sent(self.sum.bytes(body).checksum());
        *place.last_chunk_mut()? = checksum.to_be_bytes();
        let silence = usize::from(self.length) + 12 - MARKED;
        rest.get_mut(MARKED..MARKED + silence)?
            .copy_from_slice(SILENCE.get(..silence)?);
        Some(head.len() + MARKED + silence)
    }
}

/// DSCP 46 (RFC 3246), as phones mark their media.
const EXPEDITED: u8 = 46 << 2;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::{ethernet::Ethernet, ipv4::Ipv4, ipv6::Ipv6, rtp::Rtp, udp::Udp};

    fn written(source: &str, destination: &str, tag: Option<u16>, ptime_ms: u8) -> (Mark, Vec<u8>) {
        let spec = StreamSpec {
            port: 0,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            arrives: None,
            payload: Payload {
                payload_type: 8,
                ptime_ms,
            },
            begin: 0,
        };
        let ethertype = if spec.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        let ethernet = EthernetRepr {
            destination: [0; 6],
            source: [2; 6],
            tag,
            ethertype,
        };
        let template = Template::new(&spec, ethernet, 0xdead_beef).unwrap();
        let mark = Mark {
            place: 9,
            id: StreamId(77),
            sequence: 65_537,
            sent: 123_456_789,
        };
        let mut buffer = [0; crate::generator::MAX_FRAME];
        let length = template.write([4; 6], mark, 1600, &mut buffer);
        assert_eq!(length, template.frame_len());
        let frame = buffer[..length].to_vec();
        assert!(
            template
                .put([4; 6], mark, 0, &mut buffer[..length - 1])
                .is_none()
        );
        (mark, frame)
    }

    #[test]
    fn a_packet_is_rtp_with_right_checksums() {
        let (mark, frame) = written("192.0.2.1:4000", "192.0.2.2:30000", Some(5), 20);
        assert_eq!(frame.len(), 18 + 20 + 8 + 172);
        let ethernet = Ethernet::parse(&frame).unwrap();
        assert_eq!((ethernet.destination(), ethernet.vlan()), ([4; 6], Some(5)));
        let ip = Ipv4::parse(ethernet.payload()).unwrap();
        assert!(ip.checksum_ok());
        let udp = Udp::parse(ip.payload()).unwrap();
        assert!(udp.checksum_ok(ip.address_sum()) && udp.checksum() != 0);
        assert_eq!((udp.source_port(), udp.destination_port()), (4000, 30000));
        let rtp = Rtp::parse(udp.payload()).unwrap();
        assert_eq!(
            (rtp.sequence(), rtp.timestamp(), rtp.ssrc()),
            (1, 1600, 0xdead_beef)
        );
        assert_eq!((rtp.payload_type(), rtp.payload().len()), (8, 160));
        assert_eq!(Mark::read(udp.payload()), Some(mark));
    }

    #[test]
    fn the_same_in_ipv6_short_and_long() {
        for ptime in [Payload::SHORTEST, 5, Payload::LONGEST] {
            let (mark, frame) = written("[2001:db8::1]:4000", "[2001:db8::2]:30000", None, ptime);
            let ip = Ipv6::parse(Ethernet::parse(&frame).unwrap().payload()).unwrap();
            let udp = Udp::parse(ip.payload()).unwrap();
            assert!(udp.checksum_ok(ip.address_sum()));
            assert_eq!(Mark::read(udp.payload()), Some(mark));
        }
    }

    #[test]
    fn what_is_not_ours_has_no_mark() {
        assert_eq!(Mark::read(b"INVITE sip:x"), None);
        assert_eq!(Mark::read(&[0x80; 172]), None);
    }
}
