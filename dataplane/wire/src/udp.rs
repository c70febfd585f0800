//! UDP (RFC 768; over IPv6 RFC 8200 section 8.1).

use crate::checksum::Sum;

/// Bytes of the header.
pub const HEADER: usize = 8;
/// IP protocol number.
pub const PROTOCOL: u8 = 17;

/// Why bytes are not a UDP datagram. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpError {
    /// Ends before its header does.
    Truncated,
    /// A length below the header's or above the IP payload's.
    Length,
}

/// A datagram whose lengths were checked. The checksum is checked on demand: a device may have
/// done it.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    header: &'a [u8; HEADER],
    datagram: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Checks a datagram.
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UdpError> {
        let header = bytes.first_chunk::<HEADER>().ok_or(UdpError::Truncated)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let datagram = bytes.get(..length).ok_or(UdpError::Length)?;
        let payload = datagram.get(HEADER..).ok_or(UdpError::Length)?;
        Ok(Self {
            header,
            datagram,
            payload,
        })
    }

    /// The sender's port; 0 if it expects no answer.
    #[inline]
    #[must_use]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// The port that it is for.
    #[inline]
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// The checksum field: 0 for none, which only IPv4 allows.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// Bytes of header and payload.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagram.len()
    }

    /// Whether the payload is empty.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// What is behind the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the checksum is right, given the sum of both IP addresses. The field must not be 0:
    /// whether that is allowed, the IP version says.
    #[inline]
    #[must_use]
    pub fn checksum_ok(&self, addresses: Sum) -> bool {
        pseudo_header(addresses, self.datagram.len())
            .bytes(self.datagram)
            .folded()
            == 0xffff
    }
}

/// The pseudo header's sum, given the sum of both IP addresses and the UDP length. The same over
/// IPv4 and IPv6: they differ only in leading zeroes.
#[inline]
#[must_use]
pub fn pseudo_header(addresses: Sum, length: usize) -> Sum {
    addresses.word(PROTOCOL.into()).word(length as u16)
}

/// A header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    /// The sender's port.
    pub source_port: u16,
    /// The port that it is for.
    pub destination_port: u16,
    /// Bytes of header and payload.
    pub length: u16,
    /// The checksum field, as it shall stand there.
    pub checksum: u16,
}

impl UdpRepr {
    /// Writes it; returns what is behind it, or nothing if there is no room.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER>()?;
        let ports = u64::from(self.source_port) << 48 | u64::from(self.destination_port) << 32;
        let end = u64::from(self.length) << 16 | u64::from(self.checksum);
        *header = (ports | end).to_be_bytes();
        Some(rest)
    }

    /// The sum of the header without its checksum.
    #[inline]
    #[must_use]
    pub fn sum(&self) -> Sum {
        Sum::ZERO
            .word(self.source_port)
            .word(self.destination_port)
            .word(self.length)
    }

    /// The same header with the checksum over `payload`, given the sum of both IP addresses. A
    /// computed 0 is sent as 0xffff.
    #[inline]
    #[must_use]
    pub fn with_checksum(self, addresses: Sum, payload: &[u8]) -> Self {
        let sum = pseudo_header(addresses, self.length.into())
            .sum(self.sum())
            .bytes(payload);
        Self {
            checksum: sent(sum.checksum()),
            ..self
        }
    }
}

/// A computed checksum as it is sent: 0 would mean that there is none.
#[inline]
#[must_use]
pub const fn sent(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_that_lies_is_refused() {
        let mut bytes = [0u8; 12];
        UdpRepr {
            source_port: 1,
            destination_port: 2,
            length: 12,
            checksum: 0,
        }
        .emit(&mut bytes)
        .unwrap();
        assert_eq!(Udp::parse(&bytes).unwrap().payload().len(), 4);
        assert_eq!(Udp::parse(&bytes[..7]).unwrap_err(), UdpError::Truncated);
        assert_eq!(Udp::parse(&bytes[..11]).unwrap_err(), UdpError::Length);
        bytes[5] = 7;
        assert_eq!(Udp::parse(&bytes).unwrap_err(), UdpError::Length);
        bytes[5] = 10;
        assert_eq!(Udp::parse(&bytes).unwrap().len(), 10);
    }

    #[test]
    fn a_checksum_of_0_is_sent_as_ffff() {
        // Everything but the payload word sums up to 17 + 2 * 10 + 8 ... so choose it to make 0.
        let repr = UdpRepr {
            source_port: 0,
            destination_port: 0,
            length: 10,
            checksum: 0,
        };
        let word: u16 = 0xffff - (17 + 10 + 10);
        let header = repr.with_checksum(Sum::ZERO, &word.to_be_bytes());
        assert_eq!(header.checksum, 0xffff);
    }

    proptest! {
        #[test]
        fn a_written_checksum_is_right_and_a_flipped_bit_is_found(
            addresses: [u8; 16], source_port: u16, destination_port: u16,
            payload in proptest::collection::vec(any::<u8>(), 0..200), at: usize, bit in 0u8..8,
        ) {
            let addresses = Sum::ZERO.bytes(&addresses);
            let length = (HEADER + payload.len()) as u16;
            let repr = UdpRepr { source_port, destination_port, length, checksum: 0 }
                .with_checksum(addresses, &payload);
            let mut bytes = vec![0; usize::from(length)];
            repr.emit(&mut bytes).unwrap().copy_from_slice(&payload);
            let view = Udp::parse(&bytes).unwrap();
            prop_assert!(view.checksum_ok(addresses) && view.checksum() != 0);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(view) = Udp::parse(&bytes) {
                prop_assert!(!view.checksum_ok(addresses));
            }
        }
    }
}
