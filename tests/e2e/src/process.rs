//! Processes that the laboratory starts, and ends by their number alone.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Failure, Result, wait};

/// A running process with its log. It is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    kept: bool,
}

impl Process {
    /// Starts a command, with both outputs in `log`. In a process group of its own, so that Ctrl-C
    /// reaches it through the laboratory only.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(name: impl Into<String>, mut command: Command, log: PathBuf) -> Result<Self> {
        let out = appended(&log)?;
        let err = out
            .try_clone()
            .map_err(Failure::while_("duplicating a log"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Self::spawn(name.into(), command, log)
    }

    /// The same for one that is talked to: its input and its output are the caller's, its errors are in `log`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_talking(
        name: impl Into<String>,
        mut command: Command,
        log: PathBuf,
    ) -> Result<(Self, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(appended(&log)?);
        let mut process = Self::spawn(name.into(), command, log)?;
        match (process.child.stdin.take(), process.child.stdout.take()) {
            (Some(input), Some(output)) => Ok((process, input, output)),
            _ => Err(Failure::new(format!("{} has no pipes", process.name))),
        }
    }

    fn spawn(name: String, mut command: Command, log: PathBuf) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .map_err(Failure::while_(format!("starting {name} ({command:?})")))?;
        Ok(Self {
            name,
            child,
            log,
            kept: false,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said `words` at least `times`.
    ///
    /// # Errors
    /// When it ends before, or the time is over; with the end of its log.
    pub fn wait_for_words(&mut self, words: &str, times: usize, limit: Duration) -> Result<()> {
        let what = format!("{} saying `{words}`", self.name);
        let seen = wait::until(&what, limit, || {
            if self.said().matches(words).count() >= times {
                return Some(true);
            }
            (!self.is_running()).then_some(false)
        });
        match seen {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(format!(
                "{} ended:\n{}",
                self.name,
                self.tail(30)
            ))),
            Err(failure) => Err(Failure::new(format!("{failure}:\n{}", self.tail(30)))),
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = wait::until(&what, limit, || self.child.try_wait().transpose());
        status
            .map_err(|f| Failure::new(format!("{f}:\n{}", self.tail(30))))?
            .map_err(Failure::while_(what))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Err(Failure::new(format!("{} has ended", self.name)));
        }
        let pid = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        kill(Pid::from_raw(pid), signal)
            .map_err(Failure::while_(format!("{signal} to {}", self.name)))
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it run on when this is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let said = self.said();
        let all: Vec<&str> = said.lines().collect();
        let from = all.len().saturating_sub(lines);
        all.get(from..).unwrap_or_default().join("\n")
    }
}

fn appended(log: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(log);
    file.map_err(Failure::while_(format!("opening {}", log.display())))
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept {
            self.kill();
        }
    }
}
