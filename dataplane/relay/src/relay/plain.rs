//! The short way of nearly every packet: RTP in IPv4 without options from the source that was learned, to an
//! IPv4 destination whose next hop is known. What is not so goes the general way ([`super::media`]), which comes to the same.

use tandem_link::{FlowId, FlowKind};
use tandem_wire::checksum::Sum;
use tandem_wire::{Mac, Rtp, ethernet, ipv4, rtcp, udp};

use super::{Look, Relay};
use crate::classify::{part, word};
use crate::flow::of;
use crate::network::Way;
use crate::rewrite::{TTL, identification, tag};
use crate::{Checksum, Frame, RxChecksums, TxChecksums, Verdict};

/// An Ethernet header with a VLAN tag.
const TAGGED: usize = ethernet::HEADER + ethernet::TAG;
/// IPv4 and UDP headers.
const HEADERS: usize = ipv4::HEADER + udp::HEADER;

/// What became of a packet: the small part of [`Verdict`], that does not go through memory.
pub(super) enum Done {
    Relayed {
        port: u16,
        checksums: TxChecksums,
        flow: FlowId,
    },
    /// It is counted.
    Dropped,
}

impl Done {
    #[inline(always)]
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Relayed {
                port,
                checksums,
                flow,
            } => Verdict::Transmit {
                port,
                checksums,
                flow,
            },
            Self::Dropped => Verdict::Drop,
        }
    }
}

impl Relay {
    /// Relays a packet that was looked at. None if it has to go the general way: nothing has changed then.
    // Called, not inlined: a function of its own keeps its values in registers.
    #[inline(never)]
    pub(super) fn relay_plain(
        &mut self,
        now: u64,
        frame: &mut Frame<'_>,
        look: Look,
    ) -> Option<Done> {
        let ip = usize::from(look.ip);
        let (place, leg) = look.place.filter(|_| ip != 0)?;
        let packet = frame.bytes().get(ip..)?;
        let header = packet.first_chunk::<HEADERS>()?;
        let udp_len = usize::from(word(header, 24));
        let udp_checksum = word(header, 26);
        let (from, to) = (part(header, 12), part(header, 16));
        let ports = part(header, 20);
        let ecn = header[1] & 0x03;
        let dont_fragment = header[6] & 0x40 != 0;
        let flow = self.table.get_mut(place)?;
        let source = (from, word(header, 20));
        // What has no UDP checksum gets one; at the odd port there is RTCP.
        if udp_checksum == 0
            || header[23] & 1 != 0
            || flow.kind != FlowKind::Rtp
            || flow.idle
            || !of(&flow.rtp, leg).is_settled_on(source)
            || !is_right(frame.received(), header, udp_len, packet)
        {
            return None;
        }

        let out = leg.other();
        let way = *of(&flow.ways, out);
        let destination = flow.destination(out, false);
        let hop = flow.known_hop(self.forwarding.generation(), out);
        let neighbour = self.forwarding.mac(hop)?;
        let local = self.networks.local(way.local)?;
        let by = &local.way;
        if !destination.is_v4()
            || !destination.is_some()
            || ipv4::HEADER + udp_len > usize::from(by.mtu)
        {
            return None;
        }
        let new = New {
            by,
            neighbour,
            from: local.address.octets(),
            to: destination.octets(),
            ports: (way.port, destination.port),
            traffic_class: way.dscp << 2 | ecn,
            udp_len: udp_len as u16,
        };
        let (at, len, end) = (ip + ipv4::HEADER, new.len(), ip + ipv4::HEADER + udp_len);
        let window = frame.room(at, len, end)?;
        let payload = window.get(len + udp::HEADER..)?;
        if rtcp::is_rtcp(payload) {
            return None;
        }
        let rtp = Rtp::parse(payload).ok()?;
        let bytes = payload.len();

        // From here on it changes something.
        if !flow.heard_rtp(now, leg, &rtp, bytes) {
            self.above_rate(place, leg).count(&mut self.counters);
            return Some(Done::Dropped);
        }
        flow.relayed(leg, false, bytes);
        flow.active = now;
        let id = identification(dont_fragment, &mut self.ids);
        let old = [from, to, ports];
        let checksums = new.emit(window, (dont_fragment, id), udp_checksum, old)?;
        frame.set(at, len, end);
        self.counters.relayed += 1;
        self.counters.relayed_bytes += bytes as u64;
        Some(Done::Relayed {
            port: by.port,
            checksums,
            flow: flow.id,
        })
    }
}

/// Whether both checksums are right; the UDP checksum is there.
#[inline(always)]
fn is_right(received: RxChecksums, header: &[u8; HEADERS], udp_len: usize, packet: &[u8]) -> bool {
    // One comparison, as devices that look at both say it of nearly every packet.
    let good = RxChecksums {
        ip: Checksum::Good,
        udp: Checksum::Good,
    };
    received == good || is_right_in_software(received, header, udp_len, packet)
}

#[inline(never)]
fn is_right_in_software(
    received: RxChecksums,
    header: &[u8; HEADERS],
    udp_len: usize,
    packet: &[u8],
) -> bool {
    let ip = match received.ip {
        Checksum::Good | Checksum::Absent => true,
        Checksum::Bad => false,
        Checksum::Unknown => {
            let header: &[u8; ipv4::HEADER] = &part(header, 0);
            Sum::ZERO.bytes(header).folded() == 0xffff
        }
    };
    let udp = match received.udp {
        Checksum::Good => true,
        Checksum::Bad | Checksum::Absent => false,
        Checksum::Unknown => {
            let addresses = Sum::ZERO.words(part(header, 12)).words(part(header, 16));
            let datagram = packet.get(ipv4::HEADER..ipv4::HEADER + udp_len);
            let sum = udp::pseudo_header(addresses, udp_len).bytes(datagram.unwrap_or_default());
            sum.folded() == 0xffff
        }
    };
    ip && udp
}

/// The headers that it gets: what [`crate::rewrite::Headers`] would write.
struct New<'a> {
    by: &'a Way,
    neighbour: Mac,
    from: [u8; 4],
    to: [u8; 4],
    /// Of both.
    ports: (u16, u16),
    /// DSCP and ECN.
    traffic_class: u8,
    /// Bytes of the UDP header and the payload; not more than the MTU leaves.
    udp_len: u16,
}

impl New<'_> {
    /// Bytes of the Ethernet and IP headers.
    #[inline(always)]
    fn len(&self) -> usize {
        match self.by.vlan {
            None => ethernet::HEADER + ipv4::HEADER,
            Some(_) => TAGGED + ipv4::HEADER,
        }
    }

    /// Writes them in front of the payload that ends the window. `old` are the addresses and ports that the UDP
    /// checksum covers as it came. None if the window is too short.
    #[inline(always)]
    fn emit(
        &self,
        window: &mut [u8],
        fragmentation: (bool, u16),
        checksum: u16,
        old: [[u8; 4]; 3],
    ) -> Option<TxChecksums> {
        let by = self.by;
        let (l2_len, header) = match by.vlan {
            None => {
                let all = window.first_chunk_mut::<{ ethernet::HEADER + HEADERS }>()?;
                let (link, rest) = all.split_first_chunk_mut::<{ ethernet::HEADER }>()?;
                link[..6].copy_from_slice(&self.neighbour);
                link[6..12].copy_from_slice(&by.mac);
                link[12..].copy_from_slice(&ethernet::IPV4.to_be_bytes());
                (ethernet::HEADER, rest)
            }
            Some(vlan) => {
                let all = window.first_chunk_mut::<{ TAGGED + HEADERS }>()?;
                let (link, rest) = all.split_first_chunk_mut::<TAGGED>()?;
                link[..6].copy_from_slice(&self.neighbour);
                link[6..12].copy_from_slice(&by.mac);
                link[12..14].copy_from_slice(&ethernet::VLAN.to_be_bytes());
                link[14..16].copy_from_slice(&tag(vlan, self.traffic_class).to_be_bytes());
                link[16..].copy_from_slice(&ethernet::IPV4.to_be_bytes());
                (TAGGED, rest)
            }
        };
        self.emit_ip(header.first_chunk_mut()?, fragmentation, checksum, old);
        if !by.offloads.ipv4 {
            return Some(TxChecksums::default());
        }
        Some(TxChecksums {
            ipv4: true,
            udp: false,
            ipv6: false,
            l2_len: l2_len as u8,
            l3_len: ipv4::HEADER as u16,
        })
    }

    #[inline(always)]
    fn emit_ip(
        &self,
        header: &mut [u8; HEADERS],
        (dont_fragment, id): (bool, u16),
        checksum: u16,
        [old_from, old_to, old_ports]: [[u8; 4]; 3],
    ) {
        // Written by words, and summed up by the same words while they are in registers.
        let pair = |high: u16, low: u16| (u32::from(high) << 16 | u32::from(low)).to_be_bytes();
        let total = self.udp_len + ipv4::HEADER as u16;
        let first = pair(0x4500 | u16::from(self.traffic_class), total);
        let second = pair(id, if dont_fragment { 0x4000 } else { 0 });
        let third = [TTL, udp::PROTOCOL, 0, 0];
        let (from_port, to_port) = self.ports;
        let ports = pair(from_port, to_port);
        let addresses = Sum::ZERO.words(self.from).words(self.to);
        header[..4].copy_from_slice(&first);
        header[4..8].copy_from_slice(&second);
        header[8..12].copy_from_slice(&third);
        if !self.by.offloads.ipv4 {
            let sum = addresses.words(first).words(second).words(third);
            header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        }
        header[12..16].copy_from_slice(&self.from);
        header[16..20].copy_from_slice(&self.to);
        header[20..24].copy_from_slice(&ports);
        // RFC 1624 equation 3.
        let updated = addresses
            .words(ports)
            .word(!checksum)
            .without(old_from)
            .without(old_to)
            .without(old_ports)
            .checksum();
        header[24..].copy_from_slice(&pair(self.udp_len, udp::sent(updated)));
    }
}
