//! A serial port of the machine: what it said so far, waiting for what it says, and a line to it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// One serial port.
pub struct Console {
    name: &'static str,
    stream: UnixStream,
    heard: Arc<Heard>,
}

/// So many seconds of a quiet machine, multiplied by `TANDEM_QEMU_PATIENCE` (3 if it is not set: emulation beside other work).
#[must_use]
pub fn patience(seconds: u64) -> Duration {
    let times = std::env::var("TANDEM_QEMU_PATIENCE")
        .ok()
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or(3.0);
    Duration::from_secs(seconds).mul_f64(times.clamp(0.1, 100.0))
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    /// As it came, for a terminal.
    bytes: Vec<u8>,
    /// What was waited for already: the next wait begins here.
    seen: usize,
    ended: bool,
}

impl Console {
    /// The port behind this unix socket of QEMU's. All that it says is written to `log` too.
    pub(crate) fn connect(name: &'static str, socket: &Path, log: &Path) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(Failure::new(format!(
                        "QEMU does not open its serial port {}: {error}",
                        socket.display()
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let heard = Arc::new(Heard::default());
        let (mut reader, hearer) = (stream.try_clone()?, Arc::clone(&heard));
        let mut log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)?;
        std::thread::spawn(move || {
            let mut piece = [0_u8; 4096];
            loop {
                let read = reader.read(&mut piece).unwrap_or(0);
                let _ = log.write_all(&piece[..read]);
                let mut state = hearer.state.lock().unwrap();
                state.bytes.extend_from_slice(&piece[..read]);
                // Terminals' control sequences stay in: whoever looks for a word finds it anyway.
                state
                    .text
                    .push_str(&String::from_utf8_lossy(&piece[..read]).replace('\r', ""));
                state.ended = read == 0;
                hearer.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Ok(Self {
            name,
            stream,
            heard,
        })
    }

    /// All that the port said since the machine was started.
    #[must_use]
    pub fn text(&self) -> String {
        self.heard.state.lock().unwrap().text.clone()
    }

    /// Waits until the port says `wanted`, after what was waited for before. Returns what it said up to the end of that line (or of
    /// what there is of it).
    ///
    /// # Errors
    /// It did not in that time, or QEMU ended; with the last lines of the console.
    pub fn wait_for(&self, wanted: &str, within: Duration) -> Result<String> {
        self.wait_for_one_of(&[wanted], within)
            .map(|(_, text)| text)
    }

    /// Waits for the first of several; returns which one.
    ///
    /// # Errors
    /// None came in that time, or QEMU ended.
    pub fn wait_for_one_of(&self, wanted: &[&str], within: Duration) -> Result<(usize, String)> {
        let deadline = Instant::now() + within;
        let mut state = self.heard.state.lock().unwrap();
        loop {
            let news = &state.text[state.seen..];
            let first = wanted
                .iter()
                .enumerate()
                .filter_map(|(which, text)| news.find(text).map(|at| (at, which)))
                .min();
            if let Some((at, which)) = first {
                let end = at + wanted[which].len();
                let line = news[end..]
                    .find('\n')
                    .map_or(news.len(), |length| end + length);
                let found = news[..line].to_owned();
                state.seen += end;
                return Ok((which, found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let why = if state.ended {
                    "QEMU ended".to_owned()
                } else {
                    format!("it did not within {} s", within.as_secs())
                };
                let lines: Vec<&str> = state.text.lines().collect();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n    ");
                return Err(Failure::new(format!(
                    "the {} should say {wanted:?}; {why}. Its last lines:\n    {tail}",
                    self.name
                )));
            }
            state = self.heard.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The next wait is for what comes from now on.
    pub fn skip_to_now(&self) {
        let mut state = self.heard.state.lock().unwrap();
        state.seen = state.text.len();
    }

    /// What it said from this byte on, as it came: for a terminal that shows it. Waits so long for something to come.
    #[must_use]
    pub fn bytes_from(&self, at: usize, within: Duration) -> Vec<u8> {
        let is_quiet = |state: &mut State| state.bytes.len() <= at && !state.ended;
        let state = self.heard.state.lock().unwrap();
        let waited = self
            .heard
            .changed
            .wait_timeout_while(state, within, is_quiet);
        let (state, _) = waited.unwrap();
        state.bytes.get(at..).unwrap_or_default().to_vec()
    }

    /// Sends bytes: keys.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<()> {
        (&self.stream).write_all(bytes)?;
        Ok(())
    }

    /// Sends a line.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn send(&self, line: &str) -> Result<()> {
        (&self.stream).write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }
}
