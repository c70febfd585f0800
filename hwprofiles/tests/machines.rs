//! Machines that were written down or recorded, and the plan for each: `tests/machines/NAME.toml` and
//! `tests/goldens/NAME.txt`. `TANDEM_GOLDENS=write cargo test -p tandem-hwprofiles` writes the goldens anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tandem_hwprofiles::{Machine, Profiles, Recording, Role, Wishes, detect, files, plan, verify};

/// A machine in few words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    model: [String; 2],
    processor: String,
    flags: String,
    packages: u16,
    /// Physical cores of each package.
    cores: u16,
    threads: u16,
    /// Gigabytes of each node; a node for each package, or one for all.
    memory: Vec<u64>,
    iommu: bool,
    #[serde(default)]
    command_line: String,
    /// The interface of the default route.
    #[serde(default)]
    route: String,
    #[serde(default)]
    nic: Vec<WrittenNic>,
    #[serde(default)]
    wishes: WrittenWishes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNic {
    address: String,
    id: String,
    node: i32,
    driver: Option<String>,
    interface: Option<String>,
    carrier: Option<bool>,
    speed: Option<u32>,
    pcie: Option<(u8, f32)>,
    physfn: Option<String>,
    #[serde(default)]
    vfs: u16,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWishes {
    carrier: Option<String>,
    core: Option<String>,
    management: Option<String>,
    profile: Option<String>,
    calls: Option<u32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn written(name: &str) -> (Written, Recording) {
    let text = fs::read_to_string(folder("machines").join(format!("{name}.toml"))).unwrap();
    let written: Written = toml::from_str(&text).unwrap();
    let recording = expand(&written);
    (written, recording)
}

/// What the kernel of such a machine would show.
fn expand(machine: &Written) -> Recording {
    let mut files = BTreeMap::new();
    let mut links = BTreeMap::new();
    let mut file = |path: String, text: String| {
        files.insert(path, text + "\n");
    };
    let count = machine.packages * machine.cores * machine.threads;
    let physical = machine.packages * machine.cores;
    file(
        "proc/cpuinfo".into(),
        format!(
            "model name\t: {}\nflags\t\t: fpu {}",
            machine.processor, machine.flags
        ),
    );
    let total: u64 = machine.memory.iter().sum();
    file(
        "proc/meminfo".into(),
        format!("MemTotal:  {} kB", total << 20),
    );
    file("proc/cmdline".into(), machine.command_line.clone());
    let [vendor, product] = &machine.model;
    file("sys/class/dmi/id/sys_vendor".into(), vendor.clone());
    file("sys/class/dmi/id/product_name".into(), product.clone());
    let route = format!(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n{}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000",
        machine.route
    );
    file("proc/net/route".into(), route);
    file(
        "sys/devices/system/cpu/online".into(),
        format!("0-{}", count - 1),
    );
    let nodes = machine.memory.len() as u16;
    let mut of_node = vec![Vec::new(); usize::from(nodes)];
    for cpu in 0..count {
        // Linux numbers the first threads of all cores before the second ones.
        let core = cpu % physical;
        let package = core / machine.cores;
        let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        file(
            format!("{topology}/core_id"),
            (core % machine.cores).to_string(),
        );
        file(
            format!("{topology}/physical_package_id"),
            package.to_string(),
        );
        of_node[usize::from(core * nodes / physical)].push(cpu.to_string());
    }
    for (node, cpus) in of_node.iter().enumerate() {
        let folder = format!("sys/devices/system/node/node{node}");
        file(format!("{folder}/cpulist"), cpus.join(","));
        let memory = machine.memory[node] << 20;
        file(
            format!("{folder}/meminfo"),
            format!("Node {node} MemTotal:  {memory} kB"),
        );
        for size in [2048, 1_048_576] {
            for name in ["nr_hugepages", "free_hugepages"] {
                file(
                    format!("{folder}/hugepages/hugepages-{size}kB/{name}"),
                    "0".into(),
                );
            }
        }
    }
    if machine.iommu {
        file("sys/kernel/iommu_groups/0/type".into(), "DMA-FQ".into());
    }
    for (index, nic) in machine.nic.iter().enumerate() {
        let folder = format!("sys/bus/pci/devices/{}", nic.address);
        let (vendor, device) = nic.id.split_once(':').unwrap();
        file(format!("{folder}/class"), "0x020000".into());
        file(format!("{folder}/vendor"), format!("0x{vendor}"));
        file(format!("{folder}/device"), format!("0x{device}"));
        file(format!("{folder}/numa_node"), nic.node.to_string());
        file(format!("{folder}/sriov_numvfs"), nic.vfs.to_string());
        if let Some((width, speed)) = nic.pcie {
            file(format!("{folder}/current_link_width"), width.to_string());
            file(
                format!("{folder}/current_link_speed"),
                format!("{speed} GT/s PCIe"),
            );
        }
        if let Some(interface) = &nic.interface {
            file(format!("{folder}/net/{interface}/ifindex"), String::new());
            let net = format!("sys/class/net/{interface}");
            file(
                format!("{net}/address"),
                format!("02:00:00:00:00:{index:02x}"),
            );
            if let Some(carrier) = nic.carrier {
                file(format!("{net}/carrier"), u8::from(carrier).to_string());
                let speed = nic.speed.map_or("-1".to_owned(), |speed| speed.to_string());
                file(format!("{net}/speed"), speed);
            }
        }
        let mut link = |name: &str, target: Option<String>| {
            if let Some(target) = target {
                links.insert(format!("{folder}/{name}"), target);
            }
        };
        link("driver", nic.driver.clone());
        link("physfn", nic.physfn.clone());
        link("iommu_group", machine.iommu.then(|| index.to_string()));
    }
    Recording { files, links }
}

fn wishes(written: &WrittenWishes) -> Wishes {
    let address = |text: &Option<String>| text.as_ref().map(|text| text.parse().unwrap());
    Wishes {
        carrier: address(&written.carrier),
        core: address(&written.core),
        management: address(&written.management),
        spare: Vec::new(),
        profile: written.profile.clone(),
        calls: written.calls,
    }
}

fn replay(recording: &Recording) -> Machine {
    let root = tempfile::tempdir().unwrap();
    recording.lay(root.path()).unwrap();
    detect(root.path()).unwrap()
}

fn golden(name: &str) {
    let (written, recording) = written(name);
    let machine = replay(&recording);
    // What goes through a file comes back.
    assert_eq!(
        replay(&Recording::parse(&recording.text()).unwrap()),
        machine
    );
    let profiles = Profiles::built_in().unwrap();
    let mut text = String::new();
    match plan(&profiles, &machine, &wishes(&written.wishes)) {
        Ok(plan) => {
            write!(
                text,
                "{plan}\nConfiguration\n{}\nFiles\n",
                plan.configuration()
            )
            .unwrap();
            for file in files(&plan) {
                writeln!(text, "/{}\n{}", file.path, file.text).unwrap();
            }
            // No machine is as planned before it was started anew.
            assert!(!verify(&plan, &machine).is_empty());
        }
        Err(error) => writeln!(text, "Refused: {error}").unwrap(),
    }
    let file = folder("goldens").join(format!("{name}.txt"));
    if std::env::var("TANDEM_GOLDENS").is_ok_and(|what| what == "write") {
        fs::write(&file, &text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{}", file.display());
}

macro_rules! machines {
    ($($name:ident)*) => {
        $(#[test] fn $name() { golden(stringify!($name)); })*

        #[test]
        fn every_machine_has_its_test() {
            let mut written: Vec<_> = fs::read_dir(folder("machines"))
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            written.sort();
            let mut tested = vec![$(stringify!($name).to_owned()),*];
            tested.sort();
            assert_eq!(written, tested);
        }
    };
}

machines! {
    two_sockets_82599
    one_socket_x710
    e810_hyper_threading
    connectx5_bifurcated
    connectx6_two_cards
    one_port_only
    sr_iov_physical
    sr_iov_virtual
    no_iommu
    too_few_cores
    one_core
    qemu_virtio
    qemu_e1000
    vmware
    aws_ena
    gigabit_i350
    narrow_slot
    ports_on_the_other_node
    wrong_profile
    no_profile
    management_is_asked_for
    fewer_calls
    no_cards
}

/// The machine after its plan was carried out and it was started anew.
fn carried_out(recording: &Recording, plan: &tandem_hwprofiles::Plan) -> Recording {
    let mut after = recording.clone();
    after
        .files
        .insert("proc/cmdline".into(), plan.kernel_arguments.join(" "));
    for port in plan.ports.iter().filter(|port| port.role.is_relayed()) {
        let driver = format!("sys/bus/pci/devices/{}/driver", port.address);
        after.links.insert(driver, "vfio-pci".into());
    }
    for pages in &plan.huge_pages {
        let folder = format!(
            "sys/devices/system/node/node{}/hugepages/hugepages-{}kB",
            pages.node,
            pages.size.kilobytes()
        );
        after
            .files
            .insert(format!("{folder}/nr_hugepages"), pages.count.to_string());
    }
    after
}

#[test]
fn a_machine_that_was_started_anew_is_as_planned_and_each_difference_is_named() {
    let (written, recording) = written("two_sockets_82599");
    let profiles = Profiles::built_in().unwrap();
    let plan = plan(&profiles, &replay(&recording), &wishes(&written.wishes)).unwrap();
    // The plan is kept in a file in between.
    let kept: tandem_hwprofiles::Plan =
        serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(kept, plan);
    let after = carried_out(&recording, &plan);
    assert_eq!(verify(&plan, &replay(&after)), []);

    let says = |change: &dyn Fn(&mut Recording)| {
        let mut changed = after.clone();
        change(&mut changed);
        let differences = verify(&plan, &replay(&changed));
        let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        texts.concat()
    };
    let port = "sys/bus/pci/devices/0000:af:00.1";
    let text = says(&|r| {
        r.links.insert(format!("{port}/driver"), "ixgbe".into());
    });
    assert!(
        text.contains("0000:af:00.1 is with ixgbe, not with vfio-pci"),
        "{text}"
    );
    let text = says(&|r| {
        r.links.remove(&format!("{port}/driver"));
    });
    assert!(text.contains("with no driver"), "{text}");
    let text = says(&|r| r.files.retain(|path, _| !path.starts_with(port)));
    assert!(text.contains("no network card at 0000:af:00.1"), "{text}");
    let text = says(&|r| r.files.retain(|path, _| !path.contains("iommu_groups")));
    assert!(text.contains("no IOMMU"), "{text}");
    let text = says(&|r| {
        r.files
            .insert("sys/class/net/enp175s0f0/carrier".into(), "0".into());
    });
    assert!(text.contains("no cable is in 0000:af:00.0"), "{text}");
    let text = says(&|r| {
        let file = "sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages";
        r.files.insert(file.into(), "0".into());
    });
    assert!(
        text.contains("node 1 has 0 huge pages of 1G, 1 were planned"),
        "{text}"
    );
    let text = says(&|r| {
        let line = r.files.get_mut("proc/cmdline").unwrap();
        *line = line.replace("nowatchdog", "");
    });
    assert!(text.contains("without nowatchdog"), "{text}");
    let text = says(&|r| {
        r.files
            .insert("sys/devices/system/cpu/online".into(), "0-15,17-63".into());
    });
    assert!(text.contains("core 16 is not online"), "{text}");
}

#[test]
fn what_is_no_machine_is_said() {
    let root = tempfile::tempdir().unwrap();
    let error = detect(root.path()).unwrap_err().to_string();
    assert!(error.contains("proc/cpuinfo"), "{error}");
    let (_, mut recording) = written("two_sockets_82599");
    let cores = "sys/devices/system/cpu/online".to_owned();
    recording.files.insert(cores, "all".into());
    recording.lay(root.path()).unwrap();
    let error = detect(root.path()).unwrap_err().to_string();
    assert!(error.contains("\"all\" is not a list of cores"), "{error}");
    let escape = Recording {
        files: BTreeMap::from([("../outside".to_owned(), String::new())]),
        links: BTreeMap::new(),
    };
    let error = escape.lay(root.path()).unwrap_err().to_string();
    assert!(error.contains("leads out"), "{error}");
    assert!(Recording::parse("nonsense = 1").is_err());
}

#[test]
fn this_machine_can_be_recorded_and_read() {
    let recording = Recording::of(Path::new("/"));
    let replayed = replay(&recording);
    assert_eq!(replayed.cores, detect(Path::new("/")).unwrap().cores);
    assert_eq!(replayed.nics, detect(Path::new("/")).unwrap().nics);
}

#[test]
fn ports_stay_where_a_plan_of_before_has_them() {
    let (_, recording) = written("one_socket_x710");
    let mut machine = replay(&recording);
    let profiles = Profiles::built_in().unwrap();
    let before = plan(&profiles, &machine, &Wishes::default()).unwrap();
    let roles = |wishes: &Wishes, machine: &Machine| {
        let plan = plan(&profiles, machine, wishes).unwrap();
        let named = plan.ports.iter().filter(|p| p.role != Role::Spare);
        let mut named: Vec<_> = named.map(|p| format!("{} {}", p.role, p.address)).collect();
        named.sort();
        named
    };
    // DPDK has its ports: nobody knows of their cables any more; management's default route is not in the main table, and the two
    // free ports have got cables.
    for nic in &mut machine.nics {
        nic.has_default_route = false;
        nic.carrier = Some(
            nic.address.to_string().ends_with(".2") || nic.address.to_string().ends_with(".3"),
        );
    }
    let wishes = Wishes::default().or_planned(&before, &machine);
    let as_before = [
        "carrier 0000:3b:00.0",
        "core 0000:3b:00.1",
        "management 0000:01:00.0",
    ];
    assert_eq!(roles(&wishes, &machine), as_before);
    // Who names a port gets it, and nobody else.
    let port = |text: &str| text.parse().unwrap();
    let wishes = Wishes {
        carrier: Some(port("0000:3b:00.1")),
        spare: vec![port("0000:3b:00.2")],
        ..Wishes::default()
    };
    let wishes = wishes.or_planned(&before, &machine);
    assert_eq!(
        roles(&wishes, &machine),
        [
            "carrier 0000:3b:00.1",
            "core 0000:3b:00.3",
            "management 0000:01:00.0"
        ]
    );
    // A port that is gone is not wanted any more.
    machine
        .nics
        .retain(|nic| nic.address != port("0000:3b:00.0"));
    let wishes = Wishes::default().or_planned(&before, &machine);
    assert_eq!(wishes.carrier, None);
    assert_eq!(wishes.core, Some(port("0000:3b:00.1")));
}
