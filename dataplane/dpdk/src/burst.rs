//! A fixed array of packets.

use std::{
    fmt,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    ptr, slice,
};

use tandem_dpdk_sys as sys;

use crate::Mbuf;

/// How many packets a burst holds.
pub const BURST: usize = 32;

/// Up to [`BURST`] packets, in order, in a fixed array: no allocation. It is a slice of packets
/// (`burst.iter_mut()`, `burst.len()`); packets leave it by [`Burst::drain`], [`Burst::clear`] or
/// [`crate::TxQueue::send`].
pub struct Burst {
    /// The first `len` are live packets.
    packets: [MaybeUninit<Mbuf>; BURST],
    len: usize,
}

impl Burst {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            packets: [const { MaybeUninit::uninit() }; BURST],
            len: 0,
        }
    }

    /// Whether no packet fits any more.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == BURST
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// Gives the packet back if the burst is full.
    #[inline]
    pub fn push(&mut self, packet: Mbuf) -> Result<(), Mbuf> {
        match self.packets.get_mut(self.len) {
            Some(place) => {
                place.write(packet);
                self.len += 1;
                Ok(())
            }
            None => Err(packet),
        }
    }

    /// Takes all packets out, first to last. What the iterator is not asked for is freed with it.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = self.len;
        // From here on the iterator owns them: were it leaked, they would leak, not be freed twice.
        self.len = 0;
        Drain {
            burst: self,
            next: 0,
            end,
        }
    }

    /// Frees all packets and says how many there were.
    #[inline]
    pub fn clear(&mut self) -> usize {
        let count = std::mem::take(&mut self.len);
        if count > 0 {
            // SAFETY: the first `count` places hold packets that nobody owns any more (len is 0).
            // Needed: freeing them together is one call.
            unsafe { free(self.packets.as_mut_ptr(), count) };
        }
        count
    }

    /// Lets `receive` write packets into the free room: it gets the room and its size, and says
    /// how many it wrote, which must be live buffers of ours now. Returns that number.
    #[inline]
    pub(crate) fn receive_with(
        &mut self,
        receive: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16,
    ) -> usize {
        let room = BURST - self.len;
        // SAFETY: `len` is at most BURST, so this is inside of the array or one past its end;
        // an Mbuf is a pointer to a buffer (repr(transparent)). Needed: DPDK writes the pointers.
        let free = unsafe { self.packets.as_mut_ptr().add(self.len) };
        let count = usize::from(receive(free.cast(), u16::try_from(room).unwrap_or(0)));
        debug_assert!(count <= room);
        self.len += count.min(room);
        count
    }

    /// Lets `send` take packets from the front: it gets them and their number, and says how many
    /// it took, which are no longer ours. The rest moves up. Returns that number.
    #[inline]
    pub(crate) fn send_with(
        &mut self,
        send: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16,
    ) -> usize {
        let packets = self.packets.as_mut_ptr();
        let all = u16::try_from(self.len).unwrap_or(0);
        let taken = usize::from(send(packets.cast(), all)).min(self.len);
        self.len -= taken;
        // SAFETY: `taken + len` places hold packets; those left are moved to the front, and the
        // places behind `len` are not looked at again. Needed: DPDK took some by value.
        unsafe { ptr::copy(packets.add(taken), packets, self.len) };
        taken
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Burst {
    type Target = [Mbuf];

    #[inline]
    fn deref(&self) -> &[Mbuf] {
        // SAFETY: the first `len` places hold packets. Needed: the array is not all initialised.
        unsafe { slice::from_raw_parts(self.packets.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Burst {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Mbuf] {
        // SAFETY: as for `deref`, and `self` is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.packets.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Takes the packets out of a [`Burst`].
pub struct Drain<'a> {
    burst: &'a mut Burst,
    /// Places `next..end` hold packets that are this iterator's.
    next: usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.end {
            return None;
        }
        let place = self.burst.packets.get(self.next)?;
        self.next += 1;
        // SAFETY: the place held a packet of ours, and is not looked at again. Needed: the array
        // is not all initialised.
        Some(unsafe { place.assume_init_read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        let left = self.end - self.next;
        if left > 0 {
            // SAFETY: places `next..end` hold packets of ours, which nobody else sees. Needed: as
            // for `Burst::clear`.
            unsafe { free(self.burst.packets.as_mut_ptr().add(self.next), left) };
        }
    }
}

/// Frees `count` packets.
///
/// # Safety
/// There are `count` live packets from `first`, and nobody uses them afterwards.
unsafe fn free(first: *mut MaybeUninit<Mbuf>, count: usize) {
    // SAFETY: the caller's promise; an Mbuf is a pointer to a buffer (repr(transparent)), and
    // count is at most BURST. Needed: the buffers are DPDK's.
    unsafe { sys::tnd_mbuf_free_bulk(first.cast(), u32::try_from(count).unwrap_or(0)) }
}
