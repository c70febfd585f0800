//! Bencoding, as the ng protocol of RTPEngine has it: byte strings, and dictionaries of them.

/// A dictionary of texts, some of which are lists.
pub(crate) enum Value<'a> {
    Text(&'a str),
    List(&'a [&'a str]),
}

/// Writes a dictionary.
pub(crate) fn dictionary(entries: &[(&str, Value<'_>)]) -> String {
    let text = |t: &str| format!("{}:{t}", t.len());
    let mut all = String::from("d");
    for (key, value) in entries {
        all += &text(key);
        match value {
            Value::Text(value) => all += &text(value),
            Value::List(values) => {
                all.push('l');
                values.iter().for_each(|v| all += &text(v));
                all.push('e');
            }
        }
    }
    all + "e"
}

/// The text under a key of a dictionary, whose other values may be of any kind.
pub(crate) fn text_of<'a>(bytes: &'a [u8], key: &str) -> Option<&'a str> {
    let mut rest = bytes.strip_prefix(b"d")?;
    loop {
        let (name, behind) = string(rest)?;
        let after = skip(behind, 8)?;
        if name == key.as_bytes() {
            return std::str::from_utf8(string(behind)?.0).ok();
        }
        rest = after;
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|b| *b == b':')?;
    let (length, rest) = bytes.split_at_checked(colon)?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    rest.get(1..)?.split_at_checked(length)
}

/// What stands behind one value, nested at most so deep.
fn skip(bytes: &[u8], depth: u8) -> Option<&[u8]> {
    match bytes.first()? {
        b'i' => bytes.get(bytes.iter().position(|b| *b == b'e')? + 1..),
        b'l' | b'd' => {
            let depth = depth.checked_sub(1)?;
            let mut rest = bytes.get(1..)?;
            while *rest.first()? != b'e' {
                rest = skip(rest, depth)?;
            }
            rest.get(1..)
        }
        _ => Some(string(bytes)?.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = dictionary(&[
            ("command", Value::Text("offer")),
            ("direction", Value::List(&["a", "bc"])),
            ("sdp", Value::Text("v=0\r\n")),
        ]);
        assert_eq!(text, "d7:command5:offer9:directionl1:a2:bce3:sdp5:v=0\r\ne");
        assert_eq!(text_of(text.as_bytes(), "sdp"), Some("v=0\r\n"));
        assert_eq!(text_of(text.as_bytes(), "result"), None);
    }

    #[test]
    fn numbers_and_nests_are_passed_over_and_nonsense_is_none() {
        assert_eq!(text_of(b"d1:ai-5e1:bd1:cli1eee1:d2:oke", "d"), Some("ok"));
        for nonsense in [
            &b""[..],
            b"d",
            b"d1:",
            b"d9:a",
            b"dx",
            b"d1:ali1e",
            b"d1:a99999999999999999999:e",
        ] {
            assert_eq!(text_of(nonsense, "d"), None);
        }
        let deep = [b"d1:a".to_vec(), vec![b'l'; 1_000]].concat();
        assert_eq!(text_of(&deep, "d"), None);
    }
}
