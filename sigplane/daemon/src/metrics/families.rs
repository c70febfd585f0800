//! Metric families, as the library writes them.

use std::collections::BTreeMap;

use prometheus::proto;
use tandem_admin::{Alarm, Counter, Info, Plane, Target};
use tandem_call::histogram::Histogram;
use tandem_policy::routing::{Purpose, Usages};

use super::named::NAMED;
use super::names::{Names, latency_bucket};
use super::quality;
use crate::admin::total;

/// States of a target.
const STATES: [&str; 5] = ["active", "inactive", "probing", "disabled", "draining"];

/// What a scrape has, by name.
pub(super) struct Families<'a> {
    names: &'a Names,
    families: BTreeMap<String, proto::MetricFamily>,
}

/// A label.
type Label<'a> = (&'a str, &'a str);

impl<'a> Families<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Self {
            names,
            families: BTreeMap::new(),
        }
    }

    /// Sorted by name.
    pub(super) fn finish(self) -> Vec<proto::MetricFamily> {
        self.families.into_values().collect()
    }

    fn add(
        &mut self,
        name: &str,
        help: impl FnOnce() -> String,
        kind: proto::MetricType,
        metric: proto::Metric,
    ) {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let mut family = proto::MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: f64) {
        let metric = gauge(labels, value);
        self.add(name, || help.to_owned(), proto::MetricType::GAUGE, metric);
    }

    fn counter(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: f64) {
        let metric = counter(labels, value);
        self.add(name, || help.to_owned(), proto::MetricType::COUNTER, metric);
    }

    /// Who we are, and since when.
    pub(super) fn of_process(&mut self, info: &Info) {
        let node = info.node.to_string();
        let labels = [("version", info.version.as_str()), ("node", node.as_str())];
        let help = "1, with the version and the node.";
        self.gauge("tandem_build_info", help, &labels, 1.0);
        let help = "When the signaling plane started, in Unix seconds.";
        self.gauge(
            "tandem_start_time_seconds",
            help,
            &[],
            number(info.up_since),
        );
    }

    /// What each SIP worker has.
    pub(super) fn of_workers(&mut self, workers: &[Vec<Counter>]) {
        let value = |counters: &[Counter], name: &str| {
            let found = counters
                .iter()
                .find(|c| c.plane == Plane::Signaling && c.name == name);
            found.map_or(0, |c| c.value)
        };
        for (worker, counters) in workers.iter().enumerate() {
            let worker = worker.to_string();
            let labels = [("worker", worker.as_str())];
            let help = "Calls of a SIP worker in any state.";
            let calls = number(value(counters, "calls_now"));
            self.gauge("tandem_sip_worker_calls", help, &labels, calls);
            let requests = value(counters, "sip_requests_received");
            let messages = requests + value(counters, "sip_responses_received");
            let help = "SIP messages that a SIP worker took.";
            let name = "tandem_sip_worker_messages_total";
            self.counter(name, help, &labels, number(messages));
        }
    }

    /// What rules, trunks and tenants were used for: as many as the configuration has had.
    pub(super) fn usages(&mut self, usages: &Usages) {
        for (rule, requests) in usages.rules() {
            let labels = [("rule", rule.as_str())];
            let help = "Requests that went by a rule.";
            self.counter(
                "tandem_rule_requests_total",
                help,
                &labels,
                number(requests),
            );
        }
        for (purpose, name, used) in usages.all() {
            let kind = match purpose {
                Purpose::TrunkOut => "trunk_out",
                Purpose::TrunkIn => "trunk_in",
                Purpose::Tenant => "tenant",
            };
            let labels = [("kind", kind), ("name", name.as_str())];
            let help = "Calls of a trunk or a tenant, whether it has a limit or none.";
            let calls = number(used.calls);
            self.gauge("tandem_limited_calls", help, &labels, calls);
            let help = "Calls that a trunk or a tenant did not get, as of its limits.";
            let refused = number(used.refused);
            self.counter("tandem_limited_refused_total", help, &labels, refused);
        }
    }

    /// Counters and gauges of both planes, those that never moved included.
    pub(super) fn counters(&mut self, workers: Vec<Vec<Counter>>) {
        let mut all = total(workers);
        for name in NAMED {
            if !all.iter().any(|c| c.name == *name) {
                all.push(Counter {
                    plane: Plane::Signaling,
                    name: (*name).to_owned(),
                    value: 0,
                });
            }
        }
        let mut latency: BTreeMap<u16, Vec<(u64, u64)>> = BTreeMap::new();
        for Counter { plane, name, value } in all {
            if let Some((worker, bound)) = latency_bucket(&name) {
                latency.entry(worker).or_default().push((bound, value));
                continue;
            }
            let metric = self.names.metric(plane, &name);
            let plane = match plane {
                Plane::Dataplane => "dataplane",
                Plane::Signaling => "signaling",
            };
            let mut labels = vec![("plane", plane)];
            if let Some((name, value)) = &metric.label {
                labels.push((name, value));
            }
            let value = match metric.is_ns {
                true => number(value) / 1e9,
                false => number(value),
            };
            match metric.is_gauge {
                true => self.gauge(&metric.name, &metric.help, &labels, value),
                false => self.counter(&metric.name, &metric.help, &labels, value),
            }
        }
        for (worker, buckets) in latency {
            let help = || {
                "How long packets were in the dataplane at most: from the begin of the turn that received them to its end, of each worker.".to_owned()
            };
            let metric = latency_histogram(worker, &buckets);
            let name = "tandem_worker_latency_seconds";
            self.add(name, help, proto::MetricType::HISTOGRAM, metric);
        }
    }

    /// Histograms; those of a name are summed.
    pub(super) fn histograms(&mut self, all: impl Iterator<Item = (&'static str, Histogram)>) {
        let mut sums: BTreeMap<&str, Histogram> = BTreeMap::new();
        for (name, histogram) in all {
            match sums.get_mut(name) {
                Some(sum) => sum.add(&histogram),
                None => drop(sums.insert(name, histogram)),
            }
        }
        for (name, sum) in sums {
            let help = self.names.help(name);
            let kind = proto::MetricType::HISTOGRAM;
            self.add(&format!("tandem_{name}"), || help, kind, histogram(&sum));
        }
    }

    /// How calls sounded.
    pub(super) fn qualities(&mut self, all: &quality::All) {
        for (whose, figures) in all {
            let labels = [
                ("side", whose.side),
                ("trunk", whose.trunk.as_str()),
                ("tenant", whose.tenant.as_str()),
            ];
            for ((name, help, bounds), measured) in quality::MEASURED.iter().zip(figures) {
                let bucket = |(bound, count): (&f64, u64)| {
                    let mut bucket = proto::Bucket::default();
                    bucket.set_upper_bound(*bound);
                    bucket.set_cumulative_count(count);
                    bucket
                };
                let mut written = proto::Histogram::default();
                written.set_bucket(
                    bounds
                        .iter()
                        .zip(measured.cumulative())
                        .map(bucket)
                        .collect(),
                );
                written.set_sample_count(measured.count());
                written.set_sample_sum(measured.sum);
                let mut metric = labelled(&labels);
                metric.set_histogram(written);
                let kind = proto::MetricType::HISTOGRAM;
                self.add(name, || (*help).to_owned(), kind, metric);
            }
        }
    }

    /// What is wrong.
    pub(super) fn alarms(&mut self, alarms: &[Alarm]) {
        for alarm in alarms {
            let labels = [
                ("kind", alarm.kind.as_str()),
                ("subject", alarm.subject.as_str()),
            ];
            let help = "1 for each alarm that stands, as `tandemctl alarms` has them.";
            self.gauge("tandem_alarm", help, &labels, 1.0);
        }
    }

    /// The targets of the dispatcher table.
    pub(super) fn targets(&mut self, targets: &[Target]) {
        for target in targets {
            let (id, set) = (target.id.to_string(), target.set.to_string());
            let labels = [
                ("id", id.as_str()),
                ("set", set.as_str()),
                ("target", target.uri.as_str()),
            ];
            for state in STATES {
                let [id, set, uri] = labels;
                let is = f64::from(u8::from(target.state == state));
                let help = "1 for the state that a dispatcher target is in.";
                let labels = [id, set, uri, ("state", state)];
                self.gauge("tandem_dispatcher_target_state", help, &labels, is);
            }
            let help = "Calls that a dispatcher target has.";
            let calls = number(target.calls);
            self.gauge("tandem_dispatcher_target_calls", help, &labels, calls);
            let help = "Failures of a dispatcher target in a row.";
            let name = "tandem_dispatcher_target_failures";
            self.gauge(name, help, &labels, target.failures.into());
            let help = "Requests that a dispatcher target left unanswered.";
            let name = "tandem_dispatcher_target_timeouts_total";
            self.counter(name, help, &labels, number(target.timeouts));
            if let Some(us) = target.latency_last_us {
                let help = "Round trip of the last probe of a dispatcher target.";
                let name = "tandem_dispatcher_target_latency_seconds";
                self.gauge(name, help, &labels, number(us) / 1e6);
            }
        }
    }
}

/// Above 2^53 the last digits are lost, as everywhere in Prometheus.
#[allow(clippy::cast_precision_loss)]
const fn number(value: u64) -> f64 {
    value as f64
}

fn labelled(labels: &[Label<'_>]) -> proto::Metric {
    let label = |(name, value): &Label<'_>| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    proto::Metric::from_label(labels.iter().map(label).collect())
}

fn gauge(labels: &[Label<'_>], value: f64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: &[Label<'_>], value: f64) -> proto::Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

/// Bounds of the workers' latency in nanoseconds, of which each bucket there is on one side.
const LATENCY: [u64; 20] = [
    1_024,
    2_048,
    4_096,
    8_192,
    12_288,
    16_384,
    20_480,
    24_576,
    32_768,
    49_152,
    65_536,
    98_304,
    131_072,
    262_144,
    524_288,
    1_048_576,
    4_194_304,
    16_777_216,
    67_108_864,
    1_073_741_824,
];

/// A worker's histogram of what it has by bounds of its own. The sum is by the bounds, so an eighth too much at most.
fn latency_histogram(worker: u16, buckets: &[(u64, u64)]) -> proto::Metric {
    let packets = |most: u64| {
        let within = buckets.iter().filter(|(bound, _)| *bound <= most);
        within.map(|(_, packets)| packets).sum()
    };
    let bucket = |bound: u64| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(number(bound) / 1e9);
        bucket.set_cumulative_count(packets(bound));
        bucket
    };
    let mut written = proto::Histogram::default();
    written.set_bucket(LATENCY.into_iter().map(bucket).collect());
    written.set_sample_count(packets(u64::MAX));
    let sum = |(bound, packets): &(u64, u64)| number(*bound) * number(*packets) / 1e9;
    written.set_sample_sum(buckets.iter().map(sum).sum());
    let worker = worker.to_string();
    let mut metric = labelled(&[("plane", "dataplane"), ("worker", &worker)]);
    metric.set_histogram(written);
    metric
}

fn histogram(histogram: &Histogram) -> proto::Metric {
    let bucket = |(bound, count): (std::time::Duration, u64)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut written = proto::Histogram::default();
    written.set_bucket(histogram.cumulative().map(bucket).collect());
    written.set_sample_count(histogram.count());
    written.set_sample_sum(histogram.sum().as_secs_f64());
    let mut metric = labelled(&[]);
    metric.set_histogram(written);
    metric
}
