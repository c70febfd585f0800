//! Many seeds; a failing one replays: `TANDEM_SIM_SEED=7 cargo test -p tandem-sim -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use tandem_sim::run;

/// Calls in a run.
const CALLS: u32 = 36;
/// Seeds of a test, each of four has its own.
const SEEDS: u64 = 120;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap())
}

fn check(seed: u64) {
    let calls = variable("TANDEM_SIM_CALLS").map_or(CALLS, |n| u32::try_from(n).unwrap());
    let outcome = run(seed, calls, false);
    assert!(
        outcome.faults.is_empty(),
        "seed {seed}: {} faults\n{}\n{}\nreplay with: TANDEM_SIM_SEED={seed} cargo test -p tandem-sim one_seed -- --nocapture",
        outcome.faults.len(),
        outcome.faults.join("\n"),
        outcome.weather,
    );
}

/// Every fourth seed from this one; the harness runs the four at the same time.
fn quarter(first: u64) {
    if variable("TANDEM_SIM_SEED").is_some() {
        return;
    }
    let seeds = variable("TANDEM_SIM_SEEDS").map_or(SEEDS, |n| n / 4);
    for i in 0..seeds {
        check(first + 4 * i);
    }
}

#[test]
fn a_quarter_of_the_seeds() {
    quarter(0);
}

#[test]
fn another_quarter_of_the_seeds() {
    quarter(1);
}

#[test]
fn a_third_quarter_of_the_seeds() {
    quarter(2);
}

#[test]
fn the_last_quarter_of_the_seeds() {
    quarter(3);
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in [1_000_000, 1_000_001] {
        let (first, second) = (run(seed, CALLS, false), run(seed, CALLS, true));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert!(!second.trace.is_empty());
    }
}

/// The seed that the environment names, with all its messages.
#[test]
fn one_seed() {
    let Some(seed) = variable("TANDEM_SIM_SEED") else {
        return;
    };
    let calls = variable("TANDEM_SIM_CALLS").map_or(CALLS, |n| u32::try_from(n).unwrap());
    let outcome = run(seed, calls, true);
    println!("{}\n{}", outcome.trace, outcome.weather);
    println!("{:?}\n{:?}", outcome.counters, outcome.cdrs);
    check(seed);
}
