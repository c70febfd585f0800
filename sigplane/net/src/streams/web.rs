//! SIP in WebSocket frames (RFC 6455, RFC 7118).
//!
//! Frames are collected here and given whole to tungstenite, which knows the protocol; so between frames nothing is
//! held, and it is known whether a peer is in the middle of one.

mod request;

use std::io::{self, Cursor, ErrorKind, Read, Write};

use tungstenite::error::Error as WebError;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader, Utf8Bytes};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

pub(super) use request::{Answer, Request};

/// Tungstenite's read buffer. It gets whole frames, so it needs none of note.
const READ_BUFFER: usize = 512;

/// A WebSocket after its handshake.
#[derive(Debug)]
pub(super) struct Web {
    context: Box<WebSocketContext>,
    /// A frame that is not whole.
    held: Vec<u8>,
    limit: usize,
    /// Between the first and the last fragment of a message.
    fragmented: bool,
    /// The peer's last message was text.
    text: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WebInput {
    /// A message.
    Message(Vec<u8>),
    /// A keepalive of line ends. The answer is one line end.
    Ping,
}

/// Why the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebEnd {
    /// The peer closes it.
    Closed,
    /// The peer broke the protocol.
    Error,
    /// A message is longer than the limit.
    TooLong,
}

impl Web {
    pub(super) fn new(limit: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        Self {
            context: Box::new(WebSocketContext::new(Role::Server, Some(config))),
            held: Vec::new(),
            limit,
            fragmented: false,
            text: true,
        }
    }

    /// Takes bytes of the stream. What came goes to `inputs`, what is to be sent to `out`, even before an end.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        inputs: &mut Vec<WebInput>,
        out: &mut Vec<u8>,
    ) -> Result<(), WebEnd> {
        let mut joined = std::mem::take(&mut self.held);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            joined.as_slice()
        };
        loop {
            match self.frame_length(rest) {
                Ok(Some(length)) => {
                    let (frame, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    self.frame(frame, inputs, out)?;
                    rest = behind;
                }
                Ok(None) => break,
                Err(end) => return Err(self.fail(end, out)),
            }
        }
        self.held = rest.to_vec();
        Ok(())
    }

    /// A message as one frame of the kind that the peer uses.
    pub(super) fn message(&mut self, bytes: Vec<u8>, out: &mut Vec<u8>) {
        let message = match String::from_utf8(bytes) {
            Ok(text) if self.text => Message::text(text),
            Ok(text) => Message::binary(text.into_bytes()),
            Err(e) => Message::binary(e.into_bytes()),
        };
        // It fails after a close frame only; the connection is about to end then.
        let _ = self.context.write(&mut Pipe { input: &[], out }, message);
    }

    /// A ping.
    pub(super) fn ping(&mut self, out: &mut Vec<u8>) {
        let ping = Message::Ping(Vec::new().into());
        let _ = self.context.write(&mut Pipe { input: &[], out }, ping);
    }

    /// Our side of the close handshake.
    pub(super) fn close(&mut self, code: CloseCode, out: &mut Vec<u8>) {
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(""),
        };
        let _ = self
            .context
            .close(&mut Pipe { input: &[], out }, Some(frame));
    }

    /// Whether a message has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.fragmented || !self.held.is_empty()
    }

    pub(super) fn buffered(&self) -> usize {
        self.held.len()
    }

    /// The length of the frame that the bytes begin with, once all of it is there.
    fn frame_length(&self, bytes: &[u8]) -> Result<Option<usize>, WebEnd> {
        let mut cursor = Cursor::new(bytes);
        let header = FrameHeader::parse(&mut cursor).map_err(|_| WebEnd::Error)?;
        let Some((_, payload)) = header else {
            return Ok(None);
        };
        let payload = usize::try_from(payload).map_err(|_| WebEnd::TooLong)?;
        if payload > self.limit {
            return Err(WebEnd::TooLong);
        }
        let length = usize::try_from(cursor.position()).unwrap_or(0) + payload;
        Ok((length <= bytes.len()).then_some(length))
    }

    /// One whole frame.
    fn frame(
        &mut self,
        frame: &[u8],
        inputs: &mut Vec<WebInput>,
        out: &mut Vec<u8>,
    ) -> Result<(), WebEnd> {
        let header = FrameHeader::parse(&mut Cursor::new(frame)).ok().flatten();
        if let Some((header, _)) = header
            && matches!(header.opcode, OpCode::Data(_))
        {
            self.fragmented = !header.is_final;
            match header.opcode {
                OpCode::Data(Data::Text) => self.text = true,
                OpCode::Data(Data::Binary) => self.text = false,
                _ => {}
            }
        }
        let mut pipe = Pipe { input: frame, out };
        loop {
            let payload = match self.context.read(&mut pipe) {
                Ok(Message::Text(text)) => text.as_str().as_bytes().to_vec(),
                Ok(Message::Binary(bytes)) => bytes.to_vec(),
                Ok(_) => continue,
                Err(WebError::Io(e)) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(WebError::ConnectionClosed | WebError::AlreadyClosed) => {
                    return Err(WebEnd::Closed);
                }
                Err(WebError::Capacity(_)) => return Err(self.fail(WebEnd::TooLong, out)),
                Err(WebError::Utf8(_)) => {
                    self.close(CloseCode::Invalid, out);
                    return Err(WebEnd::Error);
                }
                Err(_) => return Err(self.fail(WebEnd::Error, out)),
            };
            if payload.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                if payload == b"\r\n\r\n" {
                    inputs.push(WebInput::Ping);
                }
            } else {
                inputs.push(WebInput::Message(payload));
            }
        }
    }

    /// Says to the peer why.
    fn fail(&mut self, end: WebEnd, out: &mut Vec<u8>) -> WebEnd {
        let code = match end {
            WebEnd::TooLong => CloseCode::Size,
            WebEnd::Error | WebEnd::Closed => CloseCode::Protocol,
        };
        self.close(code, out);
        end
    }
}

/// What tungstenite takes for a socket: one frame to read, and a buffer to write to.
struct Pipe<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
