//! What was seen: the rounds, and the best of them side by side.

use serde::Serialize;

use crate::system::System;

/// One round's figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) case: String,
    pub(crate) system: System,
    /// Calls (or requests) a second.
    pub(crate) rate: u32,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) retransmissions: u64,
    /// CPU microseconds a call, of everything below.
    pub(crate) us: f64,
    /// Of these, the signaling plane's (or Kamailio's processes').
    pub(crate) signaling_us: f64,
    /// Of these, those of the dataplane's workers while they had something to do.
    pub(crate) worker_us: f64,
    /// Of these, those of the dataplane's other threads: link, exception path, netlink.
    pub(crate) others_us: f64,
}

impl Round {
    /// Whether every call went as it should, at the first try.
    fn is_clean(&self) -> bool {
        self.failed == 0 && self.retransmissions == 0
    }
}

/// A system's clean rounds of one case and rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Best {
    case: String,
    rate: u32,
    system: System,
    /// Of how many rounds.
    rounds: usize,
    /// How many of them were clean.
    clean: usize,
    /// The least and the most CPU microseconds a call.
    best_us: f64,
    worst_us: f64,
    /// The best round's shares.
    signaling_us: f64,
    worker_us: f64,
    others_us: f64,
    /// Of Kamailio's best.
    ratio: Option<f64>,
}

/// The best of each system, by case and rate in the order of the rounds.
pub(crate) fn bests(rounds: &[Round]) -> Vec<Best> {
    let mut keys: Vec<(&str, u32)> = rounds.iter().map(|r| (r.case.as_str(), r.rate)).collect();
    keys.dedup();
    let mut bests = Vec::new();
    for (case, rate) in keys {
        let least = |system| {
            let of = |r: &&Round| (r.case.as_str(), r.rate, r.system) == (case, rate, system);
            let all: Vec<&Round> = rounds.iter().filter(of).collect();
            let mut clean: Vec<&Round> = all.iter().copied().filter(|r| r.is_clean()).collect();
            clean.sort_by(|a, b| a.us.total_cmp(&b.us));
            let (first, last) = (*clean.first()?, *clean.last()?);
            Some((all.len(), clean.len(), first.clone(), last.us))
        };
        let kamailio = least(System::Kamailio).map(|(_, _, first, _)| first.us);
        for system in System::ALL {
            let Some((rounds, clean, first, worst_us)) = least(system) else {
                continue;
            };
            bests.push(Best {
                case: case.to_owned(),
                rate,
                system,
                rounds,
                clean,
                best_us: first.us,
                worst_us,
                signaling_us: first.signaling_us,
                worker_us: first.worker_us,
                others_us: first.others_us,
                ratio: kamailio.map(|k| first.us / k),
            });
        }
    }
    bests
}

/// The table for people.
pub(crate) fn print(bests: &[Best]) {
    println!(
        "\nCPU microseconds a call: best and worst of the rounds without failure or repetition"
    );
    println!(
        "{:10} {:>6} {:9} {:>9} {:>9} {:>7} | {:>9} {:>8} {:>8} | {:>8}",
        "case",
        "rate",
        "system",
        "best",
        "worst",
        "rounds",
        "signaling",
        "workers",
        "others",
        "ratio"
    );
    for b in bests {
        println!(
            "{:10} {:>6} {:9} {:>9.1} {:>9.1} {:>7} | {:>9.1} {:>8.1} {:>8.1} | {:>8}",
            b.case,
            b.rate,
            format!("{:?}", b.system),
            b.best_us,
            b.worst_us,
            format!("{}/{}", b.clean, b.rounds),
            b.signaling_us,
            b.worker_us,
            b.others_us,
            b.ratio
                .map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(system: System, us: f64, retransmissions: u64) -> Round {
        Round {
            case: "calls".into(),
            system,
            rate: 100,
            calls: 1_000,
            failed: 0,
            retransmissions,
            us,
            signaling_us: us,
            worker_us: 0.0,
            others_us: 0.0,
        }
    }

    #[test]
    fn the_best_clean_round_counts() {
        let rounds = [
            round(System::Kamailio, 400.0, 0),
            round(System::Rings, 50.0, 1),
            round(System::Kamailio, 300.0, 0),
            round(System::Rings, 150.0, 0),
        ];
        let bests = bests(&rounds);
        assert_eq!(bests.len(), 2);
        assert_eq!((bests[0].best_us, bests[0].worst_us), (300.0, 400.0));
        assert_eq!((bests[1].best_us, bests[1].clean), (150.0, 1));
        assert_eq!(bests[1].ratio, Some(0.5));
    }
}
