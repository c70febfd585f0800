//! Links that come and go, told by the devices themselves.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::OnceLock;

use tandem_dpdk_sys as sys;

/// A descriptor that becomes readable when the link of any port has come or gone: of those ports that say so
/// ([`crate::PortReport::link_interrupt`]). The others have to be asked.
#[derive(Clone, Copy, Debug)]
pub struct LinkEvents(&'static OwnedFd);

impl LinkEvents {
    /// Of this process; none if the kernel has no descriptor for it.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        static EVENTS: OnceLock<Option<OwnedFd>> = OnceLock::new();
        EVENTS.get_or_init(make).as_ref().map(Self)
    }

    /// Makes it unreadable until the next event.
    pub fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the descriptor is ours and does not block; the place is as large as said. Needed: the standard library
        // has no event descriptors. What it says, or that there is nothing, does not matter.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn make() -> Option<OwnedFd> {
    // SAFETY: no memory is involved. Needed: as above.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    // SAFETY: a new descriptor, that nobody else has. Needed: C has it as a number.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the configuration ask for the interrupt, if the device has it.
pub(crate) fn ask_for(port: u16, conf: &mut sys::rte_eth_conf) {
    // SAFETY: the port exists, the structure lives over the call. Needed: the field is one bit.
    unsafe { sys::tnd_link_interrupt(port, conf) };
}

/// Has the device tell [`LinkEvents`], before it is started; whether it will.
pub(crate) fn register(port: u16) -> bool {
    let Some(events) = LinkEvents::of_process() else {
        return false;
    };
    // SAFETY: the port exists and is configured; the descriptor stays open as long as the process. Needed: the callback is
    // called by DPDK's own thread.
    unsafe { sys::tnd_link_events(port, events.0.as_raw_fd()) == 1 }
}
