//! A session with the dataplane: hello, welcome, then commands and what comes back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use tandem_link::{
    Command, ControllerHello, DataplaneHello, FromDataplane, RefusedReason, ToDataplane, VERSION,
};
use thiserror::Error;

use crate::message::MessageSocket;
use crate::rings::Rings;

/// Why there is no session, or no longer.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The socket cannot be reached.
    #[error("the dataplane's socket: {0}: is tandem-dataplane running?")]
    Down(#[source] io::Error),
    /// It took the connection, and says nothing yet.
    #[error("the dataplane has not answered yet: it opens its ports, or hangs")]
    Silent,
    /// The dataplane went away.
    #[error("the dataplane closed the link")]
    Closed,
    /// The dataplane does not want us.
    #[error("{0}")]
    Refused(RefusedReason),
    /// What came is not the link's protocol.
    #[error("the dataplane broke the link's protocol: {0}")]
    Protocol(String),
    /// The dataplane took no commands for so long that no more are kept. A new session brings
    /// both sides to the same state again.
    #[error("the dataplane does not read: {messages} commands wait")]
    Stalled {
        /// How many wait.
        messages: usize,
    },
    /// A newer controller has taken over.
    #[error(
        "another controller has taken over the dataplane: is a second tandem-sigplane running?"
    )]
    Fenced,
}

/// A connection on which hello was said and welcome is awaited. How long is the caller's to limit.
#[derive(Debug)]
pub struct Handshake {
    socket: MessageSocket,
    readers: u16,
}

/// What became of a handshake.
#[derive(Debug)]
pub enum Progress {
    /// Nothing yet: poll the descriptor for reading.
    Waiting(Handshake),
    /// The session, what the dataplane said of itself, and the rings of each SIP worker.
    Up(Box<Session>, DataplaneHello, Vec<Rings>),
}

impl Handshake {
    /// Connects to the dataplane's socket and says hello as `controller`, the node's id, with so many
    /// SIP workers.
    ///
    /// # Errors
    /// When nobody serves the socket.
    pub fn begin(path: &Path, controller: u64, readers: u16) -> Result<Self, LinkError> {
        let mut socket = MessageSocket::connect(path)?;
        socket.send(&ToDataplane::Hello(ControllerHello {
            version: VERSION,
            controller,
            readers,
        }))?;
        Ok(Self { socket, readers })
    }

    /// Reads the answer, if it came.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn proceed(mut self) -> Result<Progress, LinkError> {
        match self.socket.receive()? {
            None => Ok(Progress::Waiting(self)),
            Some((FromDataplane::Welcome(hello), descriptors)) => {
                if hello.version != VERSION {
                    let dataplane = hello.version;
                    return Err(LinkError::Refused(RefusedReason::Version { dataplane }));
                }
                let wrong = |found| LinkError::Protocol(format!("{found} descriptors"));
                let found = descriptors.len();
                let mut descriptors = descriptors.into_iter();
                let memory = descriptors.next().ok_or_else(|| wrong(found))?;
                let doorbells: Vec<OwnedFd> = descriptors.collect();
                if doorbells.len() != usize::from(self.readers) {
                    return Err(wrong(found));
                }
                let rings = (hello.epoch, hello.workers, &hello.slots);
                let rings = Rings::attach(memory, doorbells, rings)
                    .map_err(|e| LinkError::Protocol(e.to_string()))?;
                let session = Session {
                    socket: self.socket,
                };
                Ok(Progress::Up(Box::new(session), hello, rings))
            }
            Some((FromDataplane::Refused(reason), _)) => Err(LinkError::Refused(reason)),
            Some(_) => Err(LinkError::Protocol(
                "it did not answer hello with welcome".into(),
            )),
        }
    }
}

impl AsFd for Handshake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A session. Dropping it closes the connection; the dataplane keeps its flows.
#[derive(Debug)]
pub struct Session {
    socket: MessageSocket,
}

impl Session {
    /// Sends a command, now or when the dataplane has room: poll for writing while
    /// [`Self::is_waiting`].
    ///
    /// # Errors
    /// The session has ended.
    pub fn command(&mut self, seq: u64, command: Command) -> Result<(), LinkError> {
        self.socket.send(&ToDataplane::Command { seq, command })
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The session has ended.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        self.socket.flush()
    }

    /// Whether commands wait for room.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.socket.is_waiting()
    }

    /// The next message; none when there is none yet.
    ///
    /// # Errors
    /// The session has ended.
    pub fn receive(&mut self) -> Result<Option<FromDataplane>, LinkError> {
        match self.socket.receive()? {
            Some((FromDataplane::Welcome(_), _)) => {
                Err(LinkError::Protocol("a second welcome".into()))
            }
            Some((FromDataplane::Refused(reason), _)) => Err(LinkError::Refused(reason)),
            Some((message, _)) => Ok(Some(message)),
            None => Ok(None),
        }
    }
}

impl AsFd for Session {
    /// The control socket's descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
