//! When something begins: at a constant rate, up a ramp, as a Poisson process.

use super::random::Random;

/// So many a second.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Rate {
    /// Always as many.
    Constant(f64),
    /// From one rate to another in so many seconds, and on at that.
    Ramp {
        /// At the beginning.
        from: f64,
        /// At the end.
        to: f64,
        /// Seconds from one to the other.
        seconds: f64,
    },
}

impl Rate {
    /// The rate so many seconds after the beginning.
    #[must_use]
    pub fn at(self, seconds: f64) -> f64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Ramp {
                from,
                to,
                seconds: length,
            } => from + (to - from) * (seconds / length.max(1e-9)).clamp(0.0, 1.0),
        }
    }

    /// How many are expected in the first so many seconds: the rate's integral.
    #[must_use]
    pub fn expected(self, seconds: f64) -> f64 {
        match self {
            Self::Constant(rate) => rate * seconds,
            Self::Ramp {
                from,
                to,
                seconds: length,
            } => {
                let on_ramp = seconds.min(length);
                (from + self.at(on_ramp)) / 2.0 * on_ramp + to * (seconds - on_ramp)
            }
        }
    }

    /// # Errors
    /// It is no rate.
    pub fn check(self) -> Result<(), String> {
        let all = match self {
            Self::Constant(rate) => [rate, rate, 0.0],
            Self::Ramp { from, to, seconds } => [from, to, seconds],
        };
        if all.iter().all(|n| n.is_finite() && *n >= 0.0) {
            Ok(())
        } else {
            Err("a rate is a number of at least 0, or { from = 10, to = 100, seconds = 60 }".into())
        }
    }
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// As evenly as can be.
    #[default]
    Even,
    /// A Poisson process: as many independent people.
    Poisson,
}

/// The process. Both kinds are the same in operational time, the rate's integral: there the next one
/// comes after 1, or after an exponentially distributed number with mean 1.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    rate: Rate,
    spread: Spread,
    begin: Option<u64>,
    next: f64,
}

impl Arrivals {
    pub(crate) const fn new(rate: Rate, spread: Spread) -> Self {
        Self {
            rate,
            spread,
            begin: None,
            next: 0.0,
        }
    }

    /// Another rate from now on.
    pub(crate) fn change(&mut self, rate: Rate) {
        *self = Self::new(rate, self.spread);
    }

    /// The rate now.
    pub(crate) fn rate(&self, now: u64) -> f64 {
        self.rate.at(seconds(self.begin.unwrap_or(now), now))
    }

    /// How many are due, at most so many; the others are at the next call.
    pub(crate) fn due(&mut self, now: u64, most: u32, random: &mut Random) -> u32 {
        let begin = *self.begin.get_or_insert(now);
        let reached = self.rate.expected(seconds(begin, now));
        let mut count = 0;
        while count < most && self.next < reached {
            self.next += match self.spread {
                Spread::Even => 1.0,
                Spread::Poisson => random.exponential(),
            };
            count += 1;
        }
        count
    }
}

fn seconds(begin: u64, now: u64) -> f64 {
    now.saturating_sub(begin) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many in each second.
    fn run(rate: Rate, spread: Spread, seconds: u64) -> Vec<u32> {
        let mut arrivals = Arrivals::new(rate, spread);
        let mut random = Random::new(3);
        let mut counts = Vec::new();
        for second in 0..seconds {
            let ticks = (0..1_000).map(|ms| 5_000 * MS + second * 1_000 * MS + ms * MS);
            counts.push(ticks.map(|now| arrivals.due(now, 64, &mut random)).sum());
        }
        counts
    }

    #[test]
    fn a_constant_rate_is_that_in_every_second() {
        let counts = run(Rate::Constant(300.0), Spread::Even, 10);
        assert!(counts.iter().all(|n| (299..=301).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_ramp_reaches_its_end_and_stays_there() {
        let ramp = Rate::Ramp {
            from: 0.0,
            to: 100.0,
            seconds: 10.0,
        };
        let counts = run(ramp, Spread::Even, 20);
        assert_eq!(counts[..10].iter().sum::<u32>().abs_diff(500) / 3, 0);
        assert!(counts[10..].iter().all(|n| (99..=101).contains(n)));
    }

    #[test]
    fn a_poisson_process_has_its_mean_and_its_variance() {
        let counts = run(Rate::Constant(100.0), Spread::Poisson, 400);
        let mean = counts.iter().sum::<u32>() as f64 / 400.0;
        let squares = counts.iter().map(|n| (f64::from(*n) - mean).powi(2));
        let variance = squares.sum::<f64>() / 400.0;
        assert!((97.0..103.0).contains(&mean), "{mean}");
        assert!((80.0..120.0).contains(&variance), "{variance}");
    }

    #[test]
    fn what_is_due_and_may_not_begin_yet_is_not_forgotten() {
        let mut arrivals = Arrivals::new(Rate::Constant(1_000.0), Spread::Even);
        let mut random = Random::new(0);
        assert_eq!(arrivals.due(0, 64, &mut random), 0);
        let counts: Vec<_> = (0..4)
            .map(|_| arrivals.due(100 * MS, 40, &mut random))
            .collect();
        assert_eq!(counts, [40, 40, 20, 0]);
    }
}
