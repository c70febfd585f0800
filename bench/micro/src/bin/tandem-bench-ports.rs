//! What a pair of media ports for each leg costs, with many in use.
//!
//!     cargo run --release -p tandem-bench-micro --bin tandem-bench-ports -- 100000

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tandem_bench_micro::{Counting, counted};
use tandem_call::Share;
use tandem_call::media::{End, Ports, RealmMedia, Want};
use tandem_link::SlotTable;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls that end, and others that begin, while it is measured.
const TURNOVER: usize = 1_000_000;

/// Pairs that an address has at most.
const OF_ADDRESS: usize = 30_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-ports: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let in_use: usize = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of pairs in use"))?,
        None => 100_000,
    };
    for pairs in [1_000, in_use] {
        let (time, allocations, early) = turnover(pairs)?;
        println!(
            "{pairs} pairs in use: {time:.0} ns to take both legs' pairs and to give two back, \
             {allocations:.2} allocations, {early} taken early"
        );
    }
    Ok(())
}

/// Nanoseconds and allocations for each call that takes the place of another one.
fn turnover(in_use: usize) -> Result<(f64, f64, u64), Box<dyn Error>> {
    // Two realms, each with half of the pairs in use, and as many free.
    let addresses = in_use.div_ceil(OF_ADDRESS);
    let realm = |net: u8| RealmMedia {
        addresses: (0..addresses)
            .map(|n| IpAddr::V4(Ipv4Addr::new(10, net, 0, u8::try_from(n).unwrap_or(255))))
            .collect(),
        ports: 5_000..=65_535,
    };
    let slots = SlotTable::deal(&[0, 1, 2, 3]);
    let mut ports = Ports::new(&[realm(1), realm(2)], slots, 7, Share::default());
    ports.set_quarantine(Duration::from_secs(5));
    let want = |realm| Want {
        realm,
        address: None,
        ipv4: true,
        strict: true,
    };
    let full = "the ports are exhausted";
    let mut calls: Vec<[End; 2]> = Vec::with_capacity(in_use / 2);
    while calls.len() < in_use / 2 {
        calls.push(ports.take_both(want(0), want(1), None).ok_or(full)?);
    }
    let mut at = 0;
    let (before, _) = counted();
    let begin = Instant::now();
    for n in 0..TURNOVER {
        // Two thousand calls a second.
        ports.at(Duration::from_micros(500 * n as u64));
        at = (at + 7_919) % calls.len().max(1);
        let call = calls.get_mut(at).ok_or("no calls")?;
        call.iter().for_each(|end| ports.free(*end));
        *call = black_box(ports.take_both(want(0), want(1), None)).ok_or(full)?;
    }
    let time = begin.elapsed().as_nanos() as f64 / TURNOVER as f64;
    let (after, _) = counted();
    let allocations = (after - before) as f64 / TURNOVER as f64;
    Ok((time, allocations, ports.early()))
}
