//! From a body to the document in it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::CdrError;

/// FreeSWITCH's own encoder, whose padding has not always been right.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The document. What is not UTF-8 in it has U+FFFD in its place.
pub(super) fn document(body: &[u8], most: usize) -> Result<String, CdrError> {
    if body.len() > most {
        return Err(CdrError::TooLong(most));
    }
    let body = body.trim_ascii();
    let body = body.strip_prefix(b"cdr=").unwrap_or(body).trim_ascii();
    let bytes = match body {
        [] => return Err(CdrError::Empty),
        [b'<', ..] | [0xef, 0xbb, 0xbf, ..] => body.to_vec(),
        // UTF-16, in either order.
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => return Err(CdrError::Charset),
        [b'%', ..] => decoded(body),
        _ => {
            let mut text = Vec::with_capacity(body.len());
            text.extend(body.iter().filter(|b| !b.is_ascii_whitespace()));
            // A client that percent-encodes base64, as a form would have it.
            let text = match text.contains(&b'%') {
                true => percent_encoding::percent_decode(&text).collect(),
                false => text,
            };
            BASE64.decode(text).map_err(|_| CdrError::Encoding)?
        }
    };
    // Some versions encode the terminating zero, too.
    let bytes = bytes.trim_ascii();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.trim_ascii();
    if !bytes.starts_with(b"<") {
        return Err(CdrError::Encoding);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Percent-encoding with `+` for a space; behind an `&` begins another field, of which there are none.
fn decoded(body: &[u8]) -> Vec<u8> {
    let value = body.split(|b| *b == b'&').next().unwrap_or_default();
    let value: Vec<u8> = value
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    percent_encoding::percent_decode(&value).collect()
}
