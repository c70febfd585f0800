//! The link's socket: one message per packet, never waiting for the peer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, recv, sendmsg};
use socket2::{Domain, SockAddr, Socket, Type};
use tandem_link::{DecodeError, FromDataplane, MAX_MESSAGE, ToDataplane, decode, encode};
use thiserror::Error;

/// Why the socket could not be made.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    #[error("{}: another dataplane is running and serves this socket", path.display())]
    Running { path: PathBuf },
    #[error("{}: {what}: {error}", path.display())]
    System {
        path: PathBuf,
        what: &'static str,
        error: io::Error,
    },
}

/// The listening socket; its name is removed with it.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, for its owner and its group: the signaling plane may be another user. A name that nobody serves any
    /// more is taken over.
    pub(crate) fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |what| {
            move |error| ListenError::System {
                path: path.to_owned(),
                what,
                error,
            }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("making its folder"))?;
        }
        let address = SockAddr::unix(path).map_err(failed("its path"))?;
        if path.exists() {
            let probe = sequenced().map_err(failed("socket"))?;
            match probe.connect(&address) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Err(failed("looking who serves it")(error));
                }
                _ => {
                    return Err(ListenError::Running {
                        path: path.to_owned(),
                    });
                }
            }
            std::fs::remove_file(path).map_err(failed("removing the old one"))?;
        }
        let socket = sequenced().map_err(failed("socket"))?;
        // Nobody can connect before `listen`, so there is no moment with other permissions.
        socket.bind(&address).map_err(failed("bind"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .map_err(failed("setting its permissions"))?;
        socket.listen(8).map_err(failed("listen"))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    /// The next connection; none when nobody waits.
    pub(crate) fn accept(&self) -> Option<Connection> {
        let (socket, _) = self.socket.accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        // Lists and captures come in bursts; the default holds some hundred messages only.
        let _ = socket.set_send_buffer_size(4 << 20);
        Some(Connection {
            socket,
            queue: VecDeque::new(),
            queued_bytes: 0,
            stalled: None,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn sequenced() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    #[error("it closed the connection")]
    Closed,
    #[error("it reads too slowly: {0} bytes wait for it")]
    Slow(usize),
    #[error("it sent what is no message: {0}")]
    Protocol(#[from] DecodeError),
    #[error("it sent a command on a flow by the socket, which belongs into a ring")]
    Misplaced,
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A controller's connection, with the messages that wait until it has room.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// Since when the peer has taken nothing although something waits (monotonic nanoseconds).
    stalled: Option<u64>,
}

impl Connection {
    /// Bytes that may wait; a controller further behind is disconnected.
    const MOST: usize = 16 << 20;
    /// Nanoseconds that a controller may take nothing.
    const PATIENCE: u64 = 5_000_000_000;
    /// Bytes above which no more answers to lists are fetched from the workers.
    const ENOUGH: usize = 1 << 20;

    /// The next message; none when there is none yet.
    pub(crate) fn receive(&self, room: &mut Vec<u8>) -> Result<Option<ToDataplane>, Ended> {
        room.resize(MAX_MESSAGE + 1, 0);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recv(self.socket.as_raw_fd(), room, flags).map_err(io::Error::from) {
            // No message is empty, so this is the end of the connection.
            Ok(0) => Err(Ended::Closed),
            Ok(length) => match room.get(..length) {
                Some(bytes) => Ok(Some(decode(bytes)?)),
                None => Err(DecodeError::TooLong(length).into()),
            },
            Err(error) if is_temporary(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a message, now or as soon as the peer has room.
    pub(crate) fn send(&mut self, message: &FromDataplane, now: u64) -> Result<(), Ended> {
        let bytes = encode(message);
        self.queued_bytes += bytes.len();
        self.queue.push_back(bytes);
        self.flush(now)
    }

    /// Sends a message with descriptors. The first of a session, so there is room for it.
    pub(crate) fn send_with(
        &mut self,
        message: &FromDataplane,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Ended> {
        let bytes = encode(message);
        let raw: Vec<_> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        sendmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            &[ControlMessage::ScmRights(&raw)],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(io::Error::from)?;
        Ok(())
    }

    /// Sends what waits, as far as the peer has room.
    pub(crate) fn flush(&mut self, now: u64) -> Result<(), Ended> {
        let before = self.queue.len();
        while let Some(bytes) = self.queue.front() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match self.socket.send_with_flags(bytes, flags.bits()) {
                Ok(_) => {
                    self.queued_bytes -= bytes.len();
                    self.queue.pop_front();
                }
                Err(error) if is_temporary(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.stalled = match self.stalled {
            _ if self.queue.is_empty() || self.queue.len() < before => None,
            None => Some(now),
            since => since,
        };
        let stalled = self
            .stalled
            .is_some_and(|since| now.saturating_sub(since) > Self::PATIENCE);
        if stalled || self.queued_bytes > Self::MOST {
            return Err(Ended::Slow(self.queued_bytes));
        }
        Ok(())
    }

    /// Whether messages wait for room: poll for writing.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether so much waits that lists shall pause.
    pub(crate) fn is_congested(&self) -> bool {
        self.queued_bytes > Self::ENOUGH
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_link::{ControllerHello, VERSION};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn client(path: &Path) -> Socket {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        socket.connect(&SockAddr::unix(path).unwrap()).unwrap();
        socket
    }

    #[test]
    fn a_stale_name_is_taken_over_and_a_served_one_is_not() {
        let folder = folder();
        let path = folder.path().join("run/dataplane.sock");
        let first = Listener::bind(&path).unwrap();
        assert!(matches!(
            Listener::bind(&path),
            Err(ListenError::Running { .. })
        ));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        // A killed process leaves the name behind.
        let stale = folder.path().join("stale.sock");
        let socket = sequenced().unwrap();
        socket.bind(&SockAddr::unix(&stale).unwrap()).unwrap();
        drop(socket);
        assert!(stale.exists());
        let _second = Listener::bind(&stale).unwrap();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn messages_come_whole_and_nonsense_ends_the_connection() {
        let folder = folder();
        let path = folder.path().join("s");
        let listener = Listener::bind(&path).unwrap();
        let peer = client(&path);
        let connection = listener.accept().unwrap();
        let mut room = Vec::new();
        assert_eq!(connection.receive(&mut room).unwrap(), None);
        let hello = ToDataplane::Hello(ControllerHello {
            version: VERSION,
            controller: 1,
            readers: 1,
        });
        peer.send(&encode(&hello)).unwrap();
        assert_eq!(connection.receive(&mut room).unwrap(), Some(hello));
        peer.send(&[0xFF; 9]).unwrap();
        assert!(matches!(
            connection.receive(&mut room),
            Err(Ended::Protocol(_))
        ));
        peer.send(&vec![0; MAX_MESSAGE + 2]).unwrap();
        let too_long = connection.receive(&mut room).unwrap_err();
        assert!(
            matches!(too_long, Ended::Protocol(DecodeError::TooLong(_))),
            "{too_long}"
        );
        drop(peer);
        assert!(matches!(connection.receive(&mut room), Err(Ended::Closed)));
    }

    #[test]
    fn a_peer_that_does_not_read_never_blocks_us_and_is_found_slow() {
        let folder = folder();
        let path = folder.path().join("s");
        let listener = Listener::bind(&path).unwrap();
        let _peer = client(&path);
        let mut connection = listener.accept().unwrap();
        let message = FromDataplane::Counters {
            seq: 1,
            values: vec![
                tandem_link::CounterValue {
                    name: "x".repeat(100),
                    value: 1
                };
                100
            ],
        };
        let ended = (0..10_000).find_map(|_| connection.send(&message, 0).err());
        assert!(matches!(ended, Some(Ended::Slow(_))));
    }
}
