//! What can be wrong with a server.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;
use thiserror::Error;

/// Why MariaDB did not do what was asked. No password is in any of them.
#[derive(Debug, Error)]
pub enum MariaDbError {
    /// Each of several hosts has its own reason.
    #[error("no host of the database can be used: {reasons}")]
    NoHost {
        /// Those of all hosts.
        reasons: String,
        /// Whether one of them may go away by itself.
        temporary: bool,
    },
    /// There is no connection, or no longer.
    #[error("{place}: {what}: {reason}: the server must run and be reachable from here")]
    Lost {
        /// Host and database.
        place: String,
        /// What was being done.
        what: &'static str,
        /// What the system or the protocol said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("{place}: {what}: not done within {deadline:?}: the server hangs or is overloaded")]
    Slow {
        /// Host and database.
        place: String,
        /// What was being done.
        what: &'static str,
        /// `database.timeout`
        deadline: Duration,
    },
    /// It runs, but must not be written to: a node apart from its cluster, a replica.
    #[error("{place}: {reason}: it is not used until that has changed")]
    Unfit {
        /// Host and database.
        place: String,
        /// Its state.
        reason: String,
    },
    /// Another transaction came first, on this node or another one, again and again.
    #[error("{place}: {what}: {reason}: another program changes the same rows")]
    Conflict {
        /// Host and database.
        place: String,
        /// What was being done.
        what: &'static str,
        /// What the server said.
        reason: String,
    },
    /// The user may not do this, or its password or the database's name is wrong.
    #[error(
        "{place}: {what}: {reason}: check the user, `database.password_file`, the database's name \
         and the user's grants"
    )]
    Denied {
        /// Host and database.
        place: String,
        /// What was being done.
        what: &'static str,
        /// What the server said.
        reason: String,
    },
    /// TLS with it failed.
    #[error(
        "{place}: {reason}: its certificate must have the host's name and come from an authority \
         in `database.ca`, and its TLS be switched on"
    )]
    Tls {
        /// Host and database.
        place: String,
        /// What rustls said.
        reason: String,
    },
    /// A statement failed.
    #[error("{place}: {what}: {reason}")]
    Statement {
        /// Host and database.
        place: String,
        /// What was being done.
        what: &'static str,
        /// What the server said.
        reason: String,
    },
}

/// The server's error numbers that say more than "it failed".
mod number {
    /// Too many connections: of all, of this user, of this user in this hour. Shutting down.
    pub(super) const FULL: [u16; 4] = [1040, 1203, 1226, 1053];
    /// No command for now (a Galera node apart from its cluster), read-only in two ways.
    pub(super) const UNFIT: [u16; 3] = [1047, 1290, 1836];
    /// Deadlock or certification conflict, lock wait timeout, changed since it was read.
    pub(super) const CONFLICT: [u16; 3] = [1213, 1205, 1020];
    /// Illegal mix of collations, of two, three and more: a text and a column of another character set.
    pub(super) const INCOMPARABLE: [u16; 3] = [1267, 1270, 1271];
    /// Database, user, unknown database, table, column, privilege, plugin.
    pub(super) const DENIED: [u16; 7] = [1044, 1045, 1049, 1142, 1143, 1227, 1698];
}

/// Whether a text was compared with a column whose character set does not have all of it.
pub(super) fn is_incomparable(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database
        .and_then(|database| database.try_downcast_ref::<MySqlDatabaseError>())
        .is_some_and(|database| number::INCOMPARABLE.contains(&database.number()))
}

impl MariaDbError {
    /// Whether it may go away by itself: worth waiting for at the start. While running,
    /// everything is tried again.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NoHost { temporary, .. } => *temporary,
            Self::Lost { .. } | Self::Slow { .. } | Self::Unfit { .. } | Self::Conflict { .. } => {
                true
            }
            Self::Denied { .. } | Self::Tls { .. } | Self::Statement { .. } => false,
        }
    }

    pub(super) const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Of an attempt to connect.
    pub(super) fn connecting(place: &str, error: &sqlx::Error) -> Self {
        Self::classify(place, "connect", error)
    }

    pub(super) fn classify(place: &str, what: &'static str, error: &sqlx::Error) -> Self {
        let place = place.to_owned();
        let database = match error {
            sqlx::Error::Database(database) => database.try_downcast_ref::<MySqlDatabaseError>(),
            sqlx::Error::Tls(source) => {
                let reason = source.to_string();
                return Self::Tls { place, reason };
            }
            _ => None,
        };
        let Some(database) = database else {
            let reason = error.to_string();
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Self::Lost {
                    place,
                    what,
                    reason,
                },
                _ => Self::Statement {
                    place,
                    what,
                    reason,
                },
            };
        };
        let reason = database.message().to_owned();
        match database.number() {
            n if number::FULL.contains(&n) => Self::Lost {
                place,
                what,
                reason,
            },
            n if number::UNFIT.contains(&n) => Self::Unfit { place, reason },
            n if number::CONFLICT.contains(&n) => Self::Conflict {
                place,
                what,
                reason,
            },
            n if number::DENIED.contains(&n) => Self::Denied {
                place,
                what,
                reason,
            },
            _ => Self::Statement {
                place,
                what,
                reason,
            },
        }
    }
}
