//! `[hiding]`: what the carrier side does not see.

use super::streams::boolean;
use super::{Read, table};
use crate::mistake::Report;
use crate::model::{Hiding, Node};
use crate::section::{Section, Value, string};

/// Headers that a message cannot be without, or that are each side's own anyway.
const NEEDED: [&str; 12] = [
    "Via",
    "Route",
    "Record-Route",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
];

/// `[hiding]`
pub(super) fn hiding<'d>(
    report: &mut Report<'_>,
    root: &mut Section<'d>,
    node: &Read<'_, Node>,
) -> Hiding {
    let mut s = table(report, root, "hiding", "hiding");
    let enabled = s
        .value("enabled")
        .and_then(|v| boolean(report, v, "hiding.enabled"))
        .unwrap_or(true);
    let keys = s.path(report, "keys", node.value.state_dir.join("hiding.keys"));
    let hide_software = s
        .value("hide_software")
        .and_then(|v| boolean(report, v, "hiding.hide_software"))
        .unwrap_or(false);
    let strip_headers = s
        .list(report, "strip_headers", header)
        .unwrap_or_else(|| vec!["P-Charging-*".into()]);
    let domains = s.list(report, "domains", domain).unwrap_or_default();
    s.finish(report);
    Hiding {
        enabled,
        keys,
        hide_software,
        strip_headers,
        domains,
    }
}

/// A header's name; one that ends with `*` stands for all that begin so.
pub(super) fn header(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let begin = text.strip_suffix('*').unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.!%_+`'~".contains(c);
    let (problem, remedy) = if begin.is_empty() || !begin.chars().all(plain) {
        (
            format!("`{text}` is no header's name"),
            "write one such as \"X-Internal\", or \"X-*\" for all that begin so",
        )
    } else if let Some(needed) = NEEDED.iter().find(|n| {
        n.eq_ignore_ascii_case(text)
            || (begin != text
                && n.get(..begin.len())
                    .is_some_and(|n| n.eq_ignore_ascii_case(begin)))
    }) {
        (
            format!("`{text}` would take {needed} away, which no message can be without"),
            "name other headers",
        )
    } else {
        return Some(text.to_owned());
    };
    report.add(value.span().start, key, problem, remedy);
    None
}

/// A host's or domain's name, in lower case.
fn domain(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?.trim_matches('.');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // Addresses are known from the realms and the dispatcher table.
    let is_name = text.contains('.')
        && text.chars().all(plain)
        && text.chars().any(|c| c.is_ascii_alphabetic());
    if !is_name {
        report.add(
            value.span().start,
            key,
            format!("`{text}` is no name of a domain"),
            "write one with a dot in it, such as \"pbx.example.com\"",
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}
