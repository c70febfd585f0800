//! tandem-dataplane: the process that owns the ports and the flow table.
//!
//! Threads: one worker per configured core (`worker`), which alone touches packets; on the control
//! core the control thread (`control`), which serves the controller; the exception thread
//! (`exception`), which alone reads and writes the realms' TAPs; and the mirror (`mirror`), which
//! follows the kernel's addresses, routes and neighbours. They exchange values over bounded rings.
//!
//! Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot start, 2 for a mistake in the
//! configuration or the command line.
#![forbid(unsafe_code)]

mod blocked;
mod capture;
mod classes;
mod clock;
mod control;
mod counters;
mod exception;
mod forwarding;
mod health;
mod kernel_sip;
mod link_socket;
mod message;
mod mirror;
mod passed;
mod police;
mod ports;
mod privileges;
mod report;
mod restarter;
mod session;
mod start;
mod system;
mod tap;
mod waker;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use tandem_config::Config;
use tracing::error;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A mistake of whoever started us.
const MISTAKE: u8 = 2;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let config = match arguments().and_then(|path| read(&path)) {
        Ok(config) => config,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
            return ExitCode::from(MISTAKE);
        }
    };
    match start::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration's path.
fn arguments() -> Result<PathBuf, Vec<String>> {
    let usage = || vec!["usage: tandem-dataplane --config FILE".to_owned()];
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(option), Some(path), None) if option == "--config" => Ok(path.into()),
        _ => Err(usage()),
    }
}

/// Reads the configuration; every mistake in it, each a line.
fn read(path: &PathBuf) -> Result<Config, Vec<String>> {
    let named = |mistake: String| format!("{}: {mistake}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| vec![named(error.to_string())])?;
    tandem_config::parse(&text)
        .map_err(|mistakes| mistakes.iter().map(|m| named(m.to_string())).collect())
}
