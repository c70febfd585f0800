//! Where the SDP is in a body: the whole of it, or one part of a multipart one (RFC 2046 section
//! 5.1).

use std::ops::Range;

use crate::message::{Message, Name};

/// What a body has for media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No SDP.
    None,
    /// SDP, at this place in the body.
    Sdp(Range<usize>),
    /// A multipart body that we cannot take apart, or encoded SDP: it may hide addresses.
    Unreadable,
}

/// Looks for SDP in a message's body.
pub(crate) fn find_sdp(message: &Message<'_>) -> Found {
    let content_type = message.first(Name::ContentType).unwrap_or_default();
    let encoding = message.first(Name::ContentEncoding);
    locate(message.body(), content_type, encoding)
}

/// Looks for SDP in a body, by the values of Content-Type and Content-Encoding.
pub(crate) fn locate(body: &[u8], content_type: &[u8], encoding: Option<&[u8]>) -> Found {
    if body.is_empty() {
        return Found::None;
    }
    let encoded = encoding.is_some_and(|e| !e.is_empty() && !e.eq_ignore_ascii_case(b"identity"));
    match media_type(content_type).as_str() {
        "application/sdp" if encoded => Found::Unreadable,
        "application/sdp" => Found::Sdp(0..body.len()),
        kind if kind.starts_with("multipart/") => match boundary(content_type) {
            Some(boundary) if !encoded => in_parts(body, &boundary),
            _ => Found::Unreadable,
        },
        _ => Found::None,
    }
}

/// The media type of a Content-Type in lower case, without parameters.
pub(crate) fn media_type(content_type: &[u8]) -> String {
    let kind = content_type
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(kind.trim_ascii()).to_ascii_lowercase()
}

/// The body with other SDP at its place.
pub(crate) fn splice(body: &[u8], place: Range<usize>, sdp: &[u8]) -> Vec<u8> {
    let before = body.get(..place.start).unwrap_or_default();
    let after = body.get(place.end..).unwrap_or_default();
    [before, sdp, after].concat()
}

/// The `boundary` parameter of a Content-Type, with the two dashes before it.
fn boundary(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let parameter = text.split(';').skip(1).find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    // RFC 2046: 1 to 70 characters.
    (1..=70)
        .contains(&parameter.len())
        .then(|| format!("--{parameter}").into_bytes())
}

/// The one SDP part. Two would leave open which one counts.
fn in_parts(body: &[u8], boundary: &[u8]) -> Found {
    let mut found = Found::None;
    let mut rest = 0;
    let Some(mut start) = find(body, boundary, 0) else {
        return Found::Unreadable;
    };
    while let Some(next) = find(body, boundary, start + boundary.len()) {
        let part = start + boundary.len()..next;
        start = next;
        rest += 1;
        if rest > 16 {
            return Found::Unreadable;
        }
        let Some(content) = sdp_of_part(body, part) else {
            continue;
        };
        match (&found, content) {
            (Found::None, Some(place)) => found = Found::Sdp(place),
            _ => return Found::Unreadable,
        }
    }
    found
}

/// Where a part's content is, if the part is SDP; the inner none when it is SDP that we cannot
/// read.
fn sdp_of_part(body: &[u8], part: Range<usize>) -> Option<Option<Range<usize>>> {
    let bytes = body.get(part.clone())?;
    let (headers, gap) = match find(bytes, b"\r\n\r\n", 0) {
        Some(at) => (at, 4),
        None => (find(bytes, b"\n\n", 0)?, 2),
    };
    let head = String::from_utf8_lossy(bytes.get(..headers)?).to_ascii_lowercase();
    let line = |name: &str| {
        head.lines().find_map(|l| {
            let (n, v) = l.split_once(':')?;
            (n.trim() == name).then(|| v.trim().to_owned())
        })
    };
    let kind = line("content-type")?;
    if kind.split(';').next().map(str::trim) != Some("application/sdp") {
        return None;
    }
    let plain = line("content-transfer-encoding")
        .is_none_or(|e| matches!(e.as_str(), "7bit" | "8bit" | "binary"));
    // The line end before the boundary belongs to the boundary.
    let end = match bytes {
        [.., b'\r', b'\n'] => bytes.len() - 2,
        [.., b'\n'] => bytes.len() - 1,
        _ => bytes.len(),
    };
    let place = part.start + headers + gap..part.start + end.max(headers + gap);
    Some(plain.then_some(place))
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    bytes
        .get(from..)?
        .windows(wanted.len())
        .position(|w| w == wanted)
        .map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: &str, body: &str) -> String {
        format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: \
             <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: \
             {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn found(kind: &str, body: &str) -> Found {
        find_sdp(&Message::read(message(kind, body).as_bytes()).unwrap())
    }

    const PARTS: &str = "--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=x\r\n\r\n--b1\r\n\
        Content-Type: application/isup\r\n\r\nxyz\r\n--b1--\r\n";

    #[test]
    fn sdp_is_found_whole_and_in_a_part() {
        assert_eq!(
            found("application/SDP;charset=utf-8", "v=0\r\n"),
            Found::Sdp(0..5)
        );
        assert_eq!(found("text/plain", "v=0\r\n"), Found::None);
        let Found::Sdp(place) = found("multipart/mixed;boundary=b1", PARTS) else {
            panic!()
        };
        assert_eq!(&PARTS[place.clone()], "v=0\r\no=x\r\n");
        let other = splice(PARTS.as_bytes(), place, b"v=1\r\n");
        assert_eq!(
            String::from_utf8(other).unwrap(),
            PARTS.replace("v=0\r\no=x\r\n", "v=1\r\n")
        );
    }

    #[test]
    fn what_may_hide_sdp_is_not_passed() {
        assert_eq!(found("multipart/mixed", PARTS), Found::Unreadable);
        let twice = PARTS.replace("application/isup", "application/sdp");
        assert_eq!(
            found("multipart/mixed;boundary=\"b1\"", &twice),
            Found::Unreadable
        );
        let encoded = PARTS.replace(
            "\r\n\r\nv=0",
            "\r\nContent-Transfer-Encoding: base64\r\n\r\nv=0",
        );
        assert_eq!(
            found("multipart/mixed;boundary=b1", &encoded),
            Found::Unreadable
        );
    }

    proptest! {
        #[test]
        fn any_parts_are_read_or_refused(body in "(--b1|\r\n|Content-Type: application/sdp|v=0|x|:){0,20}") {
            if let Found::Sdp(place) = found("multipart/mixed;boundary=b1", &body) {
                prop_assert!(place.start <= place.end && place.end <= body.len());
            }
        }
    }
}
