//! SQLite: the embedded database, one file.

mod acc;
mod admin;
mod cdr;
mod cdrs;
mod configuration;
mod dialog;
mod fs_cdr;
mod location;
mod routes;
mod schema;
mod tables;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::DatabaseError;

/// The definition of `cdr`.
#[cfg(test)]
pub(super) fn cdr_definition() -> &'static str {
    let (.., definition) = schema::TABLES
        .into_iter()
        .find(|(name, ..)| *name == "cdr")
        .unwrap();
    definition
}

/// The names of the tables.
#[cfg(test)]
pub(super) fn table_names() -> Vec<&'static str> {
    schema::TABLES.into_iter().map(|(name, ..)| name).collect()
}

/// An open file: one connection, on one thread.
#[derive(Debug)]
pub struct SqliteDatabase {
    path: PathBuf,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
    /// When it was opened: no other connection of ours has the same.
    opened: SystemTime,
    pub(super) connection: SqliteConnection,
}

impl SqliteDatabase {
    /// Opens the database, and, to `prepare` it, makes the file and the tables that are missing. A lock of another
    /// process is waited for up to `busy`, here and in every later call.
    ///
    /// # Errors
    /// Names the file, what is wrong and the remedy.
    pub(super) async fn open(
        path: &Path,
        busy: Duration,
        prepare: bool,
    ) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(prepare)
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
        if prepare {
            schema::prepare(path, &mut connection).await?;
        }
        Ok(Self {
            path: path.to_owned(),
            identity,
            opened: SystemTime::now(),
            connection,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes it, so that its write-ahead log is folded into the file.
    pub(super) async fn close(self) {
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
