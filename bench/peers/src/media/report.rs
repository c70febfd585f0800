//! The best of the rounds side by side, and what is to be reached.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cases::{Load, Memory, Round, Stall};
use crate::lab::Wire;
use crate::subject::Subject;

/// Busy nanoseconds a packet that ours may take beyond testpmd's.
const BEYOND_NS: f64 = 30.0;
/// Times RTPEngine's packets in a CPU second.
const TIMES: f64 = 30.0;
/// The 99.9th percentile of the latency at 80 % load, in nanoseconds.
const P999_NS: u64 = 20_000;

/// All that was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct All {
    pub(crate) rounds: Vec<Round>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) stalls: Vec<Stall>,
}

/// What was to be reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Criterion {
    pub(crate) what: String,
    pub(crate) seen: String,
    pub(crate) met: bool,
}

/// The rounds of one subject on one wire.
struct Bests<'a> {
    wire: Wire,
    subject: Subject,
    rounds: Vec<&'a Round>,
}

impl Bests<'_> {
    fn values(&self, of: impl Fn(&Round) -> f64) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| of(round))
    }

    fn least(&self, of: impl Fn(&Round) -> f64) -> f64 {
        self.values(of).fold(f64::INFINITY, f64::min)
    }

    fn most(&self, of: impl Fn(&Round) -> f64) -> f64 {
        self.values(of).fold(0.0, f64::max)
    }

    /// Lost and sent in each round at 80 %.
    fn losses(&self) -> Vec<(u64, u64)> {
        let loads = self.rounds.iter().filter_map(|r| r.loaded);
        loads.map(|l| (l.lost, l.sent)).collect()
    }

    /// The load with the best 99.9th percentile.
    fn calmest(&self, of: impl Fn(&Round) -> Option<Load>) -> Option<Load> {
        let loads = self.rounds.iter().filter_map(|r| of(r));
        loads.min_by_key(|l| l.latency.p999)
    }

    /// The least CPU time a packet under any load.
    fn cpu_ns(&self) -> f64 {
        let loads = |r: &&Round| [Some(r.most), r.loaded, r.beside];
        let all = self.rounds.iter().flat_map(loads).flatten();
        all.map(|l| l.cpu_ns).fold(f64::INFINITY, f64::min)
    }
}

fn bests(rounds: &[Round]) -> Vec<Bests<'_>> {
    let mut sorted: BTreeMap<(Wire, Subject), Vec<&Round>> = BTreeMap::new();
    for round in rounds {
        sorted
            .entry((round.wire, round.subject))
            .or_default()
            .push(round);
    }
    sorted
        .into_iter()
        .map(|((wire, subject), rounds)| Bests {
            wire,
            subject,
            rounds,
        })
        .collect()
}

/// The tables for people.
pub(crate) fn print(all: &All) {
    let bests = bests(&all.rounds);
    throughput(&bests);
    latencies(&bests);
    for m in &all.memory {
        println!(
            "memory: {}: {:.0} bytes a session (proportional set size of the process, {} sessions on top of {:.1} MB)",
            m.subject.name(),
            m.each,
            m.sessions,
            m.before as f64 / 1e6
        );
    }
    if let [a, b] = all.memory.as_slice() {
        println!(
            "        {:.1} times",
            a.each.max(b.each) / a.each.min(b.each).max(1.0)
        );
    }
    for s in &all.stalls {
        let back = s.recovered_ms.map_or_else(
            || "not again".to_owned(),
            |ms| format!("again after {ms:.0} ms"),
        );
        println!(
            "stall of 10 s: {}: {:.0} packets a second before, the rate {back}, {:.0} a second in the end (veth, {:.0} offered)",
            s.subject.name(),
            s.before,
            s.after,
            s.rate
        );
    }
    println!();
    for criterion in criteria(all) {
        let met = if criterion.met { "met    " } else { "NOT MET" };
        println!("{met} {}: {}", criterion.what, criterion.seen);
    }
}

fn throughput(bests: &[Bests<'_>]) {
    println!(
        "\nOffered more than it takes (RTPEngine, which is deaf after that: the highest rate with at most 0.1 % lost), one core: best (worst) of the rounds. Busy is what polls that found packets took, of RTPEngine its CPU\n\
         time; `times` is the wire's 5tswap's, of veth RTPEngine's. The generator was not the limit where it found the wire full."
    );
    println!(
        "{:10} {:14} {:>2} {:>15} {:>6} {:>15} {:>7} {:>6} {:>9} {:>6} {:>6} {:>9}",
        "wire",
        "subject",
        "n",
        "Mpps",
        "times",
        "busy ns/packet",
        "cycles",
        "times",
        "CPU ns",
        "turn",
        "busy",
        "gen. full"
    );
    let mhz = bests
        .iter()
        .map(|b| b.most(|r| r.most.mhz))
        .fold(0.0, f64::max);
    for best in bests {
        let other = match best.wire {
            Wire::Veth => Subject::RtpEngine,
            _ => Subject::FiveTupleSwap,
        };
        let other = bests
            .iter()
            .find(|b| (b.wire, b.subject) == (best.wire, other));
        let ratio = |of: &dyn Fn(&Bests<'_>) -> f64| {
            other.map_or_else(
                || "-".to_owned(),
                |other| format!("{:.2}", of(best) / of(other)),
            )
        };
        let pps = |b: &Bests<'_>| b.most(|r| r.most.pps);
        let ns = |b: &Bests<'_>| b.least(|r| r.most.busy_ns);
        println!(
            "{:10} {:14} {:>2} {:>15} {:>6} {:>15} {:>7} {:>6} {:>9} {:>6} {:>6} {:>9}",
            best.wire.name(),
            best.subject.name(),
            best.rounds.len(),
            format!(
                "{:.3} ({:.3})",
                pps(best) / 1e6,
                best.least(|r| r.most.pps) / 1e6
            ),
            ratio(&pps),
            format!("{:.1} ({:.1})", ns(best), best.most(|r| r.most.busy_ns)),
            if mhz > 0.0 {
                format!("{:.0}", ns(best) * mhz / 1e3)
            } else {
                "-".into()
            },
            ratio(&ns),
            format!("{:.1}", best.least(|r| r.most.cpu_ns)),
            match best.most(|r| r.most.per_turn) {
                turn if turn > 0.0 => format!("{turn:.1}"),
                _ => "-".into(),
            },
            format!("{:.0} %", best.most(|r| r.most.busy) * 100.0),
            format!("{:.0} %", best.least(|r| r.most.full) * 100.0),
        );
    }
}

fn latencies(bests: &[Bests<'_>]) {
    println!(
        "\nAt 80 % of its own maximum (veth: of the highest rate with at most 0.1 % lost), and beside RTPEngine at RTPEngine's rate: microseconds from the\n\
         generator's sending to its receiving, the wires and its own loop included; the best round by the 99.9th percentile."
    );
    println!(
        "{:10} {:14} {:>7} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>10}  lost in each round",
        "wire", "subject", "rate", "kpps", "busy ns", "p50", "p90", "p99", "p99.9", "max"
    );
    for best in bests {
        let own = best.calmest(|r| r.loaded).map(|l| ("80 %", l));
        let beside = best.calmest(|r| r.beside).map(|l| ("theirs", l));
        for (name, load) in own.into_iter().chain(beside) {
            let us = |ns: u64| format!("{:.1}", ns as f64 / 1e3);
            let p = load.latency;
            let lost: Vec<String> = match name {
                "80 %" => best
                    .losses()
                    .iter()
                    .map(|(lost, _)| lost.to_string())
                    .collect(),
                _ => vec![load.lost.to_string()],
            };
            println!(
                "{:10} {:14} {:>7} {:>9.1} {:>9.1} {:>8} {:>8} {:>8} {:>9} {:>10}  {}",
                best.wire.name(),
                best.subject.name(),
                name,
                load.pps / 1e3,
                load.busy_ns,
                us(p.p50),
                us(p.p90),
                us(p.p99),
                us(p.p999),
                us(p.most),
                lost.join(" ")
            );
        }
    }
    println!();
}

/// What is to be reached, where it was measured.
pub(crate) fn criteria(all: &All) -> Vec<Criterion> {
    let bests = bests(&all.rounds);
    let find = |wire, subject| {
        bests
            .iter()
            .find(|b| (b.wire, b.subject) == (wire, subject))
    };
    let mut criteria = Vec::new();
    for wire in [Wire::Memif, Wire::MemifBare, Wire::Pcap, Wire::PcapBare] {
        let (Some(ours), Some(limit)) = (
            find(wire, Subject::Tandem),
            find(wire, Subject::FiveTupleSwap),
        ) else {
            continue;
        };
        let (ours, limit) = (
            ours.least(|r| r.most.busy_ns),
            limit.least(|r| r.most.busy_ns),
        );
        criteria.push(Criterion {
            what: format!(
                "at most {BEYOND_NS} busy ns a packet more than testpmd 5tswap ({})",
                wire.name()
            ),
            seen: format!("{:.1} more ({ours:.1} and {limit:.1})", ours - limit),
            met: ours - limit <= BEYOND_NS,
        });
    }
    for wire in [Wire::Memif, Wire::MemifDeep] {
        let Some(ours) = find(wire, Subject::Tandem) else {
            continue;
        };
        let losses = ours.losses();
        let clean = losses.iter().filter(|(lost, _)| *lost == 0).count();
        criteria.push(Criterion {
            what: format!(
                "no loss at 80 % of its maximum, best of the rounds ({})",
                wire.name()
            ),
            seen: format!("{clean} of {} rounds without a lost packet", losses.len()),
            met: clean > 0,
        });
        if let Some(load) = ours.calmest(|r| r.loaded) {
            criteria.push(Criterion {
                what: format!(
                    "p99.9 of the latency at 80 % load at most 20 us, wires and generator included ({})",
                    wire.name()
                ),
                seen: format!("{:.1} us", load.latency.p999 as f64 / 1e3),
                met: load.latency.p999 <= P999_NS,
            });
        }
    }
    if let Some(ours) = find(Wire::Memif, Subject::Tandem)
        && let Some(theirs) = find(Wire::Veth, Subject::RtpEngine)
    {
        let (ours, theirs) = (ours.least(|r| r.most.cpu_ns), theirs.cpu_ns());
        criteria.push(Criterion {
            what: format!(
                "at least {TIMES} times RTPEngine's packets in a CPU second (ours memif, RTPEngine veth)"
            ),
            seen: format!(
                "{:.1} times ({:.2} million and {:.4} million)",
                theirs / ours,
                1e3 / ours,
                1e3 / theirs
            ),
            met: theirs / ours >= TIMES,
        });
    }
    for stall in all.stalls.iter().filter(|s| s.subject == Subject::Tandem) {
        criteria.push(Criterion {
            what: "media is back at once after a stall of 10 s (veth)".into(),
            seen: stall
                .recovered_ms
                .map_or_else(|| "it is not".into(), |ms| format!("after {ms:.0} ms")),
            met: stall.recovered_ms.is_some_and(|ms| ms < 500.0),
        });
    }
    criteria
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Percentiles;

    fn round(wire: Wire, subject: Subject, ns: f64, lost: u64) -> Round {
        let load = Load {
            pps: 1e9 / ns,
            busy_ns: ns,
            cpu_ns: ns,
            sent: 1_000,
            lost,
            latency: Percentiles {
                p999: 30_000 + lost,
                ..Percentiles::default()
            },
            ..Load::default()
        };
        Round {
            wire,
            subject,
            flows: 1,
            most: load,
            clean_pps: None,
            loaded: Some(load),
            beside: None,
        }
    }

    #[test]
    fn the_best_rounds_are_held_against_each_other() {
        let all = All {
            rounds: vec![
                round(Wire::Memif, Subject::FiveTupleSwap, 70.0, 0),
                round(Wire::Memif, Subject::Tandem, 110.0, 5),
                round(Wire::Memif, Subject::FiveTupleSwap, 75.0, 0),
                round(Wire::Memif, Subject::Tandem, 99.0, 0),
                round(Wire::Veth, Subject::RtpEngine, 9_900.0, 0),
            ],
            memory: vec![],
            stalls: vec![Stall {
                subject: Subject::Tandem,
                rate: 1.0,
                before: 1.0,
                after: 0.0,
                recovered_ms: None,
            }],
        };
        let criteria = criteria(&all);
        let met: Vec<bool> = criteria.iter().map(|c| c.met).collect();
        assert_eq!(met, [true, true, false, true, false], "{criteria:?}");
        assert_eq!(criteria[0].seen, "29.0 more (99.0 and 70.0)");
        assert_eq!(criteria[1].seen, "1 of 2 rounds without a lost packet");
        assert!(criteria[3].seen.starts_with("100.0 times"), "{criteria:?}");
        print(&all);
    }

    #[test]
    fn nothing_is_claimed_of_what_was_not_measured() {
        assert_eq!(criteria(&All::default()), []);
    }
}
