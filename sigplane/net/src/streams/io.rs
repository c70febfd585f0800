//! What goes in and what comes out.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::settings::StreamKind;

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSend {
    /// The connection that it should take, if it still lives.
    pub connection: Option<u64>,
    /// The listener that it goes out from: its kind, its address.
    pub listener: u16,
    /// Where it goes when that connection is gone: by any open connection of the listener with this peer, or by a new
    /// one (TCP and TLS only).
    pub destination: SocketAddr,
    /// No new one is opened.
    pub existing: bool,
    /// The name that the server's certificate must have, and that we ask for. None: the destination's address.
    pub server_name: Option<String>,
    /// The message.
    pub bytes: Vec<u8>,
    /// Comes back in [`StreamEvent::Failed`].
    pub tag: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A whole message came.
    Message {
        /// The listener whose connection it is.
        listener: u16,
        /// The connection. Ids never repeat in a process's life.
        connection: u64,
        /// The far end.
        peer: SocketAddr,
        /// Our end.
        local: SocketAddr,
        /// The name in the peer's verified certificate.
        tls_name: Option<Arc<str>>,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A connection that was up is gone.
    Closed {
        /// The listener whose connection it was.
        listener: u16,
        /// The connection.
        connection: u64,
        /// The far end.
        peer: SocketAddr,
    },
    /// A message that certainly was not delivered: refused, no connection in time, not written when the
    /// connection ended, no room.
    Failed {
        /// As in [`StreamSend`].
        listener: u16,
        /// As in [`StreamSend`].
        destination: SocketAddr,
        /// The connection that it was meant for or waited on.
        connection: Option<u64>,
        /// As in [`StreamSend`].
        tag: u64,
    },
}

/// A connection, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// Its id.
    pub connection: u64,
    /// Its listener.
    pub listener: u16,
    /// What is spoken.
    pub kind: StreamKind,
    /// Whether we opened it.
    pub outgoing: bool,
    /// Whether messages can pass: connected, and through its handshakes.
    pub open: bool,
    /// The far end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Since when it is there.
    pub age: Duration,
    /// Since when no byte went in any direction.
    pub idle: Duration,
    /// Bytes that came and are not yet a whole message.
    pub bytes_in: usize,
    /// Bytes that wait to be sent.
    pub bytes_out: usize,
    /// TLS's version, such as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
    /// The name in the peer's verified certificate.
    pub tls_name: Option<Arc<str>>,
}

/// Why streams cannot be served as set.
#[derive(Debug, Error)]
pub enum StreamsError {
    /// A listener could not be bound.
    #[error("{listen}: {source}: {remedy}")]
    Bind {
        /// Its address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The system refuses what all listeners need.
    #[error("streams: {0}: check the machine's limits on open files and memory")]
    System(#[from] io::Error),
    /// A secure listener without a certificate.
    #[error("{listen}: a secure listener needs a certificate: give a chain and a key for TLS")]
    NoCertificate {
        /// The listener's address.
        listen: SocketAddr,
    },
    /// A file of TLS's cannot be used.
    #[error("{}: {fault}: {remedy}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A setting of TLS's makes no sense.
    #[error("{what}: {remedy}")]
    Setting {
        /// Which, and why.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
}
