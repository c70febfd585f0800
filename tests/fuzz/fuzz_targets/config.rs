//! Any text as a configuration: no panic, a refusal says why, and nothing differs from itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match tandem_config::parse(text) {
        Ok(config) => assert!(tandem_config::diff(&config, &config).is_empty()),
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
    let _ = tandem_config::place(text, "tls.certificate.chain", 1);
    let _ = tandem_config::without_secrets(text);
});
