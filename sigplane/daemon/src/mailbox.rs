//! A SIP worker's mailbox: a bounded channel, and an eventfd that it polls.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ask::ToWorker;

/// Letters that may wait. Other threads each have at most one or two on the way; what is more than these
/// comes from other workers.
const LETTERS: usize = 2_048;

/// Where other threads write to a SIP worker.
#[derive(Clone)]
pub(crate) struct Mailbox {
    letters: Sender<ToWorker>,
    bell: Arc<EventFd>,
}

/// The worker's end.
pub(crate) struct Inbox {
    letters: Receiver<ToWorker>,
    bell: Arc<EventFd>,
}

pub(crate) fn mailbox() -> nix::Result<(Mailbox, Inbox)> {
    let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let bell = Arc::new(bell);
    let (sender, receiver) = bounded(LETTERS);
    let inbox = Inbox {
        letters: receiver,
        bell: Arc::clone(&bell),
    };
    Ok((
        Mailbox {
            letters: sender,
            bell,
        },
        inbox,
    ))
}

impl Mailbox {
    /// Sends a letter and wakes the worker. Gives the letter back when the box is full, or the
    /// worker gone.
    pub(crate) fn send(&self, letter: ToWorker) -> Result<(), ToWorker> {
        self.put(letter)?;
        self.ring();
        Ok(())
    }

    /// Leaves a letter; [`Self::ring`] wakes the worker. Gives it back as [`Self::send`] does.
    pub(crate) fn put(&self, letter: ToWorker) -> Result<(), ToWorker> {
        match self.letters.try_send(letter) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(letter) | TrySendError::Disconnected(letter)) => Err(letter),
        }
    }

    /// Waits for room, if need be. Whether there was some in time.
    pub(crate) fn wait(&self, letter: ToWorker, most: Duration) -> bool {
        let sent = match self.letters.send_timeout(letter, most) {
            Ok(()) => true,
            // Who is gone needs no letters.
            Err(SendTimeoutError::Disconnected(_)) => true,
            Err(SendTimeoutError::Timeout(_)) => false,
        };
        self.ring();
        sent
    }

    /// Wakes the worker.
    pub(crate) fn ring(&self) {
        // A bell that cannot count higher is ringing already.
        let _ = self.bell.write(1);
    }
}

impl Inbox {
    /// The next letter.
    pub(crate) fn next(&self) -> Option<ToWorker> {
        self.letters.try_recv().ok()
    }

    /// Silences the bell; before reading the letters, so that none is overlooked.
    pub(crate) fn silence(&self) {
        let _ = self.bell.read();
    }

    /// Rings it: letters were left.
    pub(crate) fn ring(&self) {
        let _ = self.bell.write(1);
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
