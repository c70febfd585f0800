//! What a received frame is.

use std::ops::Range;

use tandem_wire::checksum::Sum;
use tandem_wire::{
    Ethernet, Ipv4, Ipv4Error, Ipv6, Ipv6Error, Udp, UdpError, ethernet, ipv4, ipv6, udp,
};

use crate::counters::Counter;
use crate::endpoint::Endpoint;
use crate::network::{Networks, Receiver};
use crate::{Checksum, RxChecksums};

/// A frame that is not dropped.
#[derive(Clone, Debug)]
pub(crate) enum Class {
    /// For a media port; the index of its local address.
    Media(Datagram, u16),
    /// For a SIP address.
    Sip(Datagram),
    /// For the kernel.
    Exception { realm: u16, counter: Counter },
}

/// A UDP datagram for us. Its checksums have not been looked at.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) source: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) realm: u16,
    /// The UDP checksum field.
    checksum: u16,
    /// Bytes of the UDP header and the payload; behind them is Ethernet padding.
    len: u16,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    pub(crate) dont_fragment: bool,
    /// Where the IP header begins in the frame: 14, or 18 behind a VLAN tag.
    ip: u8,
    /// Where the UDP header begins: 78 at most.
    udp: u8,
}

/// What is left of a frame before its IP addresses are known.
struct Link {
    realm: u16,
    /// Not to a broadcast or multicast Ethernet address.
    to_us: bool,
    header_len: usize,
}

/// Classifies a frame that came in on a port; an error is the counter of its drop.
#[inline]
pub(crate) fn classify(networks: &Networks, port: u16, frame: &[u8]) -> Result<Class, Counter> {
    match plain_media(networks, port, frame) {
        Some((datagram, local)) => Ok(Class::Media(datagram, local)),
        None => classify_any(networks, port, frame),
    }
}

/// Nearly every frame: to us, IPv4 without options, whole, UDP, for a media port. What it says of a frame is what
/// [`classify_any`] would; none if the frame is anything else.
#[inline]
fn plain_media(networks: &Networks, port: u16, frame: &[u8]) -> Option<(Datagram, u16)> {
    let port = networks.port(port)?;
    let link = frame.first_chunk::<{ ethernet::HEADER }>()?;
    let [a, b, c, d, e, f, .., high, low] = *link;
    let (ethertype, vlan, ip) = match u16::from_be_bytes([high, low]) {
        ethernet::VLAN => {
            let [.., t0, t1, high, low] =
                *frame.first_chunk::<{ ethernet::HEADER + ethernet::TAG }>()?;
            let vlan = u16::from_be_bytes([t0, t1]) & 0x0fff;
            let ip = ethernet::HEADER + ethernet::TAG;
            (u16::from_be_bytes([high, low]), vlan, ip)
        }
        untagged => (untagged, 0, ethernet::HEADER),
    };
    let packet = frame.get(ip..)?;
    let header = packet.first_chunk::<{ ipv4::HEADER + udp::HEADER }>()?;
    let [
        version,
        traffic_class,
        t0,
        t1,
        _,
        _,
        flags,
        offset,
        _,
        protocol,
        _,
        _,
        rest @ ..,
    ] = *header;
    let [
        s0,
        s1,
        s2,
        s3,
        l0,
        l1,
        l2,
        l3,
        sp0,
        sp1,
        lp0,
        lp1,
        len0,
        len1,
        c0,
        c1,
    ] = rest;
    let total = usize::from(u16::from_be_bytes([t0, t1]));
    let len = u16::from_be_bytes([len0, len1]);
    let end = ipv4::HEADER + usize::from(len);
    let is_plain = [a, b, c, d, e, f] == port.mac()
        && ethertype == ethernet::IPV4
        && version == 0x45
        && protocol == udp::PROTOCOL
        && u16::from_be_bytes([flags, offset]) & 0x3fff == 0
        && total <= packet.len()
        && end <= total
        && usize::from(len) >= udp::HEADER;
    if !is_plain {
        return None;
    }
    let realm = port.realm(Some(vlan))?;
    let local_port = u16::from_be_bytes([lp0, lp1]);
    let local = networks
        .realm(realm)?
        .media_v4([l0, l1, l2, l3], local_port)?;
    let datagram = Datagram {
        source: Endpoint::v4([s0, s1, s2, s3].into(), u16::from_be_bytes([sp0, sp1])),
        local: Endpoint::v4([l0, l1, l2, l3].into(), local_port),
        realm,
        checksum: u16::from_be_bytes([c0, c1]),
        len,
        traffic_class,
        dont_fragment: flags & 0x40 != 0,
        ip: ip as u8,
        udp: (ip + ipv4::HEADER) as u8,
    };
    Some((datagram, local))
}

/// The general way.
#[inline(never)]
fn classify_any(networks: &Networks, port: u16, frame: &[u8]) -> Result<Class, Counter> {
    let port = networks
        .port(port)
        .ok_or(Counter::of(|c| &mut c.drop_port_unknown))?;
    let view = Ethernet::parse(frame).map_err(|_| Counter::of(|c| &mut c.drop_eth_truncated))?;
    let to_us = view.destination() == port.mac();
    if !to_us && !ethernet::is_group(view.destination()) {
        return Err(Counter::of(|c| &mut c.drop_eth_not_ours));
    }
    let realm = port
        .realm(view.vlan())
        .ok_or(Counter::of(|c| &mut c.drop_vlan_unknown))?;
    let link = Link {
        realm,
        to_us,
        header_len: view.header_len(),
    };
    match view.ethertype() {
        ethernet::IPV4 => ipv4(networks, &link, view.payload()),
        ethernet::IPV6 => ipv6(networks, &link, view.payload()),
        _ => Ok(link.exception(Counter::of(|c| &mut c.exception))),
    }
}

#[inline]
fn ipv4(networks: &Networks, link: &Link, packet: &[u8]) -> Result<Class, Counter> {
    let ip = Ipv4::parse(packet).map_err(|error| match error {
        Ipv4Error::Truncated => Counter::of(|c| &mut c.drop_ip4_truncated),
        Ipv4Error::Version => Counter::of(|c| &mut c.drop_ip4_version),
        Ipv4Error::HeaderLength => Counter::of(|c| &mut c.drop_ip4_header_length),
        Ipv4Error::Length => Counter::of(|c| &mut c.drop_ip4_length),
    })?;
    if ip.protocol() != udp::PROTOCOL {
        return Ok(link.exception(Counter::of(|c| &mut c.exception)));
    }
    if ip.is_fragment() {
        return Ok(link.exception(Counter::of(|c| &mut c.exception_fragment)));
    }
    let udp = parse_udp(ip.payload())?;
    let start = link.header_len + ip.header_len();
    let datagram = Datagram {
        realm: link.realm,
        source: Endpoint::v4(ip.source(), udp.source_port()),
        local: Endpoint::v4(ip.destination(), udp.destination_port()),
        traffic_class: ip.traffic_class(),
        dont_fragment: ip.dont_fragment(),
        checksum: udp.checksum(),
        len: udp.len() as u16,
        ip: link.header_len as u8,
        udp: start as u8,
    };
    match link.receiver(networks, datagram)? {
        Class::Media(..) if !ip.options().is_empty() => {
            Err(Counter::of(|c| &mut c.drop_ip4_options))
        }
        Class::Sip(_) if !ip.options().is_empty() => {
            Ok(link.exception(Counter::of(|c| &mut c.exception_options)))
        }
        class => Ok(class),
    }
}

#[inline]
fn ipv6(networks: &Networks, link: &Link, packet: &[u8]) -> Result<Class, Counter> {
    let ip = Ipv6::parse(packet).map_err(|error| match error {
        Ipv6Error::Truncated => Counter::of(|c| &mut c.drop_ip6_truncated),
        Ipv6Error::Version => Counter::of(|c| &mut c.drop_ip6_version),
        Ipv6Error::Length => Counter::of(|c| &mut c.drop_ip6_length),
    })?;
    if ip.next_header() != udp::PROTOCOL {
        return Ok(link.exception(if ip.is_fragment() {
            Counter::of(|c| &mut c.exception_fragment)
        } else if ip.has_extension() {
            Counter::of(|c| &mut c.exception_ip6_extension)
        } else {
            Counter::of(|c| &mut c.exception)
        }));
    }
    let udp = parse_udp(ip.payload())?;
    let start = link.header_len + ipv6::HEADER;
    let datagram = Datagram {
        realm: link.realm,
        source: Endpoint::v6(ip.source(), udp.source_port()),
        local: Endpoint::v6(ip.destination(), udp.destination_port()),
        traffic_class: ip.traffic_class(),
        dont_fragment: false,
        checksum: udp.checksum(),
        len: udp.len() as u16,
        ip: link.header_len as u8,
        udp: start as u8,
    };
    link.receiver(networks, datagram)
}

#[inline]
fn parse_udp(payload: &[u8]) -> Result<Udp<'_>, Counter> {
    Udp::parse(payload).map_err(|error| match error {
        UdpError::Truncated => Counter::of(|c| &mut c.drop_udp_truncated),
        UdpError::Length => Counter::of(|c| &mut c.drop_udp_length),
    })
}

impl Link {
    fn exception(&self, counter: Counter) -> Class {
        Class::Exception {
            realm: self.realm,
            counter,
        }
    }

    #[inline]
    fn receiver(&self, networks: &Networks, datagram: Datagram) -> Result<Class, Counter> {
        let realm = networks
            .realm(self.realm)
            .ok_or(Counter::of(|c| &mut c.drop_vlan_unknown))?;
        let class = match realm.receiver(datagram.local) {
            Receiver::Media(index) => Class::Media(datagram, index),
            Receiver::Sip => Class::Sip(datagram),
            Receiver::Other => {
                return Ok(self.exception(Counter::of(|c| &mut c.exception)));
            }
        };
        // What floods a switch's broadcast domain is nobody's call.
        if self.to_us {
            Ok(class)
        } else {
            Err(Counter::of(|c| &mut c.drop_eth_group))
        }
    }
}

impl Datagram {
    /// Where the UDP header begins in the frame.
    #[inline]
    pub(crate) fn udp(&self) -> usize {
        self.udp.into()
    }

    /// Where the datagram ends in the frame.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.udp() + self.udp_len()
    }

    /// Bytes of the UDP header and the payload.
    #[inline]
    pub(crate) fn udp_len(&self) -> usize {
        self.len.into()
    }

    /// The UDP payload in the frame.
    #[inline]
    pub(crate) fn payload(&self) -> Range<usize> {
        self.udp() + udp::HEADER..self.end()
    }

    /// What the addresses and ports of an IPv4 datagram add to its UDP checksum.
    #[inline]
    pub(crate) fn plain_sum(&self) -> Sum {
        let (from, to) = (&self.source, &self.local);
        Sum::ZERO
            .words(from.ipv4().octets())
            .words(to.ipv4().octets())
            .word(from.port)
            .word(to.port)
    }

    /// Checks what the device has not checked. Answers the UDP checksum if it can be built upon:
    /// neither missing (RFC 768) nor left out by a virtual device.
    #[inline]
    pub(crate) fn verify(
        &self,
        received: RxChecksums,
        frame: &[u8],
    ) -> Result<Option<u16>, Counter> {
        let is_v4 = self.source.is_v4();
        if is_v4 && received.ip != Checksum::Good && !self.ip_is_right(received.ip, frame) {
            return Err(Counter::of(|c| &mut c.drop_ip4_checksum));
        }
        if self.checksum == 0 {
            return if is_v4 {
                Ok(None)
            } else {
                Err(Counter::of(|c| &mut c.drop_udp_checksum_missing))
            };
        }
        let right = match received.udp {
            Checksum::Good => true,
            Checksum::Absent => return Ok(None),
            Checksum::Bad => false,
            Checksum::Unknown => self.udp_is_right(frame),
        };
        if right {
            Ok(Some(self.checksum))
        } else {
            Err(Counter::of(|c| &mut c.drop_udp_checksum))
        }
    }

    #[inline]
    fn ip_is_right(&self, received: Checksum, frame: &[u8]) -> bool {
        match received {
            Checksum::Good | Checksum::Absent => true,
            Checksum::Bad => false,
            Checksum::Unknown => {
                let header = frame.get(self.ip.into()..self.udp()).unwrap_or_default();
                let sum = match header.first_chunk::<{ ipv4::HEADER }>() {
                    Some(plain) if header.len() == ipv4::HEADER => Sum::ZERO.bytes(plain),
                    _ => Sum::ZERO.bytes(header),
                };
                sum.folded() == 0xffff
            }
        }
    }

    #[inline]
    fn udp_is_right(&self, frame: &[u8]) -> bool {
        let datagram = frame.get(self.udp()..self.end()).unwrap_or_default();
        let addresses = Sum::ZERO
            .address(&self.source.address)
            .address(&self.local.address);
        let sum = udp::pseudo_header(addresses, datagram.len()).bytes(datagram);
        sum.folded() == 0xffff
    }

    /// Whether the sender can be one.
    #[inline]
    pub(crate) fn check_source(&self) -> Result<(), Counter> {
        if self.source.is_somebody() {
            Ok(())
        } else {
            Err(Counter::of(|c| &mut c.drop_bad_source))
        }
    }
}
