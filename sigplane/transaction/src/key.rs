//! What matches a message to its transaction.

use std::hash::{Hash, Hasher};

/// Whether a transaction is an INVITE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// INVITE (and, at a server, its ACK).
    Invite,
    /// CANCEL: it shares its INVITE's branch, and is a transaction of its own.
    Cancel,
    /// Any other.
    Other,
}

/// A client transaction's key (RFC 3261 section 17.1.3). Branches are ours, so unique but for
/// CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey<'a> {
    /// The branch of the topmost Via.
    pub branch: &'a [u8],
    /// The method in CSeq.
    pub method: Method,
}

/// A server transaction's key (RFC 3261 section 17.2.3).
#[derive(Clone, Copy, Debug)]
pub struct ServerKey<'a> {
    /// The branch of the topmost Via.
    pub branch: &'a [u8],
    /// The sent-by of the topmost Via, host and port, as written; its case does not matter.
    pub sent_by: &'a [u8],
    /// The method, ACK taken as INVITE.
    pub method: Method,
}

impl PartialEq for ServerKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method
            && self.branch == other.branch
            && self.sent_by.eq_ignore_ascii_case(other.sent_by)
    }
}

impl Eq for ServerKey<'_> {}

impl Hash for ServerKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.branch.hash(state);
        self.sent_by.len().hash(state);
        for part in self.sent_by.chunks(32) {
            let mut lower = [0; 32];
            for (to, from) in lower.iter_mut().zip(part) {
                *to = from.to_ascii_lowercase();
            }
            state.write(&lower);
        }
        self.method.hash(state);
    }
}

/// A client transaction's key, kept.
#[derive(Debug)]
pub(crate) struct KeptClientKey {
    branch: Box<[u8]>,
    method: Method,
}

impl KeptClientKey {
    pub(crate) fn new(key: ClientKey<'_>) -> Self {
        Self {
            branch: key.branch.into(),
            method: key.method,
        }
    }

    pub(crate) fn key(&self) -> ClientKey<'_> {
        ClientKey {
            branch: &self.branch,
            method: self.method,
        }
    }
}

/// A server transaction's key, kept.
#[derive(Debug)]
pub(crate) struct KeptServerKey {
    /// The branch, and behind it the sent-by.
    text: Box<[u8]>,
    branch: usize,
    method: Method,
}

impl KeptServerKey {
    pub(crate) fn new(key: ServerKey<'_>) -> Self {
        Self {
            text: [key.branch, key.sent_by].concat().into(),
            branch: key.branch.len(),
            method: key.method,
        }
    }

    pub(crate) fn key(&self) -> ServerKey<'_> {
        let (branch, sent_by) = self.text.split_at_checked(self.branch).unwrap_or_default();
        ServerKey {
            branch,
            sent_by,
            method: self.method,
        }
    }
}

/// A client transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(crate) u64);

/// A server transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub(crate) u64);

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn the_case_of_the_sent_by_does_not_matter_and_all_else_does() {
        let key = |branch, sent_by, method| ServerKey {
            branch,
            sent_by,
            method,
        };
        let long = b"A-Host-With-A-Name-Longer-Than-One-Part.example.com:5060";
        let one = key(b"z9hG4bK1", long, Method::Invite);
        let hasher = RandomState::new();
        let lower = long.to_ascii_lowercase();
        let same = key(b"z9hG4bK1", &lower, Method::Invite);
        assert_eq!(one, same);
        assert_eq!(hasher.hash_one(one), hasher.hash_one(same));
        for other in [
            key(b"Z9hG4bK1", long, Method::Invite),
            key(b"z9hG4bK1", b"a", Method::Invite),
            key(b"z9hG4bK1", long, Method::Cancel),
        ] {
            assert_ne!(one, other);
            assert_ne!(hasher.hash_one(one), hasher.hash_one(other));
        }
        let kept = KeptServerKey::new(one);
        assert_eq!(kept.key(), one);
        assert_eq!(kept.key().branch, b"z9hG4bK1");
    }
}
