//! Who is heard.

use std::net::IpAddr;
use std::time::Duration;

use super::blocks::{Block, Blocks, Reason};
use super::meter::{Limit, Meter};
use super::source::Source;

/// What a source may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefenceConfig {
    /// Requests of a source.
    pub requests: Limit,
    /// Failed attempts of a source: to call, to register.
    pub failures: Limit,
    /// How long a source is blocked.
    pub block: Duration,
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
            sources: 65_536,
        }
    }
}

/// What was seen of a source that is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// A request, or what is no SIP, or a response to nothing.
    Request,
    /// An attempt that was refused: a call that it may not make, a wrong password.
    Failure,
    /// It calls itself a scanner.
    Scanner,
}

/// A source is to be blocked from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who.
    pub source: Source,
    /// Why, and until when.
    pub block: Block,
    /// Whose block had to go for it, since as many are blocked as can be.
    pub displaced: Option<Source>,
}

/// What sources did lately, and which are blocked for it. A source that is trusted is never shown to it;
/// the caller knows the tables.
#[derive(Debug)]
pub struct Defence {
    config: DefenceConfig,
    requests: Meter,
    failures: Meter,
    blocks: Blocks,
}

impl Defence {
    /// Nobody is blocked. The seed must be unpredictable.
    #[must_use]
    pub fn new(config: DefenceConfig, seed: [u8; 16]) -> Self {
        Self {
            requests: Meter::new(config.requests, config.sources, seed),
            failures: Meter::new(config.failures, config.sources, seed),
            blocks: Blocks::new(config.sources, seed),
            config,
        }
    }

    /// Other limits, from now on. Who is blocked stays so for his time. `sources` stays what it was.
    pub fn set(&mut self, config: DefenceConfig) {
        self.requests.set(config.requests);
        self.failures.set(config.failures);
        let sources = self.config.sources;
        self.config = DefenceConfig { sources, ..config };
    }

    /// Who is blocked.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// A source did something. What it does while it is blocked counts for nothing.
    pub fn saw(&mut self, now: Duration, ip: IpAddr, sight: Sight) -> Option<Verdict> {
        let source = Source::of(ip);
        if self.blocks.of(now, source).is_some() {
            return None;
        }
        let reason = match sight {
            Sight::Request => self.requests.count(now, source).then_some(Reason::Rate),
            Sight::Failure => self.failures.count(now, source).then_some(Reason::Failures),
            Sight::Scanner => Some(Reason::Scanner),
        };
        let block = self.config.block;
        (!block.is_zero()).then_some(())?;
        reason.map(|reason| self.block(now, source, reason, block))
    }

    /// Blocks a source for so long, from now on, whatever it did.
    pub fn block(
        &mut self,
        now: Duration,
        source: Source,
        reason: Reason,
        time: Duration,
    ) -> Verdict {
        // What it did is paid for; it begins anew.
        self.requests.forget(source);
        self.failures.forget(source);
        let until = now.saturating_add(time);
        let block = Block { reason, until };
        Verdict {
            source,
            block,
            displaced: self.blocks.insert(now, source, block),
        }
    }

    /// A block that outlived us is taken over, if there is none yet.
    pub fn take_over(&mut self, now: Duration, source: Source, left: Duration) -> Option<Verdict> {
        if self.blocks.of(now, source).is_some() {
            return None;
        }
        Some(self.block(now, source, Reason::Earlier, left))
    }

    /// Ends a block. Whether there was one.
    pub fn unblock(&mut self, now: Duration, source: Source) -> bool {
        self.blocks.remove(now, source)
    }
}

#[cfg(test)]
mod tests;
