//! What the configuration says of the database, in the store's words.

use std::time::Duration;

use tandem_config::{Database, DatabaseHost, DatabaseUrl};
use tandem_store::{
    DatabaseError, DatabasePlace, MariaDbHost, MariaDbOptions, MariaDbTls, read_password,
};

/// How long a lock of another process is waited for in SQLite.
const BUSY: Duration = Duration::from_secs(2);

/// Where the database is. Reads the password's file.
pub(crate) fn place(config: &Database) -> Result<DatabasePlace, DatabaseError> {
    let url = match &config.url {
        DatabaseUrl::Sqlite(path) => {
            let (path, busy) = (path.clone(), BUSY);
            return Ok(DatabasePlace::Sqlite { path, busy });
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
    Ok(DatabasePlace::MariaDb(MariaDbOptions {
        hosts: url.hosts.iter().map(host).collect(),
        user: url.user.clone(),
        password,
        database: url.database.clone(),
        tls,
        deadline: config.timeout,
    }))
}
