//! A packet buffer with one owner.

use std::{fmt, ptr::NonNull, slice};

use tandem_dpdk_sys::{self as sys, mbuf as field};

/// Bytes in front of a packet, in a buffer fresh from the pool or the device: room for headers
/// that grow.
pub const HEADROOM: u16 = sys::TND_HEADROOM;

/// A packet in its buffer. Whoever has it owns it; dropping it returns the buffer to its pool.
///
/// The packet is a *window* into the buffer. [`Mbuf::buf_mut`] is the whole buffer, headroom
/// included, for code that rewrites headers in place and moves the packet's start; it then sets
/// the window anew with [`Mbuf::set_window`].
///
/// There is no second owner, so nothing is freed twice or used after it was freed:
///
/// ```compile_fail,E0382
/// fn twice(packet: tandem_dpdk::Mbuf) {
///     drop(packet);
///     drop(packet);
/// }
/// ```
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<tandem_dpdk::Mbuf>();
/// ```
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: a buffer belongs to no thread; freeing it on another one than that which took it is
// allowed by DPDK. Needed: packets are handed to the worker that owns their flow.
unsafe impl Send for Mbuf {}
// SAFETY: through a shared reference the buffer can only be read. Needed: bursts are slices.
unsafe impl Sync for Mbuf {}

impl Mbuf {
    /// Takes ownership of a buffer.
    ///
    /// # Safety
    /// `raw` is a live buffer that nobody else uses or frees.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Self(raw)
    }

    /// The packet: its first segment if it has several ([`Mbuf::segments`]).
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: the window is inside of the buffer: DPDK keeps it so, and `set_window` checks.
        // The bytes are ours to read while `self` is borrowed, and were initialised when EAL
        // mapped the memory. Needed: the packet is in DPDK's memory.
        unsafe {
            let start = field::buf_addr(raw).byte_add(field::data_off(raw).into());
            slice::from_raw_parts(start.cast(), field::data_len(raw).into())
        }
    }

    /// The packet, to be changed in place.
    #[inline]
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let raw = self.raw();
        // SAFETY: as for `data`, and `self` is borrowed alone.
        unsafe {
            let start = field::buf_addr(raw).byte_add(field::data_off(raw).into());
            slice::from_raw_parts_mut(start.cast(), field::data_len(raw).into())
        }
    }

    /// The whole buffer: headroom, packet, and what is behind it.
    #[inline]
    #[must_use]
    pub fn buf(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: as for `data`: the buffer is `buf_len` bytes from `buf_addr`.
        unsafe { slice::from_raw_parts(field::buf_addr(raw).cast(), field::buf_len(raw).into()) }
    }

    /// The whole buffer, to be changed in place.
    #[inline]
    #[must_use]
    pub fn buf_mut(&mut self) -> &mut [u8] {
        let raw = self.raw();
        // SAFETY: as for `buf`, and `self` is borrowed alone.
        unsafe {
            slice::from_raw_parts_mut(field::buf_addr(raw).cast(), field::buf_len(raw).into())
        }
    }

    /// Where the packet starts in [`Mbuf::buf`].
    #[inline]
    #[must_use]
    pub fn start(&self) -> usize {
        // SAFETY: the buffer is live and ours.
        unsafe { field::data_off(self.raw()) }.into()
    }

    /// Bytes of the packet (in its first segment).
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the buffer is live and ours.
        unsafe { field::data_len(self.raw()) }.into()
    }

    /// Whether the packet has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the packet in all segments.
    #[inline]
    #[must_use]
    pub fn total_len(&self) -> usize {
        // SAFETY: the buffer is live and ours.
        let length = unsafe { field::pkt_len(self.raw()) };
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    /// Segments of the packet. We ask no device to scatter; a packet of more than one is to be
    /// dropped and counted.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> u16 {
        // SAFETY: the buffer is live and ours.
        unsafe { field::nb_segs(self.raw()) }
    }

    /// Says that the packet is the `len` bytes from `start` of [`Mbuf::buf`].
    ///
    /// # Errors
    /// If that is not inside of the buffer, or the packet has several segments; nothing changes.
    #[inline]
    pub fn set_window(&mut self, start: usize, len: usize) -> Result<(), WindowError> {
        let raw = self.raw();
        // SAFETY: the buffer is live and ours; the window is checked against the buffer, and
        // both lengths are set alike. Needed: the fields are DPDK's.
        unsafe {
            let (Ok(start), Ok(len)) = (u16::try_from(start), u16::try_from(len)) else {
                return Err(WindowError);
            };
            let inside = start
                .checked_add(len)
                .is_some_and(|end| end <= field::buf_len(raw));
            if !inside || field::nb_segs(raw) != 1 {
                return Err(WindowError);
            }
            field::set_data_off(raw, start);
            field::set_data_len(raw, len);
            field::set_pkt_len(raw, len.into());
        }
        Ok(())
    }

    /// Makes `bytes` the packet, after the headroom.
    ///
    /// # Errors
    /// If they do not fit; nothing changes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WindowError> {
        let start = usize::from(HEADROOM);
        self.set_window(start, bytes.len())?;
        self.data_mut().copy_from_slice(bytes);
        Ok(())
    }

    /// DPDK's number of the port that received it.
    #[inline]
    #[must_use]
    pub fn port(&self) -> u16 {
        // SAFETY: the buffer is live and ours.
        unsafe { field::port(self.raw()) }
    }

    /// The 802.1Q tag control information, if the device took the tag out of the packet.
    #[inline]
    #[must_use]
    pub fn stripped_vlan(&self) -> Option<u16> {
        // SAFETY: the buffer is live and ours.
        unsafe {
            let stripped = field::ol_flags(self.raw()) & sys::TND_RX_VLAN_STRIPPED != 0;
            stripped.then(|| field::vlan_tci(self.raw()))
        }
    }

    /// The device's receive-side scaling hash, if it gave one.
    #[inline]
    #[must_use]
    pub fn rss_hash(&self) -> Option<u32> {
        // SAFETY: the buffer is live and ours.
        unsafe {
            let hashed = field::ol_flags(self.raw()) & sys::TND_RX_RSS_HASH != 0;
            hashed.then(|| field::rss_hash(self.raw()))
        }
    }

    /// What the device says of the packet's checksums.
    #[inline]
    #[must_use]
    pub fn rx_checksums(&self) -> RxChecksums {
        // SAFETY: the buffer is live and ours.
        let flags = unsafe { field::ol_flags(self.raw()) };
        if flags & (sys::TND_RX_IP_CKSUM_MASK | sys::TND_RX_L4_CKSUM_MASK) == 0 {
            // As devices without the ability say it.
            return RxChecksums {
                ip: Checksum::Unknown,
                l4: Checksum::Unknown,
            };
        }
        RxChecksums {
            ip: match flags & sys::TND_RX_IP_CKSUM_MASK {
                sys::TND_RX_IP_CKSUM_GOOD => Checksum::Good,
                sys::TND_RX_IP_CKSUM_BAD => Checksum::Bad,
                sys::TND_RX_IP_CKSUM_NONE => Checksum::Absent,
                _ => Checksum::Unknown,
            },
            l4: match flags & sys::TND_RX_L4_CKSUM_MASK {
                sys::TND_RX_L4_CKSUM_GOOD => Checksum::Good,
                sys::TND_RX_L4_CKSUM_BAD => Checksum::Bad,
                sys::TND_RX_L4_CKSUM_NONE => Checksum::Absent,
                _ => Checksum::Unknown,
            },
        }
    }

    /// Says which checksums the sending device shall fill in; anything asked before, and what the
    /// receiving device said, is forgotten. `None` of them for a packet that is ready to go.
    #[inline]
    pub fn set_tx_checksums(&mut self, checksums: TxChecksums) {
        let raw = self.raw();
        let TxChecksums {
            ipv4,
            udp,
            ipv6,
            l2_len,
            l3_len,
        } = checksums;
        if !ipv4 && !udp {
            // The lengths are in a cache line that nobody else needs; without a flag they mean nothing.
            // SAFETY: as below.
            unsafe { field::set_ol_flags(raw, field::ol_flags(raw) & sys::TND_BUFFER_FLAGS) };
            return;
        }
        let mut flags = 0;
        if ipv4 || udp {
            flags |= if ipv6 {
                sys::TND_TX_IPV6
            } else {
                sys::TND_TX_IPV4
            };
        }
        if ipv4 && !ipv6 {
            flags |= sys::TND_TX_IP_CKSUM;
        }
        if udp {
            flags |= sys::TND_TX_UDP_CKSUM;
        }
        let lengths = (u64::from(l2_len) & ((1 << sys::TND_L2_LEN_BITS) - 1))
            | ((u64::from(l3_len) & ((1 << sys::TND_L3_LEN_BITS) - 1)) << sys::TND_L2_LEN_BITS);
        // SAFETY: the buffer is live and ours; the flags that say whose memory it is are kept.
        // Needed: the fields are DPDK's.
        unsafe {
            let kept = field::ol_flags(raw) & sys::TND_BUFFER_FLAGS;
            field::set_ol_flags(raw, kept | flags);
            field::set_tx_offload(raw, lengths);
        }
    }

    /// Asks the CPU to fetch the packet's first cache line.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.data().as_ptr().cast());
    }

    #[inline(always)]
    fn raw(&self) -> *mut sys::rte_mbuf {
        self.0.as_ptr()
    }
}

/// Asks the CPU to fetch a cache line of any memory: a hint, that never faults.
#[inline]
pub fn prefetch(line: *const ()) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction may be given any address. Needed: there is no safe form.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the one owner lets go of a live buffer, once. Needed: it is not Rust's memory.
        unsafe { sys::tnd_mbuf_free(self.raw()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("port", &self.port())
            .field("start", &self.start())
            .field("len", &self.len())
            .field("segments", &self.segments())
            .finish()
    }
}

/// A checksum, as the receiving device saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The device did not look.
    Unknown,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// Not right in the packet, but the packet is: it never was on a wire (virtual devices).
    Absent,
}

/// What the receiving device says of a packet's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxChecksums {
    /// IPv4 header checksum.
    pub ip: Checksum,
    /// UDP or TCP checksum.
    pub l4: Checksum,
}

/// Checksums that the sending device shall fill in; only what [`crate::PortReport`] says that it
/// can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxChecksums {
    /// The IPv4 header checksum; the field is 0 in the packet.
    pub ipv4: bool,
    /// The UDP checksum; the field holds the pseudo header's sum in the packet.
    pub udp: bool,
    /// The packet is IPv6.
    pub ipv6: bool,
    /// Bytes of the Ethernet header, VLAN tags included; up to 127.
    pub l2_len: u8,
    /// Bytes of the IP header; up to 511.
    pub l3_len: u16,
}

/// A window that is not inside of the buffer, or a packet of several segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window is not inside of a buffer of one segment")]
pub struct WindowError;
