//! The laboratory itself.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cgroup::{self, CpuShare};
use crate::ctl::Ctl;
use crate::mariadb::MariaDb;
use crate::namespace::run;
use crate::options::Database;
use crate::topology::CARRIER_LINK;
use crate::trunk::Trunk;
use crate::{Failure, Namespace, Options, Process, Result, topology, wait};

/// A daemon is ready within this time, on a busy machine too.
const READY: Duration = Duration::from_secs(20);
/// The core that the peers run on: the dataplane's worker has the other.
const PEER_CORE: &str = "0";

/// Distinguishes several laboratories of one process.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Three namespaces, both daemons, and a folder for their files.
///
/// Dropping it kills the daemons and removes everything; so does the end of this process in any
/// other way, by a janitor that waits for it.
pub struct Lab {
    /// Where callers and the trunk are.
    pub carrier: Namespace,
    /// Where the daemons are.
    pub appliance: Namespace,
    /// Where the media servers are.
    pub core: Namespace,
    dir: PathBuf,
    options: Options,
    mariadb: Option<MariaDb>,
    dataplane: Option<Process>,
    sigplane: Option<Process>,
    // Behind the process that is in it.
    share: Option<CpuShare>,
    _trunk: Option<Trunk>,
    // Behind the daemons: it is dropped after them.
    janitor: Janitor,
}

impl Lab {
    /// A laboratory with both daemons running and the database filled.
    ///
    /// # Errors
    /// With what could not be made.
    pub fn start(options: Options) -> Result<Self> {
        let mut lab = Self::wires(options)?;
        lab.start_dataplane()?;
        lab.start_sigplane()?;
        lab.fill_database()?;
        lab.wait_until_ready()?;
        Ok(lab)
    }

    /// The wires and the configuration alone, without daemons.
    ///
    /// # Errors
    /// With what could not be made.
    pub fn wires(options: Options) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("{}-{number}", std::process::id()), options)
    }

    /// The same, with a name of one's own in the namespaces' names.
    ///
    /// # Errors
    /// With what could not be made.
    pub fn named(name: &str, options: Options) -> Result<Self> {
        let names = names(name);
        let dir = folder(name);
        for sub in ["run", "state", "log"] {
            fs::create_dir_all(dir.join(sub))
                .map_err(Failure::while_(format!("making {}", dir.display())))?;
        }
        // Before the first namespace: from here on everything is cleared away.
        let janitor = Janitor::start(&names, &dir)?;
        let [carrier, appliance, core] = names;
        let (carrier, appliance, core) = (
            Namespace::create(carrier)?,
            Namespace::create(appliance)?,
            Namespace::create(core)?,
        );
        topology::lay(&carrier, &appliance, &core, options.vlan)?;
        let trunk = options
            .vlan
            .map(|vlan| Trunk::join(&carrier, CARRIER_LINK, vlan));
        let lab = Self {
            _trunk: trunk.transpose()?,
            carrier,
            appliance,
            core,
            dir,
            options,
            mariadb: None,
            dataplane: None,
            sigplane: None,
            share: None,
            janitor,
        };
        lab.write(&lab.config_file(), &lab.options.config(&lab.dir))?;
        Ok(lab)
    }

    /// Its folder: configuration, database, sockets, logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Changes how it is set up, for daemons that are started from now on.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn change(&mut self, change: impl FnOnce(&mut Options)) -> Result<()> {
        change(&mut self.options);
        self.write(&self.config_file(), &self.options.config(&self.dir))
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("tandem.toml")
    }

    /// A file for a log.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// With the file's name.
    pub fn write(&self, path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).map_err(Failure::while_(format!("writing {}", path.display())))
    }

    /// tandemctl in the appliance.
    #[must_use]
    pub fn ctl(&self) -> Ctl {
        Ctl::new(
            self.appliance.clone(),
            binary("tandemctl"),
            self.config_file(),
        )
    }

    /// Starts the dataplane and waits until it is ready.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn start_dataplane(&mut self) -> Result<()> {
        self.dataplane = Some(self.daemon("tandem-dataplane")?);
        Ok(())
    }

    /// Starts the signaling plane and waits until it is ready.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn start_sigplane(&mut self) -> Result<()> {
        self.start_database()?;
        self.sigplane = Some(self.daemon("tandem-sigplane")?);
        Ok(())
    }

    /// Starts the database server, if it is to be one; the signaling plane's start does it, too.
    ///
    /// # Errors
    /// With what the server said.
    pub fn start_database(&mut self) -> Result<()> {
        if self.options.database == Database::MariaDb && self.mariadb.is_none() {
            self.mariadb = Some(MariaDb::install(&self.appliance, &self.dir)?);
        }
        Ok(())
    }

    /// The database server, for who means to harm it.
    pub fn mariadb(&mut self) -> Option<&mut MariaDb> {
        self.mariadb.as_mut()
    }

    /// SIGKILL to the dataplane.
    pub fn kill_dataplane(&mut self) {
        self.dataplane.take().iter_mut().for_each(Process::kill);
    }

    /// Sends the dataplane a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_dataplane(&mut self, signal: nix::sys::signal::Signal) -> Result<()> {
        match &mut self.dataplane {
            Some(dataplane) => dataplane.signal(signal),
            None => Err(Failure::new("the dataplane does not run")),
        }
    }

    /// The dataplane's process.
    #[must_use]
    pub fn dataplane_pid(&self) -> Option<u32> {
        self.dataplane.as_ref().map(Process::pid)
    }

    /// SIGKILL to the signaling plane.
    pub fn kill_sigplane(&mut self) {
        self.sigplane.take().iter_mut().for_each(Process::kill);
    }

    /// Has each `fdatasync` of the signaling plane that runs take so much longer, as long as the tracer lives.
    ///
    /// # Errors
    /// When it cannot be traced.
    pub fn slow_disk(&self, delay: Duration) -> Result<Process> {
        let pid = self.sigplane.as_ref().map_or(0, Process::pid);
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=fdatasync", "-e"]);
        command.arg(format!(
            "inject=fdatasync:delay_enter={}",
            delay.as_micros()
        ));
        command.args(["-p", &pid.to_string()]);
        let log = self.dir.join(format!("strace-{}.log", delay.as_micros()));
        let mut strace = Process::start("strace", command, log)?;
        strace.wait_for_words("attached", 1, Duration::from_secs(20))?;
        Ok(strace)
    }

    /// Gives the signaling plane that runs so many percent of one processor.
    ///
    /// # Errors
    /// When there can be no such control group.
    pub fn limit_sigplane(&mut self, percent: u32) -> Result<()> {
        if let Some(process) = &self.sigplane {
            self.share = Some(CpuShare::limit(&group(&self.dir), process.pid(), percent)?);
        }
        Ok(())
    }

    /// The process of a daemon that runs, by its name.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        let all = [&self.dataplane, &self.sigplane].into_iter().flatten();
        all.into_iter().find(|p| p.name() == name).map(Process::pid)
    }

    /// The processor time that the signaling plane has had, in seconds.
    ///
    /// # Errors
    /// When it does not run.
    pub fn sigplane_time(&self) -> Result<f64> {
        let pid = self.sigplane.as_ref().map_or(0, Process::pid);
        // Of each thread in nanoseconds: the times in `stat` are counted in ticks.
        let tasks = format!("/proc/{pid}/task");
        let mut time = 0.0;
        for task in fs::read_dir(&tasks).map_err(Failure::while_("reading a process's time"))? {
            let Ok(task) = task else { continue };
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
            time += nanos.unwrap_or(0.0) / 1e9;
        }
        Ok(time)
    }

    /// The processor time that its threads of this name have had, in seconds.
    ///
    /// # Errors
    /// When it does not run, or has none.
    pub fn sigplane_thread_time(&self, name: &str) -> Result<f64> {
        let pid = self.sigplane.as_ref().map_or(0, Process::pid);
        let tasks = format!("/proc/{pid}/task");
        let mut time = None;
        for task in fs::read_dir(&tasks).map_err(Failure::while_("reading a process's time"))? {
            let Ok(task) = task else { continue };
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            if read("comm").trim() == name {
                let text = read("schedstat");
                let nanos = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
                *time.get_or_insert(0.0) += nanos.unwrap_or(0.0) / 1e9;
            }
        }
        time.ok_or_else(|| Failure::new(format!("there is no thread {name}")))
    }

    /// What the daemons have said so far.
    #[must_use]
    pub fn daemons_said(&self) -> String {
        let all = [&self.dataplane, &self.sigplane].into_iter().flatten();
        all.map(|p| format!("--- {}\n{}\n", p.name(), p.tail(60)))
            .collect()
    }

    /// Whether both daemons run.
    pub fn daemons_run(&mut self) -> bool {
        let all = [&mut self.dataplane, &mut self.sigplane];
        all.into_iter()
            .all(|p| p.as_mut().is_some_and(Process::is_running))
    }

    /// Ends the signaling plane in order (SIGTERM).
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop_sigplane(&mut self) -> Result<()> {
        let Some(mut process) = self.sigplane.take() else {
            return Ok(());
        };
        process.signal(Signal::SIGTERM)?;
        process.wait(READY).map(drop)
    }

    /// Has the signaling plane read its files again (SIGHUP).
    ///
    /// # Errors
    /// When it does not run.
    pub fn reload_sigplane(&mut self) -> Result<()> {
        match self.sigplane.as_mut() {
            Some(process) => process.signal(Signal::SIGHUP),
            None => Err(Failure::new("the signaling plane does not run")),
        }
    }

    /// Puts the rows of the options into the database and has them read.
    ///
    /// # Errors
    /// When the database refuses them.
    pub fn fill_database(&self) -> Result<()> {
        self.sql(&self.options.rows())?;
        self.ctl().run(&["dispatcher", "reload"]).map(drop)
    }

    /// Waits until the planes have a session and the targets are known.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait_until_ready(&self) -> Result<()> {
        let ctl = self.ctl();
        wait::until("both planes connected", READY, || {
            ctl.status()
                .ok()
                .filter(|s| s.dataplane_up && s.targets > 0)
        })
        .map(drop)
        .map_err(|f| Failure::new(format!("{f}\n{}", self.daemons_said())))
    }

    /// Asks the database. Columns come separated by `|`, rows by lines.
    ///
    /// # Errors
    /// With what the database said.
    pub fn sql(&self, statement: &str) -> Result<String> {
        if let Some(server) = &self.mariadb {
            return server.sql(statement);
        }
        let mut command = Command::new("sqlite3");
        command
            .args(["-cmd", ".timeout 5000"])
            .arg(self.dir.join("state/tandem.db"));
        run(command.arg(statement))
    }

    /// The rows of the table of calls that have ended.
    ///
    /// # Errors
    /// With what SQLite said.
    pub fn cdr_count(&self) -> Result<u64> {
        let text = self.sql("SELECT count(*) FROM cdr")?;
        text.trim()
            .parse()
            .map_err(Failure::while_(format!("counting CDRs: `{text}`")))
    }

    /// Waits until no call and no flow is left in either plane, and `cdrs` CDRs are written.
    ///
    /// # Errors
    /// With what is still there.
    pub fn wait_until_quiet(&self, cdrs: u64, limit: Duration) -> Result<()> {
        let ctl = self.ctl();
        let quiet = || {
            let status = ctl.status().ok()?;
            let flows = ctl.counters().ok()?.value("flows");
            let written = self.cdr_count().ok()?;
            let done = (status.calls, status.flows, status.cdrs_pending, flows) == (0, 0, 0, 0);
            (done && written >= cdrs).then_some(written)
        };
        match wait::until("the end of all calls", limit, quiet) {
            Ok(written) if written == cdrs => Ok(()),
            Ok(written) => Err(Failure::new(format!("{written} CDRs for {cdrs} calls"))),
            Err(failure) => Err(Failure::new(format!(
                "{failure}; {:?}, {:?}, {:?}",
                ctl.status(),
                ctl.calls().map(|c| c.len()),
                self.cdr_count()
            ))),
        }
    }

    /// Starts a peer: a program in a namespace, on the peers' core.
    ///
    /// # Errors
    /// When it does not start.
    pub fn peer(
        &self,
        namespace: &Namespace,
        name: &str,
        program: &str,
        arguments: &[String],
        folder: &Path,
    ) -> Result<Process> {
        let mut command = namespace.command("taskset");
        command
            .args(["-c", PEER_CORE, program])
            .args(arguments)
            .current_dir(folder);
        Process::start(name, command, self.log(name))
    }

    /// A folder of a peer's own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn peer_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).map_err(Failure::while_(format!("making {}", path.display())))?;
        Ok(path)
    }

    /// A UDP socket of this process inside a namespace.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn udp(&self, namespace: &Namespace, local: SocketAddr) -> Result<UdpSocket> {
        namespace
            .enter(|| UdpSocket::bind(local).map_err(Failure::while_(format!("binding {local}"))))
    }

    /// Leaves everything running when this is dropped; [`Lab::remove`] ends it later.
    pub fn keep(mut self) {
        self.dataplane
            .iter_mut()
            .chain(self.sigplane.iter_mut())
            .for_each(Process::keep);
        self.janitor.dismiss();
    }

    /// Ends a laboratory that was kept: kills what runs in its namespaces and removes them.
    ///
    /// # Errors
    /// When the shell does not start.
    pub fn remove(name: &str) -> Result<()> {
        run(Command::new("sh").args(["-c", &sweep(&names(name), &folder(name))])).map(drop)
    }

    /// Whether a laboratory of this name exists.
    #[must_use]
    pub fn exists(name: &str) -> bool {
        names(name)
            .iter()
            .any(|n| Path::new("/run/netns").join(n).exists())
    }

    /// What the peers have written for people.
    fn peers_logs(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| {
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path())
        };
        let own = |p: &PathBuf| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("tandem-"))
        };
        let logs = entries(&self.dir.join("log")).filter(|p| !own(p));
        let errors = entries(&self.dir)
            .map(|p| p.join("errors.log"))
            .filter(|p| p.exists());
        logs.chain(errors).collect()
    }

    fn daemon(&self, name: &str) -> Result<Process> {
        let program = binary(name);
        if !program.exists() {
            let path = program.display();
            return Err(Failure::new(format!(
                "{path} is missing: build it with `make build`"
            )));
        }
        let mut command = self.appliance.command(program);
        command
            .arg("--config")
            .arg(self.config_file())
            .current_dir(&self.dir);
        let log = self.log(name);
        let before = fs::read_to_string(&log)
            .unwrap_or_default()
            .matches("ready")
            .count();
        let mut process = Process::start(name, command, log)?;
        process.wait_for_words("ready", before + 1, READY)?;
        Ok(process)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.daemons_said());
            for log in self.peers_logs() {
                let text = fs::read(&log).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines
                    .get(lines.len().saturating_sub(25)..)
                    .unwrap_or_default();
                eprintln!("--- {}\n{}", log.display(), tail.join("\n"));
            }
        }
    }
}

/// A shell that outlives this process for a moment and clears away what it made: it waits for the
/// end of its input, which comes when we say so and also when we are killed.
struct Janitor {
    shell: Option<Child>,
}

impl Janitor {
    fn start(names: &[String; 3], dir: &Path) -> Result<Self> {
        let script = format!("trap '' INT TERM HUP; cat; {}", sweep(names, dir));
        let shell = Command::new("setsid")
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::while_("starting the janitor"))?;
        Ok(Self { shell: Some(shell) })
    }

    /// Sends it home without work.
    fn dismiss(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

/// What clears a laboratory away. The processes in its namespaces are all its own.
fn sweep(names: &[String; 3], dir: &Path) -> String {
    let names = names.join(" ");
    format!(
        "for n in {names}; do \
           ip netns pids $n 2>/dev/null | xargs -r kill -9; \
           ip netns del $n 2>/dev/null; \
         done; {}; rm -rf {}",
        cgroup::sweep(&group(dir)),
        dir.display()
    )
}

/// The name of its control group.
fn group(dir: &Path) -> String {
    dir.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn names(name: &str) -> [String; 3] {
    ["carrier", "appliance", "core"].map(|side| format!("tnd-{name}-{side}"))
}

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tnd-{name}"))
}

/// A program of this build: beside the running one, or beside the folder of test programs.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    folder.join(name)
}

/// The path of one of sipp's scenarios.
#[must_use]
pub fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name)
}
