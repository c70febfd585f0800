//! `tandem-image-run [--uefi] COMMAND...`: boots the image of `make image` on a disk of its own, runs each command in it as root,
//! shows what they print, and switches off. For whoever works on the image.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use tandem_image_tests::{Disk, Firmware, Image, Machine, Options, Result, patience};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-image-run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut commands: Vec<String> = std::env::args().skip(1).collect();
    let uefi = commands.first().is_some_and(|first| first == "--uefi");
    if uefi {
        commands.remove(0);
    }
    let disk = Disk::of(&Image::built()?, 4 << 30)?;
    disk.plant_shell()?;
    let begin = Instant::now();
    let firmware = if uefi { Firmware::Uefi } else { Firmware::Bios };
    let mut machine = Machine::start(
        &disk,
        &Options {
            firmware,
            ..Options::default()
        },
    )?;
    machine.wait_for_shell()?;
    eprintln!("up after {:.0} s", begin.elapsed().as_secs_f64());
    for command in &commands {
        let (status, text) = machine.run_for_status(command, patience(100))?;
        eprintln!("# {command}");
        println!("{text}");
        if status != 0 {
            eprintln!("# ended with {status}");
        }
    }
    machine.shut_down()
}
