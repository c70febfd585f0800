//! What a packet costs in the pure relay: no device, no driver.
//!
//!     tandem-bench-micro                    time and allocations a packet, case by case
//!     tandem-bench-micro check              instructions and allocations, against budgets.toml (needs valgrind)
//!     tandem-bench-micro run CASE PACKETS   one case, for callgrind
//!
//! Time depends on the machine; instructions and allocations do not. How instructions are spread:
//!
//!     valgrind --tool=callgrind --callgrind-out-file=callgrind.out --toggle-collect='*measured*' \
//!         target/release/tandem-bench-micro run rtp 64000
//!     callgrind_annotate --auto=yes callgrind.out

mod budgets;
mod relaying;

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use relaying::{CASES, Case, Load};
use tandem_bench_micro::{Counting, counted, cycles};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets of a case when its time is taken.
const PACKETS: u64 = 4_000_000;
/// Runs of each case, of which the best counts.
const RUNS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [] => time_all(PACKETS),
        ["check"] => budgets::check(),
        ["run", name, packets] => run(name, packets),
        _ => Err("usage: tandem-bench-micro [check | run CASE PACKETS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-micro: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What so many packets took.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    time: Duration,
    /// Of the time stamp counter: cycles of the nominal clock, not of the core's.
    cycles: u64,
    allocations: u64,
}

fn time_all(packets: u64) -> Result<(), Box<dyn Error>> {
    println!("{packets} packets of each case in bursts, best of {RUNS} runs");
    println!(
        "{:14} {:>8} {:>8} {:>12}",
        "case", "ns", "cycles", "allocations"
    );
    for case in CASES {
        let mut load = (case.make)()?;
        warm_up(case, load.as_mut())?;
        let mut best = Cost {
            time: Duration::MAX,
            ..Cost::default()
        };
        for _ in 0..RUNS {
            let cost = timed(case, load.as_mut(), packets)?;
            best = if cost.time < best.time { cost } else { best };
        }
        let each = |value: f64| value / packets as f64;
        println!(
            "{:14} {:8.1} {:8.0} {:12.3}  {}",
            case.name,
            each(best.time.as_secs_f64() * 1e9),
            each(best.cycles as f64),
            each(best.allocations as f64),
            case.about,
        );
    }
    let bytes = relaying::bytes_a_pair()?;
    println!("{bytes:.0} bytes for each of 100,000 flow pairs, all included");
    Ok(())
}

fn run(name: &str, packets: &str) -> Result<(), Box<dyn Error>> {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| format!("there is no case {name:?}"))?;
    let packets = packets
        .parse()
        .map_err(|_| format!("{packets:?} is not a number of packets"))?;
    let mut load = (case.make)()?;
    warm_up(case, load.as_mut())?;
    let (mut done, mut allocations) = (0, 0);
    while done < packets {
        load.prepare();
        let before = counted().0;
        done += checked(case, load.as_mut(), measured)?;
        allocations += counted().0 - before;
        load.tidy();
    }
    println!("{done} packets, {allocations} allocations");
    Ok(())
}

/// Every packet twice: sources are learned, then next hops looked up for good.
fn warm_up(case: &Case, load: &mut dyn Load) -> Result<(), Box<dyn Error>> {
    let mut done = 0;
    while done < 2 * relaying::ROUND {
        load.prepare();
        // Not as `measured` does it: two functions of one body would become one.
        done += checked(case, load, |load| black_box(load.work()))?;
        load.tidy();
    }
    Ok(())
}

/// The cost of so many packets, without that of laying them out.
fn timed(case: &Case, load: &mut dyn Load, packets: u64) -> Result<Cost, Box<dyn Error>> {
    let mut cost = Cost::default();
    let mut done = 0;
    while done < packets {
        load.prepare();
        let (allocations, time, began) = (counted().0, Instant::now(), cycles());
        done += checked(case, load, measured)?;
        cost.cycles += cycles() - began;
        cost.time += time.elapsed();
        cost.allocations += counted().0 - allocations;
        load.tidy();
    }
    Ok(cost)
}

fn checked(
    case: &Case,
    load: &mut dyn Load,
    work: impl Fn(&mut dyn Load) -> u64,
) -> Result<u64, Box<dyn Error>> {
    let good = work(load);
    if good == relaying::BURST as u64 {
        return Ok(good);
    }
    Err(format!("{}: {good} of a burst went as they should", case.name).into())
}

/// What callgrind looks at: the work on one burst. It has to keep its name.
#[inline(never)]
fn measured(load: &mut dyn Load) -> u64 {
    load.work()
}
