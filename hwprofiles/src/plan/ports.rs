//! Which ports the dataplane takes.

use crate::machine::{Machine, Nic, PciAddress};
use crate::plan::{BYTES_ON_WIRE, Note, PlanError, PlannedPort, Role, Wishes};
use crate::profile::{Binding, Profile, Profiles};

/// A port for the dataplane.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) role: Role,
    pub(super) nic: &'a Nic,
    pub(super) profile: &'a Profile,
}

impl Chosen<'_> {
    /// Packets of G.711 a second that the port takes in.
    pub(super) fn packets_per_second(&self) -> u64 {
        let speed = self.nic.speed_mbps.filter(|s| *s > 0);
        let bits = u64::from(speed.unwrap_or(self.profile.speed_mbps.value)) * 1_000_000;
        let line = bits / 8 / BYTES_ON_WIRE;
        let limit = self.profile.packets_per_second.as_ref();
        limit.map_or(line, |limit| line.min(limit.value))
    }

    /// Workers that can each have a queue of it to receive and one to send.
    pub(super) fn queues(&self) -> u16 {
        let profile = self.profile;
        profile.rx_queues.value.min(profile.tx_queues.value)
    }

    pub(super) fn planned(&self, workers: u16) -> PlannedPort {
        let profile = self.profile;
        PlannedPort {
            address: self.nic.address,
            role: self.role,
            profile: Some(profile.name.clone()),
            node: self.nic.node,
            binding: profile.binding,
            queues: workers.min(profile.rx_queues.value),
            descriptors: (profile.rx_descriptors.wanted, profile.tx_descriptors.wanted),
            steering: profile.steering.value.clone(),
        }
    }
}

/// The ports that are left, and what they are for.
pub(super) fn others(
    profiles: &Profiles,
    machine: &Machine,
    wishes: &Wishes,
    chosen: &[Chosen<'_>],
) -> Vec<PlannedPort> {
    let free = machine
        .nics
        .iter()
        .filter(|nic| chosen.iter().all(|c| c.nic.address != nic.address));
    free.map(|nic| PlannedPort {
        address: nic.address,
        role: if is_management(nic, wishes) {
            Role::Management
        } else {
            Role::Spare
        },
        profile: profiles.of(nic).map(|p| p.name.clone()),
        node: nic.node,
        binding: Binding::None,
        queues: 0,
        descriptors: (0, 0),
        steering: Vec::new(),
    })
    .collect()
}

/// Chooses the ports to the carriers and to the media servers.
pub(super) fn choose<'a>(
    profiles: &'a Profiles,
    machine: &'a Machine,
    wishes: &Wishes,
    notes: &mut Vec<Note>,
) -> Result<Vec<Chosen<'a>>, PlanError> {
    let wanted = wanted_profile(profiles, wishes)?;
    let named = [
        wishes.carrier.map(|address| (address, Role::Carrier)),
        wishes.core.map(|address| (address, Role::Core)),
    ];
    if let Some(management) = wishes.management {
        find(machine, management)?;
    }
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for (address, role) in named.into_iter().flatten() {
        let taken = chosen.iter_mut().find(|c| c.nic.address == address);
        if wishes.management == Some(address) {
            return Err(PlanError::TwoRoles(address));
        }
        if let Some(both) = taken {
            both.role = Role::Both;
            continue;
        }
        let nic = find(machine, address)?;
        if wishes.spare.contains(&address) {
            return Err(PlanError::TwoRoles(address));
        }
        if is_management(nic, wishes) {
            let interface = nic.interface.clone().unwrap_or_default();
            return Err(PlanError::Management(address, interface));
        }
        let profile = profile_of(profiles, nic, wanted)?;
        notes.push(Note::choice(format!(
            "{} is {} as named: {} ({})",
            address,
            of_role(role),
            profile.title,
            profile.name
        )));
        chosen.push(Chosen { role, nic, profile });
    }
    let missing: Vec<_> = [Role::Carrier, Role::Core]
        .into_iter()
        .filter(|role| {
            chosen
                .iter()
                .all(|c| c.role != *role && c.role != Role::Both)
        })
        .collect();
    if !missing.is_empty() {
        propose(
            profiles,
            machine,
            wishes,
            wanted,
            &missing,
            &mut chosen,
            notes,
        )?;
    }
    for port in &chosen {
        remarks(port, machine, notes);
    }
    Ok(chosen)
}

/// Fills the roles that nobody named a port for.
fn propose<'a>(
    profiles: &'a Profiles,
    machine: &'a Machine,
    wishes: &Wishes,
    wanted: Option<&'a Profile>,
    missing: &[Role],
    chosen: &mut Vec<Chosen<'a>>,
    notes: &mut Vec<Note>,
) -> Result<(), PlanError> {
    let mut free: Vec<_> = machine
        .nics
        .iter()
        .filter(|nic| chosen.iter().all(|c| c.nic.address != nic.address))
        .filter_map(|nic| candidate(profiles, nic, wishes, wanted, notes))
        .collect();
    // One card, one node, the fastest: in that order from the end.
    let anchor = chosen.first().map(|c| c.nic);
    let best = best_pair(&free, anchor);
    free.sort_by_key(|(nic, _)| !best.contains(&nic.address));
    for (role, (nic, profile)) in missing.iter().zip(&free) {
        let beside = chosen.iter().any(|c| c.nic.address.is_beside(nic.address));
        let reason = match (nic.carrier, beside) {
            (_, true) => "the other port of the same card",
            (Some(true), _) => "the fastest with a cable in",
            _ => "the fastest",
        };
        notes.push(Note::choice(format!(
            "{} is {}, {reason}: {} ({})",
            nic.address,
            of_role(*role),
            profile.title,
            profile.name
        )));
        chosen.push(Chosen {
            role: *role,
            nic,
            profile,
        });
    }
    let filled = free.len().min(missing.len());
    if filled == missing.len() {
        return Ok(());
    }
    let Some(only) = chosen.first_mut() else {
        return Err(PlanError::NoPort(why_none(profiles, machine, wishes)));
    };
    only.role = Role::Both;
    notes.push(Note::shortfall(format!(
        "there is one port for carriers and media servers, {}: give each a VLAN of it, and half of its speed to each",
        only.nic.address
    )));
    Ok(())
}

/// Two ports that belong together best; one if there is no more.
fn best_pair(free: &[(&Nic, &Profile)], anchor: Option<&Nic>) -> Vec<PciAddress> {
    let value = |nic: &Nic, profile: &Profile| {
        let speed = nic.speed_mbps.unwrap_or(profile.speed_mbps.value);
        (nic.carrier == Some(true), speed)
    };
    if let Some(anchor) = anchor {
        let best = free.iter().max_by_key(|(nic, profile)| {
            let near = nic.node == anchor.node;
            let order = std::cmp::Reverse(nic.address);
            (
                near,
                nic.address.is_beside(anchor.address),
                value(nic, profile),
                order,
            )
        });
        return best.map(|(nic, _)| nic.address).into_iter().collect();
    }
    let mut best = None;
    for (index, (a, of_a)) in free.iter().enumerate() {
        for (b, of_b) in free.iter().skip(index + 1) {
            let (low, high) = (value(a, of_a), value(b, of_b));
            let merit = (
                low.1.min(high.1),
                low.0 && high.0,
                a.node == b.node,
                a.address.is_beside(b.address),
            );
            if best.as_ref().is_none_or(|(known, _)| merit > *known) {
                best = Some((merit, vec![a.address, b.address]));
            }
        }
    }
    match best {
        Some((_, pair)) => pair,
        None => free.iter().map(|(nic, _)| nic.address).collect(),
    }
}

/// A port that the dataplane could have, with its profile; a note if it could not and one might wonder.
fn candidate<'a>(
    profiles: &'a Profiles,
    nic: &'a Nic,
    wishes: &Wishes,
    wanted: Option<&'a Profile>,
    notes: &mut Vec<Note>,
) -> Option<(&'a Nic, &'a Profile)> {
    let address = nic.address;
    if is_management(nic, wishes) {
        let interface = nic.interface.as_deref().unwrap_or("no interface");
        notes.push(Note::choice(format!(
            "{address} ({interface}) stays the kernel's: {}",
            if wishes.management == Some(address) {
                "it is for management"
            } else {
                "the default route goes by it, so you come this way"
            }
        )));
        return None;
    }
    if wishes.spare.contains(&address) {
        notes.push(Note::choice(format!(
            "{address} stays the kernel's: it is for something else"
        )));
        return None;
    }
    let Some(profile) = profiles.of(nic) else {
        notes.push(Note::choice(format!(
            "{address} stays the kernel's: there is no profile for {}",
            nic.id()
        )));
        return None;
    };
    if nic.virtual_functions > 0 {
        notes.push(Note::choice(format!(
            "{address} stays the kernel's: {} virtual functions were made of it",
            nic.virtual_functions
        )));
        return None;
    }
    if wanted.is_some_and(|wanted| wanted.name != profile.name) {
        notes.push(Note::choice(format!(
            "{address} stays the kernel's: it is of profile {}",
            profile.name
        )));
        return None;
    }
    Some((nic, profile))
}

/// The port for management, where nobody named one: the one that the dataplane can have least use of. A port without a
/// profile, else the slowest; the first of equals, as it is labelled on the machine. One with a cable in before one without.
#[must_use]
pub fn management_port(profiles: &Profiles, machine: &Machine) -> Option<PciAddress> {
    if let Some(nic) = machine.nics.iter().find(|nic| nic.has_default_route) {
        return Some(nic.address);
    }
    let worth = |nic: &&Nic| {
        let speed = profiles
            .of(nic)
            .map(|profile| nic.speed_mbps.unwrap_or(profile.speed_mbps.value));
        (nic.carrier != Some(true), speed, nic.address)
    };
    machine.nics.iter().min_by_key(worth).map(|nic| nic.address)
}

/// Whoever administers the machine comes by it.
fn is_management(nic: &Nic, wishes: &Wishes) -> bool {
    match wishes.management {
        Some(address) => address == nic.address,
        None => nic.has_default_route,
    }
}

fn remarks(port: &Chosen<'_>, machine: &Machine, notes: &mut Vec<Note>) {
    let (nic, profile) = (port.nic, port.profile);
    let address = nic.address;
    if let Some(parent) = nic.virtual_of {
        notes.push(Note::shortfall(format!(
            "{address} is a virtual function of {parent}: whoever has {parent} decides on its Ethernet address, its VLANs and its \
             queues, and shares its speed"
        )));
    }
    if profile.virtual_machine && !machine.is_virtual {
        notes.push(Note::shortfall(format!(
            "{address} is a card for virtual machines, and this does not say that it is one"
        )));
    }
    if nic.carrier == Some(false) {
        notes.push(Note::shortfall(format!(
            "no cable is in {address}, or its far end is off"
        )));
    }
    if let Some(limit) = &profile.packets_per_second {
        notes.push(Note::shortfall(format!(
            "{address} takes {} packets a second at most, below its line rate: {}",
            limit.value, limit.source
        )));
    }
    // Each lane carries so much of what the port brings; 8b/10b until 5 GT/s.
    if let Some((width, speed)) = nic.pcie {
        let lane = if speed > 5_000 { speed } else { speed / 10 * 8 };
        let slot = u64::from(width) * u64::from(lane);
        let needed = u64::from(nic.speed_mbps.unwrap_or(profile.speed_mbps.value));
        if slot < needed {
            notes.push(Note::shortfall(format!(
                "{address} is in a slot of {width} lanes at {speed} MT/s, which is {slot} Mbit/s: less than the {needed} of its \
                 port; put it into a wider one"
            )));
        }
    }
    for remark in &profile.remarks {
        let note = Note::choice(format!("{}: {remark}", profile.title));
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

fn why_none(profiles: &Profiles, machine: &Machine, wishes: &Wishes) -> String {
    if machine.nics.is_empty() {
        return "this machine has no Ethernet card on its PCI bus; name virtual devices in the configuration by hand".into();
    }
    let reason = |nic: &Nic| {
        let what = if is_management(nic, wishes) {
            "is how you come to this machine".to_owned()
        } else if wishes.spare.contains(&nic.address) {
            "is for something else".to_owned()
        } else if profiles.of(nic).is_none() {
            format!("is a {}, for which there is no profile", nic.id())
        } else if nic.virtual_functions > 0 {
            "was made into virtual functions: take those, or undo it".to_owned()
        } else {
            "is not of the profile that you named".to_owned()
        };
        format!("{} {what}", nic.address)
    };
    machine
        .nics
        .iter()
        .map(reason)
        .collect::<Vec<_>>()
        .join("; ")
}

fn wanted_profile<'a>(
    profiles: &'a Profiles,
    wishes: &Wishes,
) -> Result<Option<&'a Profile>, PlanError> {
    let Some(name) = &wishes.profile else {
        return Ok(None);
    };
    match profiles.named(name) {
        Some(profile) => Ok(Some(profile)),
        None => Err(PlanError::NoSuchProfile(name.clone(), names(profiles))),
    }
}

fn profile_of<'a>(
    profiles: &'a Profiles,
    nic: &Nic,
    wanted: Option<&'a Profile>,
) -> Result<&'a Profile, PlanError> {
    let Some(profile) = profiles.of(nic) else {
        return Err(PlanError::Unknown(nic.address, nic.id(), names(profiles)));
    };
    match wanted {
        Some(wanted) if wanted.name != profile.name => Err(PlanError::WrongProfile {
            wanted: wanted.name.clone(),
            address: nic.address,
            id: nic.id(),
            right: profile.name.clone(),
        }),
        _ => Ok(profile),
    }
}

fn names(profiles: &Profiles) -> String {
    profiles
        .iter()
        .map(|p| p.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn find(machine: &Machine, address: PciAddress) -> Result<&Nic, PlanError> {
    machine.nic(address).ok_or_else(|| {
        let all = machine.nics.iter().map(|n| n.address.to_string());
        PlanError::NoSuchPort(address, all.collect::<Vec<_>>().join(", "))
    })
}

fn of_role(role: Role) -> &'static str {
    match role {
        Role::Carrier => "the port to the carriers",
        Role::Core => "the port to the media servers",
        _ => "the port to both",
    }
}
