//! Other programs, for so long at most.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::client::plain;

/// What a program said, and its exit code.
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) code: Option<i32>,
}

/// The most that is read of what a program says.
const MOST: u64 = 4 * 1024 * 1024;

/// Runs a program to its end, or kills it when that takes too long.
pub(super) fn run(command: &mut Command, patience: Duration) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not installed"),
            _ => format!("{name}: {}", plain(&error)),
        })?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let begin = Instant::now();
    let code = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.code(),
            Ok(None) if begin.elapsed() < patience => thread::sleep(Duration::from_millis(20)),
            _ => {
                // It has ended meanwhile if it cannot be killed.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} gave no answer in {} s", patience.as_secs()));
            }
        }
    };
    let text = |thread: Option<thread::JoinHandle<String>>| {
        thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    };
    Ok(Said {
        out: text(out),
        err: text(err),
        code,
    })
}

fn reader(pipe: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read so far is better than nothing.
        let _ = pipe.take(MOST).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
