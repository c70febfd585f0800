//! UDP datagrams in frames.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{self, Ethernet, EthernetRepr};
use tandem_wire::ipv4::{Ipv4, Ipv4Repr};
use tandem_wire::ipv6::{Ipv6, Ipv6Repr};
use tandem_wire::udp::{self, Udp, UdpRepr};

/// A datagram in a frame.
pub(super) struct Received<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    /// Whether both checksums are right.
    pub(super) intact: bool,
}

/// The UDP datagram in a frame of a VLAN, if it is one and no fragment.
#[inline]
pub(super) fn read(frame: &[u8], vlan: Option<u16>) -> Option<Received<'_>> {
    let view = Ethernet::parse(frame).ok()?;
    if view.vlan() != vlan {
        return None;
    }
    let (source, destination, sum, packet, intact): (IpAddr, IpAddr, Sum, &[u8], bool);
    match view.ethertype() {
        ethernet::IPV4 => {
            let ip = Ipv4::parse(view.payload()).ok()?;
            if ip.protocol() != udp::PROTOCOL || ip.is_fragment() {
                return None;
            }
            (source, destination) = (ip.source().into(), ip.destination().into());
            (sum, packet, intact) = (ip.address_sum(), ip.payload(), ip.checksum_ok());
        }
        ethernet::IPV6 => {
            let ip = Ipv6::parse(view.payload()).ok()?;
            if ip.next_header() != udp::PROTOCOL {
                return None;
            }
            (source, destination) = (ip.source().into(), ip.destination().into());
            (sum, packet, intact) = (ip.address_sum(), ip.payload(), true);
        }
        _ => return None,
    }
    let udp = Udp::parse(packet).ok()?;
    Some(Received {
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        payload: udp.payload(),
        intact: intact && udp.checksum_ok(sum),
    })
}

/// Writes a frame with a datagram; answers its length, none if it does not fit or the addresses' families differ.
pub(super) fn write(
    ethernet: EthernetRepr,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let length = u16::try_from(payload.len() + udp::HEADER).ok()?;
    let rest = ethernet.emit(buffer)?;
    let (rest, header, sum) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ip = Ipv4Repr {
                source: from,
                destination: to,
                traffic_class: 0,
                id: 0,
                dont_fragment: true,
                ttl: 64,
                protocol: udp::PROTOCOL,
                payload_len: length,
                checksum_offloaded: false,
            };
            (
                ip.emit(rest)?,
                tandem_wire::ipv4::HEADER,
                Sum::ZERO.ipv4(from).ipv4(to),
            )
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = Ipv6Repr {
                source: from,
                destination: to,
                traffic_class: 0,
                next_header: udp::PROTOCOL,
                hop_limit: 64,
                payload_len: length,
            };
            (
                ip.emit(rest)?,
                tandem_wire::ipv6::HEADER,
                Sum::ZERO.ipv6(from).ipv6(to),
            )
        }
        _ => return None,
    };
    let udp = UdpRepr {
        source_port: source.port(),
        destination_port: destination.port(),
        length,
        checksum: 0,
    };
    let rest = udp.with_checksum(sum, payload).emit(rest)?;
    rest.get_mut(..payload.len())?.copy_from_slice(payload);
    Some((ethernet.len() + header + usize::from(length)).max(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for (from, to) in [
            ("192.0.2.1:5", "192.0.2.2:6"),
            ("[2001:db8::1]:5", "[2001:db8::2]:6"),
        ] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let ethertype = if from.is_ipv4() {
                ethernet::IPV4
            } else {
                ethernet::IPV6
            };
            let header = EthernetRepr {
                destination: [2; 6],
                source: [4; 6],
                tag: Some(3),
                ethertype,
            };
            let mut buffer = [0; 1518];
            let length = write(header, from, to, b"OPTIONS", &mut buffer).unwrap();
            let read = read(&buffer[..length], Some(3)).unwrap();
            assert_eq!(
                (read.source, read.destination, read.payload),
                (from, to, &b"OPTIONS"[..])
            );
            assert!(read.intact);
            assert!(super::read(&buffer[..length], None).is_none());
            let ip_len = if from.is_ipv4() { 20 } else { 40 };
            buffer[18 + ip_len + 8] ^= 1;
            assert!(super::read(&buffer[..length], Some(3)).is_none_or(|r| !r.intact));
            assert!(write(header, from, to, &[0; 1500], &mut buffer).is_none());
        }
    }
}
