//! The short way of nearly every packet: RTP in IPv4 without options from the source that was learned, to an
//! IPv4 destination whose next hop is known. What is not so goes the general way ([`super::media`]), which comes to the same.

use tandem_link::FlowKind;
use tandem_wire::checksum::Sum;
use tandem_wire::{Mac, RtpHeader, ethernet, ipv4, rtp, udp};

use super::{Look, Relay};
use crate::classify::{part, word};
use crate::flow::of;
use crate::network::Way;
use crate::rewrite::{TTL, identification, tag};
use crate::{Checksum, Frame, RxChecksums, TxChecksums, Verdict};

/// The longest Ethernet header: with a VLAN tag.
const LINK: usize = ethernet::HEADER + ethernet::TAG;
/// IPv4 and UDP headers.
const HEADERS: usize = ipv4::HEADER + udp::HEADER;
const UDP_RTP: usize = udp::HEADER + rtp::HEADER;
/// What is read and written of a packet, the longest link header in front of it: fixed places in an array.
const HEAD: usize = LINK + HEADERS + rtp::HEADER;

/// What became of a packet: the small part of [`Verdict`], that fits in a register and so does not go through memory.
#[derive(Clone, Copy, Debug)]
pub enum Plain {
    /// It was rewritten in place and its window moved: [`Verdict::Transmit`].
    Relayed {
        /// Index of the port.
        port: u16,
        /// Checksums left to the port.
        checksums: TxChecksums,
    },
    /// It is counted: [`Verdict::Drop`].
    Dropped,
}

impl Plain {
    #[inline(always)]
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Relayed { port, checksums } => Verdict::Transmit { port, checksums },
            Self::Dropped => Verdict::Drop,
        }
    }
}

impl Relay {
    /// The way of nearly every packet through [`Relay::decide`]. None if it has to go the general way, by
    /// [`Relay::decide_otherwise`]: nothing has changed then.
    // Called, not inlined: a function of its own keeps its values in registers.
    #[inline(never)]
    pub fn relay_plain(&mut self, now: u64, frame: &mut Frame<'_>, look: Look) -> Option<Plain> {
        let ip = usize::from(look.ip);
        let (place, leg) = look.entry.place().filter(|_| ip != 0)?;
        let received = frame.received();
        let (head, rest) = frame.head::<HEAD>(ip, LINK)?;
        let (link, packet) = head.split_first_chunk_mut::<LINK>()?;
        let (header, bytes) = packet.split_first_chunk_mut::<HEADERS>()?;
        let header: &mut [u8; HEADERS] = header;
        let rtp: &[u8; rtp::HEADER] = bytes.first_chunk()?;
        let (rest, _) =
            rest.split_at_checked(usize::from(word(header, 24)).checked_sub(UDP_RTP)?)?;

        let udp_len = word(header, 24);
        let old_checksum = word(header, 26);
        let (from, to, ports) = (part(header, 12), part(header, 16), part(header, 20));
        let flow = self.table.get_mut(place)?;
        // RTCP, on its own port or on this one, and what is not as nearly all RTP is; what has no UDP checksum gets one.
        if header[23] & 1 != 0
            || rtp[1] & 0xe0 == 0xc0
            || old_checksum == 0
            || flow.kind != FlowKind::Rtp
            || flow.idle
            || !of(&flow.rtp, leg).is_settled_on((from, word(header, 20)))
            || !is_right(received, header, rtp, rest)
        {
            return None;
        }
        let rtp = RtpHeader::plain(rtp)?;

        let out = leg.other();
        let way = *of(&flow.ways, out);
        let destination = flow.destination(out, false);
        let hop = flow.known_hop(self.forwarding.generation(), out);
        let neighbour = self.forwarding.mac(hop)?;
        let local = self.networks.local(way.local)?;
        let by = &local.way;
        let total = ipv4::HEADER + usize::from(udp_len);
        if !local.is_v4 || !destination.is_some() || total > usize::from(by.mtu) {
            return None;
        }

        // From here on it changes something.
        let bytes = usize::from(udp_len) - udp::HEADER;
        if !flow.heard_rtp(now, leg, rtp, bytes) {
            self.above_rate(place, leg).count(&mut self.counters);
            return Some(Plain::Dropped);
        }
        flow.relayed(leg, false, bytes);
        flow.active = now;
        let dont_fragment = header[6] & 0x40 != 0;
        let id = identification(dont_fragment, &mut self.ids);
        let traffic_class = way.dscp << 2 | header[1] & 0x03;
        // What of the old checksum is not of these headers (RFC 1624 equation 3).
        let kept = Sum::ZERO
            .word(!old_checksum)
            .without(from)
            .without(to)
            .without(ports);
        let new = New {
            by,
            from: local.address.octets(),
            to: destination.octets(),
            ports: pair(way.port, destination.port),
            first: pair(0x4500 | u16::from(traffic_class), total as u16),
            second: pair(id, u16::from(dont_fragment) << 14),
        };
        new.emit_ip(header, udp_len, kept);
        let l2_len = new.emit_link(link, neighbour, traffic_class);
        frame.set(ip, l2_len, ip + total);
        self.counters.relayed += 1;
        self.counters.relayed_bytes += bytes as u64;
        let offloads = by.offloads.ipv4;
        Some(Plain::Relayed {
            port: by.port,
            checksums: TxChecksums {
                ipv4: offloads,
                udp: false,
                ipv6: false,
                l2_len: if offloads { l2_len as u8 } else { 0 },
                l3_len: if offloads { ipv4::HEADER as u16 } else { 0 },
            },
        })
    }
}

/// Whether both checksums are right; the UDP checksum is there.
#[inline(always)]
fn is_right(
    received: RxChecksums,
    header: &[u8; HEADERS],
    rtp: &[u8; rtp::HEADER],
    rest: &[u8],
) -> bool {
    let at = |place| part(header, place);
    let addresses = Sum::ZERO.words(at(12)).words(at(16));
    let ip = match received.ip {
        Checksum::Unknown => {
            let sum = addresses.words(at(0)).words(at(4)).words(at(8));
            sum.folded() == 0xffff
        }
        seen => seen != Checksum::Bad,
    };
    let udp = match received.udp {
        Checksum::Unknown => {
            let sum = udp::pseudo_header(addresses, UDP_RTP + rest.len());
            let sum = sum.words(at(20)).words(at(24));
            let sum = sum
                .words(part(rtp, 0))
                .words(part(rtp, 4))
                .words(part(rtp, 8));
            sum.bytes(rest).folded() == 0xffff
        }
        seen => seen == Checksum::Good,
    };
    ip && udp
}

/// Two words, as they are sent.
#[inline(always)]
fn pair(high: u16, low: u16) -> [u8; 4] {
    (u32::from(high) << 16 | u32::from(low)).to_be_bytes()
}

/// The headers that it gets, by words: what [`crate::rewrite::Headers`] would write.
struct New<'a> {
    by: &'a Way,
    from: [u8; 4],
    to: [u8; 4],
    ports: [u8; 4],
    /// Version, traffic class and length.
    first: [u8; 4],
    /// Identification and fragmentation.
    second: [u8; 4],
}

impl New<'_> {
    /// Writes IPv4 and UDP, and sums up the same words while they are in registers.
    #[inline(always)]
    fn emit_ip(&self, header: &mut [u8; HEADERS], udp_len: u16, kept: Sum) {
        let third = [TTL, udp::PROTOCOL, 0, 0];
        let addresses = Sum::ZERO.words(self.from).words(self.to);
        header[..4].copy_from_slice(&self.first);
        header[4..8].copy_from_slice(&self.second);
        header[8..12].copy_from_slice(&third);
        if !self.by.offloads.ipv4 {
            let sum = addresses.words(self.first).words(self.second).words(third);
            header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        }
        header[12..16].copy_from_slice(&self.from);
        header[16..20].copy_from_slice(&self.to);
        header[20..24].copy_from_slice(&self.ports);
        let updated = kept.sum(addresses).words(self.ports).checksum();
        header[24..].copy_from_slice(&pair(udp_len, udp::sent(updated)));
    }

    /// Writes the Ethernet header at the end of the room for it. Answers its length.
    #[inline(always)]
    fn emit_link(&self, link: &mut [u8; LINK], neighbour: Mac, traffic_class: u8) -> usize {
        let by = self.by;
        match by.vlan {
            None => {
                link[4..10].copy_from_slice(&neighbour);
                link[10..].copy_from_slice(&by.link);
                ethernet::HEADER
            }
            Some(vlan) => {
                link[..6].copy_from_slice(&neighbour);
                link[6..14].copy_from_slice(&by.link);
                link[14..].copy_from_slice(&pair(tag(vlan, traffic_class), ethernet::IPV4));
                LINK
            }
        }
    }
}
