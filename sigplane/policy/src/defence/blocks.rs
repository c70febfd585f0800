//! Who is blocked, and until when: a list of bounded length.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::source::Source;

/// Why a source is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many requests.
    Rate,
    /// Too many failed attempts.
    Failures,
    /// It calls itself a scanner.
    Scanner,
    /// An administrator said so.
    Administrator,
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
            Self::Administrator => "administrator",
            Self::Earlier => "earlier",
        }
    }
}

/// A blocked source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub until: Duration,
}

/// The list. Each question takes constant time. A full list lets the oldest block go for a new one:
/// whoever misbehaves now is kept out, whatever an earlier flood has left.
#[derive(Debug)]
pub struct Blocks {
    most: usize,
    blocked: HashMap<Source, Block, Keys>,
    /// Ends of blocks in the order that they were made in. An end that is not its source's any more is
    /// passed over.
    ends: VecDeque<(Duration, Source)>,
}

impl Blocks {
    /// Nobody is blocked, and `most` sources will be at a time. The seed must be unpredictable.
    #[must_use]
    pub const fn new(most: usize, seed: [u8; 16]) -> Self {
        Self {
            most,
            blocked: HashMap::with_hasher(Keys(seed)),
            ends: VecDeque::new(),
        }
    }

    /// Whether nobody is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
    }

    /// Whether the source of this address is blocked.
    #[must_use]
    pub fn contains(&self, now: Duration, ip: IpAddr) -> bool {
        !self.is_empty() && self.of(now, Source::of(ip)).is_some()
    }

    /// A source's block.
    #[must_use]
    pub fn of(&self, now: Duration, source: Source) -> Option<Block> {
        let block = self.blocked.get(&source).copied();
        block.filter(|block| block.until > now)
    }

    /// Blocks a source, instead of what there was. Answers whose block had to go for it.
    pub fn insert(&mut self, now: Duration, source: Source, block: Block) -> Option<Source> {
        self.expire(now);
        let mut displaced = None;
        while self.blocked.len() >= self.most.max(1) && !self.blocked.contains_key(&source) {
            displaced = self.pop().or(displaced);
        }
        if self.blocked.insert(source, block) != Some(block) {
            self.ends.push_back((block.until, source));
        }
        displaced
    }

    /// Ends a block. Whether there was one.
    pub fn remove(&mut self, now: Duration, source: Source) -> bool {
        let block = self.blocked.remove(&source);
        block.is_some_and(|block| block.until > now)
    }

    /// Who is blocked.
    pub fn iter(&self, now: Duration) -> impl Iterator<Item = (Source, Block)> + '_ {
        self.blocked
            .iter()
            .filter(move |(_, block)| block.until > now)
            .map(|(source, block)| (*source, *block))
    }

    /// Forgets blocks that are over: as many as there are new ones, and one more.
    fn expire(&mut self, now: Duration) {
        for _ in 0..2 {
            let Some((until, source)) = self.ends.front().copied() else {
                return;
            };
            if until > now && self.is_end(until, source) {
                return;
            }
            self.pop();
        }
    }

    /// Takes the oldest end out, and its source if it is its end.
    fn pop(&mut self) -> Option<Source> {
        let (until, source) = self.ends.pop_front()?;
        let ends = self.is_end(until, source);
        if ends {
            self.blocked.remove(&source);
        }
        ends.then_some(source)
    }

    fn is_end(&self, until: Duration, source: Source) -> bool {
        self.blocked.get(&source).is_some_and(|b| b.until == until)
    }
}

/// The hash of sources, with a key that nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys(pub(super) [u8; 16]);

impl std::hash::BuildHasher for Keys {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}
