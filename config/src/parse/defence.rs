//! `[defence]` and `[overload]`: what is kept from us, and what we keep from ourselves.

use super::streams::{boolean, network};
use super::{DAY, Read, millis, seconds, table};
use crate::mistake::Report;
use crate::model::{Defence, Overload};
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
