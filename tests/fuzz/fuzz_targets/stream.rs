//! Any stream comes apart into the same messages however it is cut, within the limits, and the index finds each
//! message as long as the framer did. The first bytes of the input say where the cuts are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_sip::{Frame, FrameError, FrameLimits, Framer, Message};

const LIMITS: FrameLimits = FrameLimits { message: 2_000, head: 1_000 };

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let mut framer = Framer::new(LIMITS);
    let mut frames = Vec::new();
    for piece in pieces {
        framer.feed(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(framer.buffered() <= LIMITS.message, "no more is held than a message");
    }
    (frames, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    assert_eq!(whole, frames(stream.chunks(usize::from(*cut).max(1))), "the cuts make no difference");
    for frame in &whole.0 {
        let Frame::Message { bytes, .. } = frame else { continue };
        assert!(bytes.len() <= LIMITS.message);
        if let Ok(message) = Message::parse(bytes) {
            assert_eq!(message.index().body.end, bytes.len(), "the index and the framer");
        }
    }
});
