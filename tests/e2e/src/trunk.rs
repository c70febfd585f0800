//! A tagged wire in user space: not every kernel has VLAN devices.
//!
//! The peers are on an ordinary interface; frames between it and the wire get a tag on the way out.
//! On the way in the kernel itself has taken the tag off before a packet socket sees the frame, so
//! that [`crate::capture`] is what looks at it.

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::frame::link_address;
use crate::{Failure, Namespace, Result};

/// The peers' interface, and the other end of it that we serve.
pub(crate) const PEERS_LINK: &str = "untagged0";
const SERVED_LINK: &str = "untagged1";

/// How long a thread looks at its socket before it looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// A packet that this machine sent itself (packet(7)).
const PACKET_OUTGOING: u8 = 4;

/// Two threads that carry frames, until it is dropped.
pub(crate) struct Trunk {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Trunk {
    /// Makes the peers' interface with their addresses, and joins it to `wire` by tagged frames.
    pub(crate) fn join(namespace: &Namespace, wire: &str, vlan: u16) -> Result<Self> {
        let ours = namespace.enter(|| open(SERVED_LINK))?;
        let (ours, theirs) = (Arc::new(ours), Arc::new(namespace.enter(|| open(wire))?));
        let stop = Arc::new(AtomicBool::new(false));
        let mut trunk = Self {
            stop,
            threads: Vec::new(),
        };
        trunk.carry(Arc::clone(&ours), Arc::clone(&theirs), Some(vlan));
        trunk.carry(theirs, ours, None);
        Ok(trunk)
    }

    /// Lays the peers' own wire inside their namespace.
    pub(crate) fn lay(namespace: &Namespace, addresses: &[IpAddr]) -> Result<()> {
        namespace.run(&format!(
            "ip link add {PEERS_LINK} type veth peer name {SERVED_LINK}"
        ))?;
        for link in [PEERS_LINK, SERVED_LINK] {
            namespace.run(&format!("ethtool -K {link} tx off tso off gso off gro off"))?;
        }
        namespace.run(&format!(
            "sysctl -qw net.ipv6.conf.{SERVED_LINK}.disable_ipv6=1"
        ))?;
        for link in [SERVED_LINK, PEERS_LINK] {
            namespace.run(&format!("ip link set {link} up"))?;
        }
        for address in addresses {
            namespace.run(&crate::topology::add_address(*address, PEERS_LINK))?;
        }
        Ok(())
    }

    fn carry(&mut self, from: Arc<OwnedFd>, to: Arc<OwnedFd>, tag: Option<u16>) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, source)) = recvfrom::<LinkAddr>(from.as_raw_fd(), &mut buffer)
                else {
                    continue;
                };
                if source.is_none_or(|s| s.pkttype() == PACKET_OUTGOING) {
                    continue;
                }
                let frame = buffer.get(..length).unwrap_or_default();
                let frame = tag.map_or_else(|| frame.to_vec(), |vlan| tagged(frame, vlan));
                // A full queue is a loss like any other; the test's own counting will show it.
                let _ = send(to.as_raw_fd(), &frame, MsgFlags::empty());
            }
        }));
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A packet socket at an interface of the namespace that this thread is in.
fn open(interface: &str) -> Result<OwnedFd> {
    let doing = || Failure::while_(format!("opening {interface}"));
    let address = link_address(interface)?;
    let fd = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .map_err(doing())?;
    bind(fd.as_raw_fd(), &address).map_err(doing())?;
    let look = TimeVal::milliseconds(i64::try_from(LOOK.as_millis()).unwrap_or(100));
    setsockopt(&fd, sockopt::ReceiveTimeout, &look).map_err(doing())?;
    Ok(fd)
}

/// The frame with an 802.1Q tag behind its addresses.
fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at_checked(12).unwrap_or((frame, &[]));
    [addresses, &[0x81, 0x00], &vlan.to_be_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_behind_the_addresses() {
        let frame: Vec<u8> = (0..16).collect();
        let with = tagged(&frame, 0x0123);
        assert_eq!(with[..12], frame[..12]);
        assert_eq!(with[12..16], [0x81, 0x00, 0x01, 0x23]);
        assert_eq!(with[16..], frame[12..]);
    }
}
