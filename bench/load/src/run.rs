//! The commands that send something.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_load::engine::{Engine, EngineError};
use tandem_load::figures::Figures;
use tandem_load::plan;
use tandem_load::profile::{Of, Profile, ProfileError};
use tandem_load::report::{self, Machine, Origin, Progress, Report, WriteError};
use tandem_load::search::{Search, Trial};
use tandem_load::socket::{self, SocketError};

use crate::Wanted;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("{0}")]
    Plan(String),
    #[error("{file}: there is no [search]: `tandem-load run` takes it", file = .0.display())]
    NoSearch(PathBuf),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{0} cannot be bound: is it an address of this machine, and free? {1}")]
    Bind(SocketAddr, std::io::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
    #[error("stopped")]
    Stopped,
}

/// One run.
pub(crate) fn run(wanted: &Wanted) -> Result<ExitCode, Failed> {
    let profile = Profile::read(&wanted.profile)?;
    if wanted.socket {
        let figures = by_socket(&profile, wanted)?;
        return report(&profile, wanted, Vec::new(), figures);
    }
    let mut bench = Bench::start(&profile, wanted)?;
    let figures = bench.run(&profile)?;
    report(&profile, wanted, Vec::new(), figures)
}

/// One run by the kernel's sockets.
fn by_socket(profile: &Profile, wanted: &Wanted) -> Result<Figures, Failed> {
    let stop = stop_on_signals()?;
    let agent = plan::agent(profile, seed()).map_err(Failed::Plan)?;
    let mut agent = agent
        .ok_or_else(|| Failed::Plan("--socket needs [calls] or [registrations]".to_owned()))?;
    if profile.calls.as_ref().is_some_and(|c| c.media) || profile.flood.is_some() {
        let problem =
            "--socket has no media and no floods: set calls.media = false, and leave [flood] out";
        return Err(Failed::Plan(problem.to_owned()));
    }
    let mut sockets = Vec::new();
    for address in plan::sip_addresses(profile).map_err(Failed::Plan)? {
        let socket = UdpSocket::bind(address).map_err(|error| Failed::Bind(address, error))?;
        sockets.push(socket);
    }
    let length = Duration::from_secs(profile.duration.into());
    let mut progress = Progress::new(&profile.name, profile.duration.into(), wanted.display());
    let figures = socket::run(&profile.name, &mut agent, &sockets, length, &mut |sample| {
        progress.second(sample);
        !stop.load(Ordering::Relaxed)
    })?;
    progress.end();
    Ok(figures)
}

/// Another run's names and numbers are other ones.
fn seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0)
}

/// The highest rate without loss.
pub(crate) fn search(wanted: &Wanted) -> Result<ExitCode, Failed> {
    let profile = Profile::read(&wanted.profile)?;
    let Some(bounds) = &profile.search else {
        return Err(Failed::NoSearch(wanted.profile.clone()));
    };
    let unit = match bounds.of {
        Of::CallsASecond => "calls a second",
        Of::Load if profile.calls.is_some() => "calls at once",
        Of::Load => "packets a second",
    };
    let mut bench = Bench::start(&profile, wanted)?;
    let mut search = Search::new(bounds);
    let mut best = Figures::default();
    while let Some(rate) = search.next() {
        let figures = bench.run(&plan::trial(&profile, bounds, rate))?;
        if bench.stop.load(Ordering::Relaxed) {
            return Err(Failed::Stopped);
        }
        let mut trial = Trial::new(rate, &figures, bounds.tolerance_ppm);
        if bounds.of == Of::CallsASecond {
            trial = trial.at_that_rate(&figures);
        }
        eprintln!("{rate:.0} {unit}: {}", trial.note());
        if trial.passed || search.passed.is_none() {
            best = figures;
        }
        search.tried(trial);
    }
    let trials = search.trials.iter().map(|trial| report::Trial {
        rate: trial.rate,
        carried: trial.passed,
        note: trial.note(),
    });
    let code = report(&profile, wanted, trials.collect(), best)?;
    println!("{}", search.finding(unit));
    Ok(if search.passed.is_some() {
        code
    } else {
        ExitCode::FAILURE
    })
}

/// What all runs of a process share.
struct Bench<'a> {
    engine: Engine,
    stop: Arc<AtomicBool>,
    wanted: &'a Wanted,
}

impl<'a> Bench<'a> {
    fn start(profile: &Profile, wanted: &'a Wanted) -> Result<Self, Failed> {
        let stop = stop_on_signals()?;
        let ports = profile.port.values().cloned().collect();
        let engine = Engine::start(&profile.generator, ports)?;
        engine.wait_for_links()?;
        Ok(Self {
            engine,
            stop,
            wanted,
        })
    }

    fn run(&mut self, profile: &Profile) -> Result<Figures, Failed> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let seed = u64::try_from(now.as_nanos()).unwrap_or(0);
        let mut load = plan::load(profile, seed).map_err(Failed::Plan)?;
        plan::flood(profile, &mut self.engine, &mut load).map_err(Failed::Plan)?;
        let mut progress = Progress::new(
            &profile.name,
            profile.duration.into(),
            self.wanted.display(),
        );
        let stop = &self.stop;
        let figures = self.engine.run(load, &mut |sample| {
            progress.second(sample);
            !stop.load(Ordering::Relaxed)
        })?;
        progress.end();
        Ok(figures)
    }
}

/// Writes what was asked for, and shows it in short.
fn report(
    profile: &Profile,
    wanted: &Wanted,
    trials: Vec<report::Trial>,
    figures: Figures,
) -> Result<ExitCode, Failed> {
    let origin = Origin {
        file: wanted.profile.display().to_string(),
        about: profile.about.clone(),
        text: std::fs::read_to_string(&wanted.profile).unwrap_or_default(),
        appliance: wanted.appliance.clone(),
    };
    let report = Report::new(origin, Machine::this(), &profile.pass, trials, figures);
    if let Some(path) = &wanted.json {
        report.write_json(path)?;
    }
    if let Some(path) = &wanted.html {
        report.write_page(path)?;
    }
    print!("{}", report.summary());
    Ok(if report.verdict.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Becomes true at SIGINT or SIGTERM: the run ends as at the end of its time. A second one ends the process.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let at_once = signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone());
        at_once.map_err(Failed::Signals)?;
        signal_hook::flag::register(signal, stop.clone()).map_err(Failed::Signals)?;
    }
    Ok(stop)
}
