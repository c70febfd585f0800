//! Any bytes as a message of the link, either way: no panic, and what was read is written and read
//! again as the same message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_link::{FromDataplane, MAX_MESSAGE, ToDataplane, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode::<ToDataplane>(bytes) {
        let again = encode(&message);
        assert!(again.len() <= MAX_MESSAGE);
        assert_eq!(decode(&again), Ok(message));
    }
    if let Ok(message) = decode::<FromDataplane>(bytes) {
        let again = encode(&message);
        assert!(again.len() <= MAX_MESSAGE);
        assert_eq!(decode(&again), Ok(message));
    }
});
