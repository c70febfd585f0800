//! Overload control by queue delay, after CoDel (RFC 8289): not how much comes counts, nor what it
//! costs, but whether what comes waits.
//!
//! A burst makes a queue that goes away by itself. A queue that stands is another thing: when no
//! message of a whole interval came through within the target, more comes than can be done. From then
//! on a new call that has waited longer than the target is refused, which costs a small part of
//! serving it, and one that has not is served. So the queue stays as long as the target, no longer,
//! and the processor is never idle: as many calls are served as it can serve. Control ends with an interval
//! in which nothing waited longer than the target.
//!
//! CoDel's square root law is not needed: a sender that is refused goes away, where TCP would only
//! halve its rate.

use std::time::Duration;

/// When a queue is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverloadConfig {
    /// How long a new call may wait to be read while there is overload; zero turns control off.
    pub target: Duration,
    /// How long a queue has to stand.
    pub interval: Duration,
    /// When a refused caller may try again, at the earliest, in seconds. What is said is spread
    /// between this and twice as much, so that they do not all come back at once.
    pub retry_after: u32,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(10),
            interval: Duration::from_millis(100),
            retry_after: 5,
        }
    }
}

/// What becomes of a new call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is served.
    Serve,
    /// It is answered with 503.
    Refuse {
        /// Seconds, for Retry-After.
        retry_after: u32,
    },
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Carriers, trunks, the inside.
    Trusted,
    /// Anybody else.
    Stranger,
}

/// Intervals that a stranger's request was served lately.
const LATELY: u32 = 10;

/// The controller.
#[derive(Debug)]
pub struct Overload {
    config: OverloadConfig,
    /// When a stranger's new request was served last.
    stranger: Option<Duration>,
    overloaded: bool,
    /// Since when everything waited longer than the target, or, under overload, since when
    /// nothing did.
    since: Option<Duration>,
    /// When the last message was read.
    last: Duration,
    refused: u32,
}

impl Overload {
    /// A controller that has seen nothing yet.
    #[must_use]
    pub const fn new(config: OverloadConfig) -> Self {
        Self {
            config,
            stranger: None,
            overloaded: false,
            since: None,
            last: Duration::ZERO,
            refused: 0,
        }
    }

    /// Other limits, from now on.
    pub const fn set(&mut self, config: OverloadConfig) {
        self.config = config;
        if config.target.is_zero() {
            self.overloaded = false;
            self.since = None;
        }
    }

    /// A message is read that has waited so long. Of every message, whatever becomes of it.
    pub fn observe(&mut self, now: Duration, waited: Duration) {
        if self.config.target.is_zero() {
            return;
        }
        let gap = now.saturating_sub(self.last);
        self.last = now;
        if gap > waited + self.config.interval {
            // There was nothing to read meanwhile: no queue stood.
            self.overloaded = false;
            self.since = None;
        }
        let late = waited > self.config.target;
        if late == self.overloaded {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) >= self.config.interval {
            self.overloaded = late;
            self.since = None;
        }
    }

    /// Whether a new call that has waited so long is served. After [`Self::observe`].
    pub fn admit(&mut self, now: Duration, caller: Caller, waited: Duration) -> Admission {
        if !self.refuses(now, caller, waited) {
            self.served(now, caller);
            return Admission::Serve;
        }
        let base = self.config.retry_after.max(1);
        self.refused = self.refused.wrapping_add(1);
        Admission::Refuse {
            retry_after: base.saturating_add(self.refused % base.saturating_add(1)),
        }
    }

    /// A new call is served without having been asked for.
    pub fn served(&mut self, now: Duration, caller: Caller) {
        if caller == Caller::Stranger {
            self.stranger = Some(now);
        }
    }

    /// Whether a new call that has waited so long is to be refused.
    ///
    /// Strangers are refused first: at half of the target, where a queue of trusted callers alone never comes down to. So as
    /// long as one of them was served lately it is they who make the queue, and no trusted caller has to go for it.
    #[must_use]
    pub fn refuses(&self, now: Duration, caller: Caller, waited: Duration) -> bool {
        let lately = |at: Duration| now.saturating_sub(at) < self.config.interval * LATELY;
        self.overloaded
            && match caller {
                Caller::Stranger => waited > self.config.target / 2,
                Caller::Trusted => {
                    waited > self.config.target && !self.stranger.is_some_and(lately)
                }
            }
    }

    /// Whether calls that waited are refused now.
    #[must_use]
    pub const fn is_overloaded(&self) -> bool {
        self.overloaded
    }
}

#[cfg(test)]
mod tests;
