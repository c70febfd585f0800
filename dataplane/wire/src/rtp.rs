//! RTP headers (RFC 3550 section 5.1), and what tells RTP from RTCP (RFC 5761).

/// Why bytes are not RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its header, CSRC list, extension or padding.
    Truncated,
    /// Not version 2.
    Version,
}

/// An RTP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// The marker bit.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes of header, CSRC list and extension.
    pub header_length: usize,
}

impl Rtp {
    /// Reads a UDP payload as RTP: version, CSRC list, extension and padding must fit.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] =
            *payload.first_chunk::<12>().ok_or(Error::Truncated)?;
        if first >> 6 != 2 {
            return Err(Error::Version);
        }
        let mut header_length = 12 + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let extension = payload.get(header_length..).and_then(<[u8]>::first_chunk::<4>);
            let [_, _, l0, l1] = *extension.ok_or(Error::Truncated)?;
            header_length += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        }
        let padding = if first & 0x20 == 0 {
            0
        } else {
            // The last byte counts itself.
            match payload.last() {
                Some(0) | None => return Err(Error::Truncated),
                Some(count) => usize::from(*count),
            }
        };
        if header_length + padding > payload.len() {
            return Err(Error::Truncated);
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            header_length,
        })
    }
}

/// The clock rate of a payload type (RFC 3551 section 6), in Hz. A dynamic type's is not known here: 8,000,
/// as most telephony codecs have; jitter in milliseconds of others scales with their real rate.
#[inline]
#[must_use]
pub const fn clock_rate(payload_type: u8) -> u32 {
    match payload_type {
        6 => 16_000,
        10 | 11 => 44_100,
        14 | 25 | 26 | 28 | 31..=34 => 90_000,
        16 => 11_025,
        17 => 22_050,
        _ => 8_000,
    }
}

/// Whether a packet on a port that RTP and RTCP share is RTCP (RFC 5761 section 4): packet types 192 to
/// 223.
#[inline]
#[must_use]
pub fn is_rtcp(payload: &[u8]) -> bool {
    matches!(payload, [first, 192..=223, ..] if first >> 6 == 2)
}
