//! Checks that the compiler does not make. `cargo xtask layers`: which room may use which. `cargo xtask
//! counters`: whether the guide's list of counters is what the sources declare.

mod counters;
mod house;
mod layers;
mod source;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("layers") => layers_command(),
        Some("counters") => counters_command(std::env::args().nth(2).as_deref() == Some("--write")),
        other => {
            if let Some(other) = other {
                eprintln!("xtask: there is no command `{other}`");
            }
            eprintln!(
                "usage: cargo xtask layers    check dependency edges, pure crates and unsafe\n       \
                 cargo xtask counters [--write]    check (or write) the guide's list of counters"
            );
            ExitCode::from(2)
        }
    }
}

fn layers_command() -> ExitCode {
    let workspace = match metadata() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("layers: {error}");
            return ExitCode::from(2);
        }
    };
    let mut faults = layers::check(&workspace);
    for package in &workspace.packages {
        faults.extend(source::check(package));
    }
    if faults.is_empty() {
        println!(
            "layers: {} crates, every edge is allowed",
            workspace.packages.len()
        );
        return ExitCode::SUCCESS;
    }
    for fault in &faults {
        eprintln!("layers: {fault}");
    }
    eprintln!(
        "layers: {} faults; the table of edges is in tests/xtask/src/house.rs",
        faults.len()
    );
    ExitCode::FAILURE
}

fn counters_command(write: bool) -> ExitCode {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let check = |path: &str, made: Result<String, String>| {
        let made = made?;
        if write {
            std::fs::write(path, made).map_err(|e| format!("{path}: {e}"))
        } else if read(path)? == made {
            Ok(())
        } else {
            Err(format!(
                "{path} is out of date: run `cargo xtask counters --write`"
            ))
        }
    };
    let done = check(counters::PAGE, counters::page(read))
        .and_then(|()| check(counters::HELP, counters::help(read)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counters: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks cargo for the workspace's own packages.
fn metadata() -> Result<layers::Workspace, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| format!("cargo metadata does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}
