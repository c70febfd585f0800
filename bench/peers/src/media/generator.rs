//! The generator as the one who measures sees it: a process of its own on core 0.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};

use tandem_e2e::{Failure, Namespace, Process, Result};

use crate::generate::{Run, Seen, Setup};
use crate::lab::GENERATOR_CORE;

/// It runs. It touches its ports while a run goes on, and not otherwise.
pub(crate) struct Generator {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    /// Starts it and waits until both of its ports have a link.
    pub(crate) fn start(namespace: &Namespace, folder: &Path, setup: &Setup) -> Result<Self> {
        let file = folder.join("generator.json");
        let text = serde_json::to_string(setup).map_err(Failure::while_("the setup"))?;
        std::fs::write(&file, text).map_err(Failure::while_("writing the setup"))?;
        let program = std::env::current_exe().map_err(Failure::while_("finding this program"))?;
        let mut command = namespace.command("nice");
        command.args(["-n", "-20", "taskset", "-c", &GENERATOR_CORE.to_string()]);
        command.arg(program).arg("generate").arg(&file);
        let log = folder.join("generator.log");
        let (process, input, output) = Process::start_talking("the generator", command, log)?;
        let mut generator = Self {
            process,
            input,
            output: BufReader::new(output),
        };
        generator.line()?;
        Ok(generator)
    }

    /// One run, to its end.
    pub(crate) fn run(&mut self, run: Run) -> Result<Seen> {
        self.begin(run)?;
        self.finish()
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, run: Run) -> Result<()> {
        let text = serde_json::to_string(&run).map_err(Failure::while_("a run"))?;
        writeln!(self.input, "{text}").map_err(Failure::while_("asking the generator"))
    }

    /// What was seen in the run that was begun; waits for its end.
    pub(crate) fn finish(&mut self) -> Result<Seen> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(Failure::while_(format!("the generator's `{line}`")))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            let length = self
                .output
                .read_line(&mut line)
                .map_err(Failure::while_("reading of the generator"))?;
            if length == 0 {
                let said = self.process.tail(20);
                return Err(Failure::new(format!("the generator ended:\n{said}")));
            }
            // A driver may print something.
            if line.starts_with(['{', '"']) {
                return Ok(line.trim().to_owned());
            }
        }
    }
}
