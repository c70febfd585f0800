//! What happens to the real daemon: stuck workers, a process that was stopped, links that come and go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

mod lab;

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use lab::call::{Call, rtp};
use lab::controller::{Controller, alarm};
use lab::thread::{halt, release, thread};
use lab::{Lab, Options, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tandem_link::{AlarmKind, Command};

/// A worker is given up after two seconds. Not less: on a busy machine one may have to wait for its core.
const IMPATIENT: Options = Options {
    workers: "[1]",
    rx_workers: "[0]",
    relay_workers: "[0]",
    vlan: None,
    make_taps: true,
    memif: "",
    dataplane: "stuck_report = 500\nstuck_abort = 2\n",
};

#[test]
fn a_stuck_worker_is_reported_and_goes_on() {
    let mut lab = Lab::new(&Options {
        dataplane: "stuck_report = 500\nstuck_abort = 0\n",
        ..Options::default()
    });
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    controller.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut controller, 5);
    let worker = thread(lab.pid(), "worker-0");
    halt(worker);
    let stuck = alarm(&mut controller, AlarmKind::WorkerStuck, true);
    assert_eq!(stuck.subject, "0");
    for part in ["worker 0 on core 1", "its thread is t (tracing stop)"] {
        assert!(stuck.text.contains(part), "{}", stuck.text);
    }
    release(worker);
    let moves = alarm(&mut controller, AlarmKind::WorkerStuck, false);
    assert!(moves.text.contains("worker 0 goes on"), "{}", moves.text);
    call.talk(&mut controller, 5);
    assert!(controller.counter("workers_stuck") >= 1);
}

#[test]
fn a_worker_that_stays_stuck_ends_the_process() {
    let mut lab = Lab::new(&IMPATIENT);
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    controller.ok(Command::Counters);
    let worker = thread(lab.pid(), "worker-0");
    halt(worker);
    alarm(&mut controller, AlarmKind::WorkerStuck, true);
    // The session ends with the process; its thread is ours to bury, as its tracer.
    let since = Instant::now();
    while controller.next().is_some() {
        assert!(since.elapsed() < PATIENCE, "it is not given up");
    }
    while waitpid(worker, Some(WaitPidFlag::__WALL)).is_ok() {}
    let ended = lab.ended();
    assert_eq!(ended.signal(), Some(Signal::SIGABRT as i32), "{ended:?}");
}

#[test]
fn a_process_that_was_stopped_goes_on_and_gives_nobody_up() {
    let mut lab = Lab::new(&IMPATIENT);
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    controller.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut controller, 5);
    kill(lab.pid(), Signal::SIGSTOP).unwrap();
    // Longer than the time after which a worker is given up: it is the time itself that is tested.
    std::thread::sleep(Duration::from_secs(4));
    kill(lab.pid(), Signal::SIGCONT).unwrap();
    let since = Instant::now();
    call.talk(&mut controller, 5);
    println!("media in both directions after {:?}", since.elapsed());
    assert!(since.elapsed() < PATIENCE / 2);
    assert!(controller.counter("control_gaps") >= 1);
    // It was not given up; a process of its own would have another boot number and no flows.
    assert_eq!(controller.counter("flows"), 1);
    assert_eq!(lab.stop(), Some(0));
}

#[test]
fn a_pulled_cable_is_reported_and_media_goes_on_when_it_is_back() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    controller.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut controller, 5);
    // The far end goes down, as with a switch; then our own interface, and with it the driver's sockets.
    for (namespace, interface) in [("y", "py"), ("a", "dy")] {
        lab.ip(namespace, &format!("link set dev {interface} down"));
        let down = alarm(&mut controller, AlarmKind::PortDown, true);
        assert_eq!((&*down.subject, &*down.text), ("y", "port y has no link"));
        assert_eq!(controller.counter("port_y_link_up"), 0);
        // Routing daemons see it on the TAP.
        lab.until_carrier("ty", false);
        // Who connects now hears of it.
        drop(controller);
        controller = Controller::connect(&lab.link_socket());
        alarm(&mut controller, AlarmKind::PortDown, true);
        // More than any queue takes: nobody waits for the port.
        let entry = (call.spec.a.local, call.spec.a.port);
        let dropped = |controller: &mut Controller| {
            controller.counter("tx_link_down") + controller.counter("drop_next_hop_unresolved")
        };
        let (before, since) = (dropped(&mut controller), Instant::now());
        while dropped(&mut controller) < before + 3_000 {
            for sequence in 0..100 {
                call.x.send_to(&rtp(sequence), entry).unwrap();
            }
            assert!(
                since.elapsed() < PATIENCE,
                "{:?}",
                controller.ok(Command::Counters)
            );
        }
        lab.ip(namespace, &format!("link set dev {interface} up"));
        alarm(&mut controller, AlarmKind::PortDown, false);
        lab.until_carrier("ty", true);
        let since = Instant::now();
        call.talk(&mut controller, 5);
        println!("{interface}: media after {:?}", since.elapsed());
    }
    assert_eq!(controller.counter("port_y_link_changes"), 4);
    assert_eq!(controller.counter("port_x_link_changes"), 0);
    assert_eq!(controller.counter("queues_stalled"), 0);
    assert_eq!(lab.stop(), Some(0));
}

/// A line of what the kernel says of a thread.
fn status(thread: Pid, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

#[test]
fn each_thread_gives_up_what_it_does_not_need() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    const NONE: &str = "0000000000000000";
    const NET_ADMIN: &str = "0000000000001000";
    const NET_RAW: &str = "0000000000002000";
    for (name, capabilities) in [
        ("tandem-dataplan", NONE),
        ("worker-0", NONE),
        ("exception", NET_RAW),
        ("ports", NONE),
        ("mirror", NET_ADMIN),
    ] {
        let thread = thread(lab.pid(), name);
        // Each gives them up itself, as the first thing that it does.
        let since = Instant::now();
        while status(thread, "Seccomp_filters") != "2" {
            assert!(since.elapsed() < PATIENCE, "{name} has no filter");
            std::thread::yield_now();
        }
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(status(thread, set), capabilities, "{name} {set}");
        }
        assert_eq!(status(thread, "CapInh"), NONE, "{name}");
        assert_eq!(status(thread, "CapBnd"), NONE, "{name}");
        assert_eq!(status(thread, "NoNewPrivs"), "1", "{name}");
        assert_eq!(status(thread, "Seccomp"), "2", "{name}");
        assert_eq!(status(thread, "Seccomp_filters"), "2", "{name}");
    }
    // Also what DPDK made before.
    let interrupts = thread(lab.pid(), "eal-intr-thread");
    assert_eq!(status(interrupts, "Seccomp_filters"), "1");
    assert!(lab.pings("x", "10.1.0.1"));
    assert_eq!(lab.stop(), Some(0));
}

#[test]
fn it_becomes_the_configured_user_and_serves_all_the_same() {
    let mut lab = Lab::new(&Options {
        dataplane: "user = \"nobody\"\n",
        ..Options::default()
    });
    lab.start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for task in std::fs::read_dir(format!("/proc/{}/task", lab.pid())).unwrap() {
        let thread = task.unwrap().file_name().into_string().unwrap();
        let thread = Pid::from_raw(thread.parse().unwrap());
        let ids = [nobody.uid.as_raw(); 4].map(|uid| uid.to_string());
        assert_eq!(status(thread, "Uid"), ids.join("\t"));
    }
    let mut controller = Controller::connect(&lab.link_socket());
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    controller.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut controller, 5);
    assert!(lab.pings("y", "fd02::1"));
    assert_eq!(lab.stop(), Some(0));
}
