//! The case `registers`: users of a registrar, each with one contact for an hour, by digest authentication (MD5) over UDP.
//!
//! Everybody registers at the given rate, then refreshes at that rate, then refreshes as fast as the answers come. The work is not the same:
//! Kamailio keeps bindings in memory alone; ours answers when they are on the disk (one fdatasync serves many), and has them after a SIGKILL.

mod memory;
mod report;

use std::time::Duration;

use serde::Serialize;
use tandem_e2e::topology::sip;
use tandem_e2e::{Failure, Result, wait};

use crate::meter::Meter;
use crate::phones::{Pace, Phones};
use crate::system::{Running, Service, System, set_up};
pub(crate) use memory::{Memory, Restart};
pub(crate) use report::{bests, print};

/// Users beyond those that are measured: they register first, so that tables and buffers are there.
const WARM: u32 = 100;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) users: u32,
    /// Registrations (two REGISTERs each) a second.
    pub(crate) rate: u32,
    /// Registrations under way when it goes as fast as it can.
    pub(crate) window: usize,
    /// Seconds that are counted behind each pass.
    pub(crate) settle: u64,
    /// Ours writes the database's location table, too.
    pub(crate) table: bool,
    /// Looks at memory, and at a restart of ours.
    pub(crate) memory: bool,
    /// Shows the threads' shares too.
    pub(crate) threads: bool,
}

/// Everything about one system in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) system: System,
    pub(crate) users: u32,
    pub(crate) passes: Vec<Pass>,
    pub(crate) memory: Option<Memory>,
    /// With those that registered first alone, and with all.
    pub(crate) restarts: Option<[Restart; 2]>,
}

impl Round {
    /// Registrations that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.passes.iter().map(|p| p.failed).sum()
    }
}

/// Everybody has registered once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pass {
    pub(crate) name: &'static str,
    pub(crate) registered: u64,
    pub(crate) failed: u64,
    pub(crate) retransmissions: u64,
    /// Registrations a second.
    pub(crate) reached: f64,
    /// CPU microseconds a registration (REGISTER, 401, REGISTER, 200), of everything below.
    pub(crate) us: f64,
    pub(crate) signaling_us: f64,
    pub(crate) worker_us: f64,
    pub(crate) others_us: f64,
    /// From the first REGISTER to the 200.
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    /// How much of a core the load itself took: near 1, it is the load that is slow.
    pub(crate) load_busy: f64,
}

/// One system, once.
pub(crate) fn measure(wants: Wants, system: System) -> Result<Round> {
    let all = wants.users + WARM;
    let mut running = set_up(
        system,
        Service::Users {
            count: all,
            table: wants.table,
        },
    )?;
    let looks = wants.memory && system != System::Kernel;
    let mut phones = Phones::new(&running.lab, sip(running.from), running.to, all)?;
    let warm = phones.register(wants.users..all, Pace::Window(wants.window))?;
    if warm.failed > 0 {
        return Err(Failure::new(format!(
            "{system:?} registers nobody: {}",
            warm.unexpected.join("\n")
        )));
    }
    let few = if looks && system != System::Kamailio {
        Some(memory::restart(&mut running, WARM)?)
    } else {
        None
    };
    let begin = looks.then(|| memory::Moment::now(&running)).transpose()?;
    let mut passes = Vec::new();
    let mut moments = Vec::new();
    for (name, pace) in [
        ("first", Pace::Rate(wants.rate)),
        ("refresh", Pace::Rate(wants.rate)),
        ("flat-out", Pace::Window(wants.window)),
    ] {
        passes.push(pass(wants, &running, &mut phones, name, pace)?);
        if looks && name != "flat-out" {
            memory::wait_until_quiet(&running)?;
            moments.push(memory::Moment::now(&running)?);
        }
    }
    let all_well = passes.iter().all(|p| p.failed == 0);
    if system != System::Kamailio && all_well {
        memory::expect_users(&running, all)?;
    }
    let memory = match (begin, moments.as_slice()) {
        (Some(begin), [first, refreshed]) => {
            Some(Memory::of(wants.users, &begin, first, refreshed))
        }
        _ => None,
    };
    let restarts = match few {
        Some(few) => Some([few, memory::restart(&mut running, all)?]),
        None => None,
    };
    let round = Round {
        system,
        users: wants.users,
        passes,
        memory,
        restarts,
    };
    if let Some(memory) = &round.memory {
        println!("           {system:?}: {memory}");
    }
    if let Some([few, full]) = &round.restarts {
        println!("           {system:?}: {few}");
        println!(
            "           {system:?}: {full}: {:.0} bytes a registration",
            full.each(few)
        );
    }
    Ok(round)
}

fn pass(
    wants: Wants,
    running: &Running,
    phones: &mut Phones,
    name: &'static str,
    pace: Pace,
) -> Result<Pass> {
    let meter = Meter::start(running)?;
    let seen = phones.register(0..wants.users, pace)?;
    wait::pass(Duration::from_secs(wants.settle))?;
    let spent = meter.stop()?;
    if seen.registered == 0 {
        return Err(Failure::new(format!(
            "{:?}: nobody was registered: {}",
            running.system,
            seen.unexpected.join("\n")
        )));
    }
    let us = |ns: u64| ns as f64 / 1e3 / seen.registered as f64;
    let (signaling_us, worker_us, others_us) = (
        us(spent.signaling()),
        us(spent.workers()),
        us(spent.others()),
    );
    let pass = Pass {
        name,
        registered: seen.registered,
        failed: seen.failed,
        retransmissions: seen.retransmissions,
        reached: seen.registered as f64 / seen.time.as_secs_f64(),
        us: signaling_us + worker_us + others_us,
        signaling_us,
        worker_us,
        others_us,
        median_ms: seen.latency.quantile_ms(0.5),
        p99_ms: seen.latency.quantile_ms(0.99),
        load_busy: seen.busy,
    };
    println!("registers  {:?}, {pass}", running.system);
    for text in &seen.unexpected {
        println!("    failed: {}", text.lines().next().unwrap_or_default());
    }
    if wants.threads {
        spent.print(seen.registered);
    }
    Ok(pass)
}
