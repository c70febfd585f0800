//! What is measured: one subject on one wire, in one round.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tandem_bench_peers::cpu;
use tandem_e2e::{Failure, Result};

use crate::generate::{Run, Seen};
use crate::generator::Generator;
use crate::histogram::Percentiles;
use crate::lab::{Bench, Wire, flows};
use crate::subject::{Running, Spent, Subject};

/// Seconds before anything counts: every flow has learned its sources by then.
const WARM: f64 = 0.5;
/// Seconds that are left at both ends of what a subject counts.
const MARGIN: f64 = 0.1;
/// The share of its maximum at which a subject's loss and latency are looked at.
const LOADED: f64 = 0.8;
/// RTPEngine's rates, one above the other: what overloads it leaves it deaf, so that no search may come back from there.
const CLIMB: f64 = 10_000.0;
const CLIMB_MOST: u32 = 60;
/// Steps of the search for the highest rate with hardly any loss, seconds of each, and what of all packets may be lost.
const STEPS: u32 = 7;
const HARDLY: f64 = 0.001;
const STEP_SECONDS: f64 = 0.7;
/// How long a subject is stopped, and how long it has to come back.
const STALL: f64 = 10.0;
const AFTER: f64 = 5.0;
/// Packets a second during a stall.
const STALL_RATE: f64 = 20_000.0;

/// One subject on one wire, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) wire: Wire,
    pub(crate) subject: Subject,
    pub(crate) flows: u32,
    /// Offered more than it can take.
    pub(crate) most: Load,
    /// Packets a second with at most one of a thousand lost, where it was searched for.
    pub(crate) clean_pps: Option<f64>,
    /// At 80 % of that, or else of the most.
    pub(crate) loaded: Option<Load>,
    /// At the rate of another subject's load, on the same wire.
    pub(crate) beside: Option<Load>,
}

/// What was seen under one load.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Packets a second that came through.
    pub(crate) pps: f64,
    /// Nanoseconds a packet: busy polls, and CPU time of the whole process.
    pub(crate) busy_ns: f64,
    pub(crate) cpu_ns: f64,
    /// The share of its time that its polls were busy.
    pub(crate) busy: f64,
    pub(crate) per_turn: f64,
    pub(crate) mhz: f64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) latency: Percentiles,
    /// How often the generator found the wire full, and how much of its time it was busy.
    pub(crate) full: f64,
    pub(crate) generator_busy: f64,
}

impl Load {
    fn new(seen: &Seen, spent: &Spent) -> Self {
        // A subject that does not count relayed what came, in a time of its own.
        let packets = match spent.packets {
            0 => seen.pps() * spent.seconds,
            counted => counted as f64,
        };
        Self {
            pps: seen.pps(),
            busy_ns: spent.busy_ns / packets.max(1.0),
            cpu_ns: spent.cpu_ns / packets.max(1.0),
            busy: spent.busy_ns / 1e9 / spent.seconds.max(1e-9),
            per_turn: spent.per_turn,
            mhz: spent.mhz,
            sent: seen.sent + seen.refused,
            lost: seen.lost(),
            latency: seen.latency,
            full: seen.full,
            generator_busy: seen.busy,
        }
    }
}

/// What a round is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) wire: Wire,
    pub(crate) flows: u32,
    pub(crate) seconds: f64,
    /// A rate of another subject's to be run too.
    pub(crate) beside: Option<f64>,
}

/// One round.
pub(crate) fn measure(bench: &Bench, subject: Subject, plan: Plan) -> Result<Round> {
    match plan.wire {
        Wire::Pcap | Wire::PcapBare | Wire::Null => alone(bench, subject, plan),
        Wire::Memif | Wire::MemifBare | Wire::MemifDeep | Wire::Veth => {
            driven(bench, subject, plan)
        }
    }
}

/// A subject whose ports bring packets by themselves.
fn alone(bench: &Bench, subject: Subject, plan: Plan) -> Result<Round> {
    let flows = flows(plan.flows);
    if plan.wire != Wire::Null {
        bench.record(plan.wire, &flows)?;
    }
    let mut running = Running::start(subject, bench, plan.wire)?;
    running.connect(bench, flows)?;
    sleep(Duration::from_secs_f64(WARM));
    let since = running.begin()?;
    sleep(Duration::from_secs_f64(plan.seconds));
    let spent = running.end(&since)?;
    running.stop()?;
    let seen = Seen {
        seconds: spent.seconds,
        sent: spent.packets,
        received: spent.packets,
        ..Seen::default()
    };
    Ok(Round {
        wire: plan.wire,
        subject,
        flows: plan.flows,
        most: Load::new(&seen, &spent),
        clean_pps: None,
        loaded: None,
        beside: None,
    })
}

/// RTPEngine: higher and higher until it loses packets, and then one that was started anew.
fn climbed(bench: &Bench, plan: Plan) -> Result<Round> {
    let mut pair = Pair::start(bench, Subject::RtpEngine, plan)?;
    let mut most = Load::default();
    for step in 1..=CLIMB_MOST {
        let load = pair.load(Some(CLIMB * f64::from(step)), STEP_SECONDS)?;
        if load.lost as f64 > load.sent as f64 * HARDLY {
            break;
        }
        most = load;
    }
    pair.stop()?;
    let mut pair = Pair::start(bench, Subject::RtpEngine, plan)?;
    let loaded = pair.load(Some(most.pps.max(CLIMB) * LOADED), plan.seconds)?;
    pair.stop()?;
    Ok(Round {
        wire: plan.wire,
        subject: Subject::RtpEngine,
        flows: plan.flows,
        most,
        clean_pps: Some(most.pps),
        loaded: Some(loaded),
        beside: None,
    })
}

/// A subject between the generator's ports.
fn driven(bench: &Bench, subject: Subject, plan: Plan) -> Result<Round> {
    if subject == Subject::RtpEngine {
        return climbed(bench, plan);
    }
    let mut pair = Pair::start(bench, subject, plan)?;
    let most = pair.load(None, plan.seconds)?;
    let clean_pps = match plan.wire {
        Wire::Veth => Some(pair.search(most.pps)?),
        _ => None,
    };
    let rate = clean_pps.unwrap_or(most.pps) * LOADED;
    let loaded = Some(pair.load(Some(rate), plan.seconds)?);
    let beside = match plan.beside {
        Some(rate) => Some(pair.load(Some(rate), plan.seconds)?),
        None => None,
    };
    pair.stop()?;
    Ok(Round {
        wire: plan.wire,
        subject,
        flows: plan.flows,
        most,
        clean_pps,
        loaded,
        beside,
    })
}

/// A subject and the generator.
struct Pair {
    running: Running,
    generator: Generator,
}

impl Pair {
    fn start(bench: &Bench, subject: Subject, plan: Plan) -> Result<Self> {
        // The subject first: it is the server of a `net_memif`.
        let mut running = Running::start(subject, bench, plan.wire)?;
        let flows = running.connect(bench, flows(plan.flows))?;
        let kernel = subject == Subject::RtpEngine;
        let setup = bench.setup(plan.wire, kernel, &flows)?;
        let folder = bench.folder("generator")?;
        let generator = Generator::start(&bench.lab.carrier, &folder, &setup)?;
        let mut pair = Self { running, generator };
        // Once around, at a pace at which nothing is lost: sources are learned, memory is touched.
        pair.generator.run(Run {
            rate: Some(f64::from(plan.flows) * 10.0),
            warm: 0.0,
            seconds: WARM,
        })?;
        Ok(pair)
    }

    /// So many packets a second, or as many as there is room for.
    fn load(&mut self, rate: Option<f64>, seconds: f64) -> Result<Load> {
        self.generator.begin(Run {
            rate,
            warm: WARM,
            seconds,
        })?;
        // With a rate the generator waits for stragglers between warming up and what counts.
        let begin = WARM + MARGIN + if rate.is_some() { MARGIN } else { 0.0 };
        sleep(Duration::from_secs_f64(begin));
        let since = self.running.begin()?;
        sleep(Duration::from_secs_f64(seconds - 3.0 * MARGIN));
        let spent = self.running.end(&since)?;
        let seen = self.generator.finish()?;
        Ok(Load::new(&seen, &spent))
    }

    /// The highest rate with hardly any loss, by halving; at least a tenth of what it takes when offered too much.
    fn search(&mut self, most: f64) -> Result<f64> {
        let (mut clean, mut lossy) = (most * 0.1, most * 1.3);
        for _ in 0..STEPS {
            let rate = (clean + lossy) / 2.0;
            let seen = self.generator.run(Run {
                rate: Some(rate),
                warm: 0.0,
                seconds: STEP_SECONDS,
            })?;
            if seen.lost() as f64 <= seen.sent as f64 * HARDLY {
                clean = rate;
            } else {
                lossy = rate;
            }
        }
        Ok(clean)
    }

    fn stop(self) -> Result<()> {
        self.running.stop()?;
        drop(self.generator);
        Ok(())
    }
}

/// Memory that sessions take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) subject: Subject,
    pub(crate) sessions: u32,
    /// Resident before, and what each session added, in bytes.
    pub(crate) before: u64,
    pub(crate) each: f64,
}

/// Sets sessions up and looks.
pub(crate) fn memory(bench: &Bench, subject: Subject, sessions: u32) -> Result<Memory> {
    let mut running = Running::start(subject, bench, Wire::Veth)?;
    let processes = [running.pid()];
    // Some first, so that what the first one needs is there.
    let first = 10;
    let mut all = flows(sessions + first);
    let later = all.split_off(first as usize);
    let before;
    match &mut running {
        Running::RtpEngine(engine) => {
            engine.sessions(0, first)?;
            before = cpu::resident(&processes);
            engine.sessions(first, first + sessions)?;
        }
        Running::Tandem(tandem) => {
            tandem.install(bench, &all)?;
            before = cpu::resident(&processes);
            tandem.install_more(bench, &later, u64::from(first))?;
        }
        Running::TestPmd(_) => return Err(Failure::new("testpmd has no sessions")),
    }
    let after = cpu::resident(&processes);
    running.stop()?;
    Ok(Memory {
        subject,
        sessions,
        before,
        each: after.saturating_sub(before) as f64 / f64::from(sessions),
    })
}

/// What becomes of media after the process stood still.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stall {
    pub(crate) subject: Subject,
    pub(crate) rate: f64,
    /// Packets a second before, and in the last second, five seconds after the end of the stall.
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// Milliseconds from its end until nine tenths of the rate came through again; none if that was not seen.
    pub(crate) recovered_ms: Option<f64>,
}

/// Stops the process for ten seconds while media goes on.
pub(crate) fn stall(bench: &Bench, subject: Subject, sessions: u32) -> Result<Stall> {
    let plan = Plan {
        wire: Wire::Veth,
        flows: sessions,
        seconds: 0.0,
        beside: None,
    };
    let mut pair = Pair::start(bench, subject, plan)?;
    let pid = Pid::from_raw(pair.running.pid() as i32);
    let signal = |signal| kill(pid, signal).map_err(Failure::while_("stopping the subject"));
    let before = 2.0;
    pair.generator.begin(Run {
        rate: Some(STALL_RATE),
        warm: 0.0,
        seconds: before + STALL + AFTER,
    })?;
    let begin = Instant::now();
    sleep(Duration::from_secs_f64(before));
    signal(Signal::SIGSTOP)?;
    sleep(Duration::from_secs_f64(STALL));
    signal(Signal::SIGCONT)?;
    let resumed = begin.elapsed().as_secs_f64();
    let seen = pair.generator.finish()?;
    pair.stop()?;
    let after = seen.pps_between(resumed + AFTER - 1.2, resumed + AFTER - 0.2);
    // What waited in the sockets comes through at once, and is no recovery.
    let lasts = after >= STALL_RATE * 0.9;
    let back = seen.first_above(resumed, STALL_RATE * 0.9);
    Ok(Stall {
        subject,
        rate: STALL_RATE,
        before: seen.pps_between(0.5, before - 0.2),
        after,
        recovered_ms: back
            .filter(|_| lasts)
            .map(|at| (at - resumed).max(0.0) * 1e3),
    })
}
