//! Ports and realms in the form that packets need.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tandem_wire::Mac;

use crate::endpoint::{Address, Endpoint};
use crate::{ConfigError, PortConfig, RealmConfig};

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
    locals: Vec<Endpoint>,
}

/// A port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) config: PortConfig,
    /// Realm by VLAN.
    realms: Box<[u16]>,
}

/// A realm.
#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) port: u16,
    pub(crate) vlan: Option<u16>,
    sip: Vec<Endpoint>,
    /// Media addresses with their indices.
    media: Vec<(Address, u16)>,
    media_ports: RangeInclusive<u16>,
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
        let by_vlan = || vec![NONE; VLANS].into_boxed_slice();
        let mut networks = Self {
            ports: ports
                .into_iter()
                .map(|config| Port {
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
        let slots = &mut self
            .ports
            .get_mut(usize::from(port))
            .ok_or(unknown.clone())?
            .realms;
        let slot = slots.get_mut(usize::from(vlan)).ok_or(unknown)?;
        if *slot != NONE {
            return Err(ConfigError::SameNetwork(*slot, index));
        }
        *slot = index;
        let mut media = Vec::new();
        for ip in config.media {
            let local = Endpoint::new(SocketAddr::new(ip, 0));
            let place = u16::try_from(self.locals.len())
                .map_err(|_| ConfigError::TooMany("media addresses"))?;
            self.locals.push(local);
            media.push((local.address, place));
        }
        self.realms.push(Realm {
            port,
            vlan: config.vlan,
            sip: config.sip.into_iter().map(Endpoint::new).collect(),
            media,
            media_ports: config.media_ports,
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

    /// A local address by its index; its port is 0.
    #[inline]
    pub(crate) fn local(&self, index: u16) -> Option<Endpoint> {
        self.locals.get(usize::from(index)).copied()
    }

    pub(crate) fn locals(&self) -> usize {
        self.locals.len()
    }
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
}

impl Realm {
    /// Whom a datagram to `local` is for.
    #[inline]
    pub(crate) fn receiver(&self, local: Endpoint) -> Receiver {
        if self.media_ports.contains(&local.port) {
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
            && self.media_ports.contains(&port)
            && port
                .checked_add(1)
                .is_some_and(|rtcp| self.media_ports.contains(&rtcp))
    }
}
