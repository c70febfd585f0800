//! The commands that send something.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tandem_load::engine::{Engine, EngineError};
use tandem_load::figures::Figures;
use tandem_load::plan;
use tandem_load::profile::{Profile, ProfileError};

use crate::Wanted;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("{0}")]
    Plan(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{file}: {error}", file = .0.display(), error = .1)]
    Write(PathBuf, std::io::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
}

impl Failed {
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Profile(_) | Self::Plan(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// One run.
pub(crate) fn run(wanted: &Wanted) -> Result<ExitCode, Failed> {
    let profile = Profile::read(&wanted.profile)?;
    let stop = stop_on_signals()?;
    let mut engine = Engine::start(&profile.generator, profile.port.values().cloned().collect())?;
    engine.wait_for_links()?;
    let load = plan::load(&profile).map_err(Failed::Plan)?;
    let figures = engine.run(load, &mut |sample| {
        if !wanted.quiet {
            let rtp = &sample.rtp;
            eprintln!(
                "{:6.1} s  sent {}  received {}  lost {}  busy {:.0} %",
                sample.at_s,
                rtp.sent,
                rtp.received,
                rtp.lost,
                sample.generator.busy_percent()
            );
        }
        !stop.load(Ordering::Relaxed)
    })?;
    write(wanted, &figures)?;
    Ok(ExitCode::SUCCESS)
}

/// The highest rate without loss.
pub(crate) fn search(wanted: &Wanted) -> Result<ExitCode, Failed> {
    run(wanted)
}

fn write(wanted: &Wanted, figures: &Figures) -> Result<(), Failed> {
    if let Some(path) = &wanted.json {
        let text = serde_json::to_string(figures).unwrap_or_default();
        std::fs::write(path, text).map_err(|e| Failed::Write(path.clone(), e))?;
    }
    Ok(())
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
