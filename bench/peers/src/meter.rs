//! What a system under test spends between two moments.

use std::collections::BTreeMap;

use tandem_e2e::{Lab, Result};

use crate::system::{Running, System};
use tandem_bench_peers::cpu::Times;

/// Begun at a moment.
pub(crate) struct Meter<'a> {
    running: &'a Running,
    signaling: (Vec<u32>, Times),
    dataplane: (Vec<u32>, Times),
    busy: u64,
}

/// Nanoseconds of CPU time since then, by threads' names.
pub(crate) struct Spent {
    signaling: BTreeMap<String, u64>,
    dataplane: BTreeMap<String, u64>,
    /// That the dataplane's workers had something to do, by the clock.
    busy: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(running: &'a Running) -> Result<Self> {
        let (signaling, dataplane) = (running.signaling()?, running.dataplane()?);
        let busy = busy(running)?;
        let before = (Times::of(&signaling)?, Times::of(&dataplane)?);
        Ok(Self {
            running,
            signaling: (signaling, before.0),
            dataplane: (dataplane, before.1),
            busy,
        })
    }

    pub(crate) fn stop(self) -> Result<Spent> {
        let since = |(pids, before): &(Vec<u32>, Times)| Ok(Times::of(pids)?.since(before));
        Ok(Spent {
            signaling: since(&self.signaling)?,
            dataplane: since(&self.dataplane)?,
            busy: busy(self.running)?.saturating_sub(self.busy),
        })
    }
}

impl Spent {
    /// Of the signaling plane, or of Kamailio.
    pub(crate) fn signaling(&self) -> u64 {
        self.signaling.values().sum()
    }

    /// Of the dataplane's workers, while they had something to do.
    pub(crate) fn workers(&self) -> u64 {
        self.busy.min(self.dataplane(true))
    }

    /// Of the dataplane's other threads.
    pub(crate) fn others(&self) -> u64 {
        self.dataplane(false)
    }

    fn dataplane(&self, of_workers: bool) -> u64 {
        let is_worker = |name: &str| name.starts_with("worker-");
        let all = self.dataplane.iter();
        let wanted = all.filter(|(name, _)| is_worker(name) == of_workers);
        wanted.map(|(_, ns)| ns).sum()
    }

    /// Shows the threads' shares, for so many calls.
    pub(crate) fn print(&self, calls: u64) {
        let us = |ns: u64| ns as f64 / 1e3 / calls as f64;
        for (name, ns) in self.signaling.iter().chain(&self.dataplane) {
            println!("    {name}: {:.1} us each", us(*ns));
        }
        println!(
            "    workers' turns by the clock: {:.1} us each",
            us(self.busy)
        );
    }
}

fn busy(running: &Running) -> Result<u64> {
    match running.system {
        System::Kamailio => Ok(0),
        System::Rings | System::Kernel => workers_busy(&running.lab),
    }
}

fn workers_busy(lab: &Lab) -> Result<u64> {
    let counters = lab.ctl().counters()?;
    Ok((0..64)
        .map(|w| counters.value(&format!("worker_{w}_poll_busy_ns")))
        .sum())
}
