//! Messages of the link on its socket: one per packet, with descriptors in the first.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};
use tandem_link::{FromDataplane, MAX_MESSAGE, ToDataplane, decode, encode};

use crate::link::LinkError;

/// Messages that may wait for a dataplane that does not read.
const QUEUE_MESSAGES: usize = 65_536;
/// Their bytes.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// A welcome carries the memory's descriptor and one for each SIP worker; more are closed unseen.
const DESCRIPTORS: usize = 80;

/// The connected socket, with what could not be sent yet.
#[derive(Debug)]
pub(crate) struct MessageSocket {
    socket: OwnedFd,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    room: Vec<u8>,
}

impl MessageSocket {
    /// Connects to the socket at `path`.
    pub(crate) fn connect(path: &Path) -> Result<Self, LinkError> {
        let down = |e: Errno| LinkError::Down(e.into());
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let socket = socket.map_err(down)?;
        connect(&socket, &SocketAddrUnix::new(path).map_err(down)?).map_err(down)?;
        let room = vec![0; MAX_MESSAGE + 1];
        Ok(Self {
            socket,
            queue: VecDeque::new(),
            queued_bytes: 0,
            room,
        })
    }

    /// Sends a message, now or when the dataplane has room.
    pub(crate) fn send(&mut self, message: &ToDataplane) -> Result<(), LinkError> {
        let bytes = encode(message);
        if self.queue.len() >= QUEUE_MESSAGES || self.queued_bytes + bytes.len() > QUEUE_BYTES {
            return Err(LinkError::Stalled {
                messages: self.queue.len(),
            });
        }
        self.queued_bytes += bytes.len();
        self.queue.push_back(bytes);
        self.flush()
    }

    /// Sends what waits, as far as the dataplane has room.
    pub(crate) fn flush(&mut self) -> Result<(), LinkError> {
        while let Some(bytes) = self.queue.front() {
            match send(
                &self.socket,
                bytes,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(_) => {
                    self.queued_bytes -= bytes.len();
                    self.queue.pop_front();
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(e) => return Err(LinkError::Down(e.into())),
            }
        }
        Ok(())
    }

    /// Whether something waits for room: poll for writing.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next message and the descriptors that came with it; none when there is none yet.
    pub(crate) fn receive(&mut self) -> Result<Option<(FromDataplane, Vec<OwnedFd>)>, LinkError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
        let mut parts = [IoSliceMut::new(&mut self.room)];
        let length = match recvmsg(&self.socket, &mut parts, &mut control, flags) {
            // No message is empty: this is the end.
            Ok(received) if received.bytes == 0 => return Err(LinkError::Closed),
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(Errno::CONNRESET) => return Err(LinkError::Closed),
            Err(e) => return Err(LinkError::Down(io::Error::from(e))),
        };
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let too_long = || LinkError::Protocol(format!("a message of {length} bytes"));
        let bytes = self
            .room
            .get(..length.min(MAX_MESSAGE + 1))
            .ok_or_else(too_long)?;
        let message = decode(bytes).map_err(|e| LinkError::Protocol(e.to_string()))?;
        Ok(Some((message, descriptors)))
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
