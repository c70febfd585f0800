//! `tandemctl update`: another version into the other slot, its proof, and the way back (ADR 22).

mod alarms;
mod boot;
mod checks;
mod environment;
mod install;
mod keep;
mod place;
mod proof;
mod rauc;
mod slot;
mod status;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, ExitCode};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;

use self::boot::{Event, Record, arrived, fell_back, found_data, is_good_at_once};
use self::environment::Environment;
use self::place::{How, Place, failed};
use self::proof::{Check, Findings, Outcome, Proof, Verdict};
use self::slot::{Slot, seal};
use crate::appliance::transfer;
use crate::client::Failure;
use crate::show::{print, write_out};

/// All that passes does so for this long before it is believed, in milliseconds.
const STEADY_MS: u64 = 10_000;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a bundle into the other slot; it is booted with the next start, and has to prove itself then
    Install {
        /// The bundle (`.raucb`)
        bundle: PathBuf,
        /// Take an older version, too
        #[arg(long)]
        allow_downgrade: bool,
        /// Start the machine anew at once: calls end
        #[arg(long)]
        reboot: bool,
    },
    /// Both slots with their versions and states, and what became of the last update
    Status,
    /// Boot the other slot with the next start
    Rollback {
        /// Start the machine anew at once: calls end
        #[arg(long)]
        reboot: bool,
    },
    /// Look whether this system does all that a new one has to show; changes nothing
    Prove {
        /// For so many seconds at most
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// In the boot of a system that is on trial: mark it good, or fall back by a reboot
        #[arg(long, hide = true)]
        decide: bool,
    },
    /// Mark the system that runs good, whatever it does
    MarkGood,
    /// At each start, before the planes
    #[command(hide = true)]
    Arrive,
    /// Before RAUC writes into the other slot
    #[command(hide = true)]
    Prepare,
    /// When RAUC has written
    #[command(hide = true)]
    Written,
    /// When a system on trial has had all its time
    #[command(hide = true)]
    Expire,
}

pub(crate) fn run(
    command: Command,
    root: &Path,
    configuration: Option<&Path>,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let usual = root.join("etc/tandem/tandem.toml");
    let place = Place {
        root: root.to_owned(),
        configuration: configuration.map_or(usual, Path::to_owned),
    };
    match command {
        Command::Install {
            bundle,
            allow_downgrade,
            reboot,
        } => install::install(&place, &bundle, allow_downgrade, reboot, as_json)?,
        Command::Status => {
            let status = status::of(&place)?;
            print(as_json, &status, status::text)?;
        }
        Command::Rollback { reboot } => rollback(&place, reboot, as_json)?,
        Command::Prove { seconds, decide } => return prove(&place, seconds, decide, as_json),
        Command::MarkGood => {
            mark_good(&place, &["by hand".to_owned()])?;
            let boot = place.boot()?;
            // Whoever says so has seen them.
            let mut record = record(&place);
            record.alarms.clear();
            save(&place, &record)?;
            print(as_json, &json!({ "slot": boot.slot, "good": true }), |_| {
                format!("slot {} is good\n", boot.slot)
            })?;
        }
        Command::Arrive => arrive(&place)?,
        Command::Prepare => install::prepare(&place)?,
        Command::Written => install::written(&place)?,
        Command::Expire => expire(&place)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rollback(place: &Place, reboot: bool, as_json: bool) -> Result<(), Failure> {
    let boot = place.boot()?;
    let other = boot.slot.other();
    let (blocks, mut environment) = environment(place, boot.slot)?;
    let device = other.device(&place.root);
    let Some(seal) = seal(&device).map_err(|error| failed(&device, error))? else {
        return Err(Failure::Refused(format!(
            "slot {other} has no system in it: install a bundle"
        )));
    };
    if !environment.is_ok(other) || !environment.is_proven(other) {
        return Err(Failure::Refused(format!(
            "version {} in slot {other} has not proven itself, or was found bad: install a bundle of the version that you want",
            seal.version
        )));
    }
    environment.choose(other);
    blocks
        .write(&environment)
        .map_err(|error| failed(blocks.path(), error))?;
    let mut record = record(place);
    record.last = Some(event("rolled_back", &seal.version, Vec::new()));
    save(place, &record)?;
    print(
        as_json,
        &json!({ "slot": other, "version": seal.version, "reboot": reboot }),
        |_| {
            let then = if reboot {
                "now"
            } else {
                "with the next start: `systemctl reboot`"
            };
            format!(
                "version {} in slot {other} is booted {then}\n",
                seal.version
            )
        },
    )?;
    if reboot { restart() } else { Ok(()) }
}

/// Looks for as long as it takes, up to the deadline.
fn prove(place: &Place, seconds: u64, decide: bool, as_json: bool) -> Result<ExitCode, Failure> {
    let boot = place.boot();
    if decide {
        let boot = boot?;
        if boot.how != How::Trial {
            if is_good_at_once(boot) {
                mark_good(place, &[])?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    let before: Option<Findings> = place::read(&place.kept("baseline.json"));
    let excused = match (&before, decide) {
        (Some(before), true) => before.excuses(),
        _ => Vec::new(),
    };
    let began = Instant::now();
    let mut proof = Proof::new(excused.clone(), seconds.saturating_mul(1_000), STEADY_MS);
    let (verdict, findings) = loop {
        let findings = checks::look(&place.configuration, before.as_ref().filter(|_| decide));
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match proof.look(now, &findings) {
            Verdict::Wait => thread::sleep(PAUSE),
            verdict => break (verdict, findings),
        }
    };
    let excused: Vec<_> = excused
        .iter()
        .map(|check| check.name().to_owned())
        .collect();
    let failures: Vec<_> = match &verdict {
        Verdict::Failed(failures) => failures
            .iter()
            .map(|(check, why)| format!("{}: {why}", check.name()))
            .collect(),
        _ => Vec::new(),
    };
    if decide {
        match failures.is_empty() {
            true => mark_good(
                place,
                &excused
                    .iter()
                    .map(|name| {
                        format!("not asked for, since it failed before the update, too: {name}")
                    })
                    .collect::<Vec<_>>(),
            )?,
            false => fall_back(place, failures.clone())?,
        }
    }
    let is_proven = failures.is_empty();
    let shown = json!({ "proven": is_proven, "checks": findings.outcomes, "failures": failures, "excused": excused });
    print(as_json, &shown, |_| report(&findings, is_proven))?;
    Ok(ExitCode::from(u8::from(!is_proven)))
}

fn report(findings: &Findings, is_proven: bool) -> String {
    let line = |check: &Check| {
        let said = match findings.outcomes.get(check) {
            Some(Outcome::Passed) => "passed".to_owned(),
            Some(Outcome::Failed(why)) => format!("FAILED: {why}"),
            Some(Outcome::Absent(why)) => format!("nothing to check: {why}"),
            None => "not looked at".to_owned(),
        };
        format!("{:<10} {said}\n", check.name())
    };
    let lines: String = Check::ALL.iter().map(line).collect();
    lines
        + if is_proven {
            "This system proves itself.\n"
        } else {
            "This system would not prove itself.\n"
        }
}

fn mark_good(place: &Place, notes: &[String]) -> Result<(), Failure> {
    let boot = place.boot()?;
    only_root()?;
    let (blocks, mut environment) = environment(place, boot.slot)?;
    let was_proven = environment.is_proven(boot.slot);
    environment.good(boot.slot);
    if !was_proven {
        environment.prefer(boot.slot);
    }
    blocks
        .write(&environment)
        .map_err(|error| failed(blocks.path(), error))?;
    if !was_proven {
        let mut record = record(place);
        record.alarms.clear();
        record.last = Some(event("proven", &place.version(), notes.to_vec()));
        save(place, &record)?;
    }
    Ok(())
}

/// The system on trial is bad: the other slot, now.
fn fall_back(place: &Place, notes: Vec<String>) -> Result<(), Failure> {
    let boot = place.boot()?;
    let (blocks, mut environment) = environment(place, boot.slot)?;
    for note in &notes {
        // systemd takes <2> for the level of an alarm.
        eprintln!("<2>tandemctl: not proven: {note}");
    }
    let mut record = record(place);
    if !environment.is_ok(boot.slot.other()) {
        record.alarm(
            now(),
            "slot_failed",
            format!(
                "this version did not prove itself, and there is no other to fall back to: {}",
                notes.join("; ")
            ),
        );
        return save(place, &record);
    }
    environment.bad(boot.slot);
    blocks
        .write(&environment)
        .map_err(|error| failed(blocks.path(), error))?;
    fell_back(&mut record, now(), &place.version(), notes);
    save(place, &record)?;
    restart()
}

fn expire(place: &Place) -> Result<(), Failure> {
    let boot = place.boot()?;
    let (_, environment) = environment(place, boot.slot)?;
    if boot.how == How::Trial && !environment.is_proven(boot.slot) {
        fall_back(
            place,
            vec!["its time is over, and nobody has said how it does".into()],
        )?;
    }
    Ok(())
}

/// Before the planes start.
fn arrive(place: &Place) -> Result<(), Failure> {
    let boot = place.boot()?;
    if boot.how == How::Emergency {
        return Ok(());
    }
    if transfer::finish(&place.root)? {
        eprintln!("tandemctl: an import that was broken off is finished");
    }
    let (blocks, mut environment) = environment(place, boot.slot)?;
    let is_lost = matches!(blocks.read(), Ok(None));
    let mut record = record(place);
    let notes: Vec<_> = Slot::ALL
        .into_iter()
        .map(|slot| {
            (
                slot,
                place.at(&format!("/boot/efi/EFI/tandem/corrupt-{slot}")),
            )
        })
        .collect();
    let corrupt: Vec<_> = notes
        .iter()
        .filter(|(_, note)| note.exists())
        .map(|(slot, _)| *slot)
        .collect();
    arrived(boot, now(), &corrupt, &mut environment, &mut record);
    found_data(&place.data_state(), now(), &mut record);
    if is_lost {
        record.alarm(
            now(),
            "environment",
            "what GRUB knew of the slots could not be read, nor its copy, and was made anew: the disk may be failing (`smartctl -a`); look whether `tandemctl update status` says what you expect".into(),
        );
    }
    // In any case: it may have been broken, and the copy has to follow what GRUB wrote.
    blocks
        .write(&environment)
        .map_err(|error| failed(blocks.path(), error))?;
    for (_, note) in notes.iter().filter(|(slot, _)| corrupt.contains(slot)) {
        fs::remove_file(note).map_err(|error| failed(note, error))?;
    }
    let version = place.version();
    match record.writer.clone() {
        Some(writer) if writer != version => {
            let notes = keep::put_back(place, &version, now())?;
            for note in &notes {
                eprintln!("<2>tandemctl: {note}");
            }
            let falls = record
                .last
                .as_ref()
                .is_some_and(|event| event.what == "fell_back" || event.what == "rolled_back");
            if let Some(event) = &mut record.last {
                event.notes.extend(notes);
            }
            if !falls && let Err(error) = keep::keep(place, &writer) {
                record.alarm(
                    now(),
                    "no_copy",
                    format!("configuration and state of version {writer} were not kept: {error}"),
                );
            }
        }
        _ => {}
    }
    record.writer = Some(version);
    for alarm in &record.alarms {
        eprintln!("<2>tandemctl: alarm {}: {}", alarm.kind, alarm.text);
    }
    save(place, &record)
}

/// GRUB's environment; where it is broken, what this boot makes likely.
fn environment(
    place: &Place,
    running: Slot,
) -> Result<(environment::Blocks, Environment), Failure> {
    let blocks = place.blocks();
    let found = blocks
        .read()
        .map_err(|error| failed(blocks.path(), error))?;
    let environment = found.unwrap_or_else(|| Environment::of_a_new_machine(running));
    Ok((blocks, environment))
}

fn record(place: &Place) -> Record {
    place::read(&place.kept("record.json")).unwrap_or_default()
}

fn save(place: &Place, record: &Record) -> Result<(), Failure> {
    place::write(&place.kept("record.json"), record)?;
    if let Err(why) = alarms::publish(place, record) {
        eprintln!("<3>tandemctl: `tandemctl alarms` does not know of the update's alarms: {why}");
    }
    Ok(())
}

fn event(what: &str, version: &str, notes: Vec<String>) -> Event {
    Event {
        time: now(),
        what: what.into(),
        version: version.into(),
        notes,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn only_root() -> Result<(), Failure> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(Failure::Refused(
            "this needs root: `sudo tandemctl update ...`".into(),
        )),
    }
}

fn restart() -> Result<(), Failure> {
    write_out("")?;
    let asked = Program::new("systemctl").arg("reboot").status();
    if asked.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let forced = Program::new("systemctl")
        .args(["--force", "reboot"])
        .status();
    match forced {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::Refused(
            "the machine does not start anew by itself: `reboot --force`".into(),
        )),
    }
}
