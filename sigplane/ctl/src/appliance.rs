//! `tandemctl appliance`: what the image's units do on the machine. Each is done again without harm.
//!
//! The order of a start: `first-boot` (who the machine is, once), `hardware` (ports and memory, after the plan), `network`
//! (management, TAPs, packet filter; also whenever its files change).

mod firewall;
mod first_boot;
mod hardware;
mod networkd;
mod reset;
mod run;
mod starter;
mod steps;
pub(crate) mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::client::Failure;
use crate::show::write_out;

pub(crate) use hardware::grub_file;
use run::Host;
use tandem_management::Management;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Keys, name, password, and what was preloaded; once
    FirstBoot(Place),
    /// Make the hardware plan if there is none, carry it out, and say what differs from it
    Hardware(Place),
    /// Write what management.toml and tandem.toml say of networks, and load it
    Network(Place),
    /// Print the packet filter's rules that follow from management.toml and tandem.toml
    Firewall(Place),
    /// Configuration, keys and tables of this machine into one file
    Export(transfer::Export),
    /// What another machine exported, or this one: checked, then taken as a whole
    Import(transfer::Import),
    /// Erase configuration, keys, calls and logs, and begin anew; the slots stay
    FactoryReset(reset::FactoryReset),
    /// Look for mistakes in management.toml
    Check {
        /// The file
        #[arg(default_value = "/etc/tandem/management.toml")]
        file: PathBuf,
    },
}

/// Where the machine is.
#[derive(Args)]
pub(crate) struct Place {
    /// The machine whose file system is here
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    root: PathBuf,
    /// Where the EFI system partition is mounted, below --root
    #[arg(long, value_name = "DIRECTORY", default_value = "/boot/efi")]
    esp: PathBuf,
}

pub(crate) fn run(command: Command, as_json: bool) -> Result<ExitCode, Failure> {
    let step = |place: Place, step: fn(&Host, &str) -> steps::Done| {
        let host = Host { root: place.root };
        // systemd's path units, a set-up and an operator may all be at it: one after the other.
        let _alone = host.alone();
        let done = step(&host, &place.esp.to_string_lossy());
        for line in &done.said {
            eprintln!("tandem: {line}");
        }
        for line in &done.wrong {
            eprintln!("tandem: WRONG: {line}");
        }
        Ok(ExitCode::from(u8::from(!done.wrong.is_empty())))
    };
    match command {
        Command::FirstBoot(place) => step(place, steps::first_boot),
        Command::Hardware(place) => step(place, steps::hardware),
        Command::Network(place) => step(place, steps::network),
        Command::Firewall(place) => {
            let host = Host { root: place.root };
            let rules = steps::rules(&host).map_err(Failure::Config)?;
            write_out(&rules)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Export(command) => transfer::export(&command, as_json).map(|()| ExitCode::SUCCESS),
        Command::Import(command) => transfer::import(&command, as_json).map(|()| ExitCode::SUCCESS),
        Command::FactoryReset(command) => reset::run(&command, as_json).map(|()| ExitCode::SUCCESS),
        Command::Check { file } => {
            let text = std::fs::read_to_string(&file).map_err(|error| Failure::File {
                path: file.clone(),
                error,
            })?;
            match Management::parse(&text) {
                Ok(_) => write_out(&format!("{}: no mistakes\n", file.display()))?,
                Err(mistakes) => {
                    return Err(Failure::Config(format!(
                        "{}: {}",
                        file.display(),
                        mistakes.join("\n")
                    )));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
