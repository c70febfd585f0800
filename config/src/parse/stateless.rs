//! `[stateless]`: SIP that the dataplane relays by itself.

use super::streams::boolean;
use super::table;
use crate::mistake::Report;
use crate::model::{Side, Stateless};
use crate::section::{Section, Value, integer, string};

/// `[stateless]`. `sides` are the realms' names and sides.
pub(super) fn stateless(
    report: &mut Report<'_>,
    root: &mut Section<'_>,
    sides: &[(String, Side)],
) -> Stateless {
    let mut s = table(report, root, "stateless", "stateless");
    let realms = s.list(report, "realms", |report, value, key| {
        realm(report, value, key, sides)
    });
    let set = s
        .value("set")
        .and_then(|value| integer(report, value, "stateless.set", 0..=u32::MAX));
    let record_route = s
        .value("record_route")
        .and_then(|value| boolean(report, value, "stateless.record_route"));
    s.finish(report);
    Stateless {
        realms: realms.unwrap_or_default(),
        set,
        record_route: record_route.unwrap_or(true),
    }
}

/// A realm's index.
fn realm(
    report: &mut Report<'_>,
    value: &Value<'_>,
    key: &str,
    sides: &[(String, Side)],
) -> Option<u16> {
    let name = string(report, value, key)?;
    let (problem, remedy) = match sides.iter().position(|(known, _)| known == name) {
        None => (
            format!("there is no realm `{name}`"),
            "name one of the realms of this file",
        ),
        Some(index)
            if sides
                .get(index)
                .is_some_and(|(_, side)| *side == Side::Internal) =>
        {
            (
                format!(
                    "`{name}` is internal: what comes from there is for others than the targets"
                ),
                "name external realms",
            )
        }
        Some(index) => return u16::try_from(index).ok(),
    };
    report.add(value.span().start, key, problem, remedy);
    None
}
