//! Who is blocked: what the cores of all workers see of sources is counted by the first, and what comes of it
//! goes to the cores and to the dataplane.
//!
//! The dataplane keeps its blocks when this process ends, and loses them when it ends itself. So each
//! session begins with a comparison: what was unblocked meanwhile goes first, then its list is taken over,
//! and then it gets what it lacks.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use tandem_admin::{BlockParams, Blocked, ErrorCode};
use tandem_call::Input;
use tandem_link::{BlockedSource, Command};
use tandem_policy::defence::{
    Block, Defence, DefenceConfig, Limit, Reason, Sight, Source, Verdict,
};

use super::Worker;
use super::counters::Count;
use super::requests::Requests;
use crate::ask::{Refusal, ToWorker};

/// The longest block that an administrator makes: 30 days, in seconds.
const MAX_BLOCK: u32 = 30 * 86_400;

/// Unblocked sources that are remembered while there is no dataplane.
const UNBLOCKED: usize = 65_536;

/// The blocked sources.
pub(super) struct Guard {
    defence: Defence,
    /// Sources that the dataplane, which is not there, may still block.
    unblocked: Vec<Source>,
    /// Whether the lists have been compared in this session. Before, the dataplane is told nothing.
    in_step: bool,
}

impl Guard {
    pub(super) fn new(config: &tandem_config::Config, seed: [u8; 16]) -> Self {
        Self {
            defence: Defence::new(settings(config), seed),
            unblocked: Vec::new(),
            in_step: false,
        }
    }

    /// Other limits, from now on.
    pub(super) fn set(&mut self, config: &tandem_config::Config) {
        self.defence.set(settings(config));
    }

    /// A session began: it is asked whom it blocks.
    pub(super) fn session_began(&mut self, requests: &mut Requests) {
        for source in self.unblocked.drain(..) {
            requests.tell(Command::Unblock(source.prefix().0));
        }
        requests.list_blocked();
    }

    pub(super) fn session_ended(&mut self) {
        self.in_step = false;
    }

    /// Who is blocked, and for how long yet.
    pub(super) fn list(&self, now: Duration) -> impl Iterator<Item = (Source, Reason, Duration)> {
        self.defence
            .blocks()
            .iter(now)
            .map(move |(source, block)| (source, block.reason, block.until.saturating_sub(now)))
    }

    fn unblock(&mut self, now: Duration, source: Source, requests: &mut Requests) -> bool {
        if self.in_step {
            requests.tell(Command::Unblock(source.prefix().0));
        } else if self.unblocked.len() < UNBLOCKED {
            self.unblocked.push(source);
        }
        self.defence.unblock(now, source)
    }
}

impl Worker {
    /// The core saw what a source does that is not trusted.
    pub(super) fn saw(&mut self, ip: IpAddr, sight: Sight) {
        let now = self.clock.mono();
        let Some(head) = &mut self.head else {
            // One that is lost is no matter: who misbehaves does so again.
            if !self.others.offer(0, ToWorker::Saw { ip, sight }) {
                self.counters.add(Count::WorkerBoxFull);
            }
            return;
        };
        if let Some(verdict) = head.guard.defence.saw(now, ip, sight) {
            self.counters.add(Count::SourcesBlocked);
            self.block(verdict, true);
        }
    }

    /// An administrator blocks a source. Who may call cannot be: the dataplane would not know that he is
    /// trusted.
    pub(super) fn block_source(&mut self, params: &BlockParams) -> Result<Blocked, Refusal> {
        let invalid = |why: &str| Refusal::new(ErrorCode::InvalidParams, why);
        if self.core.trusts(params.address) {
            return Err(invalid(
                "it is trusted: take it out of the address table, the trunk's set or \
                 `defence.trusted` first",
            ));
        }
        let time = match params.seconds {
            Some(seconds @ 1..=MAX_BLOCK) => Duration::from_secs(seconds.into()),
            Some(_) => return Err(invalid("seconds must be 1 to 2592000")),
            None => self.config.defence.block,
        };
        let now = self.clock.mono();
        let source = Source::of(params.address);
        let reason = Reason::Administrator;
        let Some(head) = &mut self.head else {
            return Err(invalid("the first SIP worker was not asked"));
        };
        let verdict = head.guard.defence.block(now, source, reason, time);
        self.block(verdict, true);
        Ok(blocked(source, reason, time))
    }

    /// Who is blocked, the longest first.
    pub(super) fn blocked(&self) -> Vec<Blocked> {
        let lists = self
            .head
            .iter()
            .flat_map(|head| head.guard.list(self.clock.mono()));
        let mut all: Vec<_> = lists.collect();
        all.sort_by_key(|(source, _, left)| (std::cmp::Reverse(*left), *source));
        all.into_iter()
            .map(|(source, reason, left)| blocked(source, reason, left))
            .collect()
    }

    /// A source is heard again. Whether it was not.
    pub(super) fn unblock_source(&mut self, source: Source) -> bool {
        let now = self.clock.mono();
        let Some(head) = &mut self.head else {
            self.others.send(0, ToWorker::Pardon(source));
            return false;
        };
        let was = head.guard.unblock(now, source, &mut head.requests);
        self.core.input(self.clock.now(), Input::Unblock(source));
        self.others.send_all(|| ToWorker::Unblocked(source));
        let streams = self.streams.as_mut();
        if streams.is_some_and(|streams| !streams.unblock(source.prefix().0)) {
            tracing::error!("{source} may not connect until its block is over: unblock it again");
        }
        if was {
            self.counters.add(Count::SourcesUnblocked);
            tracing::info!("{source} is heard again");
        }
        self.send_requests();
        was
    }

    /// Carries a block out. `tell`: whether the dataplane does not know it.
    fn block(&mut self, verdict: Verdict, tell: bool) {
        let now = self.clock.mono();
        let Verdict {
            source,
            block: Block { reason, until },
            displaced,
        } = verdict;
        let left = until.saturating_sub(now);
        tracing::info!(
            "{source} is blocked for {} s: {}",
            left.as_secs_f64().ceil(),
            reason.as_str()
        );
        let block = Input::Block { source, left };
        self.core.input(self.clock.now(), block);
        self.others.send_all(|| ToWorker::Blocked { source, left });
        let streams = self.streams.as_mut();
        if streams.is_some_and(|streams| !streams.block(source.prefix().0, left)) {
            self.counters.add(Count::BlocksNotInstalled);
        }
        if let Some(head) = self.head.as_mut().filter(|head| tell && head.guard.in_step) {
            head.requests.tell(command(source, left));
        }
        if let Some(source) = displaced {
            self.counters.add(Count::BlocksDisplaced);
            self.unblock_source(source);
        }
        self.send_requests();
    }

    /// The dataplane said whom it blocks: what of it we do not know outlived us.
    pub(super) fn compare_blocked(&mut self, theirs: &[BlockedSource]) {
        let now = self.clock.mono();
        let Some(head) = &mut self.head else { return };
        let known: Vec<_> = head.guard.list(now).collect();
        head.guard.in_step = true;
        let mut unknown = Vec::new();
        for one in theirs {
            let left = Duration::from_millis(one.left_ms);
            let source = Source::of(one.source);
            unknown.extend(head.guard.defence.take_over(now, source, left));
        }
        let theirs: HashSet<Source> = theirs.iter().map(|t| Source::of(t.source)).collect();
        for (source, _, left) in known {
            if !theirs.contains(&source) {
                head.requests.tell(command(source, left));
            }
        }
        for verdict in unknown {
            self.block(verdict, false);
        }
        self.send_requests();
    }
}

fn settings(config: &tandem_config::Config) -> DefenceConfig {
    let config = &config.defence;
    let limit = |events, window| Limit { events, window };
    DefenceConfig {
        requests: limit(config.requests, config.window),
        failures: limit(config.failures, config.failure_window),
        block: config.block,
        ..DefenceConfig::default()
    }
}

fn blocked(source: Source, reason: Reason, left: Duration) -> Blocked {
    Blocked {
        source: source.to_string(),
        reason: reason.as_str().to_owned(),
        left_s: left
            .as_millis()
            .div_ceil(1_000)
            .try_into()
            .unwrap_or(u64::MAX),
    }
}

fn command(source: Source, left: Duration) -> Command {
    Command::Block {
        source: source.prefix().0,
        left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
    }
}
