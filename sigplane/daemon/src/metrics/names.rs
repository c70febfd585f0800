//! From the daemons' names of counters to Prometheus' names of metrics.

use std::collections::HashMap;

use tandem_admin::Plane;

use super::help::HELP;
use super::named::GAUGES;

/// What a name of the daemons is in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) is_gauge: bool,
    /// One at most besides the plane: the port or the worker.
    pub(super) label: Option<(&'static str, String)>,
    /// Of nanoseconds, to be seconds.
    pub(super) is_ns: bool,
}

/// What the DPDK ports count, and what that means.
const PORT: &[(&str, &str)] = &[
    (
        "kernel_rx_packets",
        "Packets that the kernel's interface below a virtual port received.",
    ),
    (
        "kernel_tx_packets",
        "Packets that the kernel's interface below a virtual port sent.",
    ),
    (
        "kernel_rx_dropped",
        "Packets that the kernel's interface below a virtual port did not take in.",
    ),
    (
        "kernel_tx_dropped",
        "Packets that the kernel's interface below a virtual port did not send.",
    ),
    (
        "kernel_tx_errors",
        "Errors of the kernel's interface below a virtual port in sending.",
    ),
    ("rx_packets", "Packets that a port received."),
    ("tx_packets", "Packets that a port sent."),
    ("rx_bytes", "Bytes that a port received."),
    ("tx_bytes", "Bytes that a port sent."),
    (
        "rx_missed",
        "Packets that a port had no room for: its queues were full.",
    ),
    ("rx_errors", "Packets that a port received with errors."),
    ("tx_errors", "Packets that a port failed to send."),
    (
        "rx_no_buffer",
        "Times that a port found no buffer to receive into.",
    ),
    ("link_up", "1 while a port has a link."),
    ("link_changes", "Times that a port's link came or went."),
    ("rx_queues", "Receive queues of a port."),
    ("tx_queues", "Transmit queues of a port."),
    (
        "rx_descriptors",
        "Descriptors of each receive queue of a port.",
    ),
    (
        "tx_descriptors",
        "Descriptors of each transmit queue of a port.",
    ),
    (
        "steered",
        "1 while a port brings media to the worker that owns its flow; 0 while workers hand it over.",
    ),
    ("numa_node", "The NUMA node that a port is on."),
];

/// Those of them that fall as well as rise.
const PORT_GAUGES: &[&str] = &[
    "link_up",
    "rx_queues",
    "tx_queues",
    "rx_descriptors",
    "tx_descriptors",
    "steered",
    "numa_node",
];

/// What a dataplane worker counts for itself.
const WORKER: &[(&str, &str)] = &[
    (
        "poll_idle_ns",
        "Time of the turns of a worker's poll loop that found nothing, sleep included.",
    ),
    ("relayed", "Packets that a worker relayed."),
    ("gaps", "Times that a worker was away for more than 1 ms."),
    (
        "longest_gap_ns",
        "The longest time that a worker was away, since the start.",
    ),
    (
        "poll_busy_ns",
        "Time of the turns of a worker's poll loop that found something to do.",
    ),
    (
        "poll_busy",
        "Turns of a worker's poll loop that found something to do.",
    ),
    (
        "poll_idle",
        "Turns of a worker's poll loop that found nothing.",
    ),
    (
        "handed_off",
        "Packets that a worker received for flows of others, given to them.",
    ),
    (
        "hand_off_full",
        "The same, without room on the way: dropped.",
    ),
];

/// All names, once.
pub(super) struct Names {
    help: HashMap<&'static str, &'static str>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            help: HELP.iter().copied().collect(),
        }
    }

    /// The help text of a histogram, or of any other declared name.
    pub(super) fn help(&self, name: &str) -> String {
        match self.help.get(name) {
            Some(help) => (*help).to_owned(),
            // Declared nowhere: the test of the metrics finds these.
            None => format!("{}.", name.replace('_', " ")),
        }
    }

    /// The metric of a counter or gauge.
    pub(super) fn metric(&self, plane: Plane, name: &str) -> Metric {
        if plane == Plane::Dataplane
            && let Some(metric) = of_port(name).or_else(|| of_worker(name))
        {
            return metric;
        }
        let is_gauge = GAUGES.contains(&name);
        let is_ns = name.ends_with("_ns");
        Metric {
            name: written(name, is_gauge),
            help: self.help(name),
            is_gauge,
            label: None,
            is_ns,
        }
    }
}

/// `port_NAME_rx_packets`
fn of_port(name: &str) -> Option<Metric> {
    let rest = name.strip_prefix("port_")?;
    let fits = |(what, help): &(&'static str, &'static str)| {
        let port = rest.strip_suffix(what)?.strip_suffix('_')?;
        Some((port.to_owned(), *what, *help))
    };
    let (port, what, help) = PORT.iter().find_map(fits)?;
    let is_gauge = PORT_GAUGES.contains(&what);
    Some(Metric {
        name: written(&format!("port_{what}"), is_gauge),
        help: help.to_owned(),
        is_gauge,
        label: Some(("port", port)),
        is_ns: false,
    })
}

/// `worker_N_poll_busy`
fn of_worker(name: &str) -> Option<Metric> {
    let (worker, what) = name.strip_prefix("worker_")?.split_once('_')?;
    let number: u16 = worker.parse().ok()?;
    let (what, help) = WORKER.iter().find(|(known, _)| *known == what)?;
    let is_gauge = *what == "longest_gap_ns";
    Some(Metric {
        name: written(&format!("worker_{what}"), is_gauge),
        help: (*help).to_owned(),
        is_gauge,
        label: Some(("worker", number.to_string())),
        is_ns: what.ends_with("_ns"),
    })
}

/// `worker_N_latency_BOUND`: the worker, and the bound of a bucket in nanoseconds.
pub(super) fn latency_bucket(name: &str) -> Option<(u16, u64)> {
    let (worker, what) = name.strip_prefix("worker_")?.split_once('_')?;
    let bound = what.strip_prefix("latency_")?;
    Some((worker.parse().ok()?, bound.parse().ok()?))
}

/// `tandem_…`, with the unit that Prometheus wants, and `_total` for what only rises.
fn written(name: &str, is_gauge: bool) -> String {
    let name = match name.strip_suffix("_ns") {
        Some(name) => format!("{name}_seconds"),
        None => name.to_owned(),
    };
    match is_gauge {
        true => format!("tandem_{name}"),
        false => format!("tandem_{name}_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::named::NAMED;
    use super::*;

    #[test]
    fn names_have_units_labels_and_total() {
        let names = Names::new();
        let metric = |name| {
            let m = names.metric(Plane::Dataplane, name);
            let label = m.label.map(|(name, value)| format!("{name}={value}"));
            (m.name, label.unwrap_or_default(), m.is_gauge)
        };
        let is = |name: &str, label: &str, gauge| (name.to_owned(), label.to_owned(), gauge);
        assert_eq!(metric("relayed"), is("tandem_relayed_total", "", false));
        assert_eq!(metric("flows"), is("tandem_flows", "", true));
        assert_eq!(
            metric("port_car_rier_kernel_rx_packets"),
            is(
                "tandem_port_kernel_rx_packets_total",
                "port=car_rier",
                false
            )
        );
        assert_eq!(
            metric("port_core_link_up"),
            is("tandem_port_link_up", "port=core", true)
        );
        assert_eq!(
            metric("worker_3_poll_busy_ns"),
            is("tandem_worker_poll_busy_seconds_total", "worker=3", false)
        );
        assert_eq!(
            metric("poll_busy_ns"),
            is("tandem_poll_busy_seconds_total", "", false)
        );
    }

    #[test]
    fn each_name_is_declared_once_with_a_text() {
        let names = Names::new();
        for name in NAMED.iter().chain(GAUGES) {
            assert!(names.help.contains_key(name), "{name}");
        }
        assert!(HELP.iter().all(|(_, help)| help.ends_with('.')), "{HELP:?}");
        // Both planes have some of the same name; what they mean is the same then.
        assert!(HELP.len() > 300);
    }
}
