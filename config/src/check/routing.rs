//! What rules, trunks and tenants say of each other and of the rest.

use std::collections::HashMap;

use crate::mistake::Report;
use crate::parse::{Draft, Read};
use crate::routing::{Action, Sender};
use crate::section::Section;

pub(super) fn routing(draft: &Draft<'_>, report: &mut Report<'_>) {
    trunks(draft, report);
    tenants(draft, report);
    rules(draft, report);
    let routing = &draft.routing;
    if routing.value.trunk_routing && draft.trunks.is_empty() {
        routing.section.mistake(
            report,
            "trunk_routing",
            "leads nowhere: there is no trunk",
            "add a `[[trunk]]` for each carrier that the table names",
        );
    }
}

/// Dispatcher sets inside, with what has them.
fn inner(draft: &Draft<'_>) -> HashMap<u32, String> {
    let routing = &draft.routing.value;
    let mut sets = HashMap::from([(routing.pool_set, "the pool".to_owned())]);
    let more = [
        (routing.registrar_set, "the registrars"),
        (routing.conference_set, "the conferences"),
    ];
    for (set, name) in more {
        sets.extend(set.map(|set| (set, name.to_owned())));
    }
    for tenant in &draft.tenants {
        let name = || format!("the pool of `{}`", tenant.value.name);
        sets.extend(tenant.value.pool_set.map(|set| (set, name())));
    }
    sets
}

fn trunks(draft: &Draft<'_>, report: &mut Report<'_>) {
    let inner = inner(draft);
    let mut taken: HashMap<u32, &str> = HashMap::new();
    for Read { value, section } in &draft.trunks {
        if !section.has("set") {
            continue;
        }
        if let Some(whose) = inner.get(&value.set) {
            section.mistake(
                report,
                "set",
                format!("set {} is {whose}, inside", value.set),
                "write the set of the carrier's session border controllers",
            );
        }
        if let Some(other) = taken.insert(value.set, &value.name) {
            section.mistake(
                report,
                "set",
                format!("set {} is that of the trunk `{other}`", value.set),
                "give each trunk a set of its own",
            );
        }
        if value.changes_from() && !draft.hiding.enabled {
            let keys = ["calling", "caller_id", "from_domain"];
            let key = keys.iter().find(|key| section.has(key)).unwrap_or(&"name");
            section.mistake(
                report,
                key,
                "changes From, which finds back by the hidden Call-ID alone",
                "write `enabled = true` in `[hiding]`, or leave From as it is",
            );
        }
    }
}

fn tenants(draft: &Draft<'_>, report: &mut Report<'_>) {
    let routing = &draft.routing.value;
    for Read { value, section } in &draft.tenants {
        if value.pool_set == Some(routing.trunk_set) {
            section.mistake(
                report,
                "pool_set",
                format!("set {} is the trunk, outside", routing.trunk_set),
                "write the set of media servers",
            );
        }
    }
}

fn rules(draft: &Draft<'_>, report: &mut Report<'_>) {
    let trunk_names: Vec<&str> = draft.trunks.iter().map(|t| t.value.name.as_str()).collect();
    let tenant_names: Vec<&str> = draft
        .tenants
        .iter()
        .map(|t| t.value.name.as_str())
        .collect();
    let has_places = draft.routing.value.geoip.is_some();
    for Read { value, section } in &draft.rules {
        known(report, section, "trunk", &value.trunk, &trunk_names);
        known(report, section, "trunks", &value.trunks, &trunk_names);
        known(report, section, "tenant", &value.tenant, &tenant_names);
        if !value.country.is_empty() && !has_places {
            section.mistake(
                report,
                "country",
                "cannot be known: there is no database of where addresses are",
                "write `geoip = \"/var/lib/tandem/GeoLite2-City.mmdb\"` in `[routing]`",
            );
        }
        if value.action == Some(Action::Nearest) && !has_places {
            section.mistake(
                report,
                "action",
                "cannot know what is near: there is no database of where addresses are",
                "write `geoip = \"/var/lib/tandem/GeoLite2-City.mmdb\"` in `[routing]`",
            );
        }
        if value.action == Some(Action::Nearest) {
            let sites = draft.sites.iter().flat_map(|site| &site.value.sets);
            let placed: Vec<u32> = sites.copied().collect();
            let lost = value.sets.iter().find(|set| !placed.contains(set));
            if let Some(set) = lost {
                section.mistake(
                    report,
                    "sets",
                    format!("set {set} is nowhere"),
                    "add a `[[site]]` with it, `latitude` and `longitude`",
                );
            }
        }
        let pool = value.from.contains(&Sender::Pool);
        let outside = value.from.iter().any(|sender| *sender != Sender::Pool);
        if value.action == Some(Action::Dispatch) && pool == outside {
            section.mistake(
                report,
                "from",
                "does not say on which side the set is",
                "write `from = [\"carrier\", \"user\"]` for a set inside, or `from = [\"pool\"]` for one outside",
            );
        }
        let routed = |set: u32| draft.trunks.iter().any(|t| t.value.set == set);
        if value.action == Some(Action::Dispatch)
            && outside
            && let Some(set) = value
                .set
                .filter(|set| routed(*set) || *set == draft.routing.value.trunk_set)
        {
            section.mistake(
                report,
                "set",
                format!("set {set} is a trunk, outside"),
                "write a set of media servers",
            );
        }
    }
}

/// Names that have to be there.
fn known(
    report: &mut Report<'_>,
    section: &Section<'_>,
    key: &str,
    names: &[String],
    all: &[&str],
) {
    for name in names.iter().filter(|name| !all.contains(&name.as_str())) {
        let what = if key == "tenant" { "tenant" } else { "trunk" };
        let remedy = if all.is_empty() {
            format!("add a `[[{what}]]` with this name")
        } else {
            format!("write one of {}", all.join(", "))
        };
        section.mistake(report, key, format!("there is no {what} `{name}`"), remedy);
    }
}
