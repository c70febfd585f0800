//! The first configuration, of the hardware plan alone: both planes come up with it, and calls come when the operator says
//! the addresses.

use tandem_hwprofiles::{Plan, Role};

/// Addresses until the operator says others: networks for tests alone (RFC 2544), which nobody routes.
const CARRIER: &str = "198.18.0.1";
const CORE: &str = "198.18.1.1";

/// tandem.toml.
pub(super) fn configuration(plan: &Plan) -> String {
    let one_port = plan.ports.iter().any(|port| port.role == Role::Both);
    let of = |role: &str, vlan: u16| match one_port {
        true => format!("port = \"trunk\"\nvlan = {vlan}\n"),
        false => format!("port = \"{role}\"\n"),
    };
    format!(
        "# Made on the first start, of the hardware plan (/etc/tandem/hardware.json). The addresses are of networks for tests:\n\
         # put yours here, and into management.toml with the length of their networks and the routers. All keys with their\n\
         # meanings: /usr/share/doc/tandem-dataplane/tandem.example.toml\n\n\
         [node]\nid = 1\n\n{}\n\
         [[realm]]\nname = \"carrier\"\nside = \"external\"\n{}tap = \"tnd-carrier\"\nsip = [\"{CARRIER}:5060\"]\nmedia = [\"{CARRIER}\"]\n\n\
         [[realm]]\nname = \"core\"\nside = \"internal\"\n{}tap = \"tnd-core\"\nsip = [\"{CORE}:5060\"]\nmedia = [\"{CORE}\"]\n\n\
         # The management API, and metrics for Prometheus, at management's address: whoever has a token of `tandemctl token add`.\n\
         # [[http]]\n# listen = \"192.0.2.10:8443\"\n# services = [\"api\", \"metrics\"]\n\
         # certificate = \"/etc/tandem/tls/management.pem\"\n# key = \"/etc/tandem/tls/management.key\"\n",
        plan.configuration(),
        of("carrier", 100),
        of("core", 200),
    )
}

/// management.toml.
pub(super) fn management() -> String {
    format!(
        "# How this machine is administered, and what it has on its networks. `tandemctl appliance check` finds mistakes;\n\
         # what is saved here takes effect at once.\n\n\
         [management]\n\
         # The port by its PCI address; without it the one that the hardware plan leaves for it.\n\
         # port = \"0000:00:02.0\"\n\
         # vlan = 10\n\
         # Without addresses: DHCP and router advertisements.\n\
         # addresses = [\"192.0.2.10/24\"]\n\
         # gateways = [\"192.0.2.1\"]\n\
         # dns = [\"192.0.2.53\"]\n\
         # ntp = [\"ntp1.example.net\"]\n\
         # Who may connect by SSH and to the management API; without it whoever reaches the port.\n\
         # allow = [\"192.0.2.0/24\"]\n\
         # Whether SSH takes passwords, too.\n\
         # ssh_password = false\n\n\
         # The realms of tandem.toml, by their names.\n\
         [realm.carrier]\naddresses = [\"{CARRIER}/24\"]\n# gateways = [\"198.18.0.254\"]\n\n\
         [realm.core]\naddresses = [\"{CORE}/24\"]\n\
         # [[realm.core.route]]\n# to = \"10.0.0.0/8\"\n# via = \"198.18.1.254\"\n"
    )
}

#[cfg(test)]
pub(super) mod tests {
    use tandem_config::Config;
    use tandem_hwprofiles::{Machine, Nic, Profiles, Wishes, plan};

    use super::*;
    use tandem_management::Management;

    /// Four cores, and virtio ports at 0000:00:02.0 and the following.
    pub(in crate::appliance) fn machine(ports: u8) -> Machine {
        let nic = |number: u8| Nic {
            address: format!("0000:00:{number:02x}.0").parse().unwrap(),
            vendor: 0x1af4,
            device: 0x1041,
            node: None,
            driver: Some("virtio-pci".into()),
            interface: Some(format!("enp0s{number}")),
            mac: Some(format!("52:54:00:00:00:{number:02x}")),
            carrier: Some(true),
            speed_mbps: None,
            group: Some(number.into()),
            virtual_of: None,
            virtual_functions: 0,
            pcie: None,
            has_default_route: false,
        };
        let core = |id: u16| tandem_hwprofiles::Core {
            id,
            core: id.into(),
            package: 0,
            node: 0,
        };
        Machine {
            model: "QEMU".into(),
            processor: "QEMU".into(),
            is_virtual: true,
            gigabyte_pages: false,
            memory_mb: 4096,
            cores: (0..4).map(core).collect(),
            nodes: vec![tandem_hwprofiles::Node {
                id: 0,
                memory_mb: 4096,
                pages: Vec::new(),
            }],
            nics: (2..2 + ports).map(nic).collect(),
            iommu: tandem_hwprofiles::Iommu::On,
            command_line: String::new(),
        }
    }

    pub(in crate::appliance) fn planned(ports: u8) -> Plan {
        let wishes = Wishes {
            management: Some("0000:00:02.0".parse().unwrap()),
            ..Wishes::default()
        };
        plan(&Profiles::built_in().unwrap(), &machine(ports), &wishes).unwrap()
    }

    pub(in crate::appliance) fn config() -> Config {
        tandem_config::parse(&configuration(&planned(3))).unwrap()
    }

    #[test]
    fn both_planes_accept_it() {
        let config = config();
        assert_eq!(config.ports.len(), 2);
        let devices: Vec<_> = config
            .ports
            .iter()
            .map(|port| port.device.as_str())
            .collect();
        assert_eq!(devices, ["0000:00:03.0", "0000:00:04.0"]);
        assert!(Management::parse(&management()).is_ok());
    }

    #[test]
    fn one_port_has_a_vlan_for_each_side() {
        let config = tandem_config::parse(&configuration(&planned(2))).unwrap();
        let vlans: Vec<_> = config.realms.iter().map(|realm| realm.vlan).collect();
        assert_eq!((config.ports.len(), vlans), (1, vec![Some(100), Some(200)]));
    }
}
