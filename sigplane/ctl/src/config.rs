//! `tandemctl config`: the configuration of the running appliance, looked at and changed.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use tandem_admin::{
    CONFIRM_WITHIN, ConfigApplied, ConfigApply, ConfigChange, ConfigChecked, ConfigDiff,
    ConfigRevision, ConfigRollback, ConfigShow, ConfigStatus, ConfigText, ConfigWhich,
    config_method as method,
};

use crate::check;
use crate::client::{Client, Failure};
use crate::show::{ask, print, write_out};
use crate::table::{printable, table};

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Digits of a digest that people read.
const SHORT: usize = 12;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Name every mistake of a configuration file with its line and remedy; what only the appliance's machine can tell, too, where
    /// it runs
    Check {
        /// The file
        file: PathBuf,
    },
    /// What would change: from the configuration that runs to a file
    Diff {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Change the running configuration, at once or not at all. It goes back by itself unless it is confirmed
    Apply {
        /// The file; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Keep what was applied: the file has it from now on
    Confirm {
        /// The digest of what was applied, or its first 12 digits
        digest: Option<String>,
    },
    /// Go back now to what was before
    Revert {
        /// The digest of what was applied, or its first 12 digits
        digest: Option<String>,
    },
    /// Apply a revision of the history
    Rollback {
        /// Its number
        revision: u64,
        #[command(flatten)]
        how: How,
    },
    /// What runs, since when, and what is to be confirmed
    Status,
    /// The configurations that were in force
    History,
    /// The text of the configuration that runs; passwords are masked
    Show {
        /// A revision of the history instead
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
}

/// How something is applied.
#[derive(Args)]
pub(crate) struct How {
    /// Go back after so many seconds unless it is confirmed; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = CONFIRM_WITHIN)]
    confirm_within: u32,
    /// Only if this runs: a digest, or its first 12 digits
    #[arg(long, value_name = "DIGEST")]
    expected: Option<String>,
    /// For the history
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Where the daemon is, if it has to be asked.
pub(crate) type Connect<'a> = &'a dyn Fn(Option<&Path>) -> Result<Client, Failure>;

/// Does it.
pub(crate) fn run(command: Command, json: bool, connect: Connect<'_>) -> Result<ExitCode, Failure> {
    if let Command::Check { file } = &command {
        return check_file(file, json, connect);
    }
    let mut client = connect(None)?;
    client.wait_up_to(PATIENCE)?;
    let client = &mut client;
    match command {
        Command::Check { .. } => Ok(()),
        Command::Diff { file } => {
            let found = differences(client, &read(&file)?)?;
            print(json, &found, |found| changes(&found.changes))
        }
        Command::Apply { file, how } => apply(client, json, read(&file)?, how),
        Command::Confirm { digest } => {
            let status = which(client, method::CONFIG_CONFIRM, digest)?;
            print(json, &status, |s| format!("Confirmed: {}.\n", runs(s)))
        }
        Command::Revert { digest } => {
            let status = which(client, method::CONFIG_REVERT, digest)?;
            print(json, &status, |s| format!("Back: {}.\n", runs(s)))
        }
        Command::Rollback { revision, how } => rollback(client, json, revision, how),
        Command::Status => {
            let status: ConfigStatus = ask(client, method::CONFIG_STATUS)?;
            print(json, &status, status_text)
        }
        Command::History => {
            let history: Vec<ConfigRevision> = ask(client, method::CONFIG_HISTORY)?;
            print(json, &history, |history| history_text(history))
        }
        Command::Show { revision } => {
            let params = value(&ConfigShow { revision })?;
            let text: ConfigText = client.call(method::CONFIG_SHOW, params)?;
            print(json, &text, |text| text.text.clone())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// By ourselves, and by the daemon, if one runs here with that file's socket.
fn check_file(file: &Path, as_json: bool, connect: Connect<'_>) -> Result<ExitCode, Failure> {
    let Ok(mut client) = connect(Some(file)) else {
        return check::check(file, as_json);
    };
    let Ok(text) = read(file) else {
        return check::check(file, as_json);
    };
    let checked: Result<ConfigChecked, _> =
        client.call(method::CONFIG_CHECK, value(&ConfigText { text })?);
    // An older daemon, or one that has no time: what can be said without it is said.
    let Some(checked) = checked.ok().filter(|checked| !checked.ok) else {
        return check::check(file, as_json);
    };
    if as_json {
        let said = json!({ "ok": false, "mistakes": checked.mistakes });
        write_out(&format!("{said}\n"))?;
    } else {
        for mistake in &checked.mistakes {
            let key = match mistake.key.as_str() {
                "" => String::new(),
                key => format!("`{key}`: "),
            };
            let (line, problem, remedy) = (mistake.line, &mistake.problem, &mistake.remedy);
            let file = file.display();
            write_out(&format!("{file}: line {line}: {key}{problem}; {remedy}\n"))?;
        }
        eprintln!("tandemctl: {}", check::count(checked.mistakes.len()));
    }
    Ok(ExitCode::from(1))
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Failure::File {
        path: file.to_path_buf(),
        error,
    })
}

fn value(params: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(params).map_err(|e| Failure::Protocol(e.to_string()))
}

fn differences(client: &mut Client, text: &str) -> Result<ConfigDiff, Failure> {
    let text = text.to_owned();
    client.call(method::CONFIG_DIFF, value(&ConfigText { text })?)
}

fn which(client: &mut Client, name: &str, digest: Option<String>) -> Result<ConfigStatus, Failure> {
    client.call(name, value(&ConfigWhich { digest })?)
}

/// What is shown is what is applied: if somebody changes it in between, nothing happens.
fn apply(client: &mut Client, json: bool, text: String, how: How) -> Result<(), Failure> {
    let found = differences(client, &text)?;
    if !json {
        write_out(&changes(&found.changes))?;
    }
    if !agreed(&how, json)? {
        return Ok(());
    }
    let apply = ConfigApply {
        text,
        confirm_within: Some(how.confirm_within),
        expected: Some(how.expected.unwrap_or(found.running)),
        comment: how.comment,
    };
    let applied: ConfigApplied = client.call(method::CONFIG_APPLY, value(&apply)?)?;
    print(json, &applied, applied_text)
}

fn rollback(client: &mut Client, json: bool, revision: u64, how: How) -> Result<(), Failure> {
    if !agreed(&how, json)? {
        return Ok(());
    }
    let rollback = ConfigRollback {
        revision,
        confirm_within: Some(how.confirm_within),
        expected: how.expected,
        comment: how.comment,
    };
    let applied: ConfigApplied = client.call(method::CONFIG_ROLLBACK, value(&rollback)?)?;
    print(json, &applied, |applied| {
        format!("{}{}", changes(&applied.changes), applied_text(applied))
    })
}

/// Asks a person; a program knows what it does.
fn agreed(how: &How, json: bool) -> Result<bool, Failure> {
    if how.yes || json || !io::stdin().is_terminal() {
        return Ok(true);
    }
    write_out("Apply this? [y/N] ")?;
    io::stdout().flush().map_err(Failure::Output)?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(Failure::Output)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn changes(changes: &[ConfigChange]) -> String {
    if changes.is_empty() {
        return "No difference.\n".to_owned();
    }
    let mut text = String::new();
    for change in changes {
        let key = printable(&change.key);
        let value = |value: &Option<String>| value.as_deref().map(printable);
        let _ = match (value(&change.old), value(&change.new)) {
            (Some(old), Some(new)) => write!(text, "{key}: {old} -> {new}"),
            (None, Some(new)) => write!(text, "{key}: added, {new}"),
            (Some(old), None) => write!(text, "{key}: removed, was {old}"),
            (None, None) => write!(text, "{key}"),
        };
        if change.needs != "live" {
            let _ = write!(text, " (needs {})", change.needs);
        }
        text.push('\n');
    }
    text
}

fn applied_text(applied: &ConfigApplied) -> String {
    let digest = short(&applied.digest);
    let mut text = match applied.confirm_within {
        0 => format!("Applied, and kept: {digest}.\n"),
        seconds => format!(
            "Applied: {digest}. It goes back by itself in {seconds} s unless you say `tandemctl config confirm`.\n"
        ),
    };
    if applied.put_back {
        text += "Until then the file has what was before; the new one is in it again when it is confirmed.\n";
    }
    text
}

fn short(digest: &str) -> String {
    printable(digest.get(..SHORT).unwrap_or(digest))
}

fn runs(status: &ConfigStatus) -> String {
    let revision = match status.revision {
        Some(revision) => format!("revision {revision}, "),
        None => String::new(),
    };
    format!("{revision}{} runs", short(&status.digest))
}

fn status_text(status: &ConfigStatus) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let ago = |ms: u64| format!("{} s ago", now.saturating_sub(ms) / 1_000);
    let mut text = format!(
        "{}, since {} ({})\n",
        runs(status),
        ago(status.since_ms),
        printable(&status.who)
    );
    let file = printable(&status.file);
    text += &match status.file_has.as_str() {
        "same" => format!("{file} has it\n"),
        "base" => format!("{file} has what was before, until this is confirmed\n"),
        "unreadable" => format!("{file} cannot be read\n"),
        _ => format!("{file} has something else: somebody has changed it by hand\n"),
    };
    if let Some(pending) = &status.pending {
        let _ = writeln!(
            text,
            "To be confirmed: {} by {}, {} s left, else {} runs again",
            short(&pending.digest),
            printable(&pending.who),
            pending.seconds_left,
            short(&pending.base)
        );
    }
    if let Some(last) = &status.last {
        let note = match last.note.as_str() {
            "" => String::new(),
            note => format!(": {}", printable(note)),
        };
        let _ = writeln!(
            text,
            "Last: {} {} ({}, {}){note}",
            printable(&last.outcome),
            short(&last.digest),
            printable(&last.who),
            ago(last.time_ms)
        );
    }
    text
}

fn history_text(history: &[ConfigRevision]) -> String {
    let rows: Vec<Vec<String>> = history
        .iter()
        .map(|revision| {
            vec![
                revision.revision.to_string(),
                time(revision.time_ms),
                revision.who.clone(),
                revision.how.clone(),
                short(&revision.digest),
                revision.comment.clone(),
            ]
        })
        .collect();
    table(
        &[">revision", "time (UTC)", "who", "how", "digest", "comment"],
        &rows,
    )
}

/// Unix milliseconds as a date and a time of day (Howard Hinnant's days_from_civil, backwards).
fn time(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_399_000), "2000-02-28 23:59:59");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(time(1_798_761_599_999), "2026-12-31 23:59:59");
    }

    #[test]
    fn changes_are_lines_and_cannot_steer_a_terminal() {
        let change = |old: Option<&str>, new: Option<&str>, needs: &str| ConfigChange {
            key: "a.b".into(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
            needs: needs.into(),
        };
        assert_eq!(changes(&[]), "No difference.\n");
        let said = changes(&[
            change(Some("1"), Some("\u{1b}[2J"), "live"),
            change(None, Some("x"), "sigplane restart"),
            change(Some("y"), None, "live"),
        ]);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("a.b: 1 -> ") && !said.contains('\u{1b}'));
        assert_eq!(lines[1], "a.b: added, x (needs sigplane restart)");
        assert_eq!(lines[2], "a.b: removed, was y");
    }
}
