//! What a seed means: the weather that its calls have, and what the phones do.

use std::time::Duration;

use crate::rng::Rng;
use crate::shell::{CARRIERS, POOL, TRUNK};

/// When the last call may begin.
const BUSY_MS: u64 = 60_000;

/// What goes wrong in a run.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Datagrams lost, of a thousand.
    pub loss: u64,
    /// Datagrams that come twice, of a thousand.
    pub twice: u64,
    /// Datagrams that are late, of a thousand.
    pub late: u64,
    /// The least and the most time on the way, in milliseconds.
    pub delay_ms: (u64, u64),
    /// When the proxy dies.
    pub crashes: Vec<Duration>,
    /// When the session with the dataplane breaks, and whether the dataplane forgets its flows.
    pub planes: Vec<(Duration, bool)>,
    /// When a stream breaks.
    pub breaks: Vec<Duration>,
    /// Commands that the dataplane refuses, of a thousand.
    pub refusals: u64,
    /// Whether a stranger tries to speak.
    pub stranger: bool,
    /// Who is reached by streams.
    pub streams: Vec<String>,
    /// Zero for no probes.
    pub probe_interval: Duration,
    /// Timer C.
    pub timer_c: Duration,
    /// The longest call.
    pub max_duration: Duration,
    /// Whether 3xx are followed.
    pub follow_redirects: bool,
    /// Whether the inside's Call-IDs are hidden.
    pub hides: bool,
    /// How many workers share the calls in each of the proxy's lives, in turn.
    pub workers: Vec<u16>,
}

impl Weather {
    /// What this seed has.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let mut some = |share: u64, most: u64| {
            if rng.per_mille(share) {
                1 + rng.below(most)
            } else {
                0
            }
        };
        let (loss, twice, late) = (some(550, 150), some(500, 150), some(500, 150));
        let refusals = some(150, 20);
        let (crashes, planes, breaks) = (some(500, 3), some(400, 3), some(600, 10));
        let mut times = |n: u64| -> Vec<Duration> {
            let mut times: Vec<_> = (0..n).map(|_| rng.ms(1_000, BUSY_MS + 30_000)).collect();
            times.sort();
            times
        };
        let (crashes, planes, breaks) = (times(crashes), times(planes), times(breaks));
        let streams: Vec<String> = [CARRIERS[1], POOL[1], TRUNK]
            .into_iter()
            .filter(|_| rng.per_mille(300))
            .map(str::to_owned)
            .collect();
        let low = rng.below(40);
        Self {
            loss,
            twice,
            late,
            delay_ms: (low, low + 1 + rng.below(60)),
            crashes,
            planes: planes
                .into_iter()
                .map(|at| (at, rng.per_mille(500)))
                .collect(),
            breaks: if streams.is_empty() { vec![] } else { breaks },
            refusals,
            stranger: rng.per_mille(500),
            streams,
            probe_interval: if rng.per_mille(200) {
                Duration::from_secs(5)
            } else {
                Duration::ZERO
            },
            timer_c: Duration::from_secs(if rng.per_mille(500) { 185 } else { 60 }),
            max_duration: Duration::from_secs(300),
            follow_redirects: rng.per_mille(500),
            hides: rng.per_mille(500),
            workers: if rng.per_mille(400) {
                vec![1]
            } else {
                (0..3)
                    .map(|_| 1 + u16::try_from(rng.below(4)).unwrap_or(0))
                    .collect()
            },
        }
    }

    /// Whether everything that is sent arrives.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.loss == 0 && self.crashes.is_empty() && self.breaks.is_empty()
    }
}

/// What a caller does.
#[derive(Clone, Debug)]
pub struct CallerPlan {
    /// When it calls.
    pub start: Duration,
    /// From where.
    pub agent: &'static str,
    /// The INVITE has no offer.
    pub delayed: bool,
    /// It takes reliable provisional responses.
    pub prack: bool,
    /// It gives up so long after the INVITE.
    pub cancel: Option<Duration>,
    /// It dies without a word.
    pub dies: Option<Duration>,
    /// It sends UPDATE before the answer, if it may.
    pub early_update: bool,
    /// What it does in the call.
    pub talk: Talk,
}

/// What a phone does in an answered call.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// So long after the answer.
    pub acts: Vec<(Duration, Act)>,
}

/// One act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A re-INVITE with an offer, or without.
    Reinvite {
        /// Without.
        delayed: bool,
        /// Cancelled after a moment.
        cancel: bool,
    },
    /// UPDATE with an offer, or without.
    Update(bool),
    /// INFO.
    Info,
    /// BYE.
    Bye,
}

impl CallerPlan {
    /// What the caller with this number does.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let inbound = rng.per_mille(650);
        let from: &[&'static str] = if inbound { &CARRIERS } else { &POOL };
        let seldom = |rng: &mut Rng, share, time: (u64, u64)| {
            rng.per_mille(share).then(|| rng.ms(time.0, time.1))
        };
        Self {
            start: rng.ms(100, BUSY_MS),
            agent: rng.pick(from).unwrap_or_default(),
            delayed: rng.per_mille(200),
            prack: rng.per_mille(600),
            cancel: seldom(rng, 200, (0, 6_000)),
            dies: seldom(rng, 40, (0, 40_000)),
            early_update: rng.per_mille(200),
            talk: Talk::new(rng, true),
        }
    }
}

impl Talk {
    /// The caller hangs up in any case, later than the callee may.
    fn new(rng: &mut Rng, hangs_up: bool) -> Self {
        let mut acts = Vec::new();
        let end = if rng.per_mille(300) {
            // At the same time as the other, often enough.
            Duration::from_secs(10)
        } else {
            rng.ms(500, 40_000)
        };
        for _ in 0..rng.below(4) {
            let at = if rng.per_mille(300) {
                Duration::from_secs(2)
            } else {
                rng.ms(0, 20_000)
            };
            let act = match rng.below(4) {
                0 | 1 => Act::Reinvite {
                    delayed: rng.per_mille(250),
                    cancel: rng.per_mille(100),
                },
                2 => Act::Update(rng.per_mille(500)),
                _ => Act::Info,
            };
            acts.push((at, act));
        }
        if hangs_up || rng.per_mille(500) {
            acts.push((end, Act::Bye));
        }
        Self { acts }
    }
}

/// How a callee ends its ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200.
    Answer,
    /// This failure.
    Refuse(u16),
    /// 302 to the other one of the pool.
    Redirect,
    /// It rings for ever.
    Never,
    /// Nothing is ever said.
    Silent,
}

/// What a callee does.
#[derive(Clone, Debug)]
pub struct CalleePlan {
    /// How many forks there are behind it.
    pub forks: usize,
    /// Provisional responses: after the one before, by which fork, with media, reliable.
    pub rings: Vec<(Duration, usize, bool, bool)>,
    /// After the last of them.
    pub end: Duration,
    /// And then.
    pub verdict: Verdict,
    /// It answers although the CANCEL is there.
    pub races: bool,
    /// A second fork answers too.
    pub second: bool,
    /// It dies.
    pub dies: Option<Duration>,
    /// What it does in the call.
    pub talk: Talk,
}

impl CalleePlan {
    /// What the callee of this INVITE does.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let forks = if rng.per_mille(250) {
            2 + usize::from(rng.per_mille(300))
        } else {
            1
        };
        let mut rings = Vec::new();
        for _ in 0..rng.below(4) {
            let fork = usize::try_from(rng.below(forks as u64)).unwrap_or(0);
            rings.push((
                rng.ms(0, 1500),
                fork,
                rng.per_mille(400),
                rng.per_mille(400),
            ));
        }
        let verdict = match rng.below(100) {
            0..70 => Verdict::Answer,
            70..73 => Verdict::Never,
            73..77 => Verdict::Silent,
            77..82 => Verdict::Redirect,
            _ => Verdict::Refuse(
                rng.pick(&[404, 480, 486, 486, 488, 500, 503, 503, 600, 603])
                    .unwrap_or(486),
            ),
        };
        Self {
            forks,
            rings,
            end: rng.ms(0, 5_000),
            verdict,
            races: rng.per_mille(150),
            second: forks > 1 && rng.per_mille(300),
            dies: rng.per_mille(40).then(|| rng.ms(0, 40_000)),
            talk: Talk::new(rng, false),
        }
    }
}
