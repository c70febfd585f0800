//! The codec: postcard, one message per datagram of a `SOCK_SEQPACKET` socket.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The longest message that either end sends or accepts, in bytes. Above the largest event: a
/// captured jumbo frame.
pub const MAX_MESSAGE: usize = 64 * 1024;

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
    use crate::{Command, FlowId, FromDataplane, ToDataplane};
    use proptest::prelude::*;

    #[test]
    fn a_message_comes_back_as_it_went() {
        let message = ToDataplane::Command {
            seq: 7,
            command: Command::RemoveFlow(FlowId(9)),
        };
        assert_eq!(decode(&encode(&message)), Ok(message));
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
