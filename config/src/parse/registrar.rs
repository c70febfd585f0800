//! `[registrar]`

use super::streams::boolean;
use super::{DAY, seconds};
use crate::mistake::Report;
use crate::model::Registrar;
use crate::section::{Section, Value, string};

/// The algorithms of digest authentication.
const ALGORITHMS: [&str; 3] = ["SHA-512-256", "SHA-256", "MD5"];

pub(super) fn registrar(report: &mut Report<'_>, mut s: Section<'_>) -> Registrar {
    let domains = s.list(report, "domains", domain);
    let algorithms = s.some_list(report, "algorithms", |report, value, key| {
        let name = string(report, value, key)?;
        let known = ALGORITHMS
            .into_iter()
            .find(|a| a.eq_ignore_ascii_case(name));
        if known.is_none() {
            report.add(
                value.span().start,
                key,
                format!("`{name}` is not an algorithm"),
                format!("write some of {}", ALGORITHMS.join(", ")),
            );
        }
        known
    });
    let without_qop = s
        .value("without_qop")
        .and_then(|v| boolean(report, v, "registrar.without_qop"));
    let location_table = s
        .value("location_table")
        .and_then(|v| boolean(report, v, "registrar.location_table"));
    let registrar = Registrar {
        domains: domains.unwrap_or_default(),
        default_expires: s.integer(report, "default_expires", 1..=7 * DAY, 300),
        min_expires: s.integer(report, "min_expires", 1..=DAY, 60),
        max_expires: s.integer(report, "max_expires", 1..=7 * DAY, 3_600),
        max_contacts: s.integer(report, "max_contacts", 1..=1_000, 10),
        max_users: s.integer(report, "max_users", 1..=10_000_000, 200_000),
        location_table: location_table.unwrap_or(true),
        algorithms: algorithms.unwrap_or_else(|| vec!["MD5"]),
        nonce_lifetime: seconds(report, &mut s, "nonce_lifetime", 5..=DAY, 300),
        without_qop: without_qop.unwrap_or(false),
    };
    for (key, is_wrong) in [
        ("min_expires", registrar.min_expires > registrar.max_expires),
        (
            "default_expires",
            !(registrar.min_expires..=registrar.max_expires).contains(&registrar.default_expires),
        ),
    ] {
        if is_wrong {
            s.mistake(
                report,
                key,
                "is out of order with the others",
                "keep min_expires <= default_expires <= max_expires",
            );
            break;
        }
    }
    s.finish(report);
    registrar
}

/// A domain, in lower case.
pub(super) fn domain(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let domain = string(report, value, key)?.to_ascii_lowercase();
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let is_one = domain.len() <= 255 && domain.chars().all(is_host);
    if !is_one {
        report.add(
            value.span().start,
            key,
            format!("`{domain}` is not a domain"),
            "write what stands behind the @ in the users' addresses: \"example.net\"",
        );
    }
    is_one.then_some(domain)
}
