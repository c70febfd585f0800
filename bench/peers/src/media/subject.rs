//! The subjects, and how what they spend is counted in the same way.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tandem_bench_peers::cpu::Times;
use tandem_e2e::{Failure, Result};

use crate::lab::{Bench, Flow, Wire};
use crate::rtpengine::RtpEngine;
use crate::tandem::Tandem;
use crate::testpmd::{TestPmd, Wish};

/// What relays, or only forwards.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// `dpdk-testpmd` that touches nothing: what the wire and the generator can do.
    Io,
    /// `dpdk-testpmd` that swaps MAC and IP addresses and ports: the practical limit.
    FiveTupleSwap,
    /// Ours.
    Tandem,
    /// RTPEngine in user space.
    RtpEngine,
}

impl Subject {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Io => "testpmd io",
            Self::FiveTupleSwap => "testpmd 5tswap",
            Self::Tandem => "tandem",
            Self::RtpEngine => "rtpengine",
        }
    }
}

/// One that runs.
pub(crate) enum Running {
    TestPmd(TestPmd),
    Tandem(Tandem),
    RtpEngine(RtpEngine),
}

/// What it spent on the packets that it relayed between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// By its own count; 0 if it has none.
    pub(crate) packets: u64,
    /// Of polls that found packets, or of a process that sleeps in between its CPU time.
    pub(crate) busy_ns: f64,
    /// CPU time of all of its threads.
    pub(crate) cpu_ns: f64,
    /// Packets in a turn of the loop that found some; 0 if it does not say.
    pub(crate) per_turn: f64,
    /// The time stamp counter's rate, if it says.
    pub(crate) mhz: f64,
}

/// A moment from which is counted.
pub(crate) struct Since {
    at: Instant,
    times: Times,
}

impl Running {
    /// Starts it. Ours relays nothing before [`Self::connect`].
    pub(crate) fn start(subject: Subject, bench: &Bench, wire: Wire) -> Result<Self> {
        let mode = match subject {
            Subject::Io => "io",
            Subject::FiveTupleSwap => "5tswap",
            Subject::Tandem => return Tandem::start(bench, wire).map(Self::Tandem),
            Subject::RtpEngine => return RtpEngine::start(bench).map(Self::RtpEngine),
        };
        let wish = Wish {
            mode,
            devices: &bench.devices(wire),
            buffers: 65_535,
            memory_mb: 512,
        };
        let folder = bench.folder("testpmd")?;
        TestPmd::start(&bench.lab.appliance, &folder, &wish).map(Self::TestPmd)
    }

    /// Gives ours its flows; RTPEngine makes its own.
    pub(crate) fn connect(&mut self, bench: &Bench, flows: Vec<Flow>) -> Result<Vec<Flow>> {
        match self {
            Self::TestPmd(_) => Ok(flows),
            Self::Tandem(tandem) => tandem.install(bench, &flows).map(|()| flows),
            Self::RtpEngine(engine) => engine.sessions(0, flows.len() as u32),
        }
    }

    /// Counts from here.
    pub(crate) fn begin(&mut self) -> Result<Since> {
        match self {
            Self::TestPmd(testpmd) => testpmd.begin()?,
            Self::Tandem(tandem) => tandem.begin()?,
            Self::RtpEngine(_) => {}
        }
        Ok(Since {
            at: Instant::now(),
            times: Times::of(&[self.pid()])?,
        })
    }

    /// What it spent since then.
    pub(crate) fn end(&mut self, since: &Since) -> Result<Spent> {
        let cpu = Times::of(&[self.pid()])?.since(&since.times);
        let cpu_ns: u64 = cpu.values().sum();
        let mut spent = Spent {
            seconds: since.at.elapsed().as_secs_f64(),
            cpu_ns: cpu_ns as f64,
            busy_ns: cpu_ns as f64,
            ..Spent::default()
        };
        match self {
            Self::TestPmd(testpmd) => {
                let counted = testpmd.end()?;
                spent.packets = counted.packets;
                spent.busy_ns = counted.cycles as f64 * 1e3 / counted.mhz.max(1.0);
                spent.mhz = counted.mhz;
            }
            Self::Tandem(tandem) => {
                let counted = tandem.end()?;
                spent.packets = counted.packets;
                spent.busy_ns = counted.busy_ns as f64;
                spent.per_turn = counted.packets as f64 / counted.busy_turns.max(1) as f64;
                if counted.packets < counted.dropped * 100 || counted.packets == 0 {
                    let moved = counted.moved;
                    return Err(Failure::new(format!("ours does not relay: {moved}")));
                }
            }
            Self::RtpEngine(_) => {}
        }
        Ok(spent)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::TestPmd(testpmd) => testpmd.pid(),
            Self::Tandem(tandem) => tandem.process.pid(),
            Self::RtpEngine(engine) => engine.process.pid(),
        }
    }

    /// Ends it; before the generator, whose end of a `net_memif` must not go while somebody polls the other.
    pub(crate) fn stop(self) -> Result<()> {
        match self {
            Self::TestPmd(testpmd) => testpmd.stop(),
            Self::Tandem(tandem) => tandem.stop(),
            Self::RtpEngine(mut engine) => {
                engine.process.kill();
                Ok(())
            }
        }
    }
}
