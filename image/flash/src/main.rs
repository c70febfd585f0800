//! tandem-flash: writes the appliance's image to a disk or stick.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
