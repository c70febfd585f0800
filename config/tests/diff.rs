//! What differs between two files, and what it needs.
#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use tandem_config::{Change, Needs, diff, needs, parse, place, without_secrets};

const EXAMPLE: &str = include_str!("../tandem.example.toml");

fn between(old: &str, new: &str) -> Vec<Change> {
    let read = |text: &str| parse(text).unwrap();
    diff(&read(old), &read(new))
}

/// What is said when lines are appended.
fn appended(lines: &str) -> Vec<String> {
    said(EXAMPLE, &format!("{EXAMPLE}{lines}"))
}

fn said(old: &str, new: &str) -> Vec<String> {
    between(old, new).iter().map(ToString::to_string).collect()
}

/// The example with lines in one of its sections.
fn within(section: &str, lines: &str) -> String {
    let head = format!("[{section}]\n");
    assert!(EXAMPLE.contains(&head), "{section}");
    EXAMPLE.replacen(&head, &format!("{head}{lines}\n"), 1)
}

#[test]
fn every_key_that_the_example_can_have_is_compared_and_has_a_class() {
    // With every `# key = value` line switched on.
    let full: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let changes = between(EXAMPLE, &full);
    assert!(changes.iter().any(|c| c.key == "routing.registrar_set"));
    let names: Vec<&str> = changes.iter().map(|c| c.key.as_str()).collect();
    assert!(names.contains(&"database.url"), "{names:?}");
    assert_eq!(between(&full, &full), []);
    // A default that is written down is no change.
    assert!(
        !names.iter().any(|name| name.starts_with("media.")),
        "{names:?}"
    );
}

#[test]
fn each_change_is_named_with_old_and_new_and_what_it_needs() {
    let changes = between(EXAMPLE, &within("routing", "pool_set = 2\ndids = true"));
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["routing.dids: false -> true", "routing.pool_set: 1 -> 2"]
    );
    assert!(changes.iter().all(|c| c.needs == Needs::Live));

    assert_eq!(
        said(EXAMPLE, &within("sip", "t1 = 250\ncoalesce = 1500")),
        ["sip.t1: 500 ms -> 250 ms", "sip.coalesce: 1 ms -> 1500 us",]
    );
    assert_eq!(
        said(EXAMPLE, &within("dispatcher", "probe_interval = 20")),
        ["dispatcher.probe_interval: 10 s -> 20 s"]
    );
    assert_eq!(
        said(EXAMPLE, &within("defence", "trusted = [\"192.0.2.0/24\"]")),
        ["defence.trusted: [] -> [\"192.0.2.0/24\"]"]
    );
    assert_eq!(
        said(EXAMPLE, &within("routing", "registrar_set = 7")),
        ["routing.registrar_set: none -> 7"]
    );
    // The order of the file.
    let both =
        within("dataplane", "mbufs = 2047").replacen("[overload]\n", "[overload]\ntarget = 0\n", 1);
    let changes = between(EXAMPLE, &both);
    let needed: Vec<_> = changes.iter().map(|c| (c.key.as_str(), c.needs)).collect();
    assert_eq!(
        needed,
        [
            ("dataplane.mbufs", Needs::Dataplane),
            ("overload.target", Needs::Live),
        ]
    );
}

#[test]
fn elements_of_lists_go_by_their_names() {
    let realm = EXAMPLE.replacen("media_ports = [", "media_ports = [ ", 1);
    assert_eq!(said(EXAMPLE, &realm), [] as [&str; 0]);
    let set = "[[dispatcher.set]]\nset = 2\nalgorithm = \"weight\"\n";
    let other = "[[dispatcher.set]]\nset = 9\nfallback = 2\n";
    assert_eq!(
        appended(set),
        ["dispatcher.set[2]: added, algorithm = \"weight\", set = 2"]
    );
    let (one, two) = (
        format!("{EXAMPLE}{set}{other}"),
        format!("{EXAMPLE}{other}{set}"),
    );
    assert_eq!(said(&one, &two), ["dispatcher.set (order): 2, 9 -> 9, 2"]);
    assert_eq!(
        said(&one, &two.replace("fallback = 2", "fallback = 1")),
        [
            "dispatcher.set[9].fallback: 2 -> 1",
            "dispatcher.set (order): 2, 9 -> 9, 2",
        ]
    );
    assert_eq!(
        said(&one, &format!("{EXAMPLE}{other}")),
        ["dispatcher.set[2]: removed, was algorithm = \"weight\", set = 2"]
    );
    let trunks = |names: &str| {
        format!(
            "{EXAMPLE}[[tls.trunk]]\nnetworks = [\"10.0.0.0/8\"]\nnames = [\"{names}\"]\nca = \"/ca\"\n"
        )
    };
    let changes = said(&trunks("a.example"), &trunks("b.example"));
    assert!(
        changes[0].starts_with("tls.trunk[a.example]: removed"),
        "{changes:?}"
    );
    assert!(
        changes[1].starts_with("tls.trunk[b.example]: added"),
        "{changes:?}"
    );
}

#[test]
fn rules_have_names_and_an_order() {
    let rule = |name: &str, code: u16| {
        format!("[[rule]]\nname = \"{name}\"\naction = \"reject\"\ncode = {code}\n")
    };
    let text = |rules: &[String]| format!("{EXAMPLE}{}", rules.concat());
    let (a, b) = (rule("a", 403), rule("b", 404));
    let changes = between(&text(&[a.clone(), b.clone()]), &text(&[b, rule("a", 486)]));
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["rule[a].code: 403 -> 486", "rule (order): a, b -> b, a"]
    );
    assert!(changes.iter().all(|change| change.needs == Needs::Live));
    let added = said(&text(&[]), &text(&[a]));
    assert_eq!(
        added,
        ["rule[a]: added, action = \"reject\", code = 403, name = \"a\""]
    );
}

#[test]
fn a_realms_port_is_shown_by_its_name() {
    let config = parse(EXAMPLE).unwrap();
    let (first, second) = (&config.ports[0].name, &config.ports[1].name);
    let line = format!("port = \"{first}\"");
    let moved = EXAMPLE.replacen(&line, &format!("port = \"{second}\"\nvlan = 7"), 1);
    let changes = between(EXAMPLE, &moved);
    let realm = &config.realms[0].name;
    assert_eq!(changes[0].key, format!("realm[{realm}].port"));
    assert_eq!(changes[0].new, Some(format!("\"{second}\"")));
    assert_eq!(changes[0].needs, Needs::Both);
}

#[test]
fn a_password_is_never_shown_and_a_changed_one_is_a_change() {
    let with = |url: &str| within("database", &format!("url = \"{url}\""));
    let one = with("mysql://u:geheim@db1:3307,db2/d");
    let other = with("mysql://u:secreto@db1:3307,db2/d");
    assert_eq!(
        said(&one, &other),
        [
            "database.url: \"mysql://u:***@db1:3307,db2/d\" -> \"mysql://u:***@db1:3307,db2/d\", another secret"
        ]
    );
    let moved = said(&one, &with("mysql://u@db1/d"));
    assert_eq!(moved.len(), 1);
    assert!(!moved[0].contains("geheim"), "{moved:?}");
    assert_eq!(needs("database.url"), Needs::Sigplane);
}

proptest! {
    #[test]
    fn any_text_has_places_and_hides_its_password(text in "(\\PC|\n){0,80}", key in "[a-z.]{0,20}", nth in 0..3_usize) {
        let (line, column) = place(&text, &key, nth);
        prop_assert!(line >= 1 && column >= 1);
        let url = format!("{text}\n[database]\nurl = \"mysql://u:geheim@h/d\"\n");
        prop_assert!(parse(&url).is_ok() || !without_secrets(&url).is_empty());
    }
}
