//! IPv6 (RFC 8200): the base header. Packets with extension headers are told apart, not followed.

use std::net::Ipv6Addr;

use crate::checksum::Sum;

/// Bytes of the base header.
pub const HEADER: usize = 40;

/// Next header: fragment (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;

/// Why bytes are not an IPv6 packet. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Error {
    /// Ends before its header does.
    Truncated,
    /// Another version.
    Version,
    /// A payload length above what was received.
    Length,
}

/// A packet whose lengths were checked.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    header: &'a [u8; HEADER],
    payload: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Checks a packet; what follows its payload length is Ethernet padding and left out.
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv6Error> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(Ipv6Error::Truncated)?;
        if header[0] >> 4 != 6 {
            return Err(Ipv6Error::Version);
        }
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let payload = rest.get(..length).ok_or(Ipv6Error::Length)?;
        Ok(Self { header, payload })
    }

    /// Who sent it.
    #[inline]
    #[must_use]
    pub fn source(&self) -> Ipv6Addr {
        let (_, addresses) = self.header.split_at(8);
        addresses
            .first_chunk::<16>()
            .map_or(Ipv6Addr::UNSPECIFIED, |a| (*a).into())
    }

    /// Who it is for.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> Ipv6Addr {
        self.header
            .last_chunk::<16>()
            .map_or(Ipv6Addr::UNSPECIFIED, |a| (*a).into())
    }

    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.header[0] << 4 | self.header[1] >> 4
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub fn next_header(&self) -> u8 {
        self.header[6]
    }

    /// Hop limit.
    #[inline]
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Whether the payload begins with a fragment header.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.next_header() == FRAGMENT
    }

    /// Whether the payload begins with an extension header of any kind: hop-by-hop, routing,
    /// fragment, authentication, destination options, mobility, HIP, shim6.
    #[inline]
    #[must_use]
    pub fn has_extension(&self) -> bool {
        matches!(
            self.next_header(),
            0 | 43 | FRAGMENT | 51 | 60 | 135 | 139 | 140
        )
    }

    /// What is behind the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The sum of both addresses: their part of the pseudo header.
    #[inline]
    #[must_use]
    pub fn address_sum(&self) -> Sum {
        Sum::ZERO.ipv6(self.source()).ipv6(self.destination())
    }
}

/// A base header to be written; the flow label is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Who sends it.
    pub source: Ipv6Addr,
    /// Who it is for.
    pub destination: Ipv6Addr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// What the payload is.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Bytes behind the header.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// Writes it; returns what is behind it, or nothing if there is no room.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (first, rest) = buffer.split_first_chunk_mut::<8>()?;
        let (source, rest) = rest.split_first_chunk_mut::<16>()?;
        let (destination, rest) = rest.split_first_chunk_mut::<16>()?;
        let length = u64::from(self.payload_len) << 16;
        let hops = u64::from(self.next_header) << 8 | u64::from(self.hop_limit);
        let begin = 6 << 60 | u64::from(self.traffic_class) << 52 | length | hops;
        *first = begin.to_be_bytes();
        *source = self.source.octets();
        *destination = self.destination.octets();
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            source: [u8; 16], destination: [u8; 16], traffic_class: u8, next_header: u8,
            hop_limit: u8, payload_len in 0u16..60,
        ) {
            let repr = Ipv6Repr {
                source: source.into(), destination: destination.into(), traffic_class, next_header,
                hop_limit, payload_len,
            };
            let mut bytes = [0u8; 100];
            prop_assert_eq!(repr.emit(&mut bytes).unwrap().len(), 60);
            let view = Ipv6::parse(&bytes).unwrap();
            prop_assert_eq!(view.source(), repr.source);
            prop_assert_eq!(view.destination(), repr.destination);
            prop_assert_eq!(view.traffic_class(), traffic_class);
            prop_assert_eq!(view.next_header(), next_header);
            prop_assert_eq!(view.hop_limit(), hop_limit);
            prop_assert_eq!(view.payload().len(), usize::from(payload_len));
            prop_assert_eq!(view.is_fragment(), next_header == 44);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            match Ipv6::parse(&bytes) {
                Ok(view) => prop_assert!(HEADER + view.payload().len() <= bytes.len()),
                Err(Ipv6Error::Truncated) => prop_assert!(bytes.len() < HEADER),
                Err(Ipv6Error::Version) => prop_assert!(bytes[0] >> 4 != 6),
                Err(Ipv6Error::Length) => prop_assert!(bytes.len() >= HEADER),
            }
        }
    }
}
