//! A message of the event socket: headers, an empty line, and as many bytes as `Content-Length` says.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::SocketError;

/// Bytes of the headers at most.
pub const MAX_HEADERS: usize = 16 * 1024;
/// Bytes of a body at most. A heartbeat has some 2 KB.
pub const MAX_BODY: usize = 256 * 1024;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    headers: Vec<(String, String)>,
    body: String,
}

/// The message at the start of these bytes and how long it is; none while it is not whole.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Frame, usize)>, SocketError> {
    // Bodies may have lines behind them.
    let blank = bytes.iter().take_while(|b| matches!(b, b'\n' | b'\r'));
    let start = blank.count();
    let rest = bytes.get(start..).unwrap_or_default();
    let head = rest.get(..rest.len().min(MAX_HEADERS)).unwrap_or_default();
    let Some(end) = head.windows(2).position(|w| w == b"\n\n") else {
        return match rest.len() >= MAX_HEADERS || start > MAX_HEADERS {
            true => Err(SocketError::TooLong),
            false => Ok(None),
        };
    };
    let mut frame = Frame {
        headers: headers(&String::from_utf8_lossy(
            head.get(..end).unwrap_or_default(),
        )),
        body: String::new(),
    };
    let length = match frame.value("Content-Length") {
        None => 0,
        Some(length) => length
            .parse::<usize>()
            .map_err(|_| SocketError::Protocol("Content-Length is no number"))?,
    };
    if length > MAX_BODY {
        return Err(SocketError::TooLong);
    }
    let Some(body) = rest.get(end + 2..end + 2 + length) else {
        return Ok(None);
    };
    frame.body = String::from_utf8_lossy(body).into_owned();
    Ok(Some((frame, start + end + 2 + length)))
}

fn headers(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

impl Frame {
    /// A header's value.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a command was carried out.
    pub(super) fn is_ok(&self) -> bool {
        self.value("Reply-Text")
            .is_some_and(|t| t.starts_with("+OK"))
    }

    /// The event in the body: headers again, percent-encoded.
    pub(super) fn event(&self) -> Self {
        let decode = |(name, value): (String, String)| {
            let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
            (name, value)
        };
        let headers = headers(&self.body).into_iter().map(decode).collect();
        let body = String::new();
        Self { headers, body }
    }

    /// How many rows `show ... count` found: `{"row_count":3}`, or of older versions `3 total.`
    pub(super) fn count(&self) -> Option<u64> {
        let body = self.body.trim();
        if let Ok(Value::Object(object)) = serde_json::from_str(body) {
            let count = object.get("row_count")?;
            return count
                .as_u64()
                .or_else(|| count.as_str().and_then(|n| n.parse().ok()));
        }
        body.strip_suffix("total.")?.trim().parse().ok()
    }

    /// Why something was refused, for people.
    pub(super) fn reason(&self) -> String {
        let text = match self.body.trim() {
            "" => self.value("Reply-Text").unwrap_or("without a reason"),
            body => body,
        };
        let shown = text.chars().take(80);
        shown
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }
}
