//! What one party says of one media line.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use tandem_link::FlowKind;
use tandem_sdp::{Direction, Host, Media, Sdp, Transport};

use super::refusal::Refusal;

/// What a media section asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Port 0: the line is not used.
    Off,
    /// A protocol that we do not carry (TCP, or unknown): passed on with port 0.
    Foreign,
    /// Media.
    Media(Terms),
}

/// What one party says of one media line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// How its packets are checked.
    pub(super) kind: FlowKind,
    /// Where it receives media; none while its address is null.
    pub(super) remote: Option<SocketAddr>,
    /// Where it receives RTCP if the two parties do not multiplex.
    pub(super) rtcp: Option<SocketAddr>,
    /// Whether it can multiplex RTCP with RTP (RFC 5761).
    pub(super) mux: bool,
    /// Whether it sends media.
    pub(super) sends: bool,
    /// Whether media does not go both ways: null address, or any direction but `sendrecv`.
    pub(super) held: bool,
    /// The family of its address, also of a null one.
    pub(super) ipv4: bool,
}

impl Section {
    /// Reads every section of a description.
    pub(super) fn read_all(sdp: &Sdp<'_>) -> Result<Vec<Self>, Refusal> {
        sdp.media().iter().map(Self::read).collect()
    }

    /// Reads a section.
    fn read(media: &Media<'_>) -> Result<Self, Refusal> {
        if media.port == 0 {
            return Ok(Self::Off);
        }
        let kind = match media.transport {
            // What keys itself by DTLS begins with packets that are not RTP.
            Transport::Rtp if media.fingerprint && !media.crypto => FlowKind::Raw,
            Transport::Rtp if media.crypto || is_secure(media.protocol) => FlowKind::Srtp,
            Transport::Rtp => FlowKind::Rtp,
            Transport::DtlsRtp | Transport::Udp => FlowKind::Raw,
            Transport::Other => return Ok(Self::Foreign),
        };
        if media.port_count != 1 {
            return Err(Refusal::not_acceptable(
                "sdp_port_count",
                "an m= line with more than one port is not supported",
            ));
        }
        let address = unicast(media.connection)?;
        let null = address.is_unspecified();
        let rtp = matches!(media.transport, Transport::Rtp | Transport::DtlsRtp);
        Ok(Self::Media(Terms {
            kind,
            remote: (!null).then_some(SocketAddr::new(address, media.port)),
            rtcp: if null || !rtp {
                None
            } else {
                rtcp(media, address)?
            },
            mux: media.rtcp_mux,
            sends: media.direction.sends() && !null,
            held: null || media.direction != Direction::SendRecv,
            ipv4: address.is_ipv4(),
        }))
    }
}

/// Whether a protocol is one of the secure profiles (RFC 3711, RFC 5124).
fn is_secure(protocol: &[u8]) -> bool {
    protocol.windows(4).any(|w| w.eq_ignore_ascii_case(b"SAVP"))
}

/// Where RTCP goes: `a=rtcp`, else the port above (RFC 3550 section 11).
fn rtcp(media: &Media<'_>, address: IpAddr) -> Result<Option<SocketAddr>, Refusal> {
    let Some(rtcp) = media.rtcp else {
        return Ok(media
            .port
            .checked_add(1)
            .map(|port| SocketAddr::new(address, port)));
    };
    let host = match rtcp.host {
        Some(host) => unicast(Some(host))?,
        None => address,
    };
    // One leg has one address of ours, so both must be of its family.
    let usable = !host.is_unspecified() && host.is_ipv4() == address.is_ipv4();
    let host = if usable { host } else { address };
    Ok((rtcp.port != 0).then_some(SocketAddr::new(host, rtcp.port)))
}

fn unicast(host: Option<Host<'_>>) -> Result<IpAddr, Refusal> {
    let Some(host) = host else {
        return Err(Refusal::not_acceptable(
            "sdp_no_connection",
            "a media line without c=, neither its own nor the session's",
        ));
    };
    if host.is_multicast() {
        return Err(Refusal::not_acceptable(
            "sdp_multicast",
            "media to a multicast or broadcast address is not supported",
        ));
    }
    host.ip().ok_or_else(|| {
        Refusal::not_acceptable(
            "sdp_connection_name",
            "a domain name where an address is expected; names are not resolved",
        )
    })
}
