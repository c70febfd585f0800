//! RTCP (RFC 3550 section 6): a compound packet's bounds, and how to tell it from RTP.

/// Bytes of a packet's header.
pub const HEADER: usize = 4;
/// Packet type: sender report.
pub const SENDER_REPORT: u8 = 200;
/// Packet type: receiver report.
pub const RECEIVER_REPORT: u8 = 201;

/// Why bytes are not RTCP. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    /// Ends before a header or a packet does, or bytes are left over.
    Truncated,
    /// Not version 2.
    Version,
    /// A type that RFC 5761 does not leave to RTCP (192 to 223).
    Type,
    /// Padding in another packet than the last, or a count that makes no sense.
    Padding,
}

/// Whether a datagram on a port that carries both is RTCP (RFC 5761 section 4): its second byte is
/// a packet type of 192 to 223. As RTP that would be a payload type of 64 to 95 with the marker.
#[inline]
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [_, 192..=223, ..])
}

/// Checks only the first packet's header and bounds: all that is in the clear when SRTCP passes
/// through (RFC 3711 section 3.4).
///
/// # Errors
/// Says what is wrong with it; never [`RtcpError::Padding`].
#[inline]
pub fn check_first(datagram: &[u8]) -> Result<(), RtcpError> {
    match datagram.first() {
        None => return Err(RtcpError::Truncated),
        Some(first) if first >> 6 != 2 => return Err(RtcpError::Version),
        Some(_) => {}
    }
    let (packet, _) = Packet::split(datagram).ok_or(RtcpError::Truncated)?;
    if (192..=223).contains(&packet.packet_type()) {
        Ok(())
    } else {
        Err(RtcpError::Type)
    }
}

/// A compound packet whose bounds were checked (RFC 3550 appendix A.2). Reduced-size RTCP, that
/// does not begin with a report, is taken (RFC 5506).
#[derive(Clone, Copy, Debug)]
pub struct Rtcp<'a> {
    bytes: &'a [u8],
}

impl<'a> Rtcp<'a> {
    /// Checks a datagram.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtcpError> {
        let mut rest = bytes;
        loop {
            // The version first: what is not RTCP at all may be short.
            match rest.first() {
                None => return Err(RtcpError::Truncated),
                Some(first) if first >> 6 != 2 => return Err(RtcpError::Version),
                Some(_) => {}
            }
            let (packet, behind) = Packet::split(rest).ok_or(RtcpError::Truncated)?;
            if !(192..=223).contains(&packet.packet_type()) {
                return Err(RtcpError::Type);
            }
            if packet.header[0] & 0x20 != 0 {
                let count = usize::from(packet.body.last().copied().unwrap_or(0));
                let fits = count > 0 && count <= packet.body.len() && count.is_multiple_of(4);
                if !behind.is_empty() || !fits {
                    return Err(RtcpError::Padding);
                }
            }
            if behind.is_empty() {
                return Ok(Self { bytes });
            }
            rest = behind;
        }
    }

    /// The packets in it.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (packet, behind) = Packet::split(rest)?;
            rest = behind;
            Some(packet)
        })
    }

    /// Whether it begins without a report (RFC 5506).
    #[must_use]
    pub fn is_reduced_size(&self) -> bool {
        !matches!(self.bytes, [_, SENDER_REPORT | RECEIVER_REPORT, ..])
    }
}

/// One packet of a compound packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: &'a [u8; HEADER],
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]])) * 4;
        let (body, rest) = rest.split_at_checked(length)?;
        Some((Self { header, body }, rest))
    }

    /// Its type.
    #[must_use]
    pub fn packet_type(&self) -> u8 {
        self.header[1]
    }

    /// Its report or source count, or a subtype.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.header[0] & 0x1f
    }

    /// What is behind its header, padding included.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What a sender says of its clock; none if this is no sender report (section 6.4.1), or too short for one.
    #[must_use]
    pub fn sender(&self) -> Option<SenderInfo> {
        if self.packet_type() != SENDER_REPORT {
            return None;
        }
        let (words, _) = self.body.as_chunks::<4>();
        let [ssrc, high, low, timestamp, packets, octets] =
            words.first_chunk::<6>()?.map(u32::from_be_bytes);
        Some(SenderInfo {
            ssrc,
            ntp: u64::from(high) << 32 | u64::from(low),
            timestamp,
            packets,
            octets,
        })
    }

    /// The report blocks of a sender or receiver report: as many as its count says and as are whole.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        let before = match self.packet_type() {
            SENDER_REPORT => Some(SENDER_INFO),
            RECEIVER_REPORT => Some(4),
            _ => None,
        };
        let blocks = before
            .and_then(|before| self.body.get(before..))
            .unwrap_or_default();
        let (blocks, _) = blocks.as_chunks::<REPORT_BLOCK>();
        blocks
            .iter()
            .take(self.count().into())
            .map(ReportBlock::read)
    }
}

/// Bytes of a sender report's source and sender information.
const SENDER_INFO: usize = 24;
/// Bytes of a report block.
const REPORT_BLOCK: usize = 24;

/// What a sender report says of its sender (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// When it was sent, by the sender's clock: an NTP timestamp.
    pub ntp: u64,
    /// The same moment in RTP timestamp units.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

impl SenderInfo {
    /// The middle 32 bits of the NTP timestamp: what a report block repeats as its LSR.
    #[must_use]
    pub const fn middle(&self) -> u32 {
        (self.ntp >> 16) as u32
    }
}

/// What a receiver says of a stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream's synchronisation source.
    pub ssrc: u32,
    /// Packets lost since the last report, in 1/256 of those expected.
    pub fraction_lost: u8,
    /// Packets lost in all: a signed number of 24 bits, below 0 when packets came twice.
    pub lost: i32,
    /// The highest sequence number received, with the cycles.
    pub highest: u32,
    /// Interarrival jitter, in RTP timestamp units.
    pub jitter: u32,
    /// The middle of the last sender report's NTP timestamp; 0 for none.
    pub last_report: u32,
    /// How long ago that came, in 1/65,536 s.
    pub delay: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8; REPORT_BLOCK]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_be_bytes(*word));
        let loss = word(1);
        Self {
            ssrc: word(0),
            fraction_lost: (loss >> 24) as u8,
            // The sign is at bit 23.
            lost: (loss << 8) as i32 >> 8,
            highest: word(2),
            jitter: word(3),
            last_report: word(4),
            delay: word(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];
    const BYE: [u8; 8] = [0x81, 203, 0, 1, 0, 0, 0, 9];

    #[test]
    fn of_srtcp_only_the_first_header_is_looked_at() {
        let encrypted = [&RR[..], &[0x17; 14]].concat();
        assert!(Rtcp::parse(&encrypted).is_err());
        assert_eq!(check_first(&encrypted), Ok(()));
        assert_eq!(check_first(&RR[..7]), Err(RtcpError::Truncated));
        assert_eq!(check_first(&[0x40, 201, 0, 0]), Err(RtcpError::Version));
        assert_eq!(check_first(&[0x80, 0, 0, 0]), Err(RtcpError::Type));
    }

    #[test]
    fn a_compound_packet_is_walked_through() {
        let bytes = [RR, BYE].concat();
        let view = Rtcp::parse(&bytes).unwrap();
        assert!(!view.is_reduced_size());
        let types: Vec<_> = view
            .packets()
            .map(|p| (p.packet_type(), p.count(), p.body().len()))
            .collect();
        assert_eq!(types, [(201, 0, 4), (203, 1, 4)]);
        assert!(Rtcp::parse(&BYE).unwrap().is_reduced_size());
    }

    #[test]
    fn each_mistake_has_its_name() {
        let error = |bytes: &[u8]| Rtcp::parse(bytes).unwrap_err();
        assert_eq!(error(&[]), RtcpError::Truncated);
        assert_eq!(error(&RR[..3]), RtcpError::Truncated);
        assert_eq!(error(&RR[..7]), RtcpError::Truncated);
        assert_eq!(error(&[&RR[..], &[0x80]].concat()), RtcpError::Truncated);
        assert_eq!(error(&[0x40, 201, 0, 0]), RtcpError::Version);
        assert_eq!(
            error(&[&RR[..], &[0, 0, 0, 0]].concat()),
            RtcpError::Version
        );
        assert_eq!(error(&[0x80, 100, 0, 0]), RtcpError::Type);
        assert_eq!(error(&[0xa0, 201, 0, 1, 0, 0, 0, 0]), RtcpError::Padding);
        assert_eq!(error(&[0xa0, 201, 0, 1, 0, 0, 0, 3]), RtcpError::Padding);
        assert_eq!(error(&[0xa0, 201, 0, 0]), RtcpError::Padding);
        let first = [0xa0, 201, 0, 1, 0, 0, 0, 4];
        assert_eq!(error(&[first, BYE].concat()), RtcpError::Padding);
        assert!(Rtcp::parse(&[BYE, first].concat()).is_ok());
    }

    #[test]
    fn reports_say_what_they_say() {
        let mut sender = vec![0x81, 200, 0, 12, 0, 0, 0, 7];
        for word in [0x0001_0203, 0x0405_0607, 160, 3, 480] {
            sender.extend(u32::to_be_bytes(word));
        }
        let block = [9u32, 0x40_ff_ff_fe, 0x0001_0005, 24, 0x0203_0405, 65_536];
        sender.extend(block.iter().flat_map(|word| word.to_be_bytes()));
        // A receiver report says that it has two blocks and has one.
        let mut receiver = vec![0x82, 201, 0, 7, 0, 0, 0, 8];
        receiver.extend(block.iter().flat_map(|word| word.to_be_bytes()));
        let bytes = [sender, receiver, BYE.to_vec()].concat();
        let packets: Vec<_> = Rtcp::parse(&bytes).unwrap().packets().collect();
        let info = packets[0].sender().unwrap();
        assert_eq!(info.middle(), 0x0203_0405);
        assert_eq!(
            (info.ssrc, info.timestamp, info.packets, info.octets),
            (7, 160, 3, 480)
        );
        let expected = ReportBlock {
            ssrc: 9,
            fraction_lost: 64,
            lost: -2,
            highest: 0x0001_0005,
            jitter: 24,
            last_report: 0x0203_0405,
            delay: 65_536,
        };
        for (packet, blocks) in packets.iter().zip([1, 1, 0]) {
            assert_eq!(packet.blocks().collect::<Vec<_>>(), vec![expected; blocks]);
        }
        assert_eq!((packets[1].sender(), packets[2].sender()), (None, None));
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_type() {
        for (second, rtcp) in [
            (0u8, false),
            (127, false),
            (128 + 63, false),
            (192, true),
            (223, true),
            (224, false),
        ] {
            assert_eq!(is_rtcp(&[0x80, second]), rtcp, "{second}");
        }
        assert!(!is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | *first & 0x3f;
            }
            if let Ok(view) = Rtcp::parse(&bytes) {
                let length: usize = view.packets().map(|p| HEADER + p.body().len()).sum();
                prop_assert_eq!(length, bytes.len());
                for packet in view.packets() {
                    let blocks = packet.blocks().count();
                    prop_assert!(blocks <= usize::from(packet.count()) && 24 * blocks <= packet.body().len());
                    let _ = packet.sender();
                }
            }
        }
    }
}
