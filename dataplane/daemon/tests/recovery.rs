//! A port whose queue stalls, and a peer that dies and returns: the real daemon with a port of shared memory, whose other
//! end is a process that is stopped and killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

mod lab;

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lab::call::{rtp, spec};
use lab::controller::{Controller, alarm};
use lab::thread::{halt, release, thread};
use lab::{Lab, Options, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_dpdk::{Burst, Device, Eal, EalSettings, Mempool, Port, PortConfig};
use tandem_link::{Alarm, AlarmKind, Command, PortState};

/// Where the other end finds its socket.
const SOCKET: &str = "TANDEM_TEST_MEMIF";

/// No test by itself: the other end of a port, as a process. It says `media` for each burst with media.
///
/// It never connects twice: in DPDK 22.11 a client that closes while the server's driver is at its socket leaves a callback behind there
/// (`memif_listener_handler`), which then blocks on the next client's socket. A peer that comes again is a new process here.
#[test]
fn other_end() {
    let Ok(socket) = std::env::var(SOCKET) else {
        return;
    };
    let settings = EalSettings {
        main_core: 0,
        memory_mb: Some(64),
        devices: Vec::new(),
        further: vec![format!("--file-prefix=tnd-end-{}", std::process::id())],
    };
    let eal = Eal::init(&settings.arguments()).unwrap();
    let pool = Mempool::create(eal, "end", 4095, 0, 4096).unwrap();
    let device =
        format!("net_memif0,role=client,socket={socket},socket-abstract=no,rsize=11,bsize=4096");
    let device: Device = device.parse().unwrap();
    let mut end = Port::start(eal, &device, &PortConfig::default(), &pool).unwrap();
    let mut burst = Burst::new();
    loop {
        end.rx[0].receive(&mut burst);
        // UDP to the port of the call.
        let media = |data: &[u8]| data.get(36..38) == Some(&PORT.to_be_bytes());
        if burst.drain().filter(|packet| media(packet.data())).count() > 0 {
            println!("media");
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// The peer's UDP port on side y.
const PORT: u16 = 40_000;

struct OtherEnd {
    process: Child,
    said: Receiver<String>,
}

impl OtherEnd {
    fn start(lab: &Lab) -> Self {
        let mut process = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_end", "--nocapture"])
            .env(SOCKET, lab.memif_socket("y"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (say, said) = channel();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self { process, said }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    /// Media that is sent now arrives.
    fn await_media(&self, from: &UdpSocket, to: (std::net::IpAddr, u16)) {
        while self.said.try_recv().is_ok() {}
        let since = Instant::now();
        while !self.said.try_iter().any(|line| line == "media") {
            from.send_to(&rtp(1), to).unwrap();
            assert!(since.elapsed() < PATIENCE, "no media");
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("media after {:?}", since.elapsed());
    }
}

impl Drop for OtherEnd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A call whose media goes to the other end.
struct Running {
    controller: Controller,
    other: OtherEnd,
    from: UdpSocket,
    entry: (std::net::IpAddr, u16),
}

fn begin(lab: &mut Lab) -> Running {
    lab.start();
    lab.ip(
        "a",
        "neigh replace 10.2.0.2 lladdr 04:00:00:00:00:02 dev ty nud permanent",
    );
    let mut controller = Controller::connect(&lab.link_socket());
    alarm(&mut controller, AlarmKind::PortDown, true);
    let other = OtherEnd::start(lab);
    alarm(&mut controller, AlarmKind::PortDown, false);

    let from = lab.udp("x", "10.1.0.2:0");
    let peer = format!("10.2.0.2:{PORT}").parse().unwrap();
    let flow = spec(
        1,
        ("10.1.0.", "10.2.0."),
        Some(from.local_addr().unwrap()),
        Some(peer),
    );
    let entry = (flow.a.local, flow.a.port);
    controller.ok(Command::PutFlow(flow));
    other.await_media(&from, entry);
    Running {
        controller,
        other,
        from,
        entry,
    }
}

impl Running {
    /// The other end takes nothing any more, without a word: more than its ring holds comes for it.
    fn stall(&mut self) -> Alarm {
        let Self {
            controller,
            other,
            from,
            entry,
        } = self;
        other.signal(Signal::SIGSTOP);
        let since = Instant::now();
        while controller.counter("queues_stalled") == 0 {
            for n in 0..500 {
                from.send_to(&rtp(n), *entry).unwrap();
            }
            assert!(since.elapsed() < PATIENCE, "it does not stall");
        }
        alarm(controller, AlarmKind::QueueStalled, true)
    }
}

#[test]
fn a_stalled_port_is_restarted_and_a_peer_that_died_is_served_again() {
    let mut lab = Lab::new(&Options {
        memif: "y",
        dataplane: "stall_restart = 1\n",
        ..Options::default()
    });
    let mut call = begin(&mut lab);
    let stalled = call.stall();
    let Running {
        mut controller,
        other,
        from,
        entry,
    } = call;
    let text = "port y has a link but takes no packets: it is restarted in 1 s";
    assert_eq!((&*stalled.subject, &*stalled.text), ("y", text));
    let since = Instant::now();
    while controller.counter("ports_restarted") == 0 {
        from.send_to(&rtp(1), entry).unwrap();
        assert!(since.elapsed() < PATIENCE, "it is not restarted");
    }
    println!("restarted after {:?}", since.elapsed());
    // The peer's end has lost its link by that. Whoever keeps it starts it anew.
    alarm(&mut controller, AlarmKind::PortDown, true);
    drop(other);
    let mut other = OtherEnd::start(&lab);
    alarm(&mut controller, AlarmKind::PortDown, false);
    other.await_media(&from, entry);
    let flows = alarm(&mut controller, AlarmKind::QueueStalled, false);
    assert_eq!(flows.text, "packets flow through port y again");

    let ports = controller.ok(Command::Ports).ports;
    let seen: Vec<_> = ports
        .iter()
        .map(|p| (&*p.name, &*p.driver, p.state, p.restarts, p.link_up))
        .collect();
    assert_eq!(
        seen,
        [
            ("x", "net_af_packet", PortState::Running, 0, Some(true)),
            ("y", "net_memif", PortState::Running, 1, Some(true)),
        ]
    );
    assert_eq!(
        (ports[1].rx_queues[0].worker, ports[1].tx_queues.len()),
        (0, 1)
    );
    assert!(
        ports[1].tx.packets > 0 && ports[1].link_changes >= 2,
        "{ports:?}"
    );

    // Killed in the middle of it, and another one comes: nothing has to be restarted for that.
    for _ in 0..3 {
        other.signal(Signal::SIGKILL);
        other.process.wait().unwrap();
        for n in 0..500 {
            from.send_to(&rtp(n), entry).unwrap();
        }
        alarm(&mut controller, AlarmKind::PortDown, true);
        other = OtherEnd::start(&lab);
        alarm(&mut controller, AlarmKind::PortDown, false);
        other.await_media(&from, entry);
    }
    assert_eq!(controller.counter("ports_restarted"), 1);
    assert_eq!(controller.counter("port_restarts_failed"), 0);
    assert_eq!(lab.stop(), Some(0));
}

/// A worker that does not give its queues back: the port stays as it is, and goes on with what the worker gives too late.
#[test]
fn a_port_whose_worker_keeps_its_queues_is_not_restarted() {
    let mut lab = Lab::new(&Options {
        memif: "y",
        dataplane: "stall_restart = 3\nstuck_report = 60000\nstuck_abort = 0\n",
        ..Options::default()
    });
    let mut call = begin(&mut lab);
    call.stall();
    let worker = thread(lab.pid(), "worker-0");
    halt(worker);
    let kept = alarm(&mut call.controller, AlarmKind::QueueStalled, true);
    let text = "port y has stalled and cannot be restarted: worker 0 does not give its queues back";
    assert_eq!((&*kept.subject, &*kept.text), ("y", text));
    // What it was asked for it does now, and has it again.
    call.other.signal(Signal::SIGCONT);
    release(worker);
    alarm(&mut call.controller, AlarmKind::QueueStalled, false);
    // Not what had waited in the ring.
    let sent = |controller: &mut Controller| controller.ok(Command::Ports).ports[1].tx.packets;
    let (before, since) = (sent(&mut call.controller), Instant::now());
    while sent(&mut call.controller) < before + 100 {
        call.from.send_to(&rtp(1), call.entry).unwrap();
        assert!(since.elapsed() < PATIENCE, "nothing goes through the port");
    }
    call.other.await_media(&call.from, call.entry);
    assert_eq!(call.controller.counter("port_restarts_failed"), 1);
    assert_eq!(
        call.controller.ok(Command::Ports).ports[1].restarts_failed,
        1
    );
    assert_eq!(lab.stop(), Some(0));
}
