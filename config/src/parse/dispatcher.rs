//! `[dispatcher]` and its sets.

use std::collections::HashMap;

use super::{Read, millis, seconds, tables};
use crate::mistake::Report;
use crate::model::{Algorithm, Dispatcher, DispatcherSet};
use crate::section::{Section, integer, string};

/// The algorithms, in the order of the numbers that Kamailio's dispatcher module gives them.
const ALGORITHMS: [&str; 12] = [
    "call-id",
    "from-uri",
    "to-uri",
    "request-uri",
    "round-robin",
    "auth-user",
    "random",
    EXPRESSION,
    "priority",
    "weight",
    "call-load",
    "relative-weight",
];

const EXPRESSION: &str = "expression";

/// The variables of an expression, of two letters each; `$hdr(Name)` besides.
pub(super) const VARIABLES: [&str; 13] = [
    "ci", "fu", "fU", "fd", "tu", "tU", "td", "ru", "rU", "rd", "au", "si", "ua",
];

pub(super) fn dispatcher<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Dispatcher> {
    let algorithm = algorithm(report, &mut s);
    let mut sets = Vec::new();
    let mut lines = HashMap::new();
    for mut s in tables(report, &mut s, "set", "dispatcher.set") {
        let set = set(report, &mut s);
        let place = s.offset("set");
        s.finish(report);
        if let Some(earlier) = lines.insert(set.set, place) {
            let line = report.line(earlier);
            report.add(
                place,
                "dispatcher.set.set",
                format!("set {} is described on line {line} already", set.set),
                "describe each set once",
            );
        } else {
            sets.push(set);
        }
    }
    let value = Dispatcher {
        algorithm,
        sets,
        probe_interval: seconds(report, &mut s, "probe_interval", 0..=3_600, 10),
        probe_timeout: seconds(report, &mut s, "probe_timeout", 1..=3_600, 4),
        probe_failures: s.integer(report, "probe_failures", 1..=1_000, 3),
        probe_successes: s.integer(report, "probe_successes", 1..=1_000, 3),
        first_response: millis(report, &mut s, "first_response", 100..=32_000, 2_000),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

fn set(report: &mut Report<'_>, s: &mut Section<'_>) -> DispatcherSet {
    // The columns are signed in Kamailio's tables.
    let numbers = 0..=i32::MAX.unsigned_abs();
    let set = s.required(report, "set", "set = 2");
    let set = set.and_then(|v| integer(report, v, "dispatcher.set.set", numbers.clone()));
    let fallback = s
        .value("fallback")
        .and_then(|v| integer(report, v, "dispatcher.set.fallback", numbers));
    if fallback.is_some() && fallback == set {
        s.mistake(
            report,
            "fallback",
            "is the set itself",
            "write another set, or leave it out",
        );
    }
    DispatcherSet {
        set: set.unwrap_or(0),
        algorithm: algorithm(report, s),
        fallback,
    }
}

/// `algorithm`, a name or Kamailio's number, and `expression`.
fn algorithm(report: &mut Report<'_>, s: &mut Section<'_>) -> Algorithm {
    let (key, expression_key) = (s.key("algorithm"), s.key("expression"));
    let mut name = ALGORITHMS[0];
    if let Some(value) = s.value("algorithm") {
        let known = if value.get_ref().as_str().is_some() {
            let text = string(report, value, &key).unwrap_or(name);
            let known = ALGORITHMS.into_iter().find(|known| *known == text);
            if known.is_none() {
                report.add(
                    value.span().start,
                    key,
                    format!("`{text}` is not an algorithm"),
                    format!(
                        "write one of {}, or Kamailio's number",
                        ALGORITHMS.join(", ")
                    ),
                );
            }
            known
        } else {
            let number = integer(report, value, &key, 0..=11_u8);
            number.and_then(|n| ALGORITHMS.get(usize::from(n)).copied())
        };
        name = known.unwrap_or(name);
    }
    let expression = s
        .value("expression")
        .and_then(|v| string(report, v, &expression_key))
        .unwrap_or_default()
        .to_owned();
    if name == EXPRESSION {
        if let Err(problem) = variable(&expression) {
            let remedy = format!(
                "write text with variables in it, such as \"$rU@$rd\": ${}, and $hdr(Name)",
                VARIABLES.join(", $")
            );
            s.mistake(report, "expression", problem, remedy);
        }
    } else if !expression.is_empty() {
        s.mistake(
            report,
            "expression",
            format!("counts for nothing with the algorithm `{name}`"),
            "write algorithm = \"expression\", or leave it out",
        );
    }
    Algorithm { name, expression }
}

/// Whether this is an expression that is not the same for every call.
fn variable(expression: &str) -> Result<(), String> {
    if check(expression)? {
        Ok(())
    } else {
        Err("is the same for every call".to_owned())
    }
}

/// Whether there is a variable in this expression, in which each dollar begins one, or is one of two.
pub(super) fn check(expression: &str) -> Result<bool, String> {
    let mut any = false;
    let mut rest = expression;
    while let Some((_, behind)) = rest.split_once('$') {
        if let Some(after) = behind.strip_prefix('$') {
            rest = after;
            continue;
        }
        let wrong = || Err(format!("has `${behind}`, which begins with no variable"));
        let end = |text: &str| text.find(')').unwrap_or(text.len());
        rest = if let Some(name) = behind.strip_prefix("hdr(") {
            let (name, after) = name.split_at_checked(end(name)).unwrap_or_default();
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
            if name.is_empty() || !name.chars().all(is_token) || after.is_empty() {
                return wrong();
            }
            after
        } else {
            let name = behind.strip_prefix('(').unwrap_or(behind);
            let (name, after) = name.split_at_checked(2).unwrap_or_default();
            let closed = !behind.starts_with('(') || after.starts_with(')');
            if !VARIABLES.contains(&name) || !closed {
                return wrong();
            }
            after
        };
        any = true;
    }
    Ok(any)
}
