//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A running one's complement sum of 16-bit words. Parts may be added in any order, each one as if
/// it began at an even offset; only the last of a row of parts may have an odd length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const ZERO: Self = Self(0);

    /// Adds bytes; an odd one out at the end counts as the upper half of a word.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // The sum does not care for byte order (RFC 1071 section 2 B): words are added as the
        // machine reads them, and the result is swapped once. 32-bit words in 64-bit sums cannot
        // overflow below 2^32 words, and four of them at a time keep four adders busy.
        let mut lanes = [0u64; 4];
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let [a, b, c, d] = quarters(chunk);
            let [w, x, y, z] = &mut lanes;
            *w += u64::from(a);
            *x += u64::from(b);
            *y += u64::from(c);
            *z += u64::from(d);
        }
        let mut sum: u64 = lanes.iter().sum();
        let (pairs, odd) = rest.as_chunks::<2>();
        for pair in pairs {
            sum += u64::from(u16::from_ne_bytes(*pair));
        }
        if let [last] = odd {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(self.0 + u64::from(u16::from_be(fold(sum))))
    }

    /// Adds a word.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds an IPv4 address.
    #[inline]
    #[must_use]
    pub const fn ipv4(self, address: Ipv4Addr) -> Self {
        let bits = address.to_bits();
        Self(self.0 + (bits >> 16) as u64 + (bits & 0xffff) as u64)
    }

    /// Adds an IPv6 address.
    #[inline]
    #[must_use]
    pub fn ipv6(self, address: Ipv6Addr) -> Self {
        let words = address.segments();
        Self(self.0 + words.iter().map(|&word| u64::from(word)).sum::<u64>())
    }

    /// Adds another sum.
    #[inline]
    #[must_use]
    pub fn sum(self, other: Self) -> Self {
        self.word(other.folded())
    }

    /// The sum in 16 bits: what the pseudo header's field holds when a device is to finish it, and
    /// 0xffff over data that contains its right checksum.
    #[inline]
    #[must_use]
    pub fn folded(self) -> u16 {
        fold(self.0)
    }

    /// The checksum: the sum's complement.
    #[inline]
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of data in which words with the sum `old` became words with the sum `new`
/// (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn update(checksum: u16, old: Sum, new: Sum) -> u16 {
    Sum::ZERO
        .word(!checksum)
        .word(!old.folded())
        .sum(new)
        .checksum()
}

#[inline]
fn quarters(chunk: &[u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *chunk;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
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
