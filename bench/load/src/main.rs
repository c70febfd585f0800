//! tandem-load: the command.
//!
//! Exit codes: 0 done, and all that the profile asks for was reached; 1 done, and something was not; 2 there was no run.
#![forbid(unsafe_code)]

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tandem_load::profile::Profile;
use tandem_load::report::Display;

/// Places calls, sends media, registers and floods, and measures what becomes of it.
#[derive(Parser)]
#[command(name = "tandem-load", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run of a profile
    Run(Wanted),
    /// The highest rate of a profile without loss (RFC 2544 section 26.1)
    Search(Wanted),
    /// The profiles in a folder, with what they are for
    List {
        /// The folder
        #[arg(default_value = "bench/load/profiles")]
        folder: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Wanted {
    /// The profile's file
    pub(crate) profile: PathBuf,
    /// Writes the figures here, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes one page with plots here; it needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// What the appliance is, for the report: its version, its hardware
    #[arg(long, value_name = "TEXT")]
    pub(crate) appliance: Option<String>,
    /// Sends by the kernel's UDP sockets instead of DPDK: SIP alone, without media
    #[arg(long)]
    pub(crate) socket: bool,
    /// No display while it runs
    #[arg(long, conflicts_with = "progress")]
    pub(crate) quiet: bool,
    /// What is shown while it runs: words, or a line of JSON on standard error for each second
    #[arg(long, value_name = "HOW", value_parser = ["words", "json"])]
    pub(crate) progress: Option<String>,
}

impl Wanted {
    pub(crate) fn display(&self) -> Display {
        match (self.quiet, self.progress.as_deref()) {
            (true, _) => Display::Quiet,
            (false, Some("json")) => Display::Json,
            (false, _) => Display::Words,
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(wanted) => run::run(&wanted),
        Command::Search(wanted) => run::search(&wanted),
        Command::List { folder } => return list(&folder),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("tandem-load: {failure}");
            ExitCode::from(2)
        }
    }
}

fn list(folder: &std::path::Path) -> ExitCode {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("tandem-load: {}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    let mut paths: Vec<PathBuf> = files.flatten().map(|f| f.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        match Profile::read(&path) {
            Ok(profile) => println!("{:<40} {}", path.display(), profile.about),
            Err(error) => {
                eprintln!("tandem-load: {error}");
                code = ExitCode::from(2);
            }
        }
    }
    code
}
