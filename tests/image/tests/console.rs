//! A new machine is set up on its serial line by keys, from the password that its first boot shows to both planes at work; its own screen
//! shows the console meanwhile.
//!
//! QEMU's own networks are at the ports: management's leads to SSH.
#![allow(missing_docs)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tandem_image_tests::{Console, Disk, Failure, Image, Machine, Options, Result, patience};

const SHORT: Duration = Duration::from_secs(60);
/// Where the carrier's and the core's network of QEMU have us.
const CARRIER: &str = "192.0.2.10";
const CORE: &str = "10.20.0.10";

#[test]
#[ignore = "boots the image: make image-test"]
fn set_up_by_keys_on_the_serial_line() -> Result<()> {
    let disk = Disk::of(&Image::built()?, 3 << 30)?;
    disk.plant_shell()?;
    let key = key_pair(disk.folder())?;
    let ways = Ways::free(disk.folder())?;
    let monitor = disk.folder().join("monitor");
    let mut arguments = ports(&ways);
    arguments.extend(["-vga".to_owned(), "std".to_owned(), "-monitor".to_owned()]);
    arguments.push(format!("unix:{},server=on,wait=off", monitor.display()));
    let options = Options {
        arguments,
        ..Options::default()
    };
    let mut machine = Machine::start(&disk, &options)?;
    // It is as its first boot left it: both planes run with addresses for tests.
    machine.wait_for_shell()?;
    machine.until(BOTH_PLANES, "up", patience(120))?;

    // What whoever stands before it sees, and may do: it is set up from there as long as the password is on that screen.
    let mut monitor = UnixStream::connect(&monitor)?;
    on_its_screen(&mut machine, &["First start", "password  ", "dataplane up"])?;
    picture(&mut monitor, "tty1-first-start")?;
    press(&mut monitor, "shift-s")?;
    on_its_screen(&mut machine, &["Profile proposed: virtio"])?;
    press(&mut monitor, "right")?;
    on_its_screen(&mut machine, &["0000:00:11.0", "carrier (proposed)"])?;
    picture(&mut monitor, "tty1-ports")?;
    press(&mut monitor, "left")?;
    press(&mut monitor, "tab")?;
    on_its_screen(&mut machine, &["First start"])?;

    // What whoever has the serial line reads, and does.
    let text = machine.console().text();
    let password = text.split("password  ").nth(1);
    let password = password.and_then(|rest| rest.split_whitespace().next());
    let password = password.ok_or_else(|| Failure::new(format!("no password:\n{text}")))?;
    let mut screen = Screen::new(machine.console());
    screen.enter("")?;
    screen.sees(&["login: "])?;
    screen.enter("tandem")?;
    screen.sees(&["Password: "])?;
    screen.enter(password)?;
    screen.sees(&["tandem@", "$ "])?;
    screen.enter("sudo tandemctl console")?;
    screen.sees(&["[sudo] password for tandem"])?;
    screen.enter(password)?;
    screen.sees(&["dataplane up", "? help"])?;
    set_up(&mut screen, &key)?;
    let at = screen.at;
    // Somebody has logged in: the machine's own screen shows, and steers no more.
    press(&mut monitor, "6")?;
    press(&mut monitor, "d")?;
    on_its_screen(&mut machine, &["this screen only shows"])?;
    picture(&mut monitor, "tty1-after")?;

    // It is what was typed, and nothing else is left of what was before.
    machine.until(BOTH_PLANES, "up", patience(60))?;
    let run = |machine: &mut Machine, code: &str| machine.run(code, SHORT);
    assert_eq!(
        run(&mut machine, "hostname; cat /etc/hostname")?,
        "edge-7\nedge-7"
    );
    let hosts = run(&mut machine, "getent hosts edge-7; cat /etc/hosts")?;
    assert!(hosts.contains("127.0.1.1 edge-7"), "{hosts}");
    let issue = run(&mut machine, "ls /etc/issue.d; cat /etc/issue.d/* || true")?;
    assert!(!issue.contains("password"), "{issue}");
    let node = run(&mut machine, "grep -A 1 '^.node' /etc/tandem/tandem.toml")?;
    assert_eq!(node, "[node]\nid = 7");
    let addresses = run(&mut machine, "ip -br -4 addr")?;
    let of = |device: &str| -> Vec<String> {
        let line = addresses.lines().find(|line| line.starts_with(device));
        let words = line.into_iter().flat_map(str::split_whitespace).skip(2);
        words.map(str::to_owned).collect()
    };
    assert_eq!(of("tnd-carrier"), [format!("{CARRIER}/24")], "{addresses}");
    assert_eq!(of("tnd-core"), [format!("{CORE}/24")], "{addresses}");
    assert!(addresses.contains("10.0.2.15/24"), "{addresses}");
    let failed = run(
        &mut machine,
        "systemctl --no-pager --failed --no-legend --plain",
    )?;
    assert_eq!(failed, "");

    // Management is open to whoever may, with the key alone; the packet filter is that of what was typed.
    let told = ssh(&key, ways.management, "tandemctl status")?;
    assert!(told.contains("up"), "{told}");
    assert_eq!(banner(ways.management, patience(5)), "SSH-2.0-");
    let rules = run(&mut machine, "nft list table inet tandem")?;
    assert!(
        rules.contains("policy drop") && rules.contains("10.0.2.0/24"),
        "{rules}"
    );

    // It answers the carrier's side.
    answers_options(&ways)?;

    // The console shows it, and is left.
    let mut screen = Screen::again(machine.console(), at);
    screen.keys("1")?;
    screen.keys("\x0c")?;
    screen.sees(&["dataplane up", "node 7"])?;
    screen.keys("q")?;
    screen.sees(&["$ "])?;
    machine.shut_down()
}

const BOTH_PLANES: &str =
    "tandemctl status | grep -q '^dataplane  *up' && echo up || tandemctl status";

/// The set-up, from its first step to its last.
fn set_up(screen: &mut Screen<'_>, key: &Path) -> Result<()> {
    screen.keys("S")?;
    screen.sees(&["Profile proposed: virtio", "- "])?;
    screen.keys(RIGHT)?;
    // As proposed; and named all the same.
    screen.sees(&[
        "0000:00:10.0",
        "management",
        "0000:00:11.0",
        "carrier",
        "0000:00:12.0",
        "core",
    ])?;
    screen.keys("m")?;
    screen.keys(DOWN)?;
    screen.keys("c")?;
    screen.keys(DOWN)?;
    screen.keys("k")?;
    screen.lacks("(proposed)")?;
    screen.keys(RIGHT)?;
    screen.sees(&["Carrier: our address"])?;
    // Mistakes are told while one types.
    screen.keys("192.0.2.0/24")?;
    screen.sees(&["192.0.2.0/24 is the network itself"])?;
    for _ in 0..4 {
        screen.keys(BACKSPACE)?;
    }
    screen.keys("10/24")?;
    screen.sees(&["192.0.2.10/24"])?;
    screen.lacks("the network itself")?;
    screen.keys(ENTER)?;
    screen.keys("192.0.2.2")?;
    screen.keys(ENTER)?;
    screen.keys(ENTER)?;
    screen.keys("10.20.0.10/24")?;
    for _ in 0..5 {
        screen.keys(ENTER)?;
    }
    screen.keys("10.0.2.0/24")?;
    screen.sees(&["Management: allowed from", "10.0.2.0/24"])?;
    screen.keys(ENTER)?;
    screen.sees(&["Name of the machine"])?;
    screen.keys("edge-7")?;
    screen.keys(ENTER)?;
    screen.keys("7")?;
    screen.keys(ENTER)?;
    screen.keys(fs::read_to_string(key.with_extension("pub"))?.trim())?;
    screen.sees(&["edge-7", " admin"])?;
    screen.keys(ENTER)?;
    screen.sees(&["No mistakes", "/etc/tandem/management.toml"])?;
    screen.keys("w")?;
    screen.sees(&["Write this?"])?;
    screen.keys("y")?;
    screen.sees_within(&["All is done"], patience(120))
}

const RIGHT: &str = "\x1b[C";
const DOWN: &str = "\x1b[B";
const BACKSPACE: &str = "\x7f";
const ENTER: &str = "\r";

/// A terminal of 80 columns and 24 rows at the other end of the serial line.
struct Screen<'a> {
    console: &'a Console,
    terminal: vt100::Parser,
    /// Bytes of the line that it has shown.
    at: usize,
}

impl<'a> Screen<'a> {
    fn new(console: &'a Console) -> Self {
        let at = console.bytes_from(0, Duration::ZERO).len();
        Self::again(console, at)
    }

    /// One that sees what comes from a byte on.
    fn again(console: &'a Console, at: usize) -> Self {
        Self {
            console,
            terminal: vt100::Parser::new(24, 80, 0),
            at,
        }
    }

    fn keys(&mut self, keys: &str) -> Result<()> {
        self.console.send_bytes(keys.as_bytes())
    }

    fn enter(&mut self, line: &str) -> Result<()> {
        self.keys(&format!("{line}{ENTER}"))
    }

    /// Shows what has come, and answers where the cursor is to whoever asks, as terminals do.
    fn look(&mut self) -> Result<String> {
        const WHERE: &[u8] = b"\x1b[6n";
        let news = self.console.bytes_from(self.at, Duration::from_millis(100));
        self.at += news.len();
        self.terminal.process(&news);
        if news.windows(WHERE.len()).any(|window| window == WHERE) {
            let (row, column) = self.terminal.screen().cursor_position();
            self.keys(&format!("\x1b[{};{}R", row + 1, column + 1))?;
        }
        Ok(self.terminal.screen().contents())
    }

    fn sees(&mut self, words: &[&str]) -> Result<()> {
        self.sees_within(words, patience(20))
    }

    fn sees_within(&mut self, words: &[&str], within: Duration) -> Result<()> {
        let what = format!("{words:?}");
        self.wait(&what, within, |shown| {
            words.iter().all(|word| shown.contains(word))
        })
    }

    fn lacks(&mut self, word: &str) -> Result<()> {
        let what = format!("no {word:?} any more");
        self.wait(&what, patience(20), |shown| !shown.contains(word))
    }

    fn wait(&mut self, what: &str, within: Duration, done: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let shown = self.look()?;
            if done(&shown) {
                return Ok(());
            }
            if shown.contains(" FAILED ") || Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "the screen should show {what}; it shows:\n{shown}"
                )));
            }
        }
    }
}

/// Waits until all words are on the machine's own screen.
fn on_its_screen(machine: &mut Machine, words: &[&str]) -> Result<()> {
    let deadline = Instant::now() + patience(60);
    loop {
        let (_, shown) = machine.run_for_status("cat /dev/vcs1", SHORT)?;
        if words.iter().all(|word| shown.contains(word)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "{words:?} should be on the machine's own screen; there is:\n{shown}"
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Presses a key of the machine's own keyboard.
fn press(monitor: &mut UnixStream, key: &str) -> Result<()> {
    writeln!(monitor, "sendkey {key}")?;
    Ok(())
}

/// Keeps what is on the machine's own screen as a picture, beside the logs of consoles.
fn picture(monitor: &mut UnixStream, name: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/image/consoles");
    writeln!(monitor, "screendump {}/{name}.ppm", folder.display())?;
    Ok(())
}

/// Ports of this machine that lead to the appliance.
struct Ways {
    /// SSH by management.
    management: u16,
    /// SIP to the carrier's port.
    sip: u16,
    /// What goes over the carrier's wire (pcap).
    wire: PathBuf,
}

impl Ways {
    fn free(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        Ok(Self {
            management: listener.local_addr()?.port(),
            sip: socket.local_addr()?.port(),
            wire: folder.join("carrier.pcap"),
        })
    }
}

/// OPTIONS to the carrier's address is answered. The answer is seen on the wire: QEMU's network brings UDP to a guest that is restricted to it,
/// and takes none from there.
fn answers_options(ways: &Ways) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let request = format!(
        "OPTIONS sip:{CARRIER} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bKset-up\r\nMax-Forwards: 70\r\n\
         From: <sip:test@192.0.2.2>;tag=1\r\nTo: <sip:{CARRIER}>\r\nCall-ID: set-up@192.0.2.2\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let deadline = Instant::now() + patience(30);
    let answer = b"SIP/2.0 200 OK\r\n";
    loop {
        // As often as a transaction's client does (RFC 3261, 17.1.2.2).
        socket.send_to(request.as_bytes(), ("127.0.0.1", ways.sip))?;
        std::thread::sleep(Duration::from_millis(500));
        let wire = fs::read(&ways.wire)?;
        if wire.windows(answer.len()).any(|bytes| bytes == answer) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                "no 200 to OPTIONS on the carrier's wire".to_owned(),
            ));
        }
    }
}

/// An IOMMU, a card for management and one for each side.
fn ports(ways: &Ways) -> Vec<String> {
    let management = ways.management;
    let mut all = vec![
        "-device".to_owned(),
        "intel-iommu,intremap=on,caching-mode=on".to_owned(),
    ];
    all.extend([
        "-object".to_owned(),
        format!(
            "filter-dump,id=wire,netdev=n11,file={}",
            ways.wire.display()
        ),
    ]);
    for (number, network) in [
        (
            10,
            format!("restrict=on,hostfwd=tcp:127.0.0.1:{management}-10.0.2.15:22"),
        ),
        (
            11,
            format!(
                "restrict=on,net=192.0.2.0/24,hostfwd=udp:127.0.0.1:{}-{CARRIER}:5060",
                ways.sip
            ),
        ),
        (12, "restrict=on,net=10.20.0.0/24".to_owned()),
    ] {
        all.extend([
            "-netdev".to_owned(),
            format!("user,id=n{number},{network}"),
            "-device".to_owned(),
            format!(
                "virtio-net-pci,netdev=n{number},mac=52:54:00:00:00:{number},addr=0x{number},iommu_platform=on,disable-legacy=on"
            ),
        ]);
    }
    all
}

/// A key of the administrator's; its public half has `.pub`.
fn key_pair(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("admin");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "admin", "-f"]);
    said(command.arg(&path))?;
    Ok(path)
}

/// What a command on the appliance says, by SSH with the key.
fn ssh(key: &Path, port: u16, line: &str) -> Result<String> {
    let mut command = Command::new("ssh");
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=60",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-F").arg("none").arg("-i").arg(key);
    said(command.args(["-p", &port.to_string(), "tandem@127.0.0.1", line]))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("{:?}: {error}", command.get_program())))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(Failure::new(format!(
            "{command:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// How whoever listens greets; nothing if nobody does.
fn banner(port: u16, within: Duration) -> String {
    let greeting = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(within))?;
        let mut text = [0; 8];
        stream.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    greeting().unwrap_or_default()
}
