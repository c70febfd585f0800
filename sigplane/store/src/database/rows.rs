//! What comes out of the database, whichever it is.

use tandem_policy::{AddressRow, BadRow, DidRow, DispatcherRow, SubscriberRow};

/// The tables' rows, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// `dispatcher`
    pub dispatcher: Vec<DispatcherRow>,
    /// `address`
    pub address: Vec<AddressRow>,
    /// `subscriber`, if it was asked for.
    pub subscribers: Vec<SubscriberRow>,
    /// `did_routing`, if it was asked for.
    pub dids: Vec<DidRow>,
    /// Rows with a value that its column cannot have. What a value means is policy's to judge.
    pub bad: Vec<BadRow>,
}

/// The tables that are read beside `dispatcher` and `address`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedTables {
    /// `subscriber`
    pub subscribers: bool,
    /// `did_routing`
    pub dids: bool,
}

impl WantedTables {
    /// Every table.
    pub const ALL: Self = Self {
        subscribers: true,
        dids: true,
    };
}

/// What [`crate::Database::write`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// CDRs inserted.
    pub inserted: u64,
    /// CDRs left out: the database has their sequence number, or their call.
    pub known: u64,
    /// Addresses of record brought up to date.
    pub located: u64,
}
