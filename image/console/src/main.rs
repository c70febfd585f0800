//! tandem-console: the appliance on the machine's own screen, on a serial line, and over SSH.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tandem_console::{Options, pictures, run};

/// Watches and steers a Tandem appliance.
#[derive(Parser)]
#[command(name = "tandem-console", version, about)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Draws the screens of a run that was recorded with --record, as SVG and as text
    Pictures {
        /// The recording
        recording: PathBuf,
        /// The folder
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run(&cli.options).map_err(|e| e.to_string()),
        Some(Command::Pictures { recording, folder }) => pictures(&recording, &folder)
            .map(|written| written.iter().for_each(|name| println!("{name}")))
            .map_err(|e| e.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tandem-console: {why}");
            ExitCode::FAILURE
        }
    }
}
