//! A packet that was sent, as an implementation of the Internet's checksums that is not ours (etherparse) sees it.

use std::net::{IpAddr, SocketAddr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use tandem_relay::TxChecksums;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The Ethernet addresses: from, to.
    pub(crate) macs: [[u8; 6]; 2],
    pub(crate) vlan: Option<u16>,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) traffic_class: u8,
    pub(crate) ttl: u8,
    pub(crate) udp_checksum: u16,
    pub(crate) payload: Vec<u8>,
}

/// Reads a frame of UDP; what was left to the port is done first. An error says what is wrong with it: everything has to be
/// right, to the last byte.
pub(crate) fn see(checksums: TxChecksums, frame: &[u8]) -> Result<Seen, String> {
    let wire = finished(checksums, frame)?;
    let packet = SlicedPacket::from_ethernet(&wire).map_err(|error| error.to_string())?;
    let link = packet
        .link
        .as_ref()
        .and_then(|link| link.to_header())
        .and_then(|link| link.ethernet2())
        .ok_or("no Ethernet header")?;
    let vlans = packet.vlan_ids();
    if vlans.len() > 1 {
        return Err(format!("{} tags", vlans.len()));
    }
    let Some(TransportSlice::Udp(udp)) = packet.transport else {
        return Err("no UDP".into());
    };
    let (from, to): (IpAddr, IpAddr);
    let (traffic_class, ttl, udp_checksum, rest);
    match packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let right = header.to_header().calc_header_checksum();
            if header.header_checksum() != right {
                let is = header.header_checksum();
                return Err(format!("IPv4 checksum {is:#06x}, right is {right:#06x}"));
            }
            if !header.options().is_empty() || header.is_fragmenting_payload() {
                return Err("options or a fragment".into());
            }
            (from, to) = (
                header.source_addr().into(),
                header.destination_addr().into(),
            );
            traffic_class = header.dcp().value() << 2 | header.ecn().value();
            ttl = header.ttl();
            udp_checksum = udp
                .to_header()
                .calc_checksum_ipv4(&header.to_header(), udp.payload());
            rest = ip.payload().payload.len();
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (from, to) = (
                header.source_addr().into(),
                header.destination_addr().into(),
            );
            traffic_class = header.traffic_class();
            ttl = header.hop_limit();
            udp_checksum = udp
                .to_header()
                .calc_checksum_ipv6(&header.to_header(), udp.payload());
            rest = ip.payload().payload.len();
        }
        _ => return Err("no IP".into()),
    }
    let right = udp_checksum.map_err(|error| error.to_string())?;
    if udp.checksum() != right {
        let is = udp.checksum();
        return Err(format!("UDP checksum {is:#06x}, right is {right:#06x}"));
    }
    let headers = 14 + 4 * vlans.len() + if from.is_ipv4() { 20 } else { 40 };
    if usize::from(udp.length()) != rest || headers + rest != wire.len() {
        return Err("lengths that do not agree".into());
    }
    Ok(Seen {
        macs: [link.source, link.destination],
        vlan: vlans.first().map(|vlan| vlan.value()),
        source: SocketAddr::new(from, udp.source_port()),
        destination: SocketAddr::new(to, udp.destination_port()),
        traffic_class,
        ttl,
        udp_checksum: right,
        payload: udp.payload().to_vec(),
    })
}

/// What a port does with a frame whose checksums are left to it: it sums up what it is told to, whatever is there
/// already, and puts the complement where the protocol has it.
pub(crate) fn finished(checksums: TxChecksums, frame: &[u8]) -> Result<Vec<u8>, String> {
    let mut wire = frame.to_vec();
    if checksums == TxChecksums::default() {
        return Ok(wire);
    }
    let ip = usize::from(checksums.l2_len);
    let udp = ip + usize::from(checksums.l3_len);
    if checksums.ipv4 {
        let header = wire.get(ip..udp).ok_or("l3_len is too long")?;
        let sum = Sum16BitWords::new().add_slice(header).ones_complement();
        wire[ip + 10..ip + 12].copy_from_slice(&sum.to_ne_bytes());
    }
    if checksums.udp {
        let datagram = wire.get(udp..).ok_or("l2_len and l3_len are too long")?;
        let sum = Sum16BitWords::new().add_slice(datagram);
        let sum = sum.to_ones_complement_with_no_zero();
        wire[udp + 6..udp + 8].copy_from_slice(&sum.to_ne_bytes());
    }
    let version = wire.get(ip).map(|byte| byte >> 4);
    if version != Some(if checksums.ipv6 { 6 } else { 4 }) {
        return Err("the port is told the wrong version of IP".into());
    }
    Ok(wire)
}
