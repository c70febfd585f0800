//! What counts as one source, and networks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The upper half of an IPv4 source's number: as an IPv6 prefix it is multicast (`ff00::/8`), which
/// nobody sends from.
const IPV4: u64 = 0xffff_ffff << 32;

/// A source of messages: an IPv4 address, or the /64 of an IPv6 address, since one host has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(u64);

impl Source {
    /// The source that an address belongs to; an IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(IPV4 | u64::from(ip.to_bits())),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64),
        }
    }

    /// Its address (of an IPv6 prefix the first one) and the length of its prefix: 32 or 64.
    #[must_use]
    pub fn prefix(self) -> (IpAddr, u8) {
        if self.0 & IPV4 == IPV4 {
            (Ipv4Addr::from_bits(self.0 as u32).into(), 32)
        } else {
            (Ipv6Addr::from_bits(u128::from(self.0) << 64).into(), 64)
        }
    }

    /// A number that no other source has.
    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.prefix() {
            (IpAddr::V4(ip), _) => write!(f, "{ip}"),
            (IpAddr::V6(ip), length) => write!(f, "{ip}/{length}"),
        }
    }
}

/// Some networks, searched one after the other: an administrator names a handful.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Networks by any address of theirs and the length of their prefix.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        Self(
            networks
                .into_iter()
                .map(|(address, length)| (address.to_canonical(), length))
                .collect(),
        )
    }

    /// Each, by an address of it and the length of its prefix.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.0.iter().copied()
    }

    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|(net, length)| match (net, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let differs = net.to_bits() ^ ip.to_bits();
                differs
                    .checked_shr(32_u32.saturating_sub((*length).into()))
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let differs = net.to_bits() ^ ip.to_bits();
                differs
                    .checked_shr(128_u32.saturating_sub((*length).into()))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_prefix_of_64_is_one_source() {
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::1"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(
            source("2001:db8:1:2::3").to_string(),
            "2001:db8:1:2::/64",
            "the prefix"
        );
    }

    #[test]
    fn networks_are_prefixes_of_their_own_family() {
        let nets = Networks::new([
            ("192.0.2.77".parse().unwrap(), 24),
            ("2001:db8::".parse().unwrap(), 32),
        ]);
        for (ip, inside) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(nets.contains(ip.parse().unwrap()), inside, "{ip}");
        }
        let all = Networks::new([([0, 0, 0, 0].into(), 0)]);
        assert!(all.contains([9, 9, 9, 9].into()));
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_source_is_its_prefix(ip: IpAddr) {
            let (net, length) = Source::of(ip).prefix();
            prop_assert_eq!(Source::of(net), Source::of(ip));
            prop_assert!(Networks::new([(net, length)]).contains(ip));
        }
    }
}
