//! CPU time and memory of processes, from `/proc`.

use std::fs;

use tandem_e2e::{Failure, Namespace, Result};

/// The processes of a namespace whose program has this name.
pub(crate) fn processes(namespace: &Namespace, program: &str) -> Result<Vec<u32>> {
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

/// Nanoseconds on a core so far, of all threads of these processes.
pub(crate) fn nanoseconds(processes: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in processes {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(Failure::while_(format!(
            "reading the threads of process {pid}"
        )))?;
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split_whitespace().next();
            sum += first.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Nanoseconds so far by the threads' names.
pub(crate) fn by_thread(processes: &[u32]) -> std::collections::BTreeMap<String, u64> {
    let mut all = std::collections::BTreeMap::new();
    for pid in processes {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        for task in tasks.flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split_whitespace().next();
            let spent = first.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            *all.entry(name.trim().to_owned()).or_default() += spent;
        }
    }
    all
}

/// Resident bytes of these processes, shared pages counted once each (proportional set size).
pub(crate) fn resident(processes: &[u32]) -> u64 {
    let pss = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with("Pss:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    processes.iter().filter_map(pss).sum::<u64>() * 1024
}
