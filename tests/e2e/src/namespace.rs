//! Network namespaces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Result};

/// A network namespace by its name. It does not remove itself: the laboratory's janitor does.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// When `ip netns add` fails: not root, or the name exists.
    pub fn create(name: impl Into<String>) -> Result<Self> {
        let namespace = Self { name: name.into() };
        run(Command::new("ip").args(["netns", "add", &namespace.name]))?;
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    /// One that exists.
    #[must_use]
    pub fn existing(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a line of words in it and returns what it printed. No shell: words are split at spaces.
    ///
    /// # Errors
    /// When it does not end with success, with what it said.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split(' ').filter(|w| !w.is_empty());
        let program = words.next().unwrap_or("true");
        run(self.command(program).args(words))
    }

    /// Runs `work` on a thread of its own inside the namespace: sockets that it opens stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or `work` fails.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = self.path();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let file = File::open(&path)
                    .map_err(Failure::while_(format!("opening {}", path.display())))?;
                nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(Failure::while_(format!("entering {}", path.display())))?;
                work()
            });
            inside
                .join()
                .unwrap_or_else(|_| Err(Failure::new("the thread in the namespace died")))
        })
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it does not start or does not end with success.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(Failure::while_(format!("{command:?}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::new(format!(
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
