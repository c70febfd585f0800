//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A running one's complement sum of 16-bit words. Parts may be added in any order, each one as if
/// it began at an even offset; only the last of a row of parts may have an odd length.
///
/// The sum does not care for byte order (RFC 1071 section 2 B): words are added as the machine
/// reads them, and only the result is swapped. It takes 2^32 words to overflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const ZERO: Self = Self(0);

    /// Adds bytes; an odd one out at the end counts as the upper half of a word.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // 64 bits at a time; a carry goes into the next word's addition (RFC 1071 section 2 C), a chunk's last one is counted.
        let (mut sum, mut carries) = (0u64, 0);
        let (chunks, rest) = bytes.as_chunks::<32>();
        for chunk in chunks {
            let mut carry = false;
            for word in chunk.as_chunks().0 {
                (sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
            }
            carries += u64::from(carry);
        }
        let (words, rest) = rest.as_chunks();
        for word in words {
            let (more, carry) = sum.overflowing_add(u64::from_ne_bytes(*word));
            (sum, carries) = (more, carries + u64::from(carry));
        }
        let mut last = 0;
        let (quads, rest) = rest.as_chunks::<4>();
        if let [quad] = quads {
            last += u64::from(u32::from_ne_bytes(*quad));
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        if let [pair] = pairs {
            last += u64::from(u16::from_ne_bytes(*pair));
        }
        if let [odd] = odd {
            last += u64::from(u16::from_ne_bytes([*odd, 0]));
        }
        Self(self.0 + (sum & 0xffff_ffff) + (sum >> 32) + carries + last)
    }

    /// Adds two words.
    #[inline]
    #[must_use]
    pub const fn words(self, words: [u8; 4]) -> Self {
        Self(self.0 + u32::from_ne_bytes(words) as u64)
    }

    /// Adds the 16 bytes of an IPv6 address; or of an IPv4 address in IPv6-mapped form (RFC 4291
    /// section 2.5.5.2), whose 0xffff is a zero in one's complement.
    #[inline]
    #[must_use]
    pub fn address(self, address: &[u8; 16]) -> Self {
        let [a, b, c, d] = quarters(address);
        Self(self.0 + a + b + c + d)
    }

    /// Adds a word.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word.to_be() as u64)
    }

    /// Takes two words away, by their complement.
    #[inline]
    #[must_use]
    pub const fn without(self, words: [u8; 4]) -> Self {
        Self(self.0 + !u32::from_ne_bytes(words) as u64)
    }

    /// Adds an IPv4 address.
    #[inline]
    #[must_use]
    pub const fn ipv4(self, address: Ipv4Addr) -> Self {
        Self(self.0 + u32::from_ne_bytes(address.octets()) as u64)
    }

    /// Adds an IPv6 address.
    #[inline]
    #[must_use]
    pub fn ipv6(self, address: Ipv6Addr) -> Self {
        self.address(&address.octets())
    }

    /// Adds another sum.
    #[inline]
    #[must_use]
    pub const fn sum(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum in 16 bits: what the pseudo header's field holds when a device is to finish it, and
    /// 0xffff over data that contains its right checksum.
    #[inline]
    #[must_use]
    pub const fn folded(self) -> u16 {
        u16::from_be(fold(self.0))
    }

    /// The checksum: the sum's complement.
    #[inline]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of data in which words with the sum `old` became words with the sum `new`
/// (RFC 1624 equation 3).
#[inline]
#[must_use]
pub const fn update(checksum: u16, old: Sum, new: Sum) -> u16 {
    Sum::ZERO
        .word(!checksum)
        .word(!old.folded())
        .sum(new)
        .checksum()
}

#[inline]
fn quarters(chunk: &[u8; 16]) -> [u64; 4] {
    let (low, high) = (
        u128::from_ne_bytes(*chunk) as u64,
        (u128::from_ne_bytes(*chunk) >> 64) as u64,
    );
    [low & 0xffff_ffff, low >> 32, high & 0xffff_ffff, high >> 32]
}

#[inline]
const fn fold(sum: u64) -> u16 {
    // Both halves added, in the upper one, with the carry that comes out of the lower one.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.bytes(&bytes).folded(), 0xddf2);
        assert_eq!(Sum::ZERO.bytes(&bytes).checksum(), !0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // Section 4: the words sum up to 0xfffe around a field that goes from 0x5555 to 0x3285.
        let (old, new) = (Sum::ZERO.word(0x5555), Sum::ZERO.word(0x3285));
        assert_eq!(update(0xdd2f, old, new), 0x0000);
    }

    proptest! {
        #[test]
        fn as_word_by_word(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::ZERO.bytes(&bytes).folded(), plain(&bytes));
        }

        #[test]
        fn an_update_is_a_new_sum(
            mut bytes in proptest::collection::vec(any::<u8>(), 64..128),
            new: [u8; 16],
        ) {
            let before = Sum::ZERO.bytes(&bytes).checksum();
            let old = Sum::ZERO.bytes(&bytes[16..32]);
            bytes[16..32].copy_from_slice(&new);
            let updated = update(before, old, Sum::ZERO.bytes(&new));
            // 0x0000 and 0xffff are the same number; data of zeroes only may differ in that.
            prop_assert_eq!(Sum::ZERO.bytes(&bytes).word(updated).folded(), 0xffff);
        }

        #[test]
        fn addresses_sum_as_their_bytes(four: [u8; 4], six: [u8; 16]) {
            prop_assert_eq!(Sum::ZERO.ipv4(four.into()).folded(), plain(&four));
            prop_assert_eq!(Sum::ZERO.ipv6(six.into()).folded(), plain(&six));
        }
    }
}
