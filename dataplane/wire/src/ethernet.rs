//! Ethernet II with at most one 802.1Q tag.

/// An Ethernet address.
pub type Mac = [u8; 6];

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;

/// Bytes of the header without a tag.
pub const HEADER: usize = 14;
/// Bytes of a tag.
pub const TAG: usize = 4;

/// The frame ends before its header does: the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// A frame that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a> {
    header: &'a [u8; HEADER],
    tag: Option<u16>,
    ethertype: u16,
    payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Checks a frame. Of several tags only the outer one is taken off.
    ///
    /// # Errors
    /// If it is too short.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<Self, Truncated> {
        let (header, payload) = frame.split_first_chunk::<HEADER>().ok_or(Truncated)?;
        let [.., high, low] = *header;
        let ethertype = u16::from_be_bytes([high, low]);
        if ethertype != VLAN {
            return Ok(Self {
                header,
                tag: None,
                ethertype,
                payload,
            });
        }
        let ([a, b, c, d], payload) = payload.split_first_chunk::<TAG>().ok_or(Truncated)?;
        let tag = Some(u16::from_be_bytes([*a, *b]));
        Ok(Self {
            header,
            tag,
            ethertype: u16::from_be_bytes([*c, *d]),
            payload,
        })
    }

    /// Who it is for.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = *self.header;
        [a, b, c, d, e, f]
    }

    /// Who sent it.
    #[inline]
    #[must_use]
    pub fn source(&self) -> Mac {
        let [_, _, _, _, _, _, a, b, c, d, e, f, _, _] = *self.header;
        [a, b, c, d, e, f]
    }

    /// The tag control information: priority, drop eligibility and VLAN.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Option<u16> {
        self.tag
    }

    /// The VLAN; none for untagged and for priority-tagged frames (VLAN 0).
    #[inline]
    #[must_use]
    pub fn vlan(&self) -> Option<u16> {
        self.tag.map(|tag| tag & 0x0fff).filter(|&vlan| vlan != 0)
    }

    /// What the payload is.
    #[inline]
    #[must_use]
    pub fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// Bytes of header and tag.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        if self.tag.is_some() {
            HEADER + TAG
        } else {
            HEADER
        }
    }

    /// What is behind the header, padding included.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Whether an address is a broadcast or multicast one.
#[inline]
#[must_use]
pub const fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

/// A header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Who it is for.
    pub destination: Mac,
    /// Who sends it.
    pub source: Mac,
    /// The tag control information, if there is to be a tag.
    pub tag: Option<u16>,
    /// What the payload is.
    pub ethertype: u16,
}

impl EthernetRepr {
    /// Its bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        if self.tag.is_some() {
            HEADER + TAG
        } else {
            HEADER
        }
    }

    /// Never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes it; returns what is behind it, or nothing if there is no room.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (destination, rest) = buffer.split_first_chunk_mut::<6>()?;
        let (source, rest) = rest.split_first_chunk_mut::<6>()?;
        *destination = self.destination;
        *source = self.source;
        let rest = match self.tag {
            None => rest,
            Some(tag) => {
                let (bytes, rest) = rest.split_first_chunk_mut::<TAG>()?;
                *bytes = (u32::from(VLAN) << 16 | u32::from(tag)).to_be_bytes();
                rest
            }
        };
        let (ethertype, rest) = rest.split_first_chunk_mut::<2>()?;
        *ethertype = self.ethertype.to_be_bytes();
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tag_takes_its_place_and_a_cut_one_is_seen() {
        let repr = EthernetRepr {
            destination: [2; 6],
            source: [4; 6],
            tag: Some(0xa064),
            ethertype: IPV6,
        };
        let mut frame = [0u8; 20];
        assert_eq!(repr.emit(&mut frame).map(|rest| rest.len()), Some(2));
        assert_eq!(frame[12..18], [0x81, 0x00, 0xa0, 0x64, 0x86, 0xdd]);
        let view = Ethernet::parse(&frame).unwrap();
        assert_eq!((view.vlan(), view.header_len()), (Some(100), 18));
        assert_eq!(Ethernet::parse(&frame[..17]).unwrap_err(), Truncated);
        assert!(repr.emit(&mut frame[..17]).is_none());
    }

    #[test]
    fn vlan_0_is_a_priority_only() {
        let repr = EthernetRepr {
            destination: [2; 6],
            source: [4; 6],
            tag: Some(0xe000),
            ethertype: IPV4,
        };
        let mut frame = [0u8; 18];
        repr.emit(&mut frame).unwrap();
        let view = Ethernet::parse(&frame).unwrap();
        assert_eq!((view.tag(), view.vlan()), (Some(0xe000), None));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            destination: Mac, source: Mac, tag: Option<u16>, ethertype: u16,
        ) {
            prop_assume!(ethertype != VLAN);
            let repr = EthernetRepr { destination, source, tag, ethertype };
            let mut frame = [0u8; 32];
            repr.emit(&mut frame).unwrap();
            let view = Ethernet::parse(&frame).unwrap();
            prop_assert_eq!(view.destination(), destination);
            prop_assert_eq!(view.source(), source);
            prop_assert_eq!(view.tag(), tag);
            prop_assert_eq!(view.ethertype(), ethertype);
            prop_assert_eq!(view.payload().len(), 32 - repr.len());
        }
    }
}
