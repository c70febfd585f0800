//! Trusted networks: the longest prefix that an address is in.

use tandem_link::ClassifiedSource;

use super::bucket::Bucket;
use crate::endpoint::{Address, mapped};

/// The most networks.
pub const TRUSTED_NETWORKS: usize = 4_096;

/// A set of networks, made once and then only asked. All addresses are cut into ranges, each with the longest prefix
/// that it is in, so that a search is a bisection of sorted numbers: a dozen steps for a thousand networks, and none
/// without any.
#[derive(Debug, Default)]
pub struct TrustedNetworks {
    /// Where each range begins; the first one that is not 0 has nothing before it.
    begins: Vec<u128>,
    /// Each range's network.
    owners: Vec<Option<u32>>,
    networks: Vec<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    first: u128,
    /// Bits, of 128.
    length: u8,
    bucket: Bucket,
}

impl TrustedNetworks {
    /// Of these networks; of more than [`TRUSTED_NETWORKS`] the first ones, and whether that is all of them.
    #[must_use]
    pub fn new(sources: &[ClassifiedSource]) -> (Self, bool) {
        let mut networks: Vec<Network> = sources.iter().map(Network::new).collect();
        networks.sort_unstable();
        networks.dedup_by_key(|n| (n.first, n.length));
        let is_all = networks.len() <= TRUSTED_NETWORKS;
        networks.truncate(TRUSTED_NETWORKS);
        (Self::cut(networks), is_all)
    }

    /// Sorted, so that who contains another one comes first.
    fn cut(networks: Vec<Network>) -> Self {
        let mut ranges: Vec<(u128, Option<u32>)> = Vec::new();
        // Those that the place where we are is in, the longest last.
        let mut inside: Vec<(u128, u32)> = Vec::new();
        let mut begin = |first: u128, owner: Option<u32>| match ranges.last_mut() {
            Some(last) if last.0 == first => last.1 = owner,
            _ => ranges.push((first, owner)),
        };
        for (index, network) in (0u32..).zip(&networks) {
            leave(&mut inside, Some(network.first), &mut begin);
            begin(network.first, Some(index));
            inside.push((network.last(), index));
        }
        leave(&mut inside, None, &mut begin);
        let (begins, owners) = ranges.into_iter().unzip();
        Self {
            begins,
            owners,
            networks,
        }
    }

    /// The network of an address.
    #[inline]
    pub(super) fn find(&self, address: &Address) -> Option<usize> {
        if self.begins.is_empty() {
            return None;
        }
        let address = u128::from_be_bytes(*address);
        let behind = self.begins.partition_point(|begin| *begin <= address);
        let owner = self.owners.get(behind.checked_sub(1)?)?;
        owner.map(|index| index as usize)
    }

    #[inline]
    pub(super) fn bucket(&mut self, index: usize) -> Option<&mut Bucket> {
        self.networks.get_mut(index).map(|n| &mut n.bucket)
    }

    /// Bits of its prefix, of 128.
    pub(super) fn length(&self, index: usize) -> u8 {
        self.networks.get(index).map_or(0, |n| n.length)
    }

    pub(super) fn len(&self) -> usize {
        self.networks.len()
    }
}

/// Leaves the networks that end before `next`, or all: what is behind one belongs to the one around it.
fn leave(
    inside: &mut Vec<(u128, u32)>,
    next: Option<u128>,
    begin: &mut impl FnMut(u128, Option<u32>),
) {
    while let Some((last, _)) = inside.last().copied()
        && next.is_none_or(|next| last < next)
    {
        inside.pop();
        if let Some(behind) = last.checked_add(1) {
            begin(behind, inside.last().map(|(_, index)| *index));
        }
    }
}

impl Network {
    fn new(source: &ClassifiedSource) -> Self {
        let length = match source.source {
            std::net::IpAddr::V4(_) => source.length.min(32) + 96,
            std::net::IpAddr::V6(_) => source.length.min(128),
        };
        let any = u128::from_be_bytes(mapped(source.source));
        Self {
            first: any & !host_bits(length),
            length,
            bucket: Bucket::default(),
        }
    }

    fn last(&self) -> u128 {
        self.first | host_bits(self.length)
    }
}

fn host_bits(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};
    use tandem_link::SourceClass;

    fn network(text: &str) -> ClassifiedSource {
        let (address, length) = text.split_once('/').unwrap();
        ClassifiedSource {
            source: address.parse().unwrap(),
            length: length.parse().unwrap(),
            class: SourceClass::Trusted,
            left_ms: u64::MAX,
        }
    }

    fn found(networks: &TrustedNetworks, address: &str) -> Option<u8> {
        let address = mapped(address.parse().unwrap());
        networks.find(&address).map(|index| networks.length(index))
    }

    #[test]
    fn the_longest_prefix_wins_in_both_families() {
        let texts = [
            "198.51.100.0/24",
            "198.51.100.128/25",
            "198.51.100.255/32",
            "10.0.0.0/8",
            "10.255.255.0/24",
            "10.255.255.0/24",
            "2001:db8::/32",
            "2001:db8:1::7/64",
        ];
        let (networks, is_all) = TrustedNetworks::new(&texts.map(network));
        assert!(is_all);
        assert_eq!(networks.len(), 7);
        for (address, expected) in [
            ("198.51.99.255", None),
            ("198.51.100.0", Some(96 + 24)),
            ("198.51.100.127", Some(96 + 24)),
            ("198.51.100.128", Some(96 + 25)),
            ("198.51.100.255", Some(96 + 32)),
            ("198.51.101.0", None),
            ("9.255.255.255", None),
            ("10.1.2.3", Some(96 + 8)),
            ("10.255.255.9", Some(96 + 24)),
            ("11.0.0.0", None),
            ("2001:db8::1", Some(32)),
            ("2001:db8:1:0:ffff::", Some(64)),
            ("2001:db8:1:1::", Some(32)),
            ("2001:db9::", None),
            ("::", None),
            ("ffff::", None),
        ] {
            assert_eq!(found(&networks, address), expected, "{address}");
        }
    }

    #[test]
    fn nothing_everything_and_too_many() {
        assert_eq!(found(&TrustedNetworks::default(), "192.0.2.1"), None);
        let (all, _) = TrustedNetworks::new(&[network("0.0.0.0/0"), network("::/0")]);
        assert_eq!(found(&all, "192.0.2.1"), Some(96));
        assert_eq!(found(&all, "ffff::1"), Some(0));
        let many: Vec<_> = (0..=TRUSTED_NETWORKS as u32)
            .map(|n| network(&format!("{}/30", Ipv4Addr::from(n << 2))))
            .collect();
        let (some, is_all) = TrustedNetworks::new(&many);
        assert!(!is_all);
        assert_eq!(some.len(), TRUSTED_NETWORKS);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_of_all_finds(
            nets in proptest::collection::vec((any::<u8>(), 0..=32u8), 0..20),
            asked in proptest::collection::vec(any::<u8>(), 20),
        ) {
            // Few different bits, so that they meet.
            let spread = |n: u8| u32::from(n & 0xf0) << 24 | u32::from(n & 0xf);
            let list: Vec<_> = nets
                .iter()
                .map(|(n, length)| ClassifiedSource {
                    source: IpAddr::from(Ipv4Addr::from(spread(*n))),
                    length: *length,
                    class: SourceClass::Trusted,
                    left_ms: u64::MAX,
                })
                .collect();
            let (networks, _) = TrustedNetworks::new(&list);
            for n in asked {
                let ip = spread(n);
                let longest = nets
                    .iter()
                    .filter(|(net, length)| {
                        let shift = 32 - u32::from(*length);
                        (spread(*net) ^ ip).checked_shr(shift).unwrap_or(0) == 0
                    })
                    .map(|(_, length)| length + 96)
                    .max();
                let index = networks.find(&mapped(Ipv4Addr::from(ip).into()));
                prop_assert_eq!(index.map(|i| networks.length(i)), longest);
            }
        }
    }
}
