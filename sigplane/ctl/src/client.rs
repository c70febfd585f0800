//! The connection to the daemon's management socket.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tandem_admin::{MAX_LINE, Request, Response};

use crate::remote::Remote;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody listens on the socket.
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// We may not open the socket.
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon runs, but says nothing.
    Silent(Duration),
    /// The connection broke.
    Connection(io::Error),
    /// Standard output could not be written.
    Output(io::Error),
    /// What came back was not an answer.
    Protocol(String),
    /// The daemon refused.
    Refused(String),
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody listens at this address.
    Unreachable {
        /// The host and port.
        place: String,
        /// What the system said.
        error: io::Error,
    },
    /// An argument makes no sense.
    Usage(String),
    /// The configuration has mistakes.
    Config(String),
    /// The database.
    Database(String),
}

impl Failure {
    /// The process's exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunning { .. } | Self::Unreachable { .. } => 3,
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { socket, error } => write!(
                f,
                "tandem-sigplane is not running: no answer on {} ({error}); start it with \
                 `systemctl start tandem-sigplane` or name its socket with --socket or --config",
                socket.display()
            ),
            Self::Forbidden { socket } => write!(
                f,
                "no permission to open {}: run tandemctl as root or as the user of \
                 tandem-sigplane",
                socket.display()
            ),
            Self::Silent(patience) => write!(
                f,
                "tandem-sigplane runs, but gave no answer within {} s; look into its log",
                patience.as_secs()
            ),
            Self::Output(error) => write!(f, "standard output: {error}"),
            Self::Connection(error) => {
                write!(f, "the connection to tandem-sigplane broke: {error}")
            }
            Self::Protocol(what) => write!(
                f,
                "tandem-sigplane answered something else than expected ({what}); is it of the \
                 same version as tandemctl?"
            ),
            Self::Unreachable { place, error } => {
                write!(f, "nobody answers at {place}: {error}")
            }
            Self::Refused(why) | Self::Usage(why) => f.write_str(why),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Config(text) | Self::Database(text) => f.write_str(text),
        }
    }
}

/// A connection.
pub(crate) struct Client {
    way: Way,
    patience: Duration,
    next_id: u64,
}

/// How the daemon is reached.
enum Way {
    Socket(BufReader<UnixStream>),
    Remote(Remote),
}

impl Client {
    /// The daemon of another machine; nothing is sent yet.
    pub(crate) const fn remote(remote: Remote) -> Self {
        Self {
            way: Way::Remote(remote),
            patience: PATIENCE,
            next_id: 1,
        }
    }

    /// Connects to the daemon.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).map_err(|error| {
            let socket = socket.to_path_buf();
            match error.kind() {
                io::ErrorKind::PermissionDenied => Failure::Forbidden { socket },
                _ => Failure::NotRunning { socket, error },
            }
        })?;
        stream
            .set_write_timeout(Some(PATIENCE))
            .map_err(Failure::Connection)?;
        let mut client = Self {
            way: Way::Socket(BufReader::new(stream)),
            patience: PATIENCE,
            next_id: 1,
        };
        client.wait_up_to(PATIENCE)?;
        Ok(client)
    }

    /// Calls a method and gives its result as it came.
    pub(crate) fn call_raw(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let request = Request::new(self.next_id, method, params);
        self.next_id += 1;
        let mut line =
            serde_json::to_vec(&request).map_err(|e| Failure::Protocol(e.to_string()))?;
        let line = match &mut self.way {
            Way::Remote(remote) => remote.ask(line, self.patience)?,
            Way::Socket(stream) => {
                line.push(b'\n');
                stream
                    .get_mut()
                    .write_all(&line)
                    .map_err(Failure::Connection)?;
                self.line()?
            }
        };
        let answer: Response =
            serde_json::from_slice(&line).map_err(|e| Failure::Protocol(e.to_string()))?;
        match (answer.error, answer.result) {
            (Some(error), _) => Err(Failure::Refused(error.message)),
            (None, result) => Ok(result.unwrap_or(Value::Null)),
        }
    }

    /// Calls a method and reads its result.
    pub(crate) fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<T, Failure> {
        let value = self.call_raw(method, params)?;
        serde_json::from_value(value).map_err(|e| Failure::Protocol(e.to_string()))
    }

    /// From now on a line may take as long as it likes, up to `patience`.
    pub(crate) fn wait_up_to(&mut self, patience: Duration) -> Result<(), Failure> {
        self.patience = patience;
        match &mut self.way {
            Way::Remote(_) => Ok(()),
            Way::Socket(stream) => stream
                .get_mut()
                .set_read_timeout(Some(patience))
                .map_err(Failure::Connection),
        }
    }

    /// Whether the next line, or its beginning, is here already.
    pub(crate) fn has_more(&self) -> bool {
        matches!(&self.way, Way::Socket(stream) if !stream.buffer().is_empty())
    }

    /// The next line, whole.
    pub(crate) fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let Way::Socket(stream) = &mut self.way else {
            return Err(Failure::Usage("a capture needs the unix socket".into()));
        };
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        stream
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Failure::Silent(self.patience)
                }
                _ => Failure::Connection(error),
            })?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ if line.len() == MAX_LINE => Err(Failure::Protocol("a line without end".into())),
            _ => Err(Failure::Connection(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}
