//! What a change of each key needs before it counts.

use std::fmt;

/// What has to happen for a change to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing: the signaling plane takes it while it runs.
    Live,
    /// The signaling plane is started again.
    Sigplane,
    /// The dataplane is.
    Dataplane,
    /// Both are.
    Both,
}

impl Needs {
    /// Its name for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sigplane => "sigplane restart",
            Self::Dataplane => "dataplane restart",
            Self::Both => "sigplane and dataplane restart",
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

use Needs::{Both, Dataplane, Live, Sigplane};

/// Every key, or the section that all below it are like, in the order of the example file. Of several rows that fit the
/// longest counts. A key that the signaling plane reads from [`crate::Config`] only at its start is not `Live`.
const KEYS: &[(&str, Needs)] = &[
    ("node.id", Sigplane),
    ("node.state_dir", Sigplane),
    ("node.run_dir", Both),
    ("dataplane", Dataplane),
    // The number of SIP workers may depend on it.
    ("dataplane.workers", Both),
    ("port", Both),
    ("port.rx_workers", Dataplane),
    ("realm", Both),
    ("media.relay_workers", Dataplane),
    ("media.learning", Dataplane),
    ("media.source", Live),
    ("media.max_packets_per_second", Live),
    ("media.max_bytes_per_second", Live),
    ("media.dscp", Live),
    ("media.timeout", Live),
    ("media.hold_timeout", Live),
    ("media.max_duration", Live),
    ("media.port_rest", Live),
    ("sip.t1", Live),
    ("sip.timer_c", Live),
    ("sip.max_message", Live),
    ("sip.max_headers", Live),
    ("sip.max_vias", Live),
    ("sip.workers", Sigplane),
    ("sip.cores", Sigplane),
    ("sip.coalesce", Live),
    ("sip.server", Live),
    ("sip.kernel", Sigplane),
    ("sip.listen", Sigplane),
    ("tls", Live),
    ("streams", Live),
    ("defence", Live),
    ("police", Live),
    ("police.max_registered", Dataplane),
    ("police.max_unknown", Dataplane),
    ("overload", Live),
    ("routing", Live),
    // Its file is read by a thread that has its name.
    ("routing.geoip", Sigplane),
    ("trunk", Live),
    ("tenant", Live),
    ("rule", Live),
    ("site", Live),
    ("nat", Live),
    ("stateless", Live),
    ("hiding.enabled", Live),
    // Calls whose key is not in the new file would be lost.
    ("hiding.keys", Sigplane),
    ("hiding.hide_software", Live),
    ("hiding.strip_headers", Live),
    ("hiding.domains", Live),
    ("registrar", Live),
    ("dispatcher", Live),
    ("dns", Live),
    ("database.url", Sigplane),
    ("database.password_file", Sigplane),
    ("database.tls", Sigplane),
    ("database.ca", Sigplane),
    ("database.timeout", Sigplane),
    ("database.acc", Live),
    // Calls that are up have rows there, or have none.
    ("database.dialog", Sigplane),
    ("database.reload_interval", Live),
    ("admin.socket", Sigplane),
    ("admin.tokens", Sigplane),
    ("http", Sigplane),
    ("freeswitch", Live),
    ("freeswitch.event_socket", Sigplane),
    ("freeswitch.event_socket_password_file", Sigplane),
    ("freeswitch.event_socket_interval", Sigplane),
];

/// What a change of a key needs: `realm.media_ports`, without the names of list elements. A key that nobody has
/// thought of is not taken while running.
#[must_use]
pub fn needs(key: &str) -> Needs {
    row(key).map_or(Both, |(_, (_, needs))| *needs)
}

/// Its place in the table and its row there.
pub(crate) fn row(key: &str) -> Option<(usize, &'static (&'static str, Needs))> {
    let fits = |prefix: &str| {
        let rest = key.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let rows = KEYS.iter().enumerate();
    rows.filter(|(_, (prefix, _))| fits(prefix))
        .max_by_key(|(_, (prefix, _))| prefix.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of the example file, those that are switched off included.
    fn example() -> Vec<String> {
        let mut section = String::new();
        let mut keys = Vec::new();
        for line in include_str!("../tandem.example.toml").lines() {
            let line = line.strip_prefix("# ").unwrap_or(line);
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if let Some(name) = line.strip_prefix('[') {
                let name = name.trim_start_matches('[').trim_end_matches(']');
                if name.chars().all(plain) {
                    section = name.to_owned();
                }
            } else if let Some((key, _)) = line.split_once(" = ")
                && key.chars().all(plain)
            {
                keys.push(format!("{section}.{key}"));
            }
        }
        keys
    }

    #[test]
    fn every_key_of_the_example_has_a_class_and_every_class_a_key() {
        let keys = example();
        assert!(keys.len() > 100, "{keys:?}");
        let without: Vec<_> = keys.iter().filter(|key| row(key).is_none()).collect();
        assert!(
            without.is_empty(),
            "say in KEYS what a change of these needs: {without:?}"
        );
        let used: BTreeSet<_> = keys.iter().filter_map(|k| row(k)).map(|r| r.0).collect();
        let unused: Vec<_> = (0..KEYS.len()).filter(|n| !used.contains(n)).collect();
        let unused: Vec<_> = unused.iter().map(|n| KEYS[*n].0).collect();
        assert!(unused.is_empty(), "no key is like these: {unused:?}");
    }

    #[test]
    fn the_longest_row_counts_and_what_is_not_known_is_not_live() {
        assert_eq!(needs("dataplane.mbufs"), Dataplane);
        assert_eq!(needs("dataplane.workers"), Both);
        assert_eq!(needs("dispatcher.set.algorithm"), Live);
        assert_eq!(needs("tlsx.ca"), Both);
        assert_eq!(needs(""), Both);
    }
}
