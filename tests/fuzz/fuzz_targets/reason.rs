//! Any bytes as a Reason header, and as SDP whose payload types are named: no panic, and what is read is in bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_sdp::{Limits, Sdp};
use tandem_sip::Reason;

fuzz_target!(|bytes: &[u8]| {
    for reason in Reason::read_all(bytes) {
        assert!(!reason.protocol.is_empty());
        assert!(reason.q850().is_none_or(|cause| cause < 128));
    }
    if let Ok(sdp) = Sdp::parse(bytes, Limits::default()) {
        for media in sdp.media() {
            for payload_type in 0..=u8::MAX {
                assert!(sdp.rtpmap(media, payload_type).is_none_or(|name| !name.is_empty()));
            }
        }
    }
});
