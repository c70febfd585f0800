//! The load: sipp on core 0, the same for every system under test.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_e2e::{Failure, Lab, Namespace, Process, Result, wait};

/// Lines of sipp's complaints that are shown.
const ERROR_LINES: usize = 12;

/// What is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) scenario: &'static str,
    pub(crate) rate: u32,
    pub(crate) count: u32,
    pub(crate) talk: Duration,
    /// sipp's name of the transport: `u1`, `t1`.
    pub(crate) transport: &'static str,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) made: u64,
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) current: u64,
    pub(crate) retransmissions: u64,
}

/// A sipp that answers.
pub(crate) fn server(lab: &Lab, at: IpAddr, transport: &str) -> Result<Process> {
    let folder = lab.peer_dir(&format!("server-{at}"))?;
    let line = format!("-i {at} -mi {at} -p 5060 -t {transport} -nostdin -buff_size 1048576");
    let process = sipp(
        lab,
        &lab.core,
        &format!("server-{at}"),
        "server.xml",
        &line,
        &folder,
    )?;
    let flag = if transport.starts_with('t') { "t" } else { "u" };
    wait::until("the server", Duration::from_secs(10), || {
        let sockets = lab.core.run(&format!("ss -Hln{flag}")).unwrap_or_default();
        sockets.contains(&format!("{at}:5060")).then_some(())
    })?;
    Ok(process)
}

/// A sipp that calls.
pub(crate) struct Caller {
    process: Process,
    stat: PathBuf,
}

impl Caller {
    pub(crate) fn start(lab: &Lab, from: IpAddr, to: SocketAddr, load: &Load) -> Result<Self> {
        let folder = lab.peer_dir("caller")?;
        let stat = folder.join("stat.csv");
        let _ = fs::remove_file(&stat);
        let Load {
            scenario,
            rate,
            count,
            talk,
            transport,
        } = load;
        let line = format!(
            "-i {from} -mi {from} -p 5060 -t {transport} -r {rate} -m {count} -l {count} -d {} -nostdin -trace_stat -fd 1 \
             -stf stat.csv -trace_err -error_file errors.log -recv_timeout 30000 -buff_size 1048576 {to}",
            talk.as_millis()
        );
        let process = sipp(lab, &lab.carrier, "caller", scenario, &line, &folder)?;
        Ok(Self { process, stat })
    }

    pub(crate) fn tally(&self) -> Tally {
        read(&fs::read_to_string(&self.stat).unwrap_or_default())
    }

    pub(crate) fn finish(mut self, limit: Duration) -> Result<Tally> {
        self.process.wait(limit)?;
        let tally = self.tally();
        if tally.failed > 0 {
            let file = self.stat.with_file_name("errors.log");
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().take(ERROR_LINES).collect();
            eprintln!(
                "{} calls failed; sipp says:\n{}",
                tally.failed,
                lines.join("\n")
            );
        }
        Ok(tally)
    }

    pub(crate) fn kill(mut self) {
        self.process.kill();
    }
}

fn sipp(
    lab: &Lab,
    namespace: &Namespace,
    name: &str,
    scenario: &str,
    line: &str,
    folder: &Path,
) -> Result<Process> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(scenario);
    if !file.exists() {
        return Err(Failure::new(format!("{} is missing", file.display())));
    }
    let mut arguments = vec!["-sf".to_owned(), file.display().to_string()];
    arguments.extend(line.split_whitespace().map(str::to_owned));
    lab.peer(namespace, name, "sipp", &arguments, folder)
}

fn read(csv: &str) -> Tally {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let row: Vec<&str> = lines.next_back().unwrap_or_default().split(';').collect();
    let value = |name: &str| {
        let column = header.iter().position(|h| *h == name)?;
        row.get(column)?.trim().parse().ok()
    };
    Tally {
        made: value("TotalCallCreated").unwrap_or(0),
        successful: value("SuccessfulCall(C)").unwrap_or(0),
        failed: value("FailedCall(C)").unwrap_or(0),
        current: value("CurrentCall").unwrap_or(0),
        retransmissions: value("Retransmissions(C)").unwrap_or(0),
    }
}
