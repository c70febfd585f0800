//! Reports as a whole.

use std::collections::BTreeMap;

use super::*;
use crate::figures::Sample;

/// A run of two minutes with everything in it.
pub(crate) fn report() -> Report {
    let mut figures = Figures {
        name: "calls & <b>media</b>".to_owned(),
        started: 1_796_030_000,
        duration_s: 122.0,
        ..Figures::default()
    };
    let totals = &mut figures.totals;
    for n in 0..50_000_u64 {
        let tail = if n % 997 == 0 { 400_000 } else { 0 };
        totals.latency.record(4_000 + n * 7 % 3_000 + tail);
        totals.jitter.record(500 + n * 13 % 9_000);
        totals.setup.record(900_000 + n * 31 % 5_000_000);
    }
    totals.sip.calls_failed = BTreeMap::from([(503, 12), (486, 1)]);
    totals.sip.timeouts = 2;
    for n in 1..=120_u64 {
        let mut sample = Sample {
            at_s: n as f64,
            length_s: 1.0,
            latency: totals.latency.percentiles(),
            jitter: totals.jitter.percentiles(),
            ..Sample::default()
        };
        let up = (n * 100).min(6_000);
        sample.rtp.sent = up * 100;
        sample.rtp.received = up * 100 - n % 7;
        sample.rtp.lost = if n == 77 { 40 } else { n % 7 / 6 };
        sample.latency.p999 += n * 1_000;
        sample.sip.calls_up = up;
        sample.sip.calls_attempted = 100;
        sample.sip.calls_answered = 100 - n % 3;
        sample.sip.registrations_attempted = 200;
        sample.sip.registrations_answered = 199;
        sample.raw.sent = if n > 40 { 1_000_000 + n * 500 } else { 0 };
        (sample.generator.busy_ns, sample.generator.total_ns) =
            (300_000_000 + n * 1_000_000, 1_000_000_000);
        totals.rtp.sent += sample.rtp.sent;
        totals.rtp.received += sample.rtp.received;
        totals.rtp.lost += sample.rtp.lost;
        totals.sip.calls_attempted += 100;
        totals.sip.calls_answered += 99;
        totals.sip.registrations_attempted += 200;
        totals.sip.registrations_answered += 199;
        totals.raw.sent += sample.raw.sent;
        totals.generator.busy_ns += sample.generator.busy_ns;
        totals.generator.total_ns += sample.generator.total_ns;
        figures.samples.push(sample);
    }
    let criteria = Criteria {
        max_lost: Some(0),
        max_p999_us: Some(500.0),
        max_failed_calls: Some(20),
        min_flood_per_s: Some(1e5),
        ..Criteria::default()
    };
    let origin = Origin {
        file: "profiles/<x>.toml".to_owned(),
        about: "\"quoted\" & <script>alert(1)</script>".to_owned(),
        text: "name = \"x\"\n# <img src=https://example.com/x.png>\n".to_owned(),
        appliance: Some("tandem 0.1.0 <on> a box".to_owned()),
    };
    let trials = vec![Trial {
        rate: 2_000.0,
        carried: false,
        note: "12 <lost>".to_owned(),
    }];
    Report::new(origin, Machine::this(), &criteria, trials, figures)
}

#[test]
fn json_comes_back_as_it_was() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], SCHEMA);
    assert_eq!(value["verdict"]["passed"], false);
    assert_eq!(value["figures"]["totals"]["sip"]["calls_failed"]["503"], 12);
}

#[test]
fn the_page_loads_nothing_and_escapes_everything() {
    let page = report().page();
    if let Ok(path) = std::env::var("TANDEM_REPORT_PAGE") {
        std::fs::write(path, &page).unwrap();
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    let body = page.replace("&lt;", "").replace("&gt;", "");
    for forbidden in [
        "<script", "<img", "<link", "<iframe", "<object", "@import", "url(", "src=\"", "href=",
        "<on>", "<b>media", "<lost>", "<x>",
    ] {
        assert!(!body.contains(forbidden), "{forbidden}");
    }
    // The only address is in the profile's text, where nothing is loaded.
    assert_eq!(
        page.matches("http:").count() + page.matches("https:").count(),
        1
    );
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    // Every element that is opened is closed.
    for tag in [
        "div", "table", "tr", "figure", "svg", "details", "span", "title", "pre", "h2",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn every_part_that_was_measured_is_on_the_page() {
    let page = report().page();
    for words in [
        "FAIL",
        "Media packets",
        "Latency over time",
        "Jitter over time",
        "Calls up",
        "Call setup",
        "Registrations",
        "Floods",
        "The generator&#39;s own load",
        "call refused with 503",
        "call without an answer",
        "tandem 0.1.0",
        "By the second",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let empty = Report::new(
        Origin::default(),
        Machine::default(),
        &Criteria::default(),
        Vec::new(),
        Figures::default(),
    );
    assert!(empty.verdict.passed);
    let page = empty.page();
    assert!(page.contains("PASS") && !page.contains("NaN") && !page.contains("inf"));
    assert!(!page.contains("<svg"));
}

#[test]
fn the_summary_ends_with_the_verdict() {
    let summary = report().summary();
    assert!(summary.ends_with("FAIL\n"), "{summary}");
    assert!(summary.contains("503: 12, no answer: 2"), "{summary}");
    assert!(
        summary.contains("FAIL          media packets lost: "),
        "{summary}"
    );
    assert!(
        summary.contains("pass          calls failed: 15, at most 20"),
        "{summary}"
    );
}

#[test]
fn what_is_asked_for_is_looked_at_and_a_generator_that_is_the_limit_fails() {
    let mut figures = Figures {
        duration_s: 10.0,
        ..Figures::default()
    };
    figures.totals.sip.registrations_answered = 1_000;
    let ask = |text: &str, figures: &Figures| {
        let criteria: Criteria = toml::from_str(text).unwrap();
        criteria.check().unwrap();
        criteria.judge(figures).passed
    };
    assert!(ask("min_registrations_per_s = 100", &figures));
    assert!(!ask("min_registrations_per_s = 101", &figures));
    assert!(!ask("max_p999_us = 1000", &figures), "never measured");
    assert!(!ask("min_answered_calls = 1", &figures));
    figures.totals.sip.calls_attempted = 1_000;
    figures.totals.sip.timeouts = 10;
    assert!(ask("max_failed_calls_percent = 1.0", &figures));
    assert!(!ask("max_failed_calls_percent = 0.9", &figures));
    figures.totals.generator.missed = 1;
    assert!(!ask("", &figures));
    assert!(ask("generator_may_limit = true", &figures));
    assert!(
        toml::from_str::<Criteria>("max_loss = 0").is_err(),
        "no such key"
    );
    let bad: Criteria = toml::from_str("max_p99_us = -1").unwrap();
    assert!(bad.check().is_err());
}
