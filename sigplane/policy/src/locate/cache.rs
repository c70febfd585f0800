//! Answers, as long as they count; longer while nobody answers.

use std::collections::HashMap;
use std::time::Duration;

use super::{Answer, FAILURE_TTL, NoAnswer, Question};

/// A cache of answers, of bounded size. Time is the caller's, monotonic.
///
/// What has expired stays for a while: when a question fails, the old answer is given out for it
/// (RFC 8767), and the servers are left in peace for a moment (RFC 9520).
#[derive(Debug)]
pub struct Cache {
    entries: HashMap<Question, Entry>,
    capacity: usize,
    stale: Duration,
}

#[derive(Debug)]
struct Entry {
    /// The last answer; none when there never was one.
    answer: Option<Answer>,
    expires: Duration,
    /// A failure: until then it is not asked again.
    failed: Option<(NoAnswer, Duration)>,
}

/// What the cache knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This, and it counts.
    Fresh(Answer),
    /// This, since DNS fails at the moment.
    Stale(Answer),
    /// Nothing: ask.
    Unknown,
}

impl Cache {
    /// Without answers. It holds at most `capacity` of them, and old ones for `stale` behind
    /// their time.
    #[must_use]
    pub fn new(capacity: usize, stale: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            capacity: capacity.max(1),
            stale,
        }
    }

    /// Old answers are held for so long behind their time, from now on.
    pub const fn set_stale(&mut self, stale: Duration) {
        self.stale = stale;
    }

    /// What is known of this question.
    #[must_use]
    pub fn get(&self, now: Duration, question: &Question) -> Lookup {
        let Some(entry) = self.entries.get(question) else {
            return Lookup::Unknown;
        };
        if let Some(answer) = entry.answer.as_ref().filter(|_| now < entry.expires) {
            return Lookup::Fresh(with_ttl(answer, entry.expires.saturating_sub(now)));
        }
        match entry.failed {
            Some((why, until)) if now < until => self.instead(now, entry, why, until),
            _ => Lookup::Unknown,
        }
    }

    /// An answer of DNS; returns what is to be believed. A failure is answered with what was known
    /// before, if that is not too old.
    pub fn put(&mut self, now: Duration, question: &Question, answer: Answer) -> Lookup {
        let answer = answer.clamped();
        let ttl = match &answer {
            Answer::Found { ttl, .. } | Answer::Absent { ttl: Some(ttl) } => Some(*ttl),
            Answer::Absent { ttl: None } | Answer::Failed(_) => None,
        };
        let Some(ttl) = ttl else {
            return self.put_failure(now, question, &answer);
        };
        let entry = Entry {
            answer: Some(answer.clone()),
            expires: now.saturating_add(ttl),
            failed: None,
        };
        self.insert(now, question, entry);
        Lookup::Fresh(answer)
    }

    fn put_failure(&mut self, now: Duration, question: &Question, answer: &Answer) -> Lookup {
        let why = match answer {
            Answer::Failed(why) => *why,
            Answer::Found { .. } | Answer::Absent { .. } => NoAnswer::Refused,
        };
        let until = now.saturating_add(FAILURE_TTL);
        let earlier = self.entries.remove(question);
        let entry = Entry {
            expires: earlier.as_ref().map_or(Duration::ZERO, |e| e.expires),
            answer: earlier.and_then(|e| e.answer),
            failed: Some((why, until)),
        };
        let instead = self.instead(now, &entry, why, until);
        self.insert(now, question, entry);
        instead
    }

    fn instead(&self, now: Duration, entry: &Entry, why: NoAnswer, until: Duration) -> Lookup {
        let young = now < entry.expires.saturating_add(self.stale);
        match entry.answer.as_ref().filter(|_| young) {
            Some(answer) => Lookup::Stale(with_ttl(answer, until.saturating_sub(now))),
            None => Lookup::Fresh(Answer::Failed(why)),
        }
    }

    fn insert(&mut self, now: Duration, question: &Question, entry: Entry) {
        if !self.entries.contains_key(question) && self.entries.len() >= self.capacity {
            let stale = self.stale;
            self.entries.retain(|_, e| now < e.useful_until(stale));
            while self.entries.len() >= self.capacity {
                let oldest = self.entries.iter().min_by_key(|(_, e)| e.expires);
                let Some(oldest) = oldest.map(|(question, _)| question.clone()) else {
                    break;
                };
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(question.clone(), entry);
    }

    /// How many questions it knows something of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    fn useful_until(&self, stale: Duration) -> Duration {
        let failed = self.failed.map_or(Duration::ZERO, |(_, until)| until);
        let answer = match self.answer {
            Some(_) => self.expires.saturating_add(stale),
            None => Duration::ZERO,
        };
        answer.max(failed)
    }
}

fn with_ttl(answer: &Answer, left: Duration) -> Answer {
    match answer {
        Answer::Found { records, .. } => Answer::Found {
            records: records.clone(),
            ttl: left,
        },
        Answer::Absent { .. } => Answer::Absent { ttl: Some(left) },
        Answer::Failed(why) => Answer::Failed(*why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Domain, Kind, Record};
    use super::*;
    use proptest::prelude::*;

    const STALE: Duration = Duration::from_secs(3600);

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn question(name: &str) -> Question {
        Question {
            kind: Kind::A,
            name: Domain::parse(name.as_bytes()).unwrap(),
        }
    }

    fn found(last: u8, ttl: u64) -> Answer {
        Answer::Found {
            records: vec![Record::Address([192, 0, 2, last].into())],
            ttl: s(ttl),
        }
    }

    const SILENT: Answer = Answer::Failed(NoAnswer::Silent);

    #[test]
    fn answers_count_for_their_time() {
        let mut cache = Cache::new(10, STALE);
        let q = question("a.example");
        assert_eq!(cache.get(s(0), &q), Lookup::Unknown);
        cache.put(s(0), &q, found(1, 60));
        assert_eq!(cache.get(s(20), &q), Lookup::Fresh(found(1, 40)));
        assert_eq!(cache.get(s(60), &q), Lookup::Unknown);
        let absent = |ttl| Answer::Absent { ttl: Some(s(ttl)) };
        cache.put(s(60), &q, absent(10));
        assert_eq!(cache.get(s(61), &q), Lookup::Fresh(absent(9)));
        assert_eq!(cache.get(s(70), &q), Lookup::Unknown);
    }

    #[test]
    fn old_answers_serve_while_dns_fails() {
        let mut cache = Cache::new(10, STALE);
        let q = question("a.example");
        cache.put(s(0), &q, found(1, 60));
        assert_eq!(cache.put(s(100), &q, SILENT), Lookup::Stale(found(1, 5)));
        assert_eq!(cache.get(s(102), &q), Lookup::Stale(found(1, 3)));
        assert_eq!(cache.get(s(105), &q), Lookup::Unknown, "it is asked again");
        let late = s(60) + STALE;
        assert_eq!(cache.put(late, &q, SILENT), Lookup::Fresh(SILENT));
        cache.put(late, &q, found(2, 60));
        assert_eq!(cache.get(late, &q), Lookup::Fresh(found(2, 60)));
    }

    #[test]
    fn failures_are_remembered_for_a_moment() {
        let mut cache = Cache::new(10, STALE);
        let q = question("a.example");
        assert_eq!(cache.put(s(0), &q, SILENT), Lookup::Fresh(SILENT));
        assert_eq!(cache.get(s(4), &q), Lookup::Fresh(SILENT));
        assert_eq!(cache.get(s(5), &q), Lookup::Unknown);
    }

    #[test]
    fn a_full_cache_forgets_what_expires_first() {
        let mut cache = Cache::new(2, STALE);
        cache.put(s(0), &question("a"), found(1, 300));
        cache.put(s(0), &question("b"), found(2, 60));
        cache.put(s(1), &question("c"), found(3, 60));
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get(s(1), &question("b")), Lookup::Unknown);
        assert_eq!(
            cache.get(s(1), &question("a")),
            Lookup::Fresh(found(1, 299))
        );
    }

    proptest! {
        #[test]
        fn it_never_outgrows_its_bound_nor_a_time_to_live(
            steps in proptest::collection::vec((0_u8..12, 0_u64..400, 0_u8..4, 0_u64..200), 1..200)
        ) {
            let mut cache = Cache::new(5, s(100));
            let (mut now, mut last) = (s(0), HashMap::new());
            for (name, ttl, what, pause) in steps {
                now += s(pause);
                let q = question(&format!("n{name}"));
                if what == 0 {
                    cache.put(now, &q, SILENT);
                } else {
                    cache.put(now, &q, found(name, ttl));
                    last.insert(name, now + s(ttl.clamp(1, 3600)));
                }
                prop_assert!(cache.len() <= 5);
                for n in 0..12 {
                    match cache.get(now, &question(&format!("n{n}"))) {
                        Lookup::Fresh(Answer::Found { records, ttl }) => {
                            prop_assert_eq!(now + ttl, last[&n]);
                            prop_assert_eq!(records, vec![Record::Address([192, 0, 2, n].into())]);
                        }
                        Lookup::Stale(_) => prop_assert!(now < last[&n] + s(100)),
                        Lookup::Fresh(_) | Lookup::Unknown => {}
                    }
                }
            }
        }
    }
}
