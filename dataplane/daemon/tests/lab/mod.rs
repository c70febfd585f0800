//! An appliance between two namespaces, with the real daemon on it:
//!
//! ```text
//! x: 10.1.0.2 fd01::2  px ---- dx [port x] dataplane [port y] dy ---- py  10.2.0.2 fd02::2  :y
//!                           tx 10.1.0.1 fd01::1    ty 10.2.0.1 fd02::1
//! ```

#![allow(dead_code, reason = "each test uses what it needs")]

pub(crate) mod call;
pub(crate) mod controller;
pub(crate) mod thread;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What differs between tests.
pub(crate) struct Options {
    pub(crate) workers: &'static str,
    pub(crate) rx_workers: &'static str,
    pub(crate) relay_workers: &'static str,
    /// Of realm x.
    pub(crate) vlan: Option<u16>,
    pub(crate) make_taps: bool,
    /// Sides whose ports are of shared memory, whose other ends another process has, instead of veth: `xy`, `y`.
    pub(crate) memif: &'static str,
    /// Further lines of `[dataplane]`.
    pub(crate) dataplane: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: "[1]",
            rx_workers: "[0]",
            relay_workers: "[0]",
            vlan: None,
            make_taps: true,
            memif: "",
            dataplane: "",
        }
    }
}

/// The laboratory; everything is removed with it.
pub(crate) struct Lab {
    prefix: String,
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Lab {
    /// Makes the namespaces and wires.
    pub(crate) fn new(options: &Options) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("tnd-daemon-{}-{number}", std::process::id());
        // From here on it is removed whatever happens.
        let lab = Self {
            prefix,
            folder: tempfile::tempdir().unwrap(),
            daemon: None,
        };
        for name in ["a", "x", "y"] {
            run(&["ip", "netns", "add", &lab.namespace(name)]);
            lab.ip("a", "link set lo up");
        }
        for (side, net) in [("x", 1), ("y", 2)] {
            lab.wire(side, net);
            if options.make_taps {
                lab.ip("a", &format!("tuntap add mode tap name t{side}"));
                lab.ip("a", &format!("addr add 10.{net}.0.1/24 dev t{side}"));
                lab.ip("a", &format!("addr add fd0{net}::1/64 dev t{side} nodad"));
            }
        }
        std::fs::write(lab.config(), lab.text(options)).unwrap();
        lab
    }

    fn wire(&self, side: &str, net: u8) {
        let peer = self.namespace(side);
        self.ip(
            "a",
            &format!("link add name d{side} type veth peer name p{side} netns {peer}"),
        );
        // The kernel behind the port must not answer for the TAP's addresses.
        for setting in [
            "ipv4.conf.%.rp_filter=1",
            "ipv4.conf.%.arp_ignore=8",
            "ipv6.conf.%.disable_ipv6=1",
        ] {
            let setting = setting.replace('%', &format!("d{side}"));
            self.execute("a", &format!("sysctl -qw net.{setting}"));
        }
        self.execute(side, &format!("ethtool -K p{side} tx off"));
        // Else the peer would not answer while it checks its own link-local address.
        self.execute(
            side,
            &format!("sysctl -qw net.ipv6.conf.p{side}.accept_dad=0"),
        );
        self.ip(side, &format!("addr add 10.{net}.0.2/24 dev p{side}"));
        self.ip(side, &format!("addr add fd0{net}::2/64 dev p{side} nodad"));
        self.ip(side, &format!("link set dev p{side} up"));
        self.ip("a", &format!("link set dev d{side} up"));
    }

    fn text(&self, options: &Options) -> String {
        let folder = self.folder.path().display();
        let Options {
            workers,
            rx_workers,
            relay_workers,
            vlan,
            memif,
            dataplane,
            ..
        } = options;
        let mut text = format!(
            "[node]\nid = 1\nstate_dir = \"{folder}/state\"\nrun_dir = \"{folder}/run\"\n\
             [dataplane]\nworkers = {workers}\nidle = \"pause\"\nmemory_mb = 256\nmbufs = 8191\n\
             {dataplane}\
             [media]\nrelay_workers = {relay_workers}\n"
        );
        for (n, side) in [(1, "x"), (2, "y")] {
            let vlan = vlan
                .filter(|_| n == 1)
                .map_or(String::new(), |v| format!("vlan = {v}\n"));
            let kind = if n == 1 { "external" } else { "internal" };
            let device = if memif.contains(side) {
                let socket = self.memif_socket(side);
                format!(
                    "net_memif{n},role=server,mac=02:00:00:00:00:0{n},socket={},socket-abstract=no,rsize=11,bsize=4096",
                    socket.display()
                )
            } else {
                format!("net_af_packet{n},iface=d{side},framecnt=4096,blocksz=4096,framesz=2048")
            };
            text += &format!(
                "[[port]]\nname = \"{side}\"\ndevice = \"{device}\"\n\
                 rx_workers = {rx_workers}\n\
                 [[realm]]\nname = \"{side}\"\nside = \"{kind}\"\nport = \"{side}\"\n{vlan}\
                 tap = \"t{side}\"\nsip = [\"10.{n}.0.1:5060\", \"[fd0{n}::1]:5060\"]\n\
                 media = [\"10.{n}.0.1\", \"fd0{n}::1\"]\nmedia_ports = [30000, 30999]\n"
            );
        }
        text
    }

    /// Starts the daemon, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let mut child = self
            .daemon_command()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        self.daemon = Some(child);
        assert_eq!(line, "ready\n", "the daemon did not become ready");
    }

    /// The daemon's command line, in the appliance's namespace.
    pub(crate) fn daemon_command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace("a")]);
        command
            .arg(env!("CARGO_BIN_EXE_tandem-dataplane"))
            .arg("--config")
            .arg(self.config());
        command
    }

    /// Asks the daemon to stop; answers its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.daemon.take().unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        child.wait().unwrap().code()
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.daemon.as_ref().unwrap().id() as i32)
    }

    /// The daemon ended by itself: how.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        self.daemon.take().unwrap().wait().unwrap()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("tandem.toml")
    }

    /// Where a port of shared memory is offered.
    pub(crate) fn memif_socket(&self, side: &str) -> PathBuf {
        self.folder.path().join(format!("{side}.memif"))
    }

    pub(crate) fn link_socket(&self) -> PathBuf {
        self.folder.path().join("run/dataplane.sock")
    }

    /// A UDP socket in a namespace.
    pub(crate) fn udp(&self, namespace: &str, address: &str) -> UdpSocket {
        let socket = self.within(namespace, || UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Runs something in a namespace, on a thread of its own.
    pub(crate) fn within<T: Send>(&self, namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = PathBuf::from("/run/netns").join(self.namespace(namespace));
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }

    /// Whether an address answers a ping from a namespace; asked again until it does.
    pub(crate) fn pings(&self, namespace: &str, address: &str) -> bool {
        (0..10).any(|_| self.try_execute(namespace, &format!("ping -c 1 -W 2 {address}")))
    }

    pub(crate) fn ip(&self, namespace: &str, line: &str) {
        let namespace = self.namespace(namespace);
        let words = ["ip", "-n", &namespace].into_iter().chain(line.split(' '));
        run(&words.collect::<Vec<_>>());
    }

    /// Waits until an appliance's interface has a carrier, or none.
    pub(crate) fn until_carrier(&self, interface: &str, has: bool) {
        let wanted = if has { "LOWER_UP" } else { "NO-CARRIER" };
        let namespace = self.namespace("a");
        let since = std::time::Instant::now();
        loop {
            let words = ["-n", &namespace, "-o", "link", "show", "dev", interface];
            let output = Command::new("ip").args(words).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            if said.contains(wanted) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{wanted}: {said}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn execute(&self, namespace: &str, line: &str) {
        assert!(self.try_execute(namespace, line), "{line}");
    }

    fn try_execute(&self, namespace: &str, line: &str) -> bool {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(namespace)])
            .args(line.split(' '));
        command.stdout(Stdio::null()).status().unwrap().success()
    }

    pub(crate) fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in ["a", "x", "y"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(name)])
                .status();
        }
    }
}

fn run(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(status.success(), "{words:?}");
}
