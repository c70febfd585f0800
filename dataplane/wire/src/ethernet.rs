//! Ethernet II with at most one 802.1Q tag.

/// A MAC address.
pub type Mac = [u8; 6];

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;

/// A frame shorter than its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// The VLAN identifier, 1 to 4,094. A tag with identifier 0 (priority only) counts as none.
    pub vlan: Option<u16>,
    /// The payload's EtherType.
    pub ethertype: u16,
    /// Bytes of the header: 14, or 18 with a tag.
    pub length: usize,
}

impl Ethernet {
    /// Reads a frame's header.
    ///
    /// # Errors
    /// The frame is too short.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, TooShort> {
        let (destination, rest) = frame.split_first_chunk::<6>().ok_or(TooShort)?;
        let (source, rest) = rest.split_first_chunk::<6>().ok_or(TooShort)?;
        let (ethertype, rest) = rest.split_first_chunk::<2>().ok_or(TooShort)?;
        let ethertype = u16::from_be_bytes(*ethertype);
        let header = Self {
            destination: *destination,
            source: *source,
            vlan: None,
            ethertype,
            length: 14,
        };
        if ethertype != VLAN {
            return Ok(header);
        }
        let (tag, _) = rest.split_first_chunk::<4>().ok_or(TooShort)?;
        let [high, low, type_high, type_low] = *tag;
        let vlan = u16::from_be_bytes([high & 0x0f, low]);
        let ethertype = u16::from_be_bytes([type_high, type_low]);
        Ok(Self { vlan: (vlan != 0).then_some(vlan), ethertype, length: 18, ..header })
    }

    /// Whether it goes to a group (multicast or broadcast).
    #[inline]
    #[must_use]
    pub const fn is_group(&self) -> bool {
        self.destination[0] & 1 == 1
    }

    /// Bytes of a header with or without a tag.
    #[inline]
    #[must_use]
    pub const fn header_length(vlan: Option<u16>) -> usize {
        if vlan.is_some() { 18 } else { 14 }
    }

    /// Writes the header into the first bytes of `out`, which is as long as
    /// [`Self::header_length`] says; nothing when it is shorter.
    #[inline]
    pub fn emit(
        out: &mut [u8],
        destination: Mac,
        source: Mac,
        vlan: Option<u16>,
        ethertype: u16,
    ) {
        let Some((addresses, rest)) = out.split_first_chunk_mut::<12>() else { return };
        let (to, from) = addresses.split_at_mut(6);
        to.copy_from_slice(&destination);
        from.copy_from_slice(&source);
        let [high, low] = ethertype.to_be_bytes();
        match vlan {
            None => {
                if let Some(place) = rest.first_chunk_mut::<2>() {
                    *place = [high, low];
                }
            }
            Some(vlan) => {
                let [tag_high, tag_low] = vlan.to_be_bytes();
                if let Some(place) = rest.first_chunk_mut::<6>() {
                    *place = [0x81, 0x00, tag_high, tag_low, high, low];
                }
            }
        }
    }
}
