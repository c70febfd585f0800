//! A record: a header of seven words, then the payload in words. It is a datagram, or a message of the link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest payload of a record, in bytes: above the longest UDP datagram (65,527).
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// A buffer that every record's payload fits in, so that a pop never fails for room.
pub type PayloadBuffer = Box<[u8; MAX_PAYLOAD]>;

/// A zeroed payload buffer.
#[must_use]
pub fn payload_buffer() -> PayloadBuffer {
    Box::new([0; MAX_PAYLOAD])
}

/// What is known of a datagram besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramMeta {
    /// Index of the realm that it came in on or leaves by. The consumer checks that it exists.
    pub realm: u16,
    /// Who sends it.
    pub source: SocketAddr,
    /// Whom it is for. (An IPv6 flow label or scope is not carried.)
    pub destination: SocketAddr,
    /// DSCP, 0 to 63.
    pub dscp: u8,
    /// When it came: CLOCK_MONOTONIC nanoseconds; 0 for datagrams to be sent.
    pub timestamp_ns: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A datagram that came in or leaves.
    Datagram(DatagramMeta),
    /// What the planes say to each other, encoded; it keeps its place among the datagrams.
    Message,
}

/// Words of a record's header.
pub(crate) const HEADER_WORDS: usize = 7;

/// Set over a record's position in its first word, so that a reader which lost its place does not
/// take payload for a header.
const MARK: u32 = 0x5A9D_C3E1;

/// A header that checked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) record: Record,
    /// At most [`MAX_PAYLOAD`].
    pub(crate) length: usize,
}

/// Words of a payload of `length` bytes.
pub(crate) fn payload_words(length: usize) -> usize {
    length.div_ceil(8)
}

/// Encodes the header of a record that starts at `position`.
pub(crate) fn encode(position: u64, record: &Record, length: u32) -> [u64; HEADER_WORDS] {
    let first = u64::from(length) | u64::from(mark(position)) << 32;
    let meta = match record {
        Record::Datagram(meta) => meta,
        // No family, which no datagram has.
        Record::Message => return [first, 0, 0, 0, 0, 0, 0],
    };
    let (source, family) = address(meta.source.ip());
    let (destination, family_too) = address(meta.destination.ip());
    let ports = u64::from(meta.source.port()) << 16 | u64::from(meta.destination.port()) << 32;
    let families = u64::from(family) << 56 | u64::from(family_too) << 60;
    [
        first,
        meta.timestamp_ns,
        u64::from(meta.realm) | ports | u64::from(meta.dscp & 63) << 48 | families,
        source[0],
        source[1],
        destination[0],
        destination[1],
    ]
}

/// Decodes a header that was copied out of the ring at `position`; none when it is not one.
pub(crate) fn decode(position: u64, words: &[u64; HEADER_WORDS]) -> Option<Header> {
    let [first, timestamp_ns, packed, s0, s1, d0, d1] = *words;
    let length = (first & 0xFFFF_FFFF) as usize;
    if (first >> 32) as u32 != mark(position) || length > MAX_PAYLOAD {
        return None;
    }
    if packed == 0 {
        let record = Record::Message;
        return Some(Header { record, length });
    }
    let port = |shift: u32| ((packed >> shift) & 0xFFFF) as u16;
    let source = SocketAddr::new(ip([s0, s1], (packed >> 56) & 0xF)?, port(16));
    let destination = SocketAddr::new(ip([d0, d1], (packed >> 60) & 0xF)?, port(32));
    let meta = DatagramMeta {
        realm: port(0),
        source,
        destination,
        dscp: ((packed >> 48) & 63) as u8,
        timestamp_ns,
    };
    let record = Record::Datagram(meta);
    (source.is_ipv4() == destination.is_ipv4()).then_some(Header { record, length })
}

fn mark(position: u64) -> u32 {
    (position as u32) ^ MARK
}

const V4: u8 = 4;
const V6: u8 = 6;

fn address(ip: IpAddr) -> ([u64; 2], u8) {
    match ip {
        IpAddr::V4(ip) => ([u64::from(ip.to_bits()), 0], V4),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            ([(bits >> 64) as u64, bits as u64], V6)
        }
    }
}

fn ip(words: [u64; 2], family: u64) -> Option<IpAddr> {
    let [high, low] = words;
    match u8::try_from(family) {
        Ok(V4) => Some(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(high).ok()?))),
        Ok(V6) => Some(IpAddr::V6(Ipv6Addr::from_bits(
            u128::from(high) << 64 | u128::from(low),
        ))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn socket(v6: bool) -> BoxedStrategy<SocketAddr> {
        if v6 {
            (any::<[u8; 16]>(), any::<u16>())
                .prop_map(|(a, p)| SocketAddr::new(a.into(), p))
                .boxed()
        } else {
            (any::<[u8; 4]>(), any::<u16>())
                .prop_map(|(a, p)| SocketAddr::new(a.into(), p))
                .boxed()
        }
    }

    fn metas() -> impl Strategy<Value = DatagramMeta> {
        any::<bool>().prop_flat_map(|v6| {
            (any::<u16>(), socket(v6), socket(v6), 0..64u8, any::<u64>()).prop_map(
                |(realm, source, destination, dscp, timestamp_ns)| DatagramMeta {
                    realm,
                    source,
                    destination,
                    dscp,
                    timestamp_ns,
                },
            )
        })
    }

    proptest! {
        #[test]
        fn a_header_comes_back_as_it_went(
            meta in metas(), length in 0..=MAX_PAYLOAD, position: u64
        ) {
            for record in [Record::Datagram(meta), Record::Message] {
                let words = encode(position, &record, length as u32);
                prop_assert_eq!(decode(position, &words), Some(Header { record, length }));
                prop_assert_eq!(decode(position.wrapping_add(1), &words), None);
            }
        }

        #[test]
        fn any_words_decode_or_are_refused(words: [u64; HEADER_WORDS], position: u64) {
            if let Some(header) = decode(position, &words) {
                prop_assert!(header.length <= MAX_PAYLOAD);
            }
        }
    }
}
