//! Call-IDs in the values of other headers than Call-ID: as they are (Replaces and Join of RFC 3891 and
//! RFC 3911, Target-Dialog of RFC 4538, In-Reply-To), or escaped in a URI's headers (Refer-To).

/// The headers whose value begins with a Call-ID, and parameters follow.
const REFERENCES: [&[u8]; 3] = [b"Replaces", b"Join", b"Target-Dialog"];

/// The header whose value is a list of Call-IDs.
const LIST: &[u8] = b"In-Reply-To";

/// The Call-ID for another one; none for itself.
pub(crate) type Other<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// Whether a header of this name refers to calls by their Call-IDs.
pub(crate) fn refers(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(LIST) || REFERENCES.iter().any(|r| name.eq_ignore_ascii_case(r))
}

/// Such a header's value with other Call-IDs; none when none of them changes.
pub(crate) fn in_value(value: &[u8], other: Other<'_>) -> Option<Vec<u8>> {
    // No comma and no semicolon can be in a Call-ID (RFC 3261 section 25.1).
    let mut changed = false;
    let mut out = Vec::with_capacity(value.len() + 64);
    for (i, element) in value.split(|b| *b == b',').enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let end = element
            .iter()
            .position(|b| *b == b';')
            .unwrap_or(element.len());
        let (call_id, rest) = element.split_at(end);
        let bare = call_id.trim_ascii();
        let lead = call_id.len() - call_id.trim_ascii_start().len();
        match other(bare).filter(|_| !bare.is_empty()) {
            Some(new) => {
                changed = true;
                out.extend_from_slice(call_id.get(..lead).unwrap_or_default());
                out.extend_from_slice(&new);
            }
            None => out.extend_from_slice(call_id),
        }
        out.extend_from_slice(rest);
    }
    changed.then_some(out)
}

/// The value of a header with URIs in it (Refer-To, Referred-By and the like), with other Call-IDs in
/// the URIs' headers (RFC 3261 section 19.1.1); none when none of them changes.
pub(crate) fn in_uris(value: &[u8], other: Other<'_>) -> Option<Vec<u8>> {
    let mut changed = false;
    let mut out = Vec::with_capacity(value.len() + 64);
    let mut rest = value;
    // A URI's headers begin with `?`, and `&` is between them.
    while let Some(at) = rest.iter().position(|b| matches!(b, b'?' | b'&')) {
        let (before, after) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        let end = after
            .iter()
            .position(|b| matches!(b, b'&' | b'>' | b' ' | b'"' | b','))
            .unwrap_or(after.len());
        let (header, behind) = after.split_at(end);
        rest = behind;
        let new = header.iter().position(|b| *b == b'=').and_then(|equals| {
            let (name, text) = header.split_at(equals);
            let name = unescape(name);
            let is_call_id = name.eq_ignore_ascii_case(b"Call-ID");
            let text = unescape(text.get(1..)?);
            (is_call_id || refers(&name))
                .then(|| in_value(&text, other))
                .flatten()
                .map(|new| [header.get(..=equals).unwrap_or_default(), &escape(&new)].concat())
        });
        match new {
            Some(new) => {
                changed = true;
                out.extend_from_slice(&new);
            }
            None => out.extend_from_slice(header),
        }
    }
    out.extend_from_slice(rest);
    changed.then_some(out)
}

/// Escapes of RFC 3261 section 19.1.2 undone; what is none stays.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digit = |i: usize| char::from(*behind.get(i)?).to_digit(16);
        match (*first == b'%').then(|| Some((digit(0)?, digit(1)?))) {
            Some(Some((high, low))) => {
                out.push(u8::try_from(high << 4 | low).unwrap_or_default());
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// All but letters, digits and marks is escaped, so that it may stand in a URI's header.
fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
            );
        if plain {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn other(call_id: &[u8]) -> Option<Vec<u8>> {
        call_id
            .strip_prefix(b"in")
            .map(|rest| [b"out".as_slice(), rest].concat())
    }

    fn changed(f: fn(&[u8], Other<'_>) -> Option<Vec<u8>>, text: &str) -> String {
        let out = f(text.as_bytes(), &mut other);
        out.map_or_else(|| "same".into(), |out| String::from_utf8(out).unwrap())
    }

    #[test]
    fn call_ids_in_values_are_others() {
        assert_eq!(
            changed(in_value, "in1@h;to-tag=a;from-tag=in1"),
            "out1@h;to-tag=a;from-tag=in1"
        );
        assert_eq!(changed(in_value, " in1 , x, in2"), " out1, x, out2");
        assert_eq!(changed(in_value, "x;in1"), "same");
    }

    #[test]
    fn call_ids_in_uris_are_escaped() {
        assert_eq!(
            changed(
                in_uris,
                "\"B\" <sip:in1@h?Require=replaces&REPLACES=in1%40h%3Bto-tag%3Da%3Bfrom-tag%3db>;x"
            ),
            "\"B\" <sip:in1@h?Require=replaces&REPLACES=out1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db>;x"
        );
        assert_eq!(
            changed(in_uris, "<sip:b?Call-ID=in1>"),
            "<sip:b?Call-ID=out1>"
        );
        assert_eq!(changed(in_uris, "<sip:b?Subject=in1>"), "same");
        assert_eq!(changed(in_uris, "<sip:in1@h>"), "same");
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(text: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }

        #[test]
        fn any_value_is_read(text in "([ -~]|Replaces=|%|in){0,40}") {
            let same = |call_id: &[u8]| Some(call_id.to_vec());
            let _ = in_uris(text.as_bytes(), &mut same.clone());
            let value = in_value(text.as_bytes(), &mut same.clone());
            prop_assert!(value.is_none_or(|v| v.len() <= text.len()));
        }
    }
}
