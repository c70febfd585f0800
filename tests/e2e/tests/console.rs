//! The console on a real terminal (tmux), against the real daemons.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::SERVERS;
use tandem_e2e::{Lab, Options, binary, wait};

const SOON: Duration = Duration::from_secs(20);

/// A terminal of so many columns and rows with the console in it.
struct Screen {
    socket: PathBuf,
}

impl Screen {
    fn start(lab: &Lab, name: &str, (columns, rows): (u16, u16), environment: &str) -> Self {
        let socket = lab.dir().join(format!("tmux-{name}"));
        let console = binary("tandemctl");
        // For the guide's pictures: `TANDEM_CONSOLE_RECORDING=FILE`, then `tandem-console pictures FILE docs/guide/pictures`.
        let recording = match std::env::var("TANDEM_CONSOLE_RECORDING") {
            Ok(file) if name == "small" => format!("--record {file}"),
            _ => String::new(),
        };
        let shell = format!(
            "{environment} {} --config {} console {recording} --log {} --log {}; echo CONSOLE-ENDED $?; stty -a | grep -o -- '-\\?echo '; exec sh",
            console.display(),
            lab.config_file().display(),
            lab.log("tandem-sigplane").display(),
            lab.log("tandem-dataplane").display(),
        );
        let screen = Self { socket };
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
    let calls = Calls {
        count: 400,
        rate: 10,
        talk: Duration::from_secs(6),
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    let small = Screen::start(&lab, "small", (80, 24), "");
    let large = Screen::start(&lab, "large", (200, 60), "NO_COLOR=1");

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
    small.keys(&["q"]);
    small.sees(&["end call"]);

    // The filter, and that it goes away again.
    small.keys(&["/", "nobody-has-this", "Enter"]);
    small.sees(&["no call has this in it", "filter: nobody-has-this"]);
    small.keys(&["q"]);
    small.sees(&["confirmed"]);
    small.keys(&["5"]);
    small.sees(&["Media flows", "caller", "callee", "MOS", "0.00"]);

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
