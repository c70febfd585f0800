//! What happens in a second: two looks at the counters, and what became of them over time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use tandem_admin::{Counter, Plane, Port};

use crate::feed::Figures;

/// Seconds of history.
const HISTORY: usize = 240;

/// A port, in a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PortRates {
    pub(crate) name: String,
    pub(crate) up: Option<bool>,
    pub(crate) rx_pps: f64,
    pub(crate) tx_pps: f64,
    pub(crate) rx_mbps: f64,
    pub(crate) tx_mbps: f64,
    /// Packets that the device lost in a second: missed, errors, no buffer.
    pub(crate) lost_pps: f64,
    /// The same, since the start.
    pub(crate) lost: u64,
    pub(crate) rx_queues: u64,
    pub(crate) tx_queues: u64,
    /// Whether the card brings each flow to its worker.
    pub(crate) steered: bool,
    pub(crate) node: Option<u64>,
    /// Mbit/s, if known.
    pub(crate) speed: Option<u32>,
    /// `running`, `stalled` or `restarting`; empty for not known.
    pub(crate) state: String,
    /// The worker of each receive queue, and its packets in a second; none where the driver does not count by queue.
    pub(crate) queues: Vec<(u16, Option<f64>)>,
}

/// A worker of the dataplane, in a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkerRates {
    pub(crate) index: u64,
    pub(crate) busy_percent: f64,
    pub(crate) relayed_pps: f64,
    pub(crate) handed_off_pps: f64,
    /// Microseconds that half of the packets, and 99 of 100, were here at most; none without packets.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Times away for more than 1 ms, in a second and since the start.
    pub(crate) gaps: u64,
    pub(crate) all_gaps: u64,
    pub(crate) longest_gap_ms: f64,
}

/// What happens in a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) ports: Vec<PortRates>,
    pub(crate) workers: Vec<WorkerRates>,
    /// SIP workers: calls, and messages in a second.
    pub(crate) sip_workers: Vec<(u64, f64)>,
    /// Packets dropped by reason: in a second, and since the start; those that are none are left out.
    pub(crate) drops: Vec<(String, f64, u64)>,
    pub(crate) calls_per_s: f64,
    pub(crate) answered_per_s: f64,
    pub(crate) failed_per_s: f64,
    pub(crate) relayed_pps: f64,
    pub(crate) sip_pps: f64,
    pub(crate) drops_pps: f64,
    last: Look,
    /// Packets of each receive queue, by the port's name.
    queues: HashMap<String, Vec<Option<u64>>>,
    messages: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Look {
    at: u64,
    dataplane: HashMap<String, u64>,
    signaling: HashMap<String, u64>,
}

/// What a call may fail by, as counted.
const FAILED: [&str; 6] = [
    "calls_rejected",
    "calls_no_answer",
    "calls_no_target",
    "calls_no_dataplane",
    "calls_over_limit",
    "calls_media_refused",
];

/// Drops of the dataplane that do not begin with `drop_`.
const OTHER_DROPS: [&str; 14] = [
    "tx_full",
    "tx_link_down",
    "tx_too_long",
    "hand_off_full",
    "exception_policed",
    "exception_fragment_policed",
    "exception_ring_full",
    "sip_no_controller",
    "sip_ring_crowded",
    "sip_ring_reserved",
    "sip_ring_full",
    "sip_not_sent",
    "no_buffer",
    "tap_write_failed",
];

/// Ends of the names of a port's figures.
const OF_PORTS: [&str; 14] = [
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_missed",
    "rx_errors",
    "tx_errors",
    "rx_no_buffer",
    "rx_queues",
    "tx_queues",
    "steered",
    "numa_node",
    "link_up",
    "link_changes",
];

impl Rates {
    /// Looks at the counters.
    pub(crate) fn look(&mut self, figures: &Figures) {
        let of = |plane: Plane| {
            let all = figures.counters.iter().filter(|c| c.plane == plane);
            all.map(|Counter { name, value, .. }| (name.clone(), *value))
                .collect::<HashMap<_, _>>()
        };
        let now = Look {
            at: figures.taken_ms,
            dataplane: of(Plane::Dataplane),
            signaling: of(Plane::Signaling),
        };
        let before = std::mem::take(&mut self.last);
        // Without a look before, everything stands still.
        let seconds = match before.at {
            0 => f64::INFINITY,
            at => (now.at.saturating_sub(at) as f64 / 1e3).max(0.05),
        };
        let value = |map: &HashMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
        let rate_in = |then: &HashMap<String, u64>, map: &HashMap<String, u64>, name: &str| {
            // A counter that is new or went back belongs to another life of its process.
            let was = then.get(name).copied().unwrap_or(u64::MAX);
            value(map, name).saturating_sub(was) as f64 / seconds
        };
        let d = |name: &str| rate_in(&before.dataplane, &now.dataplane, name);
        let s = |name: &str| rate_in(&before.signaling, &now.signaling, name);
        self.calls_per_s = s("calls");
        self.answered_per_s = s("calls_answered");
        self.failed_per_s = FAILED.iter().map(|name| s(name)).sum();
        self.relayed_pps = d("relayed");
        self.sip_pps = d("sip");
        self.drops = drops(&now.dataplane, d);
        self.drops_pps = self.drops.iter().map(|(_, rate, _)| rate).sum();
        self.ports = ports(&now.dataplane, d);
        let before_queues = std::mem::replace(&mut self.queues, queues(&figures.ports));
        for port in &mut self.ports {
            if let Some(known) = figures.ports.iter().find(|p| p.name == port.name) {
                port.know(known, &before_queues, seconds);
            }
        }
        self.workers = workers(&now.dataplane, &before.dataplane, d);
        let messages: Vec<u64> = figures
            .status
            .sip_workers
            .iter()
            .map(|w| w.messages)
            .collect();
        let rates = figures.status.sip_workers.iter().enumerate().map(|(i, w)| {
            let was = self.messages.get(i).copied().unwrap_or(u64::MAX);
            (w.calls, w.messages.saturating_sub(was) as f64 / seconds)
        });
        self.sip_workers = rates.collect();
        self.messages = messages;
        self.last = now;
    }

    /// A figure of the signaling plane.
    pub(crate) fn signaling(&self, name: &str) -> Option<u64> {
        self.last.signaling.get(name).copied()
    }
}

/// Packets of each receive queue, by the port's name.
fn queues(ports: &[Port]) -> HashMap<String, Vec<Option<u64>>> {
    let of = |port: &Port| {
        let queues = port.rx_queues.iter();
        queues.map(|q| q.traffic.map(|t| t.packets)).collect()
    };
    ports.iter().map(|p| (p.name.clone(), of(p))).collect()
}

impl PortRates {
    /// What counters do not tell.
    fn know(&mut self, port: &Port, before: &HashMap<String, Vec<Option<u64>>>, seconds: f64) {
        self.speed = port.speed_mbps;
        self.state.clone_from(&port.state);
        let before = before.get(&port.name).map_or(&[][..], Vec::as_slice);
        let rate = |(index, queue): (usize, &tandem_admin::Queue)| {
            let was = before.get(index).copied().flatten().unwrap_or(u64::MAX);
            let rate = queue
                .traffic
                .map(|t| t.packets.saturating_sub(was) as f64 / seconds);
            (queue.worker, rate)
        };
        self.queues = port.rx_queues.iter().enumerate().map(rate).collect();
    }
}

fn drops(values: &HashMap<String, u64>, rate: impl Fn(&str) -> f64) -> Vec<(String, f64, u64)> {
    let mut drops: Vec<_> = values
        .iter()
        .filter(|(name, value)| {
            **value > 0 && (name.starts_with("drop_") || OTHER_DROPS.contains(&name.as_str()))
        })
        .map(|(name, value)| (name.clone(), rate(name), *value))
        .collect();
    drops.sort_by(|a, b| {
        b.1.total_cmp(&a.1)
            .then(b.2.cmp(&a.2))
            .then_with(|| a.0.cmp(&b.0))
    });
    drops
}

fn ports(values: &HashMap<String, u64>, rate: impl Fn(&str) -> f64) -> Vec<PortRates> {
    let mut names = BTreeSet::new();
    for name in values.keys() {
        let Some(rest) = name.strip_prefix("port_") else {
            continue;
        };
        let port = OF_PORTS
            .iter()
            .find_map(|end| rest.strip_suffix(end)?.strip_suffix('_'));
        if let Some(port) = port
            && !port.ends_with("_kernel")
        {
            names.insert(port.to_owned());
        }
    }
    let port = |name: String| {
        let figure = |what: &str| values.get(&format!("port_{name}_{what}")).copied();
        let rate = |what: &str| rate(&format!("port_{name}_{what}"));
        let losses = ["rx_missed", "rx_errors", "tx_errors", "rx_no_buffer"];
        PortRates {
            up: figure("link_up").map(|up| up != 0),
            rx_pps: rate("rx_packets"),
            tx_pps: rate("tx_packets"),
            rx_mbps: rate("rx_bytes") * 8.0 / 1e6,
            tx_mbps: rate("tx_bytes") * 8.0 / 1e6,
            lost_pps: losses.iter().map(|what| rate(what)).sum(),
            lost: total(losses.iter().filter_map(|what| figure(what))),
            rx_queues: figure("rx_queues").unwrap_or(0),
            tx_queues: figure("tx_queues").unwrap_or(0),
            steered: figure("steered") == Some(1),
            node: figure("numa_node"),
            queues: Vec::new(),
            speed: None,
            state: String::new(),
            name,
        }
    };
    names.into_iter().map(port).collect()
}

fn workers(
    values: &HashMap<String, u64>,
    before: &HashMap<String, u64>,
    rate: impl Fn(&str) -> f64,
) -> Vec<WorkerRates> {
    let mut latency: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for (name, value) in values {
        let Some((index, what)) = name
            .strip_prefix("worker_")
            .and_then(|rest| rest.split_once('_'))
        else {
            continue;
        };
        let Ok(index) = index.parse() else { continue };
        let buckets = latency.entry(index).or_default();
        if let Some(Ok(bound)) = what.strip_prefix("latency_").map(str::parse) {
            let was = match before.is_empty() {
                true => *value,
                false => before.get(name).copied().unwrap_or(0),
            };
            buckets.insert(bound, value.saturating_sub(was));
        }
    }
    let worker = |(index, buckets): (u64, BTreeMap<u64, u64>)| {
        let figure = |what: &str| values.get(&format!("worker_{index}_{what}")).copied();
        let rate = |what: &str| rate(&format!("worker_{index}_{what}"));
        let (busy, idle) = (rate("poll_busy_ns"), rate("poll_idle_ns"));
        let gaps = format!("worker_{index}_gaps");
        let now = values.get(&gaps).copied().unwrap_or(0);
        WorkerRates {
            index,
            busy_percent: if busy + idle > 0.0 {
                busy * 100.0 / (busy + idle)
            } else {
                0.0
            },
            relayed_pps: rate("relayed"),
            handed_off_pps: rate("handed_off"),
            p50_us: percentile(&buckets, 0.5),
            p99_us: percentile(&buckets, 0.99),
            gaps: now.saturating_sub(before.get(&gaps).copied().unwrap_or(now)),
            all_gaps: now,
            longest_gap_ms: figure("longest_gap_ns").unwrap_or(0) as f64 / 1e6,
        }
    };
    latency.into_iter().map(worker).collect()
}

/// The bound that so much of all packets is below, in microseconds.
fn percentile(buckets: &BTreeMap<u64, u64>, part: f64) -> Option<f64> {
    let all = total(buckets.values().copied());
    let wanted = (all as f64 * part).ceil();
    let mut sum: u64 = 0;
    for (bound, packets) in buckets {
        sum = sum.saturating_add(*packets);
        if *packets > 0 && sum as f64 >= wanted {
            return Some(*bound as f64 / 1e3);
        }
    }
    None
}

/// A sum that stays at the greatest number: whoever says such figures is broken, and we are not.
pub(crate) fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

/// What became of it over time, a place for each look.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) calls_per_s: VecDeque<u64>,
    pub(crate) calls: VecDeque<u64>,
    pub(crate) relayed_pps: VecDeque<u64>,
    pub(crate) drops_pps: VecDeque<u64>,
    pub(crate) busy: VecDeque<u64>,
}

impl History {
    fn look_at(series: &mut VecDeque<u64>, value: f64) {
        if series.len() >= HISTORY {
            series.pop_front();
        }
        series.push_back(if value.is_finite() {
            value.max(0.0).round() as u64
        } else {
            0
        });
    }

    /// A second more.
    pub(crate) fn look(&mut self, rates: &Rates, figures: &Figures) {
        let busiest = rates.workers.iter().map(|w| w.busy_percent);
        Self::look_at(&mut self.calls_per_s, rates.calls_per_s);
        Self::look_at(&mut self.calls, figures.counts.all as f64);
        Self::look_at(&mut self.relayed_pps, rates.relayed_pps);
        Self::look_at(&mut self.drops_pps, rates.drops_pps);
        Self::look_at(&mut self.busy, busiest.fold(0.0, f64::max));
    }

    /// A second of which nothing is known.
    pub(crate) fn gap(&mut self) {
        for series in [
            &mut self.calls_per_s,
            &mut self.calls,
            &mut self.relayed_pps,
            &mut self.drops_pps,
            &mut self.busy,
        ] {
            if !series.is_empty() {
                Self::look_at(series, 0.0);
            }
        }
    }
}
