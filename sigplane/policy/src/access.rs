//! Who may call: Kamailio's address groups.
//!
//! A row's `tag` may ask for more than an address: `transport=tls`, and `tls_name=sbc.example.net`, the name in the certificate that the peer has
//! shown and that was verified, with semicolons or spaces around them. What else is in a tag is the operator's own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::rows::{AddressRow, BadRow};
use crate::transport::Transport;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Its address.
    pub source: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The name in its certificate, if it has shown one that was verified.
    pub tls_name: Option<&'a str>,
}

/// The address groups of one state of the `address` table.
#[derive(Clone, Debug, Default)]
pub struct Access {
    groups: HashMap<u32, Group>,
}

/// One group: single hosts by lookup, networks by search.
#[derive(Clone, Debug, Default)]
struct Group {
    /// What is asked of each host.
    hosts: HashMap<IpAddr, Vec<Terms>>,
    networks: Vec<Network>,
}

#[derive(Clone, Debug)]
struct Network {
    address: IpAddr,
    mask: u8,
    terms: Terms,
}

/// What is asked besides the address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    /// 0 for any.
    port: u16,
    transport: Option<Transport>,
    tls_name: Option<Box<str>>,
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

    /// The networks of group `grp` of which nothing is asked that a datagram cannot show, with their leading bits.
    #[must_use]
    pub fn networks(&self, grp: u32) -> Vec<(IpAddr, u8)> {
        let Some(group) = self.groups.get(&grp) else {
            return Vec::new();
        };
        let plain = |terms: &Terms| {
            terms.port == 0
                && terms.tls_name.is_none()
                && matches!(terms.transport, None | Some(Transport::Udp))
        };
        let hosts = group.hosts.iter().filter(|(_, all)| all.iter().any(plain));
        let hosts = hosts.map(|(ip, _)| (*ip, if ip.is_ipv4() { 32 } else { 128 }));
        let networks = group.networks.iter().filter(|n| plain(&n.terms));
        let mut all: Vec<_> = hosts.chain(networks.map(|n| (n.address, n.mask))).collect();
        // The same rows say the same, in whatever order they lie.
        all.sort_unstable();
        all
    }

    /// Whether `origin` is a member of group `grp`.
    #[must_use]
    pub fn is_member(&self, grp: u32, origin: &Origin<'_>) -> bool {
        let ip = origin.source.ip().to_canonical();
        self.groups
            .get(&grp)
            .is_some_and(|group| group.contains(ip, origin))
    }
}

impl Access {
    /// Whether any port of `ip` is a member of group `grp`, without a certificate.
    #[must_use]
    pub fn has(&self, grp: u32, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.groups.get(&grp).is_some_and(|group| {
            let open = |terms: &Terms| terms.tls_name.is_none();
            let host = group.hosts.get(&ip);
            host.is_some_and(|terms| terms.iter().any(open))
                || group
                    .networks
                    .iter()
                    .any(|n| open(&n.terms) && n.contains(ip))
        })
    }
}

impl Access {
    /// The hosts and networks of which [`Self::has`] says yes, by an address and the length of the prefix.
    pub fn members(&self, grp: u32) -> impl Iterator<Item = (IpAddr, u8)> {
        let open = |terms: &Terms| terms.tls_name.is_none();
        self.groups.get(&grp).into_iter().flat_map(move |group| {
            let hosts = group.hosts.iter().filter(move |(_, t)| t.iter().any(open));
            let hosts = hosts.map(|(ip, _)| (*ip, width(*ip)));
            let networks = group.networks.iter().filter(move |n| open(&n.terms));
            hosts.chain(networks.map(|n| (n.address, n.mask)))
        })
    }
}

impl Group {
    fn add(&mut self, network: Network) {
        if network.mask == width(network.address) {
            self.hosts
                .entry(network.address)
                .or_default()
                .push(network.terms);
        } else {
            self.networks.push(network);
        }
    }

    fn contains(&self, ip: IpAddr, origin: &Origin<'_>) -> bool {
        let host = self.hosts.get(&ip);
        host.is_some_and(|terms| terms.iter().any(|t| t.allow(origin)))
            || self
                .networks
                .iter()
                .any(|n| n.terms.allow(origin) && n.contains(ip))
    }
}

impl Terms {
    fn parse(row: &AddressRow) -> Result<Self, String> {
        let mut terms = Self {
            port: row.port,
            transport: None,
            tls_name: None,
        };
        for word in row.tag.split([';', ' ']) {
            match word.split_once('=') {
                Some(("transport", name)) => {
                    let known = Transport::parse(name.as_bytes());
                    terms.transport = Some(known.ok_or_else(|| {
                        format!("tag: `{name}` is no transport: write udp, tcp, tls, ws or wss")
                    })?);
                }
                Some(("tls_name", "")) => {
                    return Err("tag: tls_name without a name would let everybody in".to_owned());
                }
                Some(("tls_name", name)) => terms.tls_name = Some(name.into()),
                _ => {}
            }
        }
        Ok(terms)
    }

    fn allow(&self, origin: &Origin<'_>) -> bool {
        let port = self.port == 0 || self.port == origin.source.port();
        let transport = self.transport.is_none_or(|t| t == origin.transport);
        let name = self.tls_name.as_deref().is_none_or(|wanted| {
            origin
                .tls_name
                .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        });
        port && transport && name
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
            terms: Terms::parse(row)?,
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

    fn at(text: &str) -> Origin<'static> {
        Origin {
            source: text.parse().unwrap(),
            transport: Transport::Udp,
            tls_name: None,
        }
    }

    #[test]
    fn a_tag_asks_for_a_transport_and_for_a_name() {
        let tagged = |id, ip: &str, mask, tag: &str| AddressRow {
            tag: tag.into(),
            ..row(id, 1, ip, mask, 0)
        };
        let (access, bad) = Access::new(&[
            tagged(1, "192.0.2.7", 32, "carrier one; transport=tcp"),
            tagged(2, "0.0.0.0", 0, "tls_name=SBC.example.net;gold"),
            tagged(3, "192.0.2.9", 32, "price=5"),
            tagged(4, "192.0.2.10", 32, "transport=sctp"),
            tagged(5, "192.0.2.11", 32, "tls_name="),
        ]);
        let ids: Vec<_> = bad.iter().map(|b| b.id).collect();
        assert_eq!(ids, [4, 5]);
        let by = |ip: &str, transport, tls_name| {
            let origin = Origin {
                source: format!("{ip}:5061").parse().unwrap(),
                transport,
                tls_name,
            };
            access.is_member(1, &origin)
        };
        assert!(by("192.0.2.7", Transport::Tcp, None));
        assert!(!by("192.0.2.7", Transport::Udp, None));
        assert!(!by("192.0.2.7", Transport::Tls, Some("other")));
        assert!(by("198.51.100.1", Transport::Tls, Some("sbc.example.NET")));
        assert!(!by("198.51.100.1", Transport::Tls, None));
        assert!(!by(
            "198.51.100.1",
            Transport::Tls,
            Some("sbc.example.net.evil")
        ));
        assert!(by("192.0.2.9", Transport::Udp, None));
        // Whoever might show a certificate is not trusted before.
        let ip = |text: &str| at(text).source.ip();
        assert!(access.has(1, ip("192.0.2.9:1")) && !access.has(1, ip("198.51.100.1:1")));
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
        assert!(access.is_member(1, &at("192.0.2.7:1234")));
        assert!(access.is_member(1, &at("198.51.100.255:9")));
        assert!(!access.is_member(1, &at("198.51.101.0:9")));
        assert!(access.is_member(1, &at("203.0.113.9:5060")));
        assert!(!access.is_member(1, &at("203.0.113.9:5061")));
        assert!(!access.is_member(1, &at("192.0.2.8:5060")));
        assert!(access.is_member(2, &at("192.0.2.8:5060")));
        assert!(access.is_member(1, &at("[2001:db8:1:2::3]:5060")));
        assert!(!access.is_member(1, &at("[2001:db8:2::3]:5060")));
        assert!(access.is_member(1, &at("[::ffff:192.0.2.7]:5060")));
        assert!(
            access.has(1, at("203.0.113.9:5061").source.ip()),
            "by another port"
        );
        assert!(access.has(1, at("[2001:db8:1:2::3]:1").source.ip()));
        assert!(!access.has(1, at("192.0.2.8:5060").source.ip()));
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
        assert!(access.is_member(1, &at("192.0.2.9:1")));
        assert!(!access.is_member(1, &at("192.0.2.7:1")));
    }

    #[test]
    fn mask_zero_means_everybody_of_the_family() {
        let (access, _) = Access::new(&[row(1, 1, "0.0.0.0", 0, 0)]);
        assert!(access.is_member(1, &at("8.8.8.8:1")));
        assert!(!access.is_member(1, &at("[2001:db8::1]:1")));
    }

    proptest! {
        #[test]
        fn membership_is_the_prefix(net: u32, ip: u32, mask in 0_u8..=32) {
            let (access, bad) =
                Access::new(&[row(1, 1, &Ipv4Addr::from_bits(net).to_string(), mask, 0)]);
            prop_assert!(bad.is_empty());
            let keep = u32::MAX.checked_shl(32 - u32::from(mask)).unwrap_or(0);
            let source = SocketAddr::new(Ipv4Addr::from_bits(ip).into(), 5060);
            let origin = Origin { source, transport: Transport::Udp, tls_name: None };
            prop_assert_eq!(access.is_member(1, &origin), net & keep == ip & keep);
        }
    }
}
