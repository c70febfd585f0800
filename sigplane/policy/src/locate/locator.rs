//! All searches of one resolver, over one cache.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::{
    Answer, Cache, FAILURE_TTL, Locate, Located, Lookup, Means, NotLocated, Question, Wanted, Why,
};

/// Searches that may be under way; those above it fail at once.
const MAX_SEARCHES: usize = 1_024;

/// What is to be searched for, on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errand {
    /// What.
    pub wanted: Wanted,
    /// What the one who asks could use.
    pub means: Means,
}

/// What a search brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// For which errand.
    pub errand: Errand,
    /// What there is.
    pub outcome: Result<Located, NotLocated>,
    /// Whether answers that are past their time had to do, since DNS fails.
    pub stale: bool,
}

impl Finding {
    /// That nobody answers.
    #[must_use]
    pub const fn unanswered(errand: Errand) -> Self {
        Self {
            errand,
            outcome: Err(NotLocated {
                why: Why::Unanswered,
                ttl: FAILURE_TTL,
            }),
            stale: false,
        }
    }
}

/// The searches. Sans-IO: after each input drain [`Self::question`] and [`Self::finding`]. A question
/// that several searches have is asked once, and so is an errand that several have.
#[derive(Debug)]
pub struct Locator {
    cache: Cache,
    searches: BTreeMap<u64, Search>,
    numbers: HashMap<Errand, u64>,
    last: u64,
    /// The searches that wait for a question's answer.
    waiting: HashMap<Question, Vec<u64>>,
    questions: VecDeque<Question>,
    findings: VecDeque<Finding>,
}

#[derive(Debug)]
struct Search {
    errand: Errand,
    locate: Locate,
    stale: bool,
}

impl Locator {
    /// Without searches.
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            searches: BTreeMap::new(),
            numbers: HashMap::new(),
            last: 0,
            waiting: HashMap::new(),
            questions: VecDeque::new(),
            findings: VecDeque::new(),
        }
    }

    /// Old answers are held for so long behind their time, from now on.
    pub const fn set_stale(&mut self, stale: Duration) {
        self.cache.set_stale(stale);
    }

    /// Begins a search, unless the same one is under way: it has the same finding.
    pub fn search(&mut self, now: Duration, errand: Errand) {
        if self.numbers.contains_key(&errand) {
            return;
        }
        if self.searches.len() >= MAX_SEARCHES {
            self.findings.push_back(Finding::unanswered(errand));
            return;
        }
        self.last += 1;
        let search = Search {
            locate: Locate::new(errand.wanted.clone(), errand.means.clone()),
            errand: errand.clone(),
            stale: false,
        };
        self.numbers.insert(errand, self.last);
        self.searches.insert(self.last, search);
        self.go_on(now, self.last);
    }

    /// What DNS said to a question.
    pub fn answer(&mut self, now: Duration, question: &Question, answer: Answer) {
        let known = self.cache.put(now, question, answer);
        for number in self.waiting.remove(question).unwrap_or_default() {
            if let Some(search) = self.searches.get_mut(&number) {
                search.learn(question, known.clone());
            }
            self.go_on(now, number);
        }
    }

    /// The next question to DNS. Each needs its answer, a failure if nothing else comes.
    pub fn question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// The next finding.
    pub fn finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// Asks what a search wants to know, the cache first, and takes its outcome when it is there.
    fn go_on(&mut self, now: Duration, number: u64) {
        let Some(search) = self.searches.get_mut(&number) else {
            return;
        };
        while let Some(question) = search.locate.question() {
            match self.cache.get(now, &question) {
                Lookup::Unknown => {
                    let waiting = self.waiting.entry(question.clone()).or_default();
                    if waiting.is_empty() {
                        self.questions.push_back(question);
                    }
                    waiting.push(number);
                }
                known => search.learn(&question, known),
            }
        }
        if search.locate.outcome().is_none() {
            return;
        }
        if let Some(search) = self.searches.remove(&number) {
            self.numbers.remove(&search.errand);
            if let Some(outcome) = search.locate.outcome().cloned() {
                self.findings.push_back(Finding {
                    errand: search.errand,
                    outcome,
                    stale: search.stale,
                });
            }
        }
    }
}

impl Search {
    fn learn(&mut self, question: &Question, known: Lookup) {
        match known {
            Lookup::Fresh(answer) => self.locate.answer(question, answer),
            Lookup::Stale(answer) => {
                self.stale = true;
                self.locate.answer(question, answer);
            }
            Lookup::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Domain, Host, Kind, NoAnswer, Record};
    use super::*;
    use crate::transport::Transport;

    const HOUR: Duration = Duration::from_secs(3_600);

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn errand(name: &str, port: Option<u16>) -> Errand {
        let host = Host::Name(Domain::parse(name.as_bytes()).unwrap());
        Errand {
            wanted: Wanted::new(false, host, port, None).unwrap(),
            means: Means {
                transports: vec![Transport::Udp],
                ipv4: true,
                ipv6: false,
            },
        }
    }

    fn questions(locator: &mut Locator) -> Vec<Question> {
        std::iter::from_fn(|| locator.question()).collect()
    }

    fn found(last: u8) -> Answer {
        Answer::Found {
            records: vec![Record::Address([192, 0, 2, last].into())],
            ttl: s(60),
        }
    }

    const SILENT: Answer = Answer::Failed(NoAnswer::Silent);

    #[test]
    fn the_same_question_is_asked_once() {
        let mut locator = Locator::new(Cache::new(10, HOUR));
        locator.search(s(0), errand("a.example", Some(5070)));
        locator.search(s(0), errand("a.example", Some(5080)));
        locator.search(s(0), errand("a.example", Some(5080)));
        let asked = questions(&mut locator);
        assert_eq!(asked.len(), 1);
        assert_eq!(locator.finding(), None);
        locator.answer(s(1), &asked[0], found(1));
        let ports: Vec<u16> = std::iter::from_fn(|| locator.finding())
            .map(|f| f.outcome.unwrap().servers(0)[0].address.port())
            .collect();
        assert_eq!(ports, [5070, 5080]);
        // And not again while the answer counts.
        locator.search(s(30), errand("a.example", Some(5090)));
        assert_eq!(questions(&mut locator), []);
        let finding = locator.finding().unwrap();
        assert_eq!(
            (finding.outcome.unwrap().ttl, finding.stale),
            (s(31), false)
        );
        locator.search(s(61), errand("a.example", Some(5090)));
        assert_eq!(questions(&mut locator).len(), 1);
    }

    #[test]
    fn old_answers_carry_a_whole_search() {
        let mut locator = Locator::new(Cache::new(10, HOUR));
        let absent = || Answer::Absent { ttl: Some(s(60)) };
        let run = |locator: &mut Locator, now: Duration, dead: bool| {
            locator.search(now, errand("a.example", None));
            while let Some(question) = locator.question() {
                let answer = match question.kind {
                    _ if dead => SILENT,
                    Kind::A => found(1),
                    Kind::Naptr | Kind::Srv | Kind::Aaaa => absent(),
                };
                locator.answer(now, &question, answer);
            }
            let finding = locator.finding().unwrap();
            (finding.outcome.map(|l| l.places), finding.stale)
        };
        let (places, stale) = run(&mut locator, s(0), false);
        assert!(places.is_ok() && !stale);
        assert_eq!(run(&mut locator, s(100), true), (places.clone(), true));
        assert_eq!(run(&mut locator, s(200), false), (places, false));
        let late = s(300) + HOUR;
        let (nothing, stale) = run(&mut locator, late, true);
        assert_eq!(nothing.unwrap_err().why, Why::Unanswered);
        assert!(!stale);
    }

    #[test]
    fn there_is_a_bound() {
        let mut locator = Locator::new(Cache::new(10, HOUR));
        for i in 0..=MAX_SEARCHES {
            locator.search(s(0), errand(&format!("n{i}.example"), None));
        }
        assert_eq!(questions(&mut locator).len(), MAX_SEARCHES);
        let refused = locator.finding().unwrap();
        assert_eq!(refused.outcome.unwrap_err().why, Why::Unanswered);
        assert_eq!(locator.finding(), None);
    }
}
