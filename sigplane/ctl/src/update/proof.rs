//! When a system that was installed has proven itself: pure, the time comes with what was found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a system has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// The signaling plane answers, and has not started anew meanwhile.
    Signaling,
    /// The dataplane has a session with it, and has not started anew meanwhile.
    Dataplane,
    /// The database inside of the appliance is open.
    Database,
    /// An OPTIONS request is answered.
    Sip,
    /// Each of the dataplane's workers relays a packet that comes back to it.
    Relay,
    /// Each port has the link that it had.
    Links,
}

impl Check {
    /// All of them, in the order in which one needs the other.
    pub(crate) const ALL: [Self; 6] = [
        Self::Signaling,
        Self::Dataplane,
        Self::Database,
        Self::Sip,
        Self::Relay,
        Self::Links,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Signaling => "signaling",
            Self::Dataplane => "dataplane",
            Self::Database => "database",
            Self::Sip => "sip",
            Self::Relay => "relay",
            Self::Links => "links",
        }
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it should.
    Passed,
    /// Why not.
    Failed(String),
    /// There is nothing to check: why.
    Absent(String),
}

/// One look at everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// What was found.
    pub(crate) outcomes: BTreeMap<Check, Outcome>,
    /// Which processes it was found of: when that changes, one has started anew.
    pub(crate) lives: Vec<u64>,
    /// The ports that have a link.
    pub(crate) links: Vec<String>,
}

impl Findings {
    /// What a new system is not held to, since the old one did not do it either: something outside of the slot is
    /// wrong, or is not configured.
    pub(crate) fn excuses(&self) -> Vec<Check> {
        let failed = |check: &Check| !matches!(self.outcomes.get(check), Some(Outcome::Passed));
        Check::ALL.into_iter().filter(failed).collect()
    }

    fn failures(&self, excused: &[Check]) -> Vec<(Check, String)> {
        let failed = |check: &Check| match self.outcomes.get(check) {
            _ if excused.contains(check) => None,
            Some(Outcome::Failed(why)) => Some((*check, why.clone())),
            Some(Outcome::Passed | Outcome::Absent(_)) => None,
            None => Some((*check, "was not looked at".to_owned())),
        };
        Check::ALL.iter().filter_map(failed).collect()
    }
}

/// What is known by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not yet.
    Wait,
    /// It does all that is asked of it.
    Proven,
    /// Its time is over, and this it does not do.
    Failed(Vec<(Check, String)>),
}

/// The proof of one boot.
#[derive(Debug)]
pub(crate) struct Proof {
    excused: Vec<Check>,
    deadline_ms: u64,
    steady_ms: u64,
    good_since: Option<u64>,
    lives: Vec<u64>,
}

impl Proof {
    /// Until `deadline_ms` all that is not excused has to pass for `steady_ms` without a break.
    pub(crate) fn new(excused: Vec<Check>, deadline_ms: u64, steady_ms: u64) -> Self {
        Self {
            excused,
            deadline_ms,
            steady_ms,
            good_since: None,
            lives: Vec::new(),
        }
    }

    /// Another look.
    pub(crate) fn look(&mut self, now_ms: u64, findings: &Findings) -> Verdict {
        let failures = findings.failures(&self.excused);
        let is_same = self.lives == findings.lives;
        self.lives.clone_from(&findings.lives);
        if !failures.is_empty() {
            self.good_since = None;
            return match now_ms >= self.deadline_ms {
                true => Verdict::Failed(failures),
                false => Verdict::Wait,
            };
        }
        let since = match self.good_since {
            Some(since) if is_same => since,
            _ => *self.good_since.insert(now_ms),
        };
        if now_ms.saturating_sub(since) >= self.steady_ms {
            return Verdict::Proven;
        }
        // What is good a moment before the end may show that it stays so; what starts anew again and again may not.
        if now_ms >= self.deadline_ms.saturating_add(self.steady_ms) {
            let why =
                "starts anew again and again: journalctl -u tandem-sigplane -u tandem-dataplane";
            return Verdict::Failed(vec![(Check::Signaling, why.to_owned())]);
        }
        Verdict::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(failed: &[Check]) -> Findings {
        let outcome = |check: Check| match failed.contains(&check) {
            true => (check, Outcome::Failed("no".into())),
            false => (check, Outcome::Passed),
        };
        Findings {
            outcomes: Check::ALL.into_iter().map(outcome).collect(),
            lives: vec![1, 2],
            links: Vec::new(),
        }
    }

    #[test]
    fn what_is_good_for_long_enough_is_proven() {
        let mut proof = Proof::new(Vec::new(), 60_000, 5_000);
        assert_eq!(proof.look(0, &findings(&Check::ALL)), Verdict::Wait);
        assert_eq!(proof.look(10_000, &findings(&[])), Verdict::Wait);
        assert_eq!(proof.look(14_999, &findings(&[])), Verdict::Wait);
        assert_eq!(proof.look(15_000, &findings(&[])), Verdict::Proven);
    }

    #[test]
    fn a_break_or_a_new_process_begins_anew() {
        let mut proof = Proof::new(Vec::new(), 60_000, 5_000);
        assert_eq!(proof.look(0, &findings(&[])), Verdict::Wait);
        assert_eq!(proof.look(3_000, &findings(&[Check::Sip])), Verdict::Wait);
        assert_eq!(proof.look(6_000, &findings(&[])), Verdict::Wait);
        let mut anew = findings(&[]);
        anew.lives = vec![1, 3];
        assert_eq!(proof.look(10_000, &anew), Verdict::Wait);
        assert_eq!(proof.look(14_000, &anew), Verdict::Wait);
        assert_eq!(proof.look(15_000, &anew), Verdict::Proven);
    }

    #[test]
    fn it_fails_at_the_deadline_and_says_why() {
        let mut proof = Proof::new(Vec::new(), 60_000, 5_000);
        let bad = findings(&[Check::Relay]);
        assert_eq!(proof.look(59_999, &bad), Verdict::Wait);
        let Verdict::Failed(why) = proof.look(60_000, &bad) else {
            panic!("not failed")
        };
        assert_eq!(why, [(Check::Relay, "no".to_owned())]);
    }

    #[test]
    fn what_starts_anew_for_ever_is_not_proven() {
        let mut proof = Proof::new(Vec::new(), 60_000, 5_000);
        let mut verdict = Verdict::Wait;
        for at in 0..70 {
            let mut anew = findings(&[]);
            anew.lives = vec![at];
            verdict = proof.look(at * 1_000, &anew);
            if verdict != Verdict::Wait {
                break;
            }
        }
        assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
    }

    #[test]
    fn what_failed_on_the_old_system_is_not_held_against_the_new_one() {
        let old = findings(&[Check::Database, Check::Links]);
        assert_eq!(old.excuses(), [Check::Database, Check::Links]);
        let mut proof = Proof::new(old.excuses(), 60_000, 0);
        assert_eq!(proof.look(1, &findings(&[Check::Links])), Verdict::Proven);
        let mut proof = Proof::new(old.excuses(), 60_000, 0);
        let verdict = proof.look(60_000, &findings(&[Check::Links, Check::Sip]));
        assert_eq!(
            verdict,
            Verdict::Failed(vec![(Check::Sip, "no".to_owned())])
        );
    }

    #[test]
    fn nothing_to_check_is_no_failure_and_nothing_looked_at_is() {
        let mut some = findings(&[]);
        let none = Outcome::Absent("no realm".into());
        some.outcomes.insert(Check::Sip, none);
        let mut proof = Proof::new(Vec::new(), 10, 0);
        assert_eq!(proof.look(1, &some), Verdict::Proven);
        some.outcomes.remove(&Check::Sip);
        assert_eq!(proof.look(2, &some), Verdict::Wait);
        assert!(matches!(proof.look(10, &some), Verdict::Failed(_)));
    }
}
