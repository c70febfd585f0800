//! `[defence]`, `[police]` and `[overload]`: what is kept from us, and what we keep from ourselves.

use super::streams::{boolean, network};
use super::{DAY, Read, millis, seconds, table};
use crate::mistake::Report;
use crate::model::{Defence, Overload, Police};
use crate::section::{Section, Value, string};

/// What well-known scanners call themselves.
const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sipcli",
    "vaxsipuseragent",
    "siparmyknife",
    "sip-scan",
    "pplsip",
];

/// Emergency numbers of all the world that are nothing else elsewhere, and RFC 5031.
const EMERGENCY: [&str; 7] = ["112", "911", "110", "119", "999", "000", "urn:service:sos"];

/// `[defence]`
pub(super) fn defence<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Read<'d, Defence> {
    let mut s = table(report, root, "defence", "defence");
    let enabled = s
        .value("enabled")
        .and_then(|v| boolean(report, v, "defence.enabled"))
        .unwrap_or(true);
    let value = Defence {
        enabled,
        requests: s.integer(report, "requests", 0..=1_000_000, 30),
        window: seconds(report, &mut s, "window", 1..=3_600, 2),
        failures: s.integer(report, "failures", 0..=1_000_000, 10),
        failure_window: seconds(report, &mut s, "failure_window", 1..=DAY, 60),
        block: seconds(report, &mut s, "block", 1..=30 * DAY, 300),
        trusted: s.list(report, "trusted", network).unwrap_or_default(),
        scanners: texts(report, &mut s, "scanners", &SCANNERS),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// `[police]`
pub(super) fn police<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Read<'d, Police> {
    let mut s = table(report, root, "police", "police");
    let mut rate = |key, default| s.integer(report, key, 0..=1_000_000_000, default);
    let value = Police {
        trusted_rate: rate("trusted_rate", 20_000),
        trusted_burst: rate("trusted_burst", 10_000),
        registered_rate: rate("registered_rate", 500),
        registered_burst: rate("registered_burst", 1_000),
        unknown_rate: rate("unknown_rate", 50),
        unknown_burst: rate("unknown_burst", 100),
        all_registered_rate: rate("all_registered_rate", 50_000),
        all_registered_burst: rate("all_registered_burst", 25_000),
        all_unknown_rate: rate("all_unknown_rate", 5_000),
        all_unknown_burst: rate("all_unknown_burst", 2_500),
        all_rate: rate("all_rate", 200_000),
        all_burst: rate("all_burst", 50_000),
        fragments_rate: rate("fragments_rate", 2_000),
        fragments_burst: rate("fragments_burst", 500),
        max_registered: s.integer(report, "max_registered", 0..=10_000_000, 100_000),
        max_unknown: s.integer(report, "max_unknown", 4..=16_777_216, 65_536),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// `[overload]`
pub(super) fn overload<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Read<'d, Overload> {
    let mut s = table(report, root, "overload", "overload");
    let value = Overload {
        target: millis(report, &mut s, "target", 0..=10_000, 10),
        interval: millis(report, &mut s, "interval", 10..=60_000, 100),
        retry_after: s.integer(report, "retry_after", 1..=3_600, 5),
        emergency_numbers: texts(report, &mut s, "emergency_numbers", &EMERGENCY),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

fn texts(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    default: &[&str],
) -> Vec<String> {
    s.list(report, key, text)
        .unwrap_or_else(|| default.iter().map(ToString::to_string).collect())
}

fn text(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?.trim();
    if text.is_empty() {
        let remedy = "write what is looked for, or remove it";
        report.add(value.span().start, key, "is empty", remedy);
        return None;
    }
    Some(text.to_owned())
}
