//! What a call costs: Debian's Kamailio on one core and Tandem, the same sipp scenario, in turn, in one run.
//!
//!     make bench-peers
//!
//! Ours counts the signaling plane's CPU time and the dataplane's busy time. The work is not quite the same: Kamailio
//! proxies and keeps dialogs; ours also anchors media (rewrites SDP, installs flows in the dataplane) and journals
//! every dialog. No media is sent.

mod cpu;
mod kamailio;
mod load;
mod wires;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tandem_e2e::topology;
use tandem_e2e::{Failure, Lab, Options, Process, Result, wait};

use load::{Caller, Load};

/// CPU time a call: Kamailio and ours.
#[derive(Parser)]
#[command(name = "tandem-bench-peers", version, about)]
struct Cli {
    /// Calls (or requests) a second
    #[arg(long, default_value = "500")]
    rate: u32,
    /// Seconds of load in each round
    #[arg(long, default_value = "10")]
    seconds: u32,
    /// Rounds: each system in turn
    #[arg(long, default_value = "3")]
    rounds: u32,
    /// Established calls held to see what a dialog takes; 0 leaves it out
    #[arg(long, default_value = "0")]
    dialogs: u32,
    /// Cases: calls, options, calls-tcp
    #[arg(long, value_delimiter = ',', default_value = "calls,options")]
    cases: Vec<String>,
    /// Shows the threads' shares too
    #[arg(long)]
    threads: bool,
    /// Prints JSON lines instead of text
    #[arg(long)]
    json: bool,
}

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum System {
    Kamailio,
    /// Ours, SIP through the dataplane and its rings.
    Rings,
    /// Ours, SIP through the kernel's sockets.
    Kernel,
}

/// One round's figures.
#[derive(Clone, Debug, Serialize)]
struct Round {
    case: String,
    system: System,
    rate: u32,
    calls: u64,
    failed: u64,
    retransmissions: u64,
    /// CPU microseconds a call, the dataplane's included.
    us: f64,
    /// Of these, the dataplane's.
    dataplane_us: f64,
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
    for case in &cli.cases {
        let mut rounds = Vec::new();
        for _ in 0..cli.rounds {
            for system in [System::Kamailio, System::Rings, System::Kernel] {
                // A connection goes by the kernel in any case.
                if case == "calls-tcp" && system == System::Kernel {
                    continue;
                }
                let round = measure(cli, case, system)?;
                if cli.json {
                    println!("{}", serde_json::to_string(&round).unwrap_or_default());
                } else {
                    println!(
                        "{case:10} {:?} at {}/s: {:.1} us a call (dataplane {:.1}), {} calls, {} failed, {} retransmissions",
                        system,
                        round.rate,
                        round.us,
                        round.dataplane_us,
                        round.calls,
                        round.failed,
                        round.retransmissions
                    );
                }
                rounds.push(round);
            }
        }
        if !cli.json {
            summary(case, &rounds);
        }
    }
    if cli.dialogs > 0 {
        for system in [System::Kamailio, System::Rings] {
            let bytes = memory(cli.dialogs, system)?;
            println!(
                "memory: {system:?}: {bytes} bytes a dialog, {} dialogs held",
                cli.dialogs
            );
        }
    }
    Ok(())
}

fn summary(case: &str, rounds: &[Round]) {
    let of = |system: System| {
        let mut all: Vec<f64> = rounds
            .iter()
            .filter(|r| r.system == system && r.failed == 0)
            .map(|r| r.us)
            .collect();
        all.sort_by(f64::total_cmp);
        Some((*all.first()?, *all.last()?))
    };
    let kamailio = of(System::Kamailio);
    println!("\n{case}: best (worst) of the clean rounds");
    for system in [System::Kamailio, System::Rings, System::Kernel] {
        if let Some((best, worst)) = of(system) {
            let ratio = kamailio.map_or(0.0, |(k, _)| best / k);
            println!("  {system:?}: {best:.1} ({worst:.1}) us a call, {ratio:.2} of Kamailio's");
        }
    }
    println!();
}

/// A system that runs, and how it is reached.
struct Running {
    lab: Lab,
    _server: Process,
    _kamailio: Option<Process>,
    processes: Vec<u32>,
    from: std::net::IpAddr,
    to: String,
}

fn set_up(system: System, tcp: bool) -> Result<Running> {
    let options = Options {
        probe_interval: 0,
        media_timeout: 0,
        media_ports: (1_024 * 10, 65_535),
        pool: vec![match system {
            System::Kernel => std::net::SocketAddr::new(wires::SERVER, 5_060),
            _ => topology::sip(topology::SERVERS[0]),
        }],
        carriers: vec![topology::CALLER, wires::CALLER],
        ..Options::default()
    };
    let mut lab = Lab::wires(options.clone())?;
    wires::lay(&lab)?;
    let transport = if tcp { "t1" } else { "u1" };
    if system == System::Kamailio {
        let server = load::server(&lab, wires::SERVER, transport)?;
        let kamailio = kamailio::start(&lab, tcp)?;
        let processes = cpu::processes(&lab.appliance, "kamailio")?;
        return Ok(Running {
            lab,
            _server: server,
            _kamailio: Some(kamailio),
            processes,
            from: wires::CALLER,
            to: format!("{}:5060", wires::OUTSIDE),
        });
    }
    let mut config = options.config(lab.dir()).replace("mbufs", "# mbufs");
    config = config.replace("[dataplane]\n", "[dataplane]\nmax_flows = 65536\n");
    if system == System::Kernel {
        config = config
            .lines()
            .filter(|l| !l.starts_with("sip = "))
            .map(|l| format!("{l}\n"))
            .collect();
        for (side, at) in [("external", wires::OUTSIDE), ("internal", wires::INSIDE)] {
            config += &format!("\n[[sip.kernel]]\nlisten = \"{at}:5060\"\nside = \"{side}\"\n");
        }
    }
    if tcp {
        for (realm, at) in [("carrier", topology::OUTSIDE), ("core", topology::INSIDE)] {
            config += &format!(
                "\n[[sip.listen]]\ntransport = \"tcp\"\nlisten = \"{at}:5060\"\nrealm = \"{realm}\"\n"
            );
        }
    }
    lab.write(&lab.config_file(), &config)?;
    let server = match system {
        System::Kernel => load::server(&lab, wires::SERVER, transport)?,
        _ => load::server(&lab, topology::SERVERS[0], transport)?,
    };
    lab.start_dataplane()?;
    lab.start_sigplane()?;
    lab.fill_database()?;
    if tcp {
        lab.sql("UPDATE dispatcher SET destination = destination || ';transport=tcp'")?;
        lab.ctl().run(&["dispatcher", "reload"])?;
    }
    lab.wait_until_ready()?;
    let processes = cpu::processes(&lab.appliance, "tandem-sigplane")?;
    let (from, to) = match system {
        System::Kernel => (wires::CALLER, wires::OUTSIDE),
        _ => (topology::CALLER, topology::OUTSIDE),
    };
    Ok(Running {
        lab,
        _server: server,
        _kamailio: None,
        processes,
        from,
        to: format!("{to}:5060"),
    })
}

/// Nanoseconds that the dataplane's workers had something to do.
fn dataplane_busy(lab: &Lab) -> u64 {
    lab.ctl().counters().map_or(0, |c| {
        (0..64)
            .map(|w| c.value(&format!("worker_{w}_poll_busy_ns")))
            .sum()
    })
}

fn measure(cli: &Cli, case: &str, system: System) -> Result<Round> {
    let tcp = case == "calls-tcp";
    let running = set_up(system, tcp)?;
    let load = Load {
        scenario: if case == "options" {
            "options.xml"
        } else {
            "caller.xml"
        },
        rate: cli.rate,
        count: cli.rate * cli.seconds,
        talk: Duration::from_millis(200),
        transport: if tcp { "t1" } else { "u1" },
    };
    // Once around, so that memory and tables have their size.
    let warm = Load {
        rate: cli.rate.min(100),
        count: cli.rate.min(100),
        ..load
    };
    Caller::start(&running.lab, running.from, &running.to, &warm)?
        .finish(Duration::from_secs(60))?;

    let before = cpu::nanoseconds(&running.processes)?;
    let busy = dataplane_busy(&running.lab);
    let threads = cpu::by_thread(&running.processes);
    let caller = Caller::start(&running.lab, running.from, &running.to, &load)?;
    let tally = caller.finish(Duration::from_secs(u64::from(cli.seconds) + 60))?;
    let own = cpu::nanoseconds(&running.processes)?.saturating_sub(before);
    if cli.threads {
        for (name, ns) in cpu::by_thread(&running.processes) {
            let spent = ns.saturating_sub(threads.get(&name).copied().unwrap_or(0));
            println!(
                "    {name}: {:.1} us a call",
                spent as f64 / 1e3 / tally.made.max(1) as f64
            );
        }
    }
    let plane = if system == System::Kamailio {
        0
    } else {
        dataplane_busy(&running.lab).saturating_sub(busy)
    };
    if tally.made == 0 {
        return Err(Failure::new(format!(
            "{system:?} {case}: sipp made no call"
        )));
    }
    let us = |ns: u64| ns as f64 / 1e3 / tally.made as f64;
    Ok(Round {
        case: case.to_owned(),
        system,
        rate: cli.rate,
        calls: tally.made,
        failed: tally.failed + tally.made.saturating_sub(tally.successful + tally.failed),
        retransmissions: tally.retransmissions,
        us: us(own + plane),
        dataplane_us: us(plane),
    })
}

/// Bytes that an established call takes.
fn memory(dialogs: u32, system: System) -> Result<u64> {
    let running = set_up(system, false)?;
    let load = |count, talk| Load {
        scenario: "caller.xml",
        rate: 400,
        count,
        talk: Duration::from_secs(talk),
        transport: "u1",
    };
    Caller::start(&running.lab, running.from, &running.to, &load(400, 0))?
        .finish(Duration::from_secs(60))?;
    let before = cpu::resident(&running.processes);
    let caller = Caller::start(
        &running.lab,
        running.from,
        &running.to,
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
    if system != System::Kamailio {
        wait::until(
            "the end of the transactions",
            Duration::from_secs(60),
            quiet,
        )?;
    }
    let bytes = cpu::resident(&running.processes).saturating_sub(before) / u64::from(dialogs);
    caller.kill();
    Ok(bytes)
}
