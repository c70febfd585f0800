//! How many calls a trunk or a tenant may have: at a time, and in any second.
//!
//! One book of usage serves all SIP workers of a node, so limits are exact whichever worker a call is at; what one of them
//! takes is a few instructions under a lock that nobody keeps (ADR 12).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The window of the rate.
const SECOND: Duration = Duration::from_secs(1);

/// What may be used; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Calls at a time.
    pub calls: u32,
    /// New calls in any second.
    pub rate: u32,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Calls that go out by a trunk.
    TrunkOut,
    /// Calls that come in from a trunk.
    TrunkIn,
    /// All calls of a tenant.
    Tenant,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// As many calls as there may be at a time.
    Calls,
    /// As many new ones as there may be in a second.
    Rate,
}

/// What is in use.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    calls: u64,
    /// When the last calls began, as many as the rate allows, oldest first.
    recent: VecDeque<Duration>,
    refused: u64,
}

/// What a [`Usage`] says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageFigures {
    /// Calls now.
    pub calls: u64,
    /// Calls that were refused as there was a limit.
    pub refused: u64,
}

impl Usage {
    /// One more call, at `now`, a time that all workers count from the same origin.
    ///
    /// # Errors
    /// The limit that stands against it; nothing is taken then.
    pub fn take(&self, now: Duration, limit: Limit) -> Result<(), Over> {
        let mut used = self.used();
        if limit.calls > 0 && used.calls >= u64::from(limit.calls) {
            used.refused += 1;
            return Err(Over::Calls);
        }
        if limit.rate > 0 {
            let most = limit.rate as usize;
            while used.recent.len() > most
                || used
                    .recent
                    .front()
                    .is_some_and(|at| now.saturating_sub(*at) >= SECOND)
            {
                used.recent.pop_front();
            }
            if used.recent.len() >= most {
                used.refused += 1;
                return Err(Over::Rate);
            }
            used.recent.push_back(now);
        }
        used.calls += 1;
        Ok(())
    }

    /// A call that was there before: it counts, whatever the limit.
    pub fn hold(&self) {
        self.used().calls += 1;
    }

    /// A call is over.
    pub fn give_back(&self) {
        let mut used = self.used();
        used.calls = used.calls.saturating_sub(1);
    }

    /// What is in use now.
    #[must_use]
    pub fn figures(&self) -> UsageFigures {
        let used = self.used();
        UsageFigures {
            calls: used.calls,
            refused: used.refused,
        }
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        // Numbers alone are in there: they are whole whatever became of who held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usage of everything that has limits, and of rules, by its name. It outlives changes of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Usages(Arc<Books>);

#[derive(Debug, Default)]
struct Books {
    limits: Mutex<BTreeMap<(Purpose, String), Arc<Usage>>>,
    /// How many requests each rule was for.
    rules: Mutex<BTreeMap<String, u64>>,
}

impl Usages {
    /// What this one uses.
    #[must_use]
    pub fn of(&self, purpose: Purpose, name: &str) -> Arc<Usage> {
        let limits = &self.0.limits;
        let mut book = limits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(book.entry((purpose, name.to_owned())).or_default())
    }

    /// Everything that was ever used, by its name.
    #[must_use]
    pub fn all(&self) -> Vec<(Purpose, String, UsageFigures)> {
        let limits = &self.0.limits;
        let book = limits.lock().unwrap_or_else(PoisonError::into_inner);
        book.iter()
            .map(|((purpose, name), usage)| (*purpose, name.clone(), usage.figures()))
            .collect()
    }

    /// A request went by this rule.
    pub fn ruled(&self, rule: &str) {
        let rules = &self.0.rules;
        let mut book = rules.lock().unwrap_or_else(PoisonError::into_inner);
        match book.get_mut(rule) {
            Some(requests) => *requests += 1,
            None => drop(book.insert(rule.to_owned(), 1)),
        }
    }

    /// How many requests went by each rule that was ever gone by.
    #[must_use]
    pub fn rules(&self) -> Vec<(String, u64)> {
        let rules = &self.0.rules;
        let book = rules.lock().unwrap_or_else(PoisonError::into_inner);
        book.iter().map(|(rule, n)| (rule.clone(), *n)).collect()
    }
}

/// What is used is no part of a configuration, in which this stands: all are the same.
impl PartialEq for Usages {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Usages {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn calls_at_a_time_are_bounded_exactly() {
        let usage = Usage::default();
        let limit = Limit { calls: 2, rate: 0 };
        usage.hold();
        assert_eq!(usage.take(ms(0), limit), Ok(()));
        assert_eq!(usage.take(ms(0), limit), Err(Over::Calls));
        usage.give_back();
        assert_eq!(usage.take(ms(0), limit), Ok(()));
        let figures = usage.figures();
        assert_eq!((figures.calls, figures.refused), (2, 1));
        for _ in 0..5 {
            usage.give_back();
        }
        assert_eq!(usage.figures().calls, 0, "never less than none");
        assert_eq!(usage.take(ms(0), Limit::default()), Ok(()), "no limit");
    }

    #[test]
    fn a_lower_rate_counts_at_once() {
        let usage = Usage::default();
        for _ in 0..10 {
            assert_eq!(usage.take(ms(0), Limit { calls: 0, rate: 10 }), Ok(()));
        }
        let lower = Limit { calls: 0, rate: 2 };
        assert_eq!(usage.take(ms(999), lower), Err(Over::Rate));
        assert_eq!(usage.take(ms(1_000), lower), Ok(()));
    }

    #[test]
    fn the_book_has_one_page_each() {
        let book = Usages::default();
        book.of(Purpose::TrunkOut, "a").hold();
        book.clone().of(Purpose::TrunkOut, "a").hold();
        book.of(Purpose::Tenant, "a").hold();
        let calls: Vec<u64> = book.all().iter().map(|(.., f)| f.calls).collect();
        assert_eq!(calls, [2, 1]);
        for rule in ["b", "a", "b"] {
            book.ruled(rule);
        }
        assert_eq!(book.rules(), [("a".into(), 1), ("b".into(), 2)]);
    }

    #[test]
    fn workers_share_a_limit() {
        let usage = Arc::new(Usage::default());
        let limit = Limit {
            calls: 100,
            rate: 0,
        };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let usage = Arc::clone(&usage);
                std::thread::spawn(move || {
                    (0..1_000)
                        .filter(|_| usage.take(ms(0), limit).is_ok())
                        .count()
                })
            })
            .collect();
        let taken: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(taken, 100);
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate(
            rate in 1_u32..20,
            steps in prop::collection::vec(0_u64..300, 1..200),
        ) {
            let usage = Usage::default();
            let limit = Limit { calls: 0, rate };
            let (mut now, mut taken) = (0, Vec::new());
            for step in steps {
                now += step;
                let before = taken.iter().filter(|at| now - **at < 1_000).count();
                let is_free = before < rate as usize;
                prop_assert_eq!(usage.take(ms(now), limit).is_ok(), is_free);
                if is_free {
                    taken.push(now);
                }
            }
        }
    }
}
