//! What the kernel says, in plain values: netlink messages in, entries of our realms out.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteType,
};

/// An address of ours on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) device: u32,
    pub(crate) ip: IpAddr,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: IpAddr,
    pub(crate) prefix: u8,
    /// The kernel prefers the lower one.
    pub(crate) metric: u32,
    pub(crate) hops: Vec<Hop>,
}

/// One way that a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) device: u32,
    /// None when the destination itself is on the link.
    pub(crate) gateway: Option<IpAddr>,
    /// Its share in an ECMP route, from 1.
    pub(crate) weight: u16,
}

/// A neighbour that can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) device: u32,
    pub(crate) ip: IpAddr,
    pub(crate) mac: [u8; 6],
    /// The administrator's word, that nobody asks the neighbour for.
    pub(crate) fixed: bool,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// Reads an address message; none for what is no IP address.
pub(crate) fn address(message: &AddressMessage) -> Option<Address> {
    // On a point-to-point link `Address` is the peer and `Local` is ours.
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let ip = local.or_else(|| {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })?;
    Some(Address {
        device: message.header.index,
        ip,
    })
}

/// Reads a route message; none for what is not a unicast route of the main table with a way.
pub(crate) fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let table = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    if table.unwrap_or(header.table.into()) != u32::from(RouteHeader::RT_TABLE_MAIN)
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let mut route = Route {
        destination: any,
        prefix: header.destination_prefix_length,
        metric: 0,
        hops: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => route.destination = ip(to)?,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::MultiPath(hops) => {
                route.hops = hops.iter().filter_map(multipath).collect();
            }
            _ => {}
        }
    }
    if route.hops.is_empty() {
        let (device, gateway) = way(&message.attributes);
        route.hops.push(Hop {
            device: device?,
            gateway,
            weight: 1,
        });
    }
    Some(route)
}

fn multipath(hop: &RouteNextHop) -> Option<Hop> {
    let gone = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
    if hop.flags.intersects(gone) {
        return None;
    }
    let (_, gateway) = way(&hop.attributes);
    Some(Hop {
        device: hop.interface_index,
        gateway,
        weight: u16::from(hop.hops) + 1,
    })
}

fn way(attributes: &[RouteAttribute]) -> (Option<u32>, Option<IpAddr>) {
    let (mut device, mut gateway) = (None, None);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            _ => {}
        }
    }
    (device, gateway)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// Reads a neighbour message; none for one that cannot be sent to now.
pub(crate) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let usable = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    );
    let mac = message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    });
    if !usable {
        return None;
    }
    Some(Neighbour {
        device: message.header.ifindex,
        ip: neighbour_address(message)?,
        mac: mac?,
        fixed: matches!(
            message.header.state,
            NeighbourState::Permanent | NeighbourState::Noarp
        ),
    })
}

/// Whose message it is.
fn neighbour_address(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some((*ip).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some((*ip).into()),
        _ => None,
    })
}

impl Tables {
    /// Whether a neighbour's Ethernet address is the administrator's word.
    pub(crate) fn is_fixed(&self, device: u32, ip: IpAddr) -> bool {
        let mut known = self.neighbours.iter();
        known.any(|n| n.fixed && n.device == device && n.ip == ip)
    }

    /// Whether a neighbour that changed, or is `gone`, is another than we know. The kernel tells of every step of
    /// a resolution and of every check that a neighbour is still there.
    pub(crate) fn is_news(&self, message: &NeighbourMessage, gone: bool) -> bool {
        let (device, ip) = (message.header.ifindex, neighbour_address(message));
        let mut known = self.neighbours.iter();
        let known = known.find(|n| n.device == device && Some(n.ip) == ip);
        let now = neighbour(message).filter(|_| !gone);
        known != now.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn header(kind: RouteType, table: u8) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.kind = kind;
        message.header.table = table;
        message.header.destination_prefix_length = 24;
        message
    }

    fn inet(ip: [u8; 4]) -> RouteAddress {
        RouteAddress::Inet(Ipv4Addr::from(ip))
    }

    #[test]
    fn a_gateway_route_an_on_link_one_and_ecmp_are_read() {
        let mut message = header(RouteType::Unicast, 254);
        message.attributes = vec![
            RouteAttribute::Destination(inet([10, 0, 0, 0])),
            RouteAttribute::Oif(3),
            RouteAttribute::Priority(100),
        ];
        let mut expected = Route {
            destination: [10, 0, 0, 0].into(),
            prefix: 24,
            metric: 100,
            hops: vec![Hop {
                device: 3,
                gateway: None,
                weight: 1,
            }],
        };
        assert_eq!(route(&message), Some(expected.clone()));
        message
            .attributes
            .push(RouteAttribute::Gateway(inet([192, 0, 2, 1])));
        expected.hops[0].gateway = Some([192, 0, 2, 1].into());
        assert_eq!(route(&message), Some(expected.clone()));

        let mut live = RouteNextHop::default();
        live.interface_index = 4;
        live.hops = 1;
        live.attributes = vec![RouteAttribute::Gateway(inet([192, 0, 2, 2]))];
        let mut dead = live.clone();
        dead.flags = RouteNextHopFlags::Dead;
        message.attributes = vec![RouteAttribute::MultiPath(vec![live.clone(), dead, live])];
        let hop = Hop {
            device: 4,
            gateway: Some([192, 0, 2, 2].into()),
            weight: 2,
        };
        expected = Route {
            destination: [0; 4].into(),
            prefix: 24,
            metric: 0,
            hops: vec![hop.clone(), hop],
        };
        assert_eq!(route(&message), Some(expected));
    }

    #[test]
    fn other_tables_and_kinds_are_not_ours() {
        let way = vec![RouteAttribute::Oif(3)];
        for (kind, table) in [
            (RouteType::Unicast, 255),
            (RouteType::Local, 254),
            (RouteType::BlackHole, 254),
        ] {
            let mut message = header(kind, table);
            message.attributes.clone_from(&way);
            assert_eq!(route(&message), None);
        }
    }

    #[test]
    fn a_neighbour_counts_only_in_a_usable_state() {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 7;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([192, 0, 2, 9].into())),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
        ];
        for (state, usable) in [
            (NeighbourState::Reachable, true),
            (NeighbourState::Stale, true),
            (NeighbourState::Permanent, true),
            (NeighbourState::Noarp, true),
            (NeighbourState::Incomplete, false),
            (NeighbourState::Failed, false),
            (NeighbourState::None, false),
        ] {
            message.header.state = state;
            assert_eq!(neighbour(&message).is_some(), usable, "{state:?}");
        }
    }

    #[test]
    fn a_step_of_a_resolution_is_no_news() {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 3;
        message.attributes = vec![NeighbourAttribute::Destination(NeighbourAddress::Inet(
            [192, 0, 2, 1].into(),
        ))];
        let mut tables = Tables::default();
        let news = |tables: &Tables, message: &mut NeighbourMessage, state| {
            message.header.state = state;
            tables.is_news(message, false)
        };
        assert!(!news(&tables, &mut message, NeighbourState::Incomplete));
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(vec![2; 6]));
        assert!(news(&tables, &mut message, NeighbourState::Reachable));
        tables.neighbours.extend(neighbour(&message));
        assert!(!news(&tables, &mut message, NeighbourState::Probe));
        assert!(news(&tables, &mut message, NeighbourState::Permanent));
        assert!(tables.is_news(&message, true));
        assert!(news(&tables, &mut message, NeighbourState::Failed));
        message.header.ifindex = 4;
        assert!(news(&tables, &mut message, NeighbourState::Reachable));
    }
}
