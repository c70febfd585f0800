//! The highest rate without loss: binary search as in RFC 2544 section 26.1. Pure: it says which rate to try next.

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::profile;

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Packets a second, calls at once, or calls a second.
    pub rate: f64,
    /// Media packets sent.
    pub sent: u64,
    /// Those that did not come.
    pub lost: u64,
    /// Calls that did not come up or were cut.
    pub failed_calls: u64,
    /// Why the generator was the limit, if it was.
    pub generator_limit: Option<String>,
    /// Whether nothing was lost, within the tolerance.
    pub passed: bool,
}

impl Trial {
    /// Of a run at this rate.
    #[must_use]
    pub fn new(rate: f64, figures: &Figures, tolerance_ppm: f64) -> Self {
        let (rtp, sip) = (&figures.totals.rtp, &figures.totals.sip);
        let generator_limit = figures.generator_limit();
        let failed_calls = sip.failed() + sip.calls_cut + sip.without_media;
        let bound = rtp.sent as f64 * tolerance_ppm / 1e6;
        let is_anything = rtp.sent > 0 || sip.calls_answered > 0;
        let all_came = is_anything && rtp.lost as f64 <= bound && failed_calls == 0;
        Self {
            rate,
            sent: rtp.sent,
            lost: rtp.lost,
            failed_calls,
            passed: all_came && generator_limit.is_none(),
            generator_limit,
        }
    }

    /// The same where calls are to begin at that rate: if some were held back it was another one.
    #[must_use]
    pub fn at_that_rate(self, figures: &Figures) -> Self {
        let held_back = figures.totals.sip.calls_held_back;
        if held_back == 0 {
            return self;
        }
        let why = format!("{held_back} calls were held back: calls.concurrent is too small");
        Self {
            passed: false,
            generator_limit: self.generator_limit.or(Some(why)),
            ..self
        }
    }

    /// How it went, in some words.
    #[must_use]
    pub fn note(&self) -> String {
        let Self {
            sent,
            lost,
            failed_calls,
            ..
        } = self;
        match &self.generator_limit {
            Some(why) => format!("the generator was the limit: {why}"),
            None if self.passed => format!("carried: {lost} of {sent} packets lost"),
            None => format!("{lost} of {sent} packets lost, {failed_calls} calls failed"),
        }
    }
}

/// A search, and what it has found so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The highest rate that passed; none yet, or none at all.
    pub passed: Option<f64>,
    /// The lowest one that did not.
    pub failed: Option<f64>,
    /// All trials, in order.
    pub trials: Vec<Trial>,
    from: f64,
    to: f64,
    resolution: f64,
}

impl Search {
    /// One that has not begun.
    #[must_use]
    pub fn new(wanted: &profile::Search) -> Self {
        let profile::Search {
            from,
            to,
            resolution,
            ..
        } = *wanted;
        Self {
            passed: None,
            failed: None,
            trials: Vec::new(),
            from,
            to,
            resolution,
        }
    }

    /// The rate to try next; none when it is over. The highest one is the first: often nothing is lost at it.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match (self.passed, self.failed) {
            (None, None) => Some(self.to),
            (None, Some(failed)) if failed > self.from => Some(self.from),
            (Some(passed), Some(failed)) if failed - passed > self.resolution => {
                Some((passed + failed) / 2.0)
            }
            _ => None,
        }
    }

    /// What became of the trial that [`Search::next`] asked for.
    pub fn tried(&mut self, trial: Trial) {
        let place = if trial.passed {
            &mut self.passed
        } else {
            &mut self.failed
        };
        *place = Some(trial.rate);
        self.trials.push(trial);
    }

    /// What it found, in a sentence.
    #[must_use]
    pub fn finding(&self, unit: &str) -> String {
        let limit = self
            .failed
            .and_then(|rate| self.trials.iter().rfind(|t| t.rate == rate))
            .and_then(|t| t.generator_limit.as_deref());
        let limit = limit.map_or_else(String::new, |why| {
            format!(": THE GENERATOR WAS THE LIMIT, not the appliance ({why})")
        });
        match (self.passed, self.failed) {
            (Some(passed), Some(failed)) => {
                format!("no loss up to {passed:.0} {unit}, loss at {failed:.0}{limit}")
            }
            (Some(passed), None) => format!(
                "no loss at {passed:.0} {unit}, the highest rate tried: there may be more in it"
            ),
            (None, Some(failed)) => format!("loss at {failed:.0} {unit} already{limit}"),
            (None, None) => "nothing was tried".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figures(sent: u64, lost: u64, skipped: u64) -> Figures {
        let mut figures = Figures::default();
        figures.totals.rtp.sent = sent;
        figures.totals.rtp.lost = lost;
        figures.totals.generator.skipped = skipped;
        figures
    }

    fn wanted(from: f64, to: f64, resolution: f64) -> profile::Search {
        profile::Search {
            from,
            to,
            resolution,
            trial: 1,
            of: profile::Of::Load,
            tolerance_ppm: 0.0,
        }
    }

    #[test]
    fn a_trial_passes_when_nothing_is_lost_and_the_generator_kept_up() {
        assert!(Trial::new(1.0, &figures(1000, 0, 0), 0.0).passed);
        assert!(!Trial::new(1.0, &figures(1000, 1, 0), 0.0).passed);
        assert!(Trial::new(1.0, &figures(1000, 1, 0), 1000.0).passed);
        assert!(!Trial::new(1.0, &figures(0, 0, 0), 0.0).passed);
        let slow = Trial::new(1.0, &figures(1000, 0, 500), 0.0);
        assert!(!slow.passed && slow.generator_limit.is_some());
        let mut search = Search::new(&wanted(0.5, 1.0, 1.0));
        search.tried(slow);
        assert!(search.finding("calls").contains("GENERATOR"));
    }

    #[test]
    fn calls_a_second_need_no_media_but_the_rate() {
        let mut figures = Figures::default();
        figures.totals.sip.calls_answered = 100;
        let trial = |figures: &Figures| Trial::new(10.0, figures, 0.0).at_that_rate(figures);
        assert!(trial(&figures).passed);
        figures.totals.sip.calls_held_back = 1;
        let held = trial(&figures);
        assert!(!held.passed && held.generator_limit.unwrap().contains("concurrent"));
        figures.totals.sip.calls_held_back = 0;
        figures.totals.sip.timeouts = 1;
        assert!(!trial(&figures).passed);
    }

    proptest! {
        #[test]
        fn it_finds_the_limit_within_the_resolution(limit in 1.0f64..2e7) {
            let mut search = Search::new(&wanted(1000.0, 1e7, 5000.0));
            while let Some(rate) = search.next() {
                let lost = u64::from(rate > limit);
                search.tried(Trial::new(rate, &figures(1000, lost, 0), 0.0));
                prop_assert!(search.trials.len() < 20);
            }
            match search.passed {
                Some(passed) => {
                    prop_assert!(passed <= limit);
                    let failed = search.failed.unwrap_or(f64::MAX);
                    prop_assert!(failed > limit || passed == 1e7);
                    prop_assert!(passed == 1e7 || failed - passed <= 5000.0);
                }
                None => prop_assert!(limit < 1000.0),
            }
        }
    }
}
