//! How often a worker looks for messages, as network cards coalesce interrupts.

use std::time::Duration;

/// A shorter sleep takes longer than it.
const LEAST: Duration = Duration::from_micros(50);

/// When the worker woke, and how long it lets messages gather after that.
#[derive(Debug)]
pub(super) struct Pace {
    coalesce: Duration,
    woke: Option<Duration>,
}

impl Pace {
    pub(super) const fn new(coalesce: Duration) -> Self {
        Self {
            coalesce,
            woke: None,
        }
    }

    /// Another time, from now on.
    pub(super) const fn set(&mut self, coalesce: Duration) {
        self.coalesce = coalesce;
    }

    /// The worker woke to look.
    pub(super) const fn woke(&mut self, now: Duration) {
        self.woke = Some(now);
    }

    /// How long it has to rest before it looks again; none after a silence.
    pub(super) fn rest(&self, now: Duration) -> Option<Duration> {
        let rest = (self.woke? + self.coalesce).saturating_sub(now);
        (rest >= LEAST).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_just_looked_rests_and_who_looks_after_a_silence_does_not() {
        let us = Duration::from_micros;
        let mut pace = Pace::new(us(1_000));
        assert_eq!(pace.rest(us(0)), None, "never looked");
        pace.woke(us(500));
        assert_eq!(pace.rest(us(700)), Some(us(800)));
        assert_eq!(pace.rest(us(1_460)), None, "not worth it");
        assert_eq!(pace.rest(us(1_500)), None);
        assert_eq!(pace.rest(us(90_000)), None);
    }

    #[test]
    fn it_can_be_turned_off() {
        let mut pace = Pace::new(Duration::ZERO);
        pace.woke(Duration::from_secs(1));
        assert_eq!(pace.rest(Duration::from_secs(1)), None);
    }
}
