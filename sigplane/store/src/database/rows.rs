//! What comes out of the database, whichever it is.

use tandem_policy::{AddressRow, BadRow, DidRow, DispatcherRow, SubscriberRow, TrunkRow};

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
    /// `trunk_routing`, which is read by [`crate::Database::routes`].
    pub routes: bool,
}

impl WantedTables {
    /// Whether all that others want is wanted here, too.
    #[must_use]
    pub const fn covers(self, others: Self) -> bool {
        let Self {
            subscribers,
            dids,
            routes,
        } = others;
        (self.subscribers || !subscribers) && (self.dids || !dids) && (self.routes || !routes)
    }

    /// Every table.
    pub const ALL: Self = Self {
        subscribers: true,
        dids: true,
        routes: true,
    };
}

/// Rows of `trunk_routing` that are read in one go.
pub(super) const ROUTES_AT_A_TIME: i64 = 20_000;

/// The table `trunk_routing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRows {
    /// What says whether it has changed since.
    pub stamp: RoutesStamp,
    /// In the order of their ids.
    pub rows: Vec<TrunkRow>,
    /// Rows with a value that its column cannot have.
    pub bad: Vec<BadRow>,
}

impl RouteRows {
    pub(super) const fn new(stamp: RoutesStamp) -> Self {
        Self {
            stamp,
            rows: Vec::new(),
            bad: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, id: i64, row: Result<TrunkRow, String>) {
        match row {
            Ok(row) => self.rows.push(row),
            Err(reason) => self.bad.push(BadRow {
                table: "trunk_routing",
                id,
                reason,
            }),
        }
    }
}

/// How `trunk_routing` was at some time. It says nothing to another database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutesStamp(String);

impl RoutesStamp {
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }
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
