//! Named counters: every outcome has one.

/// Declares the counters and their names.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a relay counted since its start. Every received frame moves exactly one of those that
        /// [`Counters::is_outcome`] says.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// Their names, in the order of [`Counters::values`].
            pub const NAMES: [&'static str; Self::COUNT] = [$(stringify!($name)),*];

            /// Their values, in the order of [`Counters::NAMES`].
            #[must_use]
            pub fn values(&self) -> [u64; Self::COUNT] {
                [$(self.$name),*]
            }

            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                Self::NAMES.into_iter().zip(self.values())
            }
        }
    };
}

counters! {
    /// RTP, RTCP and raw media packets that were rewritten and are to be sent.
    relayed,
    /// Their UDP payload bytes.
    relayed_bytes,
    /// Those of them that are RTCP.
    relayed_rtcp,
    /// Media packets received here that another worker owns.
    handed_over,
    /// Media packets that another worker received and this one owns.
    taken_over,
    /// SIP datagrams for the signaling plane, and those that were relayed without it (`stateless_*`).
    sip,
    /// Those of them that came from a trusted source: a trunk, a carrier of the address table, the inside.
    sip_trusted,
    /// Those of them that came from where a user is registered.
    sip_registered,
    /// Those of them that came from any other source.
    sip_unknown,
    /// Frames for the kernel: ARP, ND, ICMP, TCP and all else that is not ours.
    exception,
    /// IP fragments for the kernel, which reassembles.
    exception_fragment,
    /// SIP with IPv4 options, for the kernel.
    exception_options,
    /// IPv6 packets with extension headers, for the kernel.
    exception_ip6_extension,
    /// Frames of a port that is not configured.
    drop_port_unknown,
    /// Frames shorter than their Ethernet header.
    drop_eth_truncated,
    /// Frames to another station's Ethernet address.
    drop_eth_not_ours,
    /// Media or SIP sent to a broadcast or multicast Ethernet address.
    drop_eth_group,
    /// Frames without a realm for their VLAN, or for untagged ones.
    drop_vlan_unknown,
    /// Frames whose buffer has no room for longer headers.
    drop_no_headroom,
    /// IPv4 packets shorter than their header.
    drop_ip4_truncated,
    /// Packets of EtherType IPv4 with another version.
    drop_ip4_version,
    /// IPv4 packets whose header length makes no sense.
    drop_ip4_header_length,
    /// IPv4 packets whose total length makes no sense.
    drop_ip4_length,
    /// IPv4 packets with a wrong header checksum.
    drop_ip4_checksum,
    /// Media with IPv4 options.
    drop_ip4_options,
    /// IPv6 packets shorter than their header.
    drop_ip6_truncated,
    /// Packets of EtherType IPv6 with another version.
    drop_ip6_version,
    /// IPv6 packets whose payload length makes no sense.
    drop_ip6_length,
    /// UDP datagrams shorter than their header.
    drop_udp_truncated,
    /// UDP datagrams whose length makes no sense.
    drop_udp_length,
    /// UDP datagrams with a wrong checksum.
    drop_udp_checksum,
    /// UDP datagrams over IPv6 without a checksum (RFC 8200 section 8.1).
    drop_udp_checksum_missing,
    /// Media or SIP from an address or port that nobody can have: port 0, unspecified, multicast,
    /// loopback, broadcast.
    drop_bad_source,
    /// SIP from a source that the signaling plane has blocked.
    drop_blocked,
    /// Datagrams to a SIP port that do not begin as SIP, STUN or a keepalive do.
    drop_sip_garbage,
    /// SIP of a source above its own rate.
    drop_sip_rate_source,
    /// SIP of unknown sources above the rate of all of them together.
    drop_sip_rate_unknown,
    /// SIP of registered sources above the rate of all of them together.
    drop_sip_rate_registered,
    /// SIP above the rate of all SIP together, or of what of it is not kept for those who are trusted more.
    drop_sip_rate_all,
    /// Packets to a media port without a flow.
    drop_no_flow,
    /// Media from a source other than the one that was latched to.
    drop_wrong_source,
    /// Media above the rate of its flow.
    drop_above_rate,
    /// RTP packets shorter than their header says.
    drop_rtp_truncated,
    /// Packets on an RTP flow whose version is not 2: not RTP.
    drop_rtp_version,
    /// RTP packets whose padding makes no sense.
    drop_rtp_padding,
    /// RTCP packets shorter than their header says.
    drop_rtcp_truncated,
    /// Packets on an RTCP port whose version is not 2.
    drop_rtcp_version,
    /// Packets on an RTCP port whose type is not one of RTCP (192 to 223).
    drop_rtcp_type,
    /// Packets to the odd port of a flow that is not RTP.
    drop_raw_odd_port,
    /// Media whose other side has not said yet where it receives.
    drop_no_destination,
    /// Media without a route to its destination.
    drop_no_route,
    /// Media whose next hop's Ethernet address is not known yet.
    drop_next_hop_unresolved,
    /// Media that went from one flow pair of ours straight to another: two legs of calls that meet in a proxy inside,
    /// which left the session descriptions as they were.
    hairpinned,
    /// Packets of our own that were relayed, for the proof of a new system: they leave no port, and count as nothing else.
    proof_relayed,
    /// Those that were not.
    proof_failed,
    /// Media whose destination is an address of our own, where no flow is.
    drop_destination_local,
    /// Media that would go round in circles between flows of our own.
    drop_hairpin_loop,
    /// Media longer than the outgoing port's MTU.
    drop_too_long,
    /// Times that a leg latched to a source that it did not have before.
    latched,
    /// Times that learning was opened again.
    relearning,
    /// Flow pairs that timed out.
    media_timeout,
    /// Flow pairs whose media came again after a timeout.
    media_resumed,
    /// Legs of flow pairs that came above their rate.
    media_flooded,
    /// RTCP in the clear whose reports make no sense: relayed unread.
    rtcp_unread,
    /// Events that nobody fetched in time: the oldest is dropped.
    event_dropped,
    /// Classified sources without room in the table: they stay unknown.
    police_full,
    /// SIP datagrams of the signaling plane that were framed.
    sip_send_transmit,
    /// SIP datagrams of the signaling plane left to the kernel: no next hop yet, or behind one that was left to it.
    sip_send_unresolved,
    /// SIP datagrams of the signaling plane left to the kernel: above the MTU.
    sip_send_too_long,
    /// SIP datagrams of the signaling plane with addresses that make no sense.
    sip_send_refused,
    /// SIP requests that were relayed without the signaling plane.
    stateless_requests,
    /// SIP responses that were relayed without the signaling plane.
    stateless_responses,
    /// SIP responses that pretend to answer what was relayed so, or come back another way: dropped.
    stateless_forged,
    /// SIP that is to be relayed so but cannot be sent: no address of ours for where it goes. Dropped.
    stateless_not_sent,
    /// Requests to be relayed so that went to the signaling plane: not readable in every part that matters, too long, or by a
    /// name or another transport than UDP.
    stateless_up_odd,
    /// The same: the sender is not trusted.
    stateless_up_source,
    /// The same: no target takes calls, or the one that the dialog is with is gone.
    stateless_up_no_target,
    /// The same: Max-Forwards is 0.
    stateless_up_hops,
    /// The same: an extension of proxies is asked for.
    stateless_up_extension,
}

impl Counters {
    /// Whether the counter of this name says what became of a frame: `relayed`, `handed_over`, `sip`, `exception*` and
    /// `drop_*`. Every frame that a relay is given, from a port or from another worker, moves exactly one of them.
    #[must_use]
    pub fn is_outcome(name: &str) -> bool {
        matches!(name, "relayed" | "handed_over" | "sip")
            || name.starts_with("exception")
            || name.starts_with("drop_")
    }

    /// How many frames the relay was given: the sum of what became of them. Those of its ports are all but `taken_over`.
    #[must_use]
    pub fn received_sum(&self) -> u64 {
        self.iter()
            .filter(|(name, _)| Self::is_outcome(name))
            .map(|(_, value)| value)
            .sum()
    }
}

/// One of the counters, by its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter(fn(&mut Counters) -> &mut u64);

impl Counter {
    /// The counter that `place` points to.
    #[inline]
    pub(crate) const fn of(place: fn(&mut Counters) -> &mut u64) -> Self {
        Self(place)
    }

    /// Moves it by one.
    #[inline]
    pub(crate) fn count(self, counters: &mut Counters) {
        *(self.0)(counters) += 1;
    }
}
