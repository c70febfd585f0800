//! One HTML page: no script, nothing that is loaded, light and dark as the reader has it.

use std::fmt::Write as _;

use super::numbers::{brief, count, date, micros, time};
use super::plot::{Line, Plot, histogram};
use super::{Report, Trial};
use crate::figures::{Figures, Sample};
use crate::histogram::Percentiles;

/// Rows of the table of seconds at most.
const ROWS: usize = 600;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let figures = &report.figures;
    let name = escape(&figures.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name}: {}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        word(report),
        include_str!("style.css")
    );
    head(&mut out, report);
    criteria(&mut out, report);
    tiles(&mut out, figures);
    trials(&mut out, &report.trials);
    plots(&mut out, figures);
    tables(&mut out, report);
    seconds(&mut out, &figures.samples);
    let _ = write!(
        out,
        "<h2>Profile <span class=\"soft\">{}</span></h2>\n<div class=\"card\"><pre>{}</pre></div>\n</body>\n</html>\n",
        escape(&report.file),
        escape(&report.profile)
    );
    out
}

/// Makes any text harmless in HTML, in attributes too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn word(report: &Report) -> &'static str {
    if report.verdict.passed {
        "PASS"
    } else {
        "FAIL"
    }
}

fn head(out: &mut String, report: &Report) {
    let Report {
        figures,
        machine,
        appliance,
        ..
    } = report;
    let word = word(report);
    let _ = write!(
        out,
        "<h1>{} <span class=\"verdict {word}\">{word}</span></h1>\n<p>{}</p>\n<p class=\"soft\">{} &middot; {:.1} s &middot; tandem-load {}</p>\n",
        escape(&figures.name),
        escape(&report.about),
        date(figures.started),
        figures.duration_s,
        escape(&report.version)
    );
    if let Some(appliance) = appliance {
        let _ = writeln!(
            out,
            "<p class=\"soft\">Appliance: {}</p>",
            escape(appliance)
        );
    }
    let _ = writeln!(
        out,
        "<p class=\"soft\">Generator: {}, {} processors, {} GB, {}</p>",
        escape(&machine.processor),
        machine.processors,
        (machine.memory + (1 << 29)) >> 30,
        escape(&machine.kernel)
    );
}

fn criteria(out: &mut String, report: &Report) {
    if report.verdict.criteria.is_empty() {
        out.push_str(
            "<p class=\"soft\">The profile has no [pass] section: nothing was asked for.</p>\n",
        );
        return;
    }
    out.push_str("<h2>Asked for</h2>\n<div class=\"card wide\"><table>\n<tr><th>what</th><th>limit</th><th>was</th><th></th></tr>\n");
    for c in &report.verdict.criteria {
        let word = if c.passed { "PASS" } else { "FAIL" };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{word}\"><b>{word}</b></td></tr>",
            escape(&c.name),
            escape(&c.limit),
            escape(&c.value)
        );
    }
    out.push_str("</table></div>\n");
}

fn tiles(out: &mut String, figures: &Figures) {
    let totals = &figures.totals;
    let (rtp, sip) = (&totals.rtp, &totals.sip);
    let seconds = figures.duration_s.max(1e-9);
    let mut all: Vec<(String, String)> = Vec::new();
    let mut tile = |value: String, words: &str| all.push((value, words.to_owned()));
    if rtp.sent > 0 {
        tile(count(rtp.sent), "media packets sent");
        tile(
            format!("{}/s", brief(peak(&figures.samples, |s| s.rtp.received))),
            "most media packets received in a second",
        );
        let ppm = rtp.lost as f64 * 1e6 / rtp.sent as f64;
        tile(count(rtp.lost), &format!("lost ({} ppm)", brief(ppm)));
        let latency = totals.latency.percentiles();
        tile(time(latency.p50), "latency, median");
        tile(time(latency.p999), "latency, p99.9");
        tile(time(totals.jitter.percentiles().p99), "jitter, p99");
    }
    if sip.calls_attempted > 0 {
        tile(count(sip.calls_attempted), "calls begun");
        tile(count(sip.failed()), "calls failed");
        tile(
            count(peak(&figures.samples, |s| s.sip.calls_up) as u64),
            "calls up at most",
        );
        tile(
            brief(peak(&figures.samples, |s| s.sip.calls_answered)),
            "calls a second at most",
        );
        tile(time(totals.setup.percentiles().p99), "call setup, p99");
    }
    if sip.registrations_attempted > 0 {
        tile(count(sip.registrations_answered), "registrations");
        tile(
            brief(sip.registrations_answered as f64 / seconds),
            "registrations a second",
        );
        tile(
            time(totals.registration.percentiles().p99),
            "registration, p99",
        );
    }
    if totals.raw.sent > 0 {
        tile(count(totals.raw.sent), "frames of floods");
        tile(
            format!("{}/s", brief(peak(&figures.samples, |s| s.raw.sent))),
            "flood, at most",
        );
    }
    tile(
        format!("{:.0} %", totals.generator.busy_percent()),
        "the generator's own load",
    );
    out.push_str("<div class=\"tiles\">\n");
    for (value, words) in &all {
        let _ = writeln!(
            out,
            "<div class=\"tile\"><b>{}</b>{}</div>",
            escape(value),
            escape(words)
        );
    }
    out.push_str("</div>\n");
}

/// The greatest value within a second.
fn peak(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> f64 {
    samples.iter().map(value).max().unwrap_or(0) as f64
}

fn trials(out: &mut String, trials: &[Trial]) {
    if trials.is_empty() {
        return;
    }
    out.push_str("<h2>Search</h2>\n<div class=\"card wide\"><table>\n<tr><th>trial</th><th class=\"n\">rate</th><th></th><th></th></tr>\n");
    for (n, trial) in trials.iter().enumerate() {
        let (class, word) = if trial.carried {
            ("PASS", "carried")
        } else {
            ("FAIL", "not carried")
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"{class}\">{word}</td><td>{}</td></tr>",
            n + 1,
            brief(trial.rate),
            escape(&trial.note)
        );
    }
    out.push_str("</table></div>\n");
}

fn plots(out: &mut String, figures: &Figures) {
    let samples = &figures.samples;
    let rate = |value: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        let of = |s: &Sample| (s.at_s, value(s) as f64 / s.length_s.max(1e-9));
        samples.iter().map(of).collect()
    };
    let state = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        samples.iter().map(|s| (s.at_s, value(s))).collect()
    };
    let line = |name, class, points| Line {
        name,
        class,
        points,
    };
    let plot = |title, unit, log, lines| {
        Plot {
            title,
            unit,
            lines,
            log,
        }
        .figure()
    };
    let totals = &figures.totals;
    let all = [
        plot(
            "Media packets",
            "a second",
            false,
            vec![
                line("sent", 1, rate(|s| s.rtp.sent)),
                line("received", 2, rate(|s| s.rtp.received)),
            ],
        ),
        plot(
            "Media packets that went wrong",
            "a second",
            false,
            vec![
                line("lost", 3, rate(|s| s.rtp.lost)),
                line("reordered", 1, rate(|s| s.rtp.reordered)),
                line("misdelivered", 2, rate(|s| s.rtp.misdelivered)),
            ],
        ),
        plot(
            "Latency over time",
            "µs",
            true,
            vec![
                line("median", 1, state(|s| micros(s.latency.p50))),
                line("p99", 2, state(|s| micros(s.latency.p99))),
                line("p99.9", 3, state(|s| micros(s.latency.p999))),
            ],
        ),
        spread("Latency", &totals.latency),
        plot(
            "Jitter over time",
            "µs",
            true,
            vec![
                line("median", 1, state(|s| micros(s.jitter.p50))),
                line("p99", 2, state(|s| micros(s.jitter.p99))),
            ],
        ),
        plot(
            "Calls up",
            "",
            false,
            vec![line("calls", 1, state(|s| s.sip.calls_up as f64))],
        ),
        plot(
            "Calls",
            "a second",
            false,
            vec![
                line("begun", 1, rate(|s| s.sip.calls_attempted)),
                line("answered", 2, rate(|s| s.sip.calls_answered)),
                line("failed", 3, rate(|s| s.sip.failed())),
            ],
        ),
        spread("Call setup", &totals.setup),
        plot(
            "Registrations",
            "a second",
            false,
            vec![
                line("begun", 1, rate(|s| s.sip.registrations_attempted)),
                line("answered", 2, rate(|s| s.sip.registrations_answered)),
                line(
                    "failed",
                    3,
                    rate(|s| {
                        s.sip.registrations_timeouts
                            + s.sip.registrations_failed.values().sum::<u64>()
                    }),
                ),
            ],
        ),
        spread("Registration", &totals.registration),
        plot(
            "SIP messages sent again",
            "a second",
            false,
            vec![
                line("by us", 1, rate(|s| s.sip.retransmissions_sent)),
                line("to us", 2, rate(|s| s.sip.retransmissions_received)),
            ],
        ),
        plot(
            "Floods",
            "frames a second",
            false,
            vec![line("sent", 1, rate(|s| s.raw.sent))],
        ),
        plot(
            "The generator's own load",
            "%",
            false,
            vec![line("busy", 1, state(|s| s.generator.busy_percent()))],
        ),
        plot(
            "The generator's own faults",
            "a second",
            false,
            vec![
                line("late", 1, rate(|s| s.generator.late)),
                line("skipped", 2, rate(|s| s.generator.skipped)),
                line("missed", 3, rate(|s| s.generator.missed)),
            ],
        ),
    ];
    out.push_str("<h2>Over time</h2>\n<div class=\"plots\">\n");
    out.push_str(&all.concat());
    out.push_str("</div>\n");
}

fn spread(title: &'static str, all: &crate::histogram::Histogram) -> String {
    let p = all.percentiles();
    let buckets: Vec<_> = all.buckets().map(|(value, n)| (micros(value), n)).collect();
    let marks = [("p50", p.p50), ("p99", p.p99), ("p99.9", p.p999)];
    let marks: Vec<_> = marks.iter().map(|(name, n)| (*name, micros(*n))).collect();
    histogram(title, "µs, how many", &buckets, &marks)
}

fn tables(out: &mut String, report: &Report) {
    let totals = &report.figures.totals;
    out.push_str("<h2>In all</h2>\n<div class=\"two\">\n");
    let kinds = [
        ("latency", &totals.latency),
        ("jitter", &totals.jitter),
        ("INVITE to ringing", &totals.ringing),
        ("INVITE to 200", &totals.setup),
        ("registration", &totals.registration),
        ("behind schedule", &totals.lateness),
    ];
    out.push_str("<div class=\"card wide\"><table>\n<tr><th>time</th><th class=\"n\">median</th><th class=\"n\">p90</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th><th class=\"n\">most</th></tr>\n");
    for (name, all) in kinds {
        let Percentiles {
            count: n,
            p50,
            p90,
            p99,
            p999,
            max,
            ..
        } = all.percentiles();
        if n > 0 {
            let _ = write!(out, "<tr><td>{name}</td>");
            for value in [p50, p90, p99, p999, max] {
                let _ = write!(out, "<td class=\"n\">{}</td>", time(value));
            }
            out.push_str("</tr>\n");
        }
    }
    out.push_str("</table></div>\n");
    codes(out, report);
    for (name, value) in [
        ("media", counts(&totals.rtp)),
        ("SIP", counts(&totals.sip)),
        ("floods and other frames", counts(&totals.raw)),
        ("generator", counts(&totals.generator)),
    ] {
        if value.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "<div class=\"card wide\"><table>\n<tr><th>{name}</th><th></th></tr>\n"
        );
        for (key, number) in value {
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
                escape(&key.replace('_', " ")),
                count(number)
            );
        }
        out.push_str("</table></div>\n");
    }
    out.push_str("</div>\n");
}

/// Why calls and registrations failed.
fn codes(out: &mut String, report: &Report) {
    let sip = &report.figures.totals.sip;
    let mut rows: Vec<(String, u64)> = Vec::new();
    for (what, codes) in [
        ("call refused with", &sip.calls_failed),
        ("BYE refused with", &sip.byes_refused),
        ("registration refused with", &sip.registrations_failed),
    ] {
        rows.extend(codes.iter().map(|(code, n)| (format!("{what} {code}"), *n)));
    }
    if sip.timeouts > 0 {
        rows.push(("call without an answer".to_owned(), sip.timeouts));
    }
    if sip.registrations_timeouts > 0 {
        rows.push((
            "registration without an answer".to_owned(),
            sip.registrations_timeouts,
        ));
    }
    if rows.is_empty() {
        return;
    }
    out.push_str("<div class=\"card wide\"><table>\n<tr><th>failures</th><th></th></tr>\n");
    for (what, n) in rows {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            escape(&what),
            count(n)
        );
    }
    out.push_str("</table></div>\n");
}

/// The counts of a part that are not 0, by their names.
fn counts(part: &impl serde::Serialize) -> Vec<(String, u64)> {
    let value = serde_json::to_value(part).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten();
    let numbers = fields.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)));
    numbers.filter(|(_, n)| *n > 0).collect()
}

fn seconds(out: &mut String, samples: &[Sample]) {
    let shown = samples.len().min(ROWS);
    let _ = write!(
        out,
        "<h2>By the second</h2>\n<details class=\"card\"><summary>{shown} of {} seconds</summary><div class=\"wide\"><table>\n<tr>",
        samples.len()
    );
    for name in [
        "s",
        "sent",
        "received",
        "lost",
        "p50",
        "p99",
        "p99.9",
        "jitter p99",
        "calls up",
        "begun",
        "answered",
        "failed",
        "registrations",
        "flood",
        "busy",
    ] {
        let _ = write!(out, "<th class=\"n\">{name}</th>");
    }
    out.push_str("</tr>\n");
    for s in samples.iter().take(ROWS) {
        let cells = [
            format!("{:.0}", s.at_s),
            count(s.rtp.sent),
            count(s.rtp.received),
            count(s.rtp.lost),
            time(s.latency.p50),
            time(s.latency.p99),
            time(s.latency.p999),
            time(s.jitter.p99),
            count(s.sip.calls_up),
            count(s.sip.calls_attempted),
            count(s.sip.calls_answered),
            count(s.sip.failed()),
            count(s.sip.registrations_answered),
            count(s.raw.sent),
            format!("{:.0} %", s.generator.busy_percent()),
        ];
        out.push_str("<tr>");
        for cell in &cells {
            let _ = write!(out, "<td class=\"n\">{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div></details>\n");
}
