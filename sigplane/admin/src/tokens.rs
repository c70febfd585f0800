//! Tokens of the management API, as they stand in their file: a line each, without the secrets.
//!
//! ```text
//! # name role expires hash
//! grafana read - 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
//! ```
//!
//! `expires` is in Unix seconds, `-` for never. The hash is SHA-256 of the whole token: it has 256 random bits, so nothing
//! slower is needed.

use std::fmt;
use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::methods::Role;

/// How every token begins, so that a leaked one is known for what it is.
const PREFIX: &str = "tnd_";
/// Random bytes of a token.
pub const SECRET_BYTES: usize = 32;
/// The most tokens of a file.
const MOST: usize = 1_000;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// Unix seconds; none for never.
    pub expires: Option<u64>,
    hash: [u8; 32],
}

/// All tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// What a shown token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// One of ours that counts.
    Valid(&'a Token),
    /// One of ours, past its time.
    Expired(&'a Token),
    /// None of ours.
    Unknown,
}

/// A line that is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensError {
    /// The line, from 1.
    line: usize,
    problem: String,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, problem } = self;
        write!(
            f,
            "line {line}: {problem}: remove it, and make a new token with `tandemctl token add`"
        )
    }
}

impl std::error::Error for TokensError {}

/// A token as it is shown once, of random bytes.
#[must_use]
pub fn secret(random: &[u8; SECRET_BYTES]) -> String {
    random.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Token {
    /// A token of a secret.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn new(
        name: &str,
        role: Role,
        expires: Option<u64>,
        secret: &str,
    ) -> Result<Self, &'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || name.starts_with('-') {
            return Err("a name has 1 to 64 letters, digits, `.`, `_` or `-`");
        }
        Ok(Self {
            name: name.to_owned(),
            role,
            expires,
            hash: hash(secret),
        })
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now_s: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_s)
    }
}

impl Tokens {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first line that is no token.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let fault = |problem: &str| TokensError {
                line,
                problem: problem.to_owned(),
            };
            let token = entry(content).map_err(fault)?;
            if tokens.iter().any(|t: &Token| t.name == token.name) {
                return Err(fault("a line above has the same name"));
            }
            if tokens.len() == MOST {
                return Err(fault("there are too many"));
            }
            tokens.push(token);
        }
        Ok(Self(tokens))
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = "# name role expires hash; made by `tandemctl token`\n".to_owned();
        for token in &self.0 {
            let Token {
                name,
                role,
                expires,
                hash,
            } = token;
            let expires = expires.map_or("-".to_owned(), |e| e.to_string());
            let _ = write!(text, "{name} {role} {expires} ");
            for byte in hash {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    /// Adds one; false when its name is taken.
    pub fn add(&mut self, token: Token) -> bool {
        let is_new = self.0.iter().all(|t| t.name != token.name);
        if is_new {
            self.0.push(token);
        }
        is_new
    }

    /// Removes one; false when there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|t| t.name != name);
        self.0.len() < before
    }

    /// What a shown token is. Takes as long for every token that is not among them, however much of it is right.
    #[must_use]
    pub fn check(&self, shown: &str, now_s: u64) -> Shown<'_> {
        let hash = hash(shown);
        let mut found = u32::MAX;
        for (index, token) in (0..).zip(&self.0) {
            let same: Choice = token.hash.ct_eq(&hash);
            found.conditional_assign(&index, same);
        }
        let token = usize::try_from(found).ok().and_then(|i| self.0.get(i));
        match token {
            None => Shown::Unknown,
            Some(token) if token.is_expired(now_s) => Shown::Expired(token),
            Some(token) => Shown::Valid(token),
        }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest(&SHA256, secret.as_bytes());
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

fn entry(line: &str) -> Result<Token, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(role), Some(expires), Some(hash), None) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        words.next(),
    ) else {
        return Err("it needs a name, a role, a time and a hash");
    };
    let role = Role::parse(role).ok_or("the role is none of read, operate and admin")?;
    let expires = match expires {
        "-" => None,
        seconds => Some(
            seconds
                .parse()
                .map_err(|_| "the time is neither `-` nor Unix seconds")?,
        ),
    };
    let mut token = Token::new(name, role, expires, "")?;
    token.hash = unhex(hash).ok_or("the hash has not 64 hexadecimal digits")?;
    Ok(token)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |c: u8| {
            char::from(c)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> Tokens {
        let mut tokens = Tokens::default();
        let token = |name, role, expires, secret| Token::new(name, role, expires, secret).unwrap();
        assert!(tokens.add(token("a", Role::Read, None, "tnd_one")));
        assert!(tokens.add(token("b.2", Role::Admin, Some(100), "tnd_two")));
        assert!(!tokens.add(token("a", Role::Admin, None, "tnd_three")));
        tokens
    }

    #[test]
    fn the_file_comes_back_as_it_went_and_has_no_secret() {
        let text = some().text();
        assert_eq!(Tokens::parse(&text).unwrap(), some());
        assert!(!text.contains("tnd_"), "{text}");
    }

    #[test]
    fn a_token_is_valid_until_its_time_and_others_are_unknown() {
        let mut tokens = some();
        assert!(matches!(tokens.check("tnd_one", u64::MAX), Shown::Valid(t) if t.name == "a"));
        assert!(matches!(tokens.check("tnd_two", 99), Shown::Valid(t) if t.role == Role::Admin));
        assert!(matches!(tokens.check("tnd_two", 100), Shown::Expired(_)));
        for unknown in ["", "tnd_", "tnd_on", "tnd_one ", "TND_ONE", "tnd_three"] {
            assert_eq!(tokens.check(unknown, 0), Shown::Unknown);
        }
        assert!(tokens.remove("a") && !tokens.remove("a"));
        assert_eq!(tokens.check("tnd_one", 0), Shown::Unknown);
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = some().text();
        let hash = "0".repeat(64);
        for (line, needle) in [
            ("x read -", "it needs a name"),
            ("x root - 00", "the role is none"),
            ("x read soon 00", "the time is neither"),
            ("x read - 00", "64 hexadecimal digits"),
            (&format!("a read - {hash}"), "the same name"),
            (&format!("-x read - {hash}"), "a name has"),
        ] {
            let error = Tokens::parse(&format!("{good}{line}\n")).unwrap_err();
            let said = error.to_string();
            assert!(
                said.starts_with("line 4: ") && said.contains(needle),
                "{said}"
            );
        }
    }

    #[test]
    fn secrets_are_long_and_marked() {
        let secret = secret(&[0xa5; SECRET_BYTES]);
        assert_eq!(secret.len(), 68);
        assert!(secret.starts_with("tnd_a5a5"));
    }

    proptest! {
        #[test]
        fn any_text_is_tokens_or_an_error(text in "[ -~\n]{0,200}") {
            let _ = Tokens::parse(&text);
        }
    }
}
