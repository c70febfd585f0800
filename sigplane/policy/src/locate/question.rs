//! Questions to DNS, and their answers.

use std::net::IpAddr;
use std::time::Duration;

use super::{Domain, MAX_NEGATIVE_TTL, MAX_TTL, MIN_TTL, NEGATIVE_TTL};

/// A question to DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// For what.
    pub kind: Kind,
    /// About whom.
    pub name: Domain,
}

/// The records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// NAPTR (RFC 3403).
    Naptr,
    /// SRV (RFC 2782).
    Srv,
    /// AAAA.
    Aaaa,
    /// A.
    A,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// NAPTR.
    Naptr(Naptr),
    /// SRV.
    Srv(Srv),
    /// A or AAAA.
    Address(IpAddr),
}

/// A NAPTR record (RFC 3403 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest first.
    pub order: u16,
    /// Among equals of the order, the lowest first.
    pub preference: u16,
    /// What the replacement is: `s` for the name of SRV records.
    pub flags: Box<[u8]>,
    /// Protocol and transport.
    pub service: Box<[u8]>,
    /// Empty, where there is a replacement.
    pub regexp: Box<[u8]>,
    /// The next name; none for the root.
    pub replacement: Option<Domain>,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lowest first.
    pub priority: u16,
    /// Among equals of the priority, its share.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; none for the root, which says that there is no such service.
    pub target: Option<Domain>,
}

/// What DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There are such records.
    Found {
        /// The records, at least one. What is not of the kind asked for is not looked at.
        records: Vec<Record>,
        /// How long they count.
        ttl: Duration,
    },
    /// The name has no such records, or does not exist at all.
    Absent {
        /// How long that counts; none when the answer did not say.
        ttl: Option<Duration>,
    },
    /// It could not be found out.
    Failed(NoAnswer),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// A server refused or could not (SERVFAIL, REFUSED, NOTIMP, rubbish).
    Refused,
    /// No server answered in time.
    Silent,
}

impl Answer {
    /// The answer with a time to live in our limits.
    #[must_use]
    pub(super) fn clamped(self) -> Self {
        match self {
            Self::Found { records, .. } if records.is_empty() => Self::Absent {
                ttl: Some(NEGATIVE_TTL),
            },
            Self::Found { records, ttl } => Self::Found {
                records,
                ttl: ttl.clamp(MIN_TTL, MAX_TTL),
            },
            Self::Absent { ttl } => Self::Absent {
                ttl: Some(ttl.unwrap_or(NEGATIVE_TTL).clamp(MIN_TTL, MAX_NEGATIVE_TTL)),
            },
            failed @ Self::Failed(_) => failed,
        }
    }
}
