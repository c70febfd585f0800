//! What the set-up writes, and the mistakes in it: found by the same check as `tandemctl config check`.

use std::net::IpAddr;

use tandem_management::Management;

use super::{Field, PortRole, Setup};
use crate::feed::SetupFiles;

/// Kinds of keys that sshd takes.
const KEYS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

impl Setup {
    /// All that is wrong, each with its remedy.
    pub(super) fn find_mistakes(&self) -> Vec<String> {
        let mut all = Vec::new();
        match &self.machine {
            None => all.push("the machine was not looked at yet: wait".to_owned()),
            Some(Err(why)) => all.push(format!("the machine: {why}")),
            Some(Ok(machine)) => {
                all.extend(machine.locked.clone());
                if let Err(why) = &machine.plan {
                    all.push(format!("ports: {why}"));
                }
            }
        }
        for field in [Field::CarrierAddress, Field::CoreAddress] {
            let text = self.field(field);
            if prefix(text).is_none() {
                all.push(format!(
                    "{}: {}; write it as {}",
                    field.name(),
                    if text.is_empty() {
                        "it is missing".to_owned()
                    } else {
                        format!("{text} is no address with the length of its network")
                    },
                    field.hint()
                ));
            }
        }
        for field in [Field::ManagementAddress, Field::ManagementAllow] {
            let text = self.field(field);
            if !text.is_empty() && prefix(text).is_none() {
                all.push(format!(
                    "{}: {text} is no network; write it as 198.51.100.7/24, or leave it empty",
                    field.name()
                ));
            }
        }
        for (gateway, address) in [
            (Field::CarrierGateway, Field::CarrierAddress),
            (Field::CoreGateway, Field::CoreAddress),
            (Field::ManagementGateway, Field::ManagementAddress),
        ] {
            let text = self.field(gateway);
            if text.is_empty() {
                continue;
            }
            let on = prefix(self.field(address));
            match (text.parse::<IpAddr>(), on) {
                (Err(_), _) => all.push(format!(
                    "{}: {text} is no address; write one, or leave it empty",
                    gateway.name()
                )),
                (Ok(ip), Some((own, length))) if !same_network(ip, own, length) => {
                    all.push(format!(
                        "{}: {text} is not on the network of {}; write a router that is",
                        gateway.name(),
                        self.field(address)
                    ));
                }
                _ => {}
            }
        }
        let name = self.field(Field::Name);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !name.is_empty()
            && (name.len() > 63
                || !name.chars().all(fits)
                || name.starts_with('-')
                || name.ends_with('-'))
        {
            all.push(format!(
                "{}: {name} is none; write letters, digits and -, 63 at most",
                Field::Name.name()
            ));
        }
        let key = self.field(Field::Key).trim();
        if !key.is_empty() {
            let mut words = key.split_whitespace();
            let (kind, secret) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
            if !KEYS.contains(&kind) || !secret.starts_with("AAAA") || !secret.chars().all(base64) {
                all.push(format!(
                    "{}: it is no public key; paste the line of a .pub file",
                    Field::Key.name()
                ));
            }
        }
        // What `tandemctl appliance check` would say, at the fields that it is about.
        for mistake in Management::parse(&self.management())
            .err()
            .unwrap_or_default()
        {
            let field = of_field(&mistake);
            let is_known = |field: Field| all.iter().any(|known| known.starts_with(field.name()));
            match field {
                Some((field, _)) if is_known(field) => {}
                Some((field, why)) => all.push(format!("{}: {why}", field.name())),
                // Of a field that is no address yet, which was said above.
                None if all.is_empty() => all.push(format!("management.toml: {mistake}")),
                None => {}
            }
        }
        // What the daemons would say: lines are those of the file on the next page.
        if all.is_empty()
            && let Err(mistakes) = tandem_config::parse(&self.configuration())
        {
            all.extend(mistakes.iter().map(ToString::to_string));
        }
        all
    }

    /// tandem.toml.
    pub(crate) fn configuration(&self) -> String {
        let Some(plan) = self.plan() else {
            return String::new();
        };
        let one_port = plan.roles.iter().any(|(_, role)| role == "both");
        let node = match self.field(Field::Node) {
            "" => "1",
            node => node,
        };
        let mut text = format!(
            "# Written by the console's set-up. All keys with their meanings are in tandem.example.toml.\n\n[node]\nid = {}\n\n{}",
            bare(node),
            plan.configuration
        );
        for (realm, side, address, vlan, usual) in [
            (
                "carrier",
                "external",
                Field::CarrierAddress,
                Field::CarrierVlan,
                100,
            ),
            ("core", "internal", Field::CoreAddress, Field::CoreVlan, 200),
        ] {
            let ip = prefix(self.field(address)).map_or(String::new(), |(ip, _)| ip.to_string());
            let sip = match ip.contains(':') {
                true => format!("[{ip}]:5060"),
                false => format!("{ip}:5060"),
            };
            let vlan = match (self.field(vlan), one_port) {
                ("", true) => format!("vlan = {usual}\n"),
                ("", false) => String::new(),
                (vlan, _) => format!("vlan = {}\n", bare(vlan)),
            };
            let port = if one_port { "trunk" } else { realm };
            text += &format!(
                "\n[[realm]]\nname = \"{realm}\"\nside = \"{side}\"\nport = \"{port}\"\n{vlan}tap = \"tnd-{realm}\"\nsip = [\"{sip}\"]\nmedia = [\"{ip}\"]\n"
            );
        }
        text
    }

    /// management.toml.
    pub(crate) fn management(&self) -> String {
        let list = |key: &str, field: Field| match self.field(field) {
            "" => String::new(),
            text => format!("{key} = [\"{}\"]\n", quoted(text)),
        };
        let port = self.roles.iter().find(|(_, r)| **r == PortRole::Management);
        let mut text = "# Written by the console's set-up. `tandemctl appliance check` finds mistakes; what is saved takes effect at once.\n\n[management]\n".to_owned();
        if let Some((address, _)) = port {
            text += &format!("port = \"{}\"\n", quoted(address));
        }
        text += &list("addresses", Field::ManagementAddress);
        text += &list("gateways", Field::ManagementGateway);
        text += &list("allow", Field::ManagementAllow);
        for (realm, address, gateway) in [
            ("carrier", Field::CarrierAddress, Field::CarrierGateway),
            ("core", Field::CoreAddress, Field::CoreGateway),
        ] {
            text += &format!("\n[realm.{realm}]\n");
            text += &list("addresses", address);
            text += &list("gateways", gateway);
        }
        text
    }

    /// All of it.
    pub(super) fn files(&self) -> SetupFiles {
        SetupFiles {
            configuration: self.configuration(),
            management: self.management(),
            name: self.field(Field::Name).trim().to_owned(),
            key: self.field(Field::Key).trim().to_owned(),
            wishes: self.wishes(),
        }
    }
}

/// The field that a mistake in management.toml is about, and the rest of what it says.
fn of_field(mistake: &str) -> Option<(Field, &str)> {
    const PLACES: [(&str, Field); 8] = [
        ("management.addresses: ", Field::ManagementAddress),
        ("management.gateways: ", Field::ManagementGateway),
        ("management: ", Field::ManagementGateway),
        ("management.allow: ", Field::ManagementAllow),
        ("realm.carrier.addresses: ", Field::CarrierAddress),
        ("realm.carrier.gateways: ", Field::CarrierGateway),
        ("realm.core.addresses: ", Field::CoreAddress),
        ("realm.core.gateways: ", Field::CoreGateway),
    ];
    let mut places = PLACES.into_iter();
    places.find_map(|(place, field)| Some((field, mistake.strip_prefix(place)?)))
}

/// What stands in a file as a number; whatever is no number is an error there, and must not be two lines.
fn bare(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    let kept: String = text.trim().chars().filter(plain).collect();
    if kept.is_empty() {
        "\"\"".to_owned()
    } else {
        kept
    }
}

/// A text for a string of TOML.
fn quoted(text: &str) -> String {
    let plain = |c: &char| !c.is_control() && *c != '"' && *c != '\\';
    text.trim().chars().filter(plain).collect()
}

/// `192.0.2.10/24`
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, length) = text.trim().split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, length))
}

fn same_network(a: IpAddr, b: IpAddr, length: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let kept = u32::from(length).min(128);
    let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
    a.is_ipv4() == b.is_ipv4() && (bits(a) ^ bits(b)) & mask == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_are_compared_by_their_length() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(same_network(ip("192.0.2.1"), ip("192.0.2.200"), 24));
        assert!(!same_network(ip("192.0.3.1"), ip("192.0.2.200"), 24));
        assert!(same_network(ip("2001:db8::1"), ip("2001:db8::ff"), 64));
        assert!(same_network(ip("10.0.0.1"), ip("192.0.2.1"), 0));
        assert!(!same_network(ip("10.0.0.1"), ip("::1"), 0));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_one_value(text in any::<String>()) {
            prop_assert!(!bare(&text).contains(['\n', ' ', '=']));
            prop_assert!(!quoted(&text).contains(['\n', '"', '\\']));
            let _ = prefix(&text);
        }
    }
}
