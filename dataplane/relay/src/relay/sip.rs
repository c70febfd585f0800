//! SIP datagrams of the signaling plane on their way to the wire.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Relay;
use crate::endpoint::Endpoint;
use crate::forwarding::NextHop;
use crate::rewrite::{Headers, UdpChecksum};
use crate::{Frame, SipSend};

/// Bytes of a UDP header.
const UDP: usize = tandem_wire::udp::HEADER;
/// How long the kernel may take to send a datagram to a next hop that is known to it, in nanoseconds.
const ORDER: u64 = 10_000_000;
/// Destinations remembered for [`ORDER`]; of more the oldest is forgotten.
const REMEMBERED: usize = 64;

/// Destinations to which a datagram was just given to the kernel: what comes after it would overtake it.
#[derive(Debug)]
pub(super) struct ByKernel(VecDeque<(SocketAddr, u64)>);

impl ByKernel {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(REMEMBERED))
    }

    fn add(&mut self, now: u64, destination: SocketAddr) {
        self.0.retain(|(to, _)| *to != destination);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((destination, now.saturating_add(ORDER)));
    }

    fn has(&mut self, now: u64, destination: SocketAddr) -> bool {
        while self.0.front().is_some_and(|(_, until)| *until <= now) {
            self.0.pop_front();
        }
        self.0.iter().any(|(to, _)| *to == destination)
    }
}

impl Relay {
    /// Frames a SIP datagram into an empty buffer: the frame begins where its window does now.
    /// What follows a datagram that the kernel was to send is `Unresolved` too for some milliseconds: it keeps its place.
    pub fn send_sip(
        &mut self,
        now: u64,
        realm: u16,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        frame: &mut Frame<'_>,
    ) -> SipSend {
        let sent = self.frame_sip(now, realm, source, destination, payload, frame);
        let counters = &mut self.counters;
        *match sent {
            SipSend::Transmit { .. } => &mut counters.sip_send_transmit,
            SipSend::Unresolved => &mut counters.sip_send_unresolved,
            SipSend::TooLong => &mut counters.sip_send_too_long,
            SipSend::Refused => &mut counters.sip_send_refused,
        } += 1;
        sent
    }

    pub(super) fn frame_sip(
        &mut self,
        now: u64,
        realm_index: u16,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        frame: &mut Frame<'_>,
    ) -> SipSend {
        let Some(realm) = self.networks.realm(realm_index) else {
            return SipSend::Refused;
        };
        let (from, to) = (Endpoint::new(source), Endpoint::new(destination));
        let same_family = source.is_ipv4() == destination.is_ipv4();
        if !realm.has_sip(from) || !same_family || !to.is_somebody() {
            return SipSend::Refused;
        }
        if self.by_kernel.has(now, destination) {
            return SipSend::Unresolved;
        }
        let hash = u32::from(to.port).wrapping_mul(0x9e37_79b9);
        let mac = match self
            .forwarding
            .next_hop(realm_index, destination.ip(), hash)
        {
            NextHop::Resolved { index, neighbour } => {
                self.hops.used(now, realm_index, neighbour);
                self.forwarding.mac(index)
            }
            NextHop::Unresolved { neighbour } => {
                self.hops.missing(now, realm_index, neighbour);
                None
            }
            NextHop::Local | NextHop::NoRoute => None,
        };
        let Some(mac) = mac else {
            self.by_kernel.add(now, destination);
            return SipSend::Unresolved;
        };
        let headers = Headers::new(&realm.way, mac, from, to, self.sip_dscp << 2)
            .fragmentation(false, &mut self.ids);
        let udp_len = UDP + payload.len();
        if !headers.fits(udp_len) {
            self.by_kernel.add(now, destination);
            return SipSend::TooLong;
        }
        let total = headers.len() + udp_len;
        let Some(window) = frame.room(0, 0, total) else {
            return SipSend::TooLong;
        };
        let behind = window.get_mut(headers.len() + UDP..).unwrap_or_default();
        behind.copy_from_slice(payload);
        let Some(checksums) = headers.emit(window, UdpChecksum::Compute) else {
            return SipSend::TooLong;
        };
        let port = realm.way.port;
        frame.set(0, 0, total);
        SipSend::Transmit { port, checksums }
    }
}
