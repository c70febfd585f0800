//! What registrations take in memory, and what is left of them after a SIGKILL.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use tandem_e2e::{Failure, Result, wait};

use crate::system::{Running, System, pin};
use tandem_bench_peers::cpu;

use crate::{KAMAILIO_LINGERS, kamailio};

/// Our transactions end 32 s after the last answer.
const QUIET: Duration = Duration::from_secs(60);
/// All users are there again within this time.
const BACK: Duration = Duration::from_secs(60);

/// What is taken at one moment, in bytes.
pub(crate) struct Moment {
    /// Resident, of all processes, shared pages once.
    resident: u64,
    /// Of Kamailio's shared memory, by its own reckoning.
    shared: Option<u64>,
    /// Of the journal's files, and how much of it counts.
    journal: Option<(u64, u64)>,
}

/// Bytes a registration.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Resident after all have registered and transactions have ended. What the reading of the subscribers has left
    /// behind may serve for some of it.
    pub(crate) resident: f64,
    /// How much that has grown when all have refreshed.
    pub(crate) refreshed: f64,
    /// Of Kamailio's shared memory, by its own reckoning, after both.
    pub(crate) shared: Option<[f64; 2]>,
    /// Of the journal's files after both, and how much of that still counts.
    pub(crate) journal: Option<[f64; 2]>,
}

/// A SIGKILL to the signaling plane.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Restart {
    /// Until the daemon said that it is ready.
    pub(crate) ready_ms: u64,
    /// Until it was seen that all users are registered.
    pub(crate) users_ms: u64,
    pub(crate) users: u64,
    /// Bytes that are resident then.
    pub(crate) resident: u64,
}

impl Moment {
    pub(crate) fn now(running: &Running) -> Result<Self> {
        let resident = cpu::resident(&running.signaling()?);
        let mut moment = Self {
            resident,
            shared: None,
            journal: None,
        };
        if running.system == System::Kamailio {
            moment.shared = Some(kamailio::shared_memory(&running.lab)?);
        } else {
            let counters = running.lab.ctl().counters()?;
            let value = |name| counters.value(name);
            moment.journal = Some((value("journal_bytes"), value("journal_live_bytes")));
        }
        Ok(moment)
    }
}

impl Memory {
    pub(crate) fn of(users: u32, begin: &Moment, first: &Moment, refreshed: &Moment) -> Self {
        let each = |now: u64, before: u64| (now as f64 - before as f64) / f64::from(users);
        let shared = [first.shared, refreshed.shared].map(|s| Some(each(s?, begin.shared?)));
        let journal = |size: fn((u64, u64)) -> u64| {
            Some(each(size(refreshed.journal?), size(begin.journal?)))
        };
        Self {
            resident: each(first.resident, begin.resident),
            refreshed: each(refreshed.resident, first.resident),
            shared: match shared {
                [Some(first), Some(both)] => Some([first, both]),
                _ => None,
            },
            journal: journal(|(all, _)| all)
                .zip(journal(|(_, live)| live))
                .map(|(all, live)| [all, live]),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} bytes resident a registration; {:+.0} when all have refreshed",
            self.resident, self.refreshed
        )?;
        if let Some([first, both]) = self.shared {
            write!(f, "; of its shared memory {first:.0}, then {both:.0}")?;
        }
        if let Some([all, live]) = self.journal {
            write!(f, "; journal {all:.0}, of which {live:.0} count")?;
        }
        Ok(())
    }
}

impl Restart {
    /// Bytes that each registration takes, beside a start with few: both have just read the same subscribers, and neither
    /// has had a transaction.
    pub(crate) fn each(&self, few: &Self) -> f64 {
        let more = self.users.saturating_sub(few.users).max(1);
        (self.resident as f64 - few.resident as f64) / more as f64
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after a SIGKILL ready in {} ms, {} users seen registered after {} ms, {:.1} MB resident",
            self.ready_ms,
            self.users,
            self.users_ms,
            self.resident as f64 / 1e6
        )
    }
}

/// Waits until nothing but the registrations is left.
pub(crate) fn wait_until_quiet(running: &Running) -> Result<()> {
    if running.system == System::Kamailio {
        return wait::pass(KAMAILIO_LINGERS);
    }
    let quiet = || {
        let counters = running.lab.ctl().counters().ok()?;
        (counters.value("transactions_server_now") == 0).then_some(())
    };
    wait::until("the end of the transactions", QUIET, quiet)
}

/// Fails unless so many users of ours are registered.
pub(crate) fn expect_users(running: &Running, count: u32) -> Result<()> {
    match users(running)? {
        seen if seen == u64::from(count) => Ok(()),
        seen => Err(Failure::new(format!(
            "{count} users have registered, {seen} are"
        ))),
    }
}

/// Kills the signaling plane and starts it again.
pub(crate) fn restart(running: &mut Running, count: u32) -> Result<Restart> {
    running.lab.kill_sigplane();
    let begin = Instant::now();
    let since = |begin: Instant| u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    running.lab.start_sigplane()?;
    let ready_ms = since(begin);
    let back = wait::until("the users after a SIGKILL", BACK, || {
        users(running).ok().filter(|n| *n == u64::from(count))
    });
    let users_ms = since(begin);
    if back.is_err() {
        expect_users(running, count)?;
    }
    pin(&running.lab)?;
    running.lab.wait_until_ready()?;
    Ok(Restart {
        ready_ms,
        users_ms,
        users: users(running)?,
        resident: cpu::resident(&running.signaling()?),
    })
}

fn users(running: &Running) -> Result<u64> {
    Ok(running.lab.ctl().counters()?.value("registered_users_now"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_was_added_for_each() {
        let moment = |resident, shared| Moment {
            resident,
            shared: Some(shared),
            journal: None,
        };
        let memory = Memory::of(
            10,
            &moment(1_000, 50),
            &moment(4_000, 150),
            &moment(3_900, 160),
        );
        assert_eq!((memory.resident, memory.refreshed), (300.0, -10.0));
        assert_eq!(memory.shared, Some([10.0, 11.0]));
        assert_eq!(memory.journal, None);
        let restart = |resident, users| Restart {
            ready_ms: 1,
            users_ms: 1,
            users,
            resident,
        };
        assert_eq!(restart(5_000, 12).each(&restart(2_000, 2)), 300.0);
    }
}
