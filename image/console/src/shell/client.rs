//! A connection to the management socket, which never waits for long.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tandem_admin::{MAX_LINE, Request, Response};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection.
pub(super) struct Client {
    stream: BufReader<UnixStream>,
    next: u64,
}

impl Client {
    /// Connects.
    pub(super) fn connect(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    ": log in as root or as the user of tandem-sigplane"
                }
                io::ErrorKind::NotFound => ": it does not run",
                _ => "",
            };
            format!("{}: {}{hint}", socket.display(), plain(&error))
        })?;
        let timeouts = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        timeouts.map_err(|error| plain(&error))?;
        Ok(Self {
            stream: BufReader::new(stream),
            next: 1,
        })
    }

    /// From now on a line may take so long.
    pub(super) fn wait_up_to(&mut self, patience: Duration) -> Result<(), String> {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(Some(patience))
            .map_err(|error| plain(&error))
    }

    /// Another handle, to end the connection from another thread.
    pub(super) fn handle(&self) -> Result<UnixStream, String> {
        let stream = self.stream.get_ref();
        stream.try_clone().map_err(|error| plain(&error))
    }

    /// Calls a method.
    pub(super) fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<T, String> {
        let request = Request::new(self.next, method, params);
        self.next += 1;
        let mut line = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        self.stream
            .get_mut()
            .write_all(&line)
            .map_err(|error| plain(&error))?;
        let answer: Response = serde_json::from_slice(&self.line()?)
            .map_err(|_| format!("{method}: no answer of this version"))?;
        match (answer.error, answer.result) {
            (Some(error), _) => Err(error.message),
            (None, result) => serde_json::from_value(result.unwrap_or(Value::Null))
                .map_err(|_| format!("{method}: an answer of another version")),
        }
    }

    /// The next line, whole.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut line);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it gives no answer".to_owned(),
            _ => plain(&error),
        })?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ => Err("it closed the connection".to_owned()),
        }
    }
}

/// An error without its number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
