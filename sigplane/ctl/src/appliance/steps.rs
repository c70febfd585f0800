//! The steps of a start. What goes wrong in one part keeps none of the others from their work: a machine that has no
//! dataplane is reached, and says why.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use tandem_config::Config;
use tandem_hwprofiles::{Machine, Plan, Profiles, detect, plan, verify};

use super::run::{Host, random};
use super::{firewall, first_boot as first, hardware as hw, networkd, starter};
use hw::Failed;
use tandem_management::Management;

const CONFIG: &str = "etc/tandem/tandem.toml";
const MANAGEMENT: &str = "etc/tandem/management.toml";
const PLAN: &str = "etc/tandem/hardware.json";
const KEYS: &str = "etc/ssh/authorized_keys/tandem";
/// What is not the operator's: it need not be kept in a backup.
const STATE: &str = "var/lib/tandem-appliance";
const RUN: &str = "run/tandem-appliance";
const NETWORKD: &str = "run/systemd/network";
const ISSUE: &str = "etc/issue.d/60-tandem.issue";
const SSH_PASSWORD: &str = "etc/ssh/sshd_config.d/55-tandem-password.conf";
/// Until the operator names servers.
const NTP: &str = "pool 2.debian.pool.ntp.org iburst\n";

/// What was done, and what was not.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) said: Vec<String>,
    pub(super) wrong: Vec<String>,
}

impl Done {
    fn say(&mut self, line: impl Into<String>) {
        self.said.push(line.into());
    }

    /// Goes on without what failed.
    fn take<T>(&mut self, result: Result<T, Failed>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong.push(error);
                None
            }
        }
    }
}

/// Who the machine is.
pub(super) fn first_boot(host: &Host, esp: &str) -> Done {
    let mut done = Done::default();
    let marker = format!("{STATE}/first-boot");
    if host.path(&marker).exists() {
        return done;
    }
    preload(host, &format!("{esp}/tandem-preload"), &mut done);
    let preloaded = done.wrong.len();

    let machine = done.take(detect(&host.root).map_err(|error| error.to_string()));
    let named = host.read("etc/tandem-hostname").ok().flatten();
    let name = named.unwrap_or_else(|| {
        let first = machine
            .as_ref()
            .and_then(|machine| machine.nics.iter().find_map(|nic| nic.mac.as_deref()));
        first::host_name(first)
    });
    let hosts = format!(
        "127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n"
    );
    done.take(host.write("etc/hostname", 0o644, &format!("{name}\n")));
    done.take(host.write("etc/hosts", 0o644, &hosts));
    done.take(host.run("hostname", &[&name], ""));
    done.take(host.remove("etc/tandem-hostname"));

    done.take(keys_of_host(host));
    done.take(certificate(host, &name));
    let shown = host.run(
        "ssh-keygen",
        &["-lf", "/etc/ssh/ssh_host_ed25519_key.pub"],
        "",
    );
    let fingerprints: Vec<_> = done
        .take(shown)
        .into_iter()
        .map(|line| line.trim().to_owned())
        .collect();
    if let Some(bytes) = done.take(random()) {
        let password = first::password(&bytes);
        if done
            .take(host.run("chpasswd", &[], &format!("tandem:{password}\n")))
            .is_some()
        {
            done.take(host.write(ISSUE, 0o600, &first::issue(&password, &fingerprints)));
        }
    }
    if host.read(KEYS).ok().flatten().is_none() {
        done.say("no key for SSH was preloaded: log in on the console, and put yours into /etc/ssh/authorized_keys/tandem");
    }
    // What was preloaded and refused is not better the next time; a machine without its own keys is no machine.
    if done.wrong.len() == preloaded {
        done.take(host.write(&marker, 0o644, "done\n"));
    }
    done.say(format!("this machine is {name}"));
    done
}

/// What the flash tool put onto the ESP is taken over, and removed there.
fn preload(host: &Host, folder: &str, done: &mut Done) {
    let refused = |file: &str, why: &str| format!("{folder}/{file} was not taken over: {why}");
    let text = |file: &str| host.read(&format!("{folder}/{file}"));
    let mut taken = Vec::new();
    if let Some(Some(text)) = done.take(text("tandem.toml")) {
        taken.push("tandem.toml");
        match tandem_config::parse(&text) {
            Ok(_) => {
                done.take(host.write(CONFIG, 0o640, &text));
                done.take(host.give(CONFIG, "tandem-sigplane", "tandem-planes"));
            }
            Err(mistakes) => {
                let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
                done.wrong.push(refused(
                    "tandem.toml",
                    &format!("{}; it is kept as /{CONFIG}.refused", all.join("; ")),
                ));
                done.take(host.write(&format!("{CONFIG}.refused"), 0o640, &text));
            }
        }
    }
    if let Some(Some(text)) = done.take(text("management.toml")) {
        taken.push("management.toml");
        match Management::parse(&text) {
            Ok(_) => {
                done.take(host.write(MANAGEMENT, 0o644, &text));
            }
            Err(mistakes) => {
                done.wrong.push(refused(
                    "management.toml",
                    &format!(
                        "{}; it is kept as /{MANAGEMENT}.refused",
                        mistakes.join("; ")
                    ),
                ));
                done.take(host.write(&format!("{MANAGEMENT}.refused"), 0o644, &text));
            }
        }
    }
    for (file, path, check) in [
        (
            "authorized_keys",
            KEYS,
            first::check_keys as fn(&str) -> Result<String, String>,
        ),
        ("hostname", "etc/tandem-hostname", first::check_host_name),
    ] {
        if let Some(Some(text)) = done.take(text(file)) {
            taken.push(file);
            let checked = check(&text).map_err(|why| refused(file, &why));
            if let Some(text) = done.take(checked) {
                done.take(host.write(path, 0o644, &text));
            }
        }
    }
    for file in &taken {
        done.take(host.remove(&format!("{folder}/{file}")));
    }
    if !taken.is_empty() {
        done.say(format!("taken over from {folder}: {}", taken.join(", ")));
    }
}

fn keys_of_host(host: &Host) -> Result<(), Failed> {
    // Keys that came with an image would be everybody's.
    for kind in ["ed25519", "ecdsa", "rsa", "dsa"] {
        host.remove(&format!("etc/ssh/ssh_host_{kind}_key"))?;
        host.remove(&format!("etc/ssh/ssh_host_{kind}_key.pub"))?;
    }
    host.run("ssh-keygen", &["-A"], "").map(drop)
}

/// For the management API, until the operator has one of an authority.
fn certificate(host: &Host, name: &str) -> Result<(), Failed> {
    let (key, chain) = (
        "etc/tandem/tls/management.key",
        "etc/tandem/tls/management.pem",
    );
    if !host.is_this() || host.path(key).exists() {
        return Ok(());
    }
    let folder = host.path("etc/tandem/tls");
    std::fs::create_dir_all(&folder).map_err(|error| hw::failed(&folder, &error))?;
    let subject = format!("/CN={name}");
    let names = format!("subjectAltName=DNS:{name}");
    host.run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            &subject,
            "-addext",
            &names,
            "-keyout",
            "/etc/tandem/tls/management.key",
            "-out",
            "/etc/tandem/tls/management.pem",
        ],
        "",
    )?;
    host.run("chmod", &["0640", &format!("/{key}")], "")?;
    host.run("chmod", &["0644", &format!("/{chain}")], "")?;
    host.give(key, "root", "tandem-sigplane")
}

/// Ports and memory.
pub(super) fn hardware(host: &Host, esp: &str) -> Done {
    let mut done = Done::default();
    let profiles = done.take(Profiles::built_in().map_err(|error| error.to_string()));
    let machine = done.take(detect(&host.root).map_err(|error| error.to_string()));
    let (Some(profiles), Some(mut machine)) = (profiles, machine) else {
        return done;
    };
    let management = management(host, &mut done);
    let config = config(host, &mut done);
    remember_macs(host, &machine, &mut done);
    let kept = done.take(kept_plan(host)).flatten();
    let is_new = kept.is_none();
    let plan = match kept {
        Some(plan) => plan,
        None => {
            links_up(host, &mut machine);
            let wishes = hw::wishes(&management, config.as_ref(), &profiles, &machine);
            match plan(&profiles, &machine, &wishes) {
                Ok(plan) => plan,
                Err(why) => {
                    done.say(format!("no dataplane: {why}"));
                    done.say("management works; `tandemctl hw detect` shows the cards, `tandemctl hw plan` what a plan needs");
                    return done;
                }
            }
        }
    };
    if is_new {
        let text = serde_json::to_string_pretty(&plan).map_err(|error| error.to_string());
        if let Some(text) = done.take(text) {
            done.take(host.write(PLAN, 0o644, &(text + "\n")));
        }
        done.say("hardware plan made:");
    } else {
        done.say("hardware plan:");
    }
    done.said.extend(
        hw::summary(&plan)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    carry_out(host, &plan, &machine, &mut done);
    boot_files(host, esp, &plan, &machine, &mut done);
    if config.is_none() && host.read(CONFIG).ok().flatten().is_none() {
        first_configuration(host, &plan, &mut done);
    }
    if let Some(now) = done.take(detect(&host.root).map_err(|error| error.to_string())) {
        let differences = verify(&plan, &now);
        if differences.is_empty() {
            done.say("all is as planned");
        }
        for remark in hw::remarks(&differences, is_new) {
            done.say(format!("not as planned: {remark}"));
        }
        for nic in hw::taken(&plan, &now) {
            let driver = nic.driver.as_deref().unwrap_or("no driver");
            done.say(format!("{} is with {driver}", nic.address));
        }
    }
    done
}

fn carry_out(host: &Host, plan: &Plan, machine: &Machine, done: &mut Done) {
    let system = hw::System { root: &host.root };
    done.take(host.run("modprobe", &["vfio-pci"], ""));
    if hw::needs_unsafe(plan, machine) {
        done.say("no IOMMU is in use: ports can write to all memory (vfio's unsafe mode); switch VT-d or AMD-Vi on in the firmware");
        done.take(system.allow_unsafe());
        let drop_in = "run/systemd/system/tandem-dataplane.service.d/60-no-iommu.conf";
        if done.take(host.write(drop_in, 0o644, hw::UNSAFE_VFIO)) == Some(true) {
            done.take(host.run("systemctl", &["daemon-reload"], ""));
        }
    }
    for nic in hw::left(plan, machine) {
        done.take(system.release(nic));
    }
    for nic in hw::taken(plan, machine) {
        done.take(system.bind(nic));
    }
    done.take(system.huge_pages(plan, machine));
}

/// What the next start needs: the kernel's arguments, and where services may run.
fn boot_files(host: &Host, esp: &str, plan: &Plan, machine: &Machine, done: &mut Done) {
    let cores = "etc/systemd/system.conf.d/61-tandem-cores.conf";
    done.take(host.write(cores, 0o644, &hw::manager_cores(plan, machine)));
    let file = format!("{esp}/EFI/tandem/hardware.cfg");
    if host.path(esp).join("EFI").is_dir() {
        done.take(host.write(&file, 0o644, &hw::grub(plan)));
    } else {
        done.wrong.push(format!(
            "{esp} has no EFI system partition: the kernel's arguments of the plan are not written"
        ));
    }
}

fn first_configuration(host: &Host, plan: &Plan, done: &mut Done) {
    done.take(host.write(CONFIG, 0o640, &starter::configuration(plan)));
    done.take(host.give(CONFIG, "tandem-sigplane", "tandem-planes"));
    if host.read(MANAGEMENT).ok().flatten().is_none() {
        done.take(host.write(MANAGEMENT, 0o644, &starter::management()));
    }
    done.say("tandem.toml made of the plan, with addresses for tests: put yours there and into management.toml");
}

/// A port that is down does not say whether a cable is in.
fn links_up(host: &Host, machine: &mut Machine) {
    if !host.is_this() {
        return;
    }
    let names: Vec<_> = machine
        .nics
        .iter()
        .filter_map(|nic| nic.interface.clone())
        .collect();
    for name in &names {
        // A port that cannot be brought up has no link either.
        let _ = host.run("ip", &["link", "set", "dev", name, "up"], "");
    }
    let is_up = |name: &String| {
        let carrier = host
            .read(&format!("sys/class/net/{name}/carrier"))
            .ok()
            .flatten();
        carrier.is_some_and(|carrier| carrier.trim() == "1")
    };
    // Autonegotiation takes up to 4 s.
    for _ in 0..50 {
        if names.iter().all(is_up) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    if let Ok(now) = detect(&host.root) {
        *machine = now;
    }
}

/// Networks: management, TAPs, packet filter, time, SSH.
pub(super) fn network(host: &Host, _esp: &str) -> Done {
    let mut done = Done::default();
    let scene = scene(host, &mut done);
    if scene.interfaces.is_empty() {
        done.say("NO MANAGEMENT: no port is left for it, or it has no driver: name one in management.toml (port), or plug a card in");
    }
    let access = &scene.management.management;
    let macs = known_macs(host);
    let files = networkd::files(
        &scene.management,
        scene.config.as_ref(),
        &scene.interfaces,
        &macs,
    );
    let mut changed = false;
    for (name, text) in &files {
        changed |= done.take(host.write(&format!("{NETWORKD}/{name}"), 0o644, text)) == Some(true);
    }
    changed |= sweep(host, &files, &mut done);
    if changed && is_active(host, "systemd-networkd") {
        done.take(host.run("networkctl", &["reload"], ""));
    }

    let rules = firewall::rules(&scene.management, scene.config.as_ref(), &scene.devices());
    let file = format!("{RUN}/nftables.nft");
    if done.take(host.write(&file, 0o600, &rules)).is_some() {
        let path = format!("/{file}");
        // In one transaction: either all of it or what was there.
        done.take(host.run("nft", &["-f", &path], ""));
    }

    let servers: String = access
        .ntp
        .iter()
        .map(|server| format!("server {server} iburst\n"))
        .collect();
    let sources = if servers.is_empty() { NTP } else { &servers };
    if done.take(host.write("etc/chrony/sources.d/tandem.sources", 0o644, sources)) == Some(true)
        && is_active(host, "chrony")
    {
        done.take(host.run("chronyc", &["reload", "sources"], ""));
    }
    let ssh = if access.ssh_password {
        host.write(SSH_PASSWORD, 0o644, "PasswordAuthentication yes\n")
    } else {
        let was = host.path(SSH_PASSWORD).exists();
        host.remove(SSH_PASSWORD).map(|()| was)
    };
    if done.take(ssh) == Some(true) && is_active(host, "ssh") {
        done.take(host.run("systemctl", &["reload", "ssh"], ""));
    }
    if let Some(config) = &scene.config {
        done.said
            .extend(networkd::remarks(&scene.management, config));
    }
    if !scene.interfaces.is_empty() {
        done.say(format!("management by {}", scene.devices().join(", ")));
    }
    done
}

/// The rules alone.
pub(super) fn rules(host: &Host) -> Result<String, Failed> {
    let mut done = Done::default();
    let scene = scene(host, &mut done);
    match done.wrong.into_iter().next() {
        None => Ok(firewall::rules(
            &scene.management,
            scene.config.as_ref(),
            &scene.devices(),
        )),
        Some(wrong) => Err(wrong),
    }
}

/// What the files say.
struct Scene {
    management: Management,
    config: Option<Config>,
    interfaces: Vec<String>,
}

impl Scene {
    fn devices(&self) -> Vec<String> {
        let access = &self.management.management;
        self.interfaces
            .iter()
            .map(|name| networkd::device(access, name))
            .collect()
    }
}

fn scene(host: &Host, done: &mut Done) -> Scene {
    let management = management(host, done);
    let config = config(host, done);
    let plan = done.take(kept_plan(host)).flatten();
    let machine = done.take(detect(&host.root).map_err(|error| error.to_string()));
    let named = management.management.port;
    let interfaces = machine
        .map(|machine| hw::interfaces(plan.as_ref(), named, &machine))
        .unwrap_or_default();
    Scene {
        management,
        config,
        interfaces,
    }
}

/// Files of realms that are gone.
fn sweep(host: &Host, files: &networkd::Files, done: &mut Done) -> bool {
    let mut changed = false;
    let entries = std::fs::read_dir(host.path(NETWORKD));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["20-", "30-", "50-"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if ours && !files.contains_key(&name) {
            changed |= done
                .take(host.remove(&format!("{NETWORKD}/{name}")))
                .is_some();
        }
    }
    changed
}

fn is_active(host: &Host, unit: &str) -> bool {
    host.is_this()
        && host
            .run("systemctl", &["is-active", "--quiet", unit], "")
            .is_ok()
}

fn kept_plan(host: &Host) -> Result<Option<Plan>, Failed> {
    let Some(text) = host.read(PLAN)? else {
        return Ok(None);
    };
    let plan = serde_json::from_str(&text);
    plan.map(Some).map_err(|error| {
        format!("/{PLAN}: {error}: remove it, and a new plan is made on the next start")
    })
}

/// management.toml; with mistakes in it, what it was before, so that nobody is locked out.
fn management(host: &Host, done: &mut Done) -> Management {
    let parse = |text: &str| Management::parse(text).map_err(|mistakes| mistakes.join("; "));
    last_good(host, MANAGEMENT, "management.toml", parse, done).unwrap_or_default()
}

/// tandem.toml likewise.
fn config(host: &Host, done: &mut Done) -> Option<Config> {
    let parse = |text: &str| {
        tandem_config::parse(text).map_err(|mistakes| {
            let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            all.join("; ")
        })
    };
    last_good(host, CONFIG, "tandem.toml", parse, done)
}

fn last_good<T>(
    host: &Host,
    path: &str,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
    done: &mut Done,
) -> Option<T> {
    let last = format!("{STATE}/{name}.last");
    let text = done.take(host.read(path)).flatten()?;
    match parse(&text) {
        Ok(value) => {
            done.take(host.write(&last, 0o600, &text));
            Some(value)
        }
        Err(mistakes) => {
            done.wrong.push(format!(
                "/{path}: {mistakes}: correct it; until then what was good before is in force"
            ));
            let text = done.take(host.read(&last)).flatten()?;
            parse(&text).ok()
        }
    }
}

fn remember_macs(host: &Host, machine: &Machine, done: &mut Done) {
    let all = hw::macs(machine, known_macs(host));
    let text = serde_json::to_string(&all).map_err(|error| error.to_string());
    if let Some(text) = done.take(text) {
        done.take(host.write(&format!("{STATE}/macs.json"), 0o644, &text));
    }
}

fn known_macs(host: &Host) -> BTreeMap<String, String> {
    let text = host.read(&format!("{STATE}/macs.json")).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
