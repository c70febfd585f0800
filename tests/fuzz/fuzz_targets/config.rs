//! Any text as a configuration: no panic, and a refusal says why.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(mistakes) = tandem_config::parse(text) {
        assert!(!mistakes.is_empty());
    }
});
