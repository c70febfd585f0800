//! `tandemctl update status`.

use serde::Serialize;

use super::boot::{Alarm, Event};
use super::environment::Environment;
use super::place::{How, Place, failed};
use super::slot::{Slot, seal};
use crate::client::Failure;
use crate::table::table;
use crate::time::rfc3339;

/// Both slots, and what happened last.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    /// The slot that runs.
    booted: Slot,
    /// Why that one.
    how: How,
    /// Its version.
    version: String,
    /// Whether it is on trial yet.
    on_trial: bool,
    /// What GRUB takes with the next start.
    next: Slot,
    slots: Vec<Entry>,
    last: Option<Event>,
    alarms: Vec<Alarm>,
}

#[derive(Debug, Serialize)]
struct Entry {
    slot: Slot,
    booted: bool,
    /// None: it is empty, or what is in it has no seal.
    version: Option<String>,
    /// good, trial, bad, empty
    state: &'static str,
    /// Boots since it was last marked good.
    tries: u32,
}

pub(super) fn of(place: &Place) -> Result<Status, Failure> {
    let boot = place.boot()?;
    let (_, environment) = super::environment(place, boot.slot)?;
    let entry = |slot: Slot| {
        let device = slot.device(&place.root);
        let seal = seal(&device).map_err(|error| failed(&device, error))?;
        Ok(Entry {
            slot,
            booted: slot == boot.slot,
            state: state(&environment, slot, seal.is_some()),
            version: seal.map(|seal| seal.version),
            tries: environment.tries(slot),
        })
    };
    let slots = Slot::ALL
        .into_iter()
        .map(entry)
        .collect::<Result<_, Failure>>()?;
    let record = super::record(place);
    Ok(Status {
        booted: boot.slot,
        how: boot.how,
        version: place.version(),
        on_trial: boot.how == How::Trial && !environment.is_proven(boot.slot),
        next: next(&environment),
        slots,
        last: record.last,
        alarms: record.alarms,
    })
}

fn state(environment: &Environment, slot: Slot, is_there: bool) -> &'static str {
    match (
        is_there,
        environment.is_ok(slot),
        environment.is_proven(slot),
    ) {
        (false, ..) => "empty",
        (_, true, true) => "good",
        (_, true, false) => "trial",
        (_, false, _) => "bad",
    }
}

/// As image/boot/grub.cfg chooses.
fn next(environment: &Environment) -> Slot {
    let may = |slot: &Slot| {
        let most = if environment.is_proven(*slot) { 2 } else { 0 };
        environment.is_ok(*slot) && environment.tries(*slot) <= most
    };
    let order = environment.order();
    let chosen = order.iter().copied().find(may);
    chosen.or(environment.last_good()).unwrap_or(Slot::A)
}

pub(super) fn text(status: &Status) -> String {
    let row = |entry: &Entry| {
        let mark = |is: bool, word: &str| if is { word.to_owned() } else { String::new() };
        vec![
            entry.slot.to_string(),
            entry.version.clone().unwrap_or_else(|| "-".into()),
            entry.state.to_owned(),
            mark(entry.booted, "runs"),
            mark(entry.slot == status.next, "next"),
        ]
    };
    let rows: Vec<_> = status.slots.iter().map(row).collect();
    let mut text = table(&["slot", "version", "state", "", ""], &rows);
    if let Some(last) = &status.last {
        let time = rfc3339(i64::try_from(last.time.saturating_mul(1_000)).unwrap_or(i64::MAX));
        let what = last.what.replace('_', " ");
        text += &format!("last: {what}, version {}, {time}\n", last.version);
        text.extend(last.notes.iter().map(|note| format!("      {note}\n")));
    }
    text.extend(
        status
            .alarms
            .iter()
            .map(|alarm| format!("ALARM {}: {}\n", alarm.kind, alarm.text)),
    );
    text
}
