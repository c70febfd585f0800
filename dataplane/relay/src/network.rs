//! Ports and realms in the form that packets need.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::{Mac, ethernet};

use crate::endpoint::{Address, Endpoint};
use crate::{ConfigError, PortConfig, RealmConfig, TxOffloads};

/// No realm.
const NONE: u16 = u16::MAX;
/// VLAN identifiers, 0 standing for untagged frames.
const VLANS: usize = 1 << 12;

/// All ports and realms.
#[derive(Debug)]
pub(crate) struct Networks {
    ports: Vec<Port>,
    realms: Vec<Realm>,
    /// Our media addresses: a table of ports for each.
    locals: Vec<Local>,
}

/// One of our media addresses, with all that a packet needs to leave from it: one cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    /// Its port is 0.
    pub(crate) address: Endpoint,
    pub(crate) is_v4: bool,
    pub(crate) way: Way,
}

/// A realm's way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Index of the port.
    pub(crate) port: u16,
    pub(crate) mac: Mac,
    /// Our Ethernet address, and the EtherType that follows it in an IPv4 packet.
    pub(crate) link: [u8; 8],
    pub(crate) vlan: Option<u16>,
    /// The longest IP packet.
    pub(crate) mtu: u16,
    pub(crate) offloads: TxOffloads,
}

/// A port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) config: PortConfig,
    /// Realm by VLAN.
    realms: Box<[u16; VLANS]>,
    /// What nearly every frame without a tag is for.
    usual: Usual,
}

/// Our Ethernet address and a media address on a port, to be compared by words.
#[derive(Debug)]
struct Usual {
    /// The Ethernet address in the upper part.
    mac: u64,
    /// The first IPv4 media address of the realm without a tag, and its index.
    media: Option<([u8; 4], u16)>,
}

/// A realm.
#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) way: Way,
    sip: Vec<Endpoint>,
    /// Media addresses with their indices.
    media: Vec<(Address, u16)>,
    /// The IPv4 ones among them.
    media_v4: Vec<([u8; 4], u16)>,
    /// First and last.
    media_ports: (u16, u16),
}

/// Whom a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// A media port; the index of its local address.
    Media(u16),
    /// A SIP address.
    Sip,
    /// The kernel, or nobody.
    Other,
}

impl Networks {
    pub(crate) fn new(
        ports: Vec<PortConfig>,
        realms: Vec<RealmConfig>,
    ) -> Result<Self, ConfigError> {
        if realms.len() >= usize::from(NONE) || ports.len() >= usize::from(NONE) {
            return Err(ConfigError::TooMany("realms or ports"));
        }
        let by_vlan = || Box::new([NONE; VLANS]);
        let mut networks = Self {
            ports: ports
                .into_iter()
                .map(|config| Port {
                    usual: Usual {
                        mac: word(config.mac),
                        media: None,
                    },
                    config,
                    realms: by_vlan(),
                })
                .collect(),
            realms: Vec::with_capacity(realms.len()),
            locals: Vec::new(),
        };
        for (index, realm) in (0u16..).zip(realms) {
            networks.add(index, realm)?;
        }
        Ok(networks)
    }

    fn add(&mut self, index: u16, config: RealmConfig) -> Result<(), ConfigError> {
        let port = config.port;
        let vlan = config.vlan.unwrap_or(0);
        if config.vlan.is_some_and(|vlan| vlan == 0 || vlan > 4094) {
            return Err(ConfigError::BadVlan { realm: index, vlan });
        }
        let unknown = ConfigError::NoSuchPort { realm: index, port };
        let on = self
            .ports
            .get_mut(usize::from(port))
            .ok_or(unknown.clone())?;
        let slot = on.realms.get_mut(usize::from(vlan)).ok_or(unknown)?;
        if *slot != NONE {
            return Err(ConfigError::SameNetwork(*slot, index));
        }
        *slot = index;
        let [a, b, c, d, e, f] = on.config.mac;
        let [high, low] = match config.vlan {
            None => ethernet::IPV4.to_be_bytes(),
            Some(_) => ethernet::VLAN.to_be_bytes(),
        };
        let way = Way {
            port,
            mac: on.config.mac,
            link: [a, b, c, d, e, f, high, low],
            vlan: config.vlan,
            mtu: on.config.mtu,
            offloads: on.config.offloads,
        };
        let (mut media, mut media_v4) = (Vec::new(), Vec::new());
        for ip in config.media {
            let address = Endpoint::new(SocketAddr::new(ip, 0));
            let place = u16::try_from(self.locals.len())
                .map_err(|_| ConfigError::TooMany("media addresses"))?;
            let is_v4 = address.is_v4();
            self.locals.push(Local {
                address,
                is_v4,
                way,
            });
            media.push((address.address, place));
            if let IpAddr::V4(ip) = ip {
                if vlan == 0 && media_v4.is_empty() {
                    on.usual.media = Some((ip.octets(), place));
                }
                media_v4.push((ip.octets(), place));
            }
        }
        self.realms.push(Realm {
            way,
            sip: config.sip.into_iter().map(Endpoint::new).collect(),
            media,
            media_v4,
            media_ports: config.media_ports.into_inner(),
        });
        Ok(())
    }

    #[inline]
    pub(crate) fn port(&self, port: u16) -> Option<&Port> {
        self.ports.get(usize::from(port))
    }

    #[inline]
    pub(crate) fn realm(&self, realm: u16) -> Option<&Realm> {
        self.realms.get(usize::from(realm))
    }

    /// A local address by its index.
    #[inline]
    pub(crate) fn local(&self, index: u16) -> Option<&Local> {
        self.locals.get(usize::from(index))
    }

    pub(crate) fn realms(&self) -> u16 {
        u16::try_from(self.realms.len()).unwrap_or(NONE)
    }

    pub(crate) fn locals(&self) -> usize {
        self.locals.len()
    }
}

/// An Ethernet address for [`Port::is_to_us`].
fn word([a, b, c, d, e, f]: Mac) -> u64 {
    u64::from_le_bytes([0, 0, a, b, c, d, e, f])
}

impl Port {
    #[inline]
    pub(crate) fn mac(&self) -> Mac {
        self.config.mac
    }

    /// The realm of a frame.
    #[inline]
    pub(crate) fn realm(&self, vlan: Option<u16>) -> Option<u16> {
        let realm = *self.realms.get(usize::from(vlan.unwrap_or(0)))?;
        (realm != NONE).then_some(realm)
    }

    /// The realm of a frame without a tag.
    #[inline(always)]
    pub(crate) fn untagged(&self) -> u16 {
        let [realm, ..] = *self.realms;
        realm
    }

    /// Whether a frame that begins so is to our Ethernet address.
    #[inline(always)]
    pub(crate) fn is_to_us(&self, frame: [u8; 8]) -> bool {
        u64::from_le_bytes(frame) << 16 == self.usual.mac
    }

    /// The index of the media address that a frame without a tag to this address is for, if it is the usual one.
    #[inline(always)]
    pub(crate) fn usual_media(&self, address: [u8; 4]) -> Option<u16> {
        let (ours, local) = self.usual.media?;
        (address == ours).then_some(local)
    }
}

impl Realm {
    /// The index of the media address that an IPv4 datagram to this address and port is for.
    #[inline(always)]
    pub(crate) fn media_v4(&self, address: [u8; 4], port: u16) -> Option<u16> {
        if !self.is_media(port) {
            return None;
        }
        let media = self.media_v4.iter().find(|(ours, _)| *ours == address);
        media.map(|(_, index)| *index)
    }

    /// Whom a datagram to `local` is for.
    #[inline]
    pub(crate) fn receiver(&self, local: Endpoint) -> Receiver {
        if self.is_media(local.port) {
            let media = self
                .media
                .iter()
                .find(|(address, _)| *address == local.address);
            if let Some((_, index)) = media {
                return Receiver::Media(*index);
            }
        }
        if self.sip.contains(&local) {
            Receiver::Sip
        } else {
            Receiver::Other
        }
    }

    pub(crate) fn has_sip(&self, local: Endpoint) -> bool {
        self.sip.contains(&local)
    }

    /// Its first media address, with its index.
    pub(crate) fn first_media(&self) -> Option<(IpAddr, u16)> {
        let (address, index) = self.media.first()?;
        let address = Endpoint {
            address: *address,
            port: 0,
        };
        Some((address.ip(), *index))
    }

    pub(crate) fn media_ports(&self) -> std::ops::RangeInclusive<u16> {
        let (first, last) = self.media_ports;
        first..=last
    }

    /// The index of one of its media addresses.
    pub(crate) fn media_index(&self, address: IpAddr) -> Option<u16> {
        let address = Endpoint::new(SocketAddr::new(address, 0)).address;
        self.media
            .iter()
            .find(|(media, _)| *media == address)
            .map(|(_, index)| *index)
    }

    /// Whether RTP may use this port and RTCP the next.
    pub(crate) fn is_media_pair(&self, port: u16) -> bool {
        port.is_multiple_of(2)
            && self.is_media(port)
            && port.checked_add(1).is_some_and(|rtcp| self.is_media(rtcp))
    }

    #[inline(always)]
    pub(crate) fn is_media(&self, port: u16) -> bool {
        let (first, last) = self.media_ports;
        first <= port && port <= last
    }
}
