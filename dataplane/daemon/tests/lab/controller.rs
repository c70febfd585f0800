//! A controller, as the signaling plane is one.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::{Domain, SockAddr, Socket, Type};
use tandem_link::{
    BlockedSource, Command, CommandError, ControllerHello, CounterValue, DataplaneHello, Event,
    FlowReport, FromDataplane, MAX_MESSAGE, ToDataplane, VERSION, decode, encode,
};
use tandem_shm::{DatagramMeta, Doorbell, End, Reader, attach, payload_buffer};

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
        }
    }

    /// Gives a command; answers how it went and what belongs to it.
    pub(crate) fn command(&mut self, command: Command) -> (Result<(), CommandError>, Answers) {
        self.seq += 1;
        let message = ToDataplane::Command {
            seq: self.seq,
            command,
        };
        self.socket.send(&encode(&message)).unwrap();
        let mut answers = Answers::default();
        loop {
            match self.next().expect("the connection stays") {
                FromDataplane::Done { seq, result } if seq == self.seq => return (result, answers),
                FromDataplane::Flow { report, .. } => answers.flows.push(report),
                FromDataplane::Blocked { sources, .. } => answers.blocked.extend(sources),
                FromDataplane::Counters { values, .. } => answers.counters.extend(values),
                FromDataplane::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
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
        let mut buffer = payload_buffer();
        let since = Instant::now();
        loop {
            for end in &mut self.ends {
                if let Some((meta, length)) = end.consumer.pop(&mut buffer).unwrap() {
                    return (meta, buffer[..length].to_vec());
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
