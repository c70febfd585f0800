//! Branches, tags and Call-IDs that nobody can guess.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::text::push_hex;

/// The magic cookie of RFC 3261 section 8.1.1.7.
const MAGIC: &str = "z9hG4bK";

/// A keyed source of tokens: the same seed gives the same row.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: [u8; 16],
    drawn: u64,
}

impl Tokens {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self {
            key: seed,
            drawn: 0,
        }
    }

    /// The next token: 16 hexadecimal digits.
    pub(crate) fn token(&mut self) -> String {
        hex("", self.number())
    }

    /// The next branch.
    pub(crate) fn branch(&mut self) -> String {
        hex(MAGIC, self.number())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.hash(0, &[&self.drawn.to_be_bytes()])
    }

    /// A tag that depends on nothing but what it is made from: a repeated request gets the same
    /// one without any state.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> String {
        hex("", self.hash(1, parts))
    }

    fn hash(&self, purpose: u8, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&[purpose]);
        for part in parts {
            hasher.write(&part.len().to_be_bytes());
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// A number in 16 hexadecimal digits behind `start`.
fn hex(start: &str, number: u64) -> String {
    let mut out = Vec::with_capacity(start.len() + 16);
    out.extend_from_slice(start.as_bytes());
    push_hex(&mut out, number);
    String::from_utf8(out).unwrap_or_default()
}
