//! tandemctl, asked as a program would.

use std::path::PathBuf;
use std::process::Output;

use serde_json::from_str;
use tandem_admin::{Call, Counter, Flow, Status, Target};

use crate::{Failure, Namespace, Result};

/// Runs tandemctl in the appliance.
pub struct Ctl {
    appliance: Namespace,
    program: PathBuf,
    config: PathBuf,
}

/// Every named counter at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counters(Vec<Counter>);

impl Ctl {
    /// The command `program` with a configuration file.
    #[must_use]
    pub fn new(appliance: Namespace, program: PathBuf, config: PathBuf) -> Self {
        Self {
            appliance,
            program,
            config,
        }
    }

    /// The command, for those that run it on.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.appliance.command(&self.program);
        command.arg("--config").arg(&self.config).args(arguments);
        command
    }

    /// Runs it and returns all that came of it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .map_err(Failure::while_("tandemctl"))
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// When its exit code is not 0.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        crate::namespace::run(&mut self.command(arguments))
    }

    /// `tandemctl status`
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> Result<Status> {
        from_str(&self.run(&["--json", "status"])?).map_err(Failure::while_("tandemctl status"))
    }

    /// `tandemctl dispatcher list`
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let text = self.run(&["--json", "dispatcher", "list"])?;
        from_str(&text).map_err(Failure::while_("tandemctl dispatcher list"))
    }

    /// `tandemctl calls`
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn calls(&self) -> Result<Vec<Call>> {
        from_str(&self.run(&["--json", "calls"])?).map_err(Failure::while_("tandemctl calls"))
    }

    /// `tandemctl flows`
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn flows(&self) -> Result<Vec<Flow>> {
        from_str(&self.run(&["--json", "flows"])?).map_err(Failure::while_("tandemctl flows"))
    }

    /// `tandemctl counters`
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn counters(&self) -> Result<Counters> {
        let text = self.run(&["--json", "counters"])?;
        from_str(&text)
            .map(Counters)
            .map_err(Failure::while_("tandemctl counters"))
    }
}

impl Counters {
    /// A counter's value; 0 when there is none of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        self.0
            .iter()
            .filter(|c| c.name == name)
            .map(|c| c.value)
            .sum()
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|c| c.name == name)
    }

    /// How many media packets were dropped since `before`, in all the places where one can be: by
    /// the relay, between the workers, at a device, or in the kernel before or behind one.
    #[must_use]
    pub fn media_drops_since(&self, before: &Self) -> u64 {
        let is_drop = |name: &str| {
            name.starts_with("drop_")
                || matches!(
                    name,
                    "tx_full" | "hand_off_full" | "no_buffer" | "rx_segmented"
                )
                || ["_rx_missed", "_tx_errors", "_kernel_tx_dropped"]
                    .iter()
                    .any(|e| name.ends_with(e))
        };
        self.since(before)
            .iter()
            .filter(|(name, _)| is_drop(name))
            .map(|(_, by)| by)
            .sum()
    }

    /// Names and increases since `before`, of those that moved.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<(String, u64)> {
        let moved = self.0.iter().map(|c| {
            (
                c.name.clone(),
                c.value.saturating_sub(before.value(&c.name)),
            )
        });
        moved.filter(|(_, by)| *by > 0).collect()
    }
}
