//! Services and slots, while they are shown; the load tests; the credentials of the first start.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::run;
use super::{Hub, program};
use crate::feed::{Feed, Got, LoadProfile, Service, Slots};
use crate::issue;

/// What is shown on the first start, from the root: there until somebody has logged in.
const CREDENTIALS: [&str; 2] = [
    "run/tandem/first-boot-credentials",
    "etc/issue.d/60-tandem.issue",
];
/// Our services, and those that we need.
const SERVICES: [&str; 8] = [
    "tandem-dataplane.service",
    "tandem-sigplane.service",
    "tandem-hardware.service",
    "ssh.service",
    "chrony.service",
    "nftables.service",
    "systemd-journald.service",
    "systemd-networkd.service",
];
/// How long another program may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one look to the next.
const EVERY: Duration = Duration::from_secs(5);

pub(super) fn start(hub: &Hub) {
    let hub = hub.clone();
    thread::spawn(move || {
        let mut system = None;
        let mut load = None;
        let mut credentials = None;
        let due = |last: &Option<Instant>| last.is_none_or(|at| at.elapsed() >= EVERY);
        loop {
            let mut files = CREDENTIALS.iter().map(|file| hub.options.root.join(file));
            let text = files.find_map(|file| std::fs::read_to_string(file).ok());
            let text = text.map(|text| issue::expand(&text, |letter, of| fact(&hub, letter, of)));
            if text != credentials {
                credentials.clone_from(&text);
                if !hub.feed(Feed::Credentials(text)) {
                    return;
                }
            }
            let wants = hub.wants();
            if wants.system && due(&system) {
                hub.feed(Feed::Services(services()));
                hub.feed(Feed::Slots(slots(&hub)));
                system = Some(Instant::now());
            }
            if wants.load && due(&load) {
                hub.feed(Feed::Profiles(profiles(&hub)));
                load = Some(Instant::now());
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
}

/// What an escape of an issue file stands for: names of the machine and its system. Times, users and addresses, which agetty
/// says as they are at that moment, are on other screens.
fn fact(hub: &Hub, letter: char, argument: Option<&str>) -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(hub.options.root.join(path)).ok();
    let line = |path: &str| read(path).map(|text| text.trim().to_owned());
    match letter {
        'n' => line("proc/sys/kernel/hostname"),
        's' => line("proc/sys/kernel/ostype"),
        'r' => line("proc/sys/kernel/osrelease"),
        'v' => line("proc/sys/kernel/version"),
        'm' => Some(std::env::consts::ARCH.to_owned()),
        'l' => {
            let tty = std::fs::read_link("/proc/self/fd/0").ok()?;
            Some(tty.strip_prefix("/dev").ok()?.display().to_string())
        }
        'S' => {
            let key = format!("{}=", argument.unwrap_or("PRETTY_NAME"));
            let release = read("etc/os-release")?;
            let value = release.lines().find_map(|line| line.strip_prefix(&key))?;
            Some(value.trim_matches('"').to_owned())
        }
        _ => None,
    }
}

fn services() -> Got<Vec<Service>> {
    if !std::path::Path::new("/run/systemd/system").exists() {
        return Err("not known: systemd does not run here".to_owned());
    }
    let mut command = Command::new("systemctl");
    command
        .args([
            "show",
            "--property=Id,LoadState,ActiveState,SubState,NRestarts",
        ])
        .args(SERVICES);
    let said = run(&mut command, PATIENCE)?;
    Ok(said.out.split("\n\n").filter_map(service).collect())
}

fn service(block: &str) -> Option<Service> {
    let value = |key: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .to_owned()
    };
    (!value("Id").is_empty() && value("LoadState") != "not-found").then(|| Service {
        name: value("Id").trim_end_matches(".service").to_owned(),
        state: format!("{} ({})", value("ActiveState"), value("SubState")),
        restarts: value("NRestarts"),
    })
}

fn slots(hub: &Hub) -> Got<Slots> {
    let mut command = Command::new(program(&hub.options, "tandemctl"));
    command.args(["--json", "update", "status"]);
    let said = run(&mut command, PATIENCE)?;
    match (said.code, serde_json::from_str::<Value>(&said.out)) {
        (Some(0), Ok(value)) => {
            let mut rows = Vec::new();
            flat("", &value, &mut rows);
            Ok(Slots { rows })
        }
        (Some(2), _) => Err("not installed: this machine does not run the image".to_owned()),
        _ => Err(said
            .err
            .lines()
            .next()
            .unwrap_or("no answer")
            .trim_start_matches("tandemctl: ")
            .to_owned()),
    }
}

/// A value as rows of names and values.
fn flat(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let under = |key: &str| match name {
        "" => key.to_owned(),
        name => format!("{name} {key}"),
    };
    match value {
        Value::Object(object) => object
            .iter()
            .for_each(|(key, value)| flat(&under(key), value, rows)),
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, value) in list.iter().enumerate() {
                let named = value.get("name").and_then(Value::as_str);
                let key = named.map_or_else(|| index.to_string(), str::to_owned);
                flat(&under(&key), value, rows);
            }
        }
        Value::Array(list) => {
            let all: Vec<String> = list.iter().map(word).collect();
            rows.push((name.to_owned(), all.join(" ")));
        }
        value => rows.push((name.to_owned(), word(value))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn profiles(hub: &Hub) -> Got<Vec<LoadProfile>> {
    let mut command = Command::new(program(&hub.options, "tandem-load"));
    command.arg("list").arg(&hub.options.load);
    let said = run(&mut command, PATIENCE)?;
    let profiles: Vec<_> = said
        .out
        .lines()
        .filter_map(|line| {
            let (path, about) = line.split_once(".toml")?;
            Some(LoadProfile {
                path: format!("{path}.toml"),
                about: about.trim().to_owned(),
            })
        })
        .collect();
    match (profiles.is_empty(), said.err.lines().next()) {
        (true, Some(why)) => Err(why.to_owned()),
        _ => Ok(profiles),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_as_systemd_says_them() {
        let block = "NRestarts=2\nId=tandem-sigplane.service\nLoadState=loaded\nActiveState=active\nSubState=running\n";
        let service = service(block).unwrap();
        assert_eq!(service.name, "tandem-sigplane");
        assert_eq!(service.state, "active (running)");
        assert!(self::service("Id=x.service\nLoadState=not-found").is_none());
    }

    #[test]
    fn any_status_becomes_rows() {
        let value =
            serde_json::json!({"booted": "A", "slots": [{"name": "A", "good": true}], "n": [1, 2]});
        let mut rows = Vec::new();
        flat("", &value, &mut rows);
        let rows: Vec<String> = rows.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            rows,
            ["booted=A", "n=1 2", "slots A good=yes", "slots A name=A"]
        );
    }
}
