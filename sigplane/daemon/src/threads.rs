//! The SIP workers' threads: how many, on which cores, and together from the first to the last moment.

mod beat;

use std::io;
use std::num::NonZero;
use std::thread::{self, JoinHandle};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sd_notify::NotifyState;
use tandem_config::Config;

use crate::startup::StartError;
use crate::worker::Worker;
pub(crate) use beat::Beat;

/// The most that are started unasked: each has its part of the media ports, and one alone serves thousands of calls
/// a second.
const MOST: usize = 8;

/// How many workers share the calls: as many as the configuration says, else as many as there are CPUs that the
/// dataplane's workers leave.
pub(crate) fn workers(config: &Config) -> u16 {
    config.sip.workers.unwrap_or_else(|| {
        let cpus = thread::available_parallelism().map_or(1, NonZero::get);
        let left = cpus.saturating_sub(config.dataplane.workers.len());
        u16::try_from(left.clamp(1, MOST)).unwrap_or(1)
    })
}

/// Whether this process may run on these cores.
pub(crate) fn check(cores: &[u16]) -> Result<(), StartError> {
    if cores.is_empty() {
        return Ok(());
    }
    let ours = sched_getaffinity(Pid::from_raw(0))?;
    let missing = |core: &&u16| !ours.is_set(usize::from(**core)).unwrap_or(false);
    match cores.iter().find(missing) {
        Some(core) => Err(StartError::Core(*core)),
        None => Ok(()),
    }
}

/// Has the workers serve, the first one in this thread, until a signal ends them all.
pub(crate) fn serve(workers: Vec<Worker>, cores: &[u16]) -> Result<(), StartError> {
    let beat = Beat::first(workers.len());
    let mut workers = workers.into_iter();
    let Some(first) = workers.next() else {
        return Ok(());
    };
    let mut threads = Vec::new();
    for (number, worker) in (1..).zip(workers) {
        threads.push(spawn(
            number,
            worker,
            beat.of(number),
            cores.get(number).copied(),
        )?);
    }
    // After the others: a thread begins where the one is that starts it.
    pin(0, cores.first().copied());
    tracing::info!("ready, {} SIP workers", threads.len() + 1);
    tell_manager(&[NotifyState::Ready]);
    first.serve(beat);
    tell_manager(&[NotifyState::Stopping]);
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a SIP worker had died");
        }
    }
    Ok(())
}

fn spawn(
    number: usize,
    worker: Worker,
    beat: Beat,
    core: Option<u16>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("sip-{number}"))
        .spawn(move || {
            let _together = Together;
            pin(number, core);
            worker.serve(beat);
        })
}

/// A worker that dies takes the process with it: the next life takes the calls up, and here they would be nobody's.
/// (In an optimised build every panic does.)
struct Together;

impl Drop for Together {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// Slower is better than not at all.
fn pin(number: usize, core: Option<u16>) {
    let Some(core) = core else { return };
    let mut set = CpuSet::new();
    let pinned = set
        .set(usize::from(core))
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    if let Err(error) = pinned {
        tracing::error!("SIP worker {number} is not pinned to core {core}: {error}");
    }
}

fn tell_manager(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}
