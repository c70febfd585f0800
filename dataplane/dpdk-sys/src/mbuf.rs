//! A packet buffer's fields, read and written in place.
//!
//! Going through a C function for every field would cost a call each on the packet's path, and
//! naming the fields through the generated structure would break with every release that nests
//! them anew; so they are reached by offset, and the offsets are the C compiler's.

use core::ffi::c_void;

use crate::{
    TND_MBUF_BUF_ADDR, TND_MBUF_BUF_LEN, TND_MBUF_DATA_LEN, TND_MBUF_DATA_OFF, TND_MBUF_NB_SEGS,
    TND_MBUF_OL_FLAGS, TND_MBUF_PKT_LEN, TND_MBUF_PORT, TND_MBUF_REFCNT, TND_MBUF_RSS_HASH,
    TND_MBUF_TX_OFFLOAD, TND_MBUF_VLAN_TCI, rte_mbuf,
};

macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $offset:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `mbuf` points to a live packet buffer that no other thread writes to.
        #[inline(always)]
        #[must_use]
        pub unsafe fn $name(mbuf: *const rte_mbuf) -> $type {
            // SAFETY: the caller vouches for the buffer; the field is inside of it at this offset
            // and has this width and alignment (tests/layout.rs). Needed: the buffer is C's.
            unsafe { mbuf.byte_add($offset as usize).cast::<$type>().read() }
        }
    )*};
}

macro_rules! writers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $offset:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `mbuf` points to a live packet buffer that nobody else uses, and the value keeps what
        /// DPDK expects of it: the window inside of the buffer, the length equal in both fields.
        #[inline(always)]
        pub unsafe fn $name(mbuf: *mut rte_mbuf, value: $type) {
            // SAFETY: as for the reader of the same field.
            unsafe { mbuf.byte_add($offset as usize).cast::<$type>().write(value) }
        }
    )*};
}

readers! {
    /// The buffer's first byte: the start of the headroom.
    buf_addr: *mut c_void = TND_MBUF_BUF_ADDR;
    /// Bytes in the buffer, headroom included.
    buf_len: u16 = TND_MBUF_BUF_LEN;
    /// Where the packet starts in the buffer.
    data_off: u16 = TND_MBUF_DATA_OFF;
    /// Bytes of the packet in this segment.
    data_len: u16 = TND_MBUF_DATA_LEN;
    /// Bytes of the packet in all segments.
    pkt_len: u32 = TND_MBUF_PKT_LEN;
    /// Segments of the packet; 1 unless the device scattered it.
    nb_segs: u16 = TND_MBUF_NB_SEGS;
    /// Owners of the buffer.
    refcnt: u16 = TND_MBUF_REFCNT;
    /// The port that received it.
    port: u16 = TND_MBUF_PORT;
    /// Offload flags in both directions.
    ol_flags: u64 = TND_MBUF_OL_FLAGS;
    /// The VLAN tag that the device took off, if the flags say that it did.
    vlan_tci: u16 = TND_MBUF_VLAN_TCI;
    /// The receive-side scaling hash, if the flags say that there is one.
    rss_hash: u32 = TND_MBUF_RSS_HASH;
    /// Header lengths for offloads, as a bit field.
    tx_offload: u64 = TND_MBUF_TX_OFFLOAD;
}

writers! {
    /// Sets where the packet starts in the buffer.
    set_data_off: u16 = TND_MBUF_DATA_OFF;
    /// Sets the bytes of the packet in this segment.
    set_data_len: u16 = TND_MBUF_DATA_LEN;
    /// Sets the bytes of the packet in all segments.
    set_pkt_len: u32 = TND_MBUF_PKT_LEN;
    /// Sets the offload flags in both directions.
    set_ol_flags: u64 = TND_MBUF_OL_FLAGS;
    /// Sets the header lengths for offloads.
    set_tx_offload: u64 = TND_MBUF_TX_OFFLOAD;
}
