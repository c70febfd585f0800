//! What the kernel drops behind a driver's back.
//!
//! The driver `net_af_packet` reads from a ring that the kernel fills. When the ring is full the
//! kernel drops, and says so only to who asks the ring's socket (`PACKET_STATISTICS`): not the
//! driver's counters, not the interface's, not `/proc`. So we ask.

use std::{
    fs, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// The kernel's packet rings behind a port; none for other drivers.
#[derive(Debug)]
pub(crate) struct KernelRings {
    sockets: Vec<OwnedFd>,
    /// Packets dropped so far: reading the kernel's counter resets it.
    missed: AtomicU64,
}

impl KernelRings {
    /// The packet sockets that the driver has opened on the interface.
    pub(crate) fn find(driver: &str, if_index: u32) -> Self {
        let mut sockets = Vec::new();
        if driver == "net_af_packet"
            && let Ok(entries) = fs::read_dir("/proc/self/fd")
        {
            let numbers: Vec<RawFd> = entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect();
            sockets.extend(numbers.into_iter().filter_map(|fd| ring_on(fd, if_index)));
        }
        Self {
            sockets,
            missed: AtomicU64::new(0),
        }
    }

    /// Packets dropped because a ring was full, from the start.
    pub(crate) fn missed(&self) -> u64 {
        let new: u64 = self.sockets.iter().map(|s| u64::from(dropped(s))).sum();
        self.missed.fetch_add(new, Ordering::Relaxed) + new
    }
}

/// A descriptor of our own for `fd`, if that is a packet socket with a ring of the driver's
/// version on the interface.
fn ring_on(fd: RawFd, if_index: u32) -> Option<OwnedFd> {
    let is_packet = option::<libc::c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
    let version = option::<libc::c_int>(fd, libc::SOL_PACKET, libc::PACKET_VERSION);
    if is_packet != libc::AF_PACKET || version != Some(TPACKET_V2) {
        return None;
    }
    // SAFETY: integers, for which zeroes are a value. Needed: C fills the structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut size = libc::socklen_t::try_from(mem::size_of_val(&address)).ok()?;
    // SAFETY: the structure and its size live over the call, and the size is right; a number that
    // is no socket is refused. Needed: the standard library knows no packet sockets.
    let named = unsafe { libc::getsockname(fd, (&raw mut address).cast(), &raw mut size) };
    if named != 0 || u32::try_from(address.sll_ifindex) != Ok(if_index) {
        return None;
    }
    // The driver closes its own descriptor when it likes, so we take another one.
    // SAFETY: duplicates a descriptor, or fails. Needed: as above.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    // SAFETY: just made, and nobody else's.
    (own >= 0).then(|| unsafe { OwnedFd::from_raw_fd(own) })
}

/// `TPACKET_V2`, the ring format that the driver sets.
const TPACKET_V2: libc::c_int = 1;

/// Packets that the kernel dropped since this was last asked.
fn dropped(socket: &OwnedFd) -> u32 {
    /// `struct tpacket_stats`
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Statistics {
        _packets: u32,
        drops: u32,
    }
    option::<Statistics>(
        socket.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_STATISTICS,
    )
    .map_or(0, |statistics| statistics.drops)
}

/// A socket's option, if it is one and has that option in that size.
fn option<T: Copy>(fd: RawFd, level: libc::c_int, name: libc::c_int) -> Option<T> {
    let mut value = mem::MaybeUninit::<T>::zeroed();
    let mut size = libc::socklen_t::try_from(mem::size_of::<T>()).ok()?;
    // SAFETY: the place and its size live over the call, and the kernel writes no more than that
    // size; a number that is no socket is refused. Needed: as in `ring_on`.
    let result =
        unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut size) };
    let whole = result == 0 && usize::try_from(size) == Ok(mem::size_of::<T>());
    // SAFETY: used with plain integers only, and the kernel wrote all bytes of them.
    whole.then(|| unsafe { value.assume_init() })
}
