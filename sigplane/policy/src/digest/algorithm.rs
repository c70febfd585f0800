//! Hash algorithms of digest authentication (RFC 7616 section 3.3, RFC 8760).

use md5::{Digest as _, Md5};
use ring::digest;

/// A hash algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`: what old user agents know, and what Kamailio's `ha1` columns have.
    Md5,
    /// `SHA-256`
    Sha256,
    /// `SHA-512-256`
    Sha512Trunc256,
}

impl Algorithm {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512Trunc256, Self::Sha256, Self::Md5];

    /// Its name in headers and configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512Trunc256 => "SHA-512-256",
        }
    }

    /// Reads a name, in whatever case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let is = |of: &Self| of.as_str().as_bytes().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is)
    }

    /// The hash of these texts with colons between them, in lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(self, texts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Md5 => {
                let mut hash = Md5::new();
                joined(texts, |bytes| hash.update(bytes));
                hex(&hash.finalize())
            }
            Self::Sha256 => ring(&digest::SHA256, texts),
            Self::Sha512Trunc256 => ring(&digest::SHA512_256, texts),
        }
    }
}

fn ring(algorithm: &'static digest::Algorithm, texts: &[&[u8]]) -> Vec<u8> {
    let mut hash = digest::Context::new(algorithm);
    joined(texts, |bytes| hash.update(bytes));
    hex(hash.finish().as_ref())
}

fn joined(texts: &[&[u8]], mut update: impl FnMut(&[u8])) {
    for (n, text) in texts.iter().enumerate() {
        if n > 0 {
            update(b":");
        }
        update(text);
    }
}

/// In lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).map_or(b'0', |c| c as u8);
    let both = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.iter().flat_map(both).collect()
}

/// What hexadecimal digits say; none if they are no pairs of such.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect()
}
