//! The codec: postcard, one message per datagram of a `SOCK_SEQPACKET` socket.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The longest message that either end sends or accepts, in bytes. Above the largest event: a
/// captured jumbo frame.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The most bytes of a message that goes through the rings: a flow's report, with every number at its longest.
pub const FLOW_MESSAGE: usize = 1024;

/// Why a message could not be read. The peer is at fault: it speaks another version, or is not
/// the other plane.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is longer than the link allows")]
    TooLong(usize),
    /// Not a message of this version.
    #[error("not a message of this link version: {0}")]
    Malformed(String),
    /// A message with bytes left over behind it.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// Encodes a message.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // postcard fails only on types without a known length or on a full buffer; ours are plain
    // values into a growing vector.
    postcard::to_allocvec(message).unwrap_or_default()
}

/// Encodes a message into `room` without allocating. None if it is too small, as [`FLOW_MESSAGE`] never is for
/// what goes through the rings.
#[must_use]
pub fn encode_into<'a, T: Serialize>(message: &T, room: &'a mut [u8]) -> Option<&'a [u8]> {
    postcard::to_slice(message, room).ok().map(|bytes| &*bytes)
}

/// Decodes a message.
///
/// # Errors
/// Says what is wrong with the bytes; never panics, never allocates more than they justify.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let (message, rest) =
        postcard::take_from_bytes(bytes).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(DecodeError::Trailing(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Command, Cookie, DirectionStats, FlowId, FlowKind, FlowReport, FlowSpec, FromDataplane,
        LegSpec, LegStats, PeerReport, RateLimit, StreamStats, ToDataplane,
    };
    use proptest::prelude::*;
    use std::net::SocketAddr;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let message = ToDataplane::Command {
            seq: 7,
            command: Command::RemoveFlow {
                flow: FlowId(9),
                port: 30_000,
            },
        };
        assert_eq!(decode(&encode(&message)), Ok(message));
    }

    #[test]
    fn the_longest_messages_of_the_rings_have_room() {
        let address = SocketAddr::from(([0xFFFF; 8], u16::MAX));
        let leg = LegSpec {
            realm: u16::MAX,
            local: address.ip(),
            port: u16::MAX,
            remote: Some(address),
            remote_rtcp: Some(address),
            latched: Some(address),
            latched_rtcp: Some(address),
            learn: u32::MAX,
            dscp: u8::MAX,
            strict: true,
            event_type: Some(u8::MAX),
        };
        let direction = DirectionStats {
            packets: u64::MAX,
            bytes: u64::MAX,
            lost: u64::MAX,
            reordered: u64::MAX,
            jitter: u32::MAX,
            payload_type: Some(u8::MAX),
            clock_rate: u32::MAX,
            wrong_source: u64::MAX,
            last_seen_ms: Some(u64::MAX),
        };
        let stats = LegStats {
            rtp: direction,
            rtcp: direction,
            latched: Some(address),
            latched_rtcp: Some(address),
            stream: StreamStats {
                ssrc: Some(u32::MAX),
                ssrc_changes: u32::MAX,
                ssrc_returns: u32::MAX,
                payload_type_changes: u32::MAX,
                events: u32::MAX,
                policed: u64::MAX,
            },
            report: PeerReport {
                reports: u32::MAX,
                fraction_lost: u8::MAX,
                worst_fraction_lost: u8::MAX,
                lost: u32::MAX,
                jitter_us: u32::MAX,
                worst_jitter_us: u32::MAX,
                round_trips: u32::MAX,
                round_trip_us: u32::MAX,
                worst_round_trip_us: u32::MAX,
            },
        };
        let report = FlowReport {
            spec: FlowSpec {
                id: FlowId(u64::MAX),
                cookie: Cookie(u64::MAX),
                kind: FlowKind::Raw,
                media: crate::MediaKind::Other,
                clock_rate: u32::MAX,
                a: leg.clone(),
                b: leg,
                timeout_s: u32::MAX,
                limit: RateLimit {
                    packet_us: u16::MAX,
                    byte_ns: u16::MAX,
                },
            },
            worker: u16::MAX,
            a: stats,
            b: stats,
            idle: true,
        };
        let seq = u64::MAX;
        let command = ToDataplane::Command {
            seq,
            command: Command::PutFlow(report.spec.clone()),
        };
        let mut room = [0; FLOW_MESSAGE];
        assert_eq!(
            encode_into(&command, &mut room).map(<[u8]>::len),
            Some(encode(&command).len())
        );
        let report = FromDataplane::Flow { seq, report };
        assert_eq!(
            encode_into(&report, &mut room).map(<[u8]>::to_vec),
            Some(encode(&report))
        );
        assert_eq!(encode_into(&report, &mut [0; 64]), None);
    }

    #[test]
    fn what_follows_a_message_is_refused() {
        let mut bytes = encode(&ToDataplane::Command {
            seq: 1,
            command: Command::ListFlows,
        });
        bytes.push(0);
        assert_eq!(decode::<ToDataplane>(&bytes), Err(DecodeError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<ToDataplane>(&bytes);
            let _ = decode::<FromDataplane>(&bytes);
        }
    }
}
