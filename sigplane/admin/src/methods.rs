//! Every method: who may call it, what it takes, and what it is for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client may do. Each may all that those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Read,
    /// Steer what runs: targets, calls, registrations, blocks; read files and tables again.
    Operate,
    /// Everything: captures and the configuration, too.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// Its name in files and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a method changes something, and has a line in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// It only looks.
    Nothing,
    /// It does; the line has its parameters.
    Something,
    /// It does; its parameters may have secrets in them, and are not in the line.
    Secrets,
}

/// A method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name, Kamailio's where that has the thing.
    pub name: &'static str,
    /// The least role that may call it.
    pub role: Role,
    /// Whether it changes something.
    pub changes: Changes,
    /// Its parameters' names, in the order in which a list has them.
    pub params: &'static [&'static str],
    /// What it is for, for people.
    pub about: &'static str,
}

/// The method of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

const fn looks(name: &'static str, params: &'static [&'static str], about: &'static str) -> Method {
    Method {
        name,
        role: Role::Read,
        changes: Changes::Nothing,
        params,
        about,
    }
}

const fn steers(
    name: &'static str,
    params: &'static [&'static str],
    about: &'static str,
) -> Method {
    Method {
        name,
        role: Role::Operate,
        changes: Changes::Something,
        params,
        about,
    }
}

const fn administers(
    name: &'static str,
    params: &'static [&'static str],
    about: &'static str,
) -> Method {
    Method {
        name,
        role: Role::Admin,
        changes: Changes::Something,
        params,
        about,
    }
}

/// Its parameters are a configuration, which may have a password in it.
const fn secrets(
    name: &'static str,
    params: &'static [&'static str],
    about: &'static str,
) -> Method {
    Method {
        changes: Changes::Secrets,
        ..administers(name, params, about)
    }
}

use crate::config::method as c;
use crate::types::method as m;

/// Every method, by its name.
pub const METHODS: &[Method] = &[
    looks(
        m::INFO,
        &[],
        "What runs here: version, node, process, start",
    ),
    looks(
        m::STATUS,
        &[],
        "Both planes, calls, flows, targets, database and journal",
    ),
    looks(m::UPTIME, &[], "Since when the signaling plane runs"),
    looks(m::VERSION, &[], "The version, as text"),
    looks(
        m::DISPATCHER_LIST,
        &[],
        "Every target with its state, calls and probe latency",
    ),
    steers(
        m::DISPATCHER_RELOAD,
        &[],
        "Reads the tables of the database again",
    ),
    steers(
        m::DISPATCHER_SET_STATE,
        &["state", "set", "target"],
        "Says what state a target has; Kamailio's letters (a, i, d, t, with p) are understood",
    ),
    steers(
        m::DLG_END,
        &["key"],
        "Ends the call with this number: BYE to both sides, or a refusal before its answer",
    ),
    looks(
        m::DLG_LIST,
        &["after", "limit"],
        "Calls in the order of their numbers, a page at a time",
    ),
    looks(m::DLG_STATS_ACTIVE, &[], "How many calls are in each state"),
    steers(
        m::DLG_TERMINATE,
        &["call_id", "from_tag", "to_tag"],
        "Ends the calls with this Call-ID: BYE to both sides, or a refusal before the answer",
    ),
    looks(m::HTABLE_DUMP, &["table"], "A table in memory, row by row"),
    looks(m::HTABLE_LIST, &[], "The tables in memory"),
    looks(
        m::PERMISSIONS_DUMP,
        &[],
        "The address table in force: who is a carrier",
    ),
    steers(
        m::PERMISSIONS_RELOAD,
        &[],
        "Reads the tables of the database again",
    ),
    looks(
        m::STATS_FETCH,
        &["names"],
        "Counters and gauges as an object, values as text",
    ),
    looks(
        m::STATS_FETCHN,
        &["names"],
        "Counters and gauges as an object, values as numbers",
    ),
    looks(
        m::STATISTICS,
        &["names"],
        "Counters and gauges: all, those of names, or of groups (`sip:`)",
    ),
    looks(m::LIST_METHODS, &[], "The methods that the caller may call"),
    looks(m::METHOD_HELP, &["method"], "What a method is for"),
    steers(
        m::BLOCK,
        &["address", "seconds"],
        "Blocks a source: an address, or the /64 of an IPv6 address",
    ),
    looks(
        m::BLOCKED,
        &[],
        "Every blocked source, why, and for how long yet",
    ),
    steers(m::UNBLOCK, &["address"], "Hears a blocked source again"),
    looks(
        m::ALARMS,
        &[],
        "What is wrong now: no dataplane, ports without a link, workers that are stuck, updates that failed",
    ),
    looks(
        m::PORTS,
        &[],
        "The dataplane's ports and queues: link, driver, packets, what was lost and why, restarts",
    ),
    looks(
        m::POLICE,
        &["address"],
        "How SIP is policed by its sources, and what is known of one",
    ),
    steers(
        m::RELAY_TEST,
        &[],
        "Each of the dataplane's workers relays a packet of its own, which leaves no port",
    ),
    looks(
        m::ROUTES_TEST,
        &["sender", "source", "uri", "from", "method"],
        "What rules, tables and limits would do with a request",
    ),
    secrets(
        c::CONFIG_APPLY,
        &["text", "confirm_within", "expected", "comment"],
        "Changes the configuration at once or not at all; it goes back by itself unless it is confirmed",
    ),
    secrets(
        c::CONFIG_CHECK,
        &["text"],
        "Every mistake of a configuration, those that only this machine can tell included",
    ),
    administers(
        c::CONFIG_CONFIRM,
        &["digest"],
        "Keeps what was applied: the file has it from now on",
    ),
    secrets(
        c::CONFIG_DIFF,
        &["text"],
        "What differs between what runs and a configuration, and what each needs",
    ),
    looks(
        c::CONFIG_HISTORY,
        &[],
        "The configurations that were in force",
    ),
    administers(
        c::CONFIG_REVERT,
        &["digest"],
        "Goes back now from what was applied",
    ),
    administers(
        c::CONFIG_ROLLBACK,
        &["revision", "confirm_within", "expected", "comment"],
        "Applies a revision of the history",
    ),
    administers(
        c::CONFIG_SHOW,
        &["revision"],
        "The text of the configuration, passwords masked",
    ),
    looks(
        c::CONFIG_STATUS,
        &[],
        "Which configuration runs, and what is to be confirmed",
    ),
    Method {
        name: m::CAPTURE,
        role: Role::Admin,
        changes: Changes::Something,
        params: &[],
        about: "What crosses the dataplane's ports, over the unix socket alone",
    },
    looks(
        m::FLOWS,
        &[],
        "Media flows with packets, loss and jitter in each direction",
    ),
    steers(m::TLS_RELOAD, &[], "Reads the certificates again"),
    looks(
        m::UL_DUMP,
        &["after", "limit"],
        "Registered users and their contacts, a page at a time",
    ),
    looks(m::UL_LOOKUP, &["table", "aor"], "The contacts of a user"),
    steers(m::UL_RM, &["table", "aor"], "Removes a user's contacts"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_names_and_an_order() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert!(Role::Read < Role::Operate && Role::Operate < Role::Admin);
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn each_method_is_there_once_and_what_changes_something_is_not_for_readers() {
        let mut names: Vec<_> = METHODS.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METHODS.len());
        for method in METHODS {
            assert_eq!(
                method.changes == Changes::Nothing,
                method.role == Role::Read,
                "{}",
                method.name
            );
            assert!(!method.about.is_empty());
        }
    }
}
