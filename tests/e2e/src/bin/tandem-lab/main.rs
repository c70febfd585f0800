//! `make demo` and `make lab`: Tandem between two media servers and a caller, in three network
//! namespaces of this machine.

mod demo;
mod screen;
mod stay;

use std::process::ExitCode;

use tandem_e2e::{Failure, Lab, wait};

/// The name of the laboratory that is left running.
const NAME: &str = "lab";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let done = wait::stop_on_signals().and_then(|()| match command.as_deref() {
        Some("demo") => demo::run(),
        Some("up") => stay::up(),
        Some("down") => Lab::remove(NAME).map(|()| println!("The laboratory is gone.")),
        _ => Err(Failure::new("usage: tandem-lab demo | up | down")),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Ctrl-C is a way to end it, not a fault. What was made has been taken down by now.
        Err(_) if wait::interrupted() => {
            println!("\nStopped; everything is taken down.");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("\ntandem-lab: {failure}");
            ExitCode::FAILURE
        }
    }
}
