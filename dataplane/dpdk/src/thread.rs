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
    /// Registers the calling thread. It must not be one that EAL made, nor registered already.
    ///
    /// # Errors
    /// If there are too many threads (128), or EAL was started so that a second process
    /// may attach ([`crate::EalSettings`] never does).
    pub fn register(_eal: Eal) -> Result<Self, Error> {
        // SAFETY: EAL is initialised (`_eal`); registering twice is refused by DPDK. Needed: the
        // thread's number is a thread-local of DPDK.
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

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: this thread was registered by `register`, and the value cannot have left it.
        // Needed: as there.
        unsafe { sys::rte_thread_unregister() }
    }
}
