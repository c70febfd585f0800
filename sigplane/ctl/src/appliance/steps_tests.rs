//! The steps on a machine in a folder.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::*;

const ESP: &str = "boot/efi";

struct Place {
    dir: TempDir,
}

impl Place {
    /// Two cores, an IOMMU, and virtio ports at 0000:00:02.0 and the following.
    fn new(ports: u8) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        let meta = fs::metadata(place.dir.path()).unwrap();
        let (uid, gid) = (meta.uid(), meta.gid());
        let names = ["root", "tandem-sigplane", "tandem-planes"];
        let lines: String = names
            .iter()
            .map(|name| format!("{name}:x:{uid}:{gid}::/:/bin/sh\n"))
            .collect();
        let groups: String = names
            .iter()
            .map(|name| format!("{name}:x:{gid}:\n"))
            .collect();
        for (path, text) in [
            ("etc/passwd", lines.as_str()),
            ("etc/group", groups.as_str()),
            (
                "proc/cpuinfo",
                "model name : QEMU\nflags : fpu hypervisor\n",
            ),
            ("proc/meminfo", "MemTotal: 4194304 kB\n"),
            ("proc/cmdline", "quiet\n"),
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("sys/kernel/iommu_groups/0/type", "DMA\n"),
            (
                "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
                "0\n",
            ),
            (
                "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                "0\n",
            ),
            ("sys/bus/pci/drivers_probe", ""),
            ("boot/efi/EFI/tandem/grub.cfg", ""),
        ] {
            place.put(path, text);
        }
        for number in 2..2 + ports {
            let device = format!("sys/bus/pci/devices/0000:00:{number:02x}.0");
            for (file, text) in [
                ("class", "0x020000"),
                ("vendor", "0x1af4"),
                ("device", "0x1041"),
            ] {
                place.put(&format!("{device}/{file}"), text);
            }
            let net = format!("{device}/net/enp0s{number}");
            place.put(&format!("{net}/ifindex"), "2");
            let class = format!("sys/class/net/enp0s{number}");
            for folder in [&net, &class] {
                place.put(
                    &format!("{folder}/address"),
                    &format!("52:54:00:00:00:{number:02x}"),
                );
                place.put(&format!("{folder}/carrier"), "1");
            }
        }
        place
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.dir.path().join(path).exists()
    }

    fn host(&self) -> Host {
        Host {
            root: self.dir.path().to_owned(),
        }
    }
}

#[test]
fn the_first_start_takes_over_what_was_preloaded_once() {
    let place = Place::new(3);
    let key = format!("ssh-ed25519 AAAA{}\n", "C".repeat(64));
    place.put("boot/efi/tandem-preload/authorized_keys", &key);
    place.put("boot/efi/tandem-preload/hostname", "edge-1\n");
    place.put(
        "boot/efi/tandem-preload/management.toml",
        "[management]\naddresses = [\"192.0.2.10/24\"]\n",
    );
    let toml = starter::configuration(&starter::tests::planned(3));
    place.put("boot/efi/tandem-preload/tandem.toml", &toml);

    let done = first_boot(&place.host(), ESP);
    assert_eq!(done.wrong, Vec::<String>::new());
    assert_eq!(place.text("etc/ssh/authorized_keys/tandem"), key);
    assert_eq!(place.text("etc/hostname"), "edge-1\n");
    assert_eq!(place.text("etc/tandem/tandem.toml"), toml);
    assert!(
        place
            .text("etc/tandem/management.toml")
            .contains("192.0.2.10")
    );
    for file in [
        "authorized_keys",
        "hostname",
        "management.toml",
        "tandem.toml",
    ] {
        assert!(
            !place.has(&format!("boot/efi/tandem-preload/{file}")),
            "{file}"
        );
    }
    let mode = fs::metadata(place.dir.path().join(ISSUE)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = place.text(ISSUE);

    place.put("boot/efi/tandem-preload/hostname", "other\n");
    first_boot(&place.host(), ESP);
    assert_eq!(place.text("etc/hostname"), "edge-1\n");
    assert_eq!(place.text(ISSUE), shown);
}

#[test]
fn a_preloaded_file_with_mistakes_is_refused_and_the_start_goes_on() {
    let place = Place::new(3);
    place.put("boot/efi/tandem-preload/tandem.toml", "[nodes]\n");
    place.put("boot/efi/tandem-preload/hostname", "a b\n");
    let done = first_boot(&place.host(), ESP);
    let wrong = done.wrong.join("\n");
    assert!(wrong.contains("tandem.toml was not taken over"), "{wrong}");
    assert!(wrong.contains("hostname was not taken over"), "{wrong}");
    assert_eq!(place.text("etc/tandem/tandem.toml.refused"), "[nodes]\n");
    assert!(!place.has("etc/tandem/tandem.toml"));
    assert_eq!(place.text("etc/hostname"), "tandem-000002\n");
    assert!(place.has("var/lib/tandem-appliance/first-boot"));
}

#[test]
fn the_first_start_plans_binds_and_configures() {
    let place = Place::new(3);
    let done = hardware(&place.host(), ESP);
    let said = done.said.join("\n");
    assert_eq!(done.wrong, Vec::<String>::new());
    assert!(said.contains("0000:00:02.0 management (virtio)"), "{said}");
    assert!(said.contains("0000:00:03.0 carrier (virtio)"), "{said}");
    assert_eq!(
        place.text("sys/bus/pci/devices/0000:00:04.0/driver_override"),
        "vfio-pci"
    );
    assert!(!place.has("sys/bus/pci/devices/0000:00:02.0/driver_override"));
    assert_ne!(
        place.text("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"),
        "0\n"
    );
    assert!(
        place
            .text("boot/efi/EFI/tandem/hardware.cfg")
            .starts_with("set tandem_hw=\"default_hugepagesz=2M")
    );
    tandem_config::parse(&place.text("etc/tandem/tandem.toml")).unwrap();

    // Again: the plan that is there, and whatever the operator made of the configuration.
    place.put(
        "etc/tandem/tandem.toml",
        &(place.text("etc/tandem/tandem.toml") + "\n# mine\n"),
    );
    let plan = place.text("etc/tandem/hardware.json");
    let done = hardware(&place.host(), ESP);
    assert_eq!(place.text("etc/tandem/hardware.json"), plan);
    assert!(place.text("etc/tandem/tandem.toml").ends_with("# mine\n"));
    assert!(
        done.said
            .join("\n")
            .contains("not as planned: the kernel was started without"),
        "{:?}",
        done.said
    );
}

#[test]
fn a_card_that_is_gone_is_said_on_each_start() {
    let place = Place::new(3);
    hardware(&place.host(), ESP);
    fs::remove_dir_all(place.dir.path().join("sys/bus/pci/devices/0000:00:04.0")).unwrap();
    let said = hardware(&place.host(), ESP).said.join("\n");
    assert!(
        said.contains("not as planned: there is no network card at 0000:00:04.0 any more"),
        "{said}"
    );
}

#[test]
fn a_machine_without_a_port_to_spare_is_reached_all_the_same() {
    let place = Place::new(1);
    let said = hardware(&place.host(), ESP).said.join("\n");
    assert!(
        said.contains("no dataplane: no port is left for the dataplane: 0000:00:02.0"),
        "{said}"
    );
    assert!(!place.has("etc/tandem/hardware.json"));
    let done = network(&place.host(), ESP);
    assert!(
        done.said.contains(&"management by enp0s2".to_owned()),
        "{:?}",
        done.said
    );
    assert!(
        place
            .text("run/systemd/network/30-enp0s2.network")
            .contains("DHCP=yes")
    );
    assert!(
        place
            .text("run/tandem-appliance/nftables.nft")
            .contains("iifname \"enp0s2\"")
    );
}

#[test]
fn the_network_follows_its_files() {
    let place = Place::new(3);
    hardware(&place.host(), ESP);
    let done = network(&place.host(), ESP);
    assert_eq!(done.wrong, Vec::<String>::new());
    let tap = place.text("run/systemd/network/50-tnd-carrier.network");
    assert!(tap.contains("MACAddress=52:54:00:00:00:03"), "{tap}");
    assert!(
        place
            .text("run/systemd/network/50-tnd-core.network")
            .contains("Address=198.18.1.1/24")
    );
    assert!(
        place
            .text("etc/chrony/sources.d/tandem.sources")
            .starts_with("pool ")
    );

    let changed = place
        .text("etc/tandem/tandem.toml")
        .replace("tnd-core", "tnd-pool");
    place.put("etc/tandem/tandem.toml", &changed);
    place.put(
        "etc/tandem/management.toml",
        "[management]\naddresses = [\"192.0.2.10/24\"]\nntp = [\"192.0.2.1\"]\nssh_password = true\n",
    );
    network(&place.host(), ESP);
    assert!(!place.has("run/systemd/network/50-tnd-core.network"));
    assert!(place.has("run/systemd/network/50-tnd-pool.network"));
    assert_eq!(
        place.text("etc/chrony/sources.d/tandem.sources"),
        "server 192.0.2.1 iburst\n"
    );
    assert!(place.has(SSH_PASSWORD));

    // A mistake: what was good before stays.
    place.put(
        "etc/tandem/management.toml",
        "[management]\naddresses = [\"192.0.2.10\"]\n",
    );
    let done = network(&place.host(), ESP);
    assert!(
        done.wrong
            .join("\n")
            .contains("what was good before is in force"),
        "{:?}",
        done.wrong
    );
    assert!(
        place
            .text("run/systemd/network/30-enp0s2.network")
            .contains("192.0.2.10/24")
    );
    place.put("etc/tandem/management.toml", "");
    network(&place.host(), ESP);
    assert!(!place.has(SSH_PASSWORD));
}
