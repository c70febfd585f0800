//! Threads known to DPDK.

use std::marker::PhantomData;

use tandem_dpdk_sys as sys;

use crate::{DpdkErrno, Eal, Error};

/// Makes the calling thread known to DPDK until dropped: it gets a number of its own, and with
/// it a cache in every pool. Threads that are not registered work too, without caches: each
/// buffer taken or freed then costs an atomic operation.
#[derive(Debug)]
#[must_use = "the thread is registered only as long as this lives"]
pub struct Registration {
    /// Of this thread alone: neither Send nor Sync.
    here: PhantomData<*const ()>,
}

impl Registration {
    /// Registers the calling thread.
    ///
    /// # Errors
    /// If it is the one that started EAL, or is registered already; if there are too many threads (128), or EAL was started so that a second process
    /// may attach ([`crate::EalSettings`] never does).
    pub fn register(_eal: Eal) -> Result<Self, Error> {
        // SAFETY: reads a thread-local integer. Needed: it is a macro in C.
        if unsafe { sys::tnd_lcore_id() } != NO_NUMBER {
            return Err(Error::Thread(DpdkErrno::of(libc::EEXIST)));
        }
        // SAFETY: EAL is initialised (`_eal`), and the thread has no number yet. Needed: the
        // number is a thread-local of DPDK.
        if unsafe { sys::rte_thread_register() } < 0 {
            return Err(Error::Thread(DpdkErrno::last()));
        }
        Ok(Self { here: PhantomData })
    }

    /// The thread's number in DPDK.
    #[must_use]
    pub fn number(&self) -> u32 {
        // SAFETY: reads a thread-local integer. Needed: it is a macro in C.
        unsafe { sys::tnd_lcore_id() }
    }
}

/// `LCORE_ID_ANY`: a thread that DPDK does not know.
const NO_NUMBER: u32 = u32::MAX;

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: this thread was registered by `register`, and the value cannot have left it.
        // Needed: as there.
        unsafe { sys::rte_thread_unregister() }
    }
}
