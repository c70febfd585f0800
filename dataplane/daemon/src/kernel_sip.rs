//! SIP that the kernel sends for us: the first datagram to a next hop that is not resolved yet,
//! which waits in the kernel's neighbour queue instead of being lost, and one that is longer than
//! the MTU, which the kernel cuts into fragments.
//!
//! By raw sockets and not UDP ones: a UDP socket on the realm's SIP address would receive datagrams
//! that are the signaling plane's.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tandem_shm::DatagramMeta;

/// One raw socket for each realm and source address, made when first needed: the administrator may
/// add an address at any time.
pub(crate) struct KernelSip {
    /// The TAPs' names, by realm.
    taps: Vec<String>,
    sockets: HashMap<(u16, IpAddr), Sender>,
    packet: Vec<u8>,
}

struct Sender {
    socket: Socket,
    dscp: u8,
}

impl KernelSip {
    pub(crate) fn new(taps: Vec<String>) -> Self {
        Self {
            taps,
            sockets: HashMap::new(),
            packet: Vec::with_capacity(65_536),
        }
    }

    /// Sends one datagram.
    pub(crate) fn send(&mut self, meta: &DatagramMeta, payload: &[u8]) -> io::Result<()> {
        let key = (meta.realm, meta.source.ip());
        if !self.sockets.contains_key(&key) {
            let tap = self.taps.get(usize::from(meta.realm));
            let tap = tap.ok_or_else(|| io::Error::other("there is no such realm"))?;
            self.sockets
                .insert(key, Sender::open(tap, meta.source.ip())?);
        }
        let Some(sender) = self.sockets.get_mut(&key) else {
            return Ok(());
        };
        udp(&mut self.packet, meta.source, meta.destination, payload)?;
        let sent = sender.send(&self.packet, meta.destination.ip(), meta.dscp);
        // The address or the device may have gone: a new socket finds out.
        if sent.is_err() {
            self.sockets.remove(&key);
        }
        sent
    }
}

impl Sender {
    fn open(tap: &str, source: IpAddr) -> io::Result<Self> {
        let domain = Domain::for_address(SocketAddr::new(source, 0));
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // It would receive every UDP packet on the TAP; it accepts none (BPF: return 0).
        socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])?;
        socket.bind_device(Some(tap.as_bytes()))?;
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        Ok(Self { socket, dscp: 0 })
    }

    fn send(&mut self, packet: &[u8], destination: IpAddr, dscp: u8) -> io::Result<()> {
        if dscp != self.dscp {
            let octet = u32::from(dscp) << 2;
            match destination {
                IpAddr::V4(_) => self.socket.set_tos_v4(octet)?,
                IpAddr::V6(_) => self.socket.set_tclass_v6(octet)?,
            }
            self.dscp = dscp;
        }
        self.socket
            .send_to(packet, &SockAddr::from(SocketAddr::new(destination, 0)))?;
        Ok(())
    }
}

/// Writes the UDP packet (RFC 768) into `packet`.
fn udp(
    packet: &mut Vec<u8>,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> io::Result<()> {
    let length = u16::try_from(payload.len() + 8)
        .map_err(|_| io::Error::other("the datagram is longer than UDP allows"))?;
    packet.clear();
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    let mut sum = Sum(u64::from(length) + 17);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => [a, b].iter().for_each(|ip| sum.add(&ip.octets())),
        (IpAddr::V6(a), IpAddr::V6(b)) => [a, b].iter().for_each(|ip| sum.add(&ip.octets())),
        _ => {
            return Err(io::Error::other(
                "source and destination of different families",
            ));
        }
    }
    sum.add(packet);
    if let Some(field) = packet.get_mut(6..8) {
        field.copy_from_slice(&sum.finish().to_be_bytes());
    }
    Ok(())
}

/// The internet checksum (RFC 1071).
struct Sum(u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            self.0 += u64::from(u16::from_be_bytes([high, low]));
        }
    }

    /// Never 0, which would mean that there is none.
    fn finish(mut self) -> u16 {
        while self.0 > 0xFFFF {
            self.0 = (self.0 & 0xFFFF) + (self.0 >> 16);
        }
        match !(self.0 as u16) {
            0 => 0xFFFF,
            sum => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_checks_out_at_the_receiver() {
        for (a, b) in [
            ("192.0.2.1:5060", "192.0.2.2:5070"),
            ("[2001:db8::1]:5060", "[2001:db8::2]:1"),
        ] {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            for payload in [&b"OPTIONS sip:x SIP/2.0"[..], b"", b"ab"] {
                let mut packet = Vec::new();
                udp(&mut packet, a, b, payload).unwrap();
                assert_eq!(packet[..2], a.port().to_be_bytes());
                assert_eq!(packet[4..6], (payload.len() as u16 + 8).to_be_bytes());
                assert_eq!(&packet[8..], payload);
                // Summed with its own checksum, a right packet gives all ones.
                let mut sum = Sum(packet.len() as u64 + 17);
                for ip in [a.ip(), b.ip()] {
                    match ip {
                        IpAddr::V4(ip) => sum.add(&ip.octets()),
                        IpAddr::V6(ip) => sum.add(&ip.octets()),
                    }
                }
                sum.add(&packet);
                assert_eq!(sum.finish(), 0xFFFF);
            }
        }
    }

    #[test]
    fn what_udp_cannot_carry_is_refused() {
        let a = "192.0.2.1:5060".parse().unwrap();
        assert!(udp(&mut Vec::new(), a, a, &[0; 65_528]).is_err());
        assert!(udp(&mut Vec::new(), a, "[::1]:5060".parse().unwrap(), b"x").is_err());
    }
}
