//! `tandemctl hw`: the machine, and the plan for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use tandem_hwprofiles::{
    Iommu, Machine, Nic, PciAddress, Plan, Profile, Profiles, Recording, Wishes, detect, files,
    plan, verify,
};
use tempfile::TempDir;

use crate::appliance::grub_file;
use crate::client::Failure;
use crate::show::write_out;
use crate::table::table;

/// Where `apply` keeps the plan for `verify`, from the root.
const PLAN: &str = "etc/tandem/hardware.json";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What the machine has
    Detect(Where),
    /// The profiles of network cards
    List,
    /// Ports, queues, cores, memory and the kernel's command line, with the reasons and what is missing; changes nothing
    Plan {
        #[command(flatten)]
        machine: Where,
        #[command(flatten)]
        wanted: Wanted,
        /// Print only what belongs into the configuration
        #[arg(long)]
        configuration: bool,
    },
    /// Write the files that carry the plan out at the next start, and keep the plan for verify
    Apply {
        #[command(flatten)]
        machine: Where,
        #[command(flatten)]
        wanted: Wanted,
        /// Print them instead
        #[arg(long)]
        dry_run: bool,
    },
    /// Where the machine differs from the plan that was applied
    Verify {
        #[command(flatten)]
        machine: Where,
        /// The plan [default: /etc/tandem/hardware.json below --root]
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
    },
    /// Write down what is read of the machine, to be looked at elsewhere with --machine
    Record {
        /// The file
        file: PathBuf,
    },
}

/// Which machine.
#[derive(Args)]
pub(crate) struct Where {
    /// The machine whose file system is here
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    root: PathBuf,
    /// A machine that `tandemctl hw record` wrote down
    #[arg(long, value_name = "FILE")]
    machine: Option<PathBuf>,
}

/// What is wanted otherwise than proposed.
#[derive(Args)]
pub(crate) struct Wanted {
    /// The port to the carriers, by its PCI address
    #[arg(long, value_name = "ADDRESS")]
    carrier: Option<PciAddress>,
    /// The port to the media servers
    #[arg(long, value_name = "ADDRESS")]
    core: Option<PciAddress>,
    /// The port that stays the kernel's, for management [default: the one of the default route]
    #[arg(long, value_name = "ADDRESS")]
    management: Option<PciAddress>,
    /// The profile that the ports are of
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Calls at the same time [default: what the ports carry]
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
}

impl From<Wanted> for Wishes {
    fn from(wanted: Wanted) -> Self {
        Self {
            carrier: wanted.carrier,
            core: wanted.core,
            management: wanted.management,
            spare: Vec::new(),
            profile: wanted.profile,
            calls: wanted.calls,
        }
    }
}

pub(crate) fn run(command: Command, as_json: bool) -> Result<ExitCode, Failure> {
    match command {
        Command::Detect(place) => {
            let machine = place.machine()?;
            write_out(&if as_json {
                pretty(&machine)?
            } else {
                describe(&machine)?
            })?;
        }
        Command::List => {
            let profiles = profiles()?;
            write_out(&if as_json {
                pretty(&profiles.iter().collect::<Vec<_>>())?
            } else {
                list(&profiles)
            })?;
        }
        Command::Plan {
            machine,
            wanted,
            configuration,
        } => {
            let plan = make(&machine, wanted)?;
            let text = match (as_json, configuration) {
                (true, _) => pretty(&plan)?,
                (false, true) => plan.configuration(),
                (false, false) => plan.to_string(),
            };
            write_out(&text)?;
        }
        Command::Apply {
            machine,
            wanted,
            dry_run,
        } => apply(&machine, wanted, dry_run, as_json)?,
        Command::Verify { machine, plan } => return check(&machine, plan, as_json),
        Command::Record { file } => {
            let text = Recording::of(Path::new("/")).text();
            write(&file, &text)?;
            write_out(&format!("{} written\n", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Where {
    fn is_appliance(&self) -> bool {
        self.root.join("etc/tandem-release").exists()
    }

    fn machine(&self) -> Result<Machine, Failure> {
        let Some(file) = &self.machine else {
            return detect(&self.root).map_err(|error| Failure::Config(error.to_string()));
        };
        let said =
            |error: &dyn std::fmt::Display| Failure::Config(format!("{}: {error}", file.display()));
        let recording = Recording::parse(&read(file)?).map_err(|error| said(&error))?;
        let root = TempDir::new().map_err(|error| said(&error))?;
        recording.lay(root.path()).map_err(|error| said(&error))?;
        detect(root.path()).map_err(|error| said(&error))
    }
}

fn make(place: &Where, wanted: Wanted) -> Result<Plan, Failure> {
    let machine = place.machine()?;
    let mut wishes = Wishes::from(wanted);
    if place.is_appliance() && place.machine.is_none() {
        // Management's default route is in a table of its own there, and ports of the dataplane do not say whether a cable is in.
        let before = fs::read_to_string(place.root.join(PLAN)).ok();
        if let Some(before) = before.and_then(|text| serde_json::from_str(&text).ok()) {
            wishes = wishes.or_planned(&before, &machine);
        }
    }
    plan(&profiles()?, &machine, &wishes).map_err(|error| Failure::Refused(error.to_string()))
}

fn apply(place: &Where, wanted: Wanted, dry_run: bool, as_json: bool) -> Result<(), Failure> {
    let plan = make(place, wanted)?;
    // The appliance gives ports to their drivers itself, on each start, and GRUB there reads one file of ours.
    let is_appliance = place.is_appliance();
    let files = if is_appliance {
        vec![grub_file(&plan)]
    } else {
        files(&plan)
    };
    if dry_run {
        let show = |file: &tandem_hwprofiles::File| {
            format!("/{} ({})\n{}\n", file.path, file.purpose, file.text)
        };
        return write_out(&files.iter().map(show).collect::<String>());
    }
    for file in &files {
        write(&place.root.join(&file.path), &file.text)?;
    }
    // Last: who finds it finds the rest, too.
    write(&place.root.join(PLAN), &pretty(&plan)?)?;
    let written: Vec<_> = files
        .iter()
        .map(|file| format!("/{}", file.path))
        .chain([format!("/{PLAN}")])
        .collect();
    if as_json {
        return write_out(&format!("{}\n", json!({ "written": written })));
    }
    let mut text: String = written.iter().map(|path| format!("{path}\n")).collect();
    text += if is_appliance {
        "Start the machine anew; its console and `tandemctl hw verify` then say whether all is as planned.\n"
    } else {
        "Run update-grub and start the machine anew; `tandemctl hw verify` then says whether all is as planned.\n"
    };
    write_out(&text)
}

fn check(place: &Where, file: Option<PathBuf>, as_json: bool) -> Result<ExitCode, Failure> {
    let file = file.unwrap_or_else(|| place.root.join(PLAN));
    let plan: Plan = serde_json::from_str(&read(&file)?).map_err(|error| {
        Failure::Config(format!(
            "{}: {error}: write it anew with `tandemctl hw apply`",
            file.display()
        ))
    })?;
    let differences = verify(&plan, &place.machine()?);
    let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
    if as_json {
        let ok = texts.is_empty();
        write_out(&format!("{}\n", json!({ "ok": ok, "differences": texts })))?;
    } else if texts.is_empty() {
        write_out("all is as planned\n")?;
    } else {
        write_out(
            &texts
                .iter()
                .map(|text| format!("{text}\n"))
                .collect::<String>(),
        )?;
    }
    Ok(ExitCode::from(u8::from(!texts.is_empty())))
}

fn describe(machine: &Machine) -> Result<String, Failure> {
    let profiles = profiles()?;
    let mut text = format!(
        "{}{}\n{}: {} cores, {} threads\n{} MB of memory{}; IOMMU {}\n",
        machine.model,
        if machine.is_virtual {
            " (virtual machine)"
        } else {
            ""
        },
        machine.processor,
        machine.physical().len(),
        machine.cores.len(),
        machine.memory_mb,
        if machine.gigabyte_pages {
            ", pages of 1 GB"
        } else {
            ""
        },
        match machine.iommu {
            Iommu::On => "in use",
            Iommu::Off => "not in use",
        },
    );
    for node in &machine.nodes {
        let cores: Vec<_> = machine
            .cores
            .iter()
            .filter(|core| core.node == node.id)
            .map(|core| core.id.to_string())
            .collect();
        let pages: Vec<_> = node
            .pages
            .iter()
            .map(|p| format!("{} x {} ({} free)", p.total, p.size, p.free))
            .collect();
        text += &format!(
            "node {}: {} MB, threads {}, huge pages {}\n",
            node.id,
            node.memory_mb,
            cores.join(","),
            pages.join(", ")
        );
    }
    let row = |nic: &Nic| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        vec![
            nic.address.to_string(),
            nic.id(),
            or_dash(profiles.of(nic).map(|p| p.name.clone())),
            or_dash(nic.node.map(|node| node.to_string())),
            or_dash(nic.driver.clone()),
            or_dash(nic.interface.clone()),
            or_dash(nic.carrier.map(|up| if up { "up" } else { "down" }.into())),
            or_dash(nic.speed_mbps.map(|speed| speed.to_string())),
        ]
    };
    let headings = [
        "address",
        "id",
        "profile",
        "node",
        "driver",
        "interface",
        "link",
        ">mbit/s",
    ];
    let rows: Vec<_> = machine.nics.iter().map(row).collect();
    Ok(text + &table(&headings, &rows))
}

fn list(profiles: &Profiles) -> String {
    let row = |profile: &Profile| {
        vec![
            profile.name.clone(),
            profile.title.clone(),
            profile.pmd.clone(),
            profile.rx_queues.value.to_string(),
            profile
                .steering
                .value
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = profiles.iter().map(row).collect();
    table(
        &["profile", "cards", "driver", ">queues", "steering"],
        &rows,
    )
}

fn profiles() -> Result<Profiles, Failure> {
    Profiles::built_in().map_err(|error| Failure::Config(error.to_string()))
}

fn pretty<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => Ok(text + "\n"),
        Err(error) => Err(Failure::Protocol(error.to_string())),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::File {
        path: path.to_owned(),
        error,
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::File {
        path: path.to_owned(),
        error,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}
