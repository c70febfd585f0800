//! What differs between two configurations, key by key.
//!
//! What is compared is what was read, not the text: a default that somebody writes down is no change. Elements of a list of
//! sections are told apart by what they are named by in the file, so that one that moved is not taken for many that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::database::{HIDDEN, SHOWN};
use crate::keys::{self, Needs};
use crate::model::Config;

/// What names an element of a list of sections: the first of these that it has.
const NAMES: &[(&str, &[&str])] = &[
    ("sip.listen", &["transport", "listen"]),
    ("sip.kernel", &["listen"]),
    ("tls.certificate", &["chain"]),
    ("tls.trunk", &["names"]),
    ("dispatcher.set", &["set"]),
];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key with the names of list elements: `realm[carrier].media_ports`.
    pub key: String,
    /// What was there; none for an element of a list that is new. Secrets are not shown.
    pub old: Option<String>,
    /// What is there now; none for an element that is gone.
    pub new: Option<String>,
    /// What the change needs.
    pub needs: Needs,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, old, new, .. } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "{key}: {old} -> {new}"),
            (None, Some(new)) => write!(f, "{key}: added, {new}"),
            (Some(old), None) => write!(f, "{key}: removed, was {old}"),
            (None, None) => write!(f, "{key}"),
        }
    }
}

/// Every difference, in the order of the example file.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut found = Found::default();
    found.compare(&Place::default(), Some(&tree(old)), Some(&tree(new)));
    found.sorted()
}

/// All of it as a tree, with names where the model has places in a list.
fn tree(config: &Config) -> Value {
    // Nothing in the model can fail to be written down.
    let mut tree = serde_json::to_value(config).unwrap_or_default();
    let port = |at: u16| config.ports.get(usize::from(at)).map(|p| p.name.clone());
    let realm = |at: u16| config.realms.get(usize::from(at)).map(|r| r.name.clone());
    named(tree.pointer_mut("/realm"), "port", port);
    named(tree.pointer_mut("/sip/listen"), "realm", realm);
    tree
}

fn named(list: Option<&mut Value>, key: &str, name: impl Fn(u16) -> Option<String>) {
    for element in list.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(value) = element.get_mut(key) else {
            continue;
        };
        let at = value.as_u64().and_then(|at| u16::try_from(at).ok());
        if let Some(name) = at.and_then(&name) {
            *value = name.into();
        }
    }
}

/// Where in the tree.
#[derive(Clone, Default)]
struct Place {
    /// Without names: the key.
    key: String,
    /// With them.
    shown: String,
}

impl Place {
    fn below(&self, key: &str) -> Self {
        let join = |above: &str| match above {
            "" => key.to_owned(),
            above => format!("{above}.{key}"),
        };
        Self {
            key: join(&self.key),
            shown: join(&self.shown),
        }
    }

    fn element(&self, name: &str) -> Self {
        Self {
            key: self.key.clone(),
            shown: format!("{}[{name}]", self.shown),
        }
    }
}

/// The differences so far, with the place of their key in the table.
#[derive(Default)]
struct Found(Vec<(usize, Change)>);

impl Found {
    fn sorted(mut self) -> Vec<Change> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, change)| change).collect()
    }

    fn add(&mut self, place: &Place, old: Option<String>, new: Option<String>) {
        let change = Change {
            key: place.shown.clone(),
            old,
            new,
            needs: keys::needs(&place.key),
        };
        let row = keys::row(&place.key).map_or(usize::MAX, |(row, _)| row);
        self.0.push((row, change));
    }

    fn compare(&mut self, place: &Place, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new)))
                if is_section(old) && is_section(new) =>
            {
                let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for key in keys {
                    self.compare(&place.below(key), old.get(key), new.get(key));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new)))
                if is_list_of_sections(old) && is_list_of_sections(new) =>
            {
                self.compare_lists(place, old, new);
            }
            (old, new) => {
                let (was, is) = (old.map(text), new.map(text));
                if was == is {
                    // What differs is not shown.
                    let is = is.map(|is| format!("{is}, another secret"));
                    return self.add(place, was, is);
                }
                self.add(place, was, is);
            }
        }
    }

    fn compare_lists(&mut self, place: &Place, old: &[Value], new: &[Value]) {
        let (old_names, new_names) = (names(place, old), names(place, new));
        let find = |names: &[String], list: &[Value]| -> BTreeMap<String, Value> {
            names.iter().cloned().zip(list.iter().cloned()).collect()
        };
        let (was, is) = (find(&old_names, old), find(&new_names, new));
        for name in &old_names {
            self.compare(&place.element(name), was.get(name), is.get(name));
        }
        for name in new_names.iter().filter(|name| !was.contains_key(*name)) {
            self.compare(&place.element(name), None, is.get(name));
        }
        // The first one that fits counts in some lists.
        let stays = |names: &[String], others: &BTreeMap<String, Value>| -> Vec<String> {
            let stays = names.iter().filter(|name| others.contains_key(*name));
            stays.cloned().collect()
        };
        let (before, after) = (stays(&old_names, &is), stays(&new_names, &was));
        if before != after {
            let order = Place {
                key: place.key.clone(),
                shown: format!("{} (order)", place.shown),
            };
            self.add(&order, Some(before.join(", ")), Some(after.join(", ")));
        }
    }
}

/// Whether it has keys of the file, and is no single value.
fn is_section(map: &Map<String, Value>) -> bool {
    let is = |keys: &[&str]| map.len() == keys.len() && keys.iter().all(|k| map.contains_key(*k));
    !is(&["secs", "nanos"]) && !is(&["start", "end"]) && !is(&[SHOWN, HIDDEN])
}

fn is_list_of_sections(list: &[Value]) -> bool {
    list.iter()
        .all(|element| element.as_object().is_some_and(is_section))
}

/// A name for each element, no two alike.
fn names(place: &Place, list: &[Value]) -> Vec<String> {
    let known = NAMES.iter().find(|(key, _)| *key == place.key);
    let mut names: Vec<String> = Vec::new();
    for (at, element) in (1..).zip(list) {
        let part = |key: &&str| element.get(key).map(plain);
        let name = match known {
            Some((_, keys)) => keys.iter().filter_map(part).collect::<Vec<_>>().join(" "),
            None => ["name", "id", "prefix"]
                .iter()
                .find_map(part)
                .unwrap_or_else(|| at.to_string()),
        };
        let same = |n: &&String| **n == name || n.starts_with(&format!("{name}#"));
        let name = match names.iter().filter(same).count() {
            0 => name,
            before => format!("{name}#{}", before + 1),
        };
        names.push(name);
    }
    names
}

/// What says no more than that nothing is there.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// A value as a name: without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        value => text(value),
    }
}

/// A value as it is shown.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(list) => {
            let parts: Vec<String> = list.iter().map(text).collect();
            format!("[{}]", parts.join(", "))
        }
        Value::Object(map) => special(map).unwrap_or_else(|| {
            let set = map.iter().filter(|(_, value)| !is_nothing(value));
            let parts: Vec<String> = set.map(|(key, v)| format!("{key} = {}", text(v))).collect();
            parts.join(", ")
        }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn special(map: &Map<String, Value>) -> Option<String> {
    if let (Some(secs), Some(nanos)) = (map.get("secs"), map.get("nanos")) {
        return Some(duration(secs.as_u64()?, nanos.as_u64()?));
    }
    if let (Some(start), Some(end)) = (map.get("start"), map.get("end")) {
        return Some(format!("[{start}, {end}]"));
    }
    map.get(SHOWN).filter(|_| map.len() == 2).map(text)
}

fn duration(secs: u64, nanos: u64) -> String {
    let micros = secs.saturating_mul(1_000_000).saturating_add(nanos / 1_000);
    match micros {
        micros if micros.is_multiple_of(1_000_000) => format!("{secs} s"),
        micros if micros.is_multiple_of(1_000) => format!("{} ms", micros / 1_000),
        micros => format!("{micros} us"),
    }
}
