//! sipp as caller and as media server.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{Failure, Lab, Namespace, Process, Result, lab::scenario, wav};

/// A sipp that answers calls.
pub struct Server {
    process: Process,
}

/// A sipp that makes calls.
pub struct Caller {
    process: Process,
    stat: PathBuf,
}

/// What to call, how often, how long.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Scenario file.
    pub scenario: &'static str,
    /// The caller's own address.
    pub from: IpAddr,
    /// The caller's SIP port.
    pub port: u16,
    /// The caller's media port, where another one has the usual one.
    pub media_port: u16,
    /// Who is called: the appliance.
    pub to: IpAddr,
    /// The user part of the Request-URI.
    pub user: &'static str,
    /// How many calls.
    pub count: u32,
    /// Calls a second.
    pub rate: u32,
    /// How long each talks.
    pub talk: Duration,
    /// sipp's name of the transport: `u1`, `t1`.
    pub transport: &'static str,
    /// The host of the Request-URI; where it goes when empty.
    pub host: &'static str,
    /// The Call-IDs, in sipp's notation (`%u` is the call's number); its own when empty.
    pub call_id: &'static str,
    /// Whether what the scenario logs goes to `outcomes.log` in the caller's folder.
    pub log: bool,
    /// How long an answer is waited for.
    pub patience: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            scenario: "caller.xml",
            from: crate::topology::CALLER,
            port: crate::topology::SIP,
            media_port: 6_000,
            to: crate::topology::OUTSIDE,
            user: "service",
            count: 1,
            rate: 1,
            talk: Duration::from_secs(2),
            transport: "u1",
            host: "",
            call_id: "",
            log: false,
            patience: Duration::from_secs(40),
        }
    }
}

/// What sipp counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls made.
    pub made: u64,
    /// Calls that went as the scenario says.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Calls now.
    pub current: u64,
    /// Retransmissions of ours.
    pub retransmissions: u64,
}

/// How far the scenario `load.xml` is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Seconds since it began.
    pub elapsed: f64,
    /// Calls made.
    pub made: u64,
    /// Calls that got 503.
    pub refused: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Of these, those that ended in order.
    pub ended: u64,
}

impl Server {
    /// Starts a media server that echoes media.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(lab: &Lab, namespace: &Namespace, name: &str, address: IpAddr) -> Result<Self> {
        Self::with(
            lab,
            namespace,
            name,
            address,
            "server.xml",
            Duration::from_secs(2),
        )
    }

    /// The same with sipp's name of a transport: `u1`, `t1`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn by(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        transport: &str,
    ) -> Result<Self> {
        let talk = Duration::from_secs(2);
        Self::start_with(lab, namespace, name, address, "server.xml", talk, transport)
    }

    /// One that refuses every call with 403.
    ///
    /// # Errors
    /// When it does not start.
    pub fn refusing(lab: &Lab, namespace: &Namespace, name: &str, address: IpAddr) -> Result<Self> {
        let talk = Duration::from_secs(2);
        Self::with(lab, namespace, name, address, "refuse.xml", talk)
    }

    /// One that answers calls and keeps what it was told: see [`Self::was_told`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn listening(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
    ) -> Result<Self> {
        let talk = Duration::from_secs(2);
        let more = "-trace_msg -message_file messages.log -message_overwrite false";
        Self::start_by(
            lab,
            namespace,
            name,
            address,
            "server.xml",
            talk,
            "u1",
            more,
        )
    }

    /// All messages that one which is [listening](Self::listening) has seen.
    ///
    /// # Errors
    /// When it has seen none.
    pub fn was_told(lab: &Lab, name: &str) -> Result<String> {
        let path = lab.peer_dir(name)?.join("messages.log");
        fs::read_to_string(&path).map_err(Failure::while_(format!("reading {}", path.display())))
    }

    /// The same with a scenario of one's choice; `talk` is for one that hangs up itself.
    ///
    /// # Errors
    /// When it does not start.
    pub fn with(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        file: &str,
        talk: Duration,
    ) -> Result<Self> {
        Self::start_with(lab, namespace, name, address, file, talk, "u1")
    }

    fn start_with(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        file: &str,
        talk: Duration,
        transport: &str,
    ) -> Result<Self> {
        Self::start_by(lab, namespace, name, address, file, talk, transport, "")
    }

    #[allow(clippy::too_many_arguments, reason = "what sipp's command line has")]
    fn start_by(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        file: &str,
        talk: Duration,
        transport: &str,
        more: &str,
    ) -> Result<Self> {
        let folder = lab.peer_dir(name)?;
        let arguments = [
            words("-sf"),
            vec![scenario(file).display().to_string()],
            words(&format!(
                "-i {0} -mi {0} -p 5060 -mp 6000 -t {transport} -rtp_echo -nostdin",
                bare(address)
            )),
            words(&format!(
                "-d {} -trace_err -error_file errors.log",
                talk.as_millis()
            )),
            words("-aa -buff_size 1048576"),
            words(more),
        ]
        .concat();
        let process = lab.peer(namespace, name, "sipp", &arguments, &folder)?;
        // It prints nothing that says so; its socket does.
        crate::wait::until(format!("{name} listening"), Duration::from_secs(10), || {
            let list = if transport.starts_with('t') {
                "ss -Hlnt"
            } else {
                "ss -Hlnu"
            };
            let sockets = namespace.run(list).unwrap_or_default();
            let wanted = std::net::SocketAddr::new(address, 5_060).to_string();
            sockets.contains(&wanted).then_some(())
        })?;
        Ok(Self { process })
    }

    /// Lets it run on when this is dropped.
    pub fn keep(mut self) {
        self.process.keep();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Caller {
    /// A folder for a caller, with the tone that it sends.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(lab: &Lab, name: &str) -> Result<PathBuf> {
        let folder = lab.peer_dir(name)?;
        // Ten seconds of a sweep; sipp plays it in a loop.
        let tone = wav::to_alaw(&wav::sweep(8_000, 10, 1));
        fs::write(folder.join("tone.pcma"), tone).map_err(Failure::while_("writing the tone"))?;
        Ok(folder)
    }

    /// Starts the calls.
    ///
    /// # Errors
    /// When sipp does not start.
    pub fn start(lab: &Lab, namespace: &Namespace, name: &str, calls: &Calls) -> Result<Self> {
        let folder = Self::folder(lab, name)?;
        let (from, to) = (bare(calls.from), crate::topology::sip(calls.to));
        let Calls {
            count,
            rate,
            port,
            media_port,
            user,
            call_id,
            host,
            transport,
            ..
        } = calls;
        let arguments = [
            words("-sf"),
            vec![scenario(calls.scenario).display().to_string()],
            words(&format!(
                "-i {from} -mi {from} -p {port} -mp {media_port} -s {user} -t {transport} -nostdin"
            )),
            words(&format!(
                "-m {count} -r {rate} -l {count} -d {}",
                calls.talk.as_millis()
            )),
            words("-trace_err -error_file errors.log -trace_stat -fd 1 -stf stat.csv"),
            words(&format!(
                "-recv_timeout {} -buff_size 1048576",
                calls.patience.as_millis()
            )),
            words(if calls.log {
                "-trace_logs -log_file outcomes.log"
            } else {
                ""
            }),
            // Otherwise its credentials name the address that it sends to, whatever the Request-URI is.
            words("-auth_uri example.com"),
            vec![
                "-key".to_owned(),
                "host".to_owned(),
                if host.is_empty() {
                    to.to_string()
                } else {
                    (*host).to_owned()
                },
            ],
            if call_id.is_empty() {
                Vec::new()
            } else {
                words(&format!("-cid_str {call_id}"))
            },
            vec![to.to_string()],
        ]
        .concat();
        let stat = folder.join("stat.csv");
        let _ = fs::remove_file(&stat);
        Ok(Self {
            process: lab.peer(namespace, name, "sipp", &arguments, &folder)?,
            stat,
        })
    }

    /// How far it is; it writes once a second.
    #[must_use]
    pub fn progress(&self) -> Progress {
        read_progress(&fs::read_to_string(&self.stat).unwrap_or_default())
    }

    /// Waits for its end; what it had counted then.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn finish_counted(self, limit: Duration) -> Result<Progress> {
        let stat = self.stat.clone();
        self.finish(limit)?;
        Ok(read_progress(&fs::read_to_string(stat).unwrap_or_default()))
    }

    /// What it has counted so far; it writes once a second.
    #[must_use]
    pub fn tally(&self) -> Tally {
        read_tally(&fs::read_to_string(&self.stat).unwrap_or_default())
    }

    /// Waits for its end and returns what it counted.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn finish(mut self, limit: Duration) -> Result<Tally> {
        self.process.wait(limit)?;
        let tally = self.tally();
        if tally.failed > 0 || tally.made == 0 {
            let folder = self
                .stat
                .parent()
                .map(std::path::Path::to_owned)
                .unwrap_or_default();
            let errors = fs::read_to_string(folder.join("errors.log")).unwrap_or_default();
            eprintln!(
                "{}: {tally:?}\n{}",
                self.process.name(),
                first_lines(&errors, 60)
            );
        }
        Ok(tally)
    }

    /// Ends it: calls that are up get their BYE (SIGUSR1).
    ///
    /// # Errors
    /// When it has ended.
    pub fn hang_up(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGUSR1)
    }
}

/// Looks into the last row of sipp's statistics file.
fn last_row(csv: &str) -> impl Fn(&str) -> Option<String> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or_default();
    let row = lines.next_back().unwrap_or_default();
    let cells = header.split(';').zip(row.split(';'));
    let cells: Vec<(String, String)> = cells
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    move |name| {
        let cell = cells.iter().find(|(column, _)| column == name)?;
        Some(cell.1.clone())
    }
}

fn read_progress(csv: &str) -> Progress {
    let row = last_row(csv);
    let value = |name: &str| row(name)?.parse().ok();
    let moment = |name| row(name).and_then(|t| seconds(&t)).unwrap_or(0.0);
    Progress {
        elapsed: moment("CurrentTime") - moment("StartTime"),
        made: value("TotalCallCreated").unwrap_or(0),
        refused: value("refused(C)").unwrap_or(0),
        answered: value("answered(C)").unwrap_or(0),
        ended: value("ended(C)").unwrap_or(0),
    }
}

/// A moment as sipp writes it: date, time, and seconds since the epoch.
fn seconds(time: &str) -> Option<f64> {
    time.split_ascii_whitespace().last()?.parse().ok()
}

fn read_tally(csv: &str) -> Tally {
    let row = last_row(csv);
    let value = |name: &str| row(name)?.parse().ok();
    Tally {
        made: value("TotalCallCreated").unwrap_or(0),
        successful: value("SuccessfulCall(C)").unwrap_or(0),
        failed: value("FailedCall(C)").unwrap_or(0),
        current: value("CurrentCall").unwrap_or(0),
        retransmissions: value("Retransmissions(C)").unwrap_or(0),
    }
}

fn first_lines(text: &str, count: usize) -> String {
    text.lines().take(count).collect::<Vec<_>>().join("\n")
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// sipp wants IPv6 addresses in brackets.
fn bare(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("[{a}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_row_too() {
        let csv = "StartTime;CurrentTime;TotalCallCreated;refused(C);answered(C);ended(C);\n\
                   d t 7.0;d t 8.0;1;0;0;0;\nd\tt\t7.25;d\tt\t69.75;30;9;8;7;\n";
        let progress = Progress {
            elapsed: 62.5,
            made: 30,
            refused: 9,
            answered: 8,
            ended: 7,
        };
        assert_eq!(read_progress(csv), progress);
        assert_eq!(read_progress(""), Progress::default());
    }

    #[test]
    fn the_last_row_counts() {
        let csv = "CurrentCall;TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n\
                   1;1;0;0;0;\n0;3;2;1;4;\n";
        let tally = Tally {
            made: 3,
            successful: 2,
            failed: 1,
            current: 0,
            retransmissions: 4,
        };
        assert_eq!(read_tally(csv), tally);
        assert_eq!(read_tally(""), Tally::default());
        assert_eq!(read_tally("CurrentCall;\n"), Tally::default());
    }
}
