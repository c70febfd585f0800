//! Waking a thread that sleeps in poll(2), from a worker that must not make system calls for
//! nothing: the eventfd is written only when the sleeper said that it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::read;

/// One sleeper's bell.
#[derive(Debug)]
pub(crate) struct Waker {
    sleeping: AtomicBool,
    bell: EventFd,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            sleeping: AtomicBool::new(false),
            bell,
        })
    }

    /// Called after something was put where the sleeper will look.
    #[inline]
    pub(crate) fn wake(&self) {
        // Orders what was put there before the look at the flag; `prepare_sleep` has the other
        // half, so one of the two sides sees the other.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.sleeping.store(false, Ordering::Relaxed);
            let _ = self.bell.write(1);
        }
    }

    /// The sleeper announces that it is about to sleep; it looks once more for work after this.
    pub(crate) fn prepare_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake. The bell falls silent if it `rang`: one that rings only now is heard with the next poll.
    pub(crate) fn awake(&self, rang: bool) {
        self.sleeping.store(false, Ordering::Relaxed);
        if rang {
            let mut count = [0; 8];
            let _ = read(&self.bell, &mut count);
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    fn rung(waker: &Waker, timeout: PollTimeout) -> bool {
        poll(
            &mut [PollFd::new(waker.as_fd(), PollFlags::POLLIN)],
            timeout,
        )
        .unwrap()
            == 1
    }

    #[test]
    fn a_waking_thread_is_not_rung_and_a_sleeping_one_is() {
        let waker = Waker::new().unwrap();
        waker.wake();
        assert!(!rung(&waker, PollTimeout::ZERO));
        waker.prepare_sleep();
        waker.wake();
        assert!(rung(&waker, PollTimeout::ZERO));
        waker.awake(true);
        assert!(!rung(&waker, PollTimeout::ZERO));
    }

    #[test]
    fn no_wake_up_is_lost() {
        const WORK: u64 = 50_000;
        let shared = Arc::new((Waker::new().unwrap(), AtomicU64::new(0)));
        let other = Arc::clone(&shared);
        let worker = std::thread::spawn(move || {
            for n in 1..=WORK {
                other.1.store(n, Ordering::Release);
                other.0.wake();
            }
        });
        let (waker, work) = &*shared;
        let mut seen = 0;
        while seen < WORK {
            waker.prepare_sleep();
            if work.load(Ordering::Acquire) == seen {
                assert!(
                    rung(waker, PollTimeout::from(10_000u16)),
                    "lost after {seen}"
                );
            }
            waker.awake(true);
            seen = work.load(Ordering::Acquire);
        }
        worker.join().unwrap();
    }
}
