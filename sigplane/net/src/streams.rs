//! SIP over TCP, TLS, WebSocket and secure WebSocket through the kernel's own stack.

mod io;
mod settings;

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

pub use io::{StreamEvent, StreamSend, StreamView, StreamsError};
pub use settings::{
    ClientCertificates, Network, StreamKind, StreamLimits, StreamListener, TlsCertificate,
    TlsClient, TlsFiles, TlsTrunk,
};

/// Every stream listener and connection. Driven by its owner: nothing here blocks, waits or reads a clock.
#[derive(Debug)]
pub struct Streams {
    epoll: Epoll,
}

impl Streams {
    /// Binds the listeners, and reads TLS's files.
    ///
    /// # Errors
    /// Names the listener or file, and the remedy.
    pub fn new(
        _listeners: Vec<StreamListener>,
        _limits: StreamLimits,
        _tls: Option<TlsFiles>,
    ) -> Result<Self, StreamsError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from)?;
        Ok(Self { epoll })
    }

    /// The address that a listener is really bound to.
    #[must_use]
    pub fn local(&self, _listener: u16) -> Option<SocketAddr> {
        None
    }

    /// Does what is to do, at most some milliseconds' worth: call it when the descriptor is readable, and when
    /// [`Self::next_timeout`] has come; then take the events.
    pub fn drive(&mut self, _now: Duration) {}

    /// The next event.
    pub fn event(&mut self) -> Option<StreamEvent> {
        None
    }

    /// Sends a message; what cannot be sent comes back as [`StreamEvent::Failed`].
    pub fn send(&mut self, _now: Duration, _order: StreamSend) {}

    /// When [`Self::drive`] is due at the latest, on the scale of its `now`.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        None
    }

    /// Reads TLS's files again. New connections use them; open ones stay as they are. After an error everything is
    /// as before.
    ///
    /// # Errors
    /// Names the file and the remedy.
    pub fn reload_tls(&mut self, _tls: &TlsFiles) -> Result<(), StreamsError> {
        Ok(())
    }

    /// Every counter.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        std::iter::empty()
    }

    /// How many connections there are, half-open ones included.
    #[must_use]
    pub fn connections(&self) -> usize {
        0
    }

    /// Every connection, in no order.
    pub fn views(&self, _now: Duration) -> impl Iterator<Item = StreamView> {
        std::iter::empty()
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
