//! The passes of all rounds side by side.

use std::fmt;

use serde::Serialize;

use super::{Pass, Round};
use crate::system::System;

/// A system's clean passes of one name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Best {
    pass: &'static str,
    system: System,
    rounds: usize,
    clean: usize,
    best_us: f64,
    worst_us: f64,
    /// The most registrations a second.
    reached: f64,
    /// Of Kamailio's best.
    ratio: Option<f64>,
}

impl Pass {
    /// Whether everybody was registered, at the first try.
    fn is_clean(&self) -> bool {
        self.failed == 0 && self.retransmissions == 0
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0}/s: {:.1} us a registration (signaling {:.1}, workers {:.1}, others {:.1}); median {:.2} ms, p99 {:.2} ms; \
             {} registered, {} failed, {} retransmissions; load at {:.0} % of its core",
            self.name,
            self.reached,
            self.us,
            self.signaling_us,
            self.worker_us,
            self.others_us,
            self.median_ms,
            self.p99_ms,
            self.registered,
            self.failed,
            self.retransmissions,
            self.load_busy * 100.0
        )
    }
}

/// The best of each system in each pass.
pub(crate) fn bests(rounds: &[Round]) -> Vec<Best> {
    let Some(first) = rounds.first() else {
        return Vec::new();
    };
    let mut bests = Vec::new();
    for name in first.passes.iter().map(|p| p.name) {
        let of = |system| best(rounds, system, name);
        let kamailio = of(System::Kamailio).map(|b| b.best_us);
        bests.extend(System::ALL.into_iter().filter_map(of).map(|b| Best {
            ratio: kamailio.map(|k| b.best_us / k),
            ..b
        }));
    }
    bests
}

fn best(rounds: &[Round], system: System, name: &'static str) -> Option<Best> {
    let own = rounds.iter().filter(|r| r.system == system);
    let all: Vec<&Pass> = own
        .flat_map(|r| r.passes.iter().filter(|p| p.name == name))
        .collect();
    let clean: Vec<&&Pass> = all.iter().filter(|p| p.is_clean()).collect();
    let us = || clean.iter().map(|p| p.us);
    Some(Best {
        pass: name,
        system,
        rounds: all.len(),
        clean: clean.len(),
        best_us: us().min_by(f64::total_cmp)?,
        worst_us: us().max_by(f64::total_cmp)?,
        reached: clean.iter().map(|p| p.reached).max_by(f64::total_cmp)?,
        ratio: None,
    })
}

/// The table for people.
pub(crate) fn print(bests: &[Best]) {
    println!(
        "\nCPU microseconds a registration (401 and 200): best and worst of the rounds without failure or repetition"
    );
    println!(
        "{:10} {:9} {:>9} {:>9} {:>7} {:>10} | {:>8}",
        "pass", "system", "best", "worst", "rounds", "most/s", "ratio"
    );
    for b in bests {
        println!(
            "{:10} {:9} {:>9.1} {:>9.1} {:>7} {:>10.0} | {:>8}",
            b.pass,
            format!("{:?}", b.system),
            b.best_us,
            b.worst_us,
            format!("{}/{}", b.clean, b.rounds),
            b.reached,
            b.ratio
                .map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(system: System, us: f64, failed: u64) -> Round {
        let pass = Pass {
            name: "first",
            registered: 10,
            failed,
            retransmissions: 0,
            reached: 1_000.0 / us,
            us,
            signaling_us: us,
            worker_us: 0.0,
            others_us: 0.0,
            median_ms: 1.0,
            p99_ms: 1.0,
            load_busy: 0.1,
        };
        Round {
            system,
            users: 10,
            passes: vec![pass],
            memory: None,
            restarts: None,
        }
    }

    #[test]
    fn a_pass_with_a_failure_does_not_count() {
        let rounds = [
            round(System::Kamailio, 50.0, 0),
            round(System::Rings, 10.0, 1),
            round(System::Rings, 25.0, 0),
            round(System::Kamailio, 40.0, 0),
        ];
        let bests = bests(&rounds);
        assert_eq!(bests.len(), 2);
        assert_eq!((bests[0].best_us, bests[0].worst_us), (40.0, 50.0));
        assert_eq!((bests[1].best_us, bests[1].clean), (25.0, 1));
        assert_eq!(bests[1].ratio, Some(0.625));
    }
}
