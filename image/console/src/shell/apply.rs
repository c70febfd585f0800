//! Carries a set-up out: step by step, each told when it is done. What is there already is kept beside.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tandem_management::Management;

use super::client::plain;
use super::process::run;
use super::{Hub, machine, program};
use crate::feed::{Feed, Got, SetupFiles, SetupNews};

const MANAGEMENT: &str = "etc/tandem/management.toml";
const KEYS: &str = "etc/ssh/authorized_keys/tandem";
const NAME: &str = "etc/hostname";
const HOSTS: &str = "etc/hosts";
/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The steps, in their order. The first that fails ends it: those behind it need it.
type Step = (&'static str, fn(&Hub, &SetupFiles) -> Got<String>);
const STEPS: [Step; 8] = [
    ("Configuration is checked", check),
    ("Hardware plan", hardware_plan),
    ("Configuration", configuration),
    ("Management and networks", management),
    ("Name", name),
    ("SSH key", key),
    ("Ports are given to the dataplane", hardware),
    ("Networks and both planes start", start),
];

/// Carries it out.
pub(super) fn apply(hub: &Hub, files: &SetupFiles) {
    let mut steps: Vec<(String, Got<String>)> = Vec::new();
    for (title, step) in STEPS {
        let result = step(hub, files);
        let failed = result.is_err();
        steps.push((title.to_owned(), result));
        hub.feed(Feed::Setup(SetupNews {
            steps: steps.clone(),
            done: failed,
        }));
        if failed {
            return;
        }
    }
    hub.feed(Feed::Setup(SetupNews { steps, done: true }));
}

/// Both files, by the same checks as on the command line, before anything is touched.
fn check(_: &Hub, files: &SetupFiles) -> Got<String> {
    if let Err(mistakes) = tandem_config::parse(&files.configuration) {
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(all.join(" | "));
    }
    match Management::parse(&files.management) {
        Ok(_) => Ok("no mistakes".to_owned()),
        Err(mistakes) => Err(mistakes.join(" | ")),
    }
}

fn hardware_plan(hub: &Hub, files: &SetupFiles) -> Got<String> {
    let plan = machine::plan_for(hub, &files.wishes)?;
    let text = serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())?;
    keep_and_write(&hub.options.root.join(machine::PLAN), &(text + "\n"), 0o644)
}

fn configuration(hub: &Hub, files: &SetupFiles) -> Got<String> {
    keep_and_write(&hub.options.configuration, &files.configuration, 0o640)
}

fn management(hub: &Hub, files: &SetupFiles) -> Got<String> {
    keep_and_write(&hub.options.root.join(MANAGEMENT), &files.management, 0o644)
}

fn name(hub: &Hub, files: &SetupFiles) -> Got<String> {
    if files.name.is_empty() {
        return Ok("as it was".to_owned());
    }
    let path = hub.options.root.join(NAME);
    write(&path, &format!("{}\n", files.name), 0o644)?;
    // sudo and others look themselves up.
    let hosts = hub.options.root.join(HOSTS);
    let text = fs::read_to_string(&hosts).unwrap_or_default();
    write(&hosts, &own_name(&text, &files.name), 0o644)?;
    if hub.options.root != Path::new("/") {
        return Ok(path.display().to_string());
    }
    let mut command = Command::new("hostname");
    command.arg(&files.name);
    done(run(&mut command, PATIENCE)?, &files.name)
}

/// /etc/hosts with another name of the machine itself, for which Debian has a line of its own.
fn own_name(hosts: &str, name: &str) -> String {
    let is_other = |line: &&str| line.split_whitespace().next() != Some("127.0.1.1");
    let mut lines: Vec<&str> = hosts.lines().filter(is_other).collect();
    let own = format!("127.0.1.1 {name}");
    let at = lines.len().min(1);
    lines.insert(at, &own);
    lines.join("\n") + "\n"
}

fn key(hub: &Hub, files: &SetupFiles) -> Got<String> {
    if files.key.is_empty() {
        return Ok("none was given".to_owned());
    }
    let path = hub.options.root.join(KEYS);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    if text.lines().any(|line| line.trim() == files.key) {
        return Ok("it is there already".to_owned());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &files.key;
    text.push('\n');
    write(&path, &text, 0o644)?;
    Ok(path.display().to_string())
}

fn hardware(hub: &Hub, _: &SetupFiles) -> Got<String> {
    if hub.options.root != Path::new("/") {
        return Ok("not on this machine".to_owned());
    }
    let mut command = Command::new(program(&hub.options, "tandemctl"));
    command.args(["appliance", "hardware"]);
    let said = run(&mut command, PATIENCE)?;
    let last = said.err.lines().last().unwrap_or_default().to_owned();
    done(said, last.trim_start_matches("tandem: "))
}

fn start(hub: &Hub, _: &SetupFiles) -> Got<String> {
    if hub.options.root != Path::new("/") {
        return Ok("not on this machine".to_owned());
    }
    let mut command = Command::new(program(&hub.options, "tandemctl"));
    command.args(["appliance", "network"]);
    done(run(&mut command, PATIENCE)?, "")?;
    let mut command = Command::new("systemctl");
    command.args(["restart", "tandem-dataplane", "tandem-sigplane"]);
    done(run(&mut command, PATIENCE)?, "both run")
}

fn done(said: super::process::Said, text: &str) -> Got<String> {
    match said.code {
        Some(0) => Ok(text.to_owned()),
        _ => {
            let lines: Vec<&str> = said.err.lines().filter(|l| !l.trim().is_empty()).collect();
            let wrong: Vec<&str> = lines
                .iter()
                .copied()
                .filter(|l| l.contains("WRONG"))
                .collect();
            let told = if wrong.is_empty() { lines } else { wrong };
            Err(told.join(" | "))
        }
    }
}

fn keep_and_write(path: &Path, text: &str, mode: u32) -> Got<String> {
    if path.exists() {
        let mut before = path.as_os_str().to_owned();
        before.push(".before");
        fs::copy(path, &before).map_err(|error| plain(&error))?;
    }
    write(path, text, mode)?;
    Ok(path.display().to_string())
}

/// Writes a file whole or not at all. One that is there keeps its owner and mode.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Got<()> {
    let failed = |error: std::io::Error| format!("{}: {}", path.display(), plain(&error));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let before = fs::metadata(path).ok();
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // One that was left by a power cut must not decide about the mode.
    let _ = fs::remove_file(new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(new)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    if let Some(before) = before {
        use std::os::unix::fs::MetadataExt as _;
        // Not ours to change: the daemon reads it by its group.
        let _ = std::os::unix::fs::chown(new, Some(before.uid()), Some(before.gid()));
        let mode = before.permissions().mode() & 0o7777;
        fs::set_permissions(new, fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    fs::rename(new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_finds_itself_by_its_new_name() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 tandem-1\n127.0.1.10 other\n::1 localhost\n";
        let wanted = "127.0.0.1 localhost\n127.0.1.1 edge-1\n127.0.1.10 other\n::1 localhost\n";
        assert_eq!(own_name(hosts, "edge-1"), wanted);
        assert_eq!(own_name("", "edge-1"), "127.0.1.1 edge-1\n");
    }

    #[test]
    fn a_file_is_written_whole_keeps_its_mode_and_the_one_before_is_beside() {
        let folder = std::env::temp_dir().join(format!("tandem-setup-{}", std::process::id()));
        let path = folder.join("etc/tandem.toml");
        keep_and_write(&path, "one", 0o640).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        keep_and_write(&path, "two", 0o644).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let before = folder.join("etc/tandem.toml.before");
        assert_eq!(fs::read_to_string(before).unwrap(), "one");
        fs::remove_dir_all(folder).unwrap();
    }
}
