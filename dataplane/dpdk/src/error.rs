//! What can go wrong, whose fault it is, and what helps.

use std::{ffi::CStr, fmt};

use tandem_dpdk_sys as sys;

/// An error number of DPDK, with its text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DpdkErrno(i32);

impl DpdkErrno {
    /// From the return value of a DPDK function: negative on failure.
    pub(crate) fn check(returned: i32) -> Result<i32, Self> {
        if returned < 0 {
            Err(Self(returned.saturating_neg()))
        } else {
            Ok(returned)
        }
    }

    /// A number that is known beforehand.
    pub(crate) const fn of(number: i32) -> Self {
        Self(number)
    }

    /// The calling thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer. Needed: it is a macro in C.
        Self(unsafe { sys::tnd_errno() })
    }

    /// The positive number, as in `errno.h`.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for DpdkErrno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the function accepts any number and returns a string that stays valid until the
        // same thread calls it again; it is copied out before. Needed: DPDK has own numbers.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.0)) };
        write!(f, "{} ({})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for DpdkErrno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why DPDK did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A second initialisation.
    #[error("DPDK is initialised already: it can be only once per process")]
    Initialised,
    /// A string with a zero byte, or empty where it must not be.
    #[error("`{0}` is not a valid DPDK argument")]
    Argument(String),
    /// EAL did not start.
    #[error("DPDK did not start: {errno}. It says more on stderr. {remedy}")]
    Init {
        /// EAL's reason.
        errno: DpdkErrno,
        /// What helps.
        remedy: &'static str,
    },
    /// A device that does not exist or that no driver takes.
    #[error("device `{device}` cannot be used: {errno}. {remedy}")]
    Device {
        /// As in the configuration.
        device: String,
        /// DPDK's reason.
        errno: DpdkErrno,
        /// What helps.
        remedy: &'static str,
    },
    /// Too little memory for a pool, or a bad size.
    #[error("no pool `{name}` of {buffers} buffers: {errno}. {remedy}")]
    Pool {
        /// The pool's name.
        name: String,
        /// Buffers asked for.
        buffers: u32,
        /// DPDK's reason.
        errno: DpdkErrno,
        /// What helps.
        remedy: &'static str,
    },
    /// More queues than the port has.
    #[error(
        "device `{device}` ({driver}) has {has} {direction} queues, {wanted} are wanted: \
         let fewer workers poll it, or create it with more"
    )]
    Queues {
        /// As in the configuration.
        device: String,
        /// Its driver.
        driver: String,
        /// `receive` or `transmit`.
        direction: &'static str,
        /// How many there are.
        has: u16,
        /// How many are wanted.
        wanted: u16,
    },
    /// Frames of the wanted MTU do not fit the pool's buffers.
    #[error(
        "an MTU of {mtu} needs buffers of {needed} bytes, the pool's have {has}: \
         make the pool with larger buffers, or lower the MTU"
    )]
    BufferSize {
        /// The MTU wanted.
        mtu: u16,
        /// Bytes needed, without headroom.
        needed: usize,
        /// Bytes that the buffers have, without headroom.
        has: usize,
    },
    /// A step of setting a port up or taking it down failed.
    #[error("device `{device}` ({driver}): {step} failed: {errno}")]
    Port {
        /// As in the configuration.
        device: String,
        /// Its driver.
        driver: String,
        /// The step.
        step: &'static str,
        /// DPDK's reason.
        errno: DpdkErrno,
    },
    /// A port is to be restarted that somebody has queues of.
    #[error("device `{0}` cannot be restarted while somebody has a queue of it")]
    QueuesOut(String),
    /// A device that can be stopped for good only.
    #[error(
        "device `{device}` cannot be restarted: its driver {driver} stops devices for good; restart the dataplane"
    )]
    NoRestart {
        /// As in the configuration.
        device: String,
        /// Its driver.
        driver: String,
    },
    /// The port was started already.
    #[error("device `{0}` is in use already: name it in one [[port]] only")]
    InUse(String),
    /// A thread could not be made known to DPDK.
    #[error(
        "the thread cannot be registered with DPDK: {0}. It needs the EAL option --in-memory or --no-shconf"
    )]
    Thread(DpdkErrno),
}
