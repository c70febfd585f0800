//! tandem-sigplane: the signaling plane's daemon.
//!
//! SIP workers share the calls by their Call-IDs (ADR 5). Each has a thread with a core, a journal to write to
//! and its part of the sockets, and waits for nothing but its descriptors; the main thread is the
//! first of them, and owns the link to the dataplane. The threads around them: the database's,
//! the resolver's, the management API's, and one that synchronises the journal's files. They speak
//! with the workers, and these with each other, through mailboxes. One more serves the connections (see
//! `streams`).
//!
//! Exit codes: 0 stopped by SIGTERM or SIGINT, 1 it could not start or go on, 2 wrong usage or a
//! mistake in the configuration.
#![forbid(unsafe_code)]

mod admin;
mod ask;
mod change;
mod core_config;
mod counting;
mod database;
mod disk;
mod ephemeral;
mod freeswitch;
mod hiding;
mod http;
mod mailbox;
mod metrics;
mod places;
mod resolver;
mod route_plan;
mod shared;
mod startup;
mod streams;
mod threads;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tandem's signaling plane.
#[derive(Parser)]
#[command(name = "tandem-sigplane", version, about)]
struct Cli {
    /// The appliance's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let begun = match change::begin(&cli.config) {
        Ok(begun) => begun,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
            return ExitCode::from(2);
        }
    };
    let filter = EnvFilter::try_from_env("TANDEM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    // The journal and the database tell who called whom.
    umask(Mode::from_bits_truncate(0o027));
    // It starts no program; nothing in it shall get more than it has by one.
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        tracing::warn!("new privileges are not ruled out: {error}");
    }
    // Before any thread exists, so that all of them leave these to the main thread.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    let stopped = signals
        .thread_block()
        .map_err(startup::StartError::from)
        .and_then(|()| startup::start(begun, &signals))
        .and_then(startup::Running::serve);
    match stopped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
