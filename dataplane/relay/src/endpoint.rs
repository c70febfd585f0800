//! A socket address in 18 bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address and a port; IPv4 in its IPv6-mapped form. Port 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    address: [u8; 16],
    port: u16,
}

impl Endpoint {
    /// No address.
    pub(crate) const NONE: Self = Self { address: [0; 16], port: 0 };

    #[inline]
    pub(crate) fn new(address: IpAddr, port: u16) -> Self {
        let address = match address {
            IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
            IpAddr::V6(a) => a.octets(),
        };
        Self { address, port }
    }

    pub(crate) fn of(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::NONE, |a| Self::new(a.ip(), a.port()))
    }

    #[inline]
    pub(crate) const fn is_some(&self) -> bool {
        self.port != 0
    }

    #[inline]
    pub(crate) fn ip(&self) -> IpAddr {
        Ipv6Addr::from(self.address).to_canonical()
    }

    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.is_some().then(|| SocketAddr::new(self.ip(), self.port))
    }

    /// The same address with the port after this one; none at the end of the range.
    pub(crate) fn next_port(&self) -> Self {
        Self { address: self.address, port: self.port.wrapping_add(1) }
    }
}
