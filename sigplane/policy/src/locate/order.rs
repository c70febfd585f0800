//! The order in which a URI's servers are tried.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Host, MAX_TTL, Wanted};
use crate::transport::Transport;

/// A call tries no more servers of one URI than this.
const MAX_SERVERS: usize = 16;

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// Where it is.
    pub address: SocketAddr,
    /// Who it has to be, for TLS: the URI's own host, whatever SRV made of it (RFC 5922 section
    /// 4).
    pub server_name: Box<str>,
}

/// Where a URI leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// How its servers are reached.
    pub transport: Transport,
    /// The URI's host.
    pub server_name: Box<str>,
    /// Its servers: at least one, with at least one address.
    pub places: Vec<Place>,
    /// How long this counts.
    pub ttl: Duration,
}

/// A server: of an SRV record, or the one of a name without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The lowest first.
    pub priority: u16,
    /// Among equals of the priority, its share.
    pub weight: u16,
    /// Its addresses, IPv6 before IPv4.
    pub addresses: Vec<SocketAddr>,
}

impl Located {
    /// Where a URI leads that names an address: nobody has to be asked. None for a name.
    #[must_use]
    pub fn known(wanted: &Wanted) -> Option<Self> {
        let Host::Address(ip) = wanted.host() else {
            return None;
        };
        let transport = wanted.default_transport();
        let port = wanted.port().unwrap_or(transport.default_port());
        Some(Self {
            transport,
            server_name: ip.to_string().into(),
            places: vec![Place {
                priority: 0,
                weight: 0,
                addresses: vec![SocketAddr::new(*ip, port)],
            }],
            ttl: MAX_TTL,
        })
    }

    /// The servers in the order in which a call tries them. The seed draws it: by the priorities,
    /// among equals by the weights (RFC 2782), and of one server the addresses of both families
    /// in turn (RFC 7984 leads us to both; RFC 8305 section 4 for the order). No address occurs
    /// twice, and there are at most 16.
    #[must_use]
    pub fn servers(&self, seed: u64) -> Vec<Server> {
        let mut draw = Draw(seed);
        let mut places: Vec<&Place> = self.places.iter().collect();
        // Weights of zero first: RFC 2782 gives them their small chance that way.
        places.sort_by_key(|p| (p.priority, p.weight));
        let mut servers: Vec<Server> = Vec::new();
        for group in places.chunk_by(|a, b| a.priority == b.priority) {
            let mut group = group.to_vec();
            while let Some(place) = draw.by_weight(&mut group) {
                for address in alternate(&place.addresses, &mut draw) {
                    if servers.iter().all(|c| c.address != address) {
                        servers.push(Server {
                            transport: self.transport,
                            address,
                            server_name: self.server_name.clone(),
                        });
                    }
                }
            }
        }
        servers.truncate(MAX_SERVERS);
        servers
    }

    /// Every address.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.places.iter().flat_map(|p| p.addresses.iter().copied())
    }
}

/// IPv6 and IPv4 in turn, each in an order of its own.
fn alternate(addresses: &[SocketAddr], draw: &mut Draw) -> Vec<SocketAddr> {
    let (mut six, mut four): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|a| a.is_ipv6());
    draw.shuffle(&mut six);
    draw.shuffle(&mut four);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut all = Vec::with_capacity(addresses.len());
    loop {
        let pair = [six.next(), four.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// Numbers that look random (SplitMix64).
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number up to and including `most`, which is small: the bias does not matter.
    fn up_to(&mut self, most: u64) -> u64 {
        self.next().checked_rem(most.saturating_add(1)).unwrap_or(0)
    }

    /// Takes one place out, by the weights.
    fn by_weight<'a>(&mut self, places: &mut Vec<&'a Place>) -> Option<&'a Place> {
        let sum: u64 = places.iter().map(|p| u64::from(p.weight)).sum();
        let mut drawn = self.up_to(sum);
        let at = places.iter().position(|p| {
            let weight = u64::from(p.weight);
            let here = drawn <= weight;
            drawn = drawn.saturating_sub(weight);
            here
        })?;
        Some(places.remove(at))
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.up_to(last as u64)).unwrap_or(last);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(priority: u16, weight: u16, addresses: &[&str]) -> Place {
        Place {
            priority,
            weight,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    fn located(places: Vec<Place>) -> Located {
        Located {
            transport: Transport::Udp,
            server_name: "example.com".into(),
            places,
            ttl: Duration::from_secs(60),
        }
    }

    fn order(located: &Located, seed: u64) -> Vec<String> {
        let servers = located.servers(seed);
        servers.iter().map(|c| c.address.to_string()).collect()
    }

    #[test]
    fn priorities_come_before_weights() {
        let located = located(vec![
            place(20, 65535, &["192.0.2.3:5060"]),
            place(10, 0, &["192.0.2.1:5060"]),
            place(10, 1, &["192.0.2.2:5060"]),
        ]);
        for seed in 0..100 {
            assert_eq!(order(&located, seed)[2], "192.0.2.3:5060");
        }
    }

    #[test]
    fn weights_are_shares() {
        let located = located(vec![
            place(0, 10, &["192.0.2.1:5060"]),
            place(0, 30, &["192.0.2.2:5060"]),
            place(0, 0, &["192.0.2.3:5060"]),
        ]);
        let mut firsts = [0_u32; 3];
        for seed in 0..10_000 {
            let first = located.servers(seed)[0].address.ip().to_string();
            firsts[usize::from(first.as_bytes()[8] - b'1')] += 1;
        }
        // Of 41 numbers the first has 10, the second 30, and that without a weight one.
        assert!((2_200..2_700).contains(&firsts[0]), "{firsts:?}");
        assert!((6_900..7_700).contains(&firsts[1]), "{firsts:?}");
        assert!((150..350).contains(&firsts[2]), "{firsts:?}");
    }

    #[test]
    fn both_families_take_turns() {
        let located = located(vec![place(
            0,
            0,
            &["[2001:db8::1]:5060", "192.0.2.1:5060", "192.0.2.2:5060"],
        )]);
        for seed in 0..50 {
            let order = order(&located, seed);
            assert_eq!(order[0], "[2001:db8::1]:5060");
            assert_eq!(order.len(), 3);
        }
        let seconds: std::collections::BTreeSet<_> =
            (0..50).map(|s| order(&located, s)[1].clone()).collect();
        assert_eq!(seconds.len(), 2, "several addresses share the load");
    }

    fn places() -> impl Strategy<Value = Vec<Place>> {
        let address = (0_u8..2, 1_u8..20, 1_u16..3).prop_map(|(family, host, port)| {
            let ip = match family {
                0 => std::net::IpAddr::from([192, 0, 2, host]),
                _ => std::net::IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
            };
            SocketAddr::new(ip, port)
        });
        let addresses = proptest::collection::vec(address, 1..6);
        let place = (0_u16..4, prop_oneof![Just(0), any::<u16>()], addresses).prop_map(
            |(priority, weight, addresses)| Place {
                priority,
                weight,
                addresses,
            },
        );
        proptest::collection::vec(place, 1..10)
    }

    proptest! {
        #[test]
        fn the_order_keeps_priorities_and_repeats_nothing(places in places(), seed: u64) {
            let located = located(places);
            let servers = located.servers(seed);
            prop_assert!(!servers.is_empty() && servers.len() <= MAX_SERVERS);
            let best = |a: SocketAddr| located.places.iter()
                .filter(|p| p.addresses.contains(&a)).map(|p| p.priority).min().unwrap();
            let priorities: Vec<u16> = servers.iter().map(|c| best(c.address)).collect();
            prop_assert!(priorities.is_sorted(), "{priorities:?}");
            let mut addresses: Vec<_> = servers.iter().map(|c| c.address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), servers.len());
            prop_assert_eq!(located.servers(seed), servers);
        }
    }
}
