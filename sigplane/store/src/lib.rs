//! What the signaling plane keeps: a journal of its calls for its own next life, and a database for
//! everybody else.
//!
//! The [`Journal`] is written by the SIP thread, one `write` a batch, before anything that follows
//! from the batch leaves the machine. The [`Database`], SQLite or MariaDB, holds Kamailio's
//! `dispatcher`, `address`, `subscriber` and `location` tables and our `cdr` table. What is written to it comes by way of the journal: a
//! [`JournalTail`] reads it back, and [`Database::write`] notes the last journal sequence number in the same transaction, so each change
//! lands exactly once whatever crashes when. A database that is slow, locked
//! or broken never holds up a call.
#![forbid(unsafe_code)]

mod cache;
mod database;
mod journal;
mod lock;

pub use cache::{RouteCache, TableCache};
pub use database::{
    CDR_COLUMNS, CdrColumn, CdrFilter, CdrKind, CdrOrder, CdrRow, CdrValue, Copied, Database,
    DatabaseError, DatabasePlace, MariaDb, MariaDbError, MariaDbHost, MariaDbOptions, MariaDbTls,
    Readers, RouteRows, RoutesStamp, SqliteDatabase, TableRows, TableState, WantedTables, Written,
    configuration_tables,
};
pub use journal::{
    Change, Cut, Entry, Journal, JournalError, JournalOptions, JournalTail, LiveCall, Marks,
    Replay, SyncJob,
};
pub use lock::{LockError, StateLock};
