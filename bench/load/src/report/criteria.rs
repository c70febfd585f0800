//! What a profile asks for.

use serde::{Deserialize, Serialize};

use super::numbers::{count, micros};
use crate::figures::Figures;

/// Limits: the section `[pass]` of a profile. What is not given is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Criteria {
    /// Media packets lost.
    pub max_lost: Option<u64>,
    /// Media packets lost of a million.
    pub max_loss_ppm: Option<f64>,
    /// Media packets that came behind a later one.
    pub max_reordered: Option<u64>,
    /// Microseconds that 99 of 100 media packets take at most.
    pub max_p99_us: Option<f64>,
    /// Microseconds that 999 of 1,000 take at most.
    pub max_p999_us: Option<f64>,
    /// Microseconds of interarrival jitter that 99 of 100 packets see at most.
    pub max_jitter_p99_us: Option<f64>,
    /// Calls that did not come up.
    pub max_failed_calls: Option<u64>,
    /// The same, of 100 that were begun.
    pub max_failed_calls_percent: Option<f64>,
    /// Calls that ended before their time.
    pub max_cut_calls: Option<u64>,
    /// Calls answered in all.
    pub min_answered_calls: Option<u64>,
    /// Milliseconds from INVITE to 200 that 99 of 100 calls take at most.
    pub max_setup_p99_ms: Option<f64>,
    /// Messages that had to be sent again.
    pub max_retransmissions: Option<u64>,
    /// Registrations that failed.
    pub max_failed_registrations: Option<u64>,
    /// Registrations a second, over the run.
    pub min_registrations_per_s: Option<f64>,
    /// Media packets a second, over the run, that arrived.
    pub min_packets_per_s: Option<f64>,
    /// Frames of floods a second, over the run.
    pub min_flood_per_s: Option<f64>,
    /// Whether a run counts whose generator was the limit itself.
    pub generator_may_limit: bool,
}

/// One thing that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// What.
    pub name: String,
    /// The limit, with its unit.
    pub limit: String,
    /// What it was.
    pub value: String,
    /// Whether it was reached.
    pub passed: bool,
}

/// Whether a run was what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// All of it.
    pub passed: bool,
    /// Each thing.
    pub criteria: Vec<Criterion>,
}

impl Criteria {
    /// # Errors
    /// A limit that is no number.
    pub fn check(&self) -> Result<(), String> {
        let all = [
            self.max_loss_ppm,
            self.max_p99_us,
            self.max_p999_us,
            self.max_jitter_p99_us,
            self.max_failed_calls_percent,
            self.max_setup_p99_ms,
            self.min_registrations_per_s,
            self.min_packets_per_s,
            self.min_flood_per_s,
        ];
        if all.iter().flatten().all(|n| n.is_finite() && *n >= 0.0) {
            Ok(())
        } else {
            Err("pass: limits are numbers of at least 0".to_owned())
        }
    }

    /// Looks at what was measured. A run that nothing was asked of has passed, if the generator was not its limit.
    #[must_use]
    pub fn judge(&self, figures: &Figures) -> Verdict {
        let mut verdict = Verdict::default();
        let totals = &figures.totals;
        let (rtp, sip) = (&totals.rtp, &totals.sip);
        let seconds = figures.duration_s.max(1e-9);
        let (latency, jitter) = (totals.latency.percentiles(), totals.jitter.percentiles());

        verdict.at_most("media packets lost", self.max_lost, rtp.lost);
        let ppm = share(rtp.lost, rtp.sent) * 1e6;
        verdict.below("media loss", self.max_loss_ppm, ppm, "ppm");
        verdict.at_most("media packets reordered", self.max_reordered, rtp.reordered);
        // Limits of a latency that was never measured are not kept.
        let measured = |n: u64, of: u64| if of == 0 { f64::INFINITY } else { micros(n) };
        let us = "µs";
        verdict.below(
            "latency, p99",
            self.max_p99_us,
            measured(latency.p99, latency.count),
            us,
        );
        verdict.below(
            "latency, p99.9",
            self.max_p999_us,
            measured(latency.p999, latency.count),
            us,
        );
        verdict.below(
            "jitter, p99",
            self.max_jitter_p99_us,
            measured(jitter.p99, jitter.count),
            us,
        );
        verdict.at_most("calls failed", self.max_failed_calls, sip.failed());
        let percent = share(sip.failed(), sip.calls_attempted) * 100.0;
        verdict.below("calls failed", self.max_failed_calls_percent, percent, "%");
        verdict.at_most("calls cut off", self.max_cut_calls, sip.calls_cut);
        verdict.at_least(
            "calls answered",
            self.min_answered_calls.map(|n| n as f64),
            sip.calls_answered as f64,
            "",
        );
        let setup = totals.setup.percentiles();
        let setup = measured(setup.p99, setup.count) / 1e3;
        verdict.below("call setup, p99", self.max_setup_p99_ms, setup, "ms");
        verdict.at_most(
            "messages sent again",
            self.max_retransmissions,
            sip.retransmissions_sent,
        );
        let failed = sip.registrations_timeouts + sip.registrations_failed.values().sum::<u64>();
        verdict.at_most(
            "registrations failed",
            self.max_failed_registrations,
            failed,
        );
        let rate = sip.registrations_answered as f64 / seconds;
        verdict.at_least("registrations", self.min_registrations_per_s, rate, "/s");
        let rate = rtp.received as f64 / seconds;
        verdict.at_least("media packets", self.min_packets_per_s, rate, "/s");
        let rate = totals.raw.sent as f64 / seconds;
        verdict.at_least("flood", self.min_flood_per_s, rate, "/s");
        if !self.generator_may_limit
            && let Some(why) = figures.generator_limit()
        {
            verdict.add("generator", "not the limit".to_owned(), why, false);
        }
        verdict.passed = verdict.criteria.iter().all(|c| c.passed);
        verdict
    }
}

impl Verdict {
    fn add(&mut self, name: &str, limit: String, value: String, passed: bool) {
        self.criteria.push(Criterion {
            name: name.to_owned(),
            limit,
            value,
            passed,
        });
    }

    fn at_most(&mut self, name: &str, limit: Option<u64>, value: u64) {
        if let Some(limit) = limit {
            let words = format!("at most {}", count(limit));
            self.add(name, words, count(value), value <= limit);
        }
    }

    fn below(&mut self, name: &str, limit: Option<f64>, value: f64, unit: &str) {
        if let Some(limit) = limit {
            let words = format!("at most {} {unit}", short(limit));
            let said = if value.is_finite() {
                format!("{} {unit}", short(value))
            } else {
                "not measured".to_owned()
            };
            self.add(name, words, said, value <= limit);
        }
    }

    fn at_least(&mut self, name: &str, limit: Option<f64>, value: f64, unit: &str) {
        if let Some(limit) = limit {
            let words = format!("at least {} {unit}", short(limit));
            let said = format!("{} {unit}", short(value));
            self.add(
                name,
                words.trim_end().to_owned(),
                said.trim_end().to_owned(),
                value >= limit,
            );
        }
    }
}

/// A number as short as it can be said without hiding that it is above a limit.
fn short(number: f64) -> String {
    if number >= 1000.0 || number == number.trunc() {
        count(number.round() as u64)
    } else {
        format!("{number:.2}")
    }
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        return if part == 0 { 0.0 } else { 1.0 };
    }
    part as f64 / of as f64
}
