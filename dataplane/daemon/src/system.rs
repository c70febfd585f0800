//! What the daemon asks of the operating system besides sockets.

use std::fmt::Write as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tandem_config::Config;
use tracing::{info, warn};

/// Pins the calling thread to a core.
pub(crate) fn pin(core: u16) -> Result<(), Errno> {
    let mut cores = CpuSet::new();
    cores.set(core.into())?;
    sched_setaffinity(Pid::from_raw(0), &cores)
}

/// Makes something on a core, or where the kernel lets us: memory that is written there is of that core's node.
pub(crate) fn on_core<T: Send>(core: u16, make: impl FnOnce() -> T + Send) -> T {
    let there = || {
        // A core that cannot be had is said by the worker itself.
        let _ = pin(core);
        make()
    };
    std::thread::scope(|scope| match scope.spawn(there).join() {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Lets the calling thread's sleeps end as soon as they are over, and not 50 us later.
pub(crate) fn precise_sleep() {
    if let Err(error) = nix::sys::prctl::set_timerslack(1) {
        warn!("the timer slack cannot be set ({error}): pauses are longer than wanted");
    }
}

/// Keeps the kernel from using media ports for connections of its own: with the same address on
/// the TAP it would take them from calls. Best effort: it is namespaced, and may be read-only.
pub(crate) fn reserve_media_ports(config: &Config) {
    let file = Path::new("/proc/sys/net/ipv4/ip_local_reserved_ports");
    let present = std::fs::read_to_string(file).unwrap_or_default();
    let wanted = with_reserved(present.trim(), config);
    match std::fs::write(file, &wanted) {
        Ok(()) => info!("ports reserved in the kernel: {wanted}"),
        Err(error) => warn!(
            "media ports are not reserved in the kernel ({error}): set \
             net.ipv4.ip_local_reserved_ports to {wanted}"
        ),
    }
}

/// What was reserved before, and the media ports.
fn with_reserved(present: &str, config: &Config) -> String {
    let mut all = present.to_owned();
    let mut seen = Vec::new();
    for realm in &config.realms {
        if !seen.contains(&&realm.media_ports) {
            seen.push(&realm.media_ports);
            let comma = if all.is_empty() { "" } else { "," };
            let (first, last) = (realm.media_ports.start(), realm.media_ports.end());
            // Writing to a string does not fail.
            let _ = write!(all, "{comma}{first}-{last}");
        }
    }
    all
}
