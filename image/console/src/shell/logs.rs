//! The logs: the journal, or files.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::Hub;
use super::client::plain;
use crate::feed::{Feed, Level, LogLine};
use crate::text::clean;

/// Lines of the past.
const PAST: &str = "2000";
/// The end of a file that is read of the past.
const TAIL: u64 = 256 * 1024;
/// How soon a new line of a file is seen.
const GLANCE: Duration = Duration::from_millis(200);
/// Until the journal is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest line.
const LONGEST: u64 = 64 * 1024;

pub(super) fn start(hub: &Hub) {
    if hub.options.log.is_empty() {
        let hub = hub.clone();
        thread::spawn(move || {
            loop {
                let why = journal(&hub);
                if !hub.feed(Feed::LogSource(Err(why))) {
                    return;
                }
                thread::sleep(AGAIN);
            }
        });
        return;
    }
    for path in &hub.options.log {
        let (hub, path) = (hub.clone(), path.clone());
        thread::spawn(move || follow(&hub, &path));
    }
    let names: Vec<String> = hub
        .options
        .log
        .iter()
        .map(|p| {
            p.file_stem()
                .map_or(String::new(), |name| name.to_string_lossy().into_owned())
        })
        .collect();
    hub.feed(Feed::LogSource(Ok(names.join(" "))));
}

/// Kills it when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended by itself if it cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Follows the journal until that ends: why.
fn journal(hub: &Hub) -> String {
    let mut command = Command::new("journalctl");
    command
        .args(["--follow", "--output=json", "--lines", PAST])
        .args(["--unit=tandem-*", "--unit=ssh", "--unit=chrony"])
        .arg("--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => Killed(child),
        Err(error) => return format!("journalctl: {}", plain(&error)),
    };
    let Some(out) = child.0.stdout.take() else {
        return "journalctl says nothing".to_owned();
    };
    hub.feed(Feed::LogSource(Ok("the journal".to_owned())));
    let mut reader = BufReader::new(out);
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        match (&mut reader).take(LONGEST).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return "journalctl ended".to_owned(),
            Ok(_) => lines.extend(entry(&bytes)),
        }
        // What is there already is shown at once.
        if (reader.buffer().is_empty() || lines.len() >= 500)
            && !hub.feed(Feed::Log(std::mem::take(&mut lines)))
        {
            return String::new();
        }
    }
}

/// A line of `journalctl --output=json`.
fn entry(bytes: &[u8]) -> Option<LogLine> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = match value.get("MESSAGE")? {
        Value::String(text) => text.clone(),
        // What is not UTF-8 is a list of bytes.
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes
                .iter()
                .filter_map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok()))
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let micros = field("__REALTIME_TIMESTAMP").and_then(|t| t.parse::<u64>().ok());
    let unit = field("_SYSTEMD_UNIT")
        .map(|unit| unit.trim_end_matches(".service"))
        .or_else(|| field("SYSLOG_IDENTIFIER"))
        .unwrap_or_default();
    let level = match field("PRIORITY") {
        Some("0" | "1" | "2" | "3") => Level::Error,
        Some("4") => Level::Warning,
        Some("7") => Level::Debug,
        _ => Level::Info,
    };
    let mut line = line(unit, &text);
    line.time_ms = micros.unwrap_or(0) / 1_000;
    line.level = line.level.max(level);
    if level == Level::Debug {
        line.level = Level::Debug;
    }
    Some(line)
}

/// Follows a file, also one that is yet to come or begins anew.
fn follow(hub: &Hub, path: &Path) {
    let unit = path
        .file_stem()
        .map_or(String::new(), |s| s.to_string_lossy().into_owned());
    let mut place = None;
    let mut rest = Vec::new();
    loop {
        let read = more(path, &mut place);
        rest.extend(read);
        let mut lines = Vec::new();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let bytes: Vec<u8> = rest.drain(..=end).collect();
            let text = String::from_utf8_lossy(&bytes);
            lines.push(line(&unit, text.trim_end_matches(['\r', '\n'])));
        }
        rest.truncate(LONGEST as usize);
        if !lines.is_empty() && !hub.feed(Feed::Log(lines)) {
            return;
        }
        thread::sleep(GLANCE);
    }
}

/// What a file has more than at the place before.
fn more(path: &Path, place: &mut Option<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(mut file) = File::open(path) else {
        return bytes;
    };
    let length = file.metadata().map_or(0, |m| m.len());
    let from = match *place {
        Some(place) if place <= length => place,
        // It begins anew, or is new to us.
        _ => length.saturating_sub(TAIL),
    };
    if file.seek(SeekFrom::Start(from)).is_ok() {
        // What cannot be read now is read the next time.
        let _ = file.take(TAIL).read_to_end(&mut bytes);
    }
    *place = Some(from + bytes.len() as u64);
    bytes
}

/// A line as our daemons write it: `2026-11-30T12:00:00.123Z  INFO target: text`, with or without colours.
fn line(unit: &str, text: &str) -> LogLine {
    let plain = without_escapes(text);
    let mut words = plain.split_whitespace();
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let of = |word: &str| match word {
        "ERROR" => Some(Level::Error),
        "WARN" => Some(Level::Warning),
        "INFO" => Some(Level::Info),
        "DEBUG" | "TRACE" => Some(Level::Debug),
        _ => None,
    };
    let (time_ms, level, skip) = match (time(first), of(first), of(second)) {
        (Some(ms), _, Some(level)) => (ms, level, 2),
        (_, Some(level), _) => (0, level, 1),
        _ => (0, Level::Info, 0),
    };
    let mut rest = plain.as_str();
    for _ in 0..skip {
        rest = rest.trim_start();
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
    }
    LogLine {
        time_ms,
        unit: clean(unit),
        level,
        text: clean(rest.trim_start()),
    }
}

/// The colours of a line that was meant for a terminal taken out; all other escape sequences stay, to be shown as what they are.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        let end = behind.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end.map(|end| behind.split_at(end)) {
            Some((_, after)) if after.starts_with('m') => {
                rest = after.strip_prefix('m').unwrap_or(after);
            }
            _ => {
                out.push_str("\u{1b}[");
                rest = behind;
            }
        }
    }
    out + rest
}

/// Unix milliseconds of `2026-11-30T12:00:00.123456Z`.
fn time(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, clock) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Days since the epoch (H. Hinnant's civil calendar).
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let month_index = (month + 9) % 12;
    let of_year = (153 * month_index + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = days.checked_sub(719_468)?;
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(seconds * 1_000 + millis.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::date_time;

    #[test]
    fn our_own_lines_have_time_and_level() {
        let read = line(
            "tandem-sigplane",
            "\x1b[2m2026-11-30T12:03:10.123456Z\x1b[0m \x1b[33m WARN\x1b[0m alarm of the dataplane: \x1b[2Jgone",
        );
        assert_eq!(date_time(read.time_ms), "2026-11-30 12:03:10");
        assert_eq!(read.time_ms % 1_000, 123);
        assert_eq!(read.level, Level::Warning);
        assert_eq!(read.text, "alarm of the dataplane: \\e[2Jgone");
        let other = line("x", "EAL: Detected CPU lcores: 2");
        assert_eq!((other.time_ms, other.level), (0, Level::Info));
        assert_eq!(other.text, "EAL: Detected CPU lcores: 2");
    }

    #[test]
    fn lines_of_the_journal_are_read() {
        let json = br#"{"__REALTIME_TIMESTAMP":"1796040190123456","PRIORITY":"6","_SYSTEMD_UNIT":"tandem-sigplane.service","MESSAGE":" INFO ready"}"#;
        let read = entry(json).unwrap();
        assert_eq!(
            (read.unit.as_str(), read.text.as_str()),
            ("tandem-sigplane", "ready")
        );
        assert_eq!(read.time_ms, 1_796_040_190_123);
        let bytes = br#"{"MESSAGE":[27,91,50,74],"PRIORITY":"3"}"#;
        let read = entry(bytes).unwrap();
        assert_eq!((read.level, read.text.as_str()), (Level::Error, "\\e[2J"));
        assert!(entry(b"{").is_none());
    }

    #[test]
    fn a_file_is_followed_when_it_begins_anew() {
        let path = std::env::temp_dir().join(format!("tandem-console-{}", std::process::id()));
        std::fs::write(&path, "one\n").unwrap();
        let mut place = None;
        assert_eq!(more(&path, &mut place), b"one\n");
        assert_eq!(more(&path, &mut place), b"");
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(more(&path, &mut place), b"x\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(more(&path, &mut place), b"");
    }

    proptest! {
        #[test]
        fn any_line_can_be_read(text in any::<String>()) {
            let read = line("x", &text);
            prop_assert!(read.text.chars().all(crate::text::is_plain));
        }
    }
}
