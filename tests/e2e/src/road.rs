//! A long and bad road between the carrier's peers and the appliance: it delays what goes by and loses some of the media, and says how
//! much. (Not every kernel has netem.)

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, sendto,
    socket,
};

use crate::frame::link_address;
use crate::topology::{CARRIER_LINK, add_address};
use crate::{Failure, Lab, Namespace, Result};

/// The road's end toward the peers, and toward the appliance.
const ENDS: [&str; 2] = ["road0", "road1"];
/// A frame of RTP with 20 ms of G.711 is 214 bytes long; signaling is longer, and RTCP with two reports shorter.
const MEDIA: std::ops::RangeInclusive<usize> = 190..=230;
/// How often it looks for frames.
const LOOK: Duration = Duration::from_micros(200);
/// What the kernel calls a frame that we have sent.
const OUTGOING: u8 = 4;

/// The road; it ends when it is dropped.
pub struct Road {
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Road {
    /// Lays it in the carrier's wire: each way takes `delay`, and of the media to the appliance each `loses`-th packet is lost. Before the daemons
    /// run, since the peers' MAC address becomes another.
    ///
    /// # Errors
    /// With the command that failed.
    pub fn lay(lab: &Lab, delay: Duration, loses: u64, peers: &[std::net::IpAddr]) -> Result<Self> {
        let carrier = &lab.carrier;
        let [near, far] = ENDS;
        carrier.run(&format!("ip link set {CARRIER_LINK} down"))?;
        carrier.run(&format!("ip addr flush dev {CARRIER_LINK}"))?;
        carrier.run(&format!("ip link set {CARRIER_LINK} name {far}"))?;
        carrier.run(&format!(
            "ip link add {CARRIER_LINK} type veth peer name {near}"
        ))?;
        for end in ENDS {
            // Only the road listens there.
            carrier.run(&format!("sysctl -qw net.ipv4.conf.{end}.arp_ignore=8"))?;
            carrier.run(&format!("sysctl -qw net.ipv6.conf.{end}.disable_ipv6=1"))?;
        }
        for link in [CARRIER_LINK, near, far] {
            carrier.run(&format!("ethtool -K {link} tx off tso off gso off gro off"))?;
            carrier.run(&format!(
                "ip link set {link} promisc on txqueuelen 10000 up"
            ))?;
        }
        for peer in peers {
            carrier.run(&add_address(*peer, CARRIER_LINK))?;
        }
        let mut road = Self {
            stop: Arc::default(),
            lost: Arc::default(),
            threads: Vec::new(),
        };
        road.way(carrier, (near, far), delay, loses)?;
        road.way(carrier, (far, near), delay, 0)?;
        Ok(road)
    }

    /// Packets of media that it has lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn way(
        &mut self,
        namespace: &Namespace,
        (from, to): (&str, &str),
        delay: Duration,
        loses: u64,
    ) -> Result<()> {
        let ((from, _), (to, address)) = namespace.enter(|| Ok((open(from)?, open(to)?)))?;
        let (queue, queued) = channel();
        let (stop, lost) = (Arc::clone(&self.stop), Arc::clone(&self.lost));
        let receive = move || receive(&from, &queue, (delay, loses), &stop, &lost);
        self.threads.push(std::thread::spawn(receive));
        let send = move || send(&to, &address, &queued);
        self.threads.push(std::thread::spawn(send));
        Ok(())
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A socket for all frames of an interface of this thread's namespace, and the interface's address.
fn open(interface: &str) -> Result<(OwnedFd, LinkAddr)> {
    let address = link_address(interface)?;
    let (all, flags) = (
        SockProtocol::EthAll,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    );
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all)
        .map_err(Failure::while_("opening a packet socket"))?;
    bind(socket.as_raw_fd(), &address).map_err(Failure::while_("binding a packet socket"))?;
    Ok((socket, address))
}

fn receive(
    from: &OwnedFd,
    queue: &Sender<(Instant, Vec<u8>)>,
    (delay, loses): (Duration, u64),
    stop: &AtomicBool,
    lost: &AtomicU64,
) {
    let mut buffer = vec![0; 65_536];
    let mut media = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, sender)) = recvfrom::<LinkAddr>(from.as_raw_fd(), &mut buffer) else {
            // Nothing is there.
            std::thread::sleep(LOOK);
            continue;
        };
        if sender.is_some_and(|sender| sender.pkttype() == OUTGOING) {
            continue;
        }
        if MEDIA.contains(&length) {
            media += 1;
            if loses > 0 && media % loses == 0 {
                lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        }
        let frame = buffer.get(..length).unwrap_or_default().to_vec();
        if queue.send((Instant::now() + delay, frame)).is_err() {
            return;
        }
    }
}

fn send(to: &OwnedFd, address: &LinkAddr, queued: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, frame)) = queued.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let _ = sendto(to.as_raw_fd(), &frame, address, MsgFlags::empty());
    }
}
