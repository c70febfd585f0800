//! MariaDB, alone or as a Galera cluster: one connection, to the first host that is fit.
//!
//! A statement that is not done within its deadline makes the connection unusable: what the server
//! does with it is known again from the next connection alone. So does a caller that gives up.

mod acc;
mod admin;
mod cdr;
mod cdrs;
mod dialog;
mod error;
mod fit;
mod fs_cdr;
mod location;
mod month;
mod options;
mod partitions;
mod routes;
mod schema;
mod tables;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{Connection as _, MySqlConnection};
use tokio::time::timeout;

pub use error::MariaDbError;
pub use options::{MariaDbHost, MariaDbOptions, MariaDbTls};

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

/// How long a connection is said farewell to.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection to a MariaDB server.
#[derive(Debug)]
pub struct MariaDb {
    /// Host and database, for messages.
    place: String,
    connection: MySqlConnection,
    deadline: Duration,
    /// A statement is under way, or was given up.
    under_way: bool,
    /// `cdr` has a partition of its own for every month before this time, in Unix milliseconds. None:
    /// its partitions are not ours to make.
    covered: Option<i64>,
}

impl MariaDb {
    /// Connects to the first host that is fit, and, to `prepare` it, makes the tables that are missing. The hosts that
    /// were tried in vain become the last ones.
    pub(super) async fn open(
        options: &mut MariaDbOptions,
        prepare: bool,
    ) -> Result<Self, DatabaseError> {
        let mut errors = Vec::new();
        for _ in 0..options.hosts.len() {
            let opened = match Self::connect(options).await {
                Ok(mut database) => match prepare {
                    true => database.prepare(now()).await.map(|()| database),
                    false => Ok(database),
                },
                Err(error) => Err(error),
            };
            match opened {
                Ok(database) => return Ok(database),
                // A cluster has one schema.
                Err(error @ DatabaseError::Version { .. }) => return Err(error),
                Err(error) => errors.push(error),
            }
            options.move_on();
        }
        match errors.pop() {
            Some(error) if errors.is_empty() => Err(error),
            Some(error) => {
                errors.push(error);
                let reasons: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Err(DatabaseError::MariaDb(MariaDbError::NoHost {
                    reasons: reasons.join("; "),
                    temporary: errors.iter().any(DatabaseError::is_temporary),
                }))
            }
            None => Err(DatabaseError::MariaDb(MariaDbError::NoHost {
                reasons: "none is configured".to_owned(),
                temporary: false,
            })),
        }
    }

    async fn connect(options: &MariaDbOptions) -> Result<Self, DatabaseError> {
        let deadline = options.deadline;
        let place = options.place();
        let slow = || MariaDbError::Slow {
            place: place.clone(),
            what: "connect",
            deadline,
        };
        let connection = timeout(deadline, MySqlConnection::connect_with(&options.connect()))
            .await
            .map_err(|_| slow())?
            .map_err(|e| MariaDbError::connecting(&place, &e))?;
        let mut database = Self {
            place,
            connection,
            deadline,
            under_way: false,
            covered: None,
        };
        let unfit = database
            .run("ask for its state", async |c| fit::unfit(c).await)
            .await?;
        if let Some(reason) = unfit {
            let place = database.place;
            return Err(MariaDbError::Unfit { place, reason }.into());
        }
        database
            .run("set up the session", async |c| {
                fit::session(c, deadline).await
            })
            .await?;
        Ok(database)
    }

    /// Host and database.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Closes it; a server that does not listen is left alone.
    pub(super) async fn close(self) {
        if !self.under_way {
            // Whatever fails here, the server forgets us by itself.
            let _ = timeout(FAREWELL, self.connection.close()).await;
        }
    }

    /// Does some work within the deadline.
    async fn run<T>(
        &mut self,
        what: &'static str,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, MariaDbError> {
        if self.under_way {
            return Err(MariaDbError::Lost {
                place: self.place.clone(),
                what,
                reason: "an earlier statement was given up".to_owned(),
            });
        }
        self.under_way = true;
        let done = timeout(self.deadline, work(&mut self.connection)).await;
        let result = done.map_err(|_| MariaDbError::Slow {
            place: self.place.clone(),
            what,
            deadline: self.deadline,
        })?;
        self.under_way = false;
        result.map_err(|e| MariaDbError::classify(&self.place, what, &e))
    }
}

/// Unix milliseconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// A connection for a test that meddles.
#[cfg(test)]
pub(super) async fn connect_for_test(options: &MariaDbOptions) -> MySqlConnection {
    let connection = MySqlConnection::connect_with(&options.connect()).await;
    connection.unwrap()
}
