//! What a user agent says: the value of Authorization or Proxy-Authorization (RFC 7616 section 3.4, RFC 3261 section 25).

use std::borrow::Cow;

/// The longest value that is read, in bytes.
const LONGEST: usize = 4_096;

/// Credentials of the scheme Digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `username`
    pub username: Cow<'a, [u8]>,
    /// `realm`
    pub realm: Cow<'a, [u8]>,
    /// `nonce`
    pub nonce: Cow<'a, [u8]>,
    /// `uri`
    pub uri: Cow<'a, [u8]>,
    /// `response`: hexadecimal digits.
    pub response: Cow<'a, [u8]>,
    /// `algorithm`; absent it is MD5.
    pub algorithm: Option<Cow<'a, [u8]>>,
    /// `qop`
    pub qop: Option<Cow<'a, [u8]>>,
    /// `nc`
    pub nc: Option<Cow<'a, [u8]>>,
    /// `cnonce`
    pub cnonce: Option<Cow<'a, [u8]>>,
    /// `userhash`: whether the user name is a hash.
    pub userhash: bool,
}

/// Why a value is not credentials to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Another scheme than Digest.
    Scheme,
    /// More than 4,096 bytes.
    TooLong,
    /// Not a list of `name=value`.
    Syntax,
    /// A parameter stands there twice.
    Twice(&'static str),
    /// A parameter is missing.
    Missing(&'static str),
}

impl Unreadable {
    /// For a reason phrase.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "Authentication Scheme Not Supported",
            Self::TooLong => "Credentials Too Long",
            Self::Syntax => "Bad Credentials",
            Self::Twice(_) => "Credentials With A Parameter Twice",
            Self::Missing(_) => "Credentials With A Parameter Missing",
        }
    }
}

/// The parameters that count, in the order of [`Parameters`].
const NAMES: [&str; 10] = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "qop",
    "nc",
    "cnonce",
    "userhash",
];

/// A parameter's name and value, and what follows it.
type Parameter<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

type Parameters<'a> = [Option<Cow<'a, [u8]>>; NAMES.len()];

impl<'a> Credentials<'a> {
    /// Reads a header's value.
    ///
    /// # Errors
    /// Says what of it cannot be read.
    pub fn parse(value: &'a [u8]) -> Result<Self, Unreadable> {
        if value.len() > LONGEST {
            return Err(Unreadable::TooLong);
        }
        let value = value.trim_ascii();
        let end = value.iter().position(u8::is_ascii_whitespace);
        let (scheme, rest) = value
            .split_at_checked(end.unwrap_or(value.len()))
            .unwrap_or((value, b""));
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return Err(Unreadable::Scheme);
        }
        let mut found: Parameters<'a> = Default::default();
        let mut rest = rest.trim_ascii();
        while !rest.is_empty() {
            let (name, value, after) = parameter(rest).ok_or(Unreadable::Syntax)?;
            let of = NAMES.iter().zip(&mut found);
            for (known, place) in of {
                if known.as_bytes().eq_ignore_ascii_case(name) {
                    if place.is_some() {
                        return Err(Unreadable::Twice(known));
                    }
                    *place = Some(value.clone());
                }
            }
            rest = after;
        }
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            qop,
            nc,
            cnonce,
            userhash,
        ] = found;
        let missing = Unreadable::Missing;
        Ok(Self {
            username: username.ok_or(missing("username"))?,
            realm: realm.ok_or(missing("realm"))?,
            nonce: nonce.ok_or(missing("nonce"))?,
            uri: uri.ok_or(missing("uri"))?,
            response: response.ok_or(missing("response"))?,
            algorithm,
            qop,
            nc,
            cnonce,
            userhash: userhash.is_some_and(|v| v.eq_ignore_ascii_case(b"true")),
        })
    }
}

/// Reads `name=value` and the comma behind it; gives name, value, and what follows.
fn parameter(text: &[u8]) -> Option<Parameter<'_>> {
    let equals = text.iter().position(|b| *b == b'=')?;
    let (name, rest) = text.split_at_checked(equals)?;
    let name = name.trim_ascii();
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b);
    if name.is_empty() || !name.iter().all(is_token) {
        return None;
    }
    let rest = rest.get(1..)?.trim_ascii_start();
    let (value, rest) = match rest.strip_prefix(b"\"") {
        Some(quoted) => unquoted(quoted)?,
        None => {
            let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
            let (value, rest) = rest.split_at_checked(end)?;
            let value = value.trim_ascii_end();
            if value.is_empty() || value.iter().any(|b| b.is_ascii_whitespace() || *b == b'"') {
                return None;
            }
            (Cow::Borrowed(value), rest)
        }
    };
    let rest = rest.trim_ascii_start();
    match rest.strip_prefix(b",") {
        Some(after) => Some((name, value, after.trim_ascii_start())),
        None if rest.is_empty() => Some((name, value, rest)),
        None => None,
    }
}

/// The text up to the closing quote, without backslashes, and what follows the quote.
fn unquoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let plain = text.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    let (start, mut rest) = text.split_at_checked(plain)?;
    if let Some(after) = rest.strip_prefix(b"\"") {
        return Some((Cow::Borrowed(start), after));
    }
    let mut value = start.to_vec();
    loop {
        match rest {
            [b'"', after @ ..] => return Some((Cow::Owned(value), after)),
            [b'\\', byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}
