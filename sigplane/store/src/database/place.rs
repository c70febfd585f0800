//! What the configuration says of the database.

use std::time::Duration;

use tandem_config::{DatabaseHost, DatabaseUrl};

use super::{DatabaseError, DatabasePlace, MariaDbHost, MariaDbOptions, MariaDbTls, read_password};

/// How long a lock of another process is waited for in SQLite.
const BUSY: Duration = Duration::from_secs(2);

impl DatabasePlace {
    /// Where the database is, as `[database]` says. Reads the password's file.
    ///
    /// # Errors
    /// Names the file.
    pub fn of(config: &tandem_config::Database) -> Result<Self, DatabaseError> {
        let url = match &config.url {
            DatabaseUrl::Sqlite(path) => {
                let (path, busy) = (path.clone(), BUSY);
                return Ok(Self::Sqlite { path, busy });
            }
            DatabaseUrl::MariaDb(url) => url,
        };
        let password = match &config.password_file {
            Some(path) => Some(read_password(path)?),
            None => url.password.as_ref().map(|password| password.0.clone()),
        };
        let host = |host: &DatabaseHost| match host {
            DatabaseHost::Tcp(name, port) => MariaDbHost::Tcp(name.clone(), *port),
            DatabaseHost::Socket(path) => MariaDbHost::Socket(path.clone()),
        };
        let tls = match config.tls {
            true => MariaDbTls::Verify {
                ca: config.ca.clone(),
            },
            false => MariaDbTls::Off,
        };
        Ok(Self::MariaDb(MariaDbOptions {
            hosts: url.hosts.iter().map(host).collect(),
            user: url.user.clone(),
            password,
            database: url.database.clone(),
            tls,
            deadline: config.timeout,
        }))
    }

    /// For an administrator's work, which may take longer than what calls depend on.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        match &mut self {
            Self::Sqlite { busy, .. } => *busy = patience.max(*busy),
            Self::MariaDb(options) => options.deadline = patience.max(options.deadline),
        }
        self
    }
}
