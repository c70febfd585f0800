//! systemd-networkd's files: the management port, and the realms' TAP devices.
//!
//! Management has a routing table of its own, so that its default route and the carrier's never compete: what the kernel
//! sends from a realm's address goes by the main table (which the dataplane mirrors), all else by management's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use tandem_config::{Config, Realm};
use tandem_hwprofiles::PciAddress;

use tandem_management::{Access, Management, Prefix};

/// The table with management's routes.
const TABLE: u16 = 100;
/// Rules, before the main table's own (32766): realms' addresses, then what is more precise than a default route, then
/// management.
const REALMS_FIRST: u16 = 100;
const PRECISE: u16 = 200;
const MANAGEMENT: u16 = 300;

/// Files by their names.
pub(super) type Files = BTreeMap<String, String>;

/// All files. `interfaces` are those of management; `macs` are the ports' Ethernet addresses, by PCI address.
pub(super) fn files(
    management: &Management,
    config: Option<&Config>,
    interfaces: &[String],
    macs: &BTreeMap<String, String>,
) -> Files {
    let mut files = Files::new();
    for interface in interfaces {
        access(&management.management, interface, &mut files);
    }
    for realm in config.iter().flat_map(|config| &config.realms) {
        let port = config.and_then(|config| config.ports.get(usize::from(realm.port)));
        let address = port.and_then(|port| port.device.parse::<PciAddress>().ok());
        let mac = address.and_then(|address| macs.get(&address.to_string()));
        tap(management, realm, mac, &mut files);
    }
    files
}

fn access(access: &Access, interface: &str, files: &mut Files) {
    let own = match access.vlan {
        None => interface.to_owned(),
        Some(vlan) => {
            let name = vlan_name(vlan);
            files.insert(
                format!("20-{name}.netdev"),
                format!("[NetDev]\nName={name}\nKind=vlan\n\n[VLAN]\nId={vlan}\n"),
            );
            files.insert(
                format!("20-{interface}.network"),
                format!(
                    "[Match]\nName={interface}\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nVLAN={name}\nLinkLocalAddressing=no\n"
                ),
            );
            name
        }
    };
    let mut text = format!(
        "[Match]\nName={own}\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nLinkLocalAddressing=ipv6\nLLDP=yes\nEmitLLDP=yes\n"
    );
    if access.addresses.is_empty() {
        text += "DHCP=yes\nIPv6AcceptRA=yes\n";
    } else {
        text += "DHCP=no\nIPv6AcceptRA=no\n";
    }
    for address in &access.addresses {
        let _ = writeln!(text, "Address={address}");
    }
    for server in &access.dns {
        let _ = writeln!(text, "DNS={server}");
    }
    if access.addresses.is_empty() {
        let _ = write!(
            text,
            "\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\nRouteTable={TABLE}\n\n[IPv6AcceptRA]\nRouteTable={TABLE}\n"
        );
    }
    for gateway in &access.gateways {
        let _ = write!(text, "\n[Route]\nGateway={gateway}\nTable={TABLE}\n");
    }
    let _ = write!(
        text,
        "\n[RoutingPolicyRule]\nPriority={PRECISE}\nTable=254\nSuppressPrefixLength=0\nFamily=both\n\n\
         [RoutingPolicyRule]\nPriority={MANAGEMENT}\nTable={TABLE}\nFamily=both\n"
    );
    files.insert(format!("30-{own}.network"), text);
}

/// The device that management's packets come by.
pub(super) fn device(access: &Access, interface: &str) -> String {
    access.vlan.map_or_else(|| interface.to_owned(), vlan_name)
}

fn vlan_name(vlan: u16) -> String {
    format!("mgmt.{vlan}")
}

fn tap(management: &Management, realm: &Realm, mac: Option<&String>, files: &mut Files) {
    let name = &realm.tap;
    let mac = mac
        .map(|mac| format!("MACAddress={mac}\n"))
        .unwrap_or_default();
    // The dataplane takes it over by its name: it is its owner, and needs no rights for that.
    files.insert(
        format!("50-{name}.netdev"),
        format!(
            "[NetDev]\nName={name}\nKind=tap\n\n[Tap]\nUser=tandem-dataplane\nGroup=tandem-dataplane\n"
        ),
    );
    let net = management.realm(&realm.name);
    let addresses = addresses(realm, &net.addresses);
    let has_six = addresses.iter().any(|own| own.address.is_ipv6());
    // The TAP has a carrier only while the dataplane has it and the port has a link: addresses and routes stay.
    let mut text = format!(
        "[Match]\nName={name}\n\n[Link]\n{mac}RequiredForOnline=no\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing={}\n\
         ConfigureWithoutCarrier=yes\nIgnoreCarrierLoss=yes\nKeepConfiguration=yes\nLLDP=no\n",
        if has_six { "ipv6" } else { "no" }
    );
    for own in &addresses {
        // Duplicates are not looked for: the address would not answer for 2 s of each start.
        let _ = write!(
            text,
            "\n[Address]\nAddress={own}\nDuplicateAddressDetection=none\n"
        );
    }
    for gateway in &net.gateways {
        let _ = write!(text, "\n[Route]\nGateway={gateway}\n");
    }
    for route in &net.routes {
        let _ = write!(
            text,
            "\n[Route]\nDestination={}\nGateway={}\n",
            route.to.network(),
            route.via
        );
    }
    for own in &addresses {
        let _ = write!(
            text,
            "\n[RoutingPolicyRule]\nFrom={}\nPriority={REALMS_FIRST}\nTable=254\n",
            own.address
        );
    }
    files.insert(format!("50-{name}.network"), text);
}

/// Those that are written down, and those of tandem.toml that are missing there: nobody would answer for them.
fn addresses(realm: &Realm, written: &[Prefix]) -> Vec<Prefix> {
    let mut all = written.to_vec();
    for address in ours(realm) {
        if all.iter().all(|own| own.address != address) {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            let length = written
                .iter()
                .find(|own| own.contains(address))
                .map_or(whole, |own| own.length);
            all.push(Prefix { address, length });
        }
    }
    all
}

/// A realm's SIP and media addresses, each once.
fn ours(realm: &Realm) -> Vec<IpAddr> {
    let mut all: Vec<_> = realm.sip.iter().map(std::net::SocketAddr::ip).collect();
    all.extend(&realm.media);
    let mut once = Vec::new();
    for address in all {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    once
}

/// What is not wrong, and yet not as an operator wants it: each with its remedy.
pub(super) fn remarks(management: &Management, config: &Config) -> Vec<String> {
    let known: Vec<_> = config.realms.iter().map(|r| r.name.as_str()).collect();
    let strangers = management.strangers(&known).into_iter();
    let mut all: Vec<_> = strangers
        .map(|line| format!("management.toml: {line}"))
        .collect();
    for realm in &config.realms {
        let net = management.realm(&realm.name);
        for address in ours(realm) {
            if !net.addresses.iter().any(|own| own.contains(address)) {
                all.push(format!(
                    "realm {}: {address} is in no network of management.toml, so nobody on its network is reached: write \
                     [realm.{}] addresses = [\"{address}/24\"] with the right length",
                    realm.name, realm.name
                ));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::starter::tests::config;

    fn management(text: &str) -> Management {
        Management::parse(text).unwrap()
    }

    #[test]
    fn by_dhcp_the_default_route_is_management_s_own() {
        let files = files(
            &Management::default(),
            None,
            &["enp0s2".into()],
            &BTreeMap::new(),
        );
        let text = &files["30-enp0s2.network"];
        assert_eq!(files.len(), 1);
        assert!(text.contains("DHCP=yes\n"), "{text}");
        assert!(
            text.contains("[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\nRouteTable=100\n"),
            "{text}"
        );
        assert!(
            text.contains("Table=254\nSuppressPrefixLength=0\n"),
            "{text}"
        );
    }

    #[test]
    fn addresses_gateways_and_a_vlan() {
        let file = management(
            "[management]\nvlan = 7\naddresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.2.1\"]\ndns = [\"192.0.2.53\"]\n",
        );
        let files = files(&file, None, &["eno1".into()], &BTreeMap::new());
        assert!(files["20-mgmt.7.netdev"].contains("Id=7\n"));
        assert!(files["20-eno1.network"].contains("VLAN=mgmt.7\n"));
        let text = &files["30-mgmt.7.network"];
        for part in [
            "Address=192.0.2.10/24\n",
            "Gateway=192.0.2.1\nTable=100\n",
            "DNS=192.0.2.53\n",
            "DHCP=no\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(device(&file.management, "eno1"), "mgmt.7");
    }

    #[test]
    fn taps_have_the_port_s_mac_the_realm_s_addresses_and_its_routes() {
        let file = management(
            "[realm.carrier]\naddresses = [\"198.18.0.1/24\"]\ngateways = [\"198.18.0.254\"]\n\
             [[realm.carrier.route]]\nto = \"203.0.113.9/24\"\nvia = \"198.18.0.253\"\n",
        );
        let config = config();
        let macs = BTreeMap::from([("0000:00:03.0".to_owned(), "52:54:00:00:00:03".to_owned())]);
        let files = files(&file, Some(&config), &[], &macs);
        let netdev = &files["50-tnd-carrier.netdev"];
        // networkd takes no address for a TAP there.
        assert!(!netdev.contains("MACAddress"), "{netdev}");
        assert!(netdev.contains("User=tandem-dataplane\n"), "{netdev}");
        assert!(!files["50-tnd-core.network"].contains("MACAddress"));
        let text = &files["50-tnd-carrier.network"];
        for part in [
            "[Link]\nMACAddress=52:54:00:00:00:03\n",
            "Address=198.18.0.1/24\n",
            "[Route]\nGateway=198.18.0.254\n",
            "Destination=203.0.113.0/24\nGateway=198.18.0.253\n",
            "From=198.18.0.1\nPriority=100\n",
            "IgnoreCarrierLoss=yes\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // Not written down: nobody but the address itself.
        assert!(files["50-tnd-core.network"].contains("Address=198.18.1.1/32\n"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let file = management("[realm.carier]\naddresses = [\"198.18.0.1/24\"]\n");
        let remarks = remarks(&file, &config()).join("\n");
        assert!(
            remarks.contains("realm.carier: tandem.toml has no such realm; it has: carrier, core"),
            "{remarks}"
        );
        assert!(
            remarks.contains("realm core: 198.18.1.1 is in no network"),
            "{remarks}"
        );
    }
}
