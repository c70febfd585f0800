//! Pools of packet buffers.

use std::ptr::NonNull;

use tandem_dpdk_sys as sys;

use crate::{BURST, Burst, DpdkErrno, Eal, Error, Mbuf, eal::c_string, mbuf::HEADROOM};

/// A pool of packet buffers: a handle, as cheap to clone as a pointer. The pool itself lives as
/// long as the process.
#[derive(Clone, Debug)]
pub struct Mempool {
    pool: NonNull<sys::rte_mempool>,
    buffers: u32,
    room: u16,
}

// SAFETY: a pool is made for many threads: its ring is multi-producer and multi-consumer, and its
// caches are per registered thread. The pool is never freed. Needed: workers share a pool.
unsafe impl Send for Mempool {}
// SAFETY: as above.
unsafe impl Sync for Mempool {}

impl Mempool {
    /// Makes a pool.
    ///
    /// - `name`: unique, up to 25 characters.
    /// - `buffers`: how many; a power of two less one wastes no memory.
    /// - `cache`: buffers that each registered thread keeps at hand, up to 512; 0 for none.
    /// - `room`: bytes of a packet that fit, without the headroom. 2,048 holds an MTU of 1,500 with
    ///   two VLAN tags.
    ///
    /// # Errors
    /// If the memory that EAL was given does not suffice, or the name is taken.
    pub fn create(
        eal: Eal,
        name: &str,
        buffers: u32,
        cache: u32,
        room: u16,
    ) -> Result<Self, Error> {
        Self::create_on(eal, name, buffers, cache, room, None)
    }

    /// The same, with memory of this NUMA node.
    ///
    /// # Errors
    /// As for [`Self::create`].
    pub fn create_on(
        _eal: Eal,
        name: &str,
        buffers: u32,
        cache: u32,
        room: u16,
        node: Option<u32>,
    ) -> Result<Self, Error> {
        let node = node
            .and_then(|node| i32::try_from(node).ok())
            .unwrap_or(ANY_NODE);
        let refused = |errno: DpdkErrno| Error::Pool {
            name: name.to_owned(),
            buffers,
            errno,
            remedy: match errno.number() {
                12 => "Give DPDK more memory (memory_mb, or huge pages), or lower `mbufs`.",
                17 => "There is a pool of this name.",
                _ => "Is the cache at most 512 and two thirds of the buffers?",
            },
        };
        let c_name = c_string(name)?;
        let Some(whole) = room.checked_add(HEADROOM) else {
            return Err(refused(DpdkErrno::of(22)));
        };
        // SAFETY: a string that lives over the call; EAL is initialised (`_eal`); a node that
        // has no memory is refused. Needed: buffers must be memory that devices can reach.
        let pool = unsafe {
            sys::rte_pktmbuf_pool_create(c_name.as_ptr(), buffers, cache, 0, whole, node)
        };
        let pool = NonNull::new(pool).ok_or_else(|| refused(DpdkErrno::last()))?;
        Ok(Self {
            pool,
            buffers,
            room,
        })
    }

    /// Takes one buffer: empty, its window after the headroom. None if the pool is empty.
    #[must_use]
    pub fn take(&self) -> Option<Mbuf> {
        // SAFETY: the pool is live (never freed); the buffer comes with one reference, ours.
        // Needed: buffers are made by DPDK only.
        unsafe { NonNull::new(sys::tnd_mbuf_alloc(self.as_ptr())).map(|m| Mbuf::from_raw(m)) }
    }

    /// Fills the free room of `burst` with empty buffers: all of it, or nothing if the pool has
    /// not enough. Returns how many were added.
    pub fn fill(&self, burst: &mut Burst) -> usize {
        burst.receive_with(|room, count| {
            debug_assert!(usize::from(count) <= BURST);
            // SAFETY: `room` has place for `count` pointers (receive_with); the pool is live; on
            // success each is a buffer with one reference, ours. Needed: as for `take`.
            let result = unsafe { sys::tnd_mbuf_alloc_bulk(self.as_ptr(), room, count) };
            if result == 0 { count } else { 0 }
        })
    }

    /// Buffers that are free now, those in threads' caches included. A look at all caches: for
    /// reports and tests.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is live; the count is racy by nature and harmless. Needed: only DPDK
        // knows.
        unsafe { sys::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// Buffers in all.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        self.buffers
    }

    /// Bytes of a packet that fit into a buffer after the headroom.
    #[must_use]
    pub fn room(&self) -> u16 {
        self.room
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.pool.as_ptr()
    }
}

/// Memory of any NUMA node (`SOCKET_ID_ANY`).
const ANY_NODE: i32 = -1;
