//! A classic pcap file: nanosecond time stamps, Ethernet. The file header is 24 bytes and each
//! record's 16, so it is written here by hand rather than by a library.

use std::io::{self, Write};

/// The magic number of a file with nanosecond time stamps.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// LINKTYPE_ETHERNET
const ETHERNET: u32 = 1;
/// The longest packet that the file may have.
const SNAPLEN: u32 = 262_144;

/// A pcap file being written.
pub(crate) struct Pcap<W: Write> {
    out: W,
}

impl<W: Write> Pcap<W> {
    /// Begins the file.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        out.write_all(&2u16.to_le_bytes())?;
        out.write_all(&4u16.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        out.write_all(&SNAPLEN.to_le_bytes())?;
        out.write_all(&ETHERNET.to_le_bytes())?;
        Ok(Self { out })
    }

    /// Adds a packet of `length` bytes on the wire, of which `data` was kept.
    pub(crate) fn packet(&mut self, timestamp_ns: u64, length: u32, data: &[u8]) -> io::Result<()> {
        let low = |v: u64| u32::try_from(v & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        self.out
            .write_all(&low(timestamp_ns / 1_000_000_000).to_le_bytes())?;
        self.out
            .write_all(&low(timestamp_ns % 1_000_000_000).to_le_bytes())?;
        self.out
            .write_all(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(data)
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_format_s() {
        let mut bytes = Vec::new();
        let mut file = Pcap::new(&mut bytes).unwrap();
        file.packet(3_000_000_007, 60, &[1, 2, 3]).unwrap();
        file.flush().unwrap();
        assert_eq!(bytes.len(), 24 + 16 + 3);
        assert_eq!(bytes[24..28], 3u32.to_le_bytes());
        assert_eq!(bytes[28..32], 7u32.to_le_bytes());
        assert_eq!(bytes[32..36], 3u32.to_le_bytes());
        assert_eq!(bytes[36..40], 60u32.to_le_bytes());
    }
}
