//! A controller, as the signaling plane is one.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::{Domain, SockAddr, Socket, Type};
use tandem_link::{
    Alarm, AlarmKind, BlockedSource, Command, CommandError, ControllerHello, CounterValue,
    DataplaneHello, Event, FlowReport, FromDataplane, MAX_MESSAGE, PortReport, ToDataplane,
    VERSION, decode, encode,
};
use tandem_shm::{DatagramMeta, Doorbell, End, Reader, Record, attach, payload_buffer};

use super::PATIENCE;

/// A connected controller with its rings.
pub(crate) struct Controller {
    socket: Socket,
    pub(crate) hello: DataplaneHello,
    /// The first reader's.
    pub(crate) ends: Vec<End>,
    bell: Doorbell,
    /// Those of the others.
    pub(crate) others: Vec<Reader>,
    seq: u64,
    /// Events that came while something else was awaited.
    pub(crate) events: Vec<Event>,
    /// The same of SIP.
    datagrams: VecDeque<(DatagramMeta, Vec<u8>)>,
}

impl Controller {
    /// Says hello and maps the rings.
    pub(crate) fn connect(path: &Path) -> Self {
        Self::connect_with(path, 1)
    }

    /// The same with so many readers.
    pub(crate) fn connect_with(path: &Path, readers: u16) -> Self {
        let socket = connect(path);
        let hello = ControllerHello {
            version: VERSION,
            controller: 1,
            readers,
        };
        socket.send(&encode(&ToDataplane::Hello(hello))).unwrap();
        let (message, mut fds) = receive(&socket).expect("an answer");
        let FromDataplane::Welcome(hello) = message else {
            panic!("{message:?}")
        };
        let memory = fds.remove(0);
        assert_eq!(fds.len(), usize::from(readers));
        let mut others = attach(memory, fds, hello.epoch, hello.workers).unwrap();
        let Reader {
            ends,
            doorbell: bell,
        } = others.remove(0);
        Self {
            socket,
            hello,
            ends,
            bell,
            others,
            seq: 0,
            events: Vec::new(),
            datagrams: VecDeque::new(),
        }
    }

    /// Gives a command; answers how it went and what belongs to it.
    pub(crate) fn command(&mut self, command: Command) -> (Result<(), CommandError>, Answers) {
        self.seq += 1;
        let port = command.port();
        let message = encode(&ToDataplane::Command {
            seq: self.seq,
            command,
        });
        if let Some(port) = port {
            return self.flow_command(port, &message);
        }
        self.socket.send(&message).unwrap();
        let mut answers = Answers::default();
        loop {
            match self.next().expect("the connection stays") {
                FromDataplane::Done { seq, result } if seq == self.seq => return (result, answers),
                FromDataplane::Flow { report, .. } => answers.flows.push(report),
                FromDataplane::Blocked { sources, .. } => answers.blocked.extend(sources),
                FromDataplane::Counters { values, .. } => answers.counters.extend(values),
                FromDataplane::Port { report, .. } => answers.ports.push(report),
                FromDataplane::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Where it does not belong.
    pub(crate) fn by_socket(&mut self, command: Command) {
        let message = ToDataplane::Command { seq: 1, command };
        self.socket.send(&encode(&message)).unwrap();
    }

    /// Through the ring of the port's owner.
    fn flow_command(&mut self, port: u16, message: &[u8]) -> (Result<(), CommandError>, Answers) {
        let owner = usize::from(self.hello.slots.owner(port));
        self.flow_command_to(owner, message)
    }

    /// Through this worker's ring, whoever owns the flow.
    pub(crate) fn flow_command_to(
        &mut self,
        worker: usize,
        message: &[u8],
    ) -> (Result<(), CommandError>, Answers) {
        let end = &mut self.ends[worker];
        end.producer.push_message(message).unwrap();
        let mut answers = Answers::default();
        let mut buffer = payload_buffer();
        let since = Instant::now();
        loop {
            match end.consumer.pop(&mut buffer).unwrap() {
                Some((Record::Message, length)) => match decode(&buffer[..length]).unwrap() {
                    FromDataplane::Done { result, .. } => return (result, answers),
                    FromDataplane::Flow { report, .. } => answers.flows.push(report),
                    other => panic!("{other:?}"),
                },
                Some((Record::Datagram(meta), length)) => {
                    self.datagrams.push_back((meta, buffer[..length].to_vec()));
                }
                // No bell rings for an answer.
                None => std::thread::yield_now(),
            }
            assert!(since.elapsed() < PATIENCE, "no answer came");
        }
    }

    /// A command that is expected to succeed.
    pub(crate) fn ok(&mut self, command: Command) -> Answers {
        let (result, answers) = self.command(command);
        assert_eq!(result, Ok(()));
        answers
    }

    /// One counter's value.
    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        let all = self.ok(Command::Counters).counters;
        let found = all.iter().find(|c: &&CounterValue| c.name == name);
        found
            .unwrap_or_else(|| panic!("there is no counter {name}"))
            .value
    }

    /// The first event that passes, past or to come.
    pub(crate) fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            if let Some(at) = self.events.iter().position(&wanted) {
                return self.events.remove(at);
            }
            match self.next().expect("the connection stays") {
                FromDataplane::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message; none when the dataplane closed the connection.
    pub(crate) fn next(&self) -> Option<FromDataplane> {
        receive(&self.socket).map(|(message, _)| message)
    }

    /// The next SIP datagram, awaited on the doorbell.
    pub(crate) fn datagram(&mut self) -> (DatagramMeta, Vec<u8>) {
        if let Some(datagram) = self.datagrams.pop_front() {
            return datagram;
        }
        let mut buffer = payload_buffer();
        let since = Instant::now();
        loop {
            for end in &mut self.ends {
                match end.consumer.pop(&mut buffer).unwrap() {
                    Some((Record::Datagram(meta), length)) => {
                        return (meta, buffer[..length].to_vec());
                    }
                    Some((Record::Message, _)) => panic!("an answer that nobody waits for"),
                    None => {}
                }
            }
            assert!(since.elapsed() < PATIENCE, "no SIP datagram came");
            if self.ends.iter().all(|end| end.consumer.prepare_sleep()) {
                use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
                use std::os::fd::AsFd as _;
                let mut fds = [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(20_000u16)).unwrap();
            }
            self.ends.iter().for_each(|end| end.consumer.awake());
            self.bell.silence();
        }
    }
}

/// What belongs to a command.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) flows: Vec<FlowReport>,
    pub(crate) counters: Vec<CounterValue>,
    pub(crate) blocked: Vec<BlockedSource>,
    pub(crate) ports: Vec<PortReport>,
}

/// The next alarm of a kind, raised or over.
pub(crate) fn alarm(controller: &mut Controller, kind: AlarmKind, raised: bool) -> Alarm {
    let fits = |event: &Event| matches!(event, Event::Alarm(alarm) if alarm.kind == kind && alarm.is_raised == raised);
    match controller.event(fits) {
        Event::Alarm(alarm) => alarm,
        other => panic!("{other:?}"),
    }
}

/// A connection that has said nothing yet.
pub(crate) fn connect(path: &Path) -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.connect(&SockAddr::unix(path).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next message with its descriptors; none when the connection was closed.
pub(crate) fn receive(socket: &Socket) -> Option<(FromDataplane, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let received =
        recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).expect("a message");
    if received.bytes == 0 {
        return None;
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Some((decode(&bytes[..received.bytes]).unwrap(), fds))
}
