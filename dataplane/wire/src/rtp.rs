//! RTP (RFC 3550 section 5.1).

use std::ops::Deref;

/// Bytes of the fixed header.
pub const HEADER: usize = 12;

/// Why bytes are not an RTP packet. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    /// Ends before its header, its contributing sources or its extension do.
    Truncated,
    /// Not version 2.
    Version,
    /// A padding count of 0 or above the payload's length.
    Padding,
}

/// A packet's fixed header.
#[derive(Clone, Copy, Debug)]
pub struct RtpHeader<'a>(&'a [u8; HEADER]);

/// A packet whose bounds were checked (RFC 3550 appendix A.1).
#[derive(Clone, Copy, Debug)]
pub struct Rtp<'a> {
    header: RtpHeader<'a>,
    csrc: &'a [[u8; 4]],
    extension: Option<(u16, &'a [u8])>,
    payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// Checks a packet.
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        match bytes.split_first_chunk::<HEADER>() {
            Some((header, payload)) if let Some(header) = RtpHeader::plain(header) => Ok(Self {
                header,
                csrc: &[],
                extension: None,
                payload,
            }),
            _ => Self::parse_any(bytes),
        }
    }

    #[inline(never)]
    fn parse_any(bytes: &'a [u8]) -> Result<Self, RtpError> {
        // The version first: what is not RTP at all may be short.
        match bytes.first() {
            None => return Err(RtpError::Truncated),
            Some(first) if first >> 6 != 2 => return Err(RtpError::Version),
            Some(_) => {}
        }
        let (header, rest) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(RtpError::Truncated)?;
        let csrc = usize::from(header[0] & 0x0f) * 4;
        let (csrc, rest) = rest.split_at_checked(csrc).ok_or(RtpError::Truncated)?;
        let (extension, rest) = if header[0] & 0x10 == 0 {
            (None, rest)
        } else {
            let ([a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
            let length = usize::from(u16::from_be_bytes([*c, *d])) * 4;
            let (data, rest) = rest.split_at_checked(length).ok_or(RtpError::Truncated)?;
            (Some((u16::from_be_bytes([*a, *b]), data)), rest)
        };
        let payload = if header[0] & 0x20 == 0 {
            rest
        } else {
            let padding = usize::from(rest.last().copied().unwrap_or(0));
            match rest.len().checked_sub(padding) {
                Some(length) if padding > 0 => rest.get(..length).unwrap_or_default(),
                _ => return Err(RtpError::Padding),
            }
        };
        Ok(Self {
            header: RtpHeader(header),
            csrc: csrc.as_chunks().0,
            extension,
            payload,
        })
    }

    /// The contributing sources.
    pub fn csrc(&self) -> impl Iterator<Item = u32> + 'a {
        self.csrc.iter().map(|&bytes| u32::from_be_bytes(bytes))
    }

    /// The header extension: its profile's number and its data.
    #[inline]
    #[must_use]
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        self.extension
    }

    /// The payload without padding.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl<'a> Deref for Rtp<'a> {
    type Target = RtpHeader<'a>;

    #[inline]
    fn deref(&self) -> &RtpHeader<'a> {
        &self.header
    }
}

impl<'a> RtpHeader<'a> {
    /// The header of nearly every packet: version 2, no padding, no extension, no contributing source, so that all behind it is
    /// payload. None of any other.
    #[inline(always)]
    pub fn plain(bytes: &'a [u8; HEADER]) -> Option<Self> {
        (bytes[0] == 0x80).then_some(Self(bytes))
    }

    /// The marker.
    #[inline]
    #[must_use]
    pub fn marker(&self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// The payload type, 0 to 127.
    #[inline]
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.0[1] & 0x7f
    }

    /// The sequence number.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// The timestamp, in units of the payload's clock.
    #[inline]
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        let h = self.0;
        u32::from_be_bytes([h[4], h[5], h[6], h[7]])
    }

    /// The synchronisation source.
    #[inline]
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        let h = self.0;
        u32::from_be_bytes([h[8], h[9], h[10], h[11]])
    }
}

/// A packet to be written, without contributing sources and extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpRepr {
    /// The marker.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl RtpRepr {
    /// Writes the header; returns what is behind it, or nothing if there is no room.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER>()?;
        let second = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        let [s, t] = self.sequence.to_be_bytes();
        let ([a, b, c, d], [e, f, g, h]) = (self.timestamp.to_be_bytes(), self.ssrc.to_be_bytes());
        *header = [0x80, second, s, t, a, b, c, d, e, f, g, h];
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_mistake_has_its_name() {
        assert_eq!(Rtp::parse(&[]).unwrap_err(), RtpError::Truncated);
        assert_eq!(Rtp::parse(&[0x80; 11]).unwrap_err(), RtpError::Truncated);
        assert_eq!(Rtp::parse(&[0x40; 20]).unwrap_err(), RtpError::Version);
        assert_eq!(Rtp::parse(&[0x00]).unwrap_err(), RtpError::Version);
        let mut bytes = [0u8; 20];
        bytes[0] = 0x83; // three sources: 12 bytes, and 8 are there
        assert_eq!(Rtp::parse(&bytes).unwrap_err(), RtpError::Truncated);
        bytes[0] = 0x90;
        bytes[15] = 2; // two words of extension: 8 bytes, and 4 are there
        assert_eq!(Rtp::parse(&bytes).unwrap_err(), RtpError::Truncated);
        bytes[0] = 0xa0;
        assert_eq!(Rtp::parse(&bytes).unwrap_err(), RtpError::Padding);
        bytes[19] = 9;
        assert_eq!(Rtp::parse(&bytes).unwrap_err(), RtpError::Padding);
        bytes[19] = 8;
        assert_eq!(Rtp::parse(&bytes).unwrap().payload(), b"");
        assert_eq!(
            Rtp::parse(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err(),
            RtpError::Padding
        );
    }

    #[test]
    fn sources_extension_and_padding_are_taken_apart() {
        let mut bytes = vec![0xb2, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 5]);
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend(b"speech");
        bytes.extend([0, 0, 3]);
        let view = Rtp::parse(&bytes).unwrap();
        assert!(view.marker());
        assert_eq!(
            (
                view.payload_type(),
                view.sequence(),
                view.timestamp(),
                view.ssrc()
            ),
            (0, 1, 2, 3)
        );
        assert_eq!(view.csrc().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(view.extension(), Some((0xbede, &[1, 2, 3, 4][..])));
        assert_eq!(view.payload(), b"speech");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(view) = Rtp::parse(&bytes) {
                let extension = view.extension().map_or(0, |(_, data)| 4 + data.len());
                let length = HEADER + view.csrc().count() * 4 + extension + view.payload().len();
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn what_was_written_is_read(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
        ) {
            let repr = RtpRepr { marker, payload_type, sequence, timestamp, ssrc };
            let mut bytes = [0u8; 13];
            repr.emit(&mut bytes).unwrap();
            let view = Rtp::parse(&bytes).unwrap();
            prop_assert_eq!(view.marker(), marker);
            prop_assert_eq!(view.payload_type(), payload_type);
            prop_assert_eq!(view.sequence(), sequence);
            prop_assert_eq!(view.timestamp(), timestamp);
            prop_assert_eq!(view.ssrc(), ssrc);
        }
    }
}
