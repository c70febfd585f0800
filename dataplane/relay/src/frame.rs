//! A frame in its buffer.

use std::fmt;
use std::ops::Range;

use tandem_wire::ethernet;

/// A checksum, as the receiving device saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The device did not look.
    #[default]
    Unknown,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// Not right in the packet, but the packet is: it never was on a wire (virtual devices).
    Absent,
}

/// What the receiving device says of a frame's checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxChecksums {
    /// The IPv4 header checksum.
    pub ip: Checksum,
    /// The UDP checksum.
    pub udp: Checksum,
}

/// A frame: a window into its whole buffer, headroom included, so that headers can grow in place.
#[derive(Default)]
pub struct Frame<'a> {
    buffer: &'a mut [u8],
    start: usize,
    len: usize,
    received: RxChecksums,
}

impl<'a> Frame<'a> {
    /// The `len` bytes from `start` of `buffer`; none if they are not inside of it.
    #[inline]
    #[must_use]
    pub fn new(
        buffer: &'a mut [u8],
        start: usize,
        len: usize,
        received: RxChecksums,
    ) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= buffer.len()).then_some(Self {
            buffer,
            start,
            len,
            received,
        })
    }

    /// The frame, from its Ethernet header.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    /// Where the frame starts in the buffer.
    #[inline]
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Its length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the receiving device said of its checksums.
    #[inline]
    #[must_use]
    pub fn received(&self) -> RxChecksums {
        self.received
    }

    /// A part of the whole buffer.
    pub(crate) fn payload(&self, place: &Range<usize>) -> &[u8] {
        self.buffer.get(place.clone()).unwrap_or_default()
    }

    /// Makes these bytes the frame, from where it starts. Whether there is room.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(place) = self.room(0, 0, bytes.len()) else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.set(0, 0, bytes.len());
        true
    }

    /// The first `N` bytes from `before` bytes in front of frame offset `at`, and the rest of the frame; none if the frame is shorter,
    /// or the buffer has no room in front.
    #[inline(always)]
    pub(crate) fn head<const N: usize>(
        &mut self,
        at: usize,
        before: usize,
    ) -> Option<(&mut [u8; N], &mut [u8])> {
        let start = (self.start + at).checked_sub(before)?;
        let window = self.buffer.get_mut(start..self.start + self.len)?;
        window.split_first_chunk_mut()
    }

    /// The window from `len` bytes in front of frame offset `at` to frame offset `end`; none if the
    /// buffer has no room. The frame is as it was until [`Frame::set`].
    #[inline(always)]
    pub(crate) fn room(&mut self, at: usize, len: usize, end: usize) -> Option<&mut [u8]> {
        let start = self.start.checked_add(at)?.checked_sub(len)?;
        let end = self.start.checked_add(end)?;
        self.buffer.get_mut(start..end)
    }

    /// Makes the frame what [`Frame::room`] showed.
    #[inline(always)]
    pub(crate) fn set(&mut self, at: usize, len: usize, end: usize) {
        let Some(start) = (self.start + at).checked_sub(len) else {
            return;
        };
        self.len = (self.start + end).saturating_sub(start);
        self.start = start;
    }
}

impl Frame<'_> {
    /// Takes the VLAN tag out: the addresses move up to the EtherType behind it.
    pub(crate) fn strip_tag(&mut self) {
        let window = self
            .buffer
            .get_mut(self.start..self.start + self.len)
            .unwrap_or_default();
        if window.len() >= ethernet::HEADER + ethernet::TAG {
            window.copy_within(..12, ethernet::TAG);
            self.start += ethernet::TAG;
            self.len -= ethernet::TAG;
        }
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("start", &self.start)
            .field("len", &self.len)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
