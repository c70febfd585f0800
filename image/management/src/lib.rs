//! `/etc/tandem/management.toml`: how the machine is administered, and what the kernel has on its networks.
//!
//! Pure: text in, [`Management`] or every mistake out. `tandemctl appliance` carries it out; the console checks what is
//! typed in the set-up with it, `tandem-flash` what is put on a disk; neither daemon reads it.
//!
//! ```
//! let mistakes = tandem_management::Management::parse("[management]\nallow = []\n").unwrap_err();
//! assert!(mistakes[0].starts_with("management.allow: "));
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use tandem_hwprofiles::PciAddress;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Management {
    /// `[management]`
    #[serde(default)]
    pub management: Access,
    /// `[realm.NAME]`, by the realm's name in tandem.toml.
    #[serde(default, rename = "realm")]
    pub realms: BTreeMap<String, RealmNet>,
}

/// `[management]`: the port, and who may come by it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// `port`: its PCI address. None: the one that the hardware plan leaves for it.
    pub port: Option<PciAddress>,
    /// `vlan` of it, 1 to 4,094.
    pub vlan: Option<u16>,
    /// `addresses`: by DHCP and router advertisements where there are none.
    pub addresses: Vec<Prefix>,
    /// `gateways`: at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// `dns`
    pub dns: Vec<IpAddr>,
    /// `ntp`: names or addresses. None: those of DHCP and Debian's pool.
    pub ntp: Vec<String>,
    /// `allow`: the networks that may connect; whoever reaches the port by default.
    pub allow: Vec<Prefix>,
    /// `ssh_password`: whether SSH takes passwords, too.
    pub ssh_password: bool,
}

/// `[realm.NAME]`: what the kernel has on the realm's TAP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealmNet {
    /// `addresses`, with the length of their network.
    pub addresses: Vec<Prefix>,
    /// `gateways`: at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// `[[realm.NAME.route]]`
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
}

/// `[[realm.NAME.route]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `to`: a network.
    pub to: Prefix,
    /// `via`: a router on the realm's network.
    pub via: IpAddr,
}

impl Default for Access {
    fn default() -> Self {
        let all = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        Self {
            port: None,
            vlan: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
            dns: Vec::new(),
            ntp: Vec::new(),
            allow: all
                .into_iter()
                .map(|address| Prefix { address, length: 0 })
                .collect(),
            ssh_password: false,
        }
    }
}

/// An address and the length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address itself, which may have more bits than the network.
    pub address: IpAddr,
    /// 0 to 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// Whether an address is in the network.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        bits(other, self.length) == bits(self.address, self.length)
            && other.is_ipv4() == self.address.is_ipv4()
    }

    /// The network's first address, with its length: `192.0.2.7/24` gives `192.0.2.0/24`.
    #[must_use]
    pub fn network(&self) -> Self {
        let kept = bits(self.address, self.length);
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::from(u32::try_from(kept).unwrap_or_default().to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(kept.to_be_bytes()),
        };
        Self {
            address,
            length: self.length,
        }
    }
}

/// The first bits of an address, the rest being zero.
fn bits(address: IpAddr, length: u8) -> u128 {
    let (value, width) = match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    match u32::from(length) {
        0 => 0,
        length => value >> (width - length.min(width)) << (width - length.min(width)),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no address with the length of its network, such as 192.0.2.10/24")
        };
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length > most {
            return Err(format!(
                "{text:?}: the length of the network is at most {most}"
            ));
        }
        Ok(Self { address, length })
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Management {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Every mistake, each a line with what to do about it.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: Self = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mistakes = file.mistakes();
        if mistakes.is_empty() {
            Ok(file)
        } else {
            Err(mistakes)
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut all = Vec::new();
        let access = &self.management;
        network("management", &access.addresses, &access.gateways, &mut all);
        if access.addresses.is_empty() && !access.gateways.is_empty() {
            all.push("management: gateways come by DHCP where there are no addresses: name both, or neither".into());
        }
        if access.allow.is_empty() {
            all.push("management.allow: nobody could come in: name networks, or leave the key out for everybody".into());
        }
        if access.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
            all.push("management.vlan is 1 to 4094".into());
        }
        for server in &access.ntp {
            if !is_host(server) {
                all.push(format!(
                    "management.ntp: {server:?} is neither a name nor an address"
                ));
            }
        }
        for (name, realm) in &self.realms {
            let place = format!("realm.{name}");
            network(&place, &realm.addresses, &realm.gateways, &mut all);
            for route in &realm.routes {
                if route.to.address.is_ipv4() != route.via.is_ipv4() {
                    all.push(format!(
                        "{place}.route: {} and {} are of two families",
                        route.to, route.via
                    ));
                } else if !realm.addresses.iter().any(|own| own.contains(route.via)) {
                    all.push(format!(
                        "{place}.route: {} is in no network of {place}.addresses",
                        route.via
                    ));
                }
            }
        }
        all
    }

    /// What is here for realms that tandem.toml has not: a line each, with those that it has. Mostly a name is not as it was meant.
    #[must_use]
    pub fn strangers(&self, known: &[&str]) -> Vec<String> {
        let strange = |name: &&String| !known.contains(&name.as_str());
        let names = self.realms.keys().filter(strange);
        names
            .map(|name| {
                format!(
                    "realm.{name}: tandem.toml has no such realm; it has: {}",
                    known.join(", ")
                )
            })
            .collect()
    }

    /// What is here for a realm.
    #[must_use]
    pub fn realm(&self, name: &str) -> RealmNet {
        self.realms.get(name).cloned().unwrap_or_default()
    }
}

/// Letters, digits, dots, hyphens, and the colons of an IPv6 address: nothing that a configuration file of another
/// program could take for more.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
}

fn network(place: &str, addresses: &[Prefix], gateways: &[IpAddr], all: &mut Vec<String>) {
    for own in addresses {
        let address = own.address;
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            all.push(format!(
                "{place}.addresses: {address} cannot be an address of a machine"
            ));
        }
        if own.length > 0 && own.length < 31 && own.network().address == address {
            all.push(format!(
                "{place}.addresses: {own} is the network itself, and not an address in it"
            ));
        }
        if own.length == 0 {
            all.push(format!("{place}.addresses: {own} would be everything: write the length of the network, such as /24"));
        }
    }
    for family in [true, false] {
        let of_family = gateways
            .iter()
            .filter(|gateway| gateway.is_ipv4() == family);
        if of_family.count() > 1 {
            all.push(format!(
                "{place}.gateways: at most one of each family; more ways are routes of a realm"
            ));
        }
    }
    for gateway in gateways {
        if !addresses.is_empty() && !addresses.iter().any(|own| own.contains(*gateway)) {
            all.push(format!(
                "{place}.gateways: {gateway} is in no network of {place}.addresses: correct one of them"
            ));
        }
        if addresses.iter().any(|own| own.address == *gateway) {
            all.push(format!(
                "{place}.gateways: {gateway} is this machine itself"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_dhcp_and_everybody_on_the_port() {
        let file = Management::parse("").unwrap();
        assert_eq!(file, Management::default());
        assert_eq!(file.management.allow.len(), 2);
        assert!(!file.management.ssh_password);
    }

    #[test]
    fn realms_that_the_configuration_lacks() {
        let file = Management::parse("[realm.carrier]\n[realm.cores]\n").unwrap();
        assert_eq!(
            file.strangers(&["carrier", "core"]),
            ["realm.cores: tandem.toml has no such realm; it has: carrier, core"]
        );
    }

    #[test]
    fn a_whole_file() {
        let file = Management::parse(
            "[management]\nport = \"0000:00:02.0\"\naddresses = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n\
             gateways = [\"192.0.2.1\"]\ndns = [\"192.0.2.53\"]\nntp = [\"ntp.example.net\"]\nallow = [\"192.0.2.0/24\"]\n\
             [realm.carrier]\naddresses = [\"198.51.100.1/24\"]\ngateways = [\"198.51.100.254\"]\n\
             [[realm.carrier.route]]\nto = \"203.0.113.0/24\"\nvia = \"198.51.100.253\"\n",
        )
        .unwrap();
        assert_eq!(file.management.addresses.len(), 2);
        assert_eq!(file.realm("carrier").routes.len(), 1);
        assert_eq!(file.realm("core"), RealmNet::default());
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, part) in [
            ("[management]\nadress = []", "line 2"),
            (
                "[management]\naddresses = [\"192.0.2.10\"]",
                "192.0.2.10/24",
            ),
            (
                "[management]\naddresses = [\"192.0.2.10/33\"]",
                "at most 32",
            ),
            (
                "[management]\naddresses = [\"192.0.2.0/24\"]",
                "the network itself",
            ),
            ("[management]\naddresses = [\"127.0.0.1/8\"]", "cannot be"),
            (
                "[management]\naddresses = [\"192.0.2.1/0\"]",
                "would be everything",
            ),
            (
                "[management]\naddresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.3.1\"]",
                "in no network",
            ),
            (
                "[management]\naddresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.2.10\"]",
                "itself",
            ),
            ("[management]\ngateways = [\"192.0.2.1\"]", "DHCP"),
            ("[management]\nallow = []", "nobody could come in"),
            ("[management]\nvlan = 4095", "1 to 4094"),
            ("[management]\nntp = [\"a b\\nserver c\"]", "neither a name"),
            ("[management]\nport = \"eth0\"", "PCI address"),
            (
                "[realm.a]\naddresses = [\"192.0.2.1/24\"]\n[[realm.a.route]]\nto = \"::/0\"\nvia = \"192.0.2.2\"",
                "two families",
            ),
            (
                "[realm.a]\naddresses = [\"192.0.2.1/24\"]\n[[realm.a.route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.3.2\"",
                "realm.a.route",
            ),
            (
                "[realm.a]\naddresses = [\"192.0.2.9/24\"]\ngateways = [\"192.0.2.1\", \"192.0.2.2\"]",
                "at most one",
            ),
        ] {
            let mistakes = Management::parse(text).unwrap_err().join("\n");
            assert!(mistakes.contains(part), "{text}: {mistakes}");
        }
    }

    #[test]
    fn networks() {
        let prefix: Prefix = "192.0.2.77/26".parse().unwrap();
        assert_eq!(prefix.network().to_string(), "192.0.2.64/26");
        assert!(prefix.contains("192.0.2.65".parse().unwrap()));
        assert!(!prefix.contains("192.0.2.128".parse().unwrap()));
        assert!(!prefix.contains("::1".parse().unwrap()));
        let six: Prefix = "2001:db8::5/64".parse().unwrap();
        assert_eq!(six.network().to_string(), "2001:db8::/64");
        let all: Prefix = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()) && !all.contains("::".parse().unwrap()));
    }
}
