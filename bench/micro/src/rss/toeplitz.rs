//! The hash of receive-side scaling.

/// The key that drivers come with: Microsoft's verification suite.
pub const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// For each bit of the input that is set, from the first one, the 32 bits of the key from there on. Up to 36 bytes.
#[must_use]
pub fn toeplitz(key: &[u8; 40], input: &[u8]) -> u32 {
    let (first, rest) = key.split_at(4);
    let mut window = first.iter().fold(0_u32, |all, b| all << 8 | u32::from(*b));
    let mut hash = 0;
    for (byte, next) in input.iter().zip(rest) {
        for bit in (0..8).rev() {
            if byte >> bit & 1 == 1 {
                hash ^= window;
            }
            window = window << 1 | u32::from(next >> bit & 1);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verification suite's first rows for IPv4: source, destination, ports, hash.
    #[test]
    fn the_verification_suite_passes() {
        for (source, destination, ports, hash) in [
            (
                [66, 9, 149, 187],
                [161, 142, 100, 80],
                (2_794_u16, 1_766_u16),
                0x51cc_c178,
            ),
            (
                [199, 92, 111, 2],
                [65, 69, 140, 83],
                (14_230, 4_739),
                0xc626_b0ea,
            ),
            (
                [24, 19, 198, 95],
                [12, 22, 207, 184],
                (12_898, 38_024),
                0x5c2b_394a_u32,
            ),
        ] {
            let (from, to) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
            let input: Vec<u8> = [&source[..], &destination, &from, &to].concat();
            assert_eq!(toeplitz(&KEY, &input), hash);
        }
    }
}
