//! nftables: who may reach the kernel. Media and SIP over UDP never do; the dataplane has them.
//!
//! What is not named is dropped. The carrier's and the core's side reach the addresses and ports of tandem.toml, and never SSH.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use tandem_config::Config;

use tandem_management::{Management, Prefix};

/// SSH, and the management API.
const SSH: u16 = 22;

/// The whole rule set, to be loaded in one transaction. `devices` are those of management.
pub(super) fn rules(
    management: &Management,
    config: Option<&Config>,
    devices: &[String],
) -> String {
    let mut input = String::new();
    for device in devices {
        access(management, config, device, &mut input);
    }
    let mut quiet = Vec::new();
    if let Some(config) = config {
        for (index, realm) in config.realms.iter().enumerate() {
            quiet.push(realm.tap.as_str());
            let _ = writeln!(input, "    # realm {}", realm.name);
            for address in &realm.sip {
                accept(&mut input, &realm.tap, "udp", *address, None);
            }
            for listen in &config.sip.listen {
                if listen.realm.map(usize::from) == Some(index) {
                    accept(&mut input, &realm.tap, "tcp", listen.listen, None);
                }
            }
            for http in &config.http {
                let ip = http.listen.ip();
                if realm.media.contains(&ip) || realm.sip.iter().any(|sip| sip.ip() == ip) {
                    let networks = http.networks.iter().map(|n| Prefix {
                        address: n.address,
                        length: n.length,
                    });
                    accept(
                        &mut input,
                        &realm.tap,
                        "tcp",
                        http.listen,
                        Some(networks.collect()),
                    );
                }
            }
            let _ = writeln!(
                input,
                "    iifname \"{}\" ip protocol 112 accept",
                realm.tap
            );
        }
    }
    let refused = if quiet.is_empty() {
        String::new()
    } else {
        format!("    iifname {{ {} }} counter drop\n", quoted(&quiet))
    };
    format!(
        "# Made by tandemctl appliance network; changes here are lost.\n\
         table inet tandem\n\
         delete table inet tandem\n\
         table inet tandem {{\n\
         \x20 chain input {{\n\
         \x20   type filter hook input priority filter; policy drop;\n\
         \x20   iifname \"lo\" accept\n\
         \x20   ct state established,related accept\n\
         \x20   ct state invalid counter drop\n\
         \x20   # Path MTU, what is unreachable, neighbours: without these nothing works. Echo within reason.\n\
         \x20   icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept\n\
         \x20   icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }} accept\n\
         \x20   icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} ip6 hoplimit 255 accept\n\
         \x20   icmp type echo-request limit rate 200/second burst 400 packets accept\n\
         \x20   icmpv6 type echo-request limit rate 200/second burst 400 packets accept\n\
         {input}{refused}\
         \x20   counter drop\n\
         \x20 }}\n\
         \x20 chain forward {{\n\
         \x20   type filter hook forward priority filter; policy drop;\n\
         \x20   counter drop\n\
         \x20 }}\n\
         }}\n"
    )
}

fn access(management: &Management, config: Option<&Config>, device: &str, input: &mut String) {
    let access = &management.management;
    let _ = writeln!(input, "    # management");
    if access.addresses.is_empty() {
        let _ = writeln!(
            input,
            "    iifname \"{device}\" udp sport 67 udp dport 68 accept"
        );
        let _ = writeln!(
            input,
            "    iifname \"{device}\" ip6 saddr fe80::/10 udp dport 546 accept"
        );
    }
    let mut ports = BTreeSet::from([SSH]);
    let mut datagrams = BTreeSet::new();
    if let Some(config) = config {
        let of_realms: Vec<IpAddr> = config
            .realms
            .iter()
            .flat_map(|realm| {
                realm
                    .media
                    .iter()
                    .copied()
                    .chain(realm.sip.iter().map(SocketAddr::ip))
            })
            .collect();
        let others = config
            .http
            .iter()
            .filter(|http| !of_realms.contains(&http.listen.ip()));
        ports.extend(others.map(|http| http.listen.port()));
        let streams = config
            .sip
            .listen
            .iter()
            .filter(|listen| listen.realm.is_none());
        ports.extend(streams.map(|listen| listen.listen.port()));
        datagrams.extend(config.sip.kernel.iter().map(|kernel| kernel.listen.port()));
    }
    for network in &access.allow {
        let from = from(&[*network]);
        let _ = writeln!(
            input,
            "    iifname \"{device}\" {from}tcp dport {{ {} }} accept",
            list(&ports)
        );
        if !datagrams.is_empty() {
            let _ = writeln!(
                input,
                "    iifname \"{device}\" {from}udp dport {{ {} }} accept",
                list(&datagrams)
            );
        }
    }
}

fn accept(
    input: &mut String,
    tap: &str,
    protocol: &str,
    to: SocketAddr,
    networks: Option<Vec<Prefix>>,
) {
    let to_family = |prefix: &Prefix| prefix.address.is_ipv4() == to.is_ipv4();
    let networks: Vec<_> = networks
        .unwrap_or_default()
        .into_iter()
        .filter(to_family)
        .collect();
    let family = if to.is_ipv4() { "ip" } else { "ip6" };
    let _ = writeln!(
        input,
        "    iifname \"{tap}\" {}{family} daddr {} {protocol} dport {} accept",
        from(&networks),
        to.ip(),
        to.port()
    );
}

/// A match on the source; nothing for everybody.
fn from(networks: &[Prefix]) -> String {
    let Some(first) = networks.first() else {
        return String::new();
    };
    let family = if first.address.is_ipv4() { "ip" } else { "ip6" };
    if first.length == 0 {
        return format!(
            "meta nfproto {} ",
            if family == "ip" { "ipv4" } else { "ipv6" }
        );
    }
    let all: Vec<_> = networks.iter().map(|n| n.network().to_string()).collect();
    format!("{family} saddr {{ {} }} ", all.join(", "))
}

fn list(ports: &BTreeSet<u16>) -> String {
    ports
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn quoted(names: &[&str]) -> String {
    let all: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::starter::{self, tests::planned};

    fn made(text: &str) -> String {
        let management = Management::parse(text).unwrap();
        let api = "[[http]]\nlisten = \"192.0.2.10:8443\"\nservices = [\"api\"]\ncertificate = \"/c\"\nkey = \"/k\"\n\
                   [[http]]\nlisten = \"198.18.1.1:8080\"\nservices = [\"freeswitch\"]\nplain = true\nnetworks = [\"198.18.1.0/24\"]\n\
                   [freeswitch]\nuser = \"f\"\npassword_file = \"/p\"\n";
        let text = starter::configuration(&planned(3)) + api;
        let config = tandem_config::parse(&text).unwrap();
        rules(&management, Some(&config), &["enp0s2".into()])
    }

    #[test]
    fn management_is_for_whom_the_operator_allows() {
        let rules = made(
            "[management]\naddresses = [\"192.0.2.10/24\"]\nallow = [\"192.0.2.128/25\", \"2001:db8::/32\"]\n",
        );
        assert!(
            rules.contains(
                "iifname \"enp0s2\" ip saddr { 192.0.2.128/25 } tcp dport { 22, 8443 } accept"
            ),
            "{rules}"
        );
        assert!(
            rules.contains(
                "iifname \"enp0s2\" ip6 saddr { 2001:db8::/32 } tcp dport { 22, 8443 } accept"
            ),
            "{rules}"
        );
        assert!(!rules.contains("dport 68"), "{rules}");
        assert!(made("").contains("udp sport 67 udp dport 68"));
    }

    #[test]
    fn the_sides_of_the_calls_reach_sip_and_nothing_else() {
        let rules = made("");
        let of_carrier: Vec<_> = rules
            .lines()
            .filter(|line| line.contains("\"tnd-carrier\""))
            .map(str::trim)
            .collect();
        assert_eq!(
            of_carrier,
            [
                "iifname \"tnd-carrier\" ip daddr 198.18.0.1 udp dport 5060 accept",
                "iifname \"tnd-carrier\" ip protocol 112 accept",
                "iifname { \"tnd-carrier\", \"tnd-core\" } counter drop",
            ]
        );
        let services = "iifname \"tnd-core\" ip saddr { 198.18.1.0/24 } ip daddr 198.18.1.1 tcp dport 8080 accept";
        assert!(rules.contains(services), "{rules}");
        assert_eq!(rules.matches("policy drop").count(), 2);
    }

    #[test]
    fn without_a_configuration_there_is_ssh() {
        let rules = rules(&Management::default(), None, &["eno1".into()]);
        assert!(
            rules.contains("iifname \"eno1\" meta nfproto ipv4 tcp dport { 22 } accept"),
            "{rules}"
        );
    }
}
