//! The keys that hide Call-IDs, and the tokens that they make.
//!
//! A token is the Call-ID in deterministic authenticated encryption (AES-SIV, RFC 5297): the same
//! Call-ID gives the same token on every message, and nobody without the key makes one or learns
//! anything from one but the Call-ID's length. What it looks like, and which shard it says, is in
//! `tandem_wire::sip`.

use std::fmt;
use std::hash::Hasher as _;

use aes_siv::siv::Aes128Siv;
use aes_siv::{Key, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tandem_sip::{TOKEN_PREFIX, shard, shard_text, token_shard};

/// A key's name: 24 bits, drawn with the key, in clear in its tokens. Six hexadecimal digits for
/// people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyId([u8; 3]);

/// Keys by name. The first one makes tokens, every one undoes its own.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    current: KeyId,
    keys: Vec<(KeyId, [u8; KEY])>,
}

/// What is behind a Call-ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// No token, or one that was made with a key that we do not have (another appliance's, or one
    /// that was thrown away): a Call-ID like any other.
    Foreign,
    /// Our token.
    Ours {
        /// What it hides.
        call_id: Vec<u8>,
        /// The key that it was made with.
        key: KeyId,
    },
    /// It names a key of ours, and was not made with it.
    Forged,
}

/// What is behind a token of another kind than Call-IDs'.
pub(crate) enum Sealed {
    /// No such token.
    Foreign,
    /// It names a key that we do not have.
    NoKey,
    /// It names a key of ours, and was not made with it.
    Forged,
    /// Ours, and what was sealed.
    Ours(Vec<u8>),
}

/// Why a file of keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// This line is not a key's name and the key.
    Line(usize),
    /// The key's name in this line stood there before.
    Repeated(usize),
    /// There is no key.
    Empty,
}

/// Bytes of a key: two of AES-128, for S2V and for the counter mode.
const KEY: usize = 32;

/// Characters before the sealed part: prefix, shard and key id.
const HEAD: usize = TOKEN_PREFIX.len() + 2 + 4;

impl KeyRing {
    /// A ring of one key, from random bytes: name and key.
    #[must_use]
    pub fn generate(random: [u8; 3 + KEY]) -> Self {
        let [a, b, c, key @ ..] = random;
        let current = KeyId([a, b, c]);
        Self {
            current,
            keys: vec![(current, key)],
        }
    }

    /// Reads a file of keys: a line for each, its name (6 hexadecimal digits), white space, the key
    /// (64 hexadecimal digits). The first is the one that makes tokens. Empty lines and what follows
    /// a `#` are left out.
    ///
    /// # Errors
    /// Says which line is at fault; never repeats what is in it.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let mut keys: Vec<(KeyId, [u8; KEY])> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next() else {
                continue;
            };
            let id = hex(name).map(KeyId);
            let key = words.next().and_then(hex);
            let (Some(id), Some(key), None) = (id, key, words.next()) else {
                return Err(KeyFault::Line(number));
            };
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyFault::Repeated(number));
            }
            keys.push((id, key));
        }
        let (current, _) = *keys.first().ok_or(KeyFault::Empty)?;
        Ok(Self { current, keys })
    }

    /// The ring as a file: what [`Self::parse`] reads.
    #[must_use]
    pub fn file(&self) -> String {
        use fmt::Write as _;
        let mut text = String::from(
            "# Keys that hide Call-IDs from the carrier side. The first makes tokens, all undo theirs.\n",
        );
        for (id, key) in &self.keys {
            let _ = write!(text, "{id} ");
            for byte in key {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// The key that makes tokens of new calls.
    #[must_use]
    pub const fn current(&self) -> KeyId {
        self.current
    }

    /// A key for something else, made of the current one: the same on every node with the same file.
    #[must_use]
    pub fn derived(&self, purpose: &[u8]) -> [u8; 16] {
        let key = self.keys.first().map_or([0; KEY], |(_, key)| *key);
        let (first, second) = key.split_at(KEY / 2);
        let mut half = [0; 16];
        half.copy_from_slice(first);
        let mut hasher = SipHasher24::new_with_key(&half);
        hasher.write(second);
        hasher.write(purpose);
        hasher.finish128().as_bytes()
    }

    /// Whether there is a key of this name.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.key(id).is_some()
    }

    /// The token of a Call-ID, made with this key; none when there is no such key.
    #[must_use]
    pub fn seal(&self, id: KeyId, call_id: &[u8]) -> Option<Vec<u8>> {
        let mut cipher = self.cipher(id)?;
        let mut token = Vec::with_capacity(HEAD + (call_id.len() + 18) / 3 * 4);
        token.extend_from_slice(TOKEN_PREFIX);
        token.extend_from_slice(&shard_text(shard(call_id)));
        token.extend_from_slice(URL_SAFE_NO_PAD.encode(id.0).as_bytes());
        let sealed = cipher.encrypt([token.as_slice()], call_id).ok()?;
        token.extend_from_slice(URL_SAFE_NO_PAD.encode(sealed).as_bytes());
        Some(token)
    }

    /// Undoes a token.
    #[must_use]
    pub fn open(&self, token: &[u8]) -> Opened {
        let Some((head, sealed)) = token
            .split_at_checked(HEAD)
            .filter(|_| token_shard(token).is_some())
        else {
            return Opened::Foreign;
        };
        let key = head
            .get(HEAD - 4..)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|id| Some(KeyId(id.try_into().ok()?)));
        let Some((key, mut cipher)) = key.and_then(|id| Some((id, self.cipher(id)?))) else {
            return Opened::Foreign;
        };
        let opened = URL_SAFE_NO_PAD
            .decode(sealed)
            .ok()
            .and_then(|sealed| cipher.decrypt([head], &sealed).ok());
        match opened {
            Some(call_id) => Opened::Ours { call_id, key },
            None => Opened::Forged,
        }
    }

    /// Seals bytes as a token of another kind, which begins with `prefix` and the key's name.
    pub(crate) fn seal_with(&self, prefix: &[u8], id: KeyId, plain: &[u8]) -> Option<Vec<u8>> {
        let mut cipher = self.cipher(id)?;
        let mut token = Vec::with_capacity(prefix.len() + 4 + (plain.len() + 18) / 3 * 4);
        token.extend_from_slice(prefix);
        token.extend_from_slice(URL_SAFE_NO_PAD.encode(id.0).as_bytes());
        let sealed = cipher.encrypt([token.as_slice()], plain).ok()?;
        token.extend_from_slice(URL_SAFE_NO_PAD.encode(sealed).as_bytes());
        Some(token)
    }

    /// Undoes [`Self::seal_with`].
    pub(crate) fn open_with(&self, prefix: &[u8], token: &[u8]) -> Sealed {
        let parts = token
            .split_at_checked(prefix.len() + 4)
            .filter(|(head, _)| head.starts_with(prefix));
        let Some((head, sealed)) = parts else {
            return Sealed::Foreign;
        };
        let cipher = head
            .get(prefix.len()..)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|id| self.cipher(KeyId(id.try_into().ok()?)));
        let Some(mut cipher) = cipher else {
            return Sealed::NoKey;
        };
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok();
        match sealed.and_then(|sealed| cipher.decrypt([head], &sealed).ok()) {
            Some(plain) => Sealed::Ours(plain),
            None => Sealed::Forged,
        }
    }

    fn key(&self, id: KeyId) -> Option<&[u8; KEY]> {
        self.keys
            .iter()
            .find_map(|(known, key)| (*known == id).then_some(key))
    }

    fn cipher(&self, id: KeyId) -> Option<Aes128Siv> {
        Some(Aes128Siv::new(&Key::<Aes128Siv>::from(*self.key(id)?)))
    }
}

/// Names only: keys are in no log.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|(id, _)| id))
            .finish()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(
                f,
                "line {line} is not a key: write a name of 6 hexadecimal digits, a space, and a key \
                 of 64"
            ),
            Self::Repeated(line) => write!(
                f,
                "line {line} has the name of a key before it: give each key its own"
            ),
            Self::Empty => f.write_str(
                "there is no key: put the keys back from another node or a backup, or remove the \
                 file, and a new key is made",
            ),
        }
    }
}

impl std::error::Error for KeyFault {}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
