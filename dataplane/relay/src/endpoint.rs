//! A socket address in 18 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tandem_wire::checksum::Sum;

/// An IP address in 16 bytes: IPv4 in its IPv6-mapped form, which nothing on a wire has.
pub(crate) type Address = [u8; 16];

/// The first 12 bytes of an IPv4 address in IPv6-mapped form (RFC 4291 section 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// An IP address in that form.
pub(crate) fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Whether it is an IPv4 address.
#[inline]
pub(crate) fn is_mapped(address: &Address) -> bool {
    address.starts_with(&MAPPED)
}

/// An address and a port. Port 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

impl Endpoint {
    /// No address.
    pub(crate) const NONE: Self = Self {
        address: [0; 16],
        port: 0,
    };

    #[inline]
    pub(crate) fn v4(address: Ipv4Addr, port: u16) -> Self {
        let mapped = 0xffff << 32 | u128::from(address.to_bits());
        Self {
            address: mapped.to_be_bytes(),
            port,
        }
    }

    #[inline]
    pub(crate) fn v6(address: Ipv6Addr, port: u16) -> Self {
        Self {
            address: address.octets(),
            port,
        }
    }

    pub(crate) fn new(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => Self::v4(ip, address.port()),
            IpAddr::V6(ip) => Self::v6(ip, address.port()),
        }
    }

    /// A peer's address from its SDP, as far as media can be sent to it from `local`: an address
    /// of the other family, of nobody or of many is none.
    pub(crate) fn of_peer(address: Option<SocketAddr>, local: IpAddr) -> Self {
        match address.map(Self::new) {
            Some(peer) if peer.is_somebody() && peer.is_v4() == local.is_ipv4() => peer,
            _ => Self::NONE,
        }
    }

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.port != 0
    }

    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        *self.halves().0 == MAPPED
    }

    /// Whether it is an address that one host can send from and receive at.
    #[inline]
    pub(crate) fn is_somebody(&self) -> bool {
        let (prefix, [first, ..]) = self.halves();
        let somebody = if *prefix == MAPPED {
            // Not "this network", loopback, multicast or reserved (RFC 6890).
            *first != 0 && *first != 127 && *first < 224
        } else if *prefix == [0; 12] {
            // Not unspecified and loopback; nor what was once IPv4-compatible (RFC 4291).
            false
        } else {
            // Not multicast.
            !matches!(prefix, [0xff, ..])
        };
        somebody && self.port != 0
    }

    /// What tells the families apart, and the IPv4 address.
    #[inline]
    fn halves(&self) -> (&[u8; 12], &[u8; 4]) {
        match self.address.split_first_chunk::<12>() {
            Some((prefix, rest)) => (prefix, rest.first_chunk::<4>().unwrap_or(&[0; 4])),
            None => (&[0; 12], &[0; 4]),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        let [.., a, b, c, d] = self.address;
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.address))
        }
    }

    #[inline]
    pub(crate) fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.octets())
    }

    /// The IPv4 address.
    #[inline]
    pub(crate) fn octets(&self) -> [u8; 4] {
        self.address.last_chunk().copied().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.address)
    }

    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.is_some()
            .then(|| SocketAddr::new(self.ip(), self.port))
    }

    /// The same address with the port after this one.
    #[inline]
    pub(crate) fn beside(&self) -> Self {
        Self {
            address: self.address,
            port: self.port.wrapping_add(1),
        }
    }

    /// What the address and the port add to a UDP checksum.
    #[inline]
    pub(crate) fn sum(&self) -> Sum {
        Sum::ZERO.address(&self.address).word(self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back() {
        for text in ["192.0.2.1:5000", "[2001:db8::1]:5000", "[fe80::2]:7"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Endpoint::new(address).socket(), Some(address));
            assert_eq!(Endpoint::new(address).is_v4(), address.is_ipv4());
        }
        assert_eq!(Endpoint::NONE.socket(), None);
    }

    #[test]
    fn nobody_receives_at_these() {
        for text in [
            "0.0.0.0:5000",
            "127.0.0.1:5000",
            "224.0.0.1:5000",
            "255.255.255.255:5000",
            "[::]:5000",
            "[::1]:5000",
            "[ff02::1]:5000",
            "192.0.2.1:0",
        ] {
            assert!(
                !Endpoint::new(text.parse().unwrap()).is_somebody(),
                "{text}"
            );
        }
        assert!(Endpoint::new("[2001:db8::1]:5000".parse().unwrap()).is_somebody());
        let v4 = "192.0.2.1:5000".parse().unwrap();
        assert_eq!(
            Endpoint::of_peer(Some(v4), [192, 0, 2, 9].into()),
            Endpoint::new(v4)
        );
        assert_eq!(
            Endpoint::of_peer(Some(v4), [1u16; 8].into()),
            Endpoint::NONE
        );
    }
}
