//! Networks and sources.

use std::net::{IpAddr, SocketAddr};

use super::settings::Network;

/// Whether an address lies in a network. A prefix that is too long for its family holds the address alone.
pub(super) fn contains((network, bits): Network, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differ = u32::from(network) ^ u32::from(address);
            differ.leading_zeros() >= u32::from(bits.min(32))
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differ = u128::from(network) ^ u128::from(address);
            differ.leading_zeros() >= u32::from(bits.min(128))
        }
        _ => false,
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, which one host can fill.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

/// The address without flow label and scope, so that equal ones compare equal.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::from((address.ip(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_hold_what_they_should() {
        let inside = |network: &str, bits, address: &str| {
            contains((network.parse().unwrap(), bits), address.parse().unwrap())
        };
        assert!(inside("192.0.2.0", 24, "192.0.2.255"));
        assert!(!inside("192.0.2.0", 24, "192.0.3.0"));
        assert!(inside("0.0.0.0", 0, "203.0.113.1"));
        assert!(!inside("0.0.0.0", 0, "::1"));
        assert!(inside("192.0.2.1", 99, "192.0.2.1"));
        assert!(!inside("192.0.2.1", 99, "192.0.2.0"));
        assert!(inside("2001:db8::", 32, "2001:db8:ffff::1"));
        assert!(!inside("2001:db8::1", 128, "2001:db8::2"));
        let (a, b): (IpAddr, IpAddr) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::9:2".parse().unwrap(),
        );
        assert_eq!(source(a), source(b));
    }
}
