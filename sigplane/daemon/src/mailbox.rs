//! The SIP worker's mailbox: a bounded channel, and an eventfd that it polls.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ask::ToWorker;

/// Letters that may wait. The senders each have at most one or two on the way.
const LETTERS: usize = 256;

/// Where other threads write to the SIP worker.
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
        match self.letters.try_send(letter) {
            Ok(()) => {
                // A bell that cannot count higher is ringing already.
                let _ = self.bell.write(1);
                Ok(())
            }
            Err(TrySendError::Full(letter) | TrySendError::Disconnected(letter)) => Err(letter),
        }
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
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
