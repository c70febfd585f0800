//! What a call costs: Debian's Kamailio on one core and Tandem, the same sipp scenario, in turn, in one run.
//!
//!     make bench-peers
//!
//! Ours counts the CPU time of the signaling plane, that of the dataplane's workers while they have something to do, and
//! that of the dataplane's other threads. The work is not the same: Kamailio proxies and keeps dialogs; ours also anchors
//! media (rewrites SDP, installs flows in the dataplane), journals every dialog and writes a CDR. No media is sent.
//!
//! A worker's time is the lesser of two, both of which are too much: that between the begin and the end of turns with
//! work, which holds what others took from it on its core, and its thread's CPU time, which holds its idle polling.

mod kamailio;
mod load;
mod meter;
mod phones;
mod registers;
mod report;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tandem_bench_peers::cpu;
use tandem_e2e::{Failure, Result, wait};

use load::{Caller, Load};
use meter::Meter;
use report::Round;
use system::{Service, System, set_up};

/// How long Kamailio keeps a transaction after its end, and some more.
const KAMAILIO_LINGERS: Duration = Duration::from_secs(8);

/// The case with a load and a report of its own.
const REGISTERS: &str = "registers";

/// CPU time a call: Kamailio and ours.
#[derive(Parser)]
#[command(name = "tandem-bench-peers", version, about)]
struct Cli {
    /// Calls (or requests) a second; several, separated by commas, are run one after the other
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    rates: Vec<u32>,
    /// Seconds of load in each round
    #[arg(long, default_value = "10")]
    seconds: u32,
    /// Seconds that are counted behind the load: ours ends transactions 32 s after the last answer, Kamailio 5 s
    #[arg(long, default_value = "0")]
    settle: u64,
    /// Rounds: each system in turn
    #[arg(long, default_value = "3")]
    rounds: u32,
    /// Established calls held to see what a dialog takes; 0 leaves it out
    #[arg(long, default_value = "0")]
    dialogs: u32,
    /// Users of the case `registers`
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=900_000))]
    users: u32,
    /// Registrations a second in the case `registers`
    #[arg(long, default_value = "2000")]
    register_rate: u32,
    /// Registrations under way when that case goes as fast as it can; Kamailio's socket holds about 300
    #[arg(long, default_value = "128")]
    register_window: usize,
    /// Has ours write the database's location table too in that case; Kamailio has no database there
    #[arg(long)]
    location_table: bool,
    /// In so many rounds of the case `registers` memory is looked at, and ours is killed and started: a minute and a half more each
    #[arg(long, default_value = "1")]
    memory_rounds: u32,
    /// Cases: calls, options, calls-tcp, registers; none when empty
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "calls,options,calls-tcp,registers"
    )]
    cases: Vec<String>,
    /// Systems: ours through the rings, or through the kernel's sockets
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = System::ALL)]
    systems: Vec<System>,
    /// Shows the threads' shares too
    #[arg(long)]
    threads: bool,
    /// Writes rounds and table to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem-bench-peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    println!(
        "Signaling only, no RTP. Kamailio does not touch media; ours anchors it in every call (SDP, flows), journals and writes CDRs."
    );
    let mut rounds = Vec::new();
    for case in cli
        .cases
        .iter()
        .filter(|c| !c.is_empty() && *c != REGISTERS)
    {
        for rate in &cli.rates {
            for _ in 0..cli.rounds {
                for system in cli.systems.iter().copied() {
                    // A connection goes by the kernel in any case.
                    if case == "calls-tcp" && system == System::Kernel {
                        continue;
                    }
                    rounds.push(measure(cli, case, *rate, system)?);
                }
            }
        }
    }
    let bests = report::bests(&rounds);
    if !bests.is_empty() {
        report::print(&bests);
    }
    let registers = if cli.cases.iter().any(|c| c == REGISTERS) {
        register(cli)?
    } else {
        Vec::new()
    };
    let mut memory = Vec::new();
    if cli.dialogs > 0 {
        for system in [System::Kamailio, System::Rings] {
            let bytes = dialog_bytes(cli.dialogs, system)?;
            println!(
                "memory: {system:?}: {bytes} bytes a dialog, {} dialogs held",
                cli.dialogs
            );
            memory.push(
                serde_json::json!({"system": system, "dialogs": cli.dialogs, "bytes": bytes}),
            );
        }
    }
    if let Some(path) = &cli.json {
        let all = serde_json::json!({
            "rounds": rounds, "best": bests, "memory": memory,
            "registers": registers, "registers_best": registers::bests(&registers),
        });
        let text = format!("{all:#}\n");
        std::fs::write(path, text)
            .map_err(Failure::while_(format!("writing {}", path.display())))?;
    }
    let failed: u64 = registers.iter().map(registers::Round::failed).sum();
    if failed > 0 {
        return Err(Failure::new(format!("{failed} registrations failed")));
    }
    Ok(())
}

/// The case `registers`: its rounds.
fn register(cli: &Cli) -> Result<Vec<registers::Round>> {
    println!(
        "Registrations: Kamailio keeps them in memory alone; ours answers when they are on the disk."
    );
    let mut rounds = Vec::new();
    for round in 0..cli.rounds {
        let wants = registers::Wants {
            users: cli.users,
            rate: cli.register_rate,
            window: cli.register_window.max(1),
            settle: cli.settle,
            table: cli.location_table,
            memory: round < cli.memory_rounds,
            threads: cli.threads,
        };
        for system in cli.systems.iter().copied() {
            rounds.push(registers::measure(wants, system)?);
        }
    }
    registers::print(&registers::bests(&rounds));
    Ok(rounds)
}

fn measure(cli: &Cli, case: &str, rate: u32, system: System) -> Result<Round> {
    let tcp = case == "calls-tcp";
    let running = set_up(system, Service::Calls { tcp })?;
    let load = Load {
        scenario: if case == "options" {
            "options.xml"
        } else {
            "caller.xml"
        },
        rate,
        count: rate * cli.seconds,
        talk: Duration::from_millis(200),
        transport: if tcp { "t1" } else { "u1" },
    };
    // Once around, so that memory and tables have their size.
    let warm = Load {
        rate: rate.min(100),
        count: rate.min(100),
        ..load
    };
    Caller::start(&running.lab, running.from, running.to, &warm)?
        .finish(Duration::from_secs(60))?;

    let meter = Meter::start(&running)?;
    let caller = Caller::start(&running.lab, running.from, running.to, &load)?;
    let tally = caller.finish(Duration::from_secs(u64::from(cli.seconds) + 60))?;
    wait::pass(Duration::from_secs(cli.settle))?;
    let spent = meter.stop()?;
    if tally.made == 0 {
        return Err(Failure::new(format!(
            "{system:?} {case}: sipp made no call"
        )));
    }
    let us = |ns: u64| ns as f64 / 1e3 / tally.made as f64;
    let signaling_us = us(spent.signaling());
    let (worker_us, others_us) = (us(spent.workers()), us(spent.others()));
    let round = Round {
        case: case.to_owned(),
        system,
        rate,
        calls: tally.made,
        failed: tally.failed + tally.made.saturating_sub(tally.successful + tally.failed),
        retransmissions: tally.retransmissions,
        us: signaling_us + worker_us + others_us,
        signaling_us,
        worker_us,
        others_us,
    };
    println!(
        "{case:10} {system:?} at {rate}/s: {:.1} us a call (signaling {:.1}, workers {:.1}, others {:.1}), {} calls, {} failed, {} retransmissions",
        round.us,
        round.signaling_us,
        round.worker_us,
        round.others_us,
        round.calls,
        round.failed,
        round.retransmissions
    );
    if cli.threads {
        spent.print(tally.made);
    }
    Ok(round)
}

/// Bytes that an established call takes.
fn dialog_bytes(dialogs: u32, system: System) -> Result<u64> {
    let running = set_up(system, Service::Calls { tcp: false })?;
    let load = |count, talk| Load {
        scenario: "caller.xml",
        rate: 400,
        count,
        talk: Duration::from_secs(talk),
        transport: "u1",
    };
    Caller::start(&running.lab, running.from, running.to, &load(400, 0))?
        .finish(Duration::from_secs(60))?;
    let processes = running.signaling()?;
    let before = cpu::resident(&processes);
    let caller = Caller::start(
        &running.lab,
        running.from,
        running.to,
        &load(dialogs, 3_600),
    )?;
    wait::until(
        "the calls",
        Duration::from_secs(u64::from(dialogs) / 400 + 60),
        || (caller.tally().current >= u64::from(dialogs)).then_some(()),
    )?;
    // Their transactions end 32 s after the answers.
    let quiet = || {
        let text = running.lab.ctl().counters().ok()?;
        (text.value("transactions_server_now") == 0).then_some(())
    };
    if system == System::Kamailio {
        wait::pass(KAMAILIO_LINGERS)?;
    } else {
        wait::until(
            "the end of the transactions",
            Duration::from_secs(60),
            quiet,
        )?;
    }
    let bytes = cpu::resident(&processes).saturating_sub(before) / u64::from(dialogs);
    caller.kill();
    Ok(bytes)
}
