//! The agent against other programs, over loopback: sipp both ways, and Kamailio's digest authentication.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test"
)]

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tandem_load::figures::Figures;
use tandem_load::generator::Agent as _;
use tandem_load::sip::{Agent, CallSettings, Rate, RegisterSettings, Side, Spread, Users};
use tandem_load::socket;

const LOCAL: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

/// A process that ends with the test, its children too.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, program: &str, arguments: &[&str]) -> Peer {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let errors = log.try_clone().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    command.process_group(0);
    Peer(command.spawn().unwrap_or_else(|e| panic!("{program}: {e}")))
}

/// A socket and its address, and a free port beside it for a peer.
fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn free() -> SocketAddr {
    socket().1
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Asks with OPTIONS until somebody answers.
fn wait_until_there(peer: SocketAddr) {
    let (socket, local) = socket();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let begin = Instant::now();
    for n in 0.. {
        let text = format!(
            "OPTIONS sip:{peer} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKw{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:w@{local}>;tag=1\r\nTo: <sip:{peer}>\r\nCall-ID: w{n}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = socket.send_to(text.as_bytes(), peer);
        if socket.recv(&mut [0; 2000]).is_ok() {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{peer} is silent"
        );
    }
}

fn run(agent: &mut Agent, sockets: &[UdpSocket], seconds: u64) -> Figures {
    let length = Duration::from_secs(seconds);
    socket::run("interop", agent, sockets, length, &mut |_| true).unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[test]
fn our_callers_talk_to_sipps_server() {
    let folder = folder();
    let (socket, local) = socket();
    let peer = free();
    let port = peer.port().to_string();
    let mut sipp = start(
        folder.path(),
        "sipp",
        &[
            "-sn",
            "uas",
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-nostdin",
            "-trace_err",
        ],
    );
    wait_until_bound(&mut sipp, peer, folder.path());
    let side = Side {
        port: 0,
        address: local,
    };
    let mut settings = CallSettings::new(side, None, peer, 200.0);
    settings.hold = Some(300_000_000);
    settings.limit = Some(500);
    let mut agent = Agent::new(1).with_calls(settings).unwrap();
    let figures = run(&mut agent, &[socket], 3);
    let sip = &figures.totals.sip;
    assert_eq!(
        (sip.calls_attempted, sip.calls_completed, sip.failed()),
        (500, 500, 0),
        "{sip:?}\n{}",
        log(folder.path())
    );
    assert_eq!((sip.without_media, sip.strange, sip.late), (0, 0, 0));
}

/// sipp does not answer OPTIONS as a server of calls: its port is taken when it is ready. The kernel's list is asked, since whoever tries
/// the port himself may have it just when sipp wants it.
fn wait_until_bound(sipp: &mut Peer, peer: SocketAddr, folder: &Path) {
    let begin = Instant::now();
    let bound = format!(":{:04X}", peer.port());
    let is_bound = || {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
        let mut locals = sockets
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        locals.any(|local| local.ends_with(&bound))
    };
    while !is_bound() {
        let ended = sipp.0.try_wait().unwrap();
        assert!(
            ended.is_none() && begin.elapsed() < Duration::from_secs(20),
            "sipp has not bound {peer} ({ended:?}): {}",
            log(folder)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn sipps_callers_talk_to_our_server() {
    let folder = folder();
    let (socket, local) = socket();
    let peer = free();
    let (to, port) = (local.to_string(), peer.port().to_string());
    let side = Side {
        port: 0,
        address: local,
    };
    let mut settings = CallSettings::new(side, Some(side), peer, 0.0);
    settings.ring_after = Some(0);
    settings.answer_after = 50_000_000;
    let mut agent = Agent::new(2).with_answers(&settings).unwrap();
    let mut sipp = start(
        folder.path(),
        "sipp",
        &[
            "-sn",
            "uac",
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-m",
            "300",
            "-r",
            "100",
            "-d",
            "200",
            "-nostdin",
            "-trace_err",
            &to,
        ],
    );
    let mut code = None;
    let figures = socket::run(
        "server",
        &mut agent,
        &[socket],
        Duration::from_secs(30),
        &mut |_| {
            code = sipp.0.try_wait().unwrap();
            code.is_none()
        },
    )
    .unwrap();
    let sip = &figures.totals.sip;
    let code = code.and_then(|c| c.code());
    assert_eq!(
        (code, sip.calls_taken),
        (Some(0), 300),
        "{sip:?}\n{}",
        log(folder.path())
    );
    assert_eq!((sip.unacknowledged, sip.strange), (0, 0), "{sip:?}");
    assert!(agent.done());
}

/// Kamailio, which asks everybody for the password `secret`.
fn kamailio(folder: &Path, address: SocketAddr) -> Peer {
    let config = format!(
        "debug=0\nlog_stderror=yes\nchildren=2\nlisten=udp:{address}\n\
         loadmodule \"pv.so\"\nloadmodule \"sl.so\"\nloadmodule \"auth.so\"\nloadmodule \"textops.so\"\n\
         request_route {{\n  if (is_method(\"OPTIONS\")) {{ sl_send_reply(\"200\", \"OK\"); exit; }}\n\
         if (!pv_www_authenticate(\"example.com\", \"secret\", \"0\")) {{ auth_challenge(\"example.com\", \"1\"); exit; }}\n\
         append_to_reply(\"Contact: <sip:x@127.0.0.1>\\r\\n\");\n  sl_send_reply(\"200\", \"OK\");\n}}\n"
    );
    let path: PathBuf = folder.join("kamailio.cfg");
    std::fs::write(&path, config).unwrap();
    let home = folder.display().to_string();
    let config = path.display().to_string();
    start(
        folder,
        "kamailio",
        &[
            "-DD", "-E", "-Y", &home, "-w", &home, "-m", "32", "-M", "4", "-f", &config,
        ],
    )
}

fn registering(local: SocketAddr, peer: SocketAddr, password: &str) -> RegisterSettings {
    RegisterSettings {
        from: Side {
            port: 0,
            address: local,
        },
        appliance: peer,
        rate: Rate::Constant(200.0),
        spread: Spread::Even,
        users: Users::new(300, "user%06d", password, "example.com").unwrap(),
        expires: 3_600,
        repeat: false,
    }
}

#[test]
fn kamailio_believes_our_credentials() {
    let folder = folder();
    let peer = free();
    let _kamailio = kamailio(folder.path(), peer);
    wait_until_there(peer);
    let (first, local) = socket();
    let settings = registering(local, peer, "secret");
    let mut agent = Agent::new(3).with_registrations(settings).unwrap();
    let figures = run(&mut agent, &[first], 2);
    let sip = &figures.totals.sip;
    assert_eq!(
        (
            sip.registrations_answered,
            sip.registered,
            sip.registrations_failed.len()
        ),
        (300, 300, 0),
        "{sip:?}\n{}",
        log(folder.path())
    );
    // And not others.
    let (second, local) = socket();
    let mut agent = Agent::new(4)
        .with_registrations(registering(local, peer, "wrong"))
        .unwrap();
    let figures = run(&mut agent, &[second], 1);
    let sip = &figures.totals.sip;
    assert_eq!(sip.registrations_answered, 0);
    assert!(
        sip.registrations_failed.get(&401).is_some_and(|n| *n > 50),
        "{sip:?}"
    );
}
