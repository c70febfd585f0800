//! `tandemctl hw` on a machine that was written down.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tandem_hwprofiles::Recording;

/// Four cores, one node, an 82599 with two ports and a gigabit port for management.
fn machine(dir: &Path) -> String {
    let mut recording = Recording::default();
    let mut file = |path: &str, text: &str| {
        recording.files.insert(path.to_owned(), format!("{text}\n"));
    };
    file(
        "proc/cpuinfo",
        "model name : Intel(R) Xeon(R)\nflags : fpu pdpe1gb",
    );
    file("proc/meminfo", "MemTotal: 33554432 kB");
    file("proc/cmdline", "quiet");
    let heading = "Iface Destination Gateway Flags RefCnt Use Metric Mask";
    file(
        "proc/net/route",
        &format!("{heading}\neno1 00000000 0 0 0 0 0 00000000"),
    );
    file("sys/devices/system/cpu/online", "0-3");
    file("sys/kernel/iommu_groups/0/type", "DMA");
    file("sys/bus/pci/devices/0000:01:00.0/net/eno1/ifindex", "");
    for (address, device) in [
        ("0000:01:00.0", "1521"),
        ("0000:03:00.0", "10fb"),
        ("0000:03:00.1", "10fb"),
    ] {
        let folder = format!("sys/bus/pci/devices/{address}");
        file(&format!("{folder}/class"), "0x020000");
        file(&format!("{folder}/vendor"), "0x8086");
        file(&format!("{folder}/device"), &format!("0x{device}"));
    }
    let path = dir.join("machine.toml");
    fs::write(&path, recording.text()).unwrap();
    path.to_string_lossy().into_owned()
}

fn hw(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandemctl"))
        .arg("hw")
        .args(args)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_machine_is_shown_planned_and_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    let shown = hw(&["detect", "--machine", &machine]);
    assert!(
        out(&shown).contains("0000:03:00.1  8086:10fb  intel-82599"),
        "{}",
        out(&shown)
    );
    let planned = hw(&["plan", "--machine", &machine]);
    assert!(
        out(&planned).contains("isolcpus=managed_irq,domain,1"),
        "{}",
        out(&planned)
    );
    let configuration = hw(&["plan", "--configuration", "--machine", &machine]);
    assert!(out(&configuration).contains("device = \"0000:03:00.0\""));
    let json = hw(&["plan", "--json", "--machine", &machine]);
    let json: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(json.pointer("/ports/0/role").unwrap(), "carrier");
    let refused = hw(&[
        "plan",
        "--machine",
        &machine,
        "--carrier",
        "0000:03:00.0",
        "--profile",
        "intel-700",
    ]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        text.contains("profile intel-700 is not for 0000:03:00.0"),
        "{text}"
    );
    let wrong = hw(&["plan", "--carrier", "41:00"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(out(&hw(&["list"])).contains("Mellanox").eq(&false));
    assert!(out(&hw(&["list"])).contains("nvidia-connectx6"));
}

#[test]
fn a_plan_is_written_and_its_machine_verified() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let root = root.to_string_lossy().into_owned();
    let dry = hw(&["apply", "--dry-run", "--machine", &machine, "--root", &root]);
    assert!(
        out(&dry).contains("/etc/default/grub.d/60-tandem.cfg"),
        "{}",
        out(&dry)
    );
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    let none = hw(&["verify", "--machine", &machine, "--root", &root]);
    assert_eq!(none.status.code(), Some(1));
    let applied = hw(&["apply", "--machine", &machine, "--root", &root]);
    assert!(applied.status.success(), "{applied:?}");
    let driver = Path::new(&root).join("etc/driverctl.d/0000:03:00.1");
    assert_eq!(fs::read_to_string(driver).unwrap(), "vfio-pci\n");
    let grub = Path::new(&root).join("etc/default/grub.d/60-tandem.cfg");
    // A shell reads it.
    let words = Command::new("sh")
        .arg("-c")
        .arg(". \"$0\"; printf '%s' \"$GRUB_CMDLINE_LINUX\"")
        .arg(&grub)
        .output()
        .unwrap();
    assert!(out(&words).contains("default_hugepagesz=1G"), "{words:?}");
    let verified = hw(&["verify", "--machine", &machine, "--root", &root]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        out(&verified).contains("0000:03:00.0 is with no driver"),
        "{}",
        out(&verified)
    );
}

#[test]
fn on_the_appliance_grub_has_a_file_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/tandem-release"), "VERSION=1\n").unwrap();
    let place = root.to_string_lossy().into_owned();
    let applied = hw(&["apply", "--machine", &machine, "--root", &place]);
    assert!(applied.status.success(), "{applied:?}");
    let text = fs::read_to_string(root.join("boot/efi/EFI/tandem/hardware.cfg")).unwrap();
    assert!(
        text.starts_with("set tandem_hw=\"default_hugepagesz=1G"),
        "{text}"
    );
    assert!(root.join("etc/tandem/hardware.json").exists());
    assert!(!root.join("etc/driverctl.d").exists());
    assert!(!out(&applied).contains("update-grub"));
}
