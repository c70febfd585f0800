//! Waiting for something to be seen, never for time to pass.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Has Ctrl-C and SIGTERM end every wait with a failure, so that all is taken down in order.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn stop_on_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Default::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(Failure::while_("handling signals"))?;
    }
    Ok(())
}

/// Whether Ctrl-C or SIGTERM came.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Looks until `look` finds something, at most `limit`.
///
/// # Errors
/// When the time is over, with `what` was waited for; and after a signal.
pub fn until<T>(
    what: impl std::fmt::Display,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if interrupted() {
            return Err(Failure::new("interrupted"));
        }
        if begin.elapsed() >= limit {
            return Err(Failure::new(format!("{what}: not seen within {limit:?}")));
        }
        std::thread::sleep(STEP);
    }
}

/// Lets time pass while something else is at work, such as a caller that talks.
///
/// # Errors
/// After a signal.
pub fn pass(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    until("the time", time + STEP, || {
        (Instant::now() >= end).then_some(())
    })
}
