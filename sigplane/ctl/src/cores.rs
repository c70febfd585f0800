//! `tandemctl cores`: how the dataplane's workers keep up, over a while.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tandem_admin::{Counter, Plane, method};

use crate::client::{Client, Failure};
use crate::show::{ask, print};
use crate::table::table;

/// A worker, over a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct CoreFigures {
    worker: u16,
    /// Of its time, what its turns took that found something to do.
    load_percent: f64,
    packets_per_second: f64,
    /// How long packets were here at most, in microseconds; none without packets.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    /// Times that it was away for more than 1 ms.
    gaps: u64,
    /// The longest since the dataplane's start, in milliseconds.
    longest_gap_ms: f64,
}

/// A worker's figures since the start.
#[derive(Clone, Debug, Default)]
struct Since {
    named: BTreeMap<String, u64>,
    /// Packets by the bound of their bucket in nanoseconds.
    latency: BTreeMap<u64, u64>,
}

/// `tandemctl cores`
pub(crate) fn cores(client: &mut Client, json: bool, seconds: u32) -> Result<(), Failure> {
    let before = read(&ask::<Vec<Counter>>(client, method::STATISTICS)?);
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let after = read(&ask::<Vec<Counter>>(client, method::STATISTICS)?);
    let figures = figures(&before, &after);
    print(json, &figures, |all| {
        let us = |us: Option<f64>| us.map_or("-".to_owned(), |us| format!("{us:.1}"));
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|core| {
                vec![
                    core.worker.to_string(),
                    format!("{:.1}", core.load_percent),
                    format!("{:.0}", core.packets_per_second),
                    us(core.p50_us),
                    us(core.p99_us),
                    us(core.p999_us),
                    core.gaps.to_string(),
                    format!("{:.1}", core.longest_gap_ms),
                ]
            })
            .collect();
        table(
            &[
                ">worker",
                ">load %",
                ">packets/s",
                ">p50 us",
                ">p99 us",
                ">p99.9 us",
                ">gaps",
                ">longest gap ms",
            ],
            &rows,
        )
    })
}

fn read(counters: &[Counter]) -> BTreeMap<u16, Since> {
    let mut workers: BTreeMap<u16, Since> = BTreeMap::new();
    for counter in counters.iter().filter(|c| c.plane == Plane::Dataplane) {
        let Some((worker, what)) = counter
            .name
            .strip_prefix("worker_")
            .and_then(|rest| rest.split_once('_'))
        else {
            continue;
        };
        let Ok(worker) = worker.parse() else { continue };
        let since = workers.entry(worker).or_default();
        match what.strip_prefix("latency_").map(str::parse) {
            Some(Ok(bound)) => drop(since.latency.insert(bound, counter.value)),
            _ => drop(since.named.insert(what.to_owned(), counter.value)),
        }
    }
    workers
}

fn figures(before: &BTreeMap<u16, Since>, after: &BTreeMap<u16, Since>) -> Vec<CoreFigures> {
    let none = Since::default();
    let figures = |(worker, after): (&u16, &Since)| {
        let before = before.get(worker).unwrap_or(&none);
        let value = |since: &Since, name: &str| since.named.get(name).copied().unwrap_or(0);
        let delta = |name| value(after, name).saturating_sub(value(before, name));
        let busy = delta("poll_busy_ns") as f64;
        let time = (busy + delta("poll_idle_ns") as f64).max(1.0);
        let latency: Vec<(u64, u64)> = after
            .latency
            .iter()
            .map(|(bound, packets)| {
                let was = before.latency.get(bound).copied().unwrap_or(0);
                (*bound, packets.saturating_sub(was))
            })
            .collect();
        CoreFigures {
            worker: *worker,
            load_percent: busy * 100.0 / time,
            packets_per_second: delta("relayed") as f64 * 1e9 / time,
            p50_us: percentile(&latency, 0.5),
            p99_us: percentile(&latency, 0.99),
            p999_us: percentile(&latency, 0.999),
            gaps: delta("gaps"),
            longest_gap_ms: value(after, "longest_gap_ns") as f64 / 1e6,
        }
    };
    after.iter().map(figures).collect()
}

/// The bound that so much of all packets is below, in microseconds.
fn percentile(latency: &[(u64, u64)], part: f64) -> Option<f64> {
    let all: u64 = latency.iter().map(|(_, packets)| packets).sum();
    let wanted = (all as f64 * part).ceil();
    let mut sum = 0;
    for (bound, packets) in latency {
        sum += packets;
        if *packets > 0 && sum as f64 >= wanted {
            return Some(*bound as f64 / 1e3);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(all: &[(&str, u64)]) -> BTreeMap<u16, Since> {
        let counter = |(name, value): &(&str, u64)| Counter {
            plane: Plane::Dataplane,
            name: (*name).to_owned(),
            value: *value,
        };
        read(&all.iter().map(counter).collect::<Vec<_>>())
    }

    #[test]
    fn a_core_is_what_it_did_between_two_looks() {
        let before = counters(&[
            ("worker_1_poll_busy_ns", 1_000),
            ("worker_1_poll_idle_ns", 1_000),
            ("worker_1_relayed", 10),
            ("worker_1_latency_3072", 10),
            ("worker_1_gaps", 1),
            ("relayed", 5),
        ]);
        let after = counters(&[
            ("worker_1_poll_busy_ns", 250_001_000),
            ("worker_1_poll_idle_ns", 750_001_000),
            ("worker_1_relayed", 1_010),
            ("worker_1_latency_3072", 20),
            ("worker_1_latency_4096", 985),
            ("worker_1_latency_20480", 5),
            ("worker_1_gaps", 3),
            ("worker_1_longest_gap_ns", 4_500_000),
        ]);
        let expected = CoreFigures {
            worker: 1,
            load_percent: 25.0,
            packets_per_second: 1_000.0,
            p50_us: Some(4.096),
            p99_us: Some(4.096),
            p999_us: Some(20.48),
            gaps: 2,
            longest_gap_ms: 4.5,
        };
        assert_eq!(figures(&before, &after), [expected]);
        let still = figures(&after, &after);
        assert_eq!((still[0].p50_us, still[0].load_percent), (None, 0.0));
    }
}
