//! What the image's units and rules are worth, by the programs that carry them out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/packages")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// systemd's own figure: 0 is a service that can do nothing, 10 one that can do everything.
fn exposure(package: &str, unit: &str) -> f64 {
    let file = packages().join(format!("{package}/root/usr/lib/systemd/system/{unit}"));
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(file)
        .output();
    let said = text(&output.expect("systemd-analyze: .ci/setup installs it"));
    let line = said
        .lines()
        .find(|line| line.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| panic!("no figure: {said}"));
    let figure = line
        .split(':')
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    figure.parse().unwrap()
}

#[test]
fn the_services_are_confined() {
    let signaling = exposure("tandem-sigplane", "tandem-sigplane.service");
    assert!(signaling < 2.0, "{signaling}");
    // It has devices, raw sockets and the network's configuration.
    let dataplane = exposure("tandem-dataplane", "tandem-dataplane.service");
    assert!(dataplane < 3.0, "{dataplane}");
}

#[test]
fn the_packet_filter_s_rules_are_nftables_own() {
    let root = tempfile::TempDir::new().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/cpuinfo", "flags : fpu\n");
    put("proc/meminfo", "MemTotal: 4194304 kB\n");
    put("proc/cmdline", "quiet\n");
    put("sys/devices/system/cpu/online", "0-1\n");
    let card = "sys/bus/pci/devices/0000:00:02.0";
    for (file, text) in [
        ("class", "0x020000"),
        ("vendor", "0x1af4"),
        ("device", "0x1041"),
        ("net/enp0s2/ifindex", "2"),
    ] {
        put(&format!("{card}/{file}"), text);
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/tandem.example.toml");
    put(
        "etc/tandem/tandem.toml",
        &fs::read_to_string(example).unwrap(),
    );
    put(
        "etc/tandem/management.toml",
        "[management]\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\", \"0.0.0.0/0\"]\n",
    );
    let made = Command::new(env!("CARGO_BIN_EXE_tandemctl"))
        .args(["appliance", "firewall", "--root"])
        .arg(root.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let rules = text(&made);
    for part in [
        "iifname \"tnd-carrier\" ip6 daddr 2001:db8:1::10 udp dport 5060 accept",
        "iifname \"enp0s2\" ip saddr { 192.0.2.0/24 }",
    ] {
        assert!(rules.contains(part), "{rules}");
    }
    let file = root.path().join("rules.nft");
    fs::write(&file, &rules).unwrap();
    // In a network of its own: the machine's rules are none of ours.
    let checked = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "nft",
            "--check",
            "--file",
        ])
        .arg(&file)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}\n{rules}", text(&checked));
}

#[test]
fn mistakes_in_management_toml_are_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[management]\nallow = []\n").unwrap();
    let check = || {
        Command::new(env!("CARGO_BIN_EXE_tandemctl"))
            .args(["appliance", "check"])
            .arg(file.path())
            .output()
            .unwrap()
    };
    let said = check();
    assert!(!said.status.success());
    assert!(
        text(&said).contains("nobody could come in"),
        "{}",
        text(&said)
    );
    fs::write(file.path(), "").unwrap();
    assert!(check().status.success());
}
