//! Counters that other rooms name when they move, and gauges: what `counters!` blocks do not declare.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Those that are there when they have moved once.
        pub(super) const NAMED: &[&str] = &[$(stringify!($name),)+];
    };
}

counters! {
    /// Not SIP: nothing but line ends.
    sip_keepalive,
    /// Not SIP: longer than any message may be.
    sip_too_long,
    /// Not SIP, or refused with 400: more header fields than can be indexed.
    sip_too_many_headers,
    /// Not SIP: the first line is no request line and no status line.
    sip_bad_start_line,
    /// Not SIP: the request line has not three parts.
    sip_bad_request_line,
    /// A version of SIP that is none.
    sip_bad_version,
    /// Not SIP: a line that is no header field.
    sip_bad_header_line,
    /// Not SIP: no empty line behind the header fields.
    sip_no_end_of_headers,
    /// Not SIP: a Content-Length that is no number, or two that differ.
    sip_bad_content_length,
    /// Not SIP: less of the body than Content-Length says.
    sip_body_too_short,
    /// SDP refused with 488: no `c=` for a media line.
    sdp_no_connection,
    /// SDP refused with 488: a host name in `c=`.
    sdp_connection_name,
    /// SDP refused with 488: a multicast address.
    sdp_multicast,
    /// SDP refused with 488: a port count above 1.
    sdp_port_count,
    /// SDP refused with 488: an address family that the realm does not have.
    sdp_family_unavailable,
    /// SDP refused with 488: an answer that fits no offer.
    sdp_answer_without_offer,
    /// SDP refused with 488: an answer with other media lines than its offer.
    sdp_answer_lines,
    /// SDP refused with 488: above 16 KiB.
    sdp_too_long,
    /// SDP refused with 488: above 16 media lines.
    sdp_too_many_media,
    /// SDP refused with 400: nothing in it.
    sdp_empty,
    /// SDP refused with 400: a line that is none.
    sdp_bad_line,
    /// SDP refused with 400: `v=` is not 0.
    sdp_bad_version,
    /// SDP refused with 400: no `o=`.
    sdp_no_origin,
    /// SDP refused with 400: an `o=` that cannot be read.
    sdp_bad_origin,
    /// SDP refused with 400: a `c=` that cannot be read.
    sdp_bad_connection,
    /// SDP refused with 400: a line twice that may be there once.
    sdp_repeated_line,
    /// SDP refused with 400: an `m=` that cannot be read.
    sdp_bad_media,
    /// SDP refused with 400: an `a=rtcp` that cannot be read.
    sdp_bad_rtcp,
    /// TCP or unknown media lines passed on with port 0.
    sdp_media_disabled,
    /// Calls answered with 503: no pair of media ports free.
    media_ports_exhausted,
    /// Pairs of media ports that were given to a call before they had rested since the last one, since no others were free.
    media_ports_early,
    /// New addresses or forks that let a leg learn its source again.
    media_learning_reopened,
    /// Attempts to bring the journal to the disk that the disk refused.
    journal_sync_failures,
    /// Times that a ring with the dataplane had to be emptied since its content made no sense.
    net_ring_corrupt,
    /// SIP datagrams of ours that the dataplane dropped.
    net_ring_dropped_by_dataplane,
    /// Times that the kernel's addresses, routes and neighbours were read in full again.
    netlink_resyncs,
    /// Times that a worker of the dataplane was away for more than 1 ms.
    poll_gaps,
}

macro_rules! gauges {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Those that fall as well as rise.
        pub(super) const GAUGES: &[&str] = &[$(stringify!($name),)+];
    };
}

gauges! {
    /// Calls in any state.
    calls_now,
    /// Flows of user agents whose NAT is kept open, or that may call.
    bindings_now,
    /// Registered users.
    registered_users_now,
    /// Contacts of registered users.
    registered_contacts_now,
    /// SIP client transactions.
    transactions_client_now,
    /// SIP server transactions.
    transactions_server_now,
    /// Pairs of media ports that calls have, over all realms.
    media_port_pairs_used,
    /// Pairs of media ports that are free, over all realms.
    media_port_pairs_free,
    /// 1 while flows can be installed.
    dataplane_ready,
    /// 1 while a configuration is to be confirmed.
    config_pending,
    /// The journal's size in bytes.
    journal_bytes,
    /// How much of the journal is still needed, in bytes.
    journal_live_bytes,
    /// 0 from a failed synchronisation until all live calls were written anew.
    journal_sound,
    /// SIP connections.
    streams_now,
    /// HTTP connections.
    http_connections_now,
    /// Flow pairs that are installed.
    flows,
    /// Sources that the dataplane does not hear.
    blocked_sources,
    /// Alarms of the dataplane that stand.
    alarms,
    /// Packet buffers in the pool.
    mbufs,
    /// Packet buffers in use.
    mbufs_in_use,
}
