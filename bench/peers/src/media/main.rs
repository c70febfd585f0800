//! What a relayed packet costs: ours, `dpdk-testpmd` as the practical limit, and Debian's RTPEngine, in turn, in one run on one
//! machine.
//!
//!     make bench-media
//!
//! The subject relays on core 1; the generator, and all threads of the subject that do not relay, are on core 0. Frames are G.711 at
//! 20 ms: RTP in UDP and IPv4, 214 bytes, of many flows in random order, in both directions.
//!
//! What is counted. Of testpmd: its core cycles, from before a receive burst that found packets to behind the sending. Of ours: the
//! time of a turn of the worker's loop that found something to do, from its beginning to the beginning of the next one, so that empty
//! polls of its other port, its rings, timeouts and the clock are in it. Polls that found nothing count for neither. Offered more than
//! it takes, either finds full bursts and is busy all the time. Of RTPEngine, which sleeps in between: its CPU time.

mod bencode;
mod cases;
mod controller;
mod frames;
mod generate;
mod generator;
mod histogram;
mod lab;
mod pcap;
mod random;
mod report;
mod rtpengine;
mod subject;
mod tandem;
mod testpmd;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tandem_e2e::{Failure, Result, wait};

use cases::{Plan, Round};
use lab::{Bench, Wire};
use report::All;
use subject::Subject;

/// What a relayed packet costs, beside testpmd and RTPEngine.
#[derive(Parser)]
#[command(name = "tandem-bench-media", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Order>,
    #[command(flatten)]
    wants: Wants,
}

#[derive(Subcommand)]
enum Order {
    /// Shows what several runs wrote with --json, as one
    Report {
        /// Their files
        files: Vec<PathBuf>,
    },
    /// The generator's process
    #[command(hide = true)]
    Generate { setup: PathBuf },
}

/// What is measured.
#[derive(clap::Args)]
struct Wants {
    /// Cases: wires, and `memory` and `stall` (on veth, ours and RTPEngine)
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "memif,memif-deep,memif-bare,pcap,pcap-bare,null,veth,memory,stall"
    )]
    cases: Vec<String>,
    /// Subjects, where their wire has them
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Subject::Io, Subject::FiveTupleSwap, Subject::Tandem, Subject::RtpEngine])]
    subjects: Vec<Subject>,
    /// Rounds: each subject in turn
    #[arg(long, default_value = "5")]
    rounds: u32,
    /// Seconds of each load
    #[arg(long, default_value = "2")]
    seconds: f64,
    /// Flows on wires other than veth
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=i64::from(lab::MOST_FLOWS)))]
    flows: u32,
    /// Flows, or sessions of RTPEngine, on veth
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=12_000))]
    sessions: u32,
    /// Writes all rounds to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Order::Generate { setup }) => generate::serve(setup),
        Some(Order::Report { files }) => gather(files).map(|all| report::print(&all)),
        None => run(&cli.wants),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem-bench-media: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(wants: &Wants) -> Result<()> {
    wait::stop_on_signals()?;
    come_first()?;
    let mut all = All::default();
    for case in &wants.cases {
        let wire = <Wire as clap::ValueEnum>::from_str(case, false);
        match (case.as_str(), wire) {
            ("memory", _) => {
                all.memory = both(wants, |bench, subject| {
                    cases::memory(bench, subject, wants.sessions)
                })?
            }
            ("stall", _) => {
                all.stalls = both(wants, |bench, subject| {
                    cases::stall(bench, subject, wants.sessions)
                })?
            }
            (_, Ok(wire)) => rounds(wants, wire, &mut all.rounds)?,
            (_, Err(_)) => {
                return Err(Failure::new(format!(
                    "there is no case {case}; --help shows them"
                )));
            }
        }
    }
    report::print(&all);
    if let Some(path) = &wants.json {
        let text = serde_json::json!({
            "rounds": all.rounds, "memory": all.memory, "stalls": all.stalls, "criteria": report::criteria(&all),
        });
        std::fs::write(path, format!("{text:#}\n"))
            .map_err(Failure::while_(format!("writing {}", path.display())))?;
    }
    Ok(())
}

/// This process, and all that it starts, goes before others: both cores are polled without end, and who looks at the counters would else come
/// seconds too late.
fn come_first() -> Result<()> {
    let own = std::process::id().to_string();
    let said = std::process::Command::new("renice")
        .args(["-n", "-20", "-p", &own])
        .output()
        .map_err(Failure::while_("running renice"))?;
    if said.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    Err(Failure::new(format!("no priority over others: {why}")))
}

/// Each subject in turn, in each round.
fn rounds(wants: &Wants, wire: Wire, all: &mut Vec<Round>) -> Result<()> {
    for round in 1..=wants.rounds {
        let mut beside = None;
        // RTPEngine first: the others are run at its rate, too.
        let order = [
            Subject::RtpEngine,
            Subject::Io,
            Subject::FiveTupleSwap,
            Subject::Tandem,
        ];
        for subject in order
            .into_iter()
            .filter(|s| wants.subjects.contains(s) && has(wire, *s))
        {
            let plan = Plan {
                wire,
                flows: if wire == Wire::Veth {
                    wants.sessions
                } else {
                    wants.flows
                },
                seconds: wants.seconds.max(0.5),
                beside,
            };
            let seen = cases::measure(&Bench::new()?, subject, plan)?;
            if subject == Subject::RtpEngine {
                beside = seen.loaded.map(|load| load.pps);
            }
            show(round, &seen);
            all.push(seen);
        }
    }
    Ok(())
}

fn has(wire: Wire, subject: Subject) -> bool {
    match (wire, subject) {
        (Wire::Veth, Subject::Io | Subject::FiveTupleSwap) | (Wire::Null, Subject::Tandem) => false,
        (_, Subject::RtpEngine) => wire == Wire::Veth,
        _ => true,
    }
}

fn show(round: u32, seen: &Round) {
    let loaded = seen.loaded.map_or_else(String::new, |load| {
        format!(
            "; at {:.0} kpps {} of {} lost, p50 {:.1} us, p99.9 {:.1} us",
            load.pps / 1e3,
            load.lost,
            load.sent,
            load.latency.p50 as f64 / 1e3,
            load.latency.p999 as f64 / 1e3
        )
    });
    println!(
        "round {round}: {} {}: {:.3} Mpps, busy {:.1} ns a packet, {:.0} % of the time{loaded}",
        seen.wire.name(),
        seen.subject.name(),
        seen.most.pps / 1e6,
        seen.most.busy_ns,
        seen.most.busy * 100.0
    );
}

/// RTPEngine and ours.
fn both<T>(wants: &Wants, of: impl Fn(&Bench, Subject) -> Result<T>) -> Result<Vec<T>> {
    let subjects = [Subject::RtpEngine, Subject::Tandem];
    let wanted = subjects.into_iter().filter(|s| wants.subjects.contains(s));
    wanted.map(|subject| of(&Bench::new()?, subject)).collect()
}

/// The rounds of several files.
fn gather(files: &[PathBuf]) -> Result<All> {
    let mut all = All::default();
    for file in files {
        let more = read(file).map_err(Failure::while_(format!("reading {}", file.display())))?;
        all.rounds.extend(more.rounds);
        all.memory.extend(more.memory);
        all.stalls.extend(more.stalls);
    }
    Ok(all)
}

fn read(file: &Path) -> std::result::Result<All, Box<dyn std::error::Error>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}
