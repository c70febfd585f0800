use super::*;
use crate::rings::Incoming;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept, bind, listen, recv, send, sendmsg, socket_with,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use tandem_link::{
    CommandError, Event, FlowId, FlowReport, MAX_MESSAGE, SlotTable, decode, encode,
};
use tandem_shm::{DatagramMeta, End, PushError, Record, payload_buffer};

/// The other side of the link, without packets.
struct Dataplane {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    listener: OwnedFd,
}

impl Dataplane {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dataplane.sock");
        let listener = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 4).unwrap();
        Self {
            _dir: dir,
            path,
            listener,
        }
    }

    /// Accepts the next connection and reads its hello.
    fn accept(&self) -> OwnedFd {
        let connection = accept(&self.listener).unwrap();
        let hello = ToDataplane::Hello(ControllerHello {
            version: VERSION,
            controller: 7,
            readers: 2,
        });
        assert_eq!(read(&connection), hello);
        connection
    }
}

fn read(connection: &OwnedFd) -> ToDataplane {
    let mut room = vec![0; MAX_MESSAGE];
    let (length, _) = recv(connection, &mut room, RecvFlags::empty()).unwrap();
    decode(&room[..length]).unwrap()
}

fn say(connection: &OwnedFd, message: &FromDataplane) {
    send(connection, &encode(message), SendFlags::empty()).unwrap();
}

fn hello(epoch: u32, workers: u16) -> DataplaneHello {
    DataplaneHello {
        version: VERSION,
        boot: 5,
        epoch,
        workers,
        slots: SlotTable::deal(&[0, 1]),
        realms: Vec::new(),
        flows: 0,
    }
}

fn welcome(connection: &OwnedFd, hello: &DataplaneHello, descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    let bytes = encode(&FromDataplane::Welcome(hello.clone()));
    sendmsg(
        connection,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

/// A dataplane of two workers and a controller of two readers.
fn up() -> (
    OwnedFd,
    tandem_shm::Session,
    Vec<Vec<End>>,
    Box<Session>,
    Vec<Rings>,
) {
    let dataplane = Dataplane::new();
    let handshake = Handshake::begin(&dataplane.path, 7, 2).unwrap();
    let connection = dataplane.accept();
    let Progress::Waiting(handshake) = handshake.proceed().unwrap() else {
        panic!("too early")
    };
    let (shared, ends) = tandem_shm::Session::create(3, 2, 2, 128 * 1024).unwrap();
    let mut descriptors = vec![shared.memory_fd()];
    descriptors.extend(shared.doorbell_fds());
    welcome(&connection, &hello(3, 2), &descriptors);
    let Progress::Up(session, said, rings) = handshake.proceed().unwrap() else {
        panic!("no session")
    };
    assert_eq!(said, hello(3, 2));
    assert_eq!(rings.len(), 2);
    (connection, shared, ends, session, rings)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_session_carries_commands_answers_and_datagrams() {
    let (connection, _shared, mut ends, mut session, mut rings) = up();
    session.command(1, Command::ListFlows).unwrap();
    let command = ToDataplane::Command {
        seq: 1,
        command: Command::ListFlows,
    };
    assert_eq!(read(&connection), command);
    assert_eq!(session.receive().unwrap(), None);
    let done = FromDataplane::Done {
        seq: 1,
        result: Err(CommandError::NoSuchFlow),
    };
    say(&connection, &done);
    assert_eq!(session.receive().unwrap(), Some(done));

    let (ours, theirs) = (address("192.0.2.1:5060"), address("192.0.2.2:5062"));
    let [other, rings] = &mut rings[..] else {
        panic!("two readers")
    };
    assert!(rings.prepare_sleep() && other.prepare_sleep());
    rings.awake(true);
    for (worker, ends) in ends.iter_mut().enumerate() {
        let end = &mut ends[1];
        let meta = DatagramMeta {
            realm: 1,
            source: theirs,
            destination: ours,
            dscp: 0,
            timestamp_ns: 1,
        };
        end.producer
            .push(&meta, format!("from {worker}").as_bytes())
            .unwrap();
        end.producer.flush();
    }
    assert!(!rings.prepare_sleep());
    rings.awake(true);
    assert!(other.prepare_sleep(), "it has its own");
    other.awake(true);
    assert!(other.receive().unwrap().is_none());
    for worker in 0..2 {
        let Some(Incoming::Datagram(arrival)) = rings.receive().unwrap() else {
            panic!("no datagram")
        };
        assert_eq!(
            (arrival.realm, arrival.source, arrival.local),
            (1, theirs, ours)
        );
        assert_eq!(arrival.bytes, format!("from {worker}").as_bytes());
    }
    assert!(rings.receive().unwrap().is_none());

    for n in 0..10u8 {
        rings.send(1, ours, theirs, 24, &[n]).unwrap();
    }
    rings.flush();
    let mut buffer = payload_buffer();
    let mut got = Vec::new();
    for end in ends.iter_mut().flatten() {
        while let Some((Record::Datagram(meta), length)) = end.consumer.pop(&mut buffer).unwrap() {
            assert_eq!(
                (meta.realm, meta.source, meta.destination),
                (1, ours, theirs)
            );
            assert_eq!((meta.dscp, length), (24, 1));
            got.push(buffer[0]);
        }
    }
    assert_eq!(
        got,
        (0..10).collect::<Vec<_>>(),
        "one destination, one ring, in order"
    );
}

#[test]
fn a_command_goes_to_the_owner_and_the_datagram_behind_it_follows() {
    let (_connection, _shared, mut ends, _session, mut rings) = up();
    let rings = &mut rings[0];
    let (ours, theirs) = (address("192.0.2.1:5060"), address("192.0.2.2:5061"));
    assert_eq!(rings.worker_for(theirs), 1);
    let remove = |port| Command::RemoveFlow {
        flow: FlowId(9),
        port,
    };
    // The second worker owns every other pair of ports.
    assert_eq!(rings.command(1, remove(30_000)).unwrap(), 0);
    assert_eq!(rings.command(2, remove(30_002)).unwrap(), 1);
    assert_eq!((rings.unanswered(), rings.is_waiting()), (2, false));
    rings.send(1, ours, theirs, 24, b"behind").unwrap();
    rings.flush();
    let mut buffer = payload_buffer();
    let end = &mut ends[1][0];
    let (record, length) = end.consumer.pop(&mut buffer).unwrap().unwrap();
    assert_eq!(record, Record::Message);
    let command = ToDataplane::Command {
        seq: 2,
        command: remove(30_002),
    };
    assert_eq!(decode(&buffer[..length]), Ok(command));
    let (record, length) = end.consumer.pop(&mut buffer).unwrap().unwrap();
    assert!(matches!(record, Record::Datagram(_)));
    assert_eq!(&buffer[..length], b"behind");

    let done = FromDataplane::Done {
        seq: 2,
        result: Ok(()),
    };
    end.producer.push_message(&encode(&done)).unwrap();
    let Some(Incoming::Message(message)) = rings.receive().unwrap() else {
        panic!("no answer")
    };
    assert_eq!((message, rings.unanswered()), (done, 1));
    end.producer.push_message(b"nonsense").unwrap();
    assert!(matches!(rings.receive(), Err(LinkError::Protocol(_))));
}

#[test]
fn commands_without_room_wait_in_their_order_and_not_without_end() {
    let (_connection, _shared, mut ends, _session, mut rings) = up();
    let rings = &mut rings[0];
    let (ours, theirs) = (address("192.0.2.1:5060"), address("192.0.2.2:5062"));
    assert_eq!(rings.worker_for(theirs), 0);
    let remove = Command::RemoveFlow {
        flow: FlowId(9),
        port: 30_000,
    };
    let mut given = 0;
    while !rings.is_waiting() {
        given += 1;
        assert_eq!(rings.command(given, remove.clone()).unwrap(), 0);
    }
    let behind = rings.send(1, ours, theirs, 24, b"behind");
    assert_eq!(behind, Err(PushError::Full), "it would overtake");
    let stalled = loop {
        match rings.command(given + 1, remove.clone()) {
            Ok(_) => given += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(stalled, LinkError::Stalled { messages: 16_384 }));
    let mut buffer = payload_buffer();
    let mut expected = 1;
    while expected <= given {
        while let Some((_, length)) = ends[0][0].consumer.pop(&mut buffer).unwrap() {
            let Ok(ToDataplane::Command { seq, .. }) = decode(&buffer[..length]) else {
                panic!("no command")
            };
            assert_eq!(seq, expected);
            expected += 1;
        }
        rings.flush();
    }
    assert!(!rings.is_waiting());
    rings.send(1, ours, theirs, 24, b"behind").unwrap();
}

#[test]
fn who_is_not_there_who_goes_and_who_takes_over() {
    let nowhere = std::path::Path::new("/nonexistent/dataplane.sock");
    assert!(matches!(
        Handshake::begin(nowhere, 7, 2),
        Err(LinkError::Down(_))
    ));

    let (connection, _shared, _ends, mut session, _rings) = up();
    drop(connection);
    assert!(matches!(session.receive(), Err(LinkError::Closed)));
    assert!(matches!(
        session.command(1, Command::ListFlows),
        Err(LinkError::Closed)
    ));

    let (_connection, shared, _ends, _session, mut rings) = up();
    shared.fence();
    for rings in &mut rings {
        assert!(matches!(rings.receive(), Err(LinkError::Fenced)));
    }
}

#[test]
fn a_refusal_and_nonsense_end_the_handshake() {
    type Expected = fn(&LinkError) -> bool;
    let answers: [(FromDataplane, Expected); 2] = [
        (FromDataplane::Refused(RefusedReason::NotHello), |e| {
            matches!(e, LinkError::Refused(_))
        }),
        (
            FromDataplane::Event(Event::CaptureEnded { id: 1, dropped: 0 }),
            |e| matches!(e, LinkError::Protocol(_)),
        ),
    ];
    for (answer, expected) in answers {
        let dataplane = Dataplane::new();
        let handshake = Handshake::begin(&dataplane.path, 7, 2).unwrap();
        say(&dataplane.accept(), &answer);
        let error = handshake.proceed().unwrap_err();
        assert!(expected(&error), "{error}");
    }
    let dataplane = Dataplane::new();
    let handshake = Handshake::begin(&dataplane.path, 7, 2).unwrap();
    send(dataplane.accept(), &[0xff; 20], SendFlags::empty()).unwrap();
    assert!(matches!(handshake.proceed(), Err(LinkError::Protocol(_))));
}

#[test]
fn a_welcome_whose_memory_is_not_what_it_says_is_refused() {
    let (shared, _ends) = tandem_shm::Session::create(3, 2, 2, 128 * 1024).unwrap();
    let memory = shared.memory_fd();
    let bell = shared.doorbell_fds().next().unwrap();
    let cases = [
        (hello(4, 2), vec![memory, bell, bell]),
        (hello(3, 1), vec![memory, bell, bell]),
        (hello(3, 2), vec![bell, memory, bell]),
        (hello(3, 2), vec![]),
        (hello(3, 2), vec![memory, bell]),
        (hello(3, 2), vec![memory, bell, bell, bell]),
        (
            DataplaneHello {
                version: 99,
                ..hello(3, 2)
            },
            vec![memory, bell, bell],
        ),
    ];
    for (hello, descriptors) in cases {
        let dataplane = Dataplane::new();
        let handshake = Handshake::begin(&dataplane.path, 7, 2).unwrap();
        welcome(&dataplane.accept(), &hello, &descriptors);
        assert!(
            handshake.proceed().is_err(),
            "{hello:?} with {} fds",
            descriptors.len()
        );
    }
}

#[test]
fn a_dataplane_that_does_not_read_is_noticed_and_never_waited_for() {
    let (connection, _shared, _ends, mut session, _rings) = up();
    let error = (1..1_000_000).find_map(|seq| session.command(seq, Command::ListFlows).err());
    assert!(
        matches!(error, Some(LinkError::Stalled { .. })),
        "{error:?}"
    );
    assert!(session.is_waiting());
    // And when it reads again, everything is there in order.
    for expected in 1..60_000 {
        let ToDataplane::Command { seq, .. } = read(&connection) else {
            panic!("no command")
        };
        assert_eq!(seq, expected);
        if expected % 10 == 0 {
            session.flush().unwrap();
        }
    }
}

#[test]
fn a_flow_report_comes_whole() {
    let (connection, _shared, _ends, mut session, _rings) = up();
    let leg = tandem_link::LegSpec {
        realm: 0,
        local: address("192.0.2.1:1").ip(),
        port: 30_000,
        remote: None,
        remote_rtcp: None,
        latched: None,
        latched_rtcp: None,
        learn: 0,
        dscp: 46,
        strict: false,
        event_type: None,
    };
    let report = FlowReport {
        spec: tandem_link::FlowSpec {
            id: FlowId(1),
            cookie: tandem_link::Cookie(2),
            kind: tandem_link::FlowKind::Rtp,
            media: tandem_link::MediaKind::Audio,
            clock_rate: 0,
            a: leg.clone(),
            b: leg,
            timeout_s: 60,
            limit: tandem_link::RateLimit::default(),
        },
        worker: 0,
        a: tandem_link::LegStats::default(),
        b: tandem_link::LegStats::default(),
        idle: false,
    };
    let message = FromDataplane::Flow { seq: 1, report };
    say(&connection, &message);
    assert_eq!(session.receive().unwrap(), Some(message));
}
