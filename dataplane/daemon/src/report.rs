//! The answer to the `Counters` command: every named counter of the process.

pub(crate) mod ports;

use std::collections::HashMap;
use std::sync::Arc;

use tandem_link::CounterValue;
use tandem_relay::Counters;

use crate::control::WorkerLink;
use crate::counters::{ControlCounters, Counter, ExceptionCounters, WorkerCounters};
use crate::ports::{Pools, StartedPort};
use crate::worker::pace::Pace;

/// One relay's counters, on their way from its worker.
#[derive(Debug, Default)]
pub(crate) struct RelayCounts(pub(crate) Counters);

/// Sums of the relays' counters.
pub(crate) type Sums = Vec<(&'static str, u64)>;

/// Where the counters are.
pub(crate) struct Reporter {
    pub(crate) control: ControlCounters,
    pub(crate) exception: Arc<ExceptionCounters>,
    pub(crate) resyncs: Arc<Counter>,
    pub(crate) ports: Vec<StartedPort>,
    pub(crate) pools: Pools,
    /// Commands that some workers have answered: how many, and the sums so far.
    gathered: HashMap<u64, (usize, Sums)>,
}

impl Reporter {
    pub(crate) fn new(
        exception: Arc<ExceptionCounters>,
        resyncs: Arc<Counter>,
        ports: Vec<StartedPort>,
        pools: Pools,
    ) -> Self {
        let control = ControlCounters::default();
        Self {
            control,
            exception,
            resyncs,
            ports,
            pools,
            gathered: HashMap::new(),
        }
    }

    /// Adds one worker's relay. Answers the sums when it was the last one.
    pub(crate) fn add(&mut self, seq: u64, counts: &RelayCounts, workers: usize) -> Option<Sums> {
        let (answered, sums) = self.gathered.entry(seq).or_default();
        *answered += 1;
        add(sums, counts.0.iter());
        if *answered < workers {
            return None;
        }
        self.gathered.remove(&seq).map(|(_, sums)| sums)
    }

    /// Open commands will not be answered any more.
    pub(crate) fn forget(&mut self) {
        self.gathered.clear();
    }

    /// Everything.
    pub(crate) fn values(
        &self,
        relays: &Sums,
        workers: &[WorkerLink],
        gauges: &[(&str, usize)],
    ) -> Vec<CounterValue> {
        let mut sums = relays.clone();
        for worker in workers {
            add(&mut sums, worker.counters.all());
        }
        add(&mut sums, self.exception.all());
        add(&mut sums, self.control.all());
        let mut values: Vec<_> = sums.into_iter().map(|(n, v)| value(n, v)).collect();
        values.push(value("netlink_resyncs", self.resyncs.value()));
        values.extend(gauges.iter().map(|(n, v)| value(n, *v as u64)));
        let (buffers, free) = self.pools.buffers();
        values.push(value("mbufs", buffers));
        values.push(value("mbufs_in_use", buffers.saturating_sub(free)));
        for (index, worker) in workers.iter().enumerate() {
            busy(index, &worker.counters, &mut values);
            pace(index, &worker.pace, &mut values);
        }
        let gaps = workers.iter().map(|worker| worker.pace.gaps.value());
        values.push(value("poll_gaps", gaps.sum()));
        for port in &self.ports {
            values.extend(ports::counters(port));
        }
        values
    }
}

fn add(sums: &mut Sums, values: impl Iterator<Item = (&'static str, u64)>) {
    for (name, value) in values {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.wrapping_add(value),
            None => sums.push((name, value)),
        }
    }
}

fn busy(index: usize, counters: &WorkerCounters, values: &mut Vec<CounterValue>) {
    for (what, counter) in [
        ("poll_busy", &counters.poll_busy),
        ("poll_idle", &counters.poll_idle),
        ("poll_busy_ns", &counters.poll_busy_ns),
        ("poll_idle_ns", &counters.poll_idle_ns),
        ("handed_off", &counters.handed_off),
        ("hand_off_full", &counters.hand_off_full),
    ] {
        values.push(value(&format!("worker_{index}_{what}"), counter.value()));
    }
}

/// How a worker keeps up. Of the latency: packets by the bound of their bucket in nanoseconds, where there are any.
fn pace(index: usize, pace: &Pace, values: &mut Vec<CounterValue>) {
    for (what, number) in [
        ("relayed", pace.relayed.value()),
        ("gaps", pace.gaps.value()),
        ("longest_gap_ns", pace.longest_gap_ns.value()),
    ] {
        values.push(value(&format!("worker_{index}_{what}"), number));
    }
    for (bound, packets) in pace.latency() {
        values.push(value(&format!("worker_{index}_latency_{bound}"), packets));
    }
}

fn value(name: &str, value: u64) -> CounterValue {
    CounterValue {
        name: name.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_by_name() {
        let mut sums = Sums::new();
        add(&mut sums, [("a", 1), ("b", 2)].into_iter());
        add(&mut sums, [("b", 3), ("c", 4)].into_iter());
        assert_eq!(sums, [("a", 1), ("b", 5), ("c", 4)]);
    }
}
