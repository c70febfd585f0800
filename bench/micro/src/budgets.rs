//! What a packet may cost: instructions, counted by callgrind, and allocations. Neither depends on the machine, so
//! a change that costs more is seen at once.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

use serde::Deserialize;

use crate::relaying::{CASES, bytes_a_pair};

const FILE: &str = include_str!("../budgets.toml");
/// Packets of each case.
const PACKETS: u64 = 64_000;
/// A budget that is so many times what is used hides what a change costs.
const SLACK: f64 = 1.2;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Budgets {
    /// The most bytes that a flow pair may take.
    flow_pair_bytes: f64,
    cases: BTreeMap<String, Budget>,
}

/// The most that a packet may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    instructions: f64,
    allocations: f64,
}

/// Counts each case and compares it with its budget.
pub(crate) fn check() -> Result<(), Box<dyn Error>> {
    let file: Budgets = toml::from_str(FILE)?;
    let budgets = file.cases;
    let unknown = budgets
        .keys()
        .find(|name| CASES.iter().all(|case| case.name != **name));
    if let Some(name) = unknown {
        return Err(format!("budgets.toml: there is no case {name:?}").into());
    }
    println!(
        "{:14} {:>22} {:>22}",
        "case", "instructions (budget)", "allocations (budget)"
    );
    let mut above = Vec::new();
    for case in CASES {
        let budget = budgets
            .get(case.name)
            .ok_or_else(|| format!("budgets.toml: no budget for {:?}", case.name))?;
        let (instructions, allocations) = count(case.name)?;
        println!(
            "{:14} {instructions:12.1} ({:6.1}) {allocations:12.3} ({:6.3})",
            case.name, budget.instructions, budget.allocations
        );
        if instructions > budget.instructions || allocations > budget.allocations {
            above.push(case.name);
        }
        if instructions * SLACK < budget.instructions {
            println!("{:14} uses far less than its budget: lower it", "");
        }
    }
    let bytes = bytes_a_pair()?;
    let most = file.flow_pair_bytes;
    println!("{bytes:.0} bytes for each of 100,000 flow pairs, all included ({most:.0})");
    if bytes > most {
        above.push("flow-pair-bytes");
    }
    if above.is_empty() {
        return Ok(());
    }
    Err(format!(
        "above budget: {}. Find out why (src/main.rs says how); raise budgets.toml only for what is worth it",
        above.join(", ")
    )
    .into())
}

/// Instructions and allocations a packet.
fn count(case: &str) -> Result<(f64, f64), Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*measured*")
        .arg(std::env::current_exe()?)
        .args(["run", case, &PACKETS.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): `make setup` installs it"))?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let number = |text: &str, before: &str| -> Option<f64> {
        let (_, rest) = text.split_once(before)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let counted = (|| {
        let (done, rest) = out.split_once(" packets, ")?;
        let done: f64 = done.trim().parse().ok()?;
        let allocations: f64 = rest.split_whitespace().next()?.parse().ok()?;
        let instructions = number(&err, "Collected :")?;
        Some((instructions / done, allocations / done))
    })();
    counted
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("{case} was not counted:\n{out}\n{err}").into())
}
