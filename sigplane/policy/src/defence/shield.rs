//! Who is heard.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::meter::{Limit, Meter};
use super::scanner::Scanners;
use super::source::{Networks, Source};

/// What a source may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefenceConfig {
    /// Requests of a source.
    pub requests: Limit,
    /// Failed attempts of a source: to call, to register.
    pub failures: Limit,
    /// How long a source is blocked.
    pub block: Duration,
    /// Programs that are blocked at once.
    pub scanners: Scanners,
    /// Networks that nothing of this holds for.
    pub trusted: Networks,
    /// How many sources are counted, and how many may be blocked, at a time.
    pub sources: usize,
}

impl Default for DefenceConfig {
    fn default() -> Self {
        Self {
            requests: Limit {
                events: 30,
                window: Duration::from_secs(2),
            },
            failures: Limit {
                events: 10,
                window: Duration::from_secs(60),
            },
            block: Duration::from_secs(300),
            scanners: Scanners::default(),
            trusted: Networks::default(),
            sources: 65_536,
        }
    }
}

/// Why a source is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many requests.
    Rate,
    /// Too many failed attempts.
    Failures,
    /// It calls itself a scanner.
    Scanner,
    /// It was before we began; whoever blocked it has not kept why.
    Earlier,
}

impl Reason {
    /// For people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Failures => "failures",
            Self::Scanner => "scanner",
            Self::Earlier => "earlier",
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong with it.
    Pass,
    /// It is dropped, and from now on its source is blocked.
    Blocked(Source),
    /// It is dropped; its source is above its limit, but as many are blocked as can be.
    Full,
}

/// A blocked source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub until: Duration,
}

/// The sources: what they did, and which are blocked. A source that is trusted is never counted and
/// never blocked; the caller says so, who knows the tables.
#[derive(Debug)]
pub struct Defence {
    config: DefenceConfig,
    requests: Meter,
    failures: Meter,
    blocked: HashMap<Source, Block, Keys>,
    /// Ends of blocks in the order that they were made in, which is the order of the ends but for
    /// those that were taken over. An end that is not its source's any more is passed over.
    ends: VecDeque<(Duration, Source)>,
}

impl Defence {
    /// Nobody is blocked. The seed must be unpredictable.
    #[must_use]
    pub fn new(config: DefenceConfig, seed: [u8; 16]) -> Self {
        Self {
            requests: Meter::new(config.requests, config.sources, seed),
            failures: Meter::new(config.failures, config.sources, seed),
            blocked: HashMap::with_hasher(Keys(seed)),
            ends: VecDeque::new(),
            config,
        }
    }

    /// Whether an address is in a network that the configuration trusts.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.config.trusted.contains(ip)
    }

    /// Whether the source of this address is blocked.
    #[must_use]
    pub fn is_blocked(&self, now: Duration, ip: IpAddr) -> bool {
        !self.blocked.is_empty()
            && self
                .blocked
                .get(&Source::of(ip))
                .is_some_and(|block| block.until > now)
    }

    /// A source that is not trusted and not blocked sent a request, or what is none.
    pub fn request(&mut self, now: Duration, ip: IpAddr) -> Verdict {
        let source = Source::of(ip);
        if self.requests.count(now, source) {
            self.block(now, source, Reason::Rate)
        } else {
            Verdict::Pass
        }
    }

    /// The same source calls itself this.
    pub fn user_agent(&mut self, now: Duration, ip: IpAddr, user_agent: &[u8]) -> Verdict {
        if self.config.scanners.is_one(user_agent) {
            self.block(now, Source::of(ip), Reason::Scanner)
        } else {
            Verdict::Pass
        }
    }

    /// What a source that is not trusted attempted was refused: a call that it may not make, a user
    /// that does not exist, a wrong password.
    pub fn failed(&mut self, now: Duration, ip: IpAddr) -> Verdict {
        let source = Source::of(ip);
        if self.failures.count(now, source) {
            self.block(now, source, Reason::Failures)
        } else {
            Verdict::Pass
        }
    }

    fn block(&mut self, now: Duration, source: Source, reason: Reason) -> Verdict {
        let until = now + self.config.block;
        if self.set(now, source, Block { reason, until }) {
            Verdict::Blocked(source)
        } else {
            Verdict::Full
        }
    }

    /// A block that outlived us is taken over, if there is room and none yet.
    pub fn take_over(&mut self, now: Duration, source: Source, left: Duration) -> bool {
        if self.blocked.get(&source).is_some_and(|b| b.until > now) {
            return true;
        }
        let block = Block {
            reason: Reason::Earlier,
            until: now + left.min(self.config.block),
        };
        self.set(now, source, block)
    }

    fn set(&mut self, now: Duration, source: Source, block: Block) -> bool {
        self.expire(now);
        if self.blocked.len() >= self.config.sources && !self.blocked.contains_key(&source) {
            return false;
        }
        // What it did is paid for; it begins anew.
        self.requests.forget(source);
        self.failures.forget(source);
        self.blocked.insert(source, block);
        self.ends.push_back((block.until, source));
        true
    }

    /// Ends a block. Whether there was one.
    pub fn unblock(&mut self, now: Duration, source: Source) -> bool {
        self.blocked
            .remove(&source)
            .is_some_and(|block| block.until > now)
    }

    /// Forgets blocks that are over: as many as there are new ones, and one more.
    fn expire(&mut self, now: Duration) {
        for _ in 0..2 {
            let Some((until, source)) = self.ends.front().copied() else {
                return;
            };
            let block = self.blocked.get(&source).copied();
            let stale = block.is_none_or(|b| b.until != until);
            if !stale && until > now {
                return;
            }
            self.ends.pop_front();
            if !stale {
                self.blocked.remove(&source);
            }
        }
    }

    /// Who is blocked.
    pub fn blocked(&self, now: Duration) -> impl Iterator<Item = (Source, Block)> + '_ {
        self.blocked
            .iter()
            .filter(move |(_, block)| block.until > now)
            .map(|(source, block)| (*source, *block))
    }
}

/// The hash of sources, with a key that nobody knows.
#[derive(Clone, Copy, Debug)]
struct Keys([u8; 16]);

impl std::hash::BuildHasher for Keys {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

#[cfg(test)]
mod tests;
