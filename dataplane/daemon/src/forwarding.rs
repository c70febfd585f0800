//! From the kernel's tables to the relay's snapshot.

use tandem_relay::Forwarding;

use crate::mirror::Tables;

/// Which TAP each realm has.
#[derive(Clone, Debug)]
pub(crate) struct Realms {
    /// The TAPs' numbers in the kernel, by realm.
    devices: Vec<u32>,
}

impl Realms {
    pub(crate) fn new(devices: Vec<u32>) -> Self {
        Self { devices }
    }

    /// The TAPs.
    pub(crate) fn devices(&self) -> &[u32] {
        &self.devices
    }

    /// A realm's TAP.
    pub(crate) fn device(&self, realm: u16) -> Option<u32> {
        self.devices.get(usize::from(realm)).copied()
    }

    /// The snapshot of what the kernel has on the realms' TAPs.
    pub(crate) fn forwarding(&self, tables: &Tables, generation: u64) -> Forwarding {
        let mut builder = Forwarding::builder(generation, self.devices.len());
        for (realm, device) in (0u16..).zip(&self.devices) {
            for address in tables.addresses.iter().filter(|a| a.device == *device) {
                builder.address(realm, address.ip);
            }
            for route in &tables.routes {
                for hop in route.hops.iter().filter(|h| h.device == *device) {
                    let (to, prefix, metric) = (route.destination, route.prefix, route.metric);
                    builder.route(realm, to, prefix, metric, hop.gateway, hop.weight);
                }
            }
            for neighbour in tables.neighbours.iter().filter(|n| n.device == *device) {
                builder.neighbour(realm, neighbour.ip, neighbour.mac);
            }
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::{Address, Hop, Neighbour, Route};
    use std::net::IpAddr;
    use tandem_relay::NextHop;

    #[test]
    fn each_realm_gets_what_is_on_its_own_device() {
        let realms = Realms::new(vec![7, 9]);
        let gateway: IpAddr = [10, 0, 0, 254].into();
        let hop = Hop {
            device: 7,
            gateway: Some(gateway),
            weight: 1,
        };
        let tables = Tables {
            addresses: vec![
                Address {
                    device: 7,
                    ip: [10, 0, 0, 1].into(),
                },
                Address {
                    device: 9,
                    ip: [10, 0, 1, 1].into(),
                },
            ],
            routes: vec![Route {
                destination: [0; 4].into(),
                prefix: 0,
                metric: 0,
                hops: vec![hop],
            }],
            neighbours: vec![Neighbour {
                device: 7,
                ip: gateway,
                mac: [2; 6],
                fixed: false,
            }],
        };
        let forwarding = realms.forwarding(&tables, 3);
        assert_eq!(forwarding.generation(), 3);
        let far: IpAddr = [198, 51, 100, 1].into();
        let NextHop::Resolved { index, neighbour } = forwarding.next_hop(0, far, 0) else {
            panic!("no way")
        };
        assert_eq!((forwarding.mac(index), neighbour), (Some([2; 6]), gateway));
        assert_eq!(forwarding.next_hop(1, far, 0), NextHop::NoRoute);
        assert_eq!(
            forwarding.next_hop(1, [10, 0, 1, 1].into(), 0),
            NextHop::Local
        );
        assert_eq!(realms.device(1), Some(9));
        assert_eq!(realms.device(2), None);
    }
}
