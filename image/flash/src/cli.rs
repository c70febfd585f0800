//! The command line.

mod choose;
mod commands;
mod install;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tandem_flash::{preload, trust};

use report::Reporter;

/// Writes the Tandem appliance's image to a disk or stick, and proves that it is there.
#[derive(Debug, Parser)]
#[command(name = "tandem-flash", version, after_help = EXIT_CODES)]
struct Cli {
    /// Lines of JSON on the standard output, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Reads /sys, /proc, /dev and /run below this folder
    #[arg(long, global = true, hide = true, default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 input or output failed; 2 wrong command line; 3 the image is damaged or not to be trusted; \
4 the disk is refused; 5 the disk is not what was written; 6 not confirmed; 7 no permission; \
8 what is to be preloaded is wrong; 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// The machine's disks, and who uses them
    List {
        /// Loop devices, device mapper, RAID and memory, too
        #[arg(long)]
        all: bool,
    },
    /// Checks an image, its signature and its block map; writes nothing
    Check {
        /// tandem-VERSION.img or tandem-VERSION.img.zst
        image: PathBuf,
        #[command(flatten)]
        trust: TrustArgs,
    },
    /// Writes an image to a disk, and reads it back
    Write {
        /// tandem-VERSION.img or tandem-VERSION.img.zst
        image: PathBuf,
        /// The disk: sdb, /dev/sdb, or its name in /dev/disk/by-id. Asked for if it is not here
        disk: Option<PathBuf>,
        #[command(flatten)]
        trust: TrustArgs,
        #[command(flatten)]
        write: WriteArgs,
        /// DISK is a file, such as a virtual machine's disk: raw, and as large as the disk is to be
        #[arg(long, requires = "disk")]
        file: bool,
    },
    /// Compares a disk with an image
    Verify {
        /// tandem-VERSION.img or tandem-VERSION.img.zst
        image: PathBuf,
        /// The disk
        disk: PathBuf,
        #[command(flatten)]
        trust: TrustArgs,
        /// DISK is a file
        #[arg(long)]
        file: bool,
    },
    /// On an appliance that runs from a stick: installs it to a disk of the machine
    Install {
        /// The disk. Asked for if it is not here
        disk: Option<PathBuf>,
        #[command(flatten)]
        write: WriteArgs,
        /// The stick, or its image in a file, if the running system is not on it
        #[arg(long, value_name = "DISK")]
        from: Option<PathBuf>,
        /// The slot of it that is installed, with --from
        #[arg(long, default_value = "a", value_parser = ["a", "b"], requires = "from")]
        slot: String,
        /// DISK is a file
        #[arg(long, requires = "disk")]
        file: bool,
    },
}

#[derive(Args, Clone, Debug)]
struct TrustArgs {
    /// The public key (PEM, Ed25519) that the image's checksums must be signed with; get it another way than the image
    #[arg(long)]
    key: Option<PathBuf>,
    /// Goes on when checksums, signature or key are not there. What is there must still be right
    #[arg(long)]
    unsigned: bool,
    /// The block map, if it is not beside the image
    #[arg(long, value_name = "FILE")]
    bmap: Option<PathBuf>,
    /// Uses no block map
    #[arg(long, conflicts_with = "bmap")]
    no_bmap: bool,
}

impl TrustArgs {
    fn wishes(&self) -> trust::Wishes {
        trust::Wishes {
            key: self.key.clone(),
            unsigned: self.unsigned,
            map: self.bmap.clone(),
            no_map: self.no_bmap,
        }
    }
}

#[derive(Args, Clone, Debug)]
struct WriteArgs {
    /// Erases this disk without a question; NAME is the disk's name, once more
    #[arg(long, value_name = "NAME")]
    yes_erase: Option<String>,
    /// Checks all, says what would be written, and opens nothing for writing
    #[arg(long)]
    dry_run: bool,
    /// A tandem.toml for the first boot
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// SSH public keys for the first boot, one a line
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// The appliance's host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// How the management port is addressed (TOML; see the guide)
    #[arg(long, value_name = "FILE")]
    management: Option<PathBuf>,
}

impl WriteArgs {
    fn preload(&self) -> preload::Wishes {
        preload::Wishes {
            config: self.config.clone(),
            ssh_key: self.ssh_key.clone(),
            hostname: self.hostname.clone(),
            management: self.management.clone(),
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut reporter = Reporter::new(cli.json);
    match commands::run(&cli, &mut reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.error.exit_code();
            reporter.failure(&failure);
            ExitCode::from(code)
        }
    }
}
