//! Any body as one of mod_xml_cdr's: read or refused, and what is read fits its columns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_freeswitch::cdr::{Limits, read};

fuzz_target!(|body: &[u8]| {
    if let Ok(posted) = read(None, body, 0, &Limits::default()) {
        let cdr = posted.cdr;
        assert!((1..=64).contains(&cdr.uuid.len()));
        assert!(!cdr.sip_call_id.contains(char::is_control));
    }
});
