//! Users that the table in memory does not have yet: the database is asked for them, and nobody waits for its answer. A user agent is
//! challenged first, known or not; until it comes again with credentials, the row is here.

use std::sync::Arc;
use std::time::Duration;

use tandem_policy::Subscribers;

use super::Core;
use crate::counters::Counter;
use crate::io::{Now, Output};

/// Questions a second: strangers may make up names.
const RATE: u32 = 100;
/// Rows that are kept until the whole table is read again.
const MOST: usize = 10_000;

/// What was found, and how many questions are left.
#[derive(Debug)]
pub(super) struct Newcomers {
    pub(super) found: Arc<Subscribers>,
    left: u32,
    /// When there were [`RATE`] again.
    since: Duration,
}

impl Newcomers {
    pub(super) fn new() -> Self {
        Self {
            found: Arc::default(),
            left: RATE,
            since: Duration::ZERO,
        }
    }

    /// Whether one more question may be asked.
    fn take(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= Duration::from_secs(1) {
            (self.since, self.left) = (now, RATE);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Core {
    /// Whether there is such a user, as far as is known. If not, the database is asked.
    pub(super) fn is_user(&mut self, now: Now, user: &[u8], domain: &[u8]) -> bool {
        let is_known = self.subscribers.find(user, domain).is_some()
            || self.newcomers.found.find(user, domain).is_some();
        if is_known || user.is_empty() {
            return is_known;
        }
        if !self.newcomers.take(now.mono) {
            self.counters.add(Counter::SubscribersNotAsked);
            return false;
        }
        self.counters.add(Counter::SubscribersAsked);
        self.outputs.push_back(Output::WhoIs {
            user: user.to_vec(),
            domain: domain.to_vec(),
        });
        false
    }

    /// What the database has said.
    pub(super) fn newcomers(&mut self, found: &Subscribers) {
        if self.newcomers.found.len() + found.len() > MOST {
            self.newcomers.found = Arc::default();
        }
        Arc::make_mut(&mut self.newcomers.found).merge(found);
    }
}
