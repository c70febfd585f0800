//! `cargo xtask counters`: the guide's list of counters, made from the sources that declare them.
//!
//! Each room declares its counters in one `counters!` block, a documentation line and a name each.
//! What is not declared so (figures with a port's name in them) stands below, in [`PATTERNS`].
//!
//! The same texts are made into a table for the metrics, whose help texts they are.

use std::fmt::Write as _;

/// Where counters are declared: the section's heading and the source.
const SOURCES: &[(&str, &str)] = &[
    (
        "Dataplane: what became of packets",
        "dataplane/relay/src/counters.rs",
    ),
    (
        "Dataplane: threads and rings",
        "dataplane/daemon/src/counters.rs",
    ),
    (
        "Signaling plane: SIP and calls",
        "sigplane/call/src/counters.rs",
    ),
    (
        "Signaling plane: sockets, link and journal",
        "sigplane/daemon/src/worker/counters.rs",
    ),
    (
        "Signaling plane: changes of the configuration",
        "sigplane/daemon/src/change/counters.rs",
    ),
    (
        "Signaling plane: TCP, TLS and WebSocket",
        "sigplane/net/src/streams/counters.rs",
    ),
    (
        "Signaling plane: HTTP",
        "sigplane/daemon/src/http/counters.rs",
    ),
    (
        "Signaling plane: FreeSWITCH",
        "sigplane/daemon/src/freeswitch/counters.rs",
    ),
    (
        "Gauges, and counters that are there when they have moved once",
        "sigplane/daemon/src/metrics/named.rs",
    ),
    (
        "Latency histograms of SIP and calls (in the metrics alone)",
        "sigplane/call/src/core/latency.rs",
    ),
    (
        "Latency histograms of the database and the journal (in the metrics alone)",
        "sigplane/daemon/src/metrics/latency.rs",
    ),
];

/// How a block begins that declares some.
const BLOCKS: [&str; 3] = ["counters! {", "gauges! {", "histograms! {"];

/// The help texts of the metrics.
pub(crate) const HELP: &str = "sigplane/daemon/src/metrics/help.rs";

/// The guide's page.
pub(crate) const PAGE: &str = "docs/guide/counters.md";

const HEAD: &str = "# Counters

Every outcome has a named counter; `tandemctl counters --all` shows their values, `--json` for programs. A
packet or message that is dropped or refused moves exactly one counter that says why. This page is made from
the sources by `cargo xtask counters --write`, and `make test` checks that it is up to date.
";

const PATTERNS: &str = "
## Figures of ports and workers

| name | meaning |
|---|---|
| `port_NAME_rx_packets` and so on | the DPDK port's own figures: packets, bytes, errors, missed, no buffer |
| `port_NAME_kernel_...` | for a virtual device on a kernel interface, that interface's figures |
| `port_NAME_link_up` | 1 while the link is up |
| `worker_N_poll_busy`, `worker_N_poll_idle`, `worker_N_poll_busy_ns`, `worker_N_poll_idle_ns` | the same figures for each worker |
| `worker_N_relayed` | packets that a worker relayed |
| `worker_N_gaps`, `worker_N_longest_gap_ns` | how often a worker was away for more than 1 ms, and for how long at most; `poll_gaps` is the sum of all workers |
| `worker_N_latency_NS` | packets that were here for less than so many nanoseconds, and not less than the bound before: a histogram with eight steps to a doubling |
";

/// The page as the sources make it.
pub(crate) fn page(read: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut page = HEAD.to_owned();
    for (heading, source) in SOURCES {
        let counters = declared(&read(source)?);
        if counters.is_empty() {
            return Err(format!(
                "{source} declares no counters in a `counters!` block"
            ));
        }
        let _ = write!(page, "\n## {heading}\n\n| name | meaning |\n|---|---|\n");
        for (name, meaning) in counters {
            let _ = writeln!(page, "| `{name}` | {meaning} |");
        }
    }
    page.push_str(PATTERNS);
    Ok(page)
}

/// The help texts as the sources make them: one for each name, the first that there is.
pub(crate) fn help(read: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut text = "//! What each counter, gauge and histogram means: made from their declarations by `cargo xtask counters --write`.

#[rustfmt::skip]
pub(super) const HELP: &[(&str, &str)] = &[
"
    .to_owned();
    let mut known = std::collections::BTreeSet::new();
    for (_, source) in SOURCES {
        for (name, meaning) in declared(&read(source)?) {
            let meaning = meaning.replace("\\|", "|");
            if known.insert(name.clone()) {
                let _ = writeln!(text, "    ({name:?}, {meaning:?}),");
            }
        }
    }
    text.push_str("];\n");
    Ok(text)
}

/// The names and documentation of the counters that a source declares.
fn declared(source: &str) -> Vec<(String, String)> {
    let mut counters = Vec::new();
    let mut inside = false;
    let mut meaning = String::new();
    for line in source.lines() {
        let line = line.trim();
        if BLOCKS.iter().any(|block| line.starts_with(block)) {
            inside = true;
        } else if inside && line == "}" {
            meaning.clear();
        } else if let (true, Some(text)) = (inside, line.strip_prefix("///")) {
            meaning.push_str(text);
        } else if let (true, Some(declaration)) = (inside, line.strip_suffix(',')) {
            let name = match declaration.split_once(" = ") {
                Some((_, quoted)) => quoted.split('"').nth(1).unwrap_or_default(),
                None => declaration,
            };
            let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.is_empty() && name.chars().all(valid) {
                counters.push((name.to_owned(), meaning.trim().replace('|', "\\|")));
            }
            meaning.clear();
        } else if line.ends_with('{') {
            // The heading of a set within the block.
            meaning.clear();
        } else if line.starts_with("#[cfg(test)]") {
            break;
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_declaration_are_read() {
        let source = "macro_rules! counters {}\ncounters! {\n    /// A set.\n    Set {\n        \
            /// One\n        /// thing.\n        one_thing,\n    }\n}\n\ncounters! {\n    /// Two.\n    \
            Two = \"two_things\",\n}\n#[cfg(test)]\nmod tests { x, }\n";
        let expected = [("one_thing", "One thing."), ("two_things", "Two.")];
        let found = declared(source);
        assert_eq!(found.len(), 2, "{found:?}");
        for ((name, meaning), (n, m)) in found.iter().zip(expected) {
            assert_eq!((name.as_str(), meaning.as_str()), (n, m));
        }
    }

    #[test]
    fn a_source_without_counters_is_an_error() {
        assert!(page(|_| Ok(String::new())).is_err());
    }
}
