//! RTCP packets (RFC 3550 section 6 and appendix A.2, RFC 5506).

/// Why bytes are not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than a header or than its packets' lengths say.
    Truncated,
    /// A packet of the compound is not version 2.
    Version,
    /// The first packet's type is not one of RTCP's (192 to 223).
    PacketType,
}

/// Checks a compound packet: every packet's version, and lengths that fill the datagram. The first one need
/// not be a report (RFC 5506), and what follows the first may be encrypted (SRTCP): then only the first is
/// looked at.
///
/// # Errors
/// See [`Error`].
#[inline]
pub fn check(payload: &[u8]) -> Result<(), Error> {
    let [first, packet_type, l0, l1] = *payload.first_chunk::<4>().ok_or(Error::Truncated)?;
    if first >> 6 != 2 {
        return Err(Error::Version);
    }
    if !(192..=223).contains(&packet_type) {
        return Err(Error::PacketType);
    }
    let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
    if length > payload.len() { Err(Error::Truncated) } else { Ok(()) }
}
