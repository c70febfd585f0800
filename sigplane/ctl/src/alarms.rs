//! `tandemctl alarms`: what is wrong now, also when nobody is there who could be asked.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tandem_admin::{Alarm, UPDATE_ALARMS, method, update_alarms};

use crate::client::{Client, Failure};
use crate::show::print;
use crate::table::table;
use crate::time::rfc3339;

/// Asks the signaling plane. Where this machine's does not run, that is an alarm itself, beside those that updates left in `run_dir`.
pub(crate) fn run(
    connected: Result<Client, Failure>,
    run_dir: &Path,
    json: bool,
) -> Result<ExitCode, Failure> {
    let asked = connected.and_then(|mut client| client.call(method::ALARMS, Value::Null));
    let (alarms, code) = match asked {
        Ok(alarms) => (alarms, 0),
        Err(failure @ (Failure::NotRunning { .. } | Failure::Silent(_))) => {
            (without(&failure, run_dir), failure.exit_code())
        }
        Err(failure) => return Err(failure),
    };
    print(json, &alarms, |alarms| text(alarms))?;
    Ok(ExitCode::from(code))
}

fn without(failure: &Failure, run_dir: &Path) -> Vec<Alarm> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let mut alarms = vec![Alarm {
        kind: "signaling_down".into(),
        subject: "signaling plane".into(),
        text: format!("{failure}; what is wrong with the dataplane is not known without it"),
        since_ms: now_ms,
    }];
    let read = std::fs::read(run_dir.join(UPDATE_ALARMS));
    alarms.extend(update_alarms(read, now_ms));
    alarms
}

fn text(alarms: &[Alarm]) -> String {
    if alarms.is_empty() {
        return "no alarms\n".into();
    }
    let since = |ms: u64| rfc3339(i64::try_from(ms).unwrap_or(i64::MAX));
    let row = |a: &Alarm| {
        let (kind, subject) = (a.kind.clone(), a.subject.clone());
        vec![since(a.since_ms), kind, subject, a.text.clone()]
    };
    let rows: Vec<_> = alarms.iter().map(row).collect();
    table(&["since", "kind", "subject", "what"], &rows)
}
