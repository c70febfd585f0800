//! The database: SQLite or MariaDB, with Kamailio's tables where Kamailio has them.

mod admin;
mod batch;
mod cdrs;
mod columns;
mod configuration;
mod fs_cdr;
mod mariadb;
mod place;
mod rows;
mod sqlite;

use std::path::PathBuf;
use std::time::Duration;

use tandem_policy::{FsCdr, SubscriberRow};
use thiserror::Error;

use crate::journal::Change;
pub use admin::{Copied, TableState};
use batch::Batch;
pub use batch::Readers;
pub use cdrs::{CDR_COLUMNS, CdrColumn, CdrFilter, CdrKind, CdrOrder, CdrRow, CdrValue};
pub use configuration::tables as configuration_tables;
use fs_cdr::CDR_JOINED;
pub use mariadb::{MariaDb, MariaDbError, MariaDbHost, MariaDbOptions, MariaDbTls};
pub use rows::{RouteRows, RoutesStamp, TableRows, WantedTables, Written};
pub use sqlite::SqliteDatabase;

/// Where the database is.
#[derive(Clone, Debug)]
pub enum DatabasePlace {
    /// An embedded one.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// How long a lock of another process is waited for.
        busy: Duration,
    },
    /// A server, or a cluster of them.
    MariaDb(MariaDbOptions),
}

impl DatabasePlace {
    /// After a failure: the host that was used last becomes the last to be tried.
    pub fn move_on(&mut self) {
        if let Self::MariaDb(options) = self {
            options.move_on();
        }
    }
}

/// The file, or user, hosts and database; never a password.
impl std::fmt::Display for DatabasePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { path, .. } => path.display().fmt(f),
            Self::MariaDb(options) => options.fmt(f),
        }
    }
}

/// Why the database did not do what was asked.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// Another process holds it, or is changing it. Try again.
    #[error("{}: {reason}: another program holds the database locked; its turn must end first", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The file cannot be opened or made.
    #[error(
        "{}: {reason}: the directory must exist and the file be writable for tandem-sigplane, on a \
         file system with free space", path.display()
    )]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        reason: String,
    },
    /// Not a database, or a damaged one.
    #[error(
        "{}: {reason}: restore the file from a backup, or move it away to start with an empty \
         database", path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// A table is of another version.
    #[error(
        "{place}: table {table} has version {found}, this software needs {wanted}: migrate it with \
         tandemctl db migrate, or with the tool that made it"
    )]
    Version {
        /// The file, or server and database.
        place: String,
        /// The table.
        table: &'static str,
        /// Its version.
        found: i64,
        /// The version needed.
        wanted: i64,
    },
    /// The file was removed or replaced since it was opened. Opening it anew helps.
    #[error("{}: the file was removed or replaced while it was open", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A statement failed.
    #[error("{}: {what}: {reason}", path.display())]
    Statement {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// What SQLite said.
        reason: String,
    },
    /// The password cannot be read.
    #[error("database.password_file {}: {source}: it must be readable for tandem-sigplane", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something about MariaDB.
    #[error(transparent)]
    MariaDb(#[from] MariaDbError),
}

impl DatabaseError {
    /// Whether it may go away by itself: worth waiting for at the start. While running,
    /// everything is tried again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Replaced { .. } => true,
            Self::MariaDb(error) => error.is_temporary(),
            _ => false,
        }
    }
}

/// The first line of a file with a password.
///
/// # Errors
/// Names the file.
fn read_password(path: &std::path::Path) -> Result<String, DatabaseError> {
    let text = std::fs::read_to_string(path).map_err(|source| DatabaseError::Password {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// An open database: one connection, on one thread.
#[derive(Debug)]
pub enum Database {
    /// Embedded.
    Sqlite(SqliteDatabase),
    /// On a server.
    MariaDb(Box<MariaDb>),
}

impl Database {
    /// Opens the database, and makes the tables that are missing: in SQLite the file too. Of a
    /// cluster the first host that is fit for it is used, beginning with the one that was used last.
    ///
    /// # Errors
    /// Names the place, what is wrong and the remedy.
    pub async fn open(place: &mut DatabasePlace) -> Result<Self, DatabaseError> {
        Self::open_with(place, true).await
    }

    /// Opens it as it is, to look at it.
    ///
    /// # Errors
    /// Names the place, what is wrong and the remedy.
    pub async fn open_as_it_is(place: &mut DatabasePlace) -> Result<Self, DatabaseError> {
        Self::open_with(place, false).await
    }

    async fn open_with(place: &mut DatabasePlace, prepare: bool) -> Result<Self, DatabaseError> {
        match place {
            DatabasePlace::Sqlite { path, busy } => {
                let database = SqliteDatabase::open(path, *busy, prepare).await?;
                Ok(Self::Sqlite(database))
            }
            DatabasePlace::MariaDb(options) => {
                let database = MariaDb::open(options, prepare).await?;
                Ok(Self::MariaDb(Box::new(database)))
            }
        }
    }

    /// The file, or the host that is used.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(database) => database.path().display().to_string(),
            Self::MariaDb(database) => database.place().to_owned(),
        }
    }

    /// Reads `dispatcher`, `address` and what else is wanted, as they are at one moment.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn tables(&mut self, wanted: WantedTables) -> Result<TableRows, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.tables(wanted).await,
            Self::MariaDb(database) => Ok(database.tables(wanted).await?),
        }
    }

    /// Reads `trunk_routing`; none if it is as it was at `known`.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn routes(
        &mut self,
        known: Option<&RoutesStamp>,
    ) -> Result<Option<RouteRows>, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.routes(known).await,
            Self::MariaDb(database) => Ok(database.routes(known).await?),
        }
    }

    /// The journal sequence number up to which the database has the CDRs of `node`; 0 for none.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn last_sequence(&mut self, node: u16) -> Result<u64, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.last_sequence(node).await,
            Self::MariaDb(database) => Ok(database.last_sequence(node).await?),
        }
    }

    /// Writes changes of `node`, given with their journal sequence numbers in ascending order, and
    /// notes the last number, in one transaction. Changes that were written before are left out, so
    /// the same batch may be given again after any failure. `acc` says whether CDRs go to Kamailio's `acc`, too.
    ///
    /// # Errors
    /// Names the place and what is wrong. Nothing of the batch is written then, or all of it, when
    /// a server was lost before it could say so.
    pub async fn write(
        &mut self,
        node: u16,
        changes: &[(u64, Change)],
        readers: Readers<'_>,
        acc: bool,
    ) -> Result<Written, DatabaseError> {
        let Some((newest, _)) = changes.last() else {
            return Ok(Written::default());
        };
        let batch = Batch {
            node,
            newest: *newest,
            changes,
            readers,
            acc,
        };
        match self {
            Self::Sqlite(database) => database.write(&batch).await,
            Self::MariaDb(database) => Ok(database.write(&batch).await?),
        }
    }

    /// The rows of `subscriber` with this user name and with this domain or none. A caller in a hurry may give up at any time.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn subscriber(
        &mut self,
        username: &str,
        domain: &str,
    ) -> Result<Vec<SubscriberRow>, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.subscriber(username, domain).await,
            Self::MariaDb(database) => Ok(database.subscriber(username, domain).await?),
        }
    }

    /// What FreeSWITCH has posted of the legs with these Call-IDs, a hundred at most, the earliest first.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn fs_cdrs(&mut self, call_ids: &[&str]) -> Result<Vec<FsCdr>, DatabaseError> {
        if call_ids.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Sqlite(database) => database.fs_cdrs(call_ids).await,
            Self::MariaDb(database) => Ok(database.fs_cdrs(call_ids).await?),
        }
    }

    /// How each of the tables that we use stands.
    ///
    /// # Errors
    /// Names the place and what is wrong.
    pub async fn inspect(&mut self) -> Result<Vec<TableState>, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.inspect().await,
            Self::MariaDb(database) => Ok(database.inspect().await?),
        }
    }

    /// Brings tables of an older version up to date: adds the columns that they lack and notes the version. Gives the statements.
    ///
    /// # Errors
    /// Names the place and what is wrong; a table that is newer than this software is left alone.
    pub async fn migrate(&mut self) -> Result<Vec<String>, DatabaseError> {
        let steps = admin::steps(&self.inspect().await?);
        match self {
            Self::Sqlite(database) => database.carry_out(&steps).await?,
            Self::MariaDb(database) => database.carry_out(&steps).await?,
        }
        Ok(steps)
    }

    /// Inserts rows of another database, those that are not there yet, in one transaction.
    ///
    /// # Errors
    /// Names the place and what is wrong; nothing is inserted then.
    pub async fn copy(&mut self, rows: &TableRows) -> Result<Copied, DatabaseError> {
        match self {
            Self::Sqlite(database) => database.copy(rows).await,
            Self::MariaDb(database) => Ok(database.copy(rows).await?),
        }
    }

    /// Closes it in order.
    pub async fn close(self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::MariaDb(database) => database.close().await,
        }
    }
}

/// Numbers are signed in both; ours never come near the difference.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
