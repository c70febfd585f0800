//! Where the servers are, and how they are spoken to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// How MariaDB is reached. Its `Debug` and its `Display` have no password.
#[derive(Clone)]
pub struct MariaDbOptions {
    /// In the order in which they are tried.
    pub hosts: Vec<MariaDbHost>,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// The database's name.
    pub database: String,
    /// Whether and how the connection is encrypted.
    pub tls: MariaDbTls,
    /// How long a statement, or a transaction, may take.
    pub deadline: Duration,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MariaDbHost {
    /// Name or address, and port.
    Tcp(String, u16),
    /// A unix socket.
    Socket(PathBuf),
}

/// Encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MariaDbTls {
    /// None. The password is not sent in clear all the same.
    Off,
    /// TLS. The certificate must have the host's name.
    Verify {
        /// A file of authorities in PEM; none are the system's.
        ca: Option<PathBuf>,
    },
}

impl MariaDbOptions {
    /// Makes the first host the last.
    pub(in crate::database) fn move_on(&mut self) {
        if !self.hosts.is_empty() {
            self.hosts.rotate_left(1);
        }
    }

    /// The first host with the database, for messages.
    pub(super) fn place(&self) -> String {
        let database = &self.database;
        match self.hosts.first() {
            Some(host) => format!("{host}/{database}"),
            None => database.clone(),
        }
    }

    /// For the first host.
    pub(super) fn connect(&self) -> MySqlConnectOptions {
        let mut options = MySqlConnectOptions::new()
            .username(&self.user)
            .database(&self.database)
            // The server's own, as for Kamailio.
            .timezone(None)
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        options = match &self.tls {
            MariaDbTls::Off => options.ssl_mode(MySqlSslMode::Disabled),
            MariaDbTls::Verify { ca } => {
                let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
                match ca {
                    Some(ca) => options.ssl_ca(ca),
                    None => options,
                }
            }
        };
        match self.hosts.first() {
            Some(MariaDbHost::Tcp(host, port)) => options.host(host).port(*port),
            // Nobody listens to a socket but those on this machine.
            Some(MariaDbHost::Socket(path)) => {
                options.socket(path).ssl_mode(MySqlSslMode::Disabled)
            }
            None => options,
        }
    }
}

impl fmt::Display for MariaDbHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for MariaDbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        write!(f, "{}@{}/{}", self.user, hosts.join(","), self.database)
    }
}

impl fmt::Debug for MariaDbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MariaDbOptions({self}, {:?}, {:?})",
            self.tls, self.deadline
        )
    }
}
