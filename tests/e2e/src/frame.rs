//! Frames made by hand, and a way to put them on a wire: what no well-behaved socket would send.

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

use crate::{Failure, Namespace, Result};

/// An interface to send whole frames on.
pub struct Link {
    socket: OwnedFd,
    address: LinkAddr,
}

impl Link {
    /// Opens an interface of a namespace.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace.enter(|| {
            let address = link_address(interface)?;
            // Protocol 0: for sending only.
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .map_err(Failure::while_("opening a packet socket"))?;
            Ok(Self { socket, address })
        })
    }

    /// The interface's own MAC address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.address.addr().unwrap_or_default()
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        sendto(
            self.socket.as_raw_fd(),
            frame,
            &self.address,
            MsgFlags::empty(),
        )
        .map(drop)
        .map_err(Failure::while_("sending a frame"))
    }
}

/// The link address of an interface of the namespace that this thread is in.
pub(crate) fn link_address(interface: &str) -> Result<LinkAddr> {
    nix::ifaddrs::getifaddrs()
        .map_err(Failure::while_("listing interfaces"))?
        .filter(|i| i.interface_name == interface)
        .filter_map(|i| i.address)
        .find_map(|a| a.as_link_addr().copied())
        .ok_or_else(|| Failure::new(format!("there is no interface {interface}")))
}

/// An RTP packet (RFC 3550) with a payload of zeros.
#[must_use]
pub fn rtp(sequence: u16, ssrc: u32, payload_type: u8, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type & 0x7f];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.resize(12 + payload, 0xd5);
    packet
}

/// A UDP datagram in IPv4 in Ethernet, with right checksums.
#[must_use]
pub fn udp4(
    to: [u8; 6],
    from: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: &[u8],
) -> Vec<u8> {
    udp4_with_options(to, from, source, destination, &[], payload)
}

/// The same with IPv4 options (a multiple of four bytes).
#[must_use]
pub fn udp4_with_options(
    to: [u8; 6],
    from: [u8; 6],
    source: SocketAddrV4,
    destination: SocketAddrV4,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let length = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let udp_length = length(8 + payload.len());
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);

    let mut ip = vec![0x40 | words, 0];
    ip.extend((length(20 + options.len()) + udp_length).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(source.ip().octets());
    ip.extend(destination.ip().octets());
    ip.extend(options);
    let sum = checksum(&ip);
    set16(&mut ip, 10, sum);

    let mut udp = Vec::with_capacity(8 + payload.len());
    for word in [source.port(), destination.port(), udp_length, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(payload);
    let mut pseudo = Vec::new();
    pseudo.extend(source.ip().octets());
    pseudo.extend(destination.ip().octets());
    pseudo.extend([0, 17]);
    pseudo.extend(udp_length.to_be_bytes());
    pseudo.extend(&udp);
    let sum = checksum(&pseudo);
    set16(&mut udp, 6, if sum == 0 { 0xffff } else { sum });

    [&to[..], &from[..], &[0x08, 0x00], &ip, &udp].concat()
}

/// Changes one byte of a frame.
pub fn damage(frame: &mut [u8], at: usize, by: u8) {
    if let Some(byte) = frame.get_mut(at) {
        *byte ^= by;
    }
}

fn set16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up() {
        let (source, destination) = (
            "192.0.2.1:6000".parse().unwrap(),
            "192.0.2.2:6002".parse().unwrap(),
        );
        let frame = udp4([1; 6], [2; 6], source, destination, b"odd");
        assert_eq!(checksum(&frame[14..34]), 0);
        let mut pseudo = [&frame[26..34], &[0, 17, 0, 11]].concat();
        pseudo.extend(&frame[34..]);
        assert_eq!(checksum(&pseudo), 0);
    }
}
