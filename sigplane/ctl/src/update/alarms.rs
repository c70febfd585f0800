//! The alarms of updates, for whoever asks for all alarms: the signaling plane, and `tandemctl alarms` without it.

use std::os::unix::fs::PermissionsExt as _;
use std::{fs, io};

use tandem_admin::UPDATE_ALARMS;

use super::boot::{Alarm, Record};
use super::place::{Place, put};

/// Writes those of a record where everybody can read them. They last until the next start of the machine, which writes them anew.
pub(super) fn publish(place: &Place, record: &Record) -> io::Result<()> {
    let shown: Vec<_> = record.alarms.iter().map(shown).collect();
    let path = place.at("/run/tandem").join(UPDATE_ALARMS);
    put(&path, &serde_json::to_vec(&shown)?)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
}

fn shown(alarm: &Alarm) -> tandem_admin::Alarm {
    tandem_admin::Alarm {
        kind: alarm.kind.clone(),
        subject: alarm.subject.clone(),
        text: alarm.text.clone(),
        since_ms: alarm.since.saturating_mul(1_000),
    }
}
