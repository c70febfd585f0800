//! Debian's `dpdk-testpmd`, told what to do by its command line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tandem_e2e::{Failure, Namespace, Process, Result};

use crate::lab::{GENERATOR_CORE, SUBJECT_CORE};

const PATIENCE: Duration = Duration::from_secs(20);

/// A testpmd with one forwarding core.
pub(crate) struct TestPmd {
    process: Process,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// How it is to run.
pub(crate) struct Wish<'a> {
    /// `5tswap`, `io`.
    pub(crate) mode: &'a str,
    pub(crate) devices: &'a [String],
    pub(crate) buffers: u32,
    pub(crate) memory_mb: u32,
}

/// What it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cycles {
    /// Of the polls that found packets: from before the receiving to after the sending.
    pub(crate) cycles: u64,
    pub(crate) packets: u64,
    pub(crate) mhz: f64,
}

impl TestPmd {
    /// Starts it and has it forward.
    pub(crate) fn start(namespace: &Namespace, folder: &Path, wish: &Wish<'_>) -> Result<Self> {
        let mut command = namespace.command("nice");
        // Into a pipe it would keep its lines to itself.
        command.args(["-n", "-20", "stdbuf", "-oL", "dpdk-testpmd"]);
        command.arg(format!("-l{GENERATOR_CORE},{SUBJECT_CORE}"));
        command.arg(format!("--main-lcore={GENERATOR_CORE}"));
        command.args(["--no-huge", "--no-pci", "--no-telemetry", "--no-shconf"]);
        command.args(["-m", &wish.memory_mb.to_string()]);
        command.args(wish.devices.iter().map(|d| format!("--vdev={d}")));
        command.args(["--", "-i", "--nb-cores=1"]);
        command.arg(format!("--forward-mode={}", wish.mode));
        command.arg(format!("--total-num-mbufs={}", wish.buffers));
        if wish.devices.len() == 1 {
            command.arg("--port-topology=loop");
        }
        let log = folder.join("testpmd.log");
        let (process, input, output) = Process::start_talking("dpdk-testpmd", command, log)?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output)
                .lines()
                .map_while(std::result::Result::ok)
            {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut testpmd = Self {
            process,
            input,
            lines,
        };
        testpmd.say("set record-core-cycles on")?;
        testpmd.say("start")?;
        testpmd.hear("packet forwarding - ports=")?;
        Ok(testpmd)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Counts from here.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.say("clear fwd stats all")
    }

    /// What was counted since.
    pub(crate) fn end(&mut self) -> Result<Cycles> {
        self.say("show fwd stats all")?;
        let line = self.hear("CPU cycles/packet=")?;
        cycles(&line).ok_or_else(|| Failure::new(format!("testpmd says: {line}")))
    }

    /// Has it stop and leave, so that the generator's end of a wire goes only afterwards.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.say("stop")?;
        self.say("quit")?;
        self.process.wait(PATIENCE).map(drop)
    }

    fn say(&mut self, words: &str) -> Result<()> {
        writeln!(self.input, "{words}").map_err(Failure::while_("telling testpmd"))
    }

    /// The next line with these words.
    fn hear(&mut self, words: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return Ok(line),
                Ok(line) => last = line,
                Err(_) => {
                    return Err(Failure::new(format!(
                        "dpdk-testpmd did not say `{words}`; its last line: {last}\n{}",
                        self.process.tail(10)
                    )));
                }
            }
        }
    }
}

/// Reads `CPU cycles/packet=1.50 (total cycles=3 / total 5tswap packets=2) at 2600 MHz Clock`.
fn cycles(line: &str) -> Option<Cycles> {
    let number = |after: &str| {
        let (_, rest) = line.split_once(after)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    };
    Some(Cycles {
        cycles: number("total cycles=")?,
        packets: number(" packets=")?,
        mhz: number(" at ")? as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_line_is_read() {
        let line = "  CPU cycles/packet=293.79 (total cycles=6335575290 / total 5tswap packets=21565056) at 2600 MHz Clock";
        let seen = cycles(line).unwrap();
        assert_eq!((seen.cycles, seen.packets), (6_335_575_290, 21_565_056));
        assert!((seen.mhz - 2_600.0).abs() < 1e-9);
        assert_eq!(cycles("  CPU cycles/packet=nan"), None);
    }
}
