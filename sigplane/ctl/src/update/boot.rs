//! What a boot means: whether something fell back, and who is to be told. Pure.

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::place::{Boot, How};
use super::slot::Slot;

/// What became of the last attempt to change the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    /// Unix seconds.
    pub(super) time: u64,
    /// installed, proven, fell_back, rolled_back
    pub(super) what: String,
    /// The version that it was about.
    pub(super) version: String,
    /// What there is to say.
    pub(super) notes: Vec<String>,
}

/// Something that somebody has to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alarm {
    /// slot_failed, slot_corrupt, on_trial, install_failed, hardware_plan, last_resort, environment, no_copy, data_repaired, data_lost
    pub(super) kind: String,
    /// What it is about: the system as a whole, or `slot A`.
    #[serde(default = "system")]
    pub(super) subject: String,
    /// What is wrong, and what to do.
    pub(super) text: String,
    /// Unix seconds.
    #[serde(default)]
    pub(super) since: u64,
}

fn system() -> String {
    "system".into()
}

/// What is kept between boots, besides GRUB's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The version that wrote configuration and state last.
    pub(super) writer: Option<String>,
    /// The last event.
    pub(super) last: Option<Event>,
    /// Until something else is installed or proven.
    pub(super) alarms: Vec<Alarm>,
}

impl Record {
    /// An alarm of the system, once a kind.
    pub(super) fn alarm(&mut self, time: u64, kind: &str, text: String) {
        self.alarm_of(system(), time, kind, text);
    }

    /// An alarm of a part of the system, once a kind and part.
    fn alarm_of(&mut self, subject: String, time: u64, kind: &str, text: String) {
        let is_same = |alarm: &Alarm| alarm.kind == kind && alarm.subject == subject;
        let known = self.alarms.iter().find(|alarm| is_same(alarm));
        let since = known.map_or(time, |alarm| alarm.since);
        self.alarms.retain(|alarm| !is_same(alarm));
        self.alarms.push(Alarm {
            kind: kind.into(),
            subject,
            text,
            since,
        });
    }

    /// Alarms that do not stand any more.
    pub(super) fn over(&mut self, kinds: &[&str]) {
        self.alarms
            .retain(|alarm| !kinds.contains(&alarm.kind.as_str()));
    }
}

/// Looks at a boot. `corrupt` are slots that the initramfs found changed. Returns whether the environment is to be written.
pub(super) fn arrived(
    boot: Boot,
    time: u64,
    corrupt: &[Slot],
    environment: &mut Environment,
    record: &mut Record,
) -> bool {
    let before = environment.clone();
    for slot in corrupt {
        environment.bad(*slot);
        record.alarm_of(
            format!("slot {slot}"),
            time,
            "slot_corrupt",
            format!("what is in slot {slot} is not what was installed there: the disk may be failing (`smartctl -a`); install a bundle to write the slot anew"),
        );
    }
    let other = boot.slot.other();
    // It was tried, and we are here: it never came so far as to say so itself.
    let fell = environment.order().first() == Some(&other)
        && !environment.is_proven(other)
        && environment.tries(other) > 0
        && boot.how != How::Manual;
    if fell {
        environment.bad(other);
        let version = match &record.last {
            Some(event) if event.what == "installed" => event.version.clone(),
            _ => "unknown".into(),
        };
        fell_back(
            record,
            time,
            &version,
            vec![format!(
                "the system in slot {other} was started and never got as far as to prove itself: a panic, a hang, or no mains"
            )],
        );
    }
    if boot.how != How::Trial {
        record.over(&["on_trial"]);
    }
    match boot.how {
        How::Normal => record.over(&["hardware_plan", "last_resort"]),
        How::Trial if !environment.is_proven(boot.slot) => record.alarm(
            time,
            "on_trial",
            format!("the system in slot {} is on trial: it is marked good when it has proven itself, else the machine goes back to slot {other} by itself; what it is looked at for: `tandemctl update prove`", boot.slot),
        ),
        How::Plain => record.alarm(
            time,
            "hardware_plan",
            "two starts with the hardware plan failed, so this one is without it (no huge pages, no isolated cores): look at `tandemctl hw plan`, apply it anew and start the machine".into(),
        ),
        How::Last => record.alarm(
            time,
            "last_resort",
            "no slot is good, so the last good one was started: install a bundle".into(),
        ),
        _ => {}
    }
    *environment != before
}

/// What the initramfs said of the data partition: `ok`, `repaired`, or `lost`.
pub(super) fn found_data(state: &str, time: u64, record: &mut Record) {
    record.over(&["data_lost", "data_repaired"]);
    match state {
        "lost" => record.alarm(
            time,
            "data_lost",
            "the data partition cannot be used: configuration, calls and logs are in memory, and gone with the next start; look at the disk (`smartctl -a`, `journalctl -b -k`), then `tandemctl appliance factory-reset` makes the partition anew, and `tandemctl appliance import` brings an export back".into(),
        ),
        "repaired" => record.alarm(
            time,
            "data_repaired",
            "the data partition was damaged and has been repaired at this start: look at /run/tandem/fsck.log, at /data/lost+found, and whether the disk is failing (`smartctl -a`)".into(),
        ),
        _ => {}
    }
}

/// The system that was on trial is bad, and the other one is to go on.
pub(super) fn fell_back(record: &mut Record, time: u64, version: &str, notes: Vec<String>) {
    let text = format!(
        "version {version} did not prove itself, and the version before runs again (install a bundle of a version that does, or leave it at that by `tandemctl update mark-good`): {}",
        notes.join("; ")
    );
    record.over(&["on_trial"]);
    record.alarm(time, "slot_failed", text);
    record.last = Some(Event {
        time,
        what: "fell_back".into(),
        version: version.into(),
        notes,
    });
}

/// Whether a boot is to be marked good as soon as the system is up, without a proof.
pub(super) fn is_good_at_once(boot: Boot) -> bool {
    match boot.how {
        How::Normal | How::Again | How::Plain | How::Last => true,
        How::Trial | How::Manual | How::Emergency => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(slot: Slot, how: How) -> Boot {
        Boot { slot, how }
    }

    fn installed(environment: &mut Environment, running: Slot) -> Record {
        environment.prepare(running);
        // As RAUC does.
        let other = running.other();
        environment.good(other);
        let last = Event {
            time: 1,
            what: "installed".into(),
            version: "0.2.0".into(),
            notes: Vec::new(),
        };
        Record {
            last: Some(last),
            ..Record::default()
        }
    }

    fn tried(slot: Slot) -> Environment {
        let block = format!(
            "# GRUB Environment Block\nORDER={slot} {other}\n{slot}_OK=1\n{slot}_TRY=1\n{slot}_PROVEN=0\n{other}_OK=1\n{other}_TRY=1\n{other}_PROVEN=1\nLAST_GOOD={other}\n",
            other = slot.other()
        );
        let mut block = block.into_bytes();
        block.resize(1024, b'#');
        Environment::parse(&block).unwrap()
    }

    #[test]
    fn a_normal_boot_changes_nothing() {
        let mut environment = Environment::of_a_new_machine(Slot::A);
        let mut record = Record::default();
        assert!(!arrived(
            boot(Slot::A, How::Normal),
            9,
            &[],
            &mut environment,
            &mut record
        ));
        assert_eq!(record, Record::default());
    }

    #[test]
    fn who_was_tried_and_is_not_here_fell() {
        let mut environment = tried(Slot::B);
        let mut record = installed(&mut Environment::of_a_new_machine(Slot::A), Slot::A);
        assert!(arrived(
            boot(Slot::A, How::Normal),
            9,
            &[],
            &mut environment,
            &mut record
        ));
        assert!(!environment.is_ok(Slot::B));
        assert_eq!(environment.order(), [Slot::A, Slot::B]);
        let last = record.last.unwrap();
        assert_eq!(
            (last.what.as_str(), last.version.as_str()),
            ("fell_back", "0.2.0")
        );
        assert_eq!(record.alarms[0].kind, "slot_failed");
    }

    #[test]
    fn the_trial_itself_is_no_fall() {
        let mut environment = tried(Slot::B);
        let mut record = Record::default();
        assert!(!arrived(
            boot(Slot::B, How::Trial),
            9,
            &[],
            &mut environment,
            &mut record
        ));
        // It is told of, until it is proven or over.
        assert_eq!(
            (record.alarms[0].kind.as_str(), record.alarms[0].since),
            ("on_trial", 9)
        );
        arrived(
            boot(Slot::A, How::Normal),
            10,
            &[],
            &mut environment,
            &mut record,
        );
        assert_eq!(record.alarms.len(), 1);
        assert_eq!(record.alarms[0].kind, "slot_failed");
    }

    #[test]
    fn a_corrupt_slot_is_bad_and_told_of() {
        let mut environment = Environment::of_a_new_machine(Slot::A);
        environment.good(Slot::B);
        environment.good(Slot::A);
        let mut record = Record::default();
        assert!(arrived(
            boot(Slot::B, How::Normal),
            9,
            &[Slot::A],
            &mut environment,
            &mut record
        ));
        assert!(!environment.is_ok(Slot::A) && environment.is_ok(Slot::B));
        arrived(
            boot(Slot::B, How::Last),
            10,
            &[Slot::A, Slot::B],
            &mut environment,
            &mut record,
        );
        let corrupt = record.alarms.iter().filter(|a| a.kind == "slot_corrupt");
        let subjects: Vec<_> = corrupt.map(|a| (a.subject.as_str(), a.since)).collect();
        assert_eq!(subjects, [("slot A", 9), ("slot B", 10)]);
    }

    #[test]
    fn a_damaged_data_partition_is_told_of_until_a_start_finds_it_whole() {
        let mut record = Record::default();
        let mut kinds = |state, time| {
            found_data(state, time, &mut record);
            let kinds = record.alarms.iter().map(|alarm| alarm.kind.clone());
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(kinds("repaired", 1), ["data_repaired"]);
        assert_eq!(kinds("lost", 2), ["data_lost"]);
        assert!(kinds("ok", 3).is_empty());
        // A system whose initramfs does not say.
        assert!(kinds("", 4).is_empty());
    }

    #[test]
    fn the_plan_that_was_left_out_is_told_of() {
        let mut environment = Environment::of_a_new_machine(Slot::A);
        let mut record = Record::default();
        arrived(
            boot(Slot::A, How::Plain),
            9,
            &[],
            &mut environment,
            &mut record,
        );
        assert_eq!(record.alarms[0].kind, "hardware_plan");
        assert!(
            is_good_at_once(boot(Slot::A, How::Plain))
                && !is_good_at_once(boot(Slot::B, How::Trial))
        );
        // Each start without it is the same alarm; one with it ends the alarm.
        arrived(
            boot(Slot::A, How::Plain),
            20,
            &[],
            &mut environment,
            &mut record,
        );
        assert_eq!((record.alarms.len(), record.alarms[0].since), (1, 9));
        arrived(
            boot(Slot::A, How::Normal),
            30,
            &[],
            &mut environment,
            &mut record,
        );
        assert!(record.alarms.is_empty());
    }
}
