//! What comes out of the database, whichever it is.

use tandem_policy::{AddressRow, BadRow, DispatcherRow, SubscriberRow};

/// The tables' rows, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// `dispatcher`
    pub dispatcher: Vec<DispatcherRow>,
    /// `address`
    pub address: Vec<AddressRow>,
    /// `subscriber`, if it was asked for.
    pub subscribers: Vec<SubscriberRow>,
    /// Rows with a value that its column cannot have. What a value means is policy's to judge.
    pub bad: Vec<BadRow>,
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
