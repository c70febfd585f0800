use proptest::prelude::*;

use super::*;

/// Everything that comes of a stream in these pieces: what is read, what is answered, how it ends.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<WebInput>, Vec<u8>, Result<(), WebEnd>) {
    let (mut web, mut inputs, mut out) = (Web::new(300), Vec::new(), Vec::new());
    for piece in pieces {
        let result = web.receive(piece, &mut inputs, &mut out);
        if result.is_err() {
            return (inputs, out, result);
        }
        assert!(web.buffered() < 320, "no more is held than a frame");
    }
    (inputs, out, Ok(()))
}

/// A client's frame.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => Just(0x81u8),
        3 => Just(0x82),
        2 => Just(0x01),
        2 => Just(0x80),
        2 => Just(0x00),
        2 => Just(0x89),
        1 => Just(0x8a),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\x03\xe8".to_vec()),
        "[a-z]{0,30}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..30),
        (100usize..310).prop_map(|n| vec![b'x'; n]),
    ];
    let mask = prop_oneof![Just([0; 4]), any::<[u8; 4]>()];
    (first, payload, mask).prop_map(|(first, payload, mask)| {
        let mut bytes = vec![first];
        match u8::try_from(payload.len()) {
            Ok(short) if short < 126 => bytes.push(0x80 | short),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    })
}

proptest! {
    #[test]
    fn how_frames_are_cut_makes_no_difference(
        frames in proptest::collection::vec(frame(), 0..12),
        cut in 2usize..40,
    ) {
        let stream = frames.concat();
        let whole = run(std::iter::once(stream.as_slice()));
        prop_assert_eq!(&whole, &run(stream.chunks(1)));
        prop_assert_eq!(&whole, &run(stream.chunks(cut)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(run(std::iter::once(bytes.as_slice())), run(bytes.chunks(1)));
        let mut request = Request::default();
        let _ = request.receive(&bytes, &[]);
        let _ = Request::default().receive(&[bytes.as_slice(), b"\r\n\r\n"].concat(), &[]);
    }
}
