//! What a table of carriers costs: how long it takes to load, what it holds, and how long a number takes to find its carriers.
//!
//!     cargo run --release -p tandem-bench-micro --bin tandem-bench-routes -- 1000000

use std::collections::HashSet;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tandem_bench_micro::{Counting, counted, held};
use tandem_policy::TrunkRow;
use tandem_policy::routing::{
    Action, Facts, Limit, Number, Pattern, Rule, Sender, TrunkRoutes, Usage, ask,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TRUNKS: [&str; 4] = ["a", "b", "c", "d"];
/// Numbers that are asked for.
const ASKED: usize = 1_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-routes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let count: usize = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of prefixes"))?,
        None => 1_000_000,
    };
    let mut chance = 0x1234_5678_9abc_def1;
    // Most prefixes of a carrier's price list have 5 to 10 digits.
    let mut prefixes = HashSet::with_capacity(count);
    while prefixes.len() < count {
        prefixes.insert(digits(&mut chance, 5..=10));
    }
    let rows: Vec<TrunkRow> = prefixes
        .into_iter()
        .enumerate()
        .map(|(i, prefix)| TrunkRow {
            prefix,
            trunk: TRUNKS.get(i % 4).copied().unwrap_or_default().into(),
            weight: 1,
            ..TrunkRow::default()
        })
        .collect();
    let before = held();
    let begin = Instant::now();
    let (routes, bad) = TrunkRoutes::new(&rows);
    let load = begin.elapsed();
    let kept = held().saturating_sub(before);
    if !bad.is_empty() || routes.len() != count {
        return Err("rows were refused".into());
    }
    println!(
        "{count} prefixes loaded in {:.2} s, {:.0} bytes held a prefix",
        load.as_secs_f64(),
        kept as f64 / count as f64
    );
    let numbers: Vec<Vec<u8>> = (0..ASKED)
        .map(|i| match rows.get(i.wrapping_mul(7_919) % count.max(1)) {
            // Every other one has a prefix of the list for certain.
            Some(row) if i % 2 == 0 => format!("+{}4711", row.prefix).into_bytes(),
            _ => digits(&mut chance, 8..=15).into_bytes(),
        })
        .collect();
    for pass in ["first", "again"] {
        let (allocations, _) = counted();
        let begin = Instant::now();
        let mut found = 0_usize;
        for (random, user) in numbers.iter().enumerate() {
            if let Some(number) = Number::parse(user) {
                found += black_box(routes.carriers("", &number, random as u64))
                    .len()
                    .min(1);
            }
        }
        let time = begin.elapsed();
        let (more, _) = counted();
        println!(
            "{pass}: {:.0} ns a number, {found} of {ASKED} found, {:.2} allocations",
            time.as_nanos() as f64 / ASKED as f64,
            (more - allocations) as f64 / ASKED as f64
        );
    }
    println!(
        "a place under a limit, taken and given back: {:.0} ns",
        places(1)
    );
    println!(
        "the same by four threads at once, each: {:.0} ns",
        places(4)
    );
    println!(
        "{RULES} rules asked, of which none fits: {:.0} ns",
        rules()?
    );
    Ok(())
}

const RULES: usize = 100;

/// Nanoseconds for a place, with so many threads that do nothing else.
fn places(threads: usize) -> f64 {
    let usage = Usage::default();
    let limit = Limit {
        calls: 1_000,
        rate: 1_000_000,
    };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for n in 0..ASKED {
                    // As many as there are calls in a busy second.
                    let now = Duration::from_micros(n as u64 * 100);
                    if usage.take(black_box(now), limit).is_ok() {
                        usage.give_back();
                    }
                }
            });
        }
    });
    begin.elapsed().as_nanos() as f64 / ASKED as f64
}

/// Nanoseconds for rules that each look at the number with an expression and a prefix.
fn rules() -> Result<f64, Box<dyn Error>> {
    let rule = |n: usize| {
        Ok(Rule {
            prefixes: Number::parse(format!("49{n}").as_bytes())
                .into_iter()
                .collect(),
            number: Some(Pattern::parse(&format!(r"^\+?49{n}\d+0$"))?),
            action: Some(Action::Default),
            ..Rule::default()
        })
    };
    let rules: Vec<Rule> = (0..RULES).map(rule).collect::<Result<_, String>>()?;
    let facts = Facts {
        sender: Sender::Carrier,
        trunk: None,
        tenant: None,
        domain: b"example.net",
        method: b"INVITE",
        user: b"+4930123456",
        country: None,
    };
    let times = ASKED / RULES;
    let begin = Instant::now();
    for _ in 0..times {
        black_box(ask(black_box(&rules), &facts));
    }
    Ok(begin.elapsed().as_nanos() as f64 / times as f64)
}

/// So many digits by chance.
fn digits(chance: &mut u64, lengths: std::ops::RangeInclusive<u64>) -> String {
    let mut next = || {
        // Xorshift: enough to spread prefixes.
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        *chance >> 16
    };
    let length = lengths.start() + next() % (lengths.end() - lengths.start() + 1);
    (0..length)
        .map(|_| char::from(b'0' + (next() % 10) as u8))
        .collect()
}
