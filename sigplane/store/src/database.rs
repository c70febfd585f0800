//! The database: SQLite, with Kamailio's tables where Kamailio has them.

mod cdr;
mod schema;
mod tables;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use thiserror::Error;

pub use cdr::WrittenCdrs;
pub use tables::TableRows;

/// Why the database did not do what was asked.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The URL is of another kind.
    #[error("database url \"{0}\": only sqlite:PATH is supported")]
    Url(String),
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
        "{}: table {table} has version {found}, this software needs {wanted}: migrate it with the \
         tool that made it", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
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
}

impl DatabaseError {
    /// Whether it may go away by itself: worth waiting for at the start. While running,
    /// everything is tried again.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Replaced { .. })
    }
}

/// The path in a `sqlite:PATH` URL.
///
/// # Errors
/// When it is another kind of URL.
pub fn sqlite_path(url: &str) -> Result<PathBuf, DatabaseError> {
    let path = url
        .strip_prefix("sqlite:")
        .map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match path {
        Some(path) if !path.is_empty() && !path.starts_with(':') => Ok(PathBuf::from(path)),
        _ => Err(DatabaseError::Url(url.to_owned())),
    }
}

/// An open database: one connection, on one thread.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
    connection: SqliteConnection,
}

impl Database {
    /// Opens the database, and makes the file and the tables that are missing. A lock of another
    /// process is waited for up to `busy`, here and in every later call.
    ///
    /// # Errors
    /// Names the file, what is wrong and the remedy.
    pub async fn open(path: &Path, busy: Duration) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A CDR that is noted as applied leaves the journal: it must be on the disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy)
            .disable_statement_logging();
        let failed = |e| classify(path, "open", &e);
        let mut connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(failed)?;
        let identity = identity(path).ok_or_else(|| DatabaseError::Replaced {
            path: path.to_owned(),
        })?;
        schema::prepare(path, &mut connection).await?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            connection,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes it, so that its write-ahead log is folded into the file.
    pub async fn close(self) {
        // Whatever fails here is made good by the next open.
        let _ = self.connection.close().await;
    }

    /// A file that was removed would still be written happily, and lost.
    fn check_identity(&self) -> Result<(), DatabaseError> {
        if identity(&self.path) == Some(self.identity) {
            Ok(())
        } else {
            Err(DatabaseError::Replaced {
                path: self.path.clone(),
            })
        }
    }

    fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> DatabaseError + use<> {
        let path = self.path.clone();
        move |e| classify(&path, what, &e)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// SQLite's primary result codes that say more than "it failed".
mod code {
    pub(super) const PERM: u32 = 3;
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READONLY: u32 = 8;
    pub(super) const IOERR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANTOPEN: u32 = 14;
    pub(super) const NOTADB: u32 = 26;
}

fn classify(path: &Path, what: &'static str, error: &sqlx::Error) -> DatabaseError {
    let path = path.to_owned();
    let reason = match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    };
    let number = error
        .as_database_error()
        .and_then(|database| database.code()?.parse::<u32>().ok())
        .map(|extended| extended & 0xff);
    match number {
        Some(code::BUSY | code::LOCKED) => DatabaseError::Locked { path, reason },
        Some(code::CORRUPT | code::NOTADB) => DatabaseError::Broken { path, reason },
        Some(code::PERM | code::READONLY | code::IOERR | code::FULL | code::CANTOPEN) => {
            DatabaseError::Unreachable { path, reason }
        }
        _ => DatabaseError::Statement { path, what, reason },
    }
}

#[cfg(test)]
mod tests;
