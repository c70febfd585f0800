//! Ours: the dataplane itself, with flows that a controller installed.

use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_e2e::{Process, Result, binary};

use crate::controller::{Controller, Counters};
use crate::lab::{Bench, Flow, SUBJECT_CORE, Wire};

const PATIENCE: Duration = Duration::from_secs(20);

/// A dataplane with one worker.
pub(crate) struct Tandem {
    pub(crate) process: Process,
    controller: Option<Controller>,
    since: Counters,
}

/// What its worker counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// Of the turns of its loop that found something to do, by the clock.
    pub(crate) busy_ns: u64,
    pub(crate) busy_turns: u64,
    /// Packets relayed.
    pub(crate) packets: u64,
    /// Packets that its relay dropped.
    pub(crate) dropped: u64,
    /// All that moved, by name.
    pub(crate) moved: String,
}

impl Tandem {
    /// Starts it; flows are installed by [`Self::install`].
    pub(crate) fn start(bench: &Bench, wire: Wire) -> Result<Self> {
        let lab = &bench.lab;
        let text = config(bench, &bench.devices(wire));
        lab.write(&lab.config_file(), &text)?;
        let mut command = lab.appliance.command("nice");
        command.args(["-n", "-20"]).arg(binary("tandem-dataplane"));
        command.arg("--config").arg(lab.config_file());
        command.env("RUST_LOG", "warn");
        let log = lab.log("tandem-dataplane");
        let before = std::fs::read_to_string(&log).unwrap_or_default();
        let mut process = Process::start("tandem-dataplane", command, log)?;
        process.wait_for_words("ready", before.matches("ready").count() + 1, PATIENCE)?;
        bench.neighbours(wire, false)?;
        Ok(Self {
            process,
            controller: None,
            since: Counters::default(),
        })
    }

    /// Installs the flows.
    pub(crate) fn install(&mut self, bench: &Bench, flows: &[Flow]) -> Result<()> {
        let socket = bench.lab.dir().join("run/dataplane.sock");
        self.controller = Some(Controller::start(&socket, flows, 0)?);
        Ok(())
    }

    /// Installs more, beside so many that are there.
    pub(crate) fn install_more(&mut self, bench: &Bench, flows: &[Flow], there: u64) -> Result<()> {
        let socket = bench.lab.dir().join("run/dataplane.sock");
        self.controller = Some(Controller::start(&socket, flows, there)?);
        Ok(())
    }

    /// Counts from here.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.since = self.counters()?;
        Ok(())
    }

    /// What was counted since.
    pub(crate) fn end(&mut self) -> Result<Counted> {
        let now = self.counters()?;
        let grown = |of: &dyn Fn(&Counters) -> u64| of(&now).saturating_sub(of(&self.since));
        Ok(Counted {
            busy_ns: grown(&|c| c.sum("worker_", "_poll_busy_ns")),
            busy_turns: grown(&|c| c.sum("worker_", "_poll_busy")),
            packets: grown(&|c| c.value("relayed")),
            dropped: grown(&|c| c.sum("drop_", "")),
            moved: now.moved(&self.since),
        })
    }

    /// Has it leave, so that the generator's end of a wire goes only afterwards.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE).map(drop)
    }

    fn counters(&self) -> Result<Counters> {
        self.controller
            .as_ref()
            .map_or_else(|| Ok(Counters::default()), Controller::counters)
    }
}

/// The laboratory's configuration with other ports, and a worker that never sleeps.
fn config(bench: &Bench, devices: &[String]) -> String {
    let mut devices = devices.iter();
    let text = bench.options.config(bench.lab.dir());
    let lines = text.lines().map(|line| {
        if line.starts_with("device = ") {
            let device = devices.next().map_or("", String::as_str);
            format!("device = \"{device}\"\n")
        } else if line.starts_with("idle = ") {
            "idle = \"poll\"\nmbufs = 65535\nmax_flows = 32768\n".to_owned()
        } else if line.starts_with("workers = ") && line.contains('[') {
            format!("workers = [{SUBJECT_CORE}]\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}
