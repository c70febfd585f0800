//! The controller's doorbell: an eventfd that never blocks its ringer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};

use crate::ShmError;

/// One end's hold on the doorbell. Readable (poll, epoll) after it was rung.
#[derive(Clone, Debug)]
pub struct Doorbell {
    fd: Arc<OwnedFd>,
}

impl Doorbell {
    pub(crate) fn new() -> Result<Self, ShmError> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|fd| Self::from_fd(fd.into()))
            .map_err(|error| ShmError::System {
                what: "eventfd",
                error,
            })
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd: Arc::new(fd) }
    }

    /// Rings it. A bell that has been rung as often as it can count is ringing already.
    pub fn ring(&self) {
        let _ = write(&*self.fd, &1u64.to_ne_bytes());
    }

    /// Silences it: it is not readable until rung again.
    pub fn silence(&self) {
        let mut count = [0; 8];
        let _ = read(&*self.fd, &mut count);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
