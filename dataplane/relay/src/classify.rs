//! What a received frame is.

use std::ops::Range;

use tandem_wire::checksum::Sum;
use tandem_wire::{
    Ethernet, Ipv4, Ipv4Error, Ipv6, Ipv6Error, Udp, UdpError, ethernet, ipv4, ipv6, udp,
};

use crate::counters::Counter;
use crate::endpoint::Endpoint;
use crate::network::{Networks, Port, Realm, Receiver};
use crate::table::PortKey;
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

/// A glance at a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// The index of the local address that it is for, and our port.
    pub(crate) key: PortKey,
    /// Where the IP header begins in a frame as nearly all of them are: to us, IPv4 without options, whole, UDP, for a media port.
    /// [`classify`] would say [`Class::Media`]. 0 for another, of which the key is a guess.
    pub(crate) plain: u8,
}

/// A glance at a frame that is for a media port, as far as that is seen at once.
#[inline(always)]
pub(crate) fn glance(networks: &Networks, port: u16, frame: &[u8]) -> Option<Glance> {
    const IP: usize = ethernet::HEADER;
    let port = networks.port(port)?;
    let head = frame.first_chunk::<{ IP + ipv4::HEADER + udp::HEADER }>()?;
    if !port.is_to_us(part(head, 0)) {
        return None;
    }
    if word(head, 12) != ethernet::IPV4 {
        return glance_other(networks, port, frame);
    }
    let header: &[u8; ipv4::HEADER + udp::HEADER] = head.last_chunk()?;
    if !is_plain_v4(header, IP, frame.len()) {
        return None;
    }
    let (to, number) = (part(header, 16), word(header, 22));
    let realm = networks.realm(port.untagged())?;
    let local = match port.usual_media(to) {
        Some(local) if realm.is_media(number) => local,
        _ => realm.media_v4(to, number)?,
    };
    Some(Glance {
        key: (local, number),
        plain: IP as u8,
    })
}

/// The same of a frame with a tag, or of IPv6.
#[inline(never)]
fn glance_other(networks: &Networks, port: &Port, frame: &[u8]) -> Option<Glance> {
    const TAGGED: usize = ethernet::HEADER + ethernet::TAG;
    let link = frame.first_chunk::<TAGGED>()?;
    let (ethertype, vlan, ip) = match word(link, 12) {
        ethernet::VLAN => (word(link, 16), word(link, 14) & 0x0fff, TAGGED),
        untagged => (untagged, 0, ethernet::HEADER),
    };
    let realm = networks.realm(port.realm(Some(vlan))?)?;
    let packet = frame.get(ip..)?;
    match ethertype {
        ethernet::IPV4 => glance_v4(realm, packet.first_chunk()?, ip, frame.len()),
        _ => glance_v6(realm, packet),
    }
}

/// Whether it is IPv4 without options, whole, and UDP of the same length. `ip` is where the header begins in the frame, `end` where that ends.
#[inline(always)]
fn is_plain_v4(header: &[u8; ipv4::HEADER + udp::HEADER], ip: usize, end: usize) -> bool {
    let total = usize::from(word(header, 2));
    let len = usize::from(word(header, 24));
    header[0] == 0x45
        && header[9] == udp::PROTOCOL
        && word(header, 6) & 0x3fff == 0
        && ip + total <= end
        && ipv4::HEADER + len == total
        && len >= udp::HEADER
}

#[inline(always)]
fn glance_v4(
    realm: &Realm,
    header: &[u8; ipv4::HEADER + udp::HEADER],
    ip: usize,
    end: usize,
) -> Option<Glance> {
    if !is_plain_v4(header, ip, end) {
        return None;
    }
    let port = word(header, 22);
    let local = realm.media_v4(part(header, 16), port)?;
    Some(Glance {
        key: (local, port),
        plain: ip as u8,
    })
}

/// The same of IPv6: nothing but the address and the port is looked at.
fn glance_v6(realm: &Realm, packet: &[u8]) -> Option<Glance> {
    let header = packet.first_chunk::<{ ipv6::HEADER + udp::HEADER }>()?;
    if header[0] >> 4 != 6 || header[6] != udp::PROTOCOL {
        return None;
    }
    let port = word(header, 42);
    let local = Endpoint {
        address: part(header, 24),
        port,
    };
    match realm.receiver(local) {
        Receiver::Media(local) => Some(Glance {
            key: (local, port),
            plain: 0,
        }),
        _ => None,
    }
}

/// Classifies a frame that came in on a port; an error is the counter of its drop.
pub(crate) fn classify(networks: &Networks, port: u16, frame: &[u8]) -> Result<Class, Counter> {
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

/// Bytes of a header from a place that is inside of it.
#[inline(always)]
pub(crate) fn part<const N: usize, const L: usize>(header: &[u8; L], at: usize) -> [u8; N] {
    let part = header.get(at..).and_then(|rest| rest.first_chunk());
    part.copied().unwrap_or([0; N])
}

/// A word of a header.
#[inline(always)]
pub(crate) fn word<const L: usize>(header: &[u8; L], at: usize) -> u16 {
    u16::from_be_bytes(part(header, at))
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
