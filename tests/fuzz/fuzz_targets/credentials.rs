//! Any text as credentials: no panic, and what is read is in bounds; verifying it never lets anybody in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_policy::digest::{Credentials, Digest, Nonces, Request, Secret, Settings};

fuzz_target!(|bytes: &[u8]| {
    let mut value = b"Digest ".to_vec();
    value.extend_from_slice(bytes);
    for value in [bytes, &value] {
        let Ok(credentials) = Credentials::parse(value) else {
            continue;
        };
        let request = Request {
            method: b"REGISTER",
            uri: b"sip:example.net",
            realm: b"example.net",
        };
        let nonces = Nonces::new(&[7; 32], 0, 300_000, 16);
        let mut digest = Digest::new(Settings::default(), nonces);
        let secret = Secret::new("password", "", "");
        for secret in [None, secret.as_ref()] {
            assert!(
                digest
                    .verify(1_700_000_000_000, request, &credentials, secret)
                    .is_err()
            );
        }
    }
});
