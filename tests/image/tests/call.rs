//! A SIP call with media from one network through the booted appliance's ports to another, and 5,000 packets a second.
//!
//! The ports are cards behind an IOMMU (virtio's, or Intel's 82574L), given to vfio-pci by the appliance itself; each is on a bridge
//! with the wires of the laboratory of tests/e2e, whose peers call as they do there. The calls go through the machine's second start, as
//! the hardware plan has it.
#![allow(missing_docs)]

use std::fs;
use std::time::Duration;

use tandem_e2e::capture::{Capture, missing};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{
    CALLER, CARRIER_LINK, CARRIER_PORT, CARRIER_TAP, CORE_LINK, CORE_PORT, CORE_TAP, INSIDE,
    OUTSIDE, SERVERS, sip,
};
use tandem_e2e::{Lab, Process};
use tandem_image_tests::{Disk, Failure, Firmware, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "boots the image: make image-test"]
fn bios() -> Result<()> {
    calls(&VIRTIO, Options::default(), 2_048)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn uefi() -> Result<()> {
    let options = Options {
        firmware: Firmware::Uefi,
        ..Options::default()
    };
    calls(&VIRTIO, options, 2_048)
}

#[test]
#[ignore = "boots the image: make image-test"]
fn intel() -> Result<()> {
    calls(&INTEL, Options::default(), 2_048)
}

/// A node with so much memory that the plan takes pages of 1 GB. QEMU takes of this machine what the guest touches.
#[test]
#[ignore = "boots the image: make image-test"]
fn pages_of_1_gb() -> Result<()> {
    let options = Options {
        memory_mib: 18 << 10,
        ..Options::default()
    };
    calls(&VIRTIO, options, 1_048_576)
}

/// The cards of both sides.
struct Cards {
    /// QEMU's device, and its options.
    device: &'static str,
    options: &'static str,
    /// Our profile of it.
    profile: &'static str,
}

const VIRTIO: Cards = Cards {
    device: "virtio-net-pci",
    options: ",iommu_platform=on,disable-legacy=on",
    profile: "virtio",
};

/// The 82574L.
const INTEL: Cards = Cards {
    device: "e1000e",
    options: "",
    profile: "e1000",
};

fn calls(cards: &Cards, options: Options, pages: u32) -> Result<()> {
    let lab = wires()?;
    // All of it on one thread, where QEMU's devices are: QEMU ends with the thread that started it.
    lab.appliance
        .enter(|| {
            through(&lab, cards, options, pages).map_err(|error| tandem_e2e::Failure::new(error.0))
        })
        .map_err(said)
}

fn through(lab: &Lab, cards: &Cards, options: Options, pages: u32) -> Result<()> {
    let disk = Disk::of(&Image::built()?, 3 << 30)?;
    disk.plant_shell()?;
    preload(&disk)?;
    let options = Options {
        arguments: ports(cards),
        ..options
    };
    let mut machine = Machine::start(&disk, &options)?;

    // What whoever stands before the machine reads.
    let console = machine.console();
    console.wait_for("taken over from /boot/efi/tandem-preload", patience(160))?;
    console.wait_for("this machine is edge-1", patience(60))?;
    let plan = console.wait_for("0000:00:12.0 is with vfio-pci", patience(60))?;
    for line in [
        "0000:00:10.0 management (virtio)".to_owned(),
        format!("0000:00:11.0 carrier ({})", cards.profile),
        format!("0000:00:12.0 core ({})", cards.profile),
        "0000:00:11.0 is with vfio-pci".to_owned(),
    ] {
        assert!(plan.contains(&line), "{line}:\n{plan}");
    }
    both_planes(&mut machine)?;
    confined(&mut machine)?;
    // What the plan asks of the kernel is in force from the second start on.
    machine.reboot()?;
    both_planes(&mut machine)?;
    as_planned(&mut machine, pages)?;

    let rows = format!(
        "INSERT INTO dispatcher (setid, destination, description) VALUES (1, 'sip:{}', 'one');\n\
         INSERT INTO address (grp, ip_addr, mask, port, tag) VALUES (1, '{CALLER}', 32, 0, 'lab');",
        sip(SERVERS[0])
    );
    let _server = Server::start(lab, &lab.core, "server", SERVERS[0]).map_err(said)?;
    machine.run(
        &format!("runuser -u tandem-sigplane -- sqlite3 -cmd '.timeout 20000' /var/lib/tandem/tandem.db <<'END'\n{rows}\nEND\ntandemctl dispatcher reload"),
        patience(60),
    )?;
    machine.until("tandemctl dispatcher list", "active", patience(60))?;

    one_call(lab, &mut machine)?;
    five_thousand(lab, &mut machine)?;
    machine.shut_down()
}

/// Both are up, and have a session with each other.
fn both_planes(machine: &mut Machine) -> Result<()> {
    machine.until(
        "systemctl is-active tandem-dataplane tandem-sigplane | sort -u",
        "active",
        patience(120),
    )?;
    machine.until("tandemctl status", "up", patience(60))?;
    let failed = machine.run("systemctl --no-pager --failed --no-legend --plain", SHORT)?;
    assert_eq!(
        failed,
        "",
        "{}",
        machine.run("journalctl -b --no-pager -n 80", SHORT)?
    );
    Ok(())
}

/// The machine is as the plan has it: huge pages of this size (kB) set aside and in use, the worker alone on its core.
fn as_planned(machine: &mut Machine, pages: u32) -> Result<()> {
    let (status, said) = machine.run_for_status("tandemctl hw verify", SHORT)?;
    println!("{said}");
    assert_eq!(status, 0, "{said}");
    let kernel = machine.run(
        "cat /sys/devices/system/cpu/isolated /proc/cmdline; for thread in /proc/$(systemctl --no-pager show -P MainPID tandem-dataplane)/task/*; do \
         echo $(cat $thread/comm): $(sed -n 's/^Cpus_allowed_list:\\s*//p' $thread/status); done",
        SHORT,
    )?;
    println!("{kernel}");
    assert!(
        kernel.starts_with("1\n") && kernel.contains("worker-0: 1"),
        "{kernel}"
    );
    let pages = machine.run(
        &format!("cd /sys/kernel/mm/hugepages/hugepages-{pages}kB && echo $(cat nr_hugepages) $(cat free_hugepages)"),
        SHORT,
    )?;
    println!("huge pages set aside and free: {pages}");
    let mut counts = pages.split(' ').map(|n| n.parse::<u32>().unwrap_or(0));
    let (all, free) = (counts.next().unwrap_or(0), counts.next().unwrap_or(0));
    assert!(free < all, "{pages}");
    Ok(())
}

/// The services run as they are meant to, and management is closed to the sides of the calls.
fn confined(machine: &mut Machine) -> Result<()> {
    let users = machine.run(
        "for plane in dataplane sigplane; do stat -c %U /proc/$(systemctl --no-pager show -P MainPID tandem-$plane); done; \
         grep -h NoNewPrivs /proc/$(systemctl --no-pager show -P MainPID tandem-dataplane)/status | tr -d '\\t'",
        SHORT,
    )?;
    assert_eq!(users, "tandem-dataplane\ntandem-sigplane\nNoNewPrivs:1");
    let rules = machine.run("nft list table inet tandem", SHORT)?;
    assert!(rules.contains("policy drop"), "{rules}");
    let tap = machine.run(
        "ip -d link show tnd-carrier; ip addr show tnd-carrier",
        SHORT,
    )?;
    assert!(
        tap.contains("tun type tap") && tap.contains("persist on"),
        "{tap}"
    );
    assert!(
        tap.contains("52:54:00:00:00:11") && tap.contains("192.0.2.10/24"),
        "{tap}"
    );
    let figure = machine.run(
        "systemd-analyze security --no-pager tandem-sigplane | tail -n 1",
        SHORT,
    )?;
    println!("{figure}");
    Ok(())
}

/// By sipp with media, each packet compared: all that one side sent came to the other, as it was.
fn one_call(lab: &Lab, machine: &mut Machine) -> Result<()> {
    let outside = Capture::start(lab, &lab.carrier, "outside", CARRIER_LINK).map_err(said)?;
    let within = Capture::start(lab, &lab.core, "inside", CORE_LINK).map_err(said)?;
    let calls = Calls {
        talk: Duration::from_secs(5),
        ..Calls::default()
    };
    let caller = Caller::start(lab, &lab.carrier, "caller", &calls).map_err(said)?;
    let tally = caller.finish(patience(40)).map_err(said)?;
    if (tally.successful, tally.failed) != (1, 0) {
        let log = machine.run(
            "tandemctl counters; journalctl -b --no-pager -u 'tandem-*' -n 60",
            SHORT,
        )?;
        return Err(Failure::new(format!("the call failed: {tally:?}\n{log}")));
    }
    let (outside, within) = (
        outside.finish().map_err(said)?,
        within.finish().map_err(said)?,
    );
    let sent = outside.from(CALLER);
    assert!(sent.len() > 80, "{} packets sent", sent.len());
    assert_eq!(
        within.from(INSIDE),
        sent,
        "from the caller to the server, byte by byte"
    );
    let echoed = within.to(INSIDE);
    assert!(echoed.len() > 80, "{} packets echoed", echoed.len());
    assert_eq!(
        missing(&echoed, &outside.from(OUTSIDE)),
        0,
        "from the server to the caller"
    );
    println!(
        "one call: {} packets there, {} back, none lost",
        sent.len(),
        echoed.len()
    );
    Ok(())
}

/// Fifty calls, each with fifty packets a second in both directions.
fn five_thousand(lab: &Lab, machine: &mut Machine) -> Result<()> {
    let seconds = 30;
    // The generator has the peers' addresses, on wires of its own.
    for (namespace, link) in [(&lab.carrier, CARRIER_LINK), (&lab.core, CORE_LINK)] {
        namespace
            .run(&format!("ip link set {link} down"))
            .map_err(said)?;
    }
    let port = |number: usize, name: &str, address: std::net::IpAddr| {
        format!(
            "[port.{name}]\ndevice = \"net_af_packet{number},iface=load{number},blocksz=4096,framesz=2048,framecnt=8192,qpairs=1\"\n\
             addresses = [\"{address}/24\"]\n"
        )
    };
    let profile = lab.dir().join("load.toml");
    let figures = lab.dir().join("load.json");
    let text = format!(
        "name = \"image\"\nduration = {seconds}\n[generator]\ncore = 0\nidle = \"pause\"\nmemory_mb = 256\nmbufs = 32767\n{}{}\
         [calls]\nfrom = \"carrier:{}\"\nto = \"core:{}\"\nappliance = \"{}\"\nrate = 10\nconcurrent = 50\n\
         [pass]\nmax_lost = 0\nmax_failed_calls = 0\ngenerator_may_limit = true\n",
        port(0, "carrier", CALLER),
        port(1, "core", SERVERS[0]),
        sip(CALLER),
        sip(SERVERS[0]),
        sip(OUTSIDE)
    );
    lab.write(&profile, &text).map_err(said)?;
    let arguments = [
        "run".into(),
        profile.display().to_string(),
        "--json".into(),
        figures.display().to_string(),
    ];
    let program = tandem_e2e::binary("tandem-load").display().to_string();
    let mut load: Process = lab
        .peer(&lab.appliance, "load", &program, &arguments, lab.dir())
        .map_err(said)?;
    let status = load.wait(patience(60)).map_err(said)?;
    let talk = load.tail(40);
    println!("{talk}");
    let report = fs::read_to_string(&figures)?;
    println!("{report}");
    if !status.success() {
        let log = machine.run("tandemctl counters; tandemctl cores --seconds 1", SHORT)?;
        return Err(Failure::new(format!("{status}: {talk}\n{log}")));
    }
    Ok(())
}

/// The laboratory's namespaces, with bridges where its daemons have their ports, and a pair of wires for the generator.
fn wires() -> Result<Lab> {
    let lab = Lab::wires(tandem_e2e::Options::default()).map_err(said)?;
    for (number, (port, tap)) in [(CARRIER_PORT, CARRIER_TAP), (CORE_PORT, CORE_TAP)]
        .into_iter()
        .enumerate()
    {
        for line in [
            format!("ip link del {tap}"),
            format!("ip link add bridge{number} type bridge"),
            format!("ip tuntap add mode tap name vm{number}"),
            format!("ip link add load{number} type veth peer name wire{number}"),
            format!("ethtool -K load{number} tx off tso off gso off gro off"),
            format!("ethtool -K wire{number} tx off tso off gso off gro off"),
        ] {
            lab.appliance.run(&line).map_err(said)?;
        }
        for name in [
            port.to_owned(),
            format!("vm{number}"),
            format!("wire{number}"),
            format!("load{number}"),
            format!("bridge{number}"),
        ] {
            // Nobody in the kernel here answers for anybody.
            for setting in [
                format!("net.ipv6.conf.{name}.disable_ipv6=1"),
                format!("net.ipv4.conf.{name}.arp_ignore=8"),
            ] {
                lab.appliance
                    .run(&format!("sysctl -qw {setting}"))
                    .map_err(said)?;
            }
            if !name.starts_with("load") && !name.starts_with("bridge") {
                lab.appliance
                    .run(&format!("ip link set {name} master bridge{number}"))
                    .map_err(said)?;
            }
            lab.appliance
                .run(&format!("ip link set {name} txqueuelen 10000 up"))
                .map_err(said)?;
        }
    }
    Ok(lab)
}

/// An IOMMU, a card for management by QEMU's own network, one for each side.
fn ports(sides: &Cards) -> Vec<String> {
    let card = |number: u8, card: &Cards, of: &str| {
        [
            "-netdev".to_owned(),
            of.to_owned(),
            "-device".to_owned(),
            format!(
                "{},netdev=n{number},mac=52:54:00:00:00:{number},addr=0x{number}{}",
                card.device, card.options
            ),
        ]
    };
    let mut all = vec![
        "-device".to_owned(),
        "intel-iommu,intremap=on,caching-mode=on".to_owned(),
    ];
    all.extend(card(10, &VIRTIO, "user,id=n10,restrict=on"));
    all.extend(card(
        11,
        sides,
        "tap,id=n11,ifname=vm0,script=no,downscript=no,vhost=off",
    ));
    all.extend(card(
        12,
        sides,
        "tap,id=n12,ifname=vm1,script=no,downscript=no,vhost=off",
    ));
    all
}

/// What the flash tool would write: the configuration, and how the machine is reached. An emulated machine beside others is slow: no
/// probes that come too late, no calls refused for that.
fn preload(disk: &Disk) -> Result<()> {
    let tandem = format!(
        "[node]\nid = 1\n[dataplane]\nworkers = [1]\ncontrol_core = 0\nidle = \"pause\"\nmbufs = 16383\nmax_flows = 4096\n\
         [[port]]\nname = \"carrier\"\ndevice = \"0000:00:11.0\"\n[[port]]\nname = \"core\"\ndevice = \"0000:00:12.0\"\n\
         [[realm]]\nname = \"carrier\"\nside = \"external\"\nport = \"carrier\"\ntap = \"{CARRIER_TAP}\"\nsip = [\"{}\"]\nmedia = [\"{OUTSIDE}\"]\n\
         [[realm]]\nname = \"core\"\nside = \"internal\"\nport = \"core\"\ntap = \"{CORE_TAP}\"\nsip = [\"{}\"]\nmedia = [\"{INSIDE}\"]\n\
         [dispatcher]\nprobe_interval = 0\n[overload]\ntarget = 0\n[sip]\nworkers = 1\n",
        sip(OUTSIDE),
        sip(INSIDE)
    );
    let management = format!(
        "[realm.carrier]\naddresses = [\"{OUTSIDE}/24\"]\n[realm.core]\naddresses = [\"{INSIDE}/24\"]\n"
    );
    let key = format!(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} test\n",
        "A".repeat(60)
    );
    disk.preload(&[
        ("tandem.toml", tandem.as_str()),
        ("management.toml", &management),
        ("authorized_keys", &key),
        ("hostname", "edge-1\n"),
    ])
}

fn said(failure: tandem_e2e::Failure) -> Failure {
    Failure::new(failure.to_string())
}
