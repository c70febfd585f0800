use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn runs_are_the_bytes_again(
        parts in prop::collection::vec((1_usize..5 * RUN, prop::bool::ANY), 0..6),
        start in 0_u64..1000,
    ) {
        let mut bytes = Vec::new();
        for (len, is_zero) in parts {
            bytes.resize(bytes.len() + len, u8::from(!is_zero));
        }
        let mut again: Vec<u8> = Vec::new();
        for piece in runs(start, &bytes) {
            prop_assert_eq!(piece.range().start, start + again.len() as u64);
            match piece {
                Piece::Data { bytes, .. } => again.extend(bytes),
                Piece::Zeros(range) => again.resize(again.len() + (range.end - range.start) as usize, 0),
                Piece::Gap(_) => prop_assert!(false),
            }
        }
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn zeros_are_zeros(len in 0_usize..100, at in 0_usize..100) {
        let mut bytes = vec![0; len];
        prop_assert!(is_zero(&bytes));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = 1;
            prop_assert!(!is_zero(&bytes));
        }
    }
}
