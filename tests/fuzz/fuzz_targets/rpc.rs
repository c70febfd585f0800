//! Any bytes as JSON-RPC and as a file of tokens: no panic, and tokens come back as they went.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_admin::tokens::Tokens;

fuzz_target!(|bytes: &[u8]| {
    let _ = tandem_admin::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(tokens) = Tokens::parse(text)
    {
        let again = Tokens::parse(&tokens.text());
        assert_eq!(again.as_ref(), Ok(&tokens));
    }
});
