//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;
use std::fs;

use tandem_e2e::{Failure, Namespace, Result};

/// The processes of a namespace whose program has this name.
pub fn processes(namespace: &Namespace, program: &str) -> Result<Vec<u32>> {
    let all = namespace.run(&format!("ip netns pids {}", namespace.name()))?;
    Ok(all
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // The kernel keeps 15 characters.
            program.starts_with(name.trim()) && !name.trim().is_empty()
        })
        .collect())
}

/// Nanoseconds that each thread had a core so far, by process and thread.
pub struct Times(BTreeMap<(u32, String), (String, u64)>);

impl Times {
    /// Those of all threads of these processes.
    pub fn of(processes: &[u32]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for pid in processes {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(Failure::while_(
                format!("reading the threads of process {pid}"),
            ))?;
            for task in tasks.flatten() {
                let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
                let text = read("schedstat");
                let spent = text.split_whitespace().next().and_then(|n| n.parse().ok());
                let id = task.file_name().to_string_lossy().into_owned();
                let name = read("comm").trim().to_owned();
                all.insert((*pid, id), (name, spent.unwrap_or(0)));
            }
        }
        Ok(Self(all))
    }

    /// What they had since `before`, by name; threads of one name are summed.
    pub fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (id, (name, now)) in &self.0 {
            let then = before.0.get(id).map_or(0, |(_, ns)| *ns);
            *sums.entry(name.clone()).or_default() += now.saturating_sub(then);
        }
        sums
    }
}

/// Nanoseconds that this thread had a core so far.
pub fn this_thread() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Resident bytes of these processes, shared pages counted once each (proportional set size).
pub fn resident(processes: &[u32]) -> u64 {
    let pss = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with("Pss:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    processes.iter().filter_map(pss).sum::<u64>() * 1024
}
