//! What matches a message to its transaction.

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    /// The branch of the topmost Via.
    pub branch: Box<[u8]>,
    /// The method in CSeq.
    pub method: Method,
}

/// A server transaction's key (RFC 3261 section 17.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerKey {
    /// The branch of the topmost Via.
    pub branch: Box<[u8]>,
    /// The sent-by of the topmost Via, host and port, as written.
    pub sent_by: Box<[u8]>,
    /// The method, ACK taken as INVITE.
    pub method: Method,
}

/// A client transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(crate) u64);

/// A server transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub(crate) u64);
