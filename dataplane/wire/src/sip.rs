//! The lazy SIP header index (RFC 3261 section 7): where things are in a datagram, without copying or
//! interpreting any value.
//!
//! Framing is checked here (start line, header lines, Content-Length against the datagram, limits); what a
//! header's value means is the business of the signaling plane's `sip` room.
//!
//! A line ends with CRLF, or with a lone LF as some senders write. A lone CR is refused: another
//! element might take it for a line end and see header fields that we did not see.

mod first;
mod name;
mod shard;

use std::ops::Range;

pub use first::{First, first};
pub use name::Name;
pub use shard::{SHARDS, ShardTable, TOKEN_PREFIX, shard, shard_text, token_shard};

/// The longest message taken, in bytes.
pub const MAX_MESSAGE: usize = 65_535;
/// The most header fields taken.
pub const MAX_HEADERS: usize = 256;

/// Why bytes are not a SIP message. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Nothing, or only line ends: a keepalive (RFC 5626 section 3.5.1), not a fault.
    Keepalive,
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// More header fields than [`MAX_HEADERS`].
    TooManyHeaders,
    /// The first line is neither a request line nor a status line of SIP/2.0.
    StartLine,
    /// The first line means to be a request line, but has white space where none may be, or
    /// brackets around its URI (RFC 4475 sections 3.1.2.7 to 3.1.2.10).
    RequestLine,
    /// A request of another version of SIP (RFC 3261 section 21.5.6).
    Version,
    /// A header line without a colon, with an empty or malformed name, with a lone CR, or a fold
    /// before the first.
    HeaderLine,
    /// No empty line after the header fields.
    NoEnd,
    /// Content-Length is not a number, or stands there twice with different values.
    ContentLength,
    /// The datagram ends before the body does (RFC 3261 section 18.3).
    BodyTooShort,
}

impl Error {
    /// Its counter's name.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Keepalive => "sip_keepalive",
            Self::TooLong => "sip_too_long",
            Self::TooManyHeaders => "sip_too_many_headers",
            Self::StartLine => "sip_bad_start_line",
            Self::RequestLine => "sip_bad_request_line",
            Self::Version => "sip_bad_version",
            Self::HeaderLine => "sip_bad_header_line",
            Self::NoEnd => "sip_no_end_of_headers",
            Self::ContentLength => "sip_bad_content_length",
            Self::BodyTooShort => "sip_body_too_short",
        }
    }
}

/// A header field's place in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which header.
    pub name: Name,
    /// The name as written.
    pub name_range: Range<usize>,
    /// The value without surrounding white space; inner folds are still there.
    pub value: Range<usize>,
    /// The whole line or lines with the line end.
    pub line: Range<usize>,
}

/// The start line's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request line.
    Request {
        /// The method.
        method: Range<usize>,
        /// The Request-URI.
        uri: Range<usize>,
    },
    /// A status line.
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase; may be empty.
        reason: Range<usize>,
    },
}

/// Where everything is in a message. One allocation, for the fields; nothing of the message is copied.
#[derive(Clone, Debug)]
pub struct Index {
    /// The start line.
    pub start: Start,
    /// The header fields in order.
    pub fields: Vec<Field>,
    /// Where the empty line behind the header fields begins.
    pub headers_end: usize,
    /// The body.
    pub body: Range<usize>,
}

impl Default for Index {
    /// An index of nothing, for [`parse_into`].
    fn default() -> Self {
        Self {
            start: Start::Response {
                status: 0,
                reason: 0..0,
            },
            fields: Vec::with_capacity(24),
            headers_end: 0,
            body: 0..0,
        }
    }
}

/// Indexes one datagram.
///
/// # Errors
/// Says what is wrong with the framing.
pub fn parse(bytes: &[u8]) -> Result<Index, Error> {
    let mut index = Index::default();
    parse_into(bytes, &mut index)?;
    Ok(index)
}

/// The same into an index that was used before: its allocation is kept, nothing else of it. After an
/// error it says nothing that is of use.
///
/// # Errors
/// Says what is wrong with the framing.
pub fn parse_into(bytes: &[u8], index: &mut Index) -> Result<(), Error> {
    let rest = fields(bytes, index, |line| {
        start_line(bytes, line.clone()).ok_or_else(|| start_line_fault(bytes, line))
    })?;
    let available = bytes.len() - rest;
    let length = content_length(bytes, &index.fields)?.unwrap_or(available);
    if length > available {
        return Err(Error::BodyTooShort);
    }
    index.body = rest..rest + length;
    Ok(())
}

/// Indexes a request that [`parse`] refuses for its request line, its version, its Content-Length or
/// too many header fields, so that an answer can name the fault: the body is all that is left, the
/// URI is whatever stands between the method and the version, and of the header fields there are
/// the first [`MAX_HEADERS`] (then the body is empty).
///
/// # Errors
/// It is broken beyond that.
pub fn salvage(bytes: &[u8]) -> Result<Index, Error> {
    let mut index = Index::default();
    let rest = fields(bytes, &mut index, |line| {
        start_line(bytes, line.clone())
            .or_else(|| loose_request_line(bytes, line))
            .ok_or(Error::StartLine)
    });
    let rest = match rest {
        Err(Error::TooManyHeaders) => {
            index.headers_end = bytes.len();
            bytes.len()
        }
        other => other?,
    };
    index.body = rest..bytes.len();
    Ok(index)
}

/// Indexes the start line and the header fields; where the body begins.
fn fields(
    bytes: &[u8],
    index: &mut Index,
    start: impl FnOnce(Range<usize>) -> Result<Start, Error>,
) -> Result<usize, Error> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    // RFC 3261 section 7.5: line ends before the start line are ignored.
    let first = bytes
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n'))
        .ok_or(Error::Keepalive)?;
    let mut lines = Lines { bytes, at: first };
    let (line, _) = lines.next_line().ok_or(Error::StartLine)?;
    index.start = start(line)?;
    let fields = &mut index.fields;
    fields.clear();
    index.headers_end = loop {
        let (line, whole) = lines.next_line().ok_or(Error::NoEnd)?;
        if line.is_empty() {
            break whole.start;
        }
        let text = bytes.get(line.clone());
        if text.is_none_or(|l| memchr::memchr(b'\r', l).is_some()) {
            return Err(Error::HeaderLine);
        }
        if is_fold(bytes, line.start) {
            // RFC 3261 section 7.3.1: a fold continues the field before it.
            let field = fields.last_mut().ok_or(Error::HeaderLine)?;
            let more = trim(bytes, line);
            if !more.is_empty() {
                if field.value.is_empty() {
                    field.value.start = more.start;
                }
                field.value.end = more.end;
            }
            field.line.end = whole.end;
            continue;
        }
        if fields.len() == MAX_HEADERS {
            return Err(Error::TooManyHeaders);
        }
        fields.push(field(bytes, line, whole).ok_or(Error::HeaderLine)?);
    };
    Ok(lines.at)
}

/// What a stream's framing needs of a message's start line and header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether the start line is SIP's.
    pub is_sip: bool,
    /// Content-Length, if it is there.
    pub content_length: Option<usize>,
}

/// Reads the head of a message from a stream, up to and with the empty line, without indexing it. It sees the same
/// Content-Length as [`parse`].
///
/// # Errors
/// [`Error::ContentLength`] when that is not a number or contradicts itself, [`Error::NoEnd`] without an empty line.
pub fn head(bytes: &[u8]) -> Result<Head, Error> {
    let mut lines = Lines { bytes, at: 0 };
    let (line, _) = lines.next_line().ok_or(Error::NoEnd)?;
    let is_sip = start_line(bytes, line).is_some();
    let mut lengths: Vec<Field> = Vec::new();
    loop {
        let (line, whole) = lines.next_line().ok_or(Error::NoEnd)?;
        let candidate = match bytes.get(line.start) {
            _ if line.is_empty() => break,
            Some(b'C' | b'c' | b'L' | b'l') => field(bytes, line, whole),
            _ => None,
        };
        let Some(mut found) = candidate.filter(|f| f.name == Name::ContentLength) else {
            continue;
        };
        while is_fold(bytes, lines.at) {
            let (more, _) = lines.next_line().ok_or(Error::NoEnd)?;
            let more = trim(bytes, more);
            if !more.is_empty() {
                if found.value.is_empty() {
                    found.value.start = more.start;
                }
                found.value.end = more.end;
            }
        }
        lengths.push(found);
    }
    Ok(Head {
        is_sip,
        content_length: content_length(bytes, &lengths)?,
    })
}

/// The Call-ID of a datagram, without indexing it whole: for the dataplane. None when there is none
/// before the header fields end.
#[must_use]
pub fn call_id(bytes: &[u8]) -> Option<&[u8]> {
    let first = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let mut lines = Lines { bytes, at: first };
    lines.next_line()?;
    loop {
        let (line, whole) = lines.next_line()?;
        // `Call-ID` or `i`: most lines are told apart by their first letter.
        let candidate = match bytes.get(line.start)? {
            _ if line.is_empty() => return None,
            b'C' | b'c' | b'I' | b'i' => field(bytes, line, whole),
            _ => None,
        };
        let Some(mut found) = candidate.filter(|f| f.name == Name::CallId) else {
            continue;
        };
        while found.value.is_empty() && is_fold(bytes, lines.at) {
            found.value = trim(bytes, lines.next_line()?.0);
        }
        return bytes.get(found.value);
    }
}

/// Whether a datagram asks for something new, as far as can be seen without indexing it: a request outside of any
/// dialog (no To tag, RFC 3261 section 12.2) that is neither ACK nor CANCEL, or something that is no SIP. When there
/// is room for a part of what comes only, this is what is left out.
#[must_use]
pub fn is_new(bytes: &[u8]) -> bool {
    fn has_no_tag(bytes: &[u8]) -> Option<bool> {
        let first = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
        let mut lines = Lines { bytes, at: first };
        let (line, _) = lines.next_line()?;
        match start_line(bytes, line)? {
            Start::Response { .. } => return Some(false),
            Start::Request { method, .. } => {
                if matches!(bytes.get(method)?, b"ACK" | b"CANCEL") {
                    return Some(false);
                }
            }
        }
        loop {
            let (line, whole) = lines.next_line()?;
            let candidate = match bytes.get(line.start)? {
                _ if line.is_empty() => return None,
                b'T' | b't' => field(bytes, line, whole),
                _ => None,
            };
            let Some(mut found) = candidate.filter(|f| f.name == Name::To) else {
                continue;
            };
            while is_fold(bytes, lines.at) {
                found.value.end = lines.next_line()?.0.end;
            }
            // Behind the URI's bracket: a URI may have a parameter of any name.
            let value = bytes.get(found.value)?;
            let tail = value.rsplit(|b| *b == b'>').next()?;
            let is_tag = |parameter: &[u8]| {
                let name = parameter.split(|b| *b == b'=').next().unwrap_or_default();
                name.trim_ascii().eq_ignore_ascii_case(b"tag")
            };
            return Some(!tail.split(|b| *b == b';').skip(1).any(is_tag));
        }
    }
    has_no_tag(bytes).unwrap_or(true)
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    /// The next line without and with its end (CRLF, or a lone LF as some senders write).
    fn next_line(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        let rest = self.bytes.get(self.at..)?;
        let lf = memchr::memchr(b'\n', rest)?;
        let start = self.at;
        let end = start + lf;
        self.at = end + 1;
        let has_cr = end > start && self.bytes.get(end - 1) == Some(&b'\r');
        Some((start..if has_cr { end - 1 } else { end }, start..end + 1))
    }
}

/// Whether the line that begins here continues the one before it.
fn is_fold(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), Some(b' ' | b'\t'))
}

fn start_line(bytes: &[u8], line: Range<usize>) -> Option<Start> {
    let text = bytes.get(line.clone())?;
    let version = b"SIP/2.0";
    if text.get(..version.len() + 1).is_some_and(|head| {
        head.get(..version.len())
            .is_some_and(|v| v.eq_ignore_ascii_case(version))
            && head.last() == Some(&b' ')
    }) {
        let digits = text.get(8..11)?;
        let status = std::str::from_utf8(digits).ok()?.parse::<u16>().ok()?;
        let ends = matches!(text.get(11), None | Some(b' '));
        let valid = digits.iter().all(u8::is_ascii_digit) && (100..700).contains(&status) && ends;
        let reason = (line.start + 12).min(line.end)..line.end;
        return valid.then_some(Start::Response { status, reason });
    }
    let first = text.iter().position(|b| *b == b' ')?;
    let last = text.iter().rposition(|b| *b == b' ')?;
    let method = text.get(..first)?;
    let uri = text.get(first + 1..last)?;
    let valid = !method.is_empty()
        && method.iter().all(|b| is_token(*b))
        && !uri.is_empty()
        && !uri
            .iter()
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || matches!(b, b'<' | b'>'))
        && text.get(last + 1..)?.eq_ignore_ascii_case(version);
    valid.then(|| Start::Request {
        method: line.start..line.start + first,
        uri: line.start + first + 1..line.start + last,
    })
}

/// What is wrong with a line that is no start line.
fn start_line_fault(bytes: &[u8], line: Range<usize>) -> Error {
    if loose_request_line(bytes, line.clone()).is_none() {
        return Error::StartLine;
    }
    let ours = bytes.get(line).is_some_and(|text| {
        text.trim_ascii_end()
            .to_ascii_uppercase()
            .ends_with(b" SIP/2.0")
    });
    if ours {
        Error::RequestLine
    } else {
        Error::Version
    }
}

/// A line that begins with a method and ends with a version of SIP.
fn loose_request_line(bytes: &[u8], line: Range<usize>) -> Option<Start> {
    let line = trim_end(bytes, line);
    let text = bytes.get(line.clone())?;
    let first = text.iter().position(|b| *b == b' ')?;
    let last = text.iter().rposition(|b| *b == b' ')?;
    let method = text.get(..first)?;
    let version = text.get(last + 1..)?;
    let numbers = version
        .get(..4)
        .filter(|name| name.eq_ignore_ascii_case(b"SIP/"))
        .and_then(|_| version.get(4..))?;
    let valid = !method.is_empty()
        && method.iter().all(|b| is_token(*b))
        && first < last
        && !numbers.is_empty()
        && numbers.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && !text.contains(&b'\r');
    valid.then(|| Start::Request {
        method: line.start..line.start + first,
        uri: trim(bytes, line.start + first + 1..line.start + last),
    })
}

fn field(bytes: &[u8], line: Range<usize>, whole: Range<usize>) -> Option<Field> {
    let text = bytes.get(line.clone())?;
    let colon = text.iter().position(|b| *b == b':')?;
    let name_range = trim_end(bytes, line.start..line.start + colon);
    let name = bytes.get(name_range.clone())?;
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return None;
    }
    let value = trim(bytes, line.start + colon + 1..line.end);
    Some(Field {
        name: Name::of(name),
        name_range,
        value,
        line: whole,
    })
}

fn content_length(bytes: &[u8], fields: &[Field]) -> Result<Option<usize>, Error> {
    let mut found = None;
    for field in fields.iter().filter(|f| f.name == Name::ContentLength) {
        let value = bytes.get(field.value.clone()).unwrap_or_default();
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value)
            .ok()
            .filter(|_| digits)
            .and_then(|v| v.parse::<usize>().ok())
            .ok_or(Error::ContentLength)?;
        if found.is_some_and(|before| before != length) {
            return Err(Error::ContentLength);
        }
        found = Some(length);
    }
    Ok(found)
}

/// A token's character (RFC 3261 section 25.1).
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    byte < 128 && TOKENS >> byte & 1 == 1
}

/// A bit for each character of a token.
const TOKENS: u128 = {
    let mut bits = 0;
    let mut byte: u8 = 0;
    while byte < 128 {
        let is_in = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        if is_in {
            bits |= 1 << byte;
        }
        byte += 1;
    }
    bits
};

fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let mut range = trim_end(bytes, range);
    while !range.is_empty() && matches!(bytes.get(range.start), Some(b' ' | b'\t' | b'\r' | b'\n'))
    {
        range.start += 1;
    }
    range
}

fn trim_end(bytes: &[u8], mut range: Range<usize>) -> Range<usize> {
    while !range.is_empty()
        && matches!(bytes.get(range.end - 1), Some(b' ' | b'\t' | b'\r' | b'\n'))
    {
        range.end -= 1;
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z\r\n\
        Content-Type: text/plain\r\ni:\r\n\tcall\r\nXy: one\r\n  two\r\nl: 2\r\n\r\nhi, more";

    #[test]
    fn everything_is_where_the_index_says() {
        let index = parse(OPTIONS).unwrap();
        let text = |range: &Range<usize>| std::str::from_utf8(&OPTIONS[range.clone()]).unwrap();
        let Start::Request { method, uri } = &index.start else {
            panic!("a request");
        };
        assert_eq!((text(method), text(uri)), ("OPTIONS", "sip:a@b"));
        let names: Vec<_> = index.fields.iter().map(|f| f.name).collect();
        assert_eq!(
            names,
            [
                Name::Via,
                Name::ContentType,
                Name::CallId,
                Name::Other,
                Name::ContentLength
            ]
        );
        let folded = &index.fields[3];
        assert_eq!(text(&folded.name_range), "Xy");
        assert_eq!(text(&folded.value), "one\r\n  two");
        assert_eq!(text(&folded.line), "Xy: one\r\n  two\r\n");
        assert_eq!(text(&index.fields[2].value), "call");
        assert_eq!(text(&index.body), "hi");
        assert_eq!(&OPTIONS[index.headers_end..index.body.start], b"\r\n");
        assert_eq!(call_id(OPTIONS), Some(&b"call"[..]));
    }

    #[test]
    fn lone_line_feeds_end_lines_and_lone_carriage_returns_are_refused() {
        let text = b"\r\nSIP/2.0 200 OK\nCall-ID: x\nCSeq: 1 A\n\nrest";
        let index = parse(text).unwrap();
        assert_eq!(index.fields.len(), 2);
        assert_eq!(&text[index.body], b"rest");
        assert_eq!(
            parse(b"SIP/2.0 200 OK\r\nX: a\rTo: hidden\r\n\r\n").unwrap_err(),
            Error::HeaderLine
        );
    }

    #[test]
    fn limits_have_their_own_errors() {
        assert_eq!(
            parse(&vec![b'a'; MAX_MESSAGE + 1]).unwrap_err(),
            Error::TooLong
        );
        let with = |headers: usize| {
            let text = format!("SIP/2.0 200 OK\r\n{}\r\n", "A: b\r\n".repeat(headers));
            parse(text.as_bytes()).map(|i| i.fields.len())
        };
        assert_eq!(with(MAX_HEADERS), Ok(MAX_HEADERS));
        assert_eq!(with(MAX_HEADERS + 1), Err(Error::TooManyHeaders));
        let text = format!("A sip:b SIP/2.0\r\n{}\r\nbody", "A: b\r\n".repeat(300));
        let first = salvage(text.as_bytes()).unwrap();
        assert_eq!((first.fields.len(), first.body.len()), (MAX_HEADERS, 0));
        assert_eq!(parse(b"\r\n\r\n").unwrap_err(), Error::Keepalive);
        assert_eq!(parse(b"").unwrap_err(), Error::Keepalive);
        assert_eq!(
            parse(b"SIP/2.0 200 OK\r\nA: b\r\n").unwrap_err(),
            Error::NoEnd
        );
        assert_eq!(
            parse(b"SIP/2.0 200 OK\r\n A: b\r\n\r\n").unwrap_err(),
            Error::HeaderLine
        );
    }

    #[test]
    fn two_lengths_must_agree() {
        let with = |one, two| {
            let text = format!("SIP/2.0 200 OK\r\nl: {one}\r\nContent-Length: {two}\r\n\r\nab");
            parse(text.as_bytes()).map(|i| i.body.len())
        };
        assert_eq!(with("1", "1"), Ok(1));
        assert_eq!(with("1", "2"), Err(Error::ContentLength));
        assert_eq!(with("+1", "1"), Err(Error::ContentLength));
        assert_eq!(
            with("99999999999999999999999", "1"),
            Err(Error::ContentLength)
        );
        assert_eq!(with("3", "3"), Err(Error::BodyTooShort));
    }

    #[test]
    fn a_stream_sees_the_length_that_the_index_sees() {
        let with = |fields: &str| head(format!("SIP/2.0 200 OK\r\n{fields}\r\n").as_bytes());
        let length = |content_length| {
            Ok(Head {
                is_sip: true,
                content_length,
            })
        };
        assert_eq!(with("l : 7\r\n"), length(Some(7)));
        assert_eq!(
            with("A: b\r\nCONTENT-LENGTH:\r\n 12\r\n \r\n"),
            length(Some(12))
        );
        assert_eq!(with("A: b\r\n l: 3\r\nLx: 4\r\n"), length(None));
        assert_eq!(with("l: 1\nl: 1\n"), length(Some(1)));
        for bad in [
            "l: 1\r\nContent-Length: 2\r\n",
            "l: 1\r\n 2\r\n",
            "l:\r\n",
            "l: -1\r\n",
        ] {
            assert_eq!(with(bad), Err(Error::ContentLength), "{bad}");
        }
        assert!(!head(b"GET / HTTP/1.1\r\n\r\n").unwrap().is_sip);
        assert_eq!(head(b"SIP/2.0 200 OK\r\nA: b\r\n"), Err(Error::NoEnd));
    }

    #[test]
    fn what_is_new_is_told_from_what_belongs_to_a_dialog() {
        let new = |start: &str, to: &str| {
            is_new(format!("{start}\r\nVia: v\r\n{to}\r\nCall-ID: c\r\n\r\n").as_bytes())
        };
        let invite = "INVITE sip:a@example.com SIP/2.0";
        assert!(new(invite, "To: <sip:a@example.com>"));
        assert!(new(invite, "t: sip:a@example.com"));
        assert!(new(invite, "To: <sip:a@example.com;tag=1>"), "the URI's");
        assert!(new(invite, "To: \"a;tag=1\" <sip:a@example.com>;etag=1"));
        assert!(new(invite, "X: no To"));
        assert!(new("FOO", "To: <sip:a@example.com>;tag=1"));
        assert!(!new(invite, "To: <sip:a@example.com>;tag=1"));
        assert!(!new(invite, "t: sip:a@example.com ; TAG = 1"));
        assert!(!new(invite, "To: <sip:a@example.com>\r\n ;x=y\r\n\t;tag=1"));
        for method in ["ACK", "CANCEL"] {
            let start = format!("{method} sip:a@example.com SIP/2.0");
            assert!(!new(&start, "To: <sip:a@example.com>"));
        }
        assert!(!new("SIP/2.0 200 OK", "To: <sip:a@example.com>"));
        assert!(is_new(b"") && is_new(b"\r\n\r\n") && is_new(b"\0\x01"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_indexed_within_their_bounds(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'i')],
                0..400,
            )
        ) {
            let message = [b"SIP/2.0 200 OK\r\n", bytes.as_slice(), b"\r\n\r\n"].concat();
            let _ = (parse(&bytes), call_id(&bytes), head(&bytes), is_new(&bytes));
            if let Ok(index) = parse(&message) {
                let length = content_length(&message, &index.fields);
                prop_assert_eq!(head(&message).map(|h| h.content_length), length);
                // The dataplane's short cut and the index name the same call.
                let field = index.fields.iter().find(|f| f.name == Name::CallId);
                let indexed = field.map(|f| &message[f.value.clone()]);
                let quick = call_id(&message);
                prop_assert_eq!(quick.is_some(), indexed.is_some());
                if let (Some(quick), Some(indexed)) = (quick, indexed) {
                    prop_assert!(indexed.starts_with(quick));
                }
                // The lines follow one another without a gap.
                let mut at = b"SIP/2.0 200 OK\r\n".len();
                for field in &index.fields {
                    prop_assert_eq!(field.line.start, at);
                    prop_assert!(field.line.contains(&field.name_range.start));
                    prop_assert!(field.value.end <= field.line.end);
                    at = field.line.end;
                }
                prop_assert_eq!(index.headers_end, at);
            }
        }
    }
}
