//! The console on a real terminal (tmux), against the real daemons.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tandem_e2e::generator::Generator;
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{SERVERS, sip};
use tandem_e2e::{Lab, Options, Wires, binary, wait};

const SOON: Duration = Duration::from_secs(20);

/// A terminal of so many columns and rows with the console in it.
struct Screen {
    socket: PathBuf,
    size: String,
}

impl Screen {
    fn start(
        lab: &Lab,
        name: &str,
        (columns, rows): (u16, u16),
        environment: &str,
        more: &str,
    ) -> Self {
        let socket = lab.dir().join(format!("tmux-{name}"));
        let console = binary("tandemctl");
        // For the guide's pictures: `TANDEM_CONSOLE_RECORDING=FILE`, then `tandem-console pictures FILE docs/guide/pictures`.
        let recording = match std::env::var("TANDEM_CONSOLE_RECORDING") {
            Ok(file) if name == "small" => format!("--record {file}"),
            _ => String::new(),
        };
        let shell = format!(
            "{environment} {} --config {} console {recording} {more} --log {} --log {}; echo CONSOLE-ENDED $?; stty -a | grep -o -- '-\\?echo '; exec sh",
            console.display(),
            lab.config_file().display(),
            lab.log("tandem-sigplane").display(),
            lab.log("tandem-dataplane").display(),
        );
        let screen = Self {
            socket,
            size: format!("{columns}x{rows}"),
        };
        let size = [columns.to_string(), rows.to_string()];
        screen.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "sh",
            "-c",
            &shell,
        ]);
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command
            .env("LC_ALL", "C.UTF-8")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments);
        let done = command.output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        let all: Vec<&str> = ["send-keys"]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        self.tmux(&all);
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until all words are on the screen.
    fn sees(&self, words: &[&str]) -> String {
        let seen = wait::until(format!("{words:?} on the screen"), SOON, || {
            let shown = self.shown();
            words.iter().all(|w| shown.contains(w)).then_some(shown)
        });
        seen.unwrap_or_else(|why| panic!("{why}; there is\n{}", self.shown()))
    }

    /// Waits until the screen is the one in `tests/e2e/screens`, but for its figures. `TANDEM_SCREENS=write` writes it anew.
    fn is_as_before(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screens");
        let file = folder.join(format!("{name}-{}.txt", self.size));
        if std::env::var("TANDEM_SCREENS").is_ok_and(|what| what == "write") {
            wait::pass(Duration::from_secs(3)).unwrap();
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, without_figures(&self.shown())).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        let seen = wait::until(format!("the screen of {}", file.display()), SOON, || {
            (without_figures(&self.shown()) == wanted).then_some(())
        });
        if let Err(why) = seen {
            panic!(
                "{why}; there is\n{}\ninstead of\n{wanted}",
                without_figures(&self.shown())
            );
        }
    }
}

/// What stays of a screen when nothing happens: figures are 0, bars and curves are gone, and so are the lines of logs, services and processes,
/// which are another machine's elsewhere.
fn without_figures(shown: &str) -> String {
    let is_drawn = |word: &str| word.chars().all(|c| ('\u{2580}'..='\u{259f}').contains(&c));
    let units = ["s", "min", "h", "d", "k", "M", "G"];
    let others = [" sigplane ", " dataplane  ", " process "];
    let mut text = String::new();
    for line in shown.lines() {
        if ["Services", "Logs"]
            .iter()
            .any(|list| line.trim_start().starts_with(list))
        {
            break;
        }
        if others.iter().any(|other| line.contains(other)) {
            continue;
        }
        let mut words: Vec<String> = Vec::new();
        for word in line.split_whitespace().filter(|w| !is_drawn(w)) {
            let word = figure(word);
            let is_again =
                ["0", "-"].contains(&&*word) || units.contains(&word.trim_end_matches(','));
            if !is_again || words.last().is_none_or(|last| last != "0") {
                words.push(if word == "-" { "0".to_owned() } else { word });
            }
        }
        text += &words.join(" ");
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// A word whose numbers are 0.
fn figure(word: &str) -> String {
    let mut out = String::new();
    let mut is_number = false;
    for c in word.chars() {
        is_number = c.is_ascii_digit() || (is_number && ".:".contains(c));
        if !is_number {
            out.push(c);
        } else if !out.ends_with('0') {
            out.push('0');
        }
    }
    out
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        // It may be gone already.
        let _ = command
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}

#[test]
fn every_key_does_what_it_says_on_a_real_terminal() {
    let options = Options {
        trunk: None,
        ..Options::default()
    };
    let mut lab = Lab::start(options).unwrap();
    let _first = Server::start(&lab, &lab.core, "server-1", SERVERS[0]).unwrap();
    let _second = Server::start(&lab, &lab.core, "server-2", SERVERS[1]).unwrap();
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/load/profiles");
    let more = format!("--load {}", profiles.canonicalize().unwrap().display());
    let small = Screen::start(&lab, "small", (80, 24), "", &more);
    let large = Screen::start(&lab, "large", (200, 60), "NO_COLOR=1", &more);

    // Each screen while nothing happens, on both.
    for (key, name) in [
        ("1", "main"),
        ("2", "ports"),
        ("3", "cores"),
        ("4", "calls"),
        ("5", "media"),
        ("6", "pool"),
        ("7", "users"),
        ("8", "alarms"),
        ("0", "sys"),
        ("L", "load"),
        ("?", "help"),
    ] {
        for screen in [&small, &large] {
            screen.keys(&[key]);
        }
        for screen in [&small, &large] {
            screen.is_as_before(name);
        }
    }
    for screen in [&small, &large] {
        screen.keys(&["1"]);
    }

    let calls = Calls {
        count: 400,
        rate: 10,
        talk: Duration::from_secs(6),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    // The overview, on both.
    for screen in [&small, &large] {
        screen.sees(&[
            "no alarms",
            "2 of 2 targets take calls",
            "dataplane up, session",
        ]);
    }
    small.keys(&["2"]);
    small.sees(&[
        "Ports, in a second",
        "carrier",
        "core",
        "up",
        "Dropped, by reason",
    ]);
    small.keys(&["3"]);
    small.sees(&["Workers of the dataplane", "busy %", "SIP workers"]);
    small.keys(&["Tab"]);
    small.sees(&["Calls ", "confirmed", "10.20.0.2"]);

    // A call is followed by its Call-ID to its end.
    small.keys(&["End"]);
    small.keys(&["Enter"]);
    small.sees(&[
        "Call-ID ",
        "followed until",
        "Tandem",
        "BYE",
        "200 OK (BYE)",
    ]);
    small.keys(&["Home", "Enter"]);
    small.sees(&["Via: SIP/2.0/UDP", "Call-ID:"]);
    small.keys(&["q"]);
    small.sees(&["Enter message"]);
    small.keys(&["f", "r"]);
    small.sees(&["Call-ID "]);
    small.keys(&["q"]);
    small.sees(&["end call"]);

    // One is ended (these are so short that it may be over before the answer); another is waited for by its Call-ID.
    let ended = wait::until("a call that is ended by its key", SOON, || {
        small.keys(&["End", "x"]);
        small.sees(&["End call ", "both sides get a BYE"]);
        small.keys(&["y"]);
        let told = wait::until("what became of it", SOON, || {
            let shown = small.shown();
            let words = ["is ended (", "there is no such call"];
            words.iter().any(|w| shown.contains(w)).then_some(shown)
        });
        told.unwrap().contains("is ended (").then_some(())
    });
    ended.unwrap();
    small.keys(&["c", "nobody@example.com", "Enter"]);
    small.sees(&["Call-ID nobody@example.com"]);
    small.keys(&["q"]);

    // The filter, and that it goes away again.
    small.keys(&["/", "nobody-has-this", "Enter"]);
    small.sees(&["no call has this in it", "filter: nobody-has-this"]);
    small.keys(&["q"]);
    small.sees(&["confirmed"]);
    small.keys(&["5"]);
    small.sees(&["Media flows", "caller", "callee", "MOS", "0.00"]);
    small.keys(&["Down", "PageDown", "PageUp", "End", "/", "zz", "Enter"]);
    small.sees(&["filter: zz"]);
    small.keys(&["Escape"]);

    // A target is drained, and enabled again; no says no.
    small.keys(&["6", "d"]);
    small.sees(&["Drain sip:10.20.0.21", "y yes"]);
    small.keys(&["n"]);
    small.keys(&["d"]);
    small.keys(&["y"]);
    small.sees(&["sip:10.20.0.21:5060 is draining"]);
    let draining = |state: &str| {
        let targets = lab.ctl().targets().unwrap();
        targets
            .iter()
            .any(|t| t.uri.contains("10.20.0.21") && t.state == state)
    };
    assert!(draining("draining"));
    large.keys(&["6"]);
    large.sees(&["draining", "algorithm"]);
    small.keys(&["e", "y"]);
    small.sees(&["sip:10.20.0.21:5060 is active"]);
    assert!(draining("active"));

    small.keys(&["7"]);
    small.sees(&["nobody is registered"]);
    small.keys(&["8"]);
    small.sees(&["Alarms", "none"]);
    small.keys(&["9"]);
    small.sees(&["following", "info  sigplane"]);
    small.keys(&["l"]);
    small.sees(&["warnings and errors"]);
    small.keys(&["l", "l", "l"]);
    small.keys(&["Up"]);
    small.sees(&["f follows"]);
    small.keys(&["f"]);
    small.sees(&["following"]);
    small.keys(&["/", "no-line-has-this", "Enter"]);
    small.sees(&["filter: no-line-has-this"]);
    small.keys(&["q", "C-l", "BTab"]);
    small.sees(&["Alarms", "none"]);
    small.keys(&["0"]);
    small.sees(&["none configured", "Slots and versions", "Services"]);
    small.keys(&["L"]);
    small.sees(&["Load tests"]);
    small.keys(&["?"]);
    small.sees(&["Load - help", "Everywhere"]);
    small.keys(&["1"]);
    small.sees(&["Alarms", "calls/s"]);

    // Without the dataplane, and without the signaling plane: what is known stays, with its time.
    lab.kill_dataplane();
    large.keys(&["1"]);
    large.sees(&["dataplane: no session"]);
    lab.kill_sigplane();
    for screen in [&small, &large] {
        screen.sees(&["signaling plane: not reachable since", "trying again"]);
    }
    small.keys(&["6"]);
    small.sees(&["sip:10.20.0.21:5060"]);
    lab.start_dataplane().unwrap();
    lab.start_sigplane().unwrap();
    for screen in [&small, &large] {
        wait::until("both planes again", SOON, || {
            let shown = screen.shown();
            (!shown.contains("not reachable") && !shown.contains("no session")).then_some(())
        })
        .unwrap();
    }

    // A smaller terminal, a larger one, and the end of it: the terminal is as it was.
    small.tmux(&["resize-window", "-x", "50", "-y", "15"]);
    small.sees(&["This terminal has 50 columns"]);
    small.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    small.sees(&["Targets"]);
    small.keys(&["q"]);
    small.sees(&["calls/s"]);
    small.keys(&["q"]);
    small.sees(&["CONSOLE-ENDED 0", "echo"]);
    assert!(!small.shown().contains("-echo"));
    large.keys(&["C-c"]);
    large.sees(&["CONSOLE-ENDED 0"]);
    drop(caller);
}

/// The appliance's wires lead to the generator, and below a folder is a machine that is to be set up.
#[test]
fn a_load_test_is_watched_and_ended_and_a_machine_is_set_up() {
    let options = Options {
        wires: Wires::Memif,
        pool: vec![sip(SERVERS[0])],
        probe_interval: 0,
        // A hiccup of the machine is no overload: nobody is refused.
        more: "[overload]\ntarget = 0\n".to_owned(),
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    let (profiles, root) = (lab.dir().join("profiles"), lab.dir().join("root"));
    let sections = Generator::calls(10.0, 20)
        + "hold = 1\n[pass]\nmax_failed_calls = 0\ngenerator_may_limit = true\n";
    for (name, seconds) in [("1-short", 2), ("2-long", 600)] {
        let text = Generator::profile(&lab, name, seconds, &sections);
        put(&profiles, &format!("{name}.toml"), &text);
    }
    machine(&root);
    let more = format!("--load {} --root {}", profiles.display(), root.display());
    let screen = Screen::start(&lab, "load", (80, 24), "", &more);

    // What the first start wrote, without the escapes of agetty.
    screen.sees(&["First start", "Tandem  on", "password  abcde-fghjk"]);

    // To its report, and to an end by key.
    screen.keys(&["L", "k"]);
    screen.sees(&["1-short", "2-long", "by the kernel's sockets"]);
    screen.keys(&["k", "Enter"]);
    screen.sees(&["Start ", "1-short.toml"]);
    screen.keys(&["n"]);
    screen.keys(&["x"]);
    screen.sees(&["no load test runs"]);
    screen.keys(&["Enter", "y"]);
    screen.sees(&["1-short.toml: runs", "of 2 s", "calls up"]);
    screen.sees(&["1-short.toml: PASSED", "kept", "calls failed"]);
    let calls = lab.ctl().counters().unwrap();
    screen.keys(&["Down", "Enter", "y"]);
    screen.sees(&["2-long.toml: runs", "of 600 s"]);
    screen.keys(&["q", "q"]);
    screen.sees(&["Leave the console?", "load test"]);
    screen.keys(&["n", "L", "x"]);
    screen.sees(&["Stop the load test?"]);
    screen.keys(&["y"]);
    screen.sees(&["2-long.toml: PASSED", "kept"]);
    let more_calls = lab.ctl().counters().unwrap();
    assert!(!more_calls.since(&calls).is_empty());

    set_up(&screen, &root, &lab.config_file());
    screen.keys(&["C-c"]);
    screen.sees(&["CONSOLE-ENDED 0"]);
}

fn set_up(screen: &Screen, root: &Path, configuration: &Path) {
    screen.keys(&["S"]);
    screen.sees(&["A server", "Profile proposed: intel-i350", "- "]);
    screen.keys(&["Down", "Up", "Right"]);
    screen.sees(&["0000:01:00.0", "management (prop", "eno3"]);
    // By their lights; each port its role; one as proposed again.
    screen.keys(&["b"]);
    screen.sees(&["eno1: its light"]);
    screen.keys(&["m", "Down", "k", "Down", "c", "Down", "h"]);
    screen.sees(&["HA link"]);
    screen.keys(&["n"]);
    screen.sees(&["spare (proposed)"]);
    screen.keys(&["Right", "192.0.2.0/24"]);
    screen.sees(&["192.0.2.0/24 is the network itself"]);
    screen.keys(&["BSpace", "BSpace", "BSpace", "BSpace", "9/24", "Enter"]);
    screen.keys(&["192.0.2.1", "Enter", "Enter", "10.20.0.9/24", "Right"]);
    screen.sees(&["Name of the machine"]);
    screen.keys(&[
        "edge-9",
        "Enter",
        "9",
        "Enter",
        "ssh-ed25519 AAAAC3Nza admin",
        "Left",
    ]);
    screen.sees(&["192.0.2.9/24"]);
    screen.keys(&["Right", "Right"]);
    screen.sees(&["No mistakes", "edge-9"]);
    screen.keys(&["w"]);
    screen.sees(&["Write this?"]);
    screen.keys(&["y"]);
    screen.sees(&["All is done", "not on this machine"]);
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("etc/hostname"), "edge-9\n");
    assert!(read("etc/hosts").contains("127.0.1.1 edge-9\n"));
    assert_eq!(
        read("etc/ssh/authorized_keys/tandem"),
        "ssh-ed25519 AAAAC3Nza admin\n"
    );
    assert!(read("etc/tandem/management.toml").contains("gateways = [\"192.0.2.1\"]"));
    assert!(read("etc/tandem/hardware.json").contains("\"role\": \"core\""));
    let text = fs::read_to_string(configuration).unwrap();
    let config = tandem_config::parse(&text).unwrap();
    let ports: Vec<&str> = config.ports.iter().map(|p| p.device.as_str()).collect();
    assert_eq!(
        (config.node.id, ports),
        (9, vec!["0000:01:00.2", "0000:01:00.1"])
    );
    assert!(configuration.with_extension("toml.before").exists());
    // Back, and out by Tab.
    screen.keys(&["Left"]);
    screen.sees(&["No mistakes"]);
    screen.keys(&["Tab"]);
    screen.sees(&["First start"]);
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What the kernel says of a server with four ports, and what its first start wrote.
fn machine(root: &Path) {
    let processor =
        |id: u32| format!("processor\t: {id}\nmodel name\t: Eight of them\nflags\t\t: pdpe1gb\n\n");
    put(
        root,
        "proc/cpuinfo",
        &(0..4).map(processor).collect::<String>(),
    );
    put(root, "proc/meminfo", "MemTotal:       16777216 kB\n");
    put(root, "proc/cmdline", "quiet\n");
    put(root, "sys/class/dmi/id/sys_vendor", "A server\n");
    put(root, "sys/class/dmi/id/product_name", "1\n");
    put(root, "sys/devices/system/cpu/online", "0-3\n");
    for id in 0..4 {
        let folder = format!("sys/devices/system/cpu/cpu{id}/topology");
        put(root, &format!("{folder}/core_id"), &format!("{id}\n"));
        put(root, &format!("{folder}/physical_package_id"), "0\n");
        let device = format!("sys/bus/pci/devices/0000:01:00.{id}");
        for (name, text) in [
            ("class", "0x020000\n"),
            ("vendor", "0x8086\n"),
            ("device", "0x1521\n"),
            ("numa_node", "-1\n"),
            (&*format!("net/eno{}/ifindex", id + 1), "1\n"),
        ] {
            put(root, &format!("{device}/{name}"), text);
        }
        put(root, &format!("sys/class/net/eno{}/carrier", id + 1), "1\n");
    }
    put(root, "sys/devices/system/node/node0/cpulist", "0-3\n");
    put(
        root,
        "sys/devices/system/node/node0/meminfo",
        "Node 0 MemTotal:       16777216 kB\n",
    );
    put(root, "etc/hosts", "127.0.0.1 localhost\n");
    put(
        root,
        "etc/issue.d/60-tandem.issue",
        "\n  Tandem \\e{bold}\\4 on \\l\n\n    user      tandem\n    password  abcde-fghjk\n",
    );
}
