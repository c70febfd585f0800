//! A daemon in a network namespace of its own, and what one says to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Longer than anything here takes; what is waited for past it does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const EXTERNAL: &str = "127.0.0.1:5060";

/// Puts this thread, and what it starts, into a network namespace that ends with them.
pub(crate) fn alone() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .unwrap();
    assert!(status.success());
}

/// What an HTTP server has at a path, with its head.
pub(crate) fn get(server: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    text
}

/// A directory with a configuration in it.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        lab.write_config("");
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write_config(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            r#"
[node]
id = 7
state_dir = "{dir}/state"
run_dir = "{dir}/run"

[dataplane]
workers = [0]

[[port]]
name = "carrier"
device = "net_af_packet0,iface=a"

[[port]]
name = "core"
device = "net_af_packet1,iface=b"

[[realm]]
name = "carrier"
side = "external"
port = "carrier"
tap = "tnd-carrier"
sip = ["192.0.2.10:5060"]
media = ["192.0.2.10"]

[[realm]]
name = "core"
side = "internal"
port = "core"
tap = "tnd-core"
sip = ["10.20.0.10:5060"]
media = ["10.20.0.10"]

[[sip.kernel]]
listen = "{EXTERNAL}"
side = "external"

[dispatcher]
probe_interval = 0
{more}
"#
        );
        std::fs::write(self.path("tandem.toml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-sigplane"));
        command
            .arg("--config")
            .arg(self.path("tandem.toml"))
            .stderr(Stdio::piped());
        command
    }

    /// Runs a daemon that ends by itself.
    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Starts a daemon and waits until it serves.
    pub(crate) fn start(&self) -> Daemon {
        let mut child = self.command().spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Daemon {
            child,
            log,
            seen: Vec::new(),
        };
        daemon.wait_for("ready");
        daemon
    }

    /// Asks the database with the plain tool that an administrator has.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let path = self.path("state/tandem.db");
        let output = Command::new("sqlite3")
            .arg(path)
            .args(["-cmd", ".timeout 5000", sql])
            .output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// A client of the management API.
    pub(crate) fn admin(&self) -> Admin {
        let stream = UnixStream::connect(self.path("run/admin.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Admin {
            reader: BufReader::new(stream),
        }
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Daemon {
    /// Waits for a line of the log with this text.
    pub(crate) fn wait_for(&mut self, text: &str) {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} in:\n{}", self.seen.join("\n"));
            };
            let found = line.contains(text);
            self.seen.push(line);
            if found {
                return;
            }
        }
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGHUP).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the management API.
pub(crate) struct Admin {
    reader: BufReader<UnixStream>,
}

impl Admin {
    /// Sends a line as it is and reads the answer.
    pub(crate) fn line(&mut self, line: &str) -> Value {
        self.reader
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// Calls a method; the whole answer.
    pub(crate) fn call(&mut self, method: &str) -> Value {
        let request = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method});
        let answer = self.line(&request.to_string());
        assert_eq!(answer["id"], 1);
        answer
    }
}

/// A phone on the external side.
pub(crate) struct Phone {
    socket: UdpSocket,
}

impl Phone {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&self, method: &str, call_id: &str) {
        let from = self.address();
        // With a user it is for somebody else.
        let user = if method == "OPTIONS" { "" } else { "123@" };
        let message = format!(
            "{method} sip:{user}{EXTERNAL} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK{call_id}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:a@{from}>;tag={call_id}\r\n\
             To: <sip:123@{EXTERNAL}>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 {method}\r\n\
             Contact: <sip:a@{from}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.socket.send_to(message.as_bytes(), EXTERNAL).unwrap();
    }

    /// Sends it as often as it takes (RFC 3261 section 17.1.1.2): the first final response's code.
    pub(crate) fn ask(&self, method: &str, call_id: &str) -> u16 {
        self.socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let begin = Instant::now();
        let code = loop {
            self.send(method, call_id);
            if let Some(code) = self.next_final(call_id) {
                break code;
            }
            assert!(begin.elapsed() < PATIENCE, "no response to {call_id}");
        };
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        code
    }

    /// What the answer to an OPTIONS says that we are.
    pub(crate) fn server_of(&self, call_id: &str) -> String {
        self.send("OPTIONS", call_id);
        let mut buffer = [0; 65_536];
        loop {
            let length = self.socket.recv(&mut buffer).expect("no response");
            let text = String::from_utf8_lossy(&buffer[..length]);
            let server = text.lines().find_map(|line| line.strip_prefix("Server: "));
            if let Some(server) = server.filter(|_| text.contains(call_id)) {
                return server.to_owned();
            }
        }
    }

    /// The first final response to this Call-ID; its code.
    pub(crate) fn final_code(&self, call_id: &str) -> u16 {
        self.next_final(call_id).expect("no response")
    }

    fn next_final(&self, call_id: &str) -> Option<u16> {
        let mut buffer = [0; 65_536];
        loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]);
            let code = text
                .strip_prefix("SIP/2.0 ")
                .and_then(|t| t.get(..3)?.parse().ok());
            match code {
                Some(code) if code >= 200 && text.contains(call_id) => return Some(code),
                _ => {}
            }
        }
    }
}

/// Holds a lock on a database until dropped, or released.
pub(crate) struct Locker {
    child: Child,
}

impl Locker {
    pub(crate) fn lock(path: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = "PRAGMA locking_mode=EXCLUSIVE;\nBEGIN EXCLUSIVE;\n.print locked\n";
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(commands.as_bytes())
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == "locked"));
        Self { child }
    }

    pub(crate) fn release(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
