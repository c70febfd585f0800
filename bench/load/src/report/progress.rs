//! What happens, while it happens: a bar on a terminal, a line now and then anywhere else.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::numbers::{brief, time};
use crate::figures::Sample;

/// Seconds from one line to the next where there is no terminal.
const LINES: u64 = 10;

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Display {
    /// For people.
    #[default]
    Words,
    /// For programs: each second is a line of JSON on standard error.
    Json,
    /// Not at all.
    Quiet,
}

/// The display.
pub struct Progress {
    bar: Option<ProgressBar>,
    display: Display,
    seconds: u64,
    seen: u64,
}

impl Progress {
    /// For a run of so many seconds.
    #[must_use]
    pub fn new(name: &str, seconds: u64, display: Display) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && display == Display::Words;
        let bar = on_terminal.then(|| {
            let bar = ProgressBar::new(seconds);
            let template = "{prefix} {wide_bar} {pos}/{len} s, {eta} left\n{msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        Self {
            bar,
            display,
            seconds,
            seen: 0,
        }
    }

    /// A second is over.
    pub fn second(&mut self, sample: &Sample) {
        let before = self.seen;
        self.seen = sample.at_s.round() as u64;
        if self.display == Display::Json {
            eprintln!("{}", record(sample, self.seconds));
        } else if let Some(bar) = &self.bar {
            bar.set_position(self.seen.min(self.seconds));
            bar.set_message(line(sample));
        } else if self.display == Display::Words && self.seen / LINES > before / LINES {
            let left = self.seconds.saturating_sub(self.seen);
            eprintln!("{} s, {left} s left: {}", self.seen, line(sample));
        }
    }

    /// What else is to be said meanwhile.
    pub fn say(&self, words: &str) {
        if let Some(bar) = &self.bar {
            bar.println(words);
        } else if self.display != Display::Quiet {
            eprintln!("{words}");
        }
    }

    /// It is over.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A second as JSON: rates are of this second, failed calls and lost packets, too.
fn record(sample: &Sample, seconds: u64) -> serde_json::Value {
    let per_second = |n: u64| n as f64 / sample.length_s.max(1e-9);
    let (rtp, sip) = (&sample.rtp, &sample.sip);
    json!({
        "at_s": sample.at_s,
        "seconds": seconds,
        "calls_up": sip.calls_up,
        "calls_per_s": per_second(sip.calls_answered),
        "calls_failed": sip.failed(),
        "registrations_per_s": per_second(sip.registrations_answered),
        "media_sent_per_s": per_second(rtp.sent),
        "media_received_per_s": per_second(rtp.received),
        "media_lost": rtp.lost,
        "latency_p50_us": sample.latency.p50 as f64 / 1e3,
        "latency_p999_us": sample.latency.p999 as f64 / 1e3,
        "flood_per_s": per_second(sample.raw.sent),
        "busy_percent": sample.generator.busy_percent(),
    })
}

/// A second in a line.
fn line(sample: &Sample) -> String {
    let per_second = |n: u64| brief(n as f64 / sample.length_s.max(1e-9));
    let (rtp, sip) = (&sample.rtp, &sample.sip);
    let mut parts = Vec::new();
    if rtp.sent > 0 || rtp.received > 0 {
        parts.push(format!(
            "media {}/s, lost {}, p50 {}, p99.9 {}",
            per_second(rtp.received),
            rtp.lost,
            time(sample.latency.p50),
            time(sample.latency.p999)
        ));
    }
    if sip.calls_attempted + sip.calls_up > 0 {
        parts.push(format!(
            "calls {} up, {}/s, {} failed",
            sip.calls_up,
            per_second(sip.calls_answered),
            sip.failed()
        ));
    }
    if sip.registrations_attempted > 0 {
        parts.push(format!(
            "registrations {}/s",
            per_second(sip.registrations_answered)
        ));
    }
    if sample.raw.sent > 0 {
        parts.push(format!("flood {}/s", per_second(sample.raw.sent)));
    }
    parts.push(format!("busy {:.0} %", sample.generator.busy_percent()));
    parts.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_said_in_a_line() {
        let mut sample = Sample {
            length_s: 2.0,
            ..Sample::default()
        };
        (sample.rtp.received, sample.rtp.lost) = (2_500_000, 3);
        (sample.latency.p50, sample.latency.p999) = (4_200, 18_000);
        (sample.sip.calls_up, sample.sip.calls_answered) = (9_000, 400);
        sample.raw.sent = 20;
        (sample.generator.busy_ns, sample.generator.total_ns) = (1, 2);
        assert_eq!(
            line(&sample),
            "media 1.25 M/s, lost 3, p50 4.2 µs, p99.9 18 µs | calls 9000 up, 200/s, 0 failed | flood 10/s | busy 50 %"
        );
        let record = record(&sample, 60);
        assert_eq!(record["calls_per_s"], 200.0);
        assert_eq!(record["media_received_per_s"], 1_250_000.0);
        assert_eq!(record["busy_percent"], 50.0);
        let mut quiet = Progress::new("x", 10, Display::Quiet);
        quiet.second(&sample);
        quiet.say("nothing");
        quiet.end();
    }
}
