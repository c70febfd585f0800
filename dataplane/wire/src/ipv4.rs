//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use crate::checksum::Sum;

/// Bytes of the header without options.
pub const HEADER: usize = 20;

/// Why bytes are not an IPv4 packet. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Error {
    /// Ends before its header does.
    Truncated,
    /// Another version.
    Version,
    /// A header length below 20 bytes, or beyond the packet.
    HeaderLength,
    /// A total length below the header's or above what was received.
    Length,
}

/// A packet whose lengths were checked. The header checksum is checked on demand: a device may
/// have done it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    header: &'a [u8; HEADER],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Checks a packet; what follows its total length is Ethernet padding and left out.
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv4Error> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(Ipv4Error::Truncated)?;
        if header[0] >> 4 != 4 {
            return Err(Ipv4Error::Version);
        }
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let options = header_len
            .checked_sub(HEADER)
            .ok_or(Ipv4Error::HeaderLength)?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let payload = total.checked_sub(header_len).ok_or(Ipv4Error::Length)?;
        let (options, rest) = rest
            .split_at_checked(options)
            .ok_or(Ipv4Error::HeaderLength)?;
        let payload = rest.get(..payload).ok_or(Ipv4Error::Length)?;
        Ok(Self {
            header,
            options,
            payload,
        })
    }

    /// Who sent it.
    #[inline]
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        let h = self.header;
        Ipv4Addr::new(h[12], h[13], h[14], h[15])
    }

    /// Who it is for.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        let h = self.header;
        Ipv4Addr::new(h[16], h[17], h[18], h[19])
    }

    /// DSCP and ECN (RFC 2474, RFC 3168).
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.header[1]
    }

    /// The identification.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// Whether it must not be fragmented.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.header[6] & 0x40 != 0
    }

    /// Whether it is a fragment, the first one included.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.header[6], self.header[7]]) & 0x3fff != 0
    }

    /// Time to live.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// The options, padding included.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        self.options
    }

    /// Bytes of the header, options included.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        HEADER + self.options.len()
    }

    /// What is behind the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the header checksum is right.
    #[inline]
    #[must_use]
    pub fn checksum_ok(&self) -> bool {
        let mut sum = Sum::ZERO.bytes(self.header);
        if !self.options.is_empty() {
            sum = sum.bytes(self.options);
        }
        sum.folded() == 0xffff
    }

    /// The sum of both addresses: their part of the pseudo header.
    #[inline]
    #[must_use]
    pub fn address_sum(&self) -> Sum {
        Sum::ZERO.ipv4(self.source()).ipv4(self.destination())
    }
}

/// A header without options to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Who sends it.
    pub source: Ipv4Addr,
    /// Who it is for.
    pub destination: Ipv4Addr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The identification.
    pub id: u16,
    /// Whether it must not be fragmented.
    pub dont_fragment: bool,
    /// Time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: u8,
    /// Bytes behind the header.
    pub payload_len: u16,
    /// Whether a device fills in the header checksum: then the field is 0.
    pub checksum_offloaded: bool,
}

impl Ipv4Repr {
    /// Writes it; returns what is behind it, or nothing if there is no room or the packet would
    /// be longer than 65,535 bytes.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER>()?;
        let total = self.payload_len.checked_add(HEADER as u16)?;
        let fragment = if self.dont_fragment { 0x4000u16 } else { 0 };
        let first = u16::from_be_bytes([0x45, self.traffic_class]);
        let hops = u16::from_be_bytes([self.ttl, self.protocol]);
        let checksum = if self.checksum_offloaded {
            0
        } else {
            let sum = Sum::ZERO
                .word(first)
                .word(total)
                .word(self.id)
                .word(fragment)
                .word(hops);
            sum.ipv4(self.source).ipv4(self.destination).checksum()
        };
        // Words as long as the machine's: single bytes would cost more than all the rest.
        let (words, addresses) = header.split_at_mut(12);
        let begin = u64::from(first) << 48 | u64::from(total) << 32;
        let begin = begin | u64::from(self.id) << 16 | u64::from(fragment);
        let (a, b) = words.split_first_chunk_mut::<8>()?;
        *a = begin.to_be_bytes();
        *b.first_chunk_mut::<4>()? = (u32::from(hops) << 16 | u32::from(checksum)).to_be_bytes();
        let (source, destination) = addresses.split_first_chunk_mut::<4>()?;
        *source = self.source.octets();
        *destination.first_chunk_mut::<4>()? = self.destination.octets();
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repr() -> Ipv4Repr {
        Ipv4Repr {
            source: [192, 0, 2, 1].into(),
            destination: [198, 51, 100, 2].into(),
            traffic_class: 0xb8,
            id: 7,
            dont_fragment: false,
            ttl: 64,
            protocol: 17,
            payload_len: 8,
            checksum_offloaded: false,
        }
    }

    fn packet() -> [u8; 40] {
        let mut bytes = [0u8; 40];
        repr().emit(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn padding_behind_the_total_length_is_left_out() {
        let bytes = packet();
        let view = Ipv4::parse(&bytes).unwrap();
        assert_eq!(view.payload().len(), 8);
        assert!(view.checksum_ok() && !view.is_fragment() && view.options().is_empty());
    }

    #[test]
    fn each_mistake_has_its_name() {
        let error = |change: fn(&mut [u8; 40]), len: usize| {
            let mut bytes = packet();
            change(&mut bytes);
            Ipv4::parse(&bytes[..len]).unwrap_err()
        };
        assert_eq!(error(|_| (), 19), Ipv4Error::Truncated);
        assert_eq!(error(|b| b[0] = 0x65, 40), Ipv4Error::Version);
        assert_eq!(error(|b| b[0] = 0x44, 40), Ipv4Error::HeaderLength);
        assert_eq!(
            error(
                |b| {
                    b[0] = 0x4f;
                    b[3] = 60
                },
                40
            ),
            Ipv4Error::HeaderLength
        );
        assert_eq!(error(|b| b[3] = 19, 40), Ipv4Error::Length);
        assert_eq!(error(|b| b[3] = 41, 40), Ipv4Error::Length);
    }

    #[test]
    fn options_and_fragments_are_seen() {
        let mut bytes = packet();
        bytes[0] = 0x46;
        assert_eq!(Ipv4::parse(&bytes).unwrap().options().len(), 4);
        for (field, fragment) in [([0x20, 0], true), ([0, 1], true), ([0x40, 0], false)] {
            bytes[6..8].copy_from_slice(&field);
            assert_eq!(Ipv4::parse(&bytes).unwrap().is_fragment(), fragment);
        }
    }

    proptest! {
        #[test]
        fn one_wrong_bit_is_found(byte in 0usize..20, bit in 0u8..8) {
            let mut bytes = packet();
            bytes[byte] ^= 1 << bit;
            if let Ok(view) = Ipv4::parse(&bytes) {
                prop_assert!(!view.checksum_ok());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(view) = Ipv4::parse(&bytes) {
                prop_assert!(view.header_len() + view.payload().len() <= bytes.len());
            }
        }
    }
}
