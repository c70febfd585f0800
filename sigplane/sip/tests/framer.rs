//! Framing of streams.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use proptest::prelude::*;
use tandem_sip::{Frame, FrameError, FrameLimits, Framer, Message};

/// Everything that comes out of a stream fed in these pieces.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let limits = FrameLimits {
        message: 400,
        head: 200,
    };
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    for piece in pieces {
        framer.feed(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(framer.next_frame(), Err(error), "an error is final");
                    return (frames, Some(error));
                }
            }
        }
        assert!(framer.is_partial() || framer.buffered() == 0);
    }
    (frames, None)
}

fn message(text: &str, has_length: bool) -> Frame {
    Frame::Message {
        bytes: text.as_bytes().to_vec(),
        has_length,
    }
}

const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nl:\r\n 4\r\nCall-ID: x\r\n\r\n\r\n\r\n";
const ANSWER: &str = "SIP/2.0 200 OK\nContent-Length : 0\n\n";

#[test]
fn messages_in_one_segment_come_one_by_one() {
    let stream = format!("\r\n{OPTIONS}{ANSWER}\r\n\r\n{OPTIONS}");
    let expected = vec![
        message(OPTIONS, true),
        message(ANSWER, true),
        Frame::Ping,
        message(OPTIONS, true),
    ];
    assert_eq!(frames([stream.as_bytes()]), (expected.clone(), None));
    assert_eq!(frames(stream.as_bytes().chunks(1)), (expected, None));
}

#[test]
fn a_keepalive_is_exactly_two_line_ends_in_a_row() {
    let pings = |bytes: &str| frames([bytes.as_bytes()]).0.len();
    for (bytes, expected) in [
        ("\r\n", 0),
        ("\r\n\r\n", 1),
        ("\r\n\r\n\r\n", 1),
        ("\r\n\r\n\r\n\r\n", 2),
        ("\n\n\n\n", 0),
        ("\r\r\n\r\n", 1),
        ("\r\n\n\r\n", 0),
    ] {
        assert_eq!(pings(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn a_message_without_a_length_has_no_body_and_is_marked() {
    let text = "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n";
    let both = format!("{text}{OPTIONS}");
    let expected = vec![message(text, false), message(OPTIONS, true)];
    assert_eq!(frames([both.as_bytes()]), (expected, None));
}

#[test]
fn what_cannot_be_framed_ends_the_stream() {
    let long = format!("A sip:b SIP/2.0\r\nX: {}\r\n\r\n", "x".repeat(200));
    for (bytes, error) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", FrameError::NotSip),
        ("A sip:b SIP/2.0\r\nl: x\r\n\r\n", FrameError::ContentLength),
        (
            "A sip:b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n",
            FrameError::ContentLength,
        ),
        (
            "A sip:b SIP/2.0\r\nl: 390\r\n\r\n",
            FrameError::MessageTooLong,
        ),
        (
            "A sip:b SIP/2.0\r\nl: 18446744073709551615\r\n\r\n",
            FrameError::MessageTooLong,
        ),
        (long.as_str(), FrameError::HeadTooLong),
        (&"x".repeat(201), FrameError::HeadTooLong),
    ] {
        let stream = format!("{ANSWER}{bytes}{ANSWER}");
        let expected = (vec![message(ANSWER, true)], Some(error));
        assert_eq!(frames([stream.as_bytes()]), expected, "{bytes:?}");
        assert_eq!(frames(stream.as_bytes().chunks(1)), expected, "{bytes:?}");
    }
    // A start line that we do not know, with a length, can still be answered.
    let unknown = "A sip:b SIP/7.0\r\nl: 0\r\n\r\n";
    assert_eq!(
        frames([unknown.as_bytes()]),
        (vec![message(unknown, true)], None)
    );
}

#[test]
fn a_long_message_byte_by_byte_is_looked_at_once() {
    // With a rescan for each byte these would be 2,000,000,000 comparisons.
    let limits = FrameLimits::default();
    let text = format!(
        "A sip:b SIP/2.0\r\nl: 49000\r\n{}\r\n{}",
        "A: b\r\n".repeat(2_600),
        "y".repeat(49_000)
    );
    for _ in 0..20 {
        let mut framer = Framer::new(limits);
        let mut found = 0;
        for byte in text.as_bytes().chunks(1) {
            framer.feed(byte);
            found += usize::from(framer.next_frame().unwrap().is_some());
        }
        assert_eq!(found, 1);
    }
}

/// Pieces of streams that matter to framing.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just(" "),
        Just("l: 3\r\n"),
        Just("Content-Length:\r\n 10\r\n"),
        Just("l: 5\n"),
        Just("INVITE sip:a@b SIP/2.0\r\n"),
        Just("SIP/2.0 200 OK\r\n"),
        Just("Via: x\r\n"),
        Just("\r\n\r\n"),
        Just(OPTIONS),
        Just(ANSWER),
        Just("abc"),
    ];
    prop_oneof![
        9 => known.prop_map(|s| s.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_makes_no_difference(
        pieces in proptest::collection::vec(piece(), 0..24),
        cuts in proptest::collection::vec(1usize..30, 1..40),
    ) {
        let stream = pieces.concat();
        let whole = frames([stream.as_slice()]);
        prop_assert_eq!(&whole, &frames(stream.chunks(1)));
        let mut rest = stream.as_slice();
        let mut cut = Vec::new();
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (first, second) = rest.split_at((*length).min(rest.len()));
            cut.push(first);
            rest = second;
        }
        prop_assert_eq!(&whole, &frames(cut));
        // The index finds in each message what the framer found: nothing is left over or short.
        for frame in &whole.0 {
            if let Frame::Message { bytes, has_length } = frame
                && let Ok(message) = Message::parse(bytes)
            {
                prop_assert_eq!(message.index().body.end, bytes.len());
                prop_assert!(*has_length || message.body().is_empty());
            }
        }
    }
}
