//! SHA256SUMS and the Ed25519 signature over it: who made an image, and whether it arrived whole.

use base64::Engine as _;
use ring::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;

use crate::digest::{self, Sha256};

/// Why checksums or a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SumsError {
    /// A line of another form than `sha256sum` writes.
    #[error("line {0} is not a SHA-256, two spaces and a name")]
    Line(usize),
    /// Two lines for a name that say different things.
    #[error("{0:?} is listed twice, with different checksums")]
    Twice(String),
    /// Not a PEM file with an Ed25519 public key.
    #[error("not an Ed25519 public key in PEM (`openssl pkey -pubout`)")]
    Key,
    /// The signature is of something else or by somebody else.
    #[error(
        "the signature does not fit: the checksums were changed, or are signed with another key"
    )]
    Signature,
}

/// The lines of a SHA256SUMS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(Vec<(String, Sha256)>);

impl Sums {
    /// Reads the lines that `sha256sum` writes.
    ///
    /// # Errors
    /// The line that is none.
    pub fn parse(text: &str) -> Result<Self, SumsError> {
        let mut lines: Vec<(String, Sha256)> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            let (sum, name) = line
                .split_once("  ")
                .or_else(|| line.split_once(" *"))
                .and_then(|(sum, name)| Some((digest::from_hex(sum)?, name)))
                .filter(|(_, name)| !name.is_empty())
                .ok_or(SumsError::Line(n + 1))?;
            let name = name.strip_prefix("./").unwrap_or(name).to_owned();
            match lines.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known != sum => return Err(SumsError::Twice(name)),
                Some(_) => {}
                None => lines.push((name, sum)),
            }
        }
        Ok(Self(lines))
    }

    /// Of the file of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Sha256> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, sum)| sum)
    }
}

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410, section 4).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

impl Key {
    /// From PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// Not such a key.
    pub fn from_pem(text: &str) -> Result<Self, SumsError> {
        let (_, after) = text
            .split_once("-----BEGIN PUBLIC KEY-----")
            .ok_or(SumsError::Key)?;
        let (body, _) = after
            .split_once("-----END PUBLIC KEY-----")
            .ok_or(SumsError::Key)?;
        let body: String = body.split_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD
            .decode(body)
            .map_err(|_| SumsError::Key)?;
        der.strip_prefix(&SPKI)
            .and_then(|key| key.try_into().ok())
            .map(Self)
            .ok_or(SumsError::Key)
    }

    /// Whether this key signed these bytes. `signature` is the 64 bytes as they are (RFC 8032, section 5.1.6).
    ///
    /// # Errors
    /// It did not.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), SumsError> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(signed, signature)
            .map_err(|_| SumsError::Signature)
    }

    /// The SHA-256 of the key, short: for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = digest::of(&self.0);
        digest
            .chunks_exact(2)
            .take(8)
            .map(|pair| pair.iter().map(|b| format!("{b:02x}")).collect::<String>())
            .collect::<Vec<_>>()
            .join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_sha256sum_writes_them() {
        let sum = "ab".repeat(32);
        let sums = Sums::parse(&format!("{sum}  a.img\n{sum} *./b.img\r\n\n")).unwrap();
        assert_eq!(sums.of("a.img"), Some(&[0xab; 32]));
        assert_eq!(sums.of("b.img"), Some(&[0xab; 32]));
        assert_eq!(sums.of("c.img"), None);
        assert_eq!(Sums::parse("ab  a\n"), Err(SumsError::Line(1)));
        let twice = format!("{sum}  a\n{}  a\n", "cd".repeat(32));
        assert_eq!(Sums::parse(&twice), Err(SumsError::Twice("a".into())));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        assert_eq!(Key::from_pem("hello"), Err(SumsError::Key));
        let wrong = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(Key::from_pem(wrong), Err(SumsError::Key));
    }
}
