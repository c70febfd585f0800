//! What a subscriber's row has in the place of a password.

use std::fmt;

use super::algorithm::Algorithm;

/// A user's secret, as Kamailio's `subscriber` table has it. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Columns `ha1` and `ha1b`, in lower case; empty where there is none.
    ha1: Box<str>,
    ha1b: Box<str>,
    /// Column `password`; empty where there is none.
    password: Box<str>,
}

impl Secret {
    /// Of a row's columns `password`, `ha1` and `ha1b`. The latter are the hash of `user:realm:password` and of
    /// `user@domain:realm:password`: 32 hexadecimal digits are MD5, 64 are SHA-256. None if there is nothing to compare with.
    #[must_use]
    pub fn new(password: &str, ha1: &str, ha1b: &str) -> Option<Self> {
        let hash = |text: &str| {
            let text = text.trim();
            let is_one =
                matches!(text.len(), 32 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
            if is_one {
                text.to_ascii_lowercase().into()
            } else {
                Box::default()
            }
        };
        let secret = Self {
            ha1: hash(ha1),
            ha1b: hash(ha1b),
            password: password.into(),
        };
        let nothing = secret.ha1.is_empty() && secret.ha1b.is_empty() && secret.password.is_empty();
        (!nothing).then_some(secret)
    }

    /// What a media server that authenticates by itself is told (see the crate `freeswitch`): the MD5 hash of user, realm and
    /// password in hexadecimal digits (RFC 2617 section 3.2.2.2), which is good for this realm alone. None if there is no way to it.
    #[must_use]
    pub fn md5_ha1(&self, username: &str, realm: &str) -> Option<String> {
        let hash = self.ha1(Algorithm::Md5, username.as_bytes(), realm.as_bytes())?;
        String::from_utf8(hash).ok()
    }

    /// The password, where the row has one: for a media server that has to answer challenges, and for nobody else.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        (!self.password.is_empty()).then_some(&*self.password)
    }

    /// Of nobody: what is compared with when there is no such user.
    pub(super) fn nobody() -> Self {
        Self {
            ha1: Box::default(),
            ha1b: Box::default(),
            password: "\0".into(),
        }
    }

    /// Whether a user without a domain in his name can be asked by this algorithm.
    pub(super) fn has(&self, algorithm: Algorithm) -> bool {
        self.ha1(algorithm, b"", b"").is_some()
    }

    /// The hash of user, realm and password; none if this algorithm has no way to it. A user name with a domain in it has
    /// its own column.
    pub(super) fn ha1(
        &self,
        algorithm: Algorithm,
        username: &[u8],
        realm: &[u8],
    ) -> Option<Vec<u8>> {
        let column = if username.contains(&b'@') {
            &self.ha1b
        } else {
            &self.ha1
        };
        let length = match algorithm {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
            // Kamailio's columns do not say which of the two 64 digits are; SHA-256 it is.
            Algorithm::Sha512Trunc256 => usize::MAX,
        };
        if column.len() == length {
            return Some(column.as_bytes().to_vec());
        }
        let password = self.password.as_bytes();
        (!password.is_empty()).then(|| algorithm.hash(&[username, realm, password]))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
