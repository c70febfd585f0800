//! The real daemon between real namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

mod lab;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Command as Process, Stdio};
use std::time::Instant;

use lab::call::{Call, rtp, spec};
use lab::controller::{Controller, connect, receive};
use lab::{Lab, Options, PATIENCE};
use tandem_link::{
    CaptureFilter, CaptureSpec, Command, CommandError, ControllerHello, Cookie, Direction, Event,
    FlowId, FlowSpec, FromDataplane, RefusedReason, ToDataplane, VERSION, encode,
};
use tandem_shm::{DatagramMeta, PushError, payload_buffer};
use tandem_wire::sip::{ShardTable, shard};

/// For the child that is a controller: the link's socket.
const CHILD: &str = "TANDEM_DATAPLANE_TEST_LINK";

#[test]
fn every_mistake_in_the_configuration_is_a_line_and_ends_it_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tandem.toml");
    std::fs::write(&file, "[node]\nid = 0\ncolour = 1\n").unwrap();
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_tandem-dataplane");
        let output = Process::new(program).args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, errors) = run(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("line 2: ") && errors.contains("line 3: "),
        "{errors}"
    );
    let (code, errors) = run(&[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--config FILE"), "{errors}");
}

#[test]
fn a_missing_tap_is_an_error_with_its_remedy() {
    let lab = Lab::new(&Options {
        make_taps: false,
        ..Options::default()
    });
    let output = lab.daemon_command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("ip tuntap add mode tap name tx"),
        "{errors}"
    );
}

#[test]
fn the_kernel_is_reached_over_the_ports_and_the_daemon_stops_in_order() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    for (side, address) in [
        ("x", "10.1.0.1"),
        ("x", "fd01::1"),
        ("y", "10.2.0.1"),
        ("y", "fd02::1"),
    ] {
        assert!(lab.pings(side, address), "{address} from {side}");
    }
    let mut controller = Controller::connect(&lab.link_socket());
    assert!(controller.counter("tap_written") > 0);
    assert!(controller.counter("port_x_rx_packets") > 0);
    // A second dataplane does not start, and says why.
    let second = lab.daemon_command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let errors = String::from_utf8(second.stderr).unwrap();
    assert!(errors.contains("another dataplane is running"), "{errors}");
    assert_eq!(lab.stop(), Some(0));
    assert!(!lab.link_socket().exists());
}

#[test]
fn media_crosses_in_both_directions_over_ipv4_and_ipv6() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    for (id, x, y) in [(1, "10.1.0", "10.2.0"), (2, "fd01:", "fd02:")] {
        let dot = if x.starts_with("fd") { ":" } else { "." };
        let call = Call::new(&lab, id, &format!("{x}{dot}"), &format!("{y}{dot}"));
        controller.ok(Command::PutFlow(call.spec.clone()));
        call.talk(&mut controller, 50);
        let report = controller.ok(Command::remove(&call.spec)).flows.remove(0);
        assert_eq!(report.a.latched, Some(call.x.local_addr().unwrap()));
        assert_eq!(report.b.latched, Some(call.y.local_addr().unwrap()));
        assert!(
            report.a.rtp.packets >= 50 && report.b.rtp.packets >= 50,
            "{report:?}"
        );
        assert_eq!((report.a.rtp.lost, report.b.rtp.lost), (0, 0));
    }
    assert_eq!(controller.counter("flows"), 0);
    assert_eq!(controller.counter("handed_off"), 0);
}

#[test]
fn routes_and_addresses_of_the_administrator_are_followed() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    // A media server behind a router that the appliance learns of while it runs.
    lab.ip("y", "addr add 10.9.0.2/32 dev lo");
    let mut call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    call.y = lab.udp("y", "10.9.0.2:0");
    call.spec.b.remote = Some(call.y.local_addr().unwrap());
    controller.ok(Command::PutFlow(call.spec.clone()));
    let entry = SocketAddr::new(call.spec.a.local, call.spec.a.port);
    let since = Instant::now();
    while controller.counter("drop_no_route") == 0 {
        call.x.send_to(&rtp(1), entry).unwrap();
        assert!(since.elapsed() < PATIENCE);
    }
    lab.ip("a", "route add 10.9.0.0/24 via 10.2.0.2 dev ty");
    call.talk(&mut controller, 10);
    // And forgets again.
    let before = controller.counter("drop_no_route");
    lab.ip("a", "route del 10.9.0.0/24");
    let since = Instant::now();
    while controller.counter("drop_no_route") == before {
        call.x.send_to(&rtp(2), entry).unwrap();
        assert!(since.elapsed() < PATIENCE);
    }
    assert!(controller.counter("forwarding_updates") >= 3);
}

#[test]
fn media_that_arrives_on_the_wrong_core_reaches_its_owner() {
    let mut lab = Lab::new(&Options {
        workers: "[0, 1]",
        relay_workers: "[1]",
        ..Options::default()
    });
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    assert_eq!(controller.hello.slots.workers(), [1]);
    let call = Call::new(&lab, 7, "10.1.0.", "10.2.0.");
    controller.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut controller, 50);
    assert!(controller.counter("handed_off") >= 100);
    // The veth has one queue, and it is the other worker's.
    assert!(controller.counter("tx_handed_off") >= 100);
    assert_eq!(controller.counter("hand_off_full"), 0);
}

#[test]
fn commands_that_cannot_be_carried_out_say_why() {
    let mut lab = Lab::new(&Options {
        workers: "[0, 1]",
        relay_workers: "[0, 1]",
        ..Options::default()
    });
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    let mut spec = call.spec.clone();
    spec.b.port = 30002;
    let (result, _) = controller.command(Command::PutFlow(spec));
    assert_eq!(result, Err(CommandError::TwoOwners(30000, 30002)));
    let mut spec = call.spec.clone();
    spec.a.realm = 9;
    let (result, _) = controller.command(Command::PutFlow(spec));
    assert_eq!(result, Err(CommandError::NoSuchRealm(9)));
    let nobody = Command::RemoveFlow {
        flow: FlowId(5),
        port: 30_000,
    };
    let (result, _) = controller.command(nobody);
    assert_eq!(result, Err(CommandError::NoSuchFlow));
    // Told to the other worker.
    let put = |spec: &FlowSpec| {
        encode(&ToDataplane::Command {
            seq: 99,
            command: Command::PutFlow(spec.clone()),
        })
    };
    let (result, _) = controller.flow_command_to(1, &put(&call.spec));
    assert_eq!(result, Err(CommandError::NotOwner(30_000, 0)));
    // Moved to other ports of the same worker: it is there once.
    controller.ok(Command::PutFlow(call.spec.clone()));
    let mut moved = call.spec.clone();
    (moved.a.port, moved.b.port) = (30_004, 30_004);
    controller.ok(Command::PutFlow(moved.clone()));
    let flows = controller.ok(Command::ListFlows).flows;
    assert_eq!(
        flows
            .iter()
            .map(|f| (&f.spec, f.worker))
            .collect::<Vec<_>>(),
        [(&moved, 0)]
    );
    assert_eq!(
        (
            controller.counter("flows"),
            controller.counter("flow_commands")
        ),
        (1, 6)
    );
    // What is no command on a flow is counted, and what comes behind it is done.
    let list = encode(&ToDataplane::Command {
        seq: 1,
        command: Command::ListFlows,
    });
    for nonsense in [&b"nonsense"[..], &list] {
        let producer = &mut controller.ends[0].producer;
        producer.push_message(nonsense).unwrap();
    }
    controller.ok(Command::PutFlow(moved));
    assert_eq!(controller.counter("sip_ring_corrupt"), 2);
}

#[test]
fn a_flow_command_by_the_socket_ends_the_session() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    let mut controller = Controller::connect(&lab.link_socket());
    controller.by_socket(Command::PutFlow(call.spec.clone()));
    assert_eq!(controller.next(), None);
    let mut next = Controller::connect(&lab.link_socket());
    assert_eq!(next.counter("controller_protocol"), 1);
}

#[test]
fn flows_outlive_a_killed_controller_and_a_newer_one_fences_the_older() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let call = Call::new(&lab, 42, "10.1.0.", "10.2.0.");
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_is_a_controller",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, lab.link_socket())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line.ends_with("flow installed"))
    );
    child.kill().unwrap();
    child.wait().unwrap();

    let mut first = Controller::connect(&lab.link_socket());
    assert_eq!((first.hello.flows, first.hello.epoch), (1, 2));
    let flows = first.ok(Command::ListFlows).flows;
    assert_eq!(flows.len(), 1);
    assert_eq!(
        (flows[0].spec.id, flows[0].spec.cookie),
        (FlowId(42), Cookie(4200))
    );
    first.ok(Command::PutFlow(call.spec.clone()));
    call.talk(&mut first, 10);

    let mut second = Controller::connect(&lab.link_socket());
    assert_eq!(
        (second.hello.boot, second.hello.epoch),
        (first.hello.boot, 3)
    );
    while let Some(message) = first.next() {
        assert!(matches!(message, FromDataplane::Event(_)), "{message:?}");
    }
    let meta = sip_to(&call, "10.1.0.2:5060");
    assert_eq!(
        first.ends[0].producer.push(&meta, b"late"),
        Err(PushError::Fenced)
    );
    assert_eq!(second.counter("controller_fenced"), 1);
    call.talk(&mut second, 10);
}

/// The killed controller's part; does nothing in the parent.
#[test]
fn child_is_a_controller() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let mut controller = Controller::connect(path.as_ref());
    let remote = |ip: &str| Some(SocketAddr::new(ip.parse().unwrap(), 4000));
    controller.ok(Command::PutFlow(spec(
        42,
        ("10.1.0.", "10.2.0."),
        remote("10.1.0.2"),
        remote("10.2.0.2"),
    )));
    println!("flow installed");
    // Until it is killed.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_controller_of_another_version_or_without_manners_is_refused() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let hello = |version, readers| {
        ToDataplane::Hello(ControllerHello {
            version,
            controller: 1,
            readers,
        })
    };
    for (words, reason) in [
        (
            encode(&hello(VERSION + 1, 1)),
            RefusedReason::Version { dataplane: VERSION },
        ),
        (
            encode(&hello(VERSION, 0)),
            RefusedReason::Readers { most: 64 },
        ),
        (
            encode(&hello(VERSION, 65)),
            RefusedReason::Readers { most: 64 },
        ),
        (
            encode(&ToDataplane::Command {
                seq: 1,
                command: Command::ListFlows,
            }),
            RefusedReason::NotHello,
        ),
        (vec![0xFF; 7], RefusedReason::NotHello),
    ] {
        let socket = connect(&lab.link_socket());
        socket.send(&words).unwrap();
        assert_eq!(receive(&socket).unwrap().0, FromDataplane::Refused(reason));
        assert!(receive(&socket).is_none());
    }
    let mut controller = Controller::connect(&lab.link_socket());
    assert_eq!(controller.counter("controller_refused"), 5);
}

#[test]
fn sip_goes_up_and_down_and_the_first_datagram_is_not_lost() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let phone = lab.udp("x", "10.1.0.2:5060");
    let mut controller = Controller::connect(&lab.link_socket());
    // Nobody has asked for this neighbour before: the kernel resolves it and sends the datagram.
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    let down = sip_to(&call, "10.1.0.2:5060");
    controller.ends[0]
        .producer
        .push(&down, b"OPTIONS sip:a SIP/2.0\r\n\r\n")
        .unwrap();
    let mut buffer = [0; 65_536];
    let (length, from) = phone.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"OPTIONS sip:a SIP/2.0\r\n\r\n");
    assert_eq!(from, "10.1.0.1:5060".parse().unwrap());
    assert_eq!(controller.counter("sip_sent_by_kernel"), 1);

    phone.send_to(b"SIP/2.0 200 OK\r\n\r\n", from).unwrap();
    let (meta, payload) = controller.datagram();
    assert_eq!(payload, b"SIP/2.0 200 OK\r\n\r\n");
    assert_eq!(
        (meta.realm, meta.source, meta.destination),
        (0, phone.local_addr().unwrap(), from)
    );

    // Now it is resolved, and goes through the port without the kernel.
    let mut sent = 0;
    while controller.counter("sip_sent") == 0 {
        controller.ends[0].producer.push(&down, b"again").unwrap();
        sent += 1;
        assert_eq!(phone.recv(&mut buffer).unwrap(), 5);
        assert!(sent < 1000, "the neighbour never became known");
    }

    // Longer than the MTU: in fragments, by the kernel.
    let long = vec![b'x'; 4000];
    controller.ends[0].producer.push(&down, &long).unwrap();
    assert_eq!(phone.recv(&mut buffer).unwrap(), 4000);
    assert_eq!(&buffer[..4000], &long[..]);

    // Without a controller it is counted; when the dataplane notices that it is gone is its own
    // affair.
    let since = Instant::now();
    while controller.counter("sip_no_controller") == 0 {
        drop(controller);
        phone.send_to(b"anybody there?", from).unwrap();
        controller = Controller::connect(&lab.link_socket());
        assert!(since.elapsed() < PATIENCE);
    }
    assert_eq!(controller.counter("sip_ring_corrupt"), 0);
}

#[test]
fn sip_goes_to_the_reader_that_has_its_call() {
    let mut lab = Lab::new(&Options {
        workers: "[0, 1]",
        ..Options::default()
    });
    lab.start();
    let phone = lab.udp("x", "10.1.0.2:5060");
    let ours: SocketAddr = "10.1.0.1:5060".parse().unwrap();
    let mut controller = Controller::connect_with(&lab.link_socket(), 3);
    let shards = ShardTable::deal(3);
    let mut expected = vec![Vec::new(); 3];
    for n in 0..60 {
        // Some are hidden: then the token says it.
        let call_id = match n % 3 {
            0 => format!("tnd1-{}KKKKx{n}", ["AB", "AC", "AD"][n / 3 % 3]),
            _ => format!("{n}-call@10.1.0.2"),
        };
        let message = format!("BYE sip:a@10.1.0.1 SIP/2.0\r\nCall-ID: {call_id}\r\n\r\n");
        let owner = shards.owner(shard(call_id.as_bytes()));
        expected[usize::from(owner)].push(message.into_bytes());
    }
    assert!(expected.iter().all(|of| of.len() >= 10), "{expected:?}");
    // What belongs to no call goes to the first.
    expected[0].push(b"\r\n\r\n".to_vec());
    expected[0].push(b"nonsense of nobody".to_vec());
    for message in expected.iter().flatten() {
        phone.send_to(message, ours).unwrap();
    }
    let mut first = Vec::new();
    for _ in &expected[0] {
        first.push(controller.datagram().1);
    }
    let mut got = vec![first];
    while controller.counter("sip_received") < 62 {}
    for reader in &mut controller.others {
        let mut buffer = payload_buffer();
        let mut all = Vec::new();
        for end in &mut reader.ends {
            while let Some((_, length)) = end.consumer.pop(&mut buffer).unwrap() {
                all.push(buffer[..length].to_vec());
            }
        }
        got.push(all);
    }
    for (got, expected) in got.iter_mut().zip(&mut expected) {
        got.sort();
        expected.sort();
        assert_eq!(got, expected);
    }
    assert_eq!(controller.counter("sip_without_call_id"), 2);

    // And back: from each of them to the wire.
    let call = Call::new(&lab, 1, "10.1.0.", "10.2.0.");
    let down = sip_to(&call, "10.1.0.2:5060");
    let first = &mut controller.ends[0];
    let others = controller.others.iter_mut().map(|r| &mut r.ends[0]);
    for (end, text) in std::iter::once(first).chain(others).zip(["r0", "r1", "r2"]) {
        end.producer.push(&down, text.as_bytes()).unwrap();
        let mut buffer = [0; 64];
        let length = phone.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], text.as_bytes());
    }
}

#[test]
fn a_blocked_source_is_not_heard_until_its_time_is_over() {
    let mut lab = Lab::new(&Options {
        workers: "[0, 1]",
        ..Options::default()
    });
    lab.start();
    let phone = lab.udp("x", "10.1.0.2:5060");
    let sip: SocketAddr = "10.1.0.1:5060".parse().unwrap();
    let source = "10.1.0.2".parse().unwrap();
    let mut controller = Controller::connect(&lab.link_socket());
    controller.ok(Command::Block {
        source,
        left_ms: 3_600_000,
    });
    while controller.counter("drop_blocked") < 10 {
        phone
            .send_to(b"OPTIONS sip:a SIP/2.0\r\n\r\n", sip)
            .unwrap();
    }
    assert_eq!(controller.counter("sip_received"), 0);
    assert!(lab.pings("x", "10.1.0.1"), "only SIP is dropped");

    // It outlives the controller, and the next one is told.
    drop(controller);
    let mut controller = Controller::connect(&lab.link_socket());
    let blocked = controller.ok(Command::ListBlocked).blocked;
    assert!(
        matches!(&blocked[..], [b] if b.source == source && b.left_ms > 3_000_000 && b.left_ms <= 3_600_000),
        "{blocked:?}"
    );
    controller.ok(Command::Unblock(source));
    assert_eq!(controller.counter("blocked_sources"), 0);
    phone.send_to(b"heard again", sip).unwrap();
    assert_eq!(controller.datagram().1, b"heard again");

    // A block ends by itself.
    controller.ok(Command::Block { source, left_ms: 1 });
    let since = Instant::now();
    while controller.counter("blocked_sources") > 0 {
        assert!(since.elapsed() < PATIENCE);
    }
    assert_eq!(controller.ok(Command::ListBlocked).blocked, []);
    phone.send_to(b"and again", sip).unwrap();
    assert_eq!(controller.datagram().1, b"and again");
}

#[test]
fn a_capture_shows_what_crosses_and_ends_at_its_limit() {
    let mut lab = Lab::new(&Options::default());
    lab.start();
    let mut controller = Controller::connect(&lab.link_socket());
    let phone = lab.udp("x", "10.1.0.2:5060");
    controller.ok(Command::StartCapture(CaptureSpec {
        id: 9,
        filter: CaptureFilter {
            call_ids: vec![b"one".to_vec()],
            ..CaptureFilter::default()
        },
        snaplen: 2048,
        max_packets: 2,
        max_bytes: 1 << 20,
        max_seconds: 30,
    }));
    for id in ["two", "one", "one", "one"] {
        let message = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {id}\r\n\r\n");
        phone.send_to(message.as_bytes(), "10.1.0.1:5060").unwrap();
    }
    let ended = controller.event(|e| matches!(e, Event::CaptureEnded { .. }));
    assert_eq!(ended, Event::CaptureEnded { id: 9, dropped: 0 });
    let captured: Vec<_> = controller.events.drain(..).collect();
    assert_eq!(captured.len(), 2);
    for event in captured {
        let Event::Captured {
            id,
            port,
            direction,
            data,
            length,
            ..
        } = event
        else {
            panic!()
        };
        assert_eq!((id, port, direction), (9, 0, Direction::Received));
        assert_eq!(length as usize, data.len());
        assert!(data.ends_with(b"Call-ID: one\r\n\r\n"));
    }
}

fn sip_to(call: &Call, destination: &str) -> DatagramMeta {
    DatagramMeta {
        realm: 0,
        source: SocketAddr::new(call.spec.a.local, 5060),
        destination: destination.parse().unwrap(),
        dscp: 24,
        timestamp_ns: 0,
    }
}
