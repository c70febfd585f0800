//! Where a SIP URI leads: RFC 3263, with the order of RFC 2782 and both families of RFC 7984.
//!
//! Sans-IO. [`Locate`] is the search for one URI's servers: ask it for questions until it has none
//! more, give it each answer, and ask again, until [`Locate::outcome`] is there. It knows no DNS
//! packets, no names' search lists and no clock. [`Cache`] keeps answers as long as they may be
//! kept, and longer while no server answers. [`Locator`] runs many searches over one cache.
//!
//! What is found is an unordered [`Located`]: each call draws its own order of [`Server`]s from it
//! (RFC 2782 wants the weights to count for each contact), the same for the same seed.

mod cache;
mod domain;
mod locator;
mod order;
mod question;
mod search;
mod wanted;

pub use cache::{Cache, Lookup};
pub use domain::Domain;
pub use locator::{Errand, Finding, Locator};
pub use order::{Located, Place, Server};
pub use question::{Answer, Kind, Naptr, NoAnswer, Question, Record, Srv};
pub use search::{Locate, MAX_QUESTIONS, NotLocated, Why};
pub use wanted::{Host, Means, Unwanted, Wanted};

use std::time::Duration;

/// How long an answer counts at least: names whose records ask for less are not asked for at every
/// message.
const MIN_TTL: Duration = Duration::from_secs(1);
/// How long an answer counts at most, so that a mistake in a zone does not stay for a week.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// How long the absence of records counts at most; RFC 2308 section 5 would allow hours.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(300);
/// How long it counts when the answer does not say (it has no SOA record).
const NEGATIVE_TTL: Duration = Duration::from_secs(60);
/// After a failure, how long the name is not asked for again (RFC 9520 section 3.2: 1 s to 5 min).
const FAILURE_TTL: Duration = Duration::from_secs(5);
