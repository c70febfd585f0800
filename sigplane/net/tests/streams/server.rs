//! Streams in a thread, as a daemon would drive them, and plain peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use tandem_net::{
    StreamEvent, StreamKind, StreamLimits, StreamListener, StreamSend, StreamView, Streams,
    TlsFiles,
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&mut Streams, &mut Duration) + Send>;

pub(crate) struct Server {
    jobs: Option<Sender<Job>>,
    wake: UnixStream,
    events: Receiver<StreamEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(kinds: &[StreamKind], limits: StreamLimits, tls: Option<TlsFiles>) -> Self {
        Self::on("127.0.0.1", kinds, limits, tls)
    }

    pub(crate) fn tcp() -> Self {
        Self::start(&[StreamKind::Tcp], StreamLimits::default(), None)
    }

    pub(crate) fn on(
        host: &str,
        kinds: &[StreamKind],
        limits: StreamLimits,
        tls: Option<TlsFiles>,
    ) -> Self {
        let host: IpAddr = host.parse().unwrap();
        let listener = |kind: &StreamKind| StreamListener {
            listen: (host, 0).into(),
            kind: *kind,
            ahead: false,
        };
        let listeners = kinds.iter().map(listener).collect();
        let mut streams = Streams::new(listeners, limits, tls).unwrap();
        let (jobs, orders) = channel::<Job>();
        let (told, events) = channel();
        let (wake, mut woken) = UnixStream::pair().unwrap();
        woken.set_nonblocking(true).unwrap();
        let thread = std::thread::spawn(move || {
            let mut now = Duration::from_secs(1_000);
            loop {
                let mut fds = [
                    PollFd::new(streams.as_fd(), PollFlags::POLLIN),
                    PollFd::new(woken.as_fd(), PollFlags::POLLIN),
                ];
                poll(&mut fds, PollTimeout::NONE).unwrap();
                match woken.read(&mut [0; 64]) {
                    Ok(0) => return,
                    Ok(_) => orders
                        .try_iter()
                        .for_each(|job| job(&mut streams, &mut now)),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
                loop {
                    streams.drive(now);
                    while let Some(event) = streams.event() {
                        let _ = told.send(event);
                    }
                    if streams.next_timeout().is_none_or(|at| at > now) {
                        break;
                    }
                }
            }
        });
        Self {
            jobs: Some(jobs),
            wake,
            events,
            thread: Some(thread),
        }
    }

    /// Has the thread do something with its streams.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Streams, &mut Duration) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = channel();
        let job: Job = Box::new(move |streams, now| {
            let _ = answer.send(job(streams, now));
        });
        self.jobs.as_ref().unwrap().send(job).unwrap();
        (&self.wake).write_all(b"x").unwrap();
        answered.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn address(&self, listener: u16) -> SocketAddr {
        self.ask(move |streams, _| streams.local(listener).unwrap())
    }

    /// Moves the time on.
    pub(crate) fn pass(&self, time: Duration) {
        self.ask(move |streams, now| {
            *now += time;
            streams.drive(*now);
        });
    }

    pub(crate) fn counter(&self, name: &'static str) -> u64 {
        self.ask(move |streams, _| {
            let mut counters = streams.counters();
            counters.find(|(n, _)| *n == name).unwrap().1
        })
    }

    pub(crate) fn views(&self) -> Vec<StreamView> {
        self.ask(|streams, now| streams.views(*now).collect())
    }

    /// Waits until a condition holds that the peers' doing brings about.
    pub(crate) fn until(&self, condition: impl Fn(&Streams) -> bool + Send + Clone + 'static) {
        let begin = std::time::Instant::now();
        loop {
            let condition = condition.clone();
            if self.ask(move |streams, _| condition(streams)) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "it never came so");
            std::thread::yield_now();
        }
    }

    pub(crate) fn event(&self) -> StreamEvent {
        self.events.recv_timeout(PATIENCE).expect("no event came")
    }

    /// No event up to now.
    pub(crate) fn quiet(&self) {
        self.ask(|_, _| ());
        assert_eq!(self.events.try_recv().ok(), None);
    }

    /// The next event, which is a message: its connection and its text.
    pub(crate) fn message(&self) -> (u64, String) {
        match self.event() {
            StreamEvent::Message {
                connection, bytes, ..
            } => (connection, String::from_utf8(bytes).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn send(&self, order: StreamSend) {
        self.ask(move |streams, now| streams.send(*now, order));
    }

    /// Answers on a connection.
    pub(crate) fn answer(&self, connection: u64, peer: SocketAddr, bytes: &[u8]) {
        self.send(StreamSend {
            connection: Some(connection),
            ..order(peer, bytes, 0)
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.wake.shutdown(std::net::Shutdown::Both);
        let thread = self.thread.take().unwrap();
        if !std::thread::panicking() {
            thread.join().unwrap();
        }
    }
}

/// An order for listener 0.
pub(crate) fn order(destination: SocketAddr, bytes: &[u8], tag: u64) -> StreamSend {
    StreamSend {
        connection: None,
        listener: 0,
        destination,
        existing: false,
        server_name: None,
        bytes: bytes.to_vec(),
        tag,
    }
}

/// A request with a body of so many bytes.
pub(crate) fn request(call: &str, body: usize) -> String {
    format!(
        "MESSAGE sip:a@b SIP/2.0\r\nCall-ID: {call}\r\nContent-Length: {body}\r\n\r\n{}",
        "x".repeat(body)
    )
}

/// A peer that waits for what it reads.
pub(crate) fn peer(server: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(server).unwrap())
}

/// A peer with a certain address.
pub(crate) fn peer_from(local: &str, server: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(local.parse().unwrap(), 0)).unwrap();
    connect(&socket, &server).unwrap();
    patient(socket.into())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads exactly this text.
pub(crate) fn expect(mut stream: impl Read, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// Reads to the end, however it comes.
pub(crate) fn rest(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    if let Err(e) = stream.read_to_end(&mut bytes) {
        let kinds = [
            ErrorKind::ConnectionReset,
            ErrorKind::UnexpectedEof,
            ErrorKind::BrokenPipe,
        ];
        assert!(kinds.contains(&e.kind()), "{e}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
