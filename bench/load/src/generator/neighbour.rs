//! ARP (RFC 826), neighbour discovery (RFC 4861) and echo (RFC 792, RFC 4443), as far as a host needs them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{Ethernet, EthernetRepr, Mac};
use tandem_wire::ipv4::{Ipv4, Ipv4Repr};
use tandem_wire::ipv6::{Ipv6, Ipv6Repr};

use super::endpoints::{Host, solicited_node};

const ARP: u16 = 0x0806;
const ARP_LEN: usize = 28;
/// Ethernet and IPv4, addresses of 6 and 4 bytes.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What a frame said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Somebody has this address.
    pub(super) said: Option<(IpAddr, Mac)>,
    /// What is to be answered.
    pub(super) answer: Option<Vec<u8>>,
}

/// Asks who has `address`, from `own`. Answers the frame's length.
pub(super) fn ask(host: &Host, own: IpAddr, address: IpAddr, buffer: &mut [u8]) -> Option<usize> {
    let frame = match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) => arp(host, 1, own, [0xff; 6], [0; 6], address)?,
        (IpAddr::V6(own), IpAddr::V6(address)) => {
            let group = solicited_node(address);
            let [.., a, b, c, d] = group.octets();
            let body = discovery(SOLICITATION, 0, address, 1, host.mac);
            icmpv6(host, [0x33, 0x33, a, b, c, d], own, group, &body)?
        }
        _ => return None,
    };
    buffer.get_mut(..frame.len())?.copy_from_slice(&frame);
    Some(frame.len())
}

/// What a frame says of neighbours and asks of us; none if it is neither ARP nor such ICMP for us.
pub(super) fn hear(host: &Host, frame: &[u8]) -> Option<Heard> {
    let view = Ethernet::parse(frame).ok()?;
    if view.vlan() != host.vlan {
        return None;
    }
    match view.ethertype() {
        ARP => hear_arp(host, view.payload()),
        tandem_wire::ethernet::IPV4 => hear_icmp(host, &view),
        tandem_wire::ethernet::IPV6 => hear_icmpv6(host, &view),
        _ => None,
    }
}

fn hear_arp(host: &Host, packet: &[u8]) -> Option<Heard> {
    let packet: &[u8; ARP_LEN] = packet.first_chunk()?;
    let [a, b, c, d, e, f, _, operation, rest @ ..] = *packet;
    if [a, b, c, d, e, f] != ARP_HEAD {
        return None;
    }
    let (sender, rest) = rest.split_first_chunk::<6>()?;
    let (from, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let wanted = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    let from = Ipv4Addr::from(*from);
    let mut heard = Heard {
        said: Some((from.into(), *sender)),
        answer: None,
    };
    if operation == 1 && host.owns(wanted.into()) {
        heard.answer = arp(host, 2, wanted, *sender, *sender, from);
    }
    Some(heard)
}

/// An ARP packet of ours.
fn arp(
    host: &Host,
    operation: u8,
    own: Ipv4Addr,
    to: Mac,
    target: Mac,
    address: Ipv4Addr,
) -> Option<Vec<u8>> {
    let header = EthernetRepr {
        destination: to,
        source: host.mac,
        tag: host.vlan,
        ethertype: ARP,
    };
    let mut packet = ARP_HEAD.to_vec();
    packet.extend([0, operation]);
    packet.extend(host.mac);
    packet.extend(own.octets());
    packet.extend(target);
    packet.extend(address.octets());
    framed(header, &packet)
}

fn hear_icmp(host: &Host, view: &Ethernet<'_>) -> Option<Heard> {
    let ip = Ipv4::parse(view.payload()).ok()?;
    let (us, them) = (ip.destination(), ip.source());
    let [8, 0, _, _, rest @ ..] = ip.payload() else {
        return None;
    };
    if ip.protocol() != ICMP || ip.is_fragment() || !host.owns(us.into()) {
        return None;
    }
    let sum = Sum::ZERO.bytes(rest).checksum().to_be_bytes();
    let body = [&[0, 0], &sum[..], rest].concat();
    let header = Ipv4Repr {
        source: us,
        destination: them,
        traffic_class: 0,
        id: 0,
        dont_fragment: true,
        ttl: 64,
        protocol: ICMP,
        payload_len: u16::try_from(body.len()).ok()?,
        checksum_offloaded: false,
    };
    let mut packet = vec![0; tandem_wire::ipv4::HEADER + body.len()];
    header.emit(&mut packet)?.copy_from_slice(&body);
    let ethernet = host.ethernet(view.source(), us.into());
    Some(Heard {
        said: None,
        answer: framed(ethernet, &packet),
    })
}

fn hear_icmpv6(host: &Host, view: &Ethernet<'_>) -> Option<Heard> {
    let ip = Ipv6::parse(view.payload()).ok()?;
    let (them, body) = (ip.source(), ip.payload());
    if ip.next_header() != ICMPV6 {
        return None;
    }
    match *body {
        [128, 0, _, _, ref rest @ ..] if host.owns(ip.destination().into()) => {
            let answer = [&[129, 0, 0, 0], rest].concat();
            let answer = icmpv6(host, view.source(), ip.destination(), them, &answer);
            Some(Heard { said: None, answer })
        }
        [SOLICITATION, 0, _, _, _, _, _, _, ref rest @ ..] => {
            let target = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            let mut heard = Heard {
                said: Some((them.into(), view.source())),
                answer: None,
            };
            if host.owns(target.into()) {
                // Solicited, and overriding what was known.
                let answer = discovery(ADVERTISEMENT, 0x60, target, 2, host.mac);
                heard.answer = icmpv6(host, view.source(), target, them, &answer);
            }
            Some(heard)
        }
        [ADVERTISEMENT, 0, _, _, _, _, _, _, ref rest @ ..] => {
            let target = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            Some(Heard {
                said: Some((target.into(), view.source())),
                answer: None,
            })
        }
        _ => None,
    }
}

/// The body of a solicitation or an advertisement with a link-layer address option.
fn discovery(kind: u8, flags: u8, target: Ipv6Addr, option: u8, mac: Mac) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    body.extend([option, 1]);
    body.extend(mac);
    body
}

/// A frame with an ICMPv6 message, whose checksum is filled in.
fn icmpv6(
    host: &Host,
    to: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    body: &[u8],
) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok()?;
    let header = Ipv6Repr {
        source,
        destination,
        traffic_class: 0,
        next_header: ICMPV6,
        hop_limit: 255,
        payload_len: length,
    };
    let mut packet = vec![0; tandem_wire::ipv6::HEADER + body.len()];
    let place = header.emit(&mut packet)?;
    place.copy_from_slice(body);
    let sum = Sum::ZERO
        .ipv6(source)
        .ipv6(destination)
        .word(ICMPV6.into())
        .word(length);
    let checksum = sum.bytes(body).checksum();
    place
        .get_mut(2..4)?
        .copy_from_slice(&checksum.to_be_bytes());
    framed(host.ethernet(to, source.into()), &packet)
}

fn framed(header: EthernetRepr, packet: &[u8]) -> Option<Vec<u8>> {
    // No frame is shorter than 60 bytes.
    let mut frame = vec![0; (header.len() + packet.len()).max(60)];
    header
        .emit(&mut frame)?
        .get_mut(..packet.len())?
        .copy_from_slice(packet);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> Host {
        Host {
            mac: [2, 0, 0, 0, 0, last],
            vlan: Some(7),
            addresses: vec![
                (Ipv4Addr::new(192, 0, 2, last).into(), 24),
                (format!("2001:db8::{last}").parse().unwrap(), 64),
            ],
            gateways: vec![],
            peer_mac: None,
        }
    }

    #[test]
    fn two_of_them_find_each_other() {
        let (a, b) = (host(1), host(2));
        for n in [0, 1] {
            let (own, wanted) = (a.addresses[n].0, b.addresses[n].0);
            let mut buffer = [0; 128];
            let length = ask(&a, own, wanted, &mut buffer).unwrap();
            let heard = hear(&b, &buffer[..length]).unwrap();
            assert_eq!(heard.said, Some((own, a.mac)));
            let answered = hear(&a, &heard.answer.unwrap()).unwrap();
            assert_eq!(answered.said, Some((wanted, b.mac)));
            assert!(answered.answer.is_none());
            // Who is asked for somebody else's address says nothing.
            let length = ask(&a, own, own, &mut buffer).unwrap();
            assert!(hear(&b, &buffer[..length]).unwrap().answer.is_none());
            // Another VLAN is none of its business.
            let other = Host {
                vlan: None,
                ..b.clone()
            };
            assert!(hear(&other, &buffer[..length]).is_none());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
            kind in 0usize..4,
        ) {
            // Else hardly any would be looked into.
            let kind = [0x0806u16, 0x0800, 0x86dd, 0x1234][kind].to_be_bytes();
            if bytes.len() > 40 {
                bytes[12..18].copy_from_slice(&[0x81, 0, 0, 7, kind[0], kind[1]]);
                bytes[18] = if kind == [8, 0] { 0x45 } else { 0x60 };
            }
            let _ = hear(&host(1), &bytes);
            let _ = super::super::datagram::read(&bytes, Some(7));
        }
    }
}
