//! The database's URL: `sqlite:PATH`, or `mysql://USER[:PASSWORD]@HOST[:PORT][,HOST...]/DATABASE`.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// What of a value with a secret may be seen, in a configuration that is written down to be compared.
pub(crate) const SHOWN: &str = "$shown";
/// And what says whether the secret is the same.
pub(crate) const HIDDEN: &str = "$hidden";

/// MariaDB's port.
const PORT: u16 = 3306;

/// `database.url`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `mysql://` or `mariadb://`
    MariaDb(MariaDbUrl),
}

/// A MariaDB server, or a cluster of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MariaDbUrl {
    /// The user.
    pub user: String,
    /// Its password, if it stands in the URL.
    pub password: Option<Password>,
    /// The hosts, in the order in which they are tried; never empty.
    pub hosts: Vec<DatabaseHost>,
    /// The database's name.
    pub database: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseHost {
    /// Name or address, and port.
    Tcp(String, u16),
    /// A unix socket: a path with its slashes as `%2F`.
    Socket(PathBuf),
}

/// A password. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(...)")
    }
}

/// To be compared: the secret itself is not in it.
impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut hasher = DefaultHasher::new();
        if let Self::MariaDb(url) = self {
            url.password.as_ref().map(|p| &p.0).hash(&mut hasher);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(SHOWN, &self.to_string())?;
        map.serialize_entry(HIDDEN, &hasher.finish())?;
        map.end()
    }
}

/// Without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::MariaDb(url) => url,
        };
        let password = url.password.as_ref().map_or("", |_| ":***");
        write!(f, "mysql://{}{password}@", url.user)?;
        for (at, host) in url.hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match host {
                DatabaseHost::Tcp(name, PORT) => write!(f, "{comma}{name}")?,
                DatabaseHost::Tcp(name, port) if name.contains(':') => {
                    write!(f, "{comma}[{name}]:{port}")?;
                }
                DatabaseHost::Tcp(name, port) => write!(f, "{comma}{name}:{port}")?,
                DatabaseHost::Socket(path) => write!(f, "{comma}{}", path.display())?,
            }
        }
        write!(f, "/{}", url.database)
    }
}

/// Reads a URL.
///
/// # Errors
/// Says what is wrong without any part of it: it may have a password.
pub fn url(text: &str) -> Result<DatabaseUrl, &'static str> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.starts_with('/') {
            Ok(DatabaseUrl::Sqlite(path.into()))
        } else {
            Err("the path of the SQLite file does not begin with `/`")
        };
    }
    text.strip_prefix("mysql://")
        .or_else(|| text.strip_prefix("mariadb://"))
        .ok_or("begins neither with `sqlite:` nor with `mysql://` nor with `mariadb://`")
        .and_then(mariadb)
        .map(DatabaseUrl::MariaDb)
}

fn mariadb(rest: &str) -> Result<MariaDbUrl, &'static str> {
    let (authority, database) = rest.split_once('/').ok_or("has no database's name")?;
    let (credentials, hosts) = authority.rsplit_once('@').ok_or("has no user")?;
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(Password(decoded(password)?))),
        None => (credentials, None),
    };
    let url = MariaDbUrl {
        user: decoded(user)?,
        password,
        hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
        database: decoded(database)?,
    };
    if url.user.is_empty() {
        return Err("has no user");
    }
    if url.database.is_empty() {
        return Err("has no database's name");
    }
    if database.contains(['/', '?', '#']) {
        return Err("has something behind the database's name");
    }
    Ok(url)
}

fn host(text: &str) -> Result<DatabaseHost, &'static str> {
    const PORT_WRONG: &str = "has a port that is none";
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or("has a `[` without `]`")?;
            match rest.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None if rest.is_empty() => (address, None),
                None => return Err(PORT_WRONG),
            }
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let name = decoded(name)?;
    if name.is_empty() {
        return Err("has an empty host");
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err(PORT_WRONG),
    };
    if name.starts_with('/') {
        return match port {
            None => Ok(DatabaseHost::Socket(name.into())),
            Some(_) => Err("has a unix socket with a port"),
        };
    }
    Ok(DatabaseHost::Tcp(name, port.unwrap_or(PORT)))
}

/// Without percent encoding (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "has a `%` that is not followed by two hexadecimal digits of a character";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next().unwrap_or(b'?')).to_digit(16);
            digit.and_then(|d| u8::try_from(d).ok()).ok_or(WRONG)
        };
        bytes.push(digit()? * 16 + digit()?);
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(name: &str, port: u16) -> DatabaseHost {
        DatabaseHost::Tcp(name.into(), port)
    }

    #[test]
    fn all_forms() {
        let read = |text: &str| match url(text).unwrap() {
            DatabaseUrl::MariaDb(url) => url,
            DatabaseUrl::Sqlite(path) => panic!("{path:?}"),
        };
        let full = read("mysql://tandem:p%40ss%2f:@db1:3307,db2,[2001:db8::1],[::1]:33/kamailio");
        assert_eq!(full.user, "tandem");
        assert_eq!(full.password, Some(Password("p@ss/:".into())));
        let hosts = [
            tcp("db1", 3307),
            tcp("db2", 3306),
            tcp("2001:db8::1", 3306),
            tcp("::1", 33),
        ];
        assert_eq!(full.hosts, hosts);
        assert_eq!(full.database, "kamailio");
        assert!(!format!("{full:?}").contains("p@ss"), "{full:?}");
        let socket = read("mariadb://u@%2Frun%2Fmysqld%2Fmysqld.sock/k");
        assert_eq!(
            socket.hosts,
            [DatabaseHost::Socket("/run/mysqld/mysqld.sock".into())]
        );
        assert_eq!(socket.password, None);
        for (text, path) in [("sqlite:/a/b", "/a/b"), ("sqlite:///a/b", "/a/b")] {
            assert_eq!(url(text), Ok(DatabaseUrl::Sqlite(path.into())));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("sqlite:a", "does not begin with `/`"),
            ("postgres://u@h/d", "begins neither"),
            ("mysql://u@h", "no database's name"),
            ("mysql://u@h/", "no database's name"),
            ("mysql://h/d", "no user"),
            ("mysql://@h/d", "no user"),
            ("mysql://u@h,/d", "an empty host"),
            ("mysql://u@h:0/d", "a port that is none"),
            ("mysql://u@[::1/d", "a `[` without `]`"),
            ("mysql://u@[::1]x/d", "a port that is none"),
            ("mysql://u@%2Fa:1/d", "a unix socket with a port"),
            ("mysql://u:%4@h/d", "hexadecimal"),
            ("mysql://u@h/d?x=1", "behind the database's name"),
        ] {
            let error = url(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(mysql://)?[a-c:@,/%0-9\\[\\]é]{0,40}") {
            let _ = url(&text);
        }
    }
}
