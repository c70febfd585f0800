//! Whole messages out of a stream of bytes (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! Feed bytes as they come, then take frames until there are none. How the stream was cut into pieces
//! makes no difference, and each byte is looked at once. An error is final: where the next message would
//! begin is unknown.
//!
//! Lines end as in the wire room's index (CRLF, or a lone LF), so that both see the same messages.

use tandem_wire::sip::{self, Error};

/// What a stream may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest message, in bytes.
    pub message: usize,
    /// The longest start line and header fields, the empty line included, in bytes.
    pub head: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            message: sip::MAX_MESSAGE,
            head: 16_384,
        }
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message {
        /// All of it.
        bytes: Vec<u8>,
        /// Whether it has the Content-Length that is mandatory on a stream. One without is taken to have no body.
        has_length: bool,
    },
    /// A keepalive of two line ends. The answer is one.
    Ping,
}

/// Why a stream cannot be read any further. The peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameError {
    /// Neither a SIP start line nor a Content-Length: this is another protocol.
    NotSip,
    /// Content-Length is not a number, or stands there twice with different values.
    ContentLength,
    /// The header fields are longer than the limit.
    HeadTooLong,
    /// The message is longer than the limit.
    MessageTooLong,
}

impl FrameError {
    /// Its counter's name.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::NotSip => "stream_not_sip",
            Self::ContentLength => "stream_bad_content_length",
            Self::HeadTooLong => "stream_head_too_long",
            Self::MessageTooLong => "stream_message_too_long",
        }
    }
}

/// One direction of one connection. Between messages it holds no memory of its own.
#[derive(Debug)]
pub struct Framer {
    limits: FrameLimits,
    buffer: Vec<u8>,
    /// What lies before it is taken.
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between messages, with so many bytes of a keepalive seen.
    Between(u8),
    /// In the head: where its present line begins, and from where no line end was looked for.
    Head { line: usize, scanned: usize },
    /// In the body, or before it.
    Body { end: usize, has_length: bool },
    /// After an error.
    Failed(FrameError),
}

/// The keepalive of RFC 5626 section 3.5.1.
const PING: &[u8] = b"\r\n\r\n";

impl Framer {
    /// A framer at the beginning of a stream.
    #[must_use]
    pub const fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            at: 0,
            state: State::Between(0),
        }
    }

    /// Takes the next bytes of the stream. Take all frames before feeding it again.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Failed(_)) {
            return;
        }
        if self.at > 0 {
            self.buffer.drain(..self.at);
            match &mut self.state {
                State::Head { line, scanned } => {
                    *line -= self.at;
                    *scanned -= self.at;
                }
                State::Body { end, .. } => *end -= self.at,
                State::Between(_) | State::Failed(_) => {}
            }
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; none until more is fed.
    ///
    /// # Errors
    /// What the peer did wrong; again at each further call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.state {
                State::Between(seen) => match self.between(seen) {
                    Some(Between::Ping) => return Ok(Some(Frame::Ping)),
                    Some(Between::Message) => {}
                    None => return Ok(None),
                },
                State::Head { line, scanned } => {
                    let Some(end) = self.head_end(line, scanned)? else {
                        return Ok(None);
                    };
                    self.state = self.body(end).map_err(|e| self.fail(e))?;
                }
                State::Body { end, has_length } => {
                    if self.buffer.len() < end {
                        return Ok(None);
                    }
                    let bytes = self.take(end);
                    self.state = State::Between(0);
                    return Ok(Some(Frame::Message { bytes, has_length }));
                }
                State::Failed(error) => return Err(error),
            }
        }
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// Bytes held.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Passes over line ends.
    fn between(&mut self, mut seen: u8) -> Option<Between> {
        while let Some(byte) = self.buffer.get(self.at).copied() {
            if !matches!(byte, b'\r' | b'\n') {
                self.state = State::Head {
                    line: self.at,
                    scanned: self.at,
                };
                return Some(Between::Message);
            }
            self.at += 1;
            seen = match PING.get(usize::from(seen)) {
                Some(expected) if *expected == byte => seen + 1,
                _ => u8::from(byte == b'\r'),
            };
            if usize::from(seen) == PING.len() {
                self.state = State::Between(0);
                return Some(Between::Ping);
            }
        }
        self.buffer = Vec::new();
        self.at = 0;
        self.state = State::Between(seen);
        None
    }

    /// Looks for the empty line; where the head ends.
    fn head_end(
        &mut self,
        mut line: usize,
        mut scanned: usize,
    ) -> Result<Option<usize>, FrameError> {
        let too_long = |end: usize| end - self.at > self.limits.head;
        let end = loop {
            let rest = self.buffer.get(scanned..).unwrap_or_default();
            let Some(found) = rest.iter().position(|b| *b == b'\n') else {
                scanned = self.buffer.len();
                break None;
            };
            let line_end = scanned + found;
            scanned = line_end + 1;
            if matches!(self.buffer.get(line..line_end), Some([] | [b'\r'])) {
                break Some(scanned);
            }
            line = scanned;
            if too_long(scanned) {
                break None;
            }
        };
        if too_long(scanned) {
            return Err(self.fail(FrameError::HeadTooLong));
        }
        self.state = State::Head { line, scanned };
        Ok(end)
    }

    /// How the message goes on behind its head.
    fn body(&self, head_end: usize) -> Result<State, FrameError> {
        let head = self.buffer.get(self.at..head_end).unwrap_or_default();
        let head = sip::head(head).map_err(|e| match e {
            Error::ContentLength => FrameError::ContentLength,
            _ => FrameError::NotSip,
        })?;
        if !head.is_sip && head.content_length.is_none() {
            return Err(FrameError::NotSip);
        }
        let length = head.content_length.unwrap_or(0);
        let end = head_end.checked_add(length);
        match end.filter(|end| end - self.at <= self.limits.message) {
            Some(end) => Ok(State::Body {
                end,
                has_length: head.content_length.is_some(),
            }),
            None => Err(FrameError::MessageTooLong),
        }
    }

    fn take(&mut self, end: usize) -> Vec<u8> {
        if self.at == 0 && self.buffer.len() == end {
            return std::mem::take(&mut self.buffer);
        }
        let bytes = self.buffer.get(self.at..end).unwrap_or_default().to_vec();
        self.at = end;
        bytes
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.buffer = Vec::new();
        self.at = 0;
        self.state = State::Failed(error);
        error
    }
}

enum Between {
    Ping,
    Message,
}
