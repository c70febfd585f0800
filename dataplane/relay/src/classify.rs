//! What a received frame is.

use std::ops::Range;

use tandem_wire::checksum::Sum;
use tandem_wire::{Ethernet, Ipv4, Ipv4Error, Ipv6, Ipv6Error, Udp, UdpError, ethernet, ipv6, udp};

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
    pub(crate) realm: u16,
    pub(crate) source: Endpoint,
    pub(crate) local: Endpoint,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    pub(crate) dont_fragment: bool,
    /// The UDP checksum field.
    checksum: u16,
    /// Where the IP header begins in the frame.
    ip: usize,
    /// Where the UDP header begins.
    pub(crate) udp: usize,
    /// Where the datagram ends; Ethernet padding is behind it.
    pub(crate) end: usize,
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
        ip: link.header_len,
        udp: start,
        end: start + udp.len(),
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
        ip: link.header_len,
        udp: start,
        end: start + udp.len(),
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
    /// The UDP payload in the frame.
    #[inline]
    pub(crate) fn payload(&self) -> Range<usize> {
        self.udp + udp::HEADER..self.end
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
        if is_v4 {
            let header = frame.get(self.ip..self.udp).unwrap_or_default();
            let right = match received.ip {
                Checksum::Good | Checksum::Absent => true,
                Checksum::Bad => false,
                Checksum::Unknown => Sum::ZERO.bytes(header).folded() == 0xffff,
            };
            if !right {
                return Err(Counter::of(|c| &mut c.drop_ip4_checksum));
            }
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
            Checksum::Unknown => {
                let datagram = frame.get(self.udp..self.end).unwrap_or_default();
                let addresses = Sum::ZERO
                    .address(&self.source.address)
                    .address(&self.local.address);
                let sum = udp::pseudo_header(addresses, datagram.len()).bytes(datagram);
                sum.folded() == 0xffff
            }
        };
        if right {
            Ok(Some(self.checksum))
        } else {
            Err(Counter::of(|c| &mut c.drop_udp_checksum))
        }
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
