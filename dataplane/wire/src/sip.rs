//! The lazy SIP header index (RFC 3261 section 7): where things are in a datagram, without copying or
//! interpreting any value.
//!
//! Framing is checked here (start line, header lines, Content-Length against the datagram, limits); what a
//! header's value means is the business of the signaling plane's `sip` room.

mod name;

use std::ops::Range;

pub use name::Name;

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
    /// A header line without a colon, with an empty or malformed name, or a fold before the first.
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

/// Where everything is in a message. Can be used again for the next message without allocating.
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

/// Indexes one datagram.
///
/// # Errors
/// Says what is wrong with the framing.
pub fn parse(bytes: &[u8]) -> Result<Index, Error> {
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
    let start = start_line(bytes, line).ok_or(Error::StartLine)?;
    let mut fields: Vec<Field> = Vec::with_capacity(24);
    let headers_end = loop {
        let (line, whole) = lines.next_line().ok_or(Error::NoEnd)?;
        if line.is_empty() {
            break whole.start;
        }
        if matches!(bytes.get(line.start), Some(b' ' | b'\t')) {
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
    let rest = lines.at;
    let available = bytes.len() - rest;
    let length = content_length(bytes, &fields)?.unwrap_or(available);
    if length > available {
        return Err(Error::BodyTooShort);
    }
    Ok(Index {
        start,
        fields,
        headers_end,
        body: rest..rest + length,
    })
}

/// The Call-ID of a datagram, without indexing it whole: for the dataplane. None when there is none
/// before the header fields end.
#[must_use]
pub fn call_id(bytes: &[u8]) -> Option<&[u8]> {
    let first = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let mut lines = Lines { bytes, at: first };
    lines.next_line()?;
    for _ in 0..MAX_HEADERS {
        let (line, whole) = lines.next_line()?;
        if line.is_empty() {
            return None;
        }
        if let Some(field) = field(bytes, line, whole)
            && field.name == Name::CallId
        {
            return bytes.get(field.value);
        }
    }
    None
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    /// The next line without and with its end (CRLF, or a lone LF as some senders write).
    fn next_line(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        let rest = self.bytes.get(self.at..)?;
        let lf = rest.iter().position(|b| *b == b'\n')?;
        let start = self.at;
        let end = start + lf;
        self.at = end + 1;
        let has_cr = end > start && self.bytes.get(end - 1) == Some(&b'\r');
        Some((start..if has_cr { end - 1 } else { end }, start..end + 1))
    }
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
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
        && text.get(last + 1..)?.eq_ignore_ascii_case(version);
    valid.then(|| Start::Request {
        method: line.start..line.start + first,
        uri: line.start + first + 1..line.start + last,
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
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

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
