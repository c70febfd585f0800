//! The wires: who has which address.
//!
//! ```text
//!   carrier namespace        appliance namespace          core namespace
//!   callers, trunk                                        media servers
//!       carrier0 ------ dp-carrier       dp-core ------ core0
//!                          |  DPDK ports    |
//!                       tnd-carrier      tnd-core     (the kernel's side: TAPs)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::trunk::Trunk;
use crate::{Namespace, Result};

/// The appliance, as callers see it.
pub const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// A caller.
pub const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
/// The trunk's far end, for calls out of the pool.
pub const TRUNK: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 150));
/// Somebody whom nobody knows.
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
/// The appliance, as media servers see it.
pub const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 0, 10));
/// The media servers.
pub const SERVERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 20, 0, 21)),
    IpAddr::V4(Ipv4Addr::new(10, 20, 0, 22)),
];

/// The same in IPv6.
pub const OUTSIDE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
/// The same in IPv6.
pub const CALLER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100));
/// The same in IPv6.
pub const INSIDE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10));
/// The same in IPv6: one media server.
pub const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x21));

/// The core that a generator has: that of the peers.
pub const CORE_GENERATOR: u16 = 0;

/// SIP's port, everywhere.
pub const SIP: u16 = 5060;

/// The carrier's end of its wire, in the carrier namespace.
pub const CARRIER_LINK: &str = "carrier0";
/// The core's end of its wire, in the core namespace.
pub const CORE_LINK: &str = "core0";
/// The appliance's end of the carrier's wire: a DPDK port.
pub const CARRIER_PORT: &str = "dp-carrier";
/// The appliance's end of the core's wire: a DPDK port.
pub const CORE_PORT: &str = "dp-core";
/// The kernel's side of the carrier realm.
pub const CARRIER_TAP: &str = "tnd-carrier";
/// The kernel's side of the core realm.
pub const CORE_TAP: &str = "tnd-core";

/// Where an address listens for SIP.
#[must_use]
pub fn sip(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, SIP)
}

/// One side: its link, the appliance's port and TAP, the peers' and the appliance's addresses.
struct Wire<'a> {
    peers: &'a Namespace,
    appliance: &'a Namespace,
    link: &'static str,
    port: &'static str,
    tap: &'static str,
    vlan: Option<u16>,
    peer_addresses: Vec<IpAddr>,
    own_addresses: [IpAddr; 2],
}

/// Lays both wires.
///
/// # Errors
/// With the command that failed.
pub(crate) fn lay(
    carrier: &Namespace,
    appliance: &Namespace,
    core: &Namespace,
    vlan: Option<u16>,
) -> Result<()> {
    // The kernel of the appliance is no router between the sides.
    appliance.run("sysctl -qw net.ipv4.ip_forward=0")?;
    lay_wire(&Wire {
        peers: carrier,
        appliance,
        link: CARRIER_LINK,
        port: CARRIER_PORT,
        tap: CARRIER_TAP,
        vlan,
        peer_addresses: vec![CALLER, TRUNK, STRANGER, CALLER6],
        own_addresses: [OUTSIDE, OUTSIDE6],
    })?;
    lay_wire(&Wire {
        peers: core,
        appliance,
        link: CORE_LINK,
        port: CORE_PORT,
        tap: CORE_TAP,
        vlan: None,
        peer_addresses: vec![SERVERS[0], SERVERS[1], SERVER6],
        own_addresses: [INSIDE, INSIDE6],
    })
}

fn lay_wire(wire: &Wire<'_>) -> Result<()> {
    let Wire {
        peers,
        appliance,
        link,
        port,
        tap,
        ..
    } = wire;
    appliance.run(&format!(
        "ip link add {port} type veth peer name {link} netns {}",
        peers.name()
    ))?;
    // The kernel must not answer on the DPDK port's interface for addresses that it has on the TAP:
    // the dataplane alone is on this wire.
    for setting in [
        format!("net.ipv4.conf.{port}.arp_ignore=8"),
        format!("net.ipv4.conf.{port}.rp_filter=1"),
        format!("net.ipv6.conf.{port}.disable_ipv6=1"),
    ] {
        appliance.run(&format!("sysctl -qw {setting}"))?;
    }
    // A packet of the peer carries its whole checksum, as on a real wire, and is never longer than
    // the MTU.
    peers.run(&format!("ethtool -K {link} tx off tso off gso off gro off"))?;
    appliance.run(&format!("ethtool -K {port} tx off tso off gso off gro off"))?;
    appliance.run(&format!("ip link set {port} txqueuelen 10000 up"))?;
    peers.run(&format!("ip link set {link} txqueuelen 10000 up"))?;
    match wire.vlan {
        Some(_) => Trunk::lay(peers, &wire.peer_addresses)?,
        None => {
            for address in &wire.peer_addresses {
                peers.run(&add_address(*address, link))?;
            }
        }
    }
    appliance.run(&format!("ip tuntap add mode tap name {tap}"))?;
    for address in wire.own_addresses {
        appliance.run(&add_address(address, tap))?;
    }
    appliance.run(&format!("ip link set {tap} up"))?;
    Ok(())
}

/// The command that adds an address.
pub(crate) fn add_address(address: IpAddr, device: &str) -> String {
    match address {
        IpAddr::V4(_) => format!("ip addr add {address}/24 dev {device}"),
        // Nobody else has it: no duplicate address detection to wait for.
        IpAddr::V6(_) => format!("ip addr add {address}/64 dev {device} nodad"),
    }
}
