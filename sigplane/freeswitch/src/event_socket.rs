//! A client of mod_event_socket in inbound mode: it asks how many calls and channels a FreeSWITCH has, and hears its heartbeat.
//!
//! Bytes in, news out, and bytes to send, which [`Client::transmit`] gives. A refusal or anything that is not the protocol ends
//! the connection: the daemon makes a new one later.

mod frame;

use std::collections::VecDeque;

use thiserror::Error;

use frame::Frame;
pub use frame::{MAX_BODY, MAX_HEADERS};

/// Why a connection is of no use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SocketError {
    /// The password is wrong.
    #[error("the password is refused: it must be the one in event_socket.conf.xml")]
    Denied,
    /// The address may not connect.
    #[error(
        "we may not connect: `apply-inbound-acl` in event_socket.conf.xml must have our address"
    )]
    Rejected,
    /// FreeSWITCH says farewell.
    #[error("FreeSWITCH closes the connection")]
    Goodbye,
    /// A command of ours is refused.
    #[error("a command is refused: {0}")]
    Refused(String),
    /// More headers, or a longer body, than anything of it has.
    #[error("a message is too long")]
    TooLong,
    /// It speaks otherwise than mod_event_socket does.
    #[error("this is not the event socket's protocol: {0}")]
    Protocol(&'static str),
}

/// What FreeSWITCH says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// We are let in.
    Ready,
    /// Calls now: legs that are joined count once.
    Calls(u64),
    /// Channels now: a leg each.
    Channels(u64),
    /// Sessions at its last heartbeat, some 20 s apart.
    Sessions(u64),
}

/// What a reply is the answer to, in the order of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Heartbeat,
    Calls,
    Channels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// FreeSWITCH speaks first.
    Greeting,
    /// The password is on its way.
    Authenticating,
    Ready,
}

/// One connection.
pub struct Client {
    password: String,
    state: State,
    received: Vec<u8>,
    to_send: Vec<u8>,
    asked: VecDeque<Asked>,
}

/// Never the password.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.state)
    }
}

impl Client {
    /// A connection that was just made. The password is one line.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self {
            password: password.lines().next().unwrap_or_default().to_owned(),
            state: State::Greeting,
            received: Vec::new(),
            to_send: Vec::new(),
            asked: VecDeque::new(),
        }
    }

    /// Asks for the calls and channels; false while it is not ready, or has not answered the last time.
    pub fn ask(&mut self) -> bool {
        if self.state != State::Ready || !self.asked.is_empty() {
            return false;
        }
        self.command("api show calls count as json", Asked::Calls);
        self.command("api show channels count as json", Asked::Channels);
        true
    }

    /// What is to be sent now.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_send)
    }

    /// Takes what was received.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<News>, SocketError> {
        self.received.extend_from_slice(bytes);
        let mut news = Vec::new();
        let mut used = 0;
        while let Some((frame, length)) =
            frame::read(self.received.get(used..).unwrap_or_default())?
        {
            used += length;
            news.extend(self.take(&frame)?);
        }
        self.received.drain(..used);
        Ok(news)
    }

    fn take(&mut self, frame: &Frame) -> Result<Option<News>, SocketError> {
        match frame.value("Content-Type") {
            Some("text/rude-rejection") => return Err(SocketError::Rejected),
            Some("text/disconnect-notice") => return Err(SocketError::Goodbye),
            kind => match (self.state, kind) {
                (State::Greeting, Some("auth/request")) => {
                    let line = format!("auth {}\n\n", self.password);
                    self.to_send.extend_from_slice(line.as_bytes());
                    self.state = State::Authenticating;
                }
                (State::Authenticating, Some("command/reply")) => {
                    if !frame.is_ok() {
                        return Err(SocketError::Denied);
                    }
                    self.state = State::Ready;
                    self.command("event plain HEARTBEAT", Asked::Heartbeat);
                    return Ok(Some(News::Ready));
                }
                (State::Ready, Some("command/reply")) => match self.asked.pop_front() {
                    Some(Asked::Heartbeat) if frame.is_ok() => {}
                    Some(Asked::Heartbeat) => return Err(refused(frame)),
                    _ => return Err(SocketError::Protocol("a reply to no command")),
                },
                (State::Ready, Some("api/response")) => {
                    let asked = self.asked.pop_front();
                    let count = || frame.count().ok_or_else(|| refused(frame));
                    return match asked {
                        Some(Asked::Calls) => Ok(Some(News::Calls(count()?))),
                        Some(Asked::Channels) => Ok(Some(News::Channels(count()?))),
                        _ => Err(SocketError::Protocol("a response to no command")),
                    };
                }
                (State::Ready, Some("text/event-plain")) => {
                    let event = frame.event();
                    if event.value("Event-Name") == Some("HEARTBEAT") {
                        let sessions = event.value("Session-Count").and_then(|n| n.parse().ok());
                        return Ok(sessions.map(News::Sessions));
                    }
                }
                // Later versions may say more.
                (State::Ready, Some(_)) => {}
                _ => return Err(SocketError::Protocol("something else than a greeting")),
            },
        }
        Ok(None)
    }

    fn command(&mut self, command: &str, asked: Asked) {
        self.to_send.extend_from_slice(command.as_bytes());
        self.to_send.extend_from_slice(b"\n\n");
        self.asked.push_back(asked);
    }
}

fn refused(frame: &Frame) -> SocketError {
    SocketError::Refused(frame.reason())
}

#[cfg(test)]
mod tests;
