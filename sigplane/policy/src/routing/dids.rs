//! Where calls to our own numbers go.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::Number;
use crate::rows::{BadRow, DidRow};

/// The table `did_routing` in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dids {
    /// By tenant in lower case, then by the digits of the number, or the name; the empty tenant is everybody's.
    tenants: HashMap<String, HashMap<Box<[u8]>, Did>>,
    sets: BTreeSet<u32>,
}

/// Where a number leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did {
    /// What it is for those that serve it, in `X-Dest-Type`; empty for nothing.
    pub dest_type: Box<str>,
    /// The user part that is asked for instead; empty for the same.
    pub destination: Box<str>,
    /// The dispatcher set; 0 for the usual one.
    pub setid: u32,
}

impl Dids {
    /// From the rows. A row that cannot be used is named, the others count.
    #[must_use]
    pub fn new(rows: &[DidRow]) -> (Self, Vec<BadRow>) {
        let mut dids = Self::default();
        let mut bad = Vec::new();
        for row in rows {
            if let Err(reason) = dids.add(row) {
                bad.push(BadRow {
                    table: "did_routing",
                    id: row.id,
                    reason,
                });
            }
        }
        (dids, bad)
    }

    fn add(&mut self, row: &DidRow) -> Result<(), String> {
        let is_plain = |text: &str| text.bytes().all(|c| c.is_ascii_graphic());
        for (column, text) in [
            ("dest_type", &row.dest_type),
            ("destination", &row.destination),
        ] {
            // It becomes a part of a message.
            if !is_plain(text) {
                return Err(format!(
                    "{column} {text:?} has spaces or letters that are not ASCII; write it without"
                ));
            }
        }
        if row.destination.contains(['@', '<', '>', '"', ':']) {
            return Err(format!(
                "destination {:?} is no user part; write what stands before the @",
                row.destination
            ));
        }
        if row.did.is_empty() {
            return Err("did is empty; write the number".into());
        }
        let did = Did {
            dest_type: row.dest_type.as_str().into(),
            destination: row.destination.as_str().into(),
            setid: row.setid,
        };
        let tenant = row.tenant.to_ascii_lowercase();
        let of_tenant = self.tenants.entry(tenant).or_default();
        match of_tenant.entry(key(row.did.as_bytes()).as_ref().into()) {
            Entry::Vacant(place) => {
                self.sets.extend((did.setid != 0).then_some(did.setid));
                place.insert(did);
                Ok(())
            }
            // +49 30 1 and 49301 are the same.
            Entry::Occupied(_) => Err(format!(
                "did {:?} is there twice; the row before counts",
                row.did
            )),
        }
    }

    /// Where a user part leads: by the rows of the first of these tenants that has it, else by everybody's.
    #[must_use]
    pub fn find(&self, tenants: &[&str], user: &[u8]) -> Option<&Did> {
        let key = key(user);
        let mut all = tenants.iter().copied().chain([""]);
        all.find_map(|tenant| self.tenants.get(tenant)?.get(key.as_ref()))
    }

    /// The sets that are named.
    pub fn sets(&self) -> impl Iterator<Item = u32> + '_ {
        self.sets.iter().copied()
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The digits of a number; a name as it is, without parameters.
fn key(user: &[u8]) -> Key<'_> {
    match Number::parse(user) {
        Some(number) => Key::Number(number),
        None => Key::Name(user.split(|c| *c == b';').next().unwrap_or_default()),
    }
}

enum Key<'a> {
    Number(Number),
    Name(&'a [u8]),
}

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Number(number) => number.digits(),
            Self::Name(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, tenant: &str, did: &str, destination: &str) -> DidRow {
        DidRow {
            id,
            tenant: tenant.into(),
            did: did.into(),
            dest_type: "ivr".into(),
            destination: destination.into(),
            setid: 0,
            description: String::new(),
        }
    }

    #[test]
    fn the_same_number_of_two_tenants_leads_to_two_places() {
        let (dids, bad) = Dids::new(&[
            row(1, "acme", "1000", "front"),
            row(2, "zeta", "+1000", "desk"),
            DidRow {
                setid: 5,
                ..row(3, "", "1000", "other")
            },
            row(4, "", "help", "h"),
            row(5, "acme", "10-00", "again"),
            row(6, "", "2", "a b"),
            row(7, "", "3", "a@b"),
            row(8, "", "", "x"),
        ]);
        let to = |tenant: &str, user: &str| {
            let did = dids.find(&[tenant], user.as_bytes())?;
            Some(did.destination.to_string())
        };
        assert_eq!(to("acme", "1000").as_deref(), Some("front"));
        assert_eq!(to("zeta", "(1)000;x=y").as_deref(), Some("desk"));
        assert_eq!(to("nobody", "+1000").as_deref(), Some("other"));
        assert_eq!(to("acme", "help;a").as_deref(), Some("h"));
        assert_eq!(to("acme", "1001"), None);
        assert_eq!(dids.len(), 4);
        assert_eq!(dids.sets().collect::<Vec<_>>(), [5]);
        let ids: Vec<_> = bad.iter().map(|b| b.id).collect();
        assert_eq!(ids, [5, 6, 7, 8], "{bad:?}");
    }
}
