//! `cargo xtask counters`: the guide's list of counters, made from the sources that declare them.
//!
//! Each room declares its counters in one `counters!` block, a documentation line and a name each.
//! What is not declared so (gauges with a port's name in them) stands below, in [`GAUGES`].

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
];

/// The guide's page.
pub(crate) const PAGE: &str = "docs/guide/counters.md";

const HEAD: &str = "# Counters

Every outcome has a named counter; `tandemctl counters --all` shows their values, `--json` for programs. A
packet or message that is dropped or refused moves exactly one counter that says why. This page is made from
the sources by `cargo xtask counters --write`, and `make test` checks that it is up to date.
";

const GAUGES: &str = "
## Gauges, and figures of ports

| name | meaning |
|---|---|
| `mbufs_free`, `mbufs_in_use` | packet buffers |
| `port_NAME_rx_packets` and so on | the DPDK port's own figures: packets, bytes, errors, missed, no buffer |
| `port_NAME_kernel_...` | for a virtual device on a kernel interface, that interface's figures |
| `port_NAME_link_up` | 1 while the link is up |
| `worker_N_poll_busy`, `worker_N_poll_idle`, `worker_N_poll_busy_ns` | the same figures for each worker |
| `calls_now` | calls in any state |
| `transactions_client_now`, `transactions_server_now` | SIP transactions |
| `media_port_pairs_used`, `media_port_pairs_free` | the allocator's port pairs, over all realms |
| `dataplane_ready` | 1 while flows can be installed |
| `journal_bytes`, `journal_live_bytes` | the journal's size, and how much of it is still needed |
| `journal_sync_failures` | attempts to bring the journal to the disk that the disk refused |
| `journal_sound` | 0 from such a failure until all live calls were written anew |
| `net_ring_corrupt`, `net_ring_dropped_by_dataplane` | faults of the SIP rings, as the signaling plane sees them |

## Session descriptions

| name | meaning |
|---|---|
| `sdp_no_connection` | refused with 488: no `c=` for a media line |
| `sdp_connection_name` | 488: a host name in `c=` |
| `sdp_multicast` | 488: a multicast address |
| `sdp_port_count` | 488: a port count above 1 |
| `sdp_family_unavailable` | 488: an address family that the realm does not have |
| `sdp_answer_without_offer`, `sdp_answer_lines` | 488: an answer that fits no offer |
| `sdp_too_long`, `sdp_too_many_media` | 488: above 16 KiB, or above 16 media lines |
| `sdp_empty`, `sdp_bad_line`, `sdp_bad_version`, `sdp_no_origin`, `sdp_bad_origin`, `sdp_bad_connection`, \
`sdp_repeated_line`, `sdp_bad_media`, `sdp_bad_rtcp` | 400: not a session description |
| `sdp_media_disabled` | TCP or unknown media lines passed on with port 0 |
| `media_ports_exhausted` | 503: no port pair free |
| `media_learning_reopened` | new addresses or forks that let a leg learn its source again |
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
    page.push_str(GAUGES);
    Ok(page)
}

/// The names and documentation of the counters that a source declares.
fn declared(source: &str) -> Vec<(String, String)> {
    let mut counters = Vec::new();
    let mut inside = false;
    let mut meaning = String::new();
    for line in source.lines() {
        let line = line.trim();
        if line.starts_with("counters! {") {
            inside = true;
        } else if inside && line == "}" {
            meaning.clear();
        } else if let (true, Some(text)) = (inside, line.strip_prefix("///")) {
            meaning.push_str(text);
        } else if let (true, Some(declaration)) = (inside, line.strip_suffix(',')) {
            let name = match declaration.split_once(" = ") {
                Some((_, quoted)) => quoted.trim_matches('"'),
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
