//! The machine, for the set-up.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tandem_hwprofiles::{
    Machine as Found, Nic, PciAddress, Plan, Profiles, Weight, Wishes as Wanted, detect,
    management_port, plan,
};

use super::process::run;
use super::{Hub, apply};
use crate::feed::{Feed, Got, Machine, MachinePlan, MachinePort, Wishes};

/// Where an unfinished set-up is kept, from the root.
const DRAFT: &str = "var/lib/tandem-appliance/setup.json";
/// The hardware plan, from the root.
pub(super) const PLAN: &str = "etc/tandem/hardware.json";
/// For how long a light blinks, in seconds.
const BLINKS: u64 = 10;

pub(super) fn start(hub: &Hub) {
    let hub = hub.clone();
    thread::spawn(move || look(&hub, &Wishes::default()));
}

/// Looks at the machine, and plans it.
pub(super) fn look(hub: &Hub, wishes: &Wishes) {
    hub.feed(Feed::Machine(machine(hub, wishes).map(Box::new)));
}

fn draft(hub: &Hub) -> PathBuf {
    hub.options.root.join(DRAFT)
}

fn machine(hub: &Hub, wishes: &Wishes) -> Got<Machine> {
    let found = detect(&hub.options.root).map_err(|error| error.to_string())?;
    let mut machine = of(&found, before(hub).as_ref(), wishes)?;
    machine.draft = std::fs::read_to_string(draft(hub)).ok();
    machine.configured = hub.options.configuration.exists();
    machine.locked = locked(hub);
    Ok(machine)
}

/// The plan that the first start made, or a set-up.
fn before(hub: &Hub) -> Option<Plan> {
    let text = std::fs::read_to_string(hub.options.root.join(PLAN)).ok()?;
    serde_json::from_str(&text).ok()
}

/// A set-up writes what is root's.
fn locked(hub: &Hub) -> Option<String> {
    if hub.options.root != Path::new("/") {
        return None;
    }
    let own = std::fs::metadata("/proc/self").ok()?;
    (own.uid() != 0).then(|| {
        "this console may not write the set-up: start it with `sudo tandemctl console`".to_owned()
    })
}

/// A machine as it was found, and its plan.
pub(crate) fn of(found: &Found, before: Option<&Plan>, wishes: &Wishes) -> Got<Machine> {
    let profiles = Profiles::built_in().map_err(|error| error.to_string())?;
    Ok(Machine {
        rows: rows(found),
        ports: ports(&profiles, found),
        plan: planned(&profiles, found, before, wishes).map(|plan| planned_for(&plan)),
        draft: None,
        configured: false,
        locked: None,
    })
}

/// The plan that a set-up with these wishes writes.
pub(super) fn plan_for(hub: &Hub, wishes: &Wishes) -> Got<Plan> {
    let profiles = Profiles::built_in().map_err(|error| error.to_string())?;
    let found = detect(&hub.options.root).map_err(|error| error.to_string())?;
    planned(&profiles, &found, before(hub).as_ref(), wishes)
}

/// Without wishes, the plan of before as it is, with its reasons; else a new one, in which roles that nobody named a port for stay.
fn planned(
    profiles: &Profiles,
    found: &Found,
    before: Option<&Plan>,
    wishes: &Wishes,
) -> Got<Plan> {
    let is_here = |plan: &&Plan| plan.ports.iter().all(|p| found.nic(p.address).is_some());
    if *wishes == Wishes::default()
        && let Some(before) = before.filter(is_here)
    {
        return Ok(before.clone());
    }
    let mut wanted = wanted(wishes)?;
    if let Some(before) = before {
        wanted = wanted.or_planned(before, found);
    }
    if wanted.management.is_none() {
        let taken = [wanted.carrier, wanted.core];
        let is_free = |nic: &&Nic| {
            !taken.contains(&Some(nic.address)) && !wanted.spare.contains(&nic.address)
        };
        let free = Found {
            nics: found.nics.iter().filter(is_free).cloned().collect(),
            ..found.clone()
        };
        wanted.management = management_port(profiles, &free);
    }
    plan(profiles, found, &wanted).map_err(|error| error.to_string())
}

/// The operator's wishes, for the planner.
fn wanted(wishes: &Wishes) -> Got<Wanted> {
    let address = |text: &String| {
        let parsed = text.parse::<PciAddress>();
        parsed.map_err(|_| format!("{text} is no PCI address"))
    };
    let named = |text: &String| match text.as_str() {
        "" => Ok(None),
        _ => address(text).map(Some),
    };
    Ok(Wanted {
        carrier: named(&wishes.carrier)?,
        core: named(&wishes.core)?,
        management: named(&wishes.management)?,
        spare: wishes.spare.iter().map(address).collect::<Got<_>>()?,
        ..Wanted::default()
    })
}

fn rows(found: &Found) -> Vec<(String, String)> {
    let cores = format!(
        "{} cores, {} threads, {} nodes",
        found.physical().len(),
        found.cores.len(),
        found.nodes.len()
    );
    let memory = format!(
        "{} MB{}",
        found.memory_mb,
        if found.gigabyte_pages {
            ", pages of 1 GB"
        } else {
            ""
        }
    );
    [
        ("machine", found.model.clone()),
        ("processor", found.processor.clone()),
        ("cores", cores),
        ("memory", memory),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn ports(profiles: &Profiles, found: &Found) -> Vec<MachinePort> {
    found
        .nics
        .iter()
        .map(|nic| MachinePort {
            address: nic.address.to_string(),
            profile: profiles.of(nic).map_or(String::new(), |p| p.name.clone()),
            interface: nic.interface.clone().unwrap_or_default(),
            link: nic
                .carrier
                .map_or("", |up| if up { "up" } else { "down" })
                .to_owned(),
            speed: nic.speed_mbps,
            driver: nic.driver.clone().unwrap_or_default(),
        })
        .collect()
}

fn planned_for(plan: &Plan) -> MachinePlan {
    let notes = |weight: Weight| {
        let notes = plan.notes.iter().filter(move |note| note.weight == weight);
        notes.map(|note| note.text.clone()).collect()
    };
    let profiles = plan.ports.iter().filter(|p| p.role.is_relayed());
    let mut profiles: Vec<String> = profiles.filter_map(|p| p.profile.clone()).collect();
    profiles.dedup();
    MachinePlan {
        roles: plan
            .ports
            .iter()
            .map(|p| (p.address.to_string(), p.role.to_string()))
            .collect(),
        profile: profiles.join(", "),
        configuration: plan.configuration(),
        reasons: notes(Weight::Choice),
        shortfalls: notes(Weight::Shortfall),
    }
}

/// Lets a port's light blink.
pub(super) fn blink(hub: &Hub, interface: &str) {
    let mut command = Command::new("ethtool");
    command.args(["-p", interface, &BLINKS.to_string()]);
    hub.done(Ok(format!("{interface}: its light blinks for {BLINKS} s")));
    match run(&mut command, Duration::from_secs(BLINKS + 5)) {
        Ok(said) if said.code == Some(0) => {}
        Ok(said) => hub.done(Err(format!(
            "{interface}: its light does not blink: {}",
            said.err.lines().next().unwrap_or("the card cannot")
        ))),
        Err(why) => hub.done(Err(why)),
    }
}

/// Keeps an unfinished set-up.
pub(super) fn keep(hub: &Hub, text: &str) {
    if let Err(why) = apply::write(&draft(hub), text, 0o600) {
        hub.done(Err(format!("the set-up cannot be kept: {why}")));
    }
}
