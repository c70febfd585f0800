//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// A one's complement sum in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const ZERO: Self = Self(0);

    /// Adds bytes; all but the last piece have even length.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = u128::from(self.0);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            sum += u128::from(u64::from_be_bytes(*word));
        }
        let (pairs, last) = rest.as_chunks::<2>();
        for pair in pairs {
            sum += u128::from(u16::from_be_bytes(*pair));
        }
        if let [byte] = last {
            sum += u128::from(*byte) << 8;
        }
        // 2^64 is 1 in one's complement of 16 bits; twice takes the carry of the first.
        let folded = (sum & u128::from(u64::MAX)) + (sum >> 64);
        let folded = (folded & u128::from(u64::MAX)) + (folded >> 64);
        Self(u64::try_from(folded).unwrap_or(u64::MAX))
    }

    /// Adds a 16-bit word.
    #[inline]
    #[must_use]
    pub fn word(self, word: u16) -> Self {
        self.bytes(&word.to_be_bytes())
    }

    /// Folded to 16 bits.
    #[inline]
    #[must_use]
    pub const fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The checksum: its complement.
    #[inline]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// A checksum after what it covers changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn update(checksum: u16, old: Sum, new: Sum) -> u16 {
    Sum::ZERO.word(!checksum).word(!old.fold()).word(new.fold()).checksum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn simple(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.bytes(&bytes).fold(), 0xddf2);
    }

    proptest! {
        #[test]
        fn as_the_simple_way(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Sum::ZERO.bytes(&bytes).fold(), simple(&bytes));
        }

        #[test]
        fn an_update_is_a_new_computation(
            bytes in proptest::collection::vec(any::<u8>(), 8..64), new in any::<[u8; 4]>()
        ) {
            let mut after = bytes.clone();
            after[4..8].copy_from_slice(&new);
            let old = Sum::ZERO.bytes(&bytes);
            // All zeros has two forms in one's complement; no packet with addresses sums to it.
            prop_assume!(old.fold() != 0 && Sum::ZERO.bytes(&after).fold() != 0);
            let updated =
                update(old.checksum(), Sum::ZERO.bytes(&bytes[4..8]), Sum::ZERO.bytes(&new));
            let right = Sum::ZERO.bytes(&after).checksum();
            prop_assert!(updated == right || (updated ^ right) == 0xffff && (updated == 0 || right == 0));
        }
    }
}
