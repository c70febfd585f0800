//! Messages like those of RFC 4475 and RFC 5118 from a carrier to the core: what is said, what is passed on,
//! and which counters move.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test"
)]

#[path = "../../../sip/tests/torture/messages/mod.rs"]
mod messages;
mod rfc4475;
mod rfc5118;
mod survive;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeMap;

use world::*;

/// What becomes of a message, with the counters that move.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Passed to the other side with this start line, of the target only the user.
    Passed(String, Vec<&'static str>),
    /// Answered with this status.
    Answered(u16, Vec<&'static str>),
    /// Neither.
    Silence(Vec<&'static str>),
}

/// Until there is a registrar.
fn registered() -> Fate {
    answered(405, &["sip_requests_received", "sip_method_not_allowed"])
}

/// A call that goes to the pool.
fn called(user: &str) -> Fate {
    let counters = ["calls", "calls_inbound", "sip_requests_received"];
    Fate::Passed(format!("INVITE {user}"), sorted(&counters))
}

/// A request outside of calls that goes to the pool.
fn passed(method: &str, user: &str) -> Fate {
    let counters = ["passages", "sip_requests_received"];
    Fate::Passed(format!("{method} {user}"), sorted(&counters))
}

fn answered(status: u16, counters: &[&'static str]) -> Fate {
    Fate::Answered(status, sorted(counters))
}

fn malformed() -> Fate {
    answered(400, &["sip_malformed_requests"])
}

fn silence(counters: &[&'static str]) -> Fate {
    Fate::Silence(sorted(counters))
}

fn sorted(counters: &[&'static str]) -> Vec<&'static str> {
    let mut counters = counters.to_vec();
    counters.sort_unstable();
    counters
}

/// With addresses of both families for media.
fn world() -> World {
    let mut config = config();
    for realm in &mut config.realms {
        realm.media.push("2001:db8:5118::1".parse().unwrap());
    }
    World::with(config)
}

fn fate(bytes: &[u8]) -> Fate {
    let mut world = world();
    let before: BTreeMap<_, _> = world.core.counters().collect();
    world.from_bytes(CARRIER, bytes);
    let mut moved: Vec<_> = world
        .core
        .counters()
        .filter(|(name, value)| before.get(name).copied().unwrap_or_default() != *value)
        .map(|(name, _)| name)
        // What there is now, no outcome.
        .filter(|name| !name.ends_with("_now") && !name.starts_with("media_port_pairs"))
        .collect();
    moved.sort_unstable();
    let to_pool: Vec<_> = POOL.iter().flat_map(|pool| world.sent_to(pool)).collect();
    let answers: Vec<_> = std::mem::take(&mut world.sent)
        .into_iter()
        .map(|p| {
            assert!(p.to.ip().to_string() == "203.0.113.10", "{p:?}");
            start(&p.text)[8..11].parse::<u16>().unwrap()
        })
        .filter(|status| *status != 100)
        .collect();
    match (to_pool.as_slice(), answers.as_slice()) {
        ([], []) => Fate::Silence(moved),
        ([], [status]) => Fate::Answered(*status, moved),
        ([request], []) => {
            let (line, _) = start(request).rsplit_once("10.0.0.1").unwrap();
            Fate::Passed(line.trim_end_matches('@').to_owned(), moved)
        }
        other => panic!("{other:#?}"),
    }
}

/// A test for each message.
macro_rules! fate_is {
    ($($test:ident $message:path => $fate:expr;)*) => {
        $(#[test]
        fn $test() {
            assert_eq!(crate::fate($message), $fate);
        })*
    };
}
use fate_is;
