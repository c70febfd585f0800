//! Who is who, said to the dataplane: it polices SIP by its sources before anybody reads it.
//!
//! Trusted are those that the core trusts, and registered those where it has seen a registration. The dataplane keeps what it was
//! told when this process ends. Each session begins with a full set, and so does each change of who is trusted; registrations are said as they come and go,
//! all that came since the last answer in one command. There is one command on its way at a time, so a dataplane that is
//! slow to take them is not given more.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use tandem_call::{Now, Path, Registered};
use tandem_config::Config;
use tandem_link::{
    ClassifiedSource, Command, CommandError, PoliceLimit, PoliceLimits, SOURCES_A_COMMAND,
    SourceClass,
};
use tandem_policy::defence::Source;

use super::Worker;
use super::counters::Count;

/// For how long a source stays registered after its registration is over: who is a moment late is no stranger.
const GRACE_MS: u64 = 32_000;
/// When the whole is said again after the dataplane could not take a part.
const AGAIN: Duration = Duration::from_secs(1);

/// What the dataplane is told, and has been told.
pub(super) struct Classes {
    limits: PoliceLimits,
    most_registered: usize,
    /// By source: a hash of each flow, and until when in Unix milliseconds.
    registered: HashMap<Source, Vec<(u64, u64)>>,
    /// Of them, those of which the dataplane does not know yet what there is to know.
    changed: BTreeSet<Source>,
    /// Who is trusted, as it was said last in this session.
    trusted: Option<Vec<(IpAddr, u8)>>,
    /// The core's number of it.
    version: Option<u64>,
    /// The rest of a full set, last things first.
    rest: Vec<Step>,
    in_session: bool,
    is_waiting: bool,
    again: Duration,
    /// When those that had ended were forgotten last.
    pruned: Duration,
}

/// A part of a full set.
enum Step {
    Begin,
    Trusted(Vec<(IpAddr, u8)>),
    Registered(Vec<Source>),
    Done,
}

impl Classes {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            limits: limits(config),
            most_registered: most_registered(config),
            registered: HashMap::new(),
            changed: BTreeSet::new(),
            trusted: None,
            version: None,
            rest: Vec::new(),
            in_session: false,
            is_waiting: false,
            again: Duration::ZERO,
            pruned: Duration::ZERO,
        }
    }

    /// Other limits: to be said, if they are.
    pub(super) fn set(&mut self, config: &Config) -> Option<Command> {
        let new = limits(config);
        let is_other = new != self.limits;
        self.limits = new;
        (is_other && self.in_session).then_some(Command::Police(new))
    }

    /// A session began: what is to be said first.
    pub(super) fn session_began(&mut self) -> Command {
        self.session_ended();
        self.in_session = true;
        Command::Police(self.limits)
    }

    pub(super) fn session_ended(&mut self) {
        self.in_session = false;
        self.is_waiting = false;
        self.again = Duration::ZERO;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.trusted = None;
        self.version = None;
        self.rest.clear();
    }

    /// A flow is registered until then, or not any more. Whether there was room.
    pub(super) fn registered(&mut self, now: Now, registered: &Registered) -> bool {
        let Registered {
            worker,
            flow,
            until_ms,
        } = registered;
        // What comes by a connection or by the kernel does not come to the dataplane.
        if !matches!(flow.path, Path::Realm(_)) {
            return true;
        }
        let source = Source::of(flow.peer.ip());
        let mut hasher = DefaultHasher::new();
        (worker, flow).hash(&mut hasher);
        let flow = hasher.finish();
        let is_over = *until_ms <= now.wall_ms;
        self.prune(now);
        let is_full = self.registered.len() >= self.most_registered;
        if is_full && !is_over && !self.registered.contains_key(&source) {
            return false;
        }
        let flows = self.registered.entry(source).or_default();
        flows.retain(|(other, until)| *other != flow && now.wall_ms < *until);
        if !is_over {
            flows.push((flow, *until_ms));
        }
        if flows.is_empty() {
            self.registered.remove(&source);
        }
        self.changed.insert(source);
        true
    }

    /// Forgets those that ended without a word, when there is no room: once a second.
    fn prune(&mut self, now: Now) {
        if self.registered.len() >= self.most_registered && now.mono >= self.pruned + AGAIN {
            self.pruned = now.mono;
            let is_here = |(_, until): &(u64, u64)| now.wall_ms < *until;
            self.registered.retain(|_, flows| flows.iter().any(is_here));
        }
    }

    /// The dataplane has answered.
    pub(super) fn answered(&mut self, now: Duration, result: Result<(), CommandError>) {
        self.is_waiting = false;
        match result {
            // Whom there was no room for stays unknown: it is counted there.
            Ok(()) | Err(CommandError::SourcesFull) => {}
            Err(error) => {
                tracing::warn!(
                    "the dataplane could not take who is who: {error}; it is said again"
                );
                self.begin_anew();
                self.again = now + AGAIN;
            }
        }
    }

    /// The next command, if there is one. `version` and `trusted` are the core's.
    pub(super) fn command(
        &mut self,
        now: Now,
        version: u64,
        trusted: impl FnOnce() -> Option<Vec<(IpAddr, u8)>>,
    ) -> Option<Command> {
        if !self.in_session || self.is_waiting || now.mono < self.again {
            return None;
        }
        if self.rest.is_empty() && self.version != Some(version) {
            self.version = Some(version);
            if let Some(list) = trusted()
                && self.trusted.as_ref() != Some(&list)
            {
                self.begin(list);
            }
        }
        let command = match self.rest.pop() {
            Some(step) => Some(self.take(now, step)),
            // Before the first full set nothing is to be added to it.
            None if self.trusted.is_some() => self.take_changed(now),
            None => None,
        };
        self.is_waiting = command.is_some();
        command
    }

    fn begin(&mut self, trusted: Vec<(IpAddr, u8)>) {
        let registered: Vec<Source> = self.registered.keys().copied().collect();
        self.changed.clear();
        self.rest = vec![Step::Done];
        let users = registered.chunks(SOURCES_A_COMMAND);
        self.rest
            .extend(users.map(|part| Step::Registered(part.to_vec())));
        let hosts = trusted.chunks(SOURCES_A_COMMAND);
        self.rest
            .extend(hosts.map(|part| Step::Trusted(part.to_vec())));
        self.rest.push(Step::Begin);
        self.trusted = Some(trusted);
    }

    fn take(&self, now: Now, step: Step) -> Command {
        match step {
            Step::Begin => Command::ClassifyAll,
            Step::Done => Command::ClassifyDone,
            Step::Trusted(list) => {
                let trusted = |(source, length)| ClassifiedSource {
                    source,
                    length,
                    class: SourceClass::Trusted,
                    left_ms: u64::MAX,
                };
                Command::Classify(list.into_iter().map(trusted).collect())
            }
            // Those that are gone meanwhile have changed since.
            Step::Registered(list) => {
                let alive = list.iter().filter_map(|source| self.user(now, *source));
                Command::Classify(alive.collect())
            }
        }
    }

    /// Some of those that have come or gone.
    fn take_changed(&mut self, now: Now) -> Option<Command> {
        let first = *self.changed.first()?;
        let is_here = self.registered.contains_key(&first);
        let same = |source: &&Source| self.registered.contains_key(source) == is_here;
        let some = self.changed.iter().filter(same).take(SOURCES_A_COMMAND);
        let some: Vec<Source> = some.copied().collect();
        for source in &some {
            self.changed.remove(source);
        }
        Some(if is_here {
            let alive = some.iter().filter_map(|source| self.user(now, *source));
            Command::Classify(alive.collect())
        } else {
            Command::Unclassify(some.iter().map(|source| source.prefix().0).collect())
        })
    }

    fn user(&self, now: Now, source: Source) -> Option<ClassifiedSource> {
        let until = self
            .registered
            .get(&source)?
            .iter()
            .map(|(_, until)| *until);
        let (address, _) = source.prefix();
        Some(ClassifiedSource {
            source: address,
            length: if address.is_ipv4() { 32 } else { 128 },
            class: SourceClass::Registered,
            left_ms: until.max()?.saturating_sub(now.wall_ms) + GRACE_MS,
        })
    }
}

impl Worker {
    /// Tells the dataplane what it does not know yet of who is who.
    pub(super) fn drive_classes(&mut self) {
        let now = self.clock.now();
        let Some(head) = &mut self.head else { return };
        if let Some(result) = head.requests.classes_done() {
            head.classes.answered(now.mono, result);
        }
        let core = &self.core;
        let version = core.trust_version();
        if let Some(command) = head.classes.command(now, version, || core.trusted()) {
            head.requests.classes(command);
            self.send_requests();
        }
    }

    /// A core has seen a registration come or go.
    pub(super) fn note_registered(&mut self, registered: &Registered) {
        let now = self.clock.now();
        if let Some(head) = &mut self.head
            && !head.classes.registered(now, registered)
        {
            self.counters.add(Count::SourcesNotClassified);
        }
    }
}

fn most_registered(config: &Config) -> usize {
    usize::try_from(config.police.max_registered).unwrap_or(usize::MAX)
}

fn limits(config: &Config) -> PoliceLimits {
    let p = &config.police;
    let limit = |rate, burst| PoliceLimit { rate, burst };
    PoliceLimits {
        trusted: limit(p.trusted_rate, p.trusted_burst),
        registered: limit(p.registered_rate, p.registered_burst),
        unknown: limit(p.unknown_rate, p.unknown_burst),
        all_registered: limit(p.all_registered_rate, p.all_registered_burst),
        all_unknown: limit(p.all_unknown_rate, p.all_unknown_burst),
        all: limit(p.all_rate, p.all_burst),
        fragments: limit(p.fragments_rate, p.fragments_burst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_call::Flow;

    fn now(seconds: u64) -> Now {
        Now {
            mono: Duration::from_secs(seconds),
            wall_ms: 1_000_000 + seconds * 1_000,
        }
    }

    fn classes() -> Classes {
        Classes {
            limits: PoliceLimits::default(),
            most_registered: 2_000,
            registered: HashMap::new(),
            changed: BTreeSet::new(),
            trusted: None,
            version: None,
            rest: Vec::new(),
            in_session: false,
            is_waiting: false,
            again: Duration::ZERO,
            pruned: Duration::ZERO,
        }
    }

    fn flow(n: u32, port: u16) -> Flow {
        let ip = std::net::Ipv4Addr::from(0xcb00_7100 + n);
        Flow {
            path: Path::Realm(0),
            local: "192.0.2.1:5060".parse().unwrap(),
            peer: (ip, port).into(),
        }
    }

    fn registered(n: u32, port: u16, until_s: u64) -> Registered {
        Registered {
            worker: 0,
            flow: flow(n, port),
            until_ms: if until_s == 0 {
                0
            } else {
                now(until_s).wall_ms
            },
        }
    }

    fn trunk() -> Option<Vec<(IpAddr, u8)>> {
        Some(vec![("198.51.100.0".parse().unwrap(), 24)])
    }

    /// What is said until nothing is left, each answered.
    fn said(classes: &mut Classes, at: Now, version: u64) -> Vec<Command> {
        let mut all = Vec::new();
        while let Some(command) = classes.command(at, version, trunk) {
            assert_eq!(classes.command(at, version, trunk), None, "one at a time");
            classes.answered(at.mono, Ok(()));
            all.push(command);
        }
        all
    }

    fn trusted() -> Command {
        Command::Classify(vec![ClassifiedSource {
            source: "198.51.100.0".parse().unwrap(),
            length: 24,
            class: SourceClass::Trusted,
            left_ms: u64::MAX,
        }])
    }

    fn users(list: &[(u32, u64)]) -> Command {
        let user = |(n, left_s): &(u32, u64)| ClassifiedSource {
            source: flow(*n, 1).peer.ip(),
            length: 32,
            class: SourceClass::Registered,
            left_ms: left_s * 1_000 + GRACE_MS,
        };
        Command::Classify(list.iter().map(user).collect())
    }

    #[test]
    fn a_session_begins_with_all_and_goes_on_with_what_changes() {
        let mut classes = classes();
        assert!(classes.registered(now(0), &registered(1, 5060, 60)));
        assert_eq!(classes.command(now(0), 1, trunk), None, "no session");
        classes.session_began();
        assert_eq!(classes.command(now(0), 1, || None), None, "no tables");
        assert_eq!(
            said(&mut classes, now(10), 2),
            [
                Command::ClassifyAll,
                trusted(),
                users(&[(1, 50)]),
                Command::ClassifyDone
            ]
        );
        assert!(said(&mut classes, now(10), 3).is_empty(), "nobody else");
        // Two phones behind one address: it is registered as long as one of them is.
        classes.registered(now(10), &registered(1, 5061, 90));
        classes.registered(now(10), &registered(2, 5060, 20));
        assert_eq!(said(&mut classes, now(10), 3), [users(&[(1, 80), (2, 10)])]);
        classes.registered(now(11), &registered(1, 5061, 0));
        classes.registered(now(11), &registered(2, 5060, 0));
        let gone = Command::Unclassify(vec![flow(2, 1).peer.ip()]);
        assert_eq!(said(&mut classes, now(11), 3), [users(&[(1, 49)]), gone]);
        // The dataplane comes again.
        classes.session_ended();
        assert_eq!(classes.command(now(12), 3, trunk), None);
        classes.session_began();
        assert_eq!(said(&mut classes, now(12), 3).len(), 4);
    }

    #[test]
    fn what_was_not_taken_is_said_again() {
        let mut classes = classes();
        classes.session_began();
        assert_eq!(
            classes.command(now(0), 1, trunk),
            Some(Command::ClassifyAll)
        );
        classes.answered(now(0).mono, Err(CommandError::Overloaded));
        assert_eq!(classes.command(now(0), 1, trunk), None);
        assert_eq!(said(&mut classes, now(1), 1).len(), 3);
        for n in 0..1_500 {
            classes.registered(now(1), &registered(n, 5060, 60));
        }
        assert_eq!(said(&mut classes, now(1), 1).len(), 2, "1,024 at a time");
        assert!((0..2_000).all(|n| classes.registered(now(1), &registered(n, 5060, 60))));
        assert!(!classes.registered(now(1), &registered(2_000, 5060, 60)));
    }

    #[test]
    fn connections_are_not_the_dataplanes() {
        let mut classes = classes();
        let by_stream = Registered {
            flow: Flow {
                path: Path::Stream(0),
                ..flow(1, 5060)
            },
            ..registered(1, 5060, 60)
        };
        assert!(classes.registered(now(0), &by_stream));
        assert!(classes.registered.is_empty() && classes.changed.is_empty());
    }
}
