//! A second pair of wires beside the laboratory's: from the kernel of the appliance's namespace to callers and media
//! servers. Kamailio uses them, and ours through the kernel's sockets.

use std::net::{IpAddr, Ipv4Addr};

use tandem_e2e::{Lab, Result};

/// A caller on the plain wire.
pub const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 100));
/// The appliance there.
pub const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 10));
/// The appliance towards the servers.
pub const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 1, 10));
/// A server.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 1, 21));

/// Lays them.
pub fn lay(lab: &Lab) -> Result<()> {
    for (peers, link, ours, far, own) in [
        (&lab.carrier, "plain0", "k-carrier", CALLER, OUTSIDE),
        (&lab.core, "plain1", "k-core", SERVER, INSIDE),
    ] {
        lab.appliance.run(&format!(
            "ip link add {ours} type veth peer name {link} netns {}",
            peers.name()
        ))?;
        lab.appliance
            .run(&format!("ip addr add {own}/24 dev {ours}"))?;
        lab.appliance.run(&format!("ip link set {ours} up"))?;
        peers.run(&format!("ip addr add {far}/24 dev {link}"))?;
        peers.run(&format!("ip link set {link} up"))?;
    }
    Ok(())
}
