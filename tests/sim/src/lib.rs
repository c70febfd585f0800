//! The deterministic simulation: the proxy core between phones, over a network that loses, repeats
//! and delays, through deaths of the proxy and of the dataplane. One seed is one run, to the last
//! byte; there is no clock, no thread and no socket in here.
//!
//! The phones are written for this room: their messages, transactions and dialogs share no code with
//! what they test. `check` says what must hold at the end, `agent` and `leg` what must hold with each
//! message.
#![forbid(unsafe_code)]

pub mod agent;
mod check;
pub mod ledger;
pub mod leg;
pub mod plan;
pub mod plane;
pub mod rng;
pub mod shell;
pub mod text;
pub mod trace;
mod world;

use trace::Trace;
use world::World;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What does not hold.
    pub faults: Vec<String>,
    /// The weather it had, for people.
    pub weather: String,
    /// The same for the same seed.
    pub hash: u64,
    /// All messages, if asked for.
    pub trace: String,
    /// The last life's counters that moved.
    pub counters: Vec<(&'static str, u64)>,
    /// CDRs, and those of answered calls.
    pub cdrs: (usize, usize),
}

/// Runs a seed with so many calls.
#[must_use]
pub fn run(seed: u64, calls: u32, with_trace: bool) -> Outcome {
    let mut world = World::new(seed, calls, Trace::new(with_trace));
    world.run();
    let answered = world.proxy.cdrs.values().filter(|c| c.answer_ms.is_some());
    Outcome {
        faults: check::faults(&world),
        weather: format!("{:?}", world.weather),
        counters: world.proxy.counters(),
        cdrs: (world.proxy.cdrs.len(), answered.count()),
        hash: world.trace.hash(),
        trace: world.trace.into_text(),
    }
}
