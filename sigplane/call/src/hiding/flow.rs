//! Flow tokens (RFC 5626 section 5.2): what a Path of ours has as its user part. It says how a registered
//! user agent is reached, sealed as Call-IDs are, so nothing has to be remembered: any node with the file
//! of keys sends a request on, after any number of restarts.
//!
//! ```text
//! tnf1- KKKK sealed
//!       |    `-- base64url without padding: RFC 5297 SIV, then the ciphertext
//!       `------- key id, 24 bits as four characters of base64url
//! ```
//!
//! Sealed are a byte for the kind of the path and the families of both addresses, the path's number, the
//! user agent's address, and ours. What stands before it is authenticated with it, so a Call-ID's token is
//! never taken for a flow's.

use std::net::{IpAddr, SocketAddr};

use super::KeyRing;
use super::keys::Sealed;
use crate::io::Path;

/// What a flow token begins with: the format's name and version.
const PREFIX: &[u8] = b"tnf1-";

/// How a user agent is reached: the way by which its REGISTER came.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Flow {
    /// The path.
    pub path: Path,
    /// Our address on it.
    pub local: SocketAddr,
    /// Its address: of a stream, its end of the connection.
    pub peer: SocketAddr,
}

impl Flow {
    /// In bytes, for what keeps it.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        // postcard fails only on types without a known length, which a flow does not have.
        postcard::to_allocvec(&self).unwrap_or_default()
    }

    /// From these bytes; none if they are no flow's.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// What is behind the user part of a Route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedFlow {
    /// No flow token.
    Foreign,
    /// One whose key is gone.
    Old,
    /// One that names a key of ours and was not made with it.
    Forged,
    /// Ours.
    Ours(Flow),
}

impl KeyRing {
    /// The token of a flow, made with the current key.
    #[must_use]
    pub fn seal_flow(&self, flow: &Flow) -> Option<Vec<u8>> {
        self.seal_with(PREFIX, self.current(), &encode(flow))
    }

    /// Undoes a flow token.
    #[must_use]
    pub fn open_flow(&self, token: &[u8]) -> OpenedFlow {
        match self.open_with(PREFIX, token) {
            Sealed::Foreign => OpenedFlow::Foreign,
            Sealed::NoKey => OpenedFlow::Old,
            Sealed::Forged => OpenedFlow::Forged,
            // A key's owner made it: an encoding that we do not know is of another version.
            Sealed::Ours(plain) => decode(&plain).map_or(OpenedFlow::Old, OpenedFlow::Ours),
        }
    }
}

const KIND: u8 = 0b0011;
const PEER_V6: u8 = 0b0100;
const LOCAL_V6: u8 = 0b1000;

fn encode(flow: &Flow) -> Vec<u8> {
    let (kind, index) = match flow.path {
        Path::Realm(index) => (0, index),
        Path::Kernel(index) => (1, index),
        Path::Stream(index) => (2, index),
    };
    let family = |address: SocketAddr, bit: u8| if address.is_ipv6() { bit } else { 0 };
    let head = kind | family(flow.peer, PEER_V6) | family(flow.local, LOCAL_V6);
    let mut plain = Vec::with_capacity(39);
    plain.push(head);
    plain.extend_from_slice(&index.to_be_bytes());
    for address in [flow.peer, flow.local] {
        match address.ip() {
            IpAddr::V4(ip) => plain.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => plain.extend_from_slice(&ip.octets()),
        }
        plain.extend_from_slice(&address.port().to_be_bytes());
    }
    plain
}

fn decode(plain: &[u8]) -> Option<Flow> {
    let (head, rest) = plain.split_first()?;
    let (index, mut rest) = rest.split_first_chunk()?;
    let index = u16::from_be_bytes(*index);
    let path = match head & KIND {
        0 => Path::Realm(index),
        1 => Path::Kernel(index),
        2 => Path::Stream(index),
        _ => return None,
    };
    let mut address = |is_v6: bool| -> Option<SocketAddr> {
        let ip = if is_v6 {
            let (octets, more) = rest.split_first_chunk::<16>()?;
            rest = more;
            IpAddr::from(*octets)
        } else {
            let (octets, more) = rest.split_first_chunk::<4>()?;
            rest = more;
            IpAddr::from(*octets)
        };
        let (port, more) = rest.split_first_chunk()?;
        rest = more;
        Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
    };
    let peer = address(head & PEER_V6 != 0)?;
    let local = address(head & LOCAL_V6 != 0)?;
    let known = head & !(KIND | PEER_V6 | LOCAL_V6) == 0;
    (known && rest.is_empty()).then_some(Flow { path, local, peer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(first: u8) -> KeyRing {
        KeyRing::generate([first; 35])
    }

    fn flows() -> impl Strategy<Value = Flow> {
        let path = (0..3_u8, any::<u16>()).prop_map(|(kind, index)| match kind {
            0 => Path::Realm(index),
            1 => Path::Kernel(index),
            _ => Path::Stream(index),
        });
        let address = || (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| (ip, port).into());
        (path, address(), address()).prop_map(|(path, local, peer)| Flow { path, local, peer })
    }

    proptest! {
        #[test]
        fn a_flow_comes_back(flow in flows()) {
            let token = ring(1).seal_flow(&flow).unwrap();
            prop_assert_eq!(ring(1).open_flow(&token), OpenedFlow::Ours(flow));
            // It may stand in a URI's user part as it is.
            let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            prop_assert!(token.iter().all(plain));
        }

        #[test]
        fn a_token_with_one_character_changed_is_not_ours(flow in flows(), at in 0..120_usize, with in "[A-Za-z0-9_-]") {
            let mut token = ring(1).seal_flow(&flow).unwrap();
            let at = at % token.len();
            let with = with.as_bytes()[0];
            prop_assume!(token[at] != with);
            token[at] = with;
            let opened = ring(1).open_flow(&token);
            prop_assert!(!matches!(opened, OpenedFlow::Ours(_)), "{:?}", opened);
        }

        #[test]
        fn what_anybody_writes_is_not_ours(text in any::<Vec<u8>>()) {
            let opened = ring(1).open_flow(&[PREFIX, &text].concat());
            prop_assert!(!matches!(opened, OpenedFlow::Ours(_)));
            prop_assert_eq!(ring(1).open_flow(&text), OpenedFlow::Foreign);
        }

        #[test]
        fn what_is_inside_is_read_or_not_and_never_panics(plain in any::<Vec<u8>>()) {
            if let Some(flow) = decode(&plain) {
                prop_assert_eq!(encode(&flow), plain);
            }
        }
    }

    #[test]
    fn the_key_and_the_kind_of_token_count() {
        let flow = Flow {
            path: Path::Stream(3),
            local: "198.51.100.1:443".parse().unwrap(),
            peer: "[2001:db8::9]:41234".parse().unwrap(),
        };
        let token = ring(1).seal_flow(&flow).unwrap();
        assert_eq!(ring(2).open_flow(&token), OpenedFlow::Old);
        // A token of a Call-ID that somebody made with the same bytes is no flow's.
        let call_id = ring(1).seal(ring(1).current(), &encode(&flow)).unwrap();
        assert_eq!(ring(1).open_flow(&call_id), OpenedFlow::Foreign);
        let renamed = [PREFIX, call_id.get(7..).unwrap()].concat();
        assert_eq!(ring(1).open_flow(&renamed), OpenedFlow::Forged);
    }
}
