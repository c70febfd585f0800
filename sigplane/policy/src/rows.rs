//! Rows of the database's tables, with Kamailio's columns where it has the table.

use serde::{Deserialize, Serialize};

/// A row of `dispatcher` (Kamailio's table version 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatcherRow {
    /// `id`
    pub id: i64,
    /// `setid`
    pub setid: u32,
    /// `destination`: a SIP URI.
    pub destination: String,
    /// `flags`: 1 inactive, 2 trying, 4 disabled (administratively), 8 probing, as in Kamailio.
    pub flags: u32,
    /// `priority`: higher first when failing over among equals of the hash.
    pub priority: i32,
    /// `attrs`
    pub attrs: String,
    /// `description`
    pub description: String,
}

/// A row of `address` (Kamailio's table version 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRow {
    /// `id`
    pub id: i64,
    /// `grp`
    pub grp: u32,
    /// `ip_addr`
    pub ip_addr: String,
    /// `mask`: prefix length.
    pub mask: u8,
    /// `port`: 0 for any.
    pub port: u16,
    /// `tag`
    pub tag: String,
}

/// A row of `did_routing` (version 1): a number of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DidRow {
    /// `id`
    pub id: i64,
    /// `tenant`: its name; empty for everybody.
    pub tenant: String,
    /// `did`: the number, or a name.
    pub did: String,
    /// `dest_type`
    pub dest_type: String,
    /// `destination`: the user part that is asked for instead; empty for the same.
    pub destination: String,
    /// `setid`: the dispatcher set; 0 for the usual one.
    pub setid: u32,
    /// `description`
    pub description: String,
}

/// A row of `trunk_routing` (version 1): a way out for a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkRow {
    /// `id`
    pub id: i64,
    /// `tenant`: its name; empty for everybody.
    pub tenant: String,
    /// `prefix`: of the number; empty for every number.
    pub prefix: String,
    /// `trunk`: its name.
    pub trunk: String,
    /// `priority`: higher first.
    pub priority: i32,
    /// `weight`: the share of the calls among equal priorities; 0 only when the others fail.
    pub weight: u32,
    /// `description`
    pub description: String,
}

/// A row of `location` (Kamailio's table version 9): a contact of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocationRow {
    /// `username`
    pub username: String,
    /// `domain`
    pub domain: String,
    /// `contact`: its URI.
    pub contact: String,
    /// `received`: where its REGISTER came from, as a SIP URI.
    pub received: String,
    /// `path` (RFC 3327), with commas between the elements; empty for none.
    pub path: String,
    /// `expires`, in Unix seconds.
    pub expires_s: u64,
    /// `q`, in thousandths.
    pub q: u16,
    /// `callid`
    pub callid: String,
    /// `cseq`
    pub cseq: u32,
    /// `user_agent`
    pub user_agent: String,
    /// `socket`: our address that its REGISTER came to, as `transport:address:port`.
    pub socket: String,
    /// `methods`: a bit for each; none for all.
    pub methods: Option<u32>,
    /// `instance` (RFC 5626); empty for none.
    pub instance: String,
    /// `reg_id` (RFC 5626); 0 for none.
    pub reg_id: u32,
}

/// A table that follows what the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// `location`: addresses of record.
    Location,
    /// `dialog`: answered calls.
    Dialog,
}

/// A row of `dialog` (Kamailio's table version 7): an answered call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogRow {
    /// `callid`, `from_uri`, `from_tag`, `to_uri`, `to_tag` and `req_uri`, as the caller has them.
    pub callid: String,
    /// `from_uri`
    pub from_uri: String,
    /// `from_tag`
    pub from_tag: String,
    /// `to_uri`
    pub to_uri: String,
    /// `to_tag`
    pub to_tag: String,
    /// `req_uri`
    pub req_uri: String,
    /// `caller_…`
    pub caller: DialogEnd,
    /// `callee_…`
    pub callee: DialogEnd,
    /// `state`: whether the caller has acknowledged the answer (4, else 3).
    pub acknowledged: bool,
    /// `start_time`: the answer, in Unix seconds.
    pub start_s: u64,
}

/// An end of a [`DialogRow`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogEnd {
    /// `…_cseq`: the highest that it has used; 0 for none.
    pub cseq: u32,
    /// `…_route_set`, with commas between the elements; empty for none.
    pub route_set: String,
    /// `…_contact`: its URI.
    pub contact: String,
    /// `…_sock`: our address on its side, as `transport:address:port`.
    pub socket: String,
}

/// A row that cannot be used. It is skipped; the other rows are not harmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The table.
    pub table: &'static str,
    /// The row's `id`.
    pub id: i64,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {}, id {}: {}", self.table, self.id, self.reason)
    }
}
