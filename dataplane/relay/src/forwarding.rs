//! Where packets go next: a snapshot of the kernel's addresses, routes and neighbours of the
//! realms' TAPs, made anew at every change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

/// A snapshot. Lookups are per realm: what leaves by a realm uses that realm's routes only, so
/// media never crosses from one network to another because its peer named an address there.
#[derive(Debug, Default)]
pub struct Forwarding {
    generation: u64,
    realms: Vec<Realm>,
    /// Ethernet addresses of next hops; flows remember positions in it.
    macs: Vec<[u8; 6]>,
}

/// A way out of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// To this position in the snapshot's table of Ethernet addresses.
    Resolved {
        /// The position.
        index: u32,
        /// The neighbour: a gateway, or the destination itself.
        neighbour: IpAddr,
    },
    /// By this neighbour, whose Ethernet address is not known.
    Unresolved {
        /// A gateway, or the destination itself.
        neighbour: IpAddr,
    },
    /// The destination is ourselves.
    Local,
    /// No route.
    NoRoute,
}

impl Forwarding {
    /// Starts a snapshot. `generation` differs from every earlier one's.
    #[must_use]
    pub fn builder(generation: u64, realms: usize) -> ForwardingBuilder {
        let realms = std::iter::repeat_with(RealmBuilder::default)
            .take(realms)
            .collect();
        ForwardingBuilder { generation, realms }
    }

    /// The number that the snapshot was given.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The way from `realm` to `destination`: longest prefix, then lowest metric, then the share
    /// of equal ways that `hash` falls into.
    #[must_use]
    pub fn next_hop(&self, realm: u16, destination: IpAddr, hash: u32) -> NextHop {
        let Some(realm) = self.realms.get(usize::from(realm)) else {
            return NextHop::NoRoute;
        };
        if realm.addresses.contains(&destination) {
            return NextHop::Local;
        }
        let Some(route) = realm.route(destination) else {
            return NextHop::NoRoute;
        };
        let neighbour = route.way(hash).unwrap_or(destination);
        match realm.neighbours.get(&neighbour) {
            Some(&index) => NextHop::Resolved { index, neighbour },
            None => NextHop::Unresolved { neighbour },
        }
    }

    /// The Ethernet address of a next hop of this snapshot.
    #[inline]
    #[must_use]
    pub fn mac(&self, index: u32) -> Option<[u8; 6]> {
        self.macs.get(index as usize).copied()
    }
}

/// Collects a snapshot. Realms out of range are ignored.
#[derive(Debug)]
pub struct ForwardingBuilder {
    generation: u64,
    realms: Vec<RealmBuilder>,
}

impl ForwardingBuilder {
    /// An address of ours in a realm.
    pub fn address(&mut self, realm: u16, address: IpAddr) -> &mut Self {
        if let Some(realm) = self.realm(realm) {
            realm.addresses.insert(address);
        }
        self
    }

    /// One way of a route that leaves by a realm; an ECMP route is several of the same prefix and
    /// metric. Without a gateway the destination itself is on the link.
    pub fn route(
        &mut self,
        realm: u16,
        destination: IpAddr,
        prefix: u8,
        metric: u32,
        gateway: Option<IpAddr>,
        weight: u16,
    ) -> &mut Self {
        if let Some(realm) = self.realm(realm) {
            let key = prefix_key(destination, prefix);
            let ways = realm
                .routes
                .entry(key)
                .or_default()
                .entry(metric)
                .or_default();
            ways.push((gateway, weight.max(1)));
        }
        self
    }

    /// A neighbour that can be sent to.
    pub fn neighbour(&mut self, realm: u16, address: IpAddr, mac: [u8; 6]) -> &mut Self {
        if let Some(realm) = self.realm(realm) {
            realm.neighbours.insert(address, mac);
        }
        self
    }

    /// The snapshot.
    #[must_use]
    pub fn build(self) -> Forwarding {
        let mut macs = Vec::new();
        let realms = self
            .realms
            .into_iter()
            .map(|realm| realm.build(&mut macs))
            .collect();
        Forwarding {
            generation: self.generation,
            realms,
            macs,
        }
    }

    fn realm(&mut self, realm: u16) -> Option<&mut RealmBuilder> {
        self.realms.get_mut(usize::from(realm))
    }
}

/// Family, prefix length and the address's leading bits.
type PrefixKey = (Family, u8, u128);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// A gateway, or none for the destination itself, and its share.
type Way = (Option<IpAddr>, u16);

#[derive(Debug, Default)]
struct RealmBuilder {
    addresses: HashSet<IpAddr>,
    /// By prefix, then by metric.
    routes: HashMap<PrefixKey, BTreeMap<u32, Vec<Way>>>,
    neighbours: HashMap<IpAddr, [u8; 6]>,
}

impl RealmBuilder {
    fn build(self, macs: &mut Vec<[u8; 6]>) -> Realm {
        let mut realm = Realm {
            addresses: self.addresses,
            ..Realm::default()
        };
        for (key, mut by_metric) in self.routes {
            if let Some((_, ways)) = by_metric.pop_first() {
                let lengths = match key.0 {
                    Family::V4 => &mut realm.lengths_v4,
                    Family::V6 => &mut realm.lengths_v6,
                };
                if !lengths.contains(&key.1) {
                    lengths.push(key.1);
                }
                realm.routes.insert(key, Route::new(ways));
            }
        }
        realm.lengths_v4.sort_unstable_by(|a, b| b.cmp(a));
        realm.lengths_v6.sort_unstable_by(|a, b| b.cmp(a));
        for (address, mac) in self.neighbours {
            let Ok(index) = u32::try_from(macs.len()) else {
                break;
            };
            macs.push(mac);
            realm.neighbours.insert(address, index);
        }
        realm
    }
}

#[derive(Debug, Default)]
struct Realm {
    addresses: HashSet<IpAddr>,
    /// Prefix lengths in use, longest first.
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
    routes: HashMap<PrefixKey, Route>,
    neighbours: HashMap<IpAddr, u32>,
}

impl Realm {
    fn route(&self, destination: IpAddr) -> Option<&Route> {
        let lengths = match destination {
            IpAddr::V4(_) => &self.lengths_v4,
            IpAddr::V6(_) => &self.lengths_v6,
        };
        lengths
            .iter()
            .find_map(|&length| self.routes.get(&prefix_key(destination, length)))
    }
}

/// Equal ways with their weights.
#[derive(Debug)]
struct Route {
    ways: Vec<Way>,
    total: u32,
}

impl Route {
    fn new(mut ways: Vec<Way>) -> Self {
        // The order that the kernel lists them in must not move flows.
        ways.sort_unstable();
        let total = ways.iter().map(|&(_, weight)| u32::from(weight)).sum();
        Self { ways, total }
    }

    /// The gateway of the way that `hash` falls into; none for the destination itself.
    fn way(&self, hash: u32) -> Option<IpAddr> {
        let mut share = hash.checked_rem(self.total).unwrap_or(0);
        for &(gateway, weight) in &self.ways {
            match share.checked_sub(weight.into()) {
                Some(rest) => share = rest,
                None => return gateway,
            }
        }
        None
    }
}

fn prefix_key(address: IpAddr, prefix: u8) -> PrefixKey {
    let (family, bits, width) = match address {
        IpAddr::V4(ip) => (Family::V4, u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (Family::V6, ip.to_bits(), 128),
    };
    let prefix = prefix.min(width);
    let host = u32::from(width - prefix);
    let leading = bits.checked_shr(host).unwrap_or(0);
    (family, prefix, leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn mac(forwarding: &Forwarding, realm: u16, to: &str, hash: u32) -> Option<u8> {
        match forwarding.next_hop(realm, ip(to), hash) {
            NextHop::Resolved { index, .. } => forwarding.mac(index).map(|mac| mac[5]),
            _ => None,
        }
    }

    fn snapshot() -> Forwarding {
        let mut builder = Forwarding::builder(1, 2);
        for (to, prefix, metric, gateway) in [
            ("0.0.0.0", 0, 0, Some("192.0.2.1")),
            ("198.51.100.0", 24, 0, Some("192.0.2.2")),
            ("198.51.100.128", 25, 20, Some("192.0.2.3")),
            ("198.51.100.128", 25, 10, Some("192.0.2.4")),
            ("192.0.2.0", 24, 0, None),
            ("2001:db8::", 32, 0, Some("fe80::5")),
        ] {
            builder.route(0, ip(to), prefix, metric, gateway.map(ip), 1);
        }
        for n in 1..=4 {
            builder.neighbour(0, ip(&format!("192.0.2.{n}")), [0, 0, 0, 0, 0, n]);
        }
        builder.neighbour(0, ip("fe80::5"), [0, 0, 0, 0, 0, 5]);
        builder.address(0, ip("192.0.2.99"));
        builder.build()
    }

    #[test]
    fn the_longest_prefix_then_the_lowest_metric_wins() {
        let forwarding = snapshot();
        assert_eq!(mac(&forwarding, 0, "203.0.113.1", 0), Some(1));
        assert_eq!(mac(&forwarding, 0, "198.51.100.1", 0), Some(2));
        assert_eq!(mac(&forwarding, 0, "198.51.100.200", 0), Some(4));
        assert_eq!(mac(&forwarding, 0, "192.0.2.3", 0), Some(3));
        assert_eq!(mac(&forwarding, 0, "2001:db8:7::1", 0), Some(5));
    }

    #[test]
    fn what_has_no_way_says_why() {
        let forwarding = snapshot();
        assert_eq!(
            forwarding.next_hop(0, ip("2001:db9::1"), 0),
            NextHop::NoRoute
        );
        assert_eq!(forwarding.next_hop(1, ip("192.0.2.3"), 0), NextHop::NoRoute);
        assert_eq!(forwarding.next_hop(2, ip("192.0.2.3"), 0), NextHop::NoRoute);
        assert_eq!(forwarding.next_hop(0, ip("192.0.2.99"), 0), NextHop::Local);
        let neighbour = ip("192.0.2.77");
        assert_eq!(
            forwarding.next_hop(0, neighbour, 0),
            NextHop::Unresolved { neighbour }
        );
    }

    #[test]
    fn equal_ways_share_by_weight_whatever_their_order() {
        let ways = [("192.0.2.1", 3), ("192.0.2.2", 1)];
        let shares = |ways: &[(&str, u16)]| {
            let mut builder = Forwarding::builder(1, 1);
            for (n, (gateway, weight)) in (1..).zip(ways) {
                builder.route(0, ip("0.0.0.0"), 0, 0, Some(ip(gateway)), *weight);
                builder.neighbour(0, ip(gateway), [0, 0, 0, 0, 0, n]);
            }
            let forwarding = builder.build();
            (0..4)
                .map(|hash| forwarding.next_hop(0, ip("203.0.113.1"), hash))
                .map(|hop| match hop {
                    NextHop::Resolved { neighbour, .. } => neighbour,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        let expected = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(ip);
        assert_eq!(shares(&ways), expected);
        assert_eq!(shares(&[ways[1], ways[0]]), expected);
    }
}
