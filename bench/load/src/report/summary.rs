//! Some lines for a terminal.

use std::fmt::Write as _;

use super::Report;
use super::numbers::{brief, count, time};

/// The lines, each with its end.
pub(super) fn summary(report: &Report) -> String {
    let figures = &report.figures;
    let totals = &figures.totals;
    let (rtp, sip) = (&totals.rtp, &totals.sip);
    let seconds = figures.duration_s.max(1e-9);
    let mut out = format!("{}: {:.1} s\n", figures.name, figures.duration_s);
    if rtp.sent > 0 {
        let latency = totals.latency.percentiles();
        let ppm = rtp.lost as f64 * 1e6 / rtp.sent as f64;
        let _ = write!(
            out,
            "  media         {} sent, {} received, {} lost ({} ppm), {} reordered, {} duplicated, {} misdelivered\n  \
               latency       median {}, p99 {}, p99.9 {}, most {}; jitter p99 {}\n",
            count(rtp.sent),
            count(rtp.received),
            count(rtp.lost),
            brief(ppm),
            count(rtp.reordered),
            count(rtp.duplicated),
            count(rtp.misdelivered),
            time(latency.p50),
            time(latency.p99),
            time(latency.p999),
            time(latency.max),
            time(totals.jitter.percentiles().p99)
        );
    }
    if sip.calls_attempted + sip.calls_taken > 0 {
        let setup = totals.setup.percentiles();
        let _ = write!(
            out,
            "  calls         {} begun, {} answered, {} completed, {} failed{}, {} cut off\n  \
               setup         median {}, p99 {}, p99.9 {}; ringing p99 {}; {} messages sent again\n",
            count(sip.calls_attempted),
            count(sip.calls_answered),
            count(sip.calls_completed),
            count(sip.failed()),
            codes(&sip.calls_failed, sip.timeouts),
            count(sip.calls_cut),
            time(setup.p50),
            time(setup.p99),
            time(setup.p999),
            time(totals.ringing.percentiles().p99),
            count(sip.retransmissions_sent)
        );
    }
    if sip.registrations_attempted > 0 {
        let took = totals.registration.percentiles();
        let _ = writeln!(
            out,
            "  registrations {} begun, {} answered ({} a second){}; median {}, p99 {}",
            count(sip.registrations_attempted),
            count(sip.registrations_answered),
            brief(sip.registrations_answered as f64 / seconds),
            codes(&sip.registrations_failed, sip.registrations_timeouts),
            time(took.p50),
            time(took.p99)
        );
    }
    if totals.raw.sent > 0 {
        let _ = writeln!(
            out,
            "  floods        {} frames, {} a second",
            count(totals.raw.sent),
            brief(totals.raw.sent as f64 / seconds)
        );
    }
    let limit = figures.generator_limit();
    let _ = writeln!(
        out,
        "  generator     busy {:.0} %, {}",
        totals.generator.busy_percent(),
        limit.as_deref().unwrap_or("not the limit")
    );
    for trial in &report.trials {
        let word = if trial.carried {
            "carried"
        } else {
            "not carried"
        };
        let _ = writeln!(
            out,
            "  trial         {}: {word} {}",
            brief(trial.rate),
            trial.note
        );
    }
    for c in &report.verdict.criteria {
        let word = if c.passed { "pass" } else { "FAIL" };
        let _ = writeln!(
            out,
            "  {word}          {}: {}, {}",
            c.name, c.value, c.limit
        );
    }
    out.push_str(if report.verdict.passed {
        "PASS\n"
    } else {
        "FAIL\n"
    });
    out
}

/// ` (503: 12, no answer: 3)`, or nothing.
fn codes(codes: &std::collections::BTreeMap<u16, u64>, timeouts: u64) -> String {
    let mut parts: Vec<String> = codes
        .iter()
        .map(|(code, n)| format!("{code}: {}", count(*n)))
        .collect();
    if timeouts > 0 {
        parts.push(format!("no answer: {}", count(timeouts)));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(", "))
}
