//! What we write into Via and Record-Route, so that we know it again without remembering anything.
//!
//! ```text
//! branch=z9hG4bKtnds RRRR TTTTTTTTTTTTTTTT MMMMMMMMMMMMMMMM
//!        |           |    |                `- keyed sum of the rest and of where the reply goes
//!        |           |    `- the transaction: the same for all that belongs to it
//!        |           `------ the realm that the request came in by
//!        `------------------ RFC 3261's cookie, and that it is ours
//! ```

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

/// What our branches begin with.
pub(crate) const COOKIE: &[u8] = b"z9hG4bKtnds";
/// The parameter of our Record-Route.
pub(crate) const PARAMETER: &[u8] = b"tnds";
/// Bytes of a branch.
pub(crate) const BRANCH: usize = COOKIE.len() + 4 + 16 + 16;
/// Bytes of a target's mark.
pub(crate) const MARK: usize = 8;

/// Sums with a key, for one purpose each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed([u8; 16]);

impl Keyed {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    fn sum(self, purpose: u8) -> SipHasher24 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[purpose]);
        hasher
    }

    /// Names a transaction by what all of its messages have in common.
    pub(crate) fn transaction(self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.sum(b't');
        for part in parts {
            hasher.write(part);
            // What ends here does not go on there.
            hasher.write(&[0]);
        }
        hasher.finish()
    }

    /// The branch of a request that came in by this realm and whose reply goes there.
    pub(crate) fn branch(self, realm: u16, transaction: u64, reply_to: SocketAddr) -> [u8; BRANCH] {
        let mut branch = [0; BRANCH];
        let (cookie, rest) = branch.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        let (realm_text, rest) = rest.split_at_mut(4);
        let (transaction_text, seal_text) = rest.split_at_mut(16);
        write_hex(realm_text, realm.into());
        write_hex(transaction_text, transaction);
        write_hex(seal_text, self.seal(realm, transaction, reply_to));
        branch
    }

    /// The realm that a branch of ours names, if we made it for a reply to there.
    pub(crate) fn realm(self, branch: &[u8], reply_to: SocketAddr) -> Option<u16> {
        let rest = branch.strip_prefix(COOKIE)?;
        let realm = u16::try_from(read_hex(rest.get(..4)?)?).ok()?;
        let transaction = read_hex(rest.get(4..20)?)?;
        let seal = read_hex(rest.get(20..)?).filter(|_| rest.len() == 36)?;
        // Nobody learns from the time of this how much of 64 bits he has guessed: one word is compared with another.
        (seal == self.seal(realm, transaction, reply_to)).then_some(realm)
    }

    fn seal(self, realm: u16, transaction: u64, reply_to: SocketAddr) -> u64 {
        let mut hasher = self.sum(b's');
        hasher.write(&realm.to_be_bytes());
        hasher.write(&transaction.to_be_bytes());
        write_socket(&mut hasher, reply_to);
        hasher.finish()
    }
}

/// How a target is called in Record-Route. It is no secret, and dialogs outlive keys: everybody may name a target of the set, nobody
/// anything else.
pub(crate) fn target(address: SocketAddr) -> [u8; MARK] {
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    write_socket(&mut hasher, address);
    let mut mark = [0; MARK];
    write_hex(&mut mark, hasher.finish() >> 32);
    mark
}

fn write_socket(hasher: &mut SipHasher24, socket: SocketAddr) {
    match socket.ip() {
        IpAddr::V4(ip) => hasher.write(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.write(&socket.port().to_be_bytes());
}

/// The lowest digits of a number, as many as there is room for.
fn write_hex(text: &mut [u8], mut number: u64) {
    for place in text.iter_mut().rev() {
        let digit = (number & 15) as u8;
        *place = if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        };
        number >>= 4;
    }
}

/// A number of up to 16 lower-case digits, as [`write_hex`] writes it.
fn read_hex(text: &[u8]) -> Option<u64> {
    if text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_branch_is_known_again_and_no_other(
            key: [u8; 16], realm: u16, transaction: u64, ip: [u8; 4], port: u16, at in 0..BRANCH, other: u8,
        ) {
            let keyed = Keyed::new(key);
            let to = SocketAddr::from((ip, port));
            let branch = keyed.branch(realm, transaction, to);
            prop_assert_eq!(keyed.realm(&branch, to), Some(realm));
            let mut forged = branch;
            forged[at] = other;
            prop_assert_eq!(keyed.realm(&forged, to).is_some(), forged == branch);
            let elsewhere = SocketAddr::from((ip, port.wrapping_add(1)));
            prop_assert_eq!(keyed.realm(&branch, elsewhere), None);
            prop_assert_eq!(Keyed::new([!key[0]; 16]).realm(&branch, to), None);
            prop_assert_eq!(keyed.realm(&branch[..BRANCH - 1], to), None);
            prop_assert_eq!(keyed.realm(&[&branch[..], b"0"].concat(), to), None);
        }
    }
}
