//! Who may register and call: the rows of `subscriber`, in memory.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Secret;
use crate::rows::BadRow;

/// A row of `subscriber` (Kamailio's table version 7).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberRow {
    /// `id`
    pub id: i64,
    /// `username`
    pub username: String,
    /// `domain`; empty for every domain.
    pub domain: String,
    /// `password`
    pub password: String,
    /// `ha1`
    pub ha1: String,
    /// `ha1b`
    pub ha1b: String,
}

impl fmt::Debug for SubscriberRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            username, domain, ..
        } = self;
        write!(f, "SubscriberRow({username}@{domain})")
    }
}

/// All of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// By `user@domain`, `user@` for one in every domain.
    secrets: HashMap<Box<[u8]>, Secret>,
    /// Somebody's: how most of the table is.
    any: Option<Secret>,
}

impl Subscribers {
    /// Those of these rows, and the rows that cannot be used.
    #[must_use]
    pub fn new(rows: Vec<SubscriberRow>) -> (Self, Vec<BadRow>) {
        let mut subscribers = Self::default();
        let mut bad = Vec::new();
        for row in rows {
            let mut refuse = |reason: &str| {
                bad.push(BadRow {
                    table: "subscriber",
                    id: row.id,
                    reason: format!("{reason}; the row is not used"),
                });
            };
            if row.username.is_empty() || row.username.contains('@') {
                refuse("username is empty or has a domain in it, which belongs in `domain`");
                continue;
            }
            let Some(secret) = Secret::new(&row.password, &row.ha1, &row.ha1b) else {
                refuse("neither a password nor a ha1 of 32 or 64 hexadecimal digits");
                continue;
            };
            subscribers.any.get_or_insert_with(|| secret.clone());
            let name = key(row.username.as_bytes(), row.domain.as_bytes());
            if subscribers.secrets.insert(name, secret).is_some() {
                refuse("the user stands in the table twice, and the later row counts");
            }
        }
        (subscribers, bad)
    }

    /// A user's secret.
    #[must_use]
    pub fn find(&self, user: &[u8], domain: &[u8]) -> Option<&Secret> {
        let find = |domain| self.secrets.get(&key(user, domain));
        find(domain).or_else(|| find(b""))
    }

    /// Takes up others, too.
    pub fn merge(&mut self, others: &Self) {
        let others = others.secrets.iter();
        self.secrets
            .extend(others.map(|(name, secret)| (name.clone(), secret.clone())));
    }

    /// Somebody's secret: what an answer to somebody who is not known looks like.
    #[must_use]
    pub const fn any(&self) -> Option<&Secret> {
        self.any.as_ref()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribers({})", self.len())
    }
}

fn key(user: &[u8], domain: &[u8]) -> Box<[u8]> {
    let domain = domain.to_ascii_lowercase();
    [user, b"@", &domain].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, username: &str, domain: &str, password: &str) -> SubscriberRow {
        SubscriberRow {
            id,
            username: username.into(),
            domain: domain.into(),
            password: password.into(),
            ha1: String::new(),
            ha1b: String::new(),
        }
    }

    #[test]
    fn users_are_found_in_their_domain_or_in_every_one() {
        let (all, bad) = Subscribers::new(vec![
            row(1, "a", "Example.net", "x"),
            row(2, "b", "", "y"),
            row(3, "c", "example.net", ""),
            row(4, "d@e", "", "z"),
            row(5, "b", "", "w"),
        ]);
        let ids: Vec<_> = bad.iter().map(|b| b.id).collect();
        assert_eq!((all.len(), ids), (2, vec![3, 4, 5]));
        assert!(all.find(b"a", b"EXAMPLE.net").is_some());
        assert!(all.find(b"a", b"example.org").is_none());
        assert_eq!(all.find(b"b", b"x"), Secret::new("w", "", "").as_ref());
        assert!(all.find(b"c", b"example.net").is_none() && all.any().is_some());
        assert_eq!(
            format!("{all:?} {:?}", row(1, "a", "b", "secret")),
            "Subscribers(2) SubscriberRow(a@b)"
        );
    }
}
