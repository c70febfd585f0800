//! Who may call: Kamailio's address groups.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::rows::{AddressRow, BadRow};

/// The address groups of one state of the `address` table.
#[derive(Clone, Debug, Default)]
pub struct Access {
    groups: HashMap<u32, Group>,
}

/// One group: single hosts by lookup, networks by search.
#[derive(Clone, Debug, Default)]
struct Group {
    /// The ports allowed of each host; 0 for any.
    hosts: HashMap<IpAddr, Vec<u16>>,
    networks: Vec<Network>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    mask: u8,
    port: u16,
}

impl Access {
    /// Reads the rows; those that cannot be used are skipped and named.
    #[must_use]
    pub fn new(rows: &[AddressRow]) -> (Self, Vec<BadRow>) {
        let mut access = Self::default();
        let mut bad = Vec::new();
        for row in rows {
            match Network::parse(row) {
                Ok(network) => access.groups.entry(row.grp).or_default().add(network),
                Err(reason) => bad.push(BadRow {
                    table: "address",
                    id: row.id,
                    reason,
                }),
            }
        }
        (access, bad)
    }

    /// Whether `source` is a member of group `grp`.
    #[must_use]
    pub fn is_member(&self, grp: u32, source: SocketAddr) -> bool {
        let ip = source.ip().to_canonical();
        self.groups
            .get(&grp)
            .is_some_and(|group| group.contains(ip, source.port()))
    }
}

impl Access {
    /// Whether any port of `ip` is a member of group `grp`.
    #[must_use]
    pub fn has(&self, grp: u32, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.groups.get(&grp).is_some_and(|group| {
            group.hosts.contains_key(&ip) || group.networks.iter().any(|n| n.contains(ip))
        })
    }
}

impl Group {
    fn add(&mut self, network: Network) {
        if network.mask == width(network.address) {
            self.hosts
                .entry(network.address)
                .or_default()
                .push(network.port);
        } else {
            self.networks.push(network);
        }
    }

    fn contains(&self, ip: IpAddr, port: u16) -> bool {
        let allows = |allowed: u16| allowed == 0 || allowed == port;
        self.hosts
            .get(&ip)
            .is_some_and(|ports| ports.iter().any(|p| allows(*p)))
            || self
                .networks
                .iter()
                .any(|n| allows(n.port) && n.contains(ip))
    }
}

impl Network {
    fn parse(row: &AddressRow) -> Result<Self, String> {
        let text = row.ip_addr.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        let address: IpAddr = bare.parse().map_err(|_| {
            format!("ip_addr {text:?} is not an IPv4 or IPv6 address: names are not looked up")
        })?;
        if row.mask > width(address) {
            return Err(format!(
                "mask {} is longer than an address of {address}'s family: use at most {}",
                row.mask,
                width(address)
            ));
        }
        Ok(Self {
            address,
            mask: row.mask,
            port: row.port,
        })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.mask.min(32));
                (net.to_bits() ^ ip.to_bits())
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.mask.min(128));
                (net.to_bits() ^ ip.to_bits())
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

/// The bits of an address of this family.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn row(id: i64, grp: u32, ip_addr: &str, mask: u8, port: u16) -> AddressRow {
        AddressRow {
            id,
            grp,
            ip_addr: ip_addr.into(),
            mask,
            port,
            tag: String::new(),
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_networks_ports_and_groups_are_told_apart() {
        let (access, bad) = Access::new(&[
            row(1, 1, "192.0.2.7", 32, 0),
            row(2, 1, "198.51.100.0", 24, 0),
            row(3, 1, "203.0.113.9", 32, 5060),
            row(4, 2, "192.0.2.8", 32, 0),
            row(5, 1, "2001:db8:1::", 48, 0),
        ]);
        assert!(bad.is_empty());
        assert!(access.is_member(1, at("192.0.2.7:1234")));
        assert!(access.is_member(1, at("198.51.100.255:9")));
        assert!(!access.is_member(1, at("198.51.101.0:9")));
        assert!(access.is_member(1, at("203.0.113.9:5060")));
        assert!(!access.is_member(1, at("203.0.113.9:5061")));
        assert!(!access.is_member(1, at("192.0.2.8:5060")));
        assert!(access.is_member(2, at("192.0.2.8:5060")));
        assert!(access.is_member(1, at("[2001:db8:1:2::3]:5060")));
        assert!(!access.is_member(1, at("[2001:db8:2::3]:5060")));
        assert!(access.is_member(1, at("[::ffff:192.0.2.7]:5060")));
        assert!(
            access.has(1, at("203.0.113.9:5061").ip()),
            "by another port"
        );
        assert!(access.has(1, at("[2001:db8:1:2::3]:1").ip()));
        assert!(!access.has(1, at("192.0.2.8:5060").ip()));
    }

    #[test]
    fn bad_rows_are_named_and_skipped() {
        let (access, bad) = Access::new(&[
            row(1, 1, "carrier.example.net", 32, 0),
            row(2, 1, "192.0.2.7", 33, 0),
            row(3, 1, "192.0.2.9", 32, 0),
        ]);
        assert_eq!(bad.iter().map(|b| b.id).collect::<Vec<_>>(), [1, 2]);
        assert!(bad[1].reason.contains("at most 32"));
        assert!(access.is_member(1, at("192.0.2.9:1")));
        assert!(!access.is_member(1, at("192.0.2.7:1")));
    }

    #[test]
    fn mask_zero_means_everybody_of_the_family() {
        let (access, _) = Access::new(&[row(1, 1, "0.0.0.0", 0, 0)]);
        assert!(access.is_member(1, at("8.8.8.8:1")));
        assert!(!access.is_member(1, at("[2001:db8::1]:1")));
    }

    proptest! {
        #[test]
        fn membership_is_the_prefix(net: u32, ip: u32, mask in 0_u8..=32) {
            let (access, bad) =
                Access::new(&[row(1, 1, &Ipv4Addr::from_bits(net).to_string(), mask, 0)]);
            prop_assert!(bad.is_empty());
            let keep = u32::MAX.checked_shl(32 - u32::from(mask)).unwrap_or(0);
            let source = SocketAddr::new(Ipv4Addr::from_bits(ip).into(), 5060);
            prop_assert_eq!(access.is_member(1, source), net & keep == ip & keep);
        }
    }
}
