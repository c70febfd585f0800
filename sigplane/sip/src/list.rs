//! Lists, quoted strings and folds.

use std::borrow::Cow;

/// Splits a header value at its commas, but not inside of quotes or angle brackets; elements come
/// without white space around them, and empty ones not at all.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = find_outside(rest, b',').unwrap_or(rest.len());
            let (element, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    })
}

/// Where `wanted` first stands outside of quotes and angle brackets.
pub(crate) fn find_outside(value: &[u8], wanted: u8) -> Option<usize> {
    // Most values have neither quotes nor brackets before it, or not even it.
    let first = memchr::memchr(wanted, value)?;
    let before = value.get(..first).unwrap_or_default();
    if memchr::memchr2(b'"', b'<', before).is_none() {
        return Some(first);
    }
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    for (at, byte) in value.iter().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            _ if quoted => {}
            b if *b == wanted && (!angle || wanted == b'>') => return Some(at),
            b'<' => angle = true,
            b'>' => angle = false,
            _ => {}
        }
    }
    None
}

/// A value with its folds (RFC 3261 section 7.3.1) replaced by single spaces.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut folding = false;
    for byte in value {
        match byte {
            b'\r' | b'\n' => folding = true,
            b' ' | b'\t' if folding => {}
            byte => {
                if folding {
                    while plain.last().is_some_and(|b| matches!(b, b' ' | b'\t')) {
                        plain.pop();
                    }
                    plain.push(b' ');
                }
                folding = false;
                plain.push(*byte);
            }
        }
    }
    Cow::Owned(plain)
}

/// Iterates over `;name=value` parameters; a parameter without a value has none. Quotes of a value
/// stay.
pub(crate) fn parameters(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = text.trim_ascii();
    std::iter::from_fn(move || {
        loop {
            rest = rest.strip_prefix(b";")?.trim_ascii_start();
            let end = find_outside(rest, b';').unwrap_or(rest.len());
            let (parameter, after) = rest.split_at(end);
            rest = after;
            let parameter = parameter.trim_ascii();
            if parameter.is_empty() {
                continue;
            }
            return Some(match parameter.iter().position(|b| *b == b'=') {
                None => (parameter, None),
                Some(at) => {
                    let (name, value) = parameter.split_at(at);
                    (name.trim_ascii(), value.get(1..).map(<[u8]>::trim_ascii))
                }
            });
        }
    })
}

/// The value of a parameter: none when it is absent, empty when it has no value.
pub(crate) fn parameter<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    parameters(text)
        .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.unwrap_or_default())
}
