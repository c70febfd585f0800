//! The thread that serves the connections: TCP, TLS, WebSocket. It stands between the SIP workers and
//! `tandem_net::Streams`, so that a handshake or a flood of connections costs the workers nothing.
//!
//! Messages go to the worker that has their call through a bounded channel; when one is full, nothing more is
//! read, and TCP makes the senders wait. What the worker sends comes through another; when that is full, the
//! worker takes it for undeliverable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use tandem_call::ShardTable;
use tandem_config::{ClientCertificate, Config, StreamTransport};
use tandem_net::{
    ClientCertificates, StreamEvent, StreamKind, StreamLimits, StreamListener, StreamSend, Streams,
    StreamsError, TlsCertificate, TlsClient, TlsFiles, TlsReady, TlsTrunk,
};

use crate::ask::Answer;
use crate::worker::Way;

/// How long the thread may take until it has room for a change.
const PATIENCE: Duration = Duration::from_secs(2);
/// Messages that may wait on either way.
const MESSAGES: usize = 4_096;

/// A message, or what became of one.
#[derive(Debug)]
pub(crate) enum FromStreams {
    /// A message came.
    Message {
        listener: u16,
        peer: SocketAddr,
        /// The name in its certificate.
        tls_name: Option<Arc<str>>,
        /// When it was whole.
        read: Instant,
        bytes: Vec<u8>,
    },
    /// What was sent there was not delivered.
    Failed {
        listener: u16,
        destination: SocketAddr,
    },
    /// A connection is gone.
    Closed { listener: u16, peer: SocketAddr },
}

#[derive(Debug)]
enum Order {
    Send {
        listener: u16,
        way: Way,
        bytes: Vec<u8>,
        /// Whose it is.
        worker: u16,
    },
    /// The certificates are read again; who asked is told what came of it.
    Reload(Option<Answer<Result<(), String>>>),
    Change(Box<(Arc<Config>, TlsReady)>),
    /// A source is served no more for so long.
    Block(IpAddr, Duration),
    Unblock(IpAddr),
}

/// A SIP worker's end.
pub(crate) struct Handle {
    worker: u16,
    orders: Sender<Order>,
    arrivals: Receiver<FromStreams>,
    /// Rings for the thread: orders, or room for arrivals.
    bell: Arc<EventFd>,
    /// Rings for the worker.
    arrived: Arc<EventFd>,
    counters: Arc<Mutex<Vec<(&'static str, u64)>>>,
    /// Whether the thread has to be woken at the end of the turn.
    rung: bool,
}

/// Hold on the thread, for changes of the configuration.
#[derive(Clone)]
pub(crate) struct Control {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
}

impl Control {
    /// Other limits and certificates for new connections. False when the thread does not take it.
    pub(crate) fn change(&self, config: &Arc<Config>, tls: TlsReady) -> bool {
        let order = Order::Change(Box::new((Arc::clone(config), tls)));
        let sent = self.orders.send_timeout(order, PATIENCE).is_ok();
        let _ = self.bell.write(1);
        sent
    }
}

/// Reads TLS's files as a configuration names them. Certificates are read even where no listener shows them yet.
pub(crate) fn read_tls(config: &Config) -> Result<TlsReady, StreamsError> {
    let mut listeners = listeners(config);
    let mut files = tls(config);
    if listeners.is_empty() {
        // Nobody connects.
        files.client = TlsClient {
            insecure: true,
            certificate: None,
            ..files.client
        };
    }
    let is_shown = listeners.iter().any(|l| l.kind.is_secure());
    if !is_shown && !config.tls.certificates.is_empty() {
        listeners.push(StreamListener {
            listen: (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            kind: StreamKind::Tls,
            ahead: false,
        });
    }
    TlsReady::read(&files, &listeners)
}

/// What [`start`] has made; nothing when there is no listener.
#[derive(Default)]
pub(crate) struct Started {
    /// An end for each SIP worker.
    pub(crate) handles: Vec<Handle>,
    /// The listeners' addresses.
    pub(crate) bound: Vec<SocketAddr>,
    pub(crate) control: Option<Control>,
}

/// Binds the listeners and starts the thread.
pub(crate) fn start(config: &Arc<Config>, shards: ShardTable) -> Result<Started, StreamsError> {
    if config.sip.listen.is_empty() {
        return Ok(Started::default());
    }
    let streams = Streams::new(listeners(config), limits(config), Some(tls(config)))?;
    let bound = config
        .sip
        .listen
        .iter()
        .zip(0..)
        .map(|(listen, index)| streams.local(index).unwrap_or(listen.listen))
        .collect();
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let eventfd = || EventFd::from_flags(flags).map(Arc::new);
    let bell = eventfd().map_err(std::io::Error::from)?;
    let (orders, ordered) = bounded(MESSAGES);
    let counters = Arc::new(Mutex::new(streams.counters().collect()));
    let (mut handles, mut workers) = (Vec::new(), Vec::new());
    for worker in 0..shards.workers() {
        let (arriving, arrivals) = bounded(MESSAGES);
        let arrived = eventfd().map_err(std::io::Error::from)?;
        workers.push(Outlet {
            arriving,
            arrived: Arc::clone(&arrived),
            rung: false,
        });
        handles.push(Handle {
            worker,
            orders: orders.clone(),
            arrivals,
            bell: Arc::clone(&bell),
            arrived,
            counters: Arc::clone(&counters),
            rung: false,
        });
    }
    let control = Control {
        orders,
        bell: Arc::clone(&bell),
    };
    let server = Server {
        config: Arc::clone(config),
        streams,
        origin: Instant::now(),
        connections: HashMap::new(),
        ordered,
        shards,
        workers,
        waiting: None,
        bell,
        counters,
    };
    std::thread::Builder::new()
        .name("streams".into())
        .spawn(move || server.serve())?;
    Ok(Started {
        handles,
        bound,
        control: Some(control),
    })
}

impl Handle {
    /// The next arrival.
    pub(crate) fn next(&mut self) -> Option<FromStreams> {
        let was_full = self.arrivals.is_full();
        let next = self.arrivals.try_recv().ok();
        self.rung |= was_full;
        next
    }

    /// Silences the bell; before reading the arrivals, so that none is overlooked.
    pub(crate) fn silence(&self) {
        let _ = self.arrived.read();
    }

    /// Rings the worker's bell: it has left something.
    pub(crate) fn ring(&self) {
        let _ = self.arrived.write(1);
    }

    /// Sends a message; false when there is no room.
    pub(crate) fn send(&mut self, listener: u16, way: Way, bytes: Vec<u8>) -> bool {
        self.rung = true;
        let order = Order::Send {
            listener,
            way,
            bytes,
            worker: self.worker,
        };
        self.orders.try_send(order).is_ok()
    }

    /// Reads the certificates again.
    pub(crate) fn reload(&mut self) {
        self.rung = true;
        if self.orders.try_send(Order::Reload(None)).is_err() {
            tracing::error!("the certificates are not read again: too busy; try again");
        }
    }

    /// The same, for somebody who waits for what comes of it.
    pub(crate) fn reload_and_tell(&mut self, answer: Answer<Result<(), String>>) {
        self.rung = true;
        // Who waits is told by the answer that is gone.
        let _ = self.orders.try_send(Order::Reload(Some(answer)));
    }

    /// Serves a source no more for so long; false when there is no room to say so.
    pub(crate) fn block(&mut self, source: IpAddr, left: Duration) -> bool {
        self.rung = true;
        self.orders.try_send(Order::Block(source, left)).is_ok()
    }

    /// Serves a source again; false when there is no room to say so.
    pub(crate) fn unblock(&mut self, source: IpAddr) -> bool {
        self.rung = true;
        self.orders.try_send(Order::Unblock(source)).is_ok()
    }

    /// Wakes the thread, if there is something for it. At the end of each turn.
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.rung) {
            // A bell that cannot count higher is ringing already.
            let _ = self.bell.write(1);
        }
    }

    /// The connections' counters.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

/// The way to a SIP worker.
struct Outlet {
    arriving: Sender<FromStreams>,
    /// Rings for the worker.
    arrived: Arc<EventFd>,
    /// Whether it has to.
    rung: bool,
}

/// The thread.
struct Server {
    config: Arc<Config>,
    streams: Streams,
    origin: Instant,
    /// The open connections by listener and far end.
    connections: HashMap<(u16, SocketAddr), u64>,
    ordered: Receiver<Order>,
    shards: ShardTable,
    workers: Vec<Outlet>,
    /// What found its worker's channel full.
    waiting: Option<(u16, FromStreams)>,
    bell: Arc<EventFd>,
    counters: Arc<Mutex<Vec<(&'static str, u64)>>>,
}

impl Server {
    /// Serves until the process ends.
    fn serve(mut self) {
        loop {
            self.wait();
            let _ = self.bell.read();
            self.carry_out();
            if self.deliver() {
                self.streams.drive(self.origin.elapsed());
                self.deliver();
            }
            self.publish();
        }
    }

    fn wait(&self) {
        // While the worker has no room, connections are left alone.
        let full = self.waiting.is_some();
        let now = self.origin.elapsed();
        let timeout = self
            .streams
            .next_timeout()
            .filter(|_| !full)
            .map(|at| TimeSpec::from(at.saturating_sub(now).max(Duration::from_micros(1))));
        let mut polled = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        if !full {
            polled.push(PollFd::new(self.streams.as_fd(), PollFlags::POLLIN));
        }
        if let Err(error) = ppoll(&mut polled, timeout, None)
            && error != nix::errno::Errno::EINTR
        {
            tracing::error!("streams: poll: {error}");
        }
    }

    fn carry_out(&mut self) {
        // As many as there were: a worker that sends without end does not keep us from reading.
        for _ in 0..self.ordered.len() {
            match self.ordered.try_recv() {
                Ok(Order::Send {
                    listener,
                    way,
                    bytes,
                    worker,
                }) => {
                    let peer = (listener, way.destination);
                    let order = StreamSend {
                        connection: self.connections.get(&peer).copied(),
                        listener,
                        destination: way.connect.unwrap_or(way.destination),
                        existing: way.existing,
                        server_name: way.server_name.map(|name| name.to_string()),
                        bytes,
                        tag: worker.into(),
                    };
                    self.streams.send(self.origin.elapsed(), order);
                }
                Ok(Order::Reload(answer)) => {
                    let read = self.streams.reload_tls(&tls(&self.config));
                    match &read {
                        Ok(()) => tracing::info!("certificates read again"),
                        Err(error) => tracing::error!("{error}; the old certificates stay"),
                    }
                    if let Some(answer) = answer {
                        let _ = answer.send(read.map_err(|error| error.to_string()));
                    }
                }
                Ok(Order::Change(change)) => {
                    let (config, tls) = *change;
                    self.streams.set_limits(limits(&config));
                    self.streams.set_tls(tls);
                    self.config = config;
                }
                Ok(Order::Block(source, left)) => {
                    if !self.streams.block(self.origin.elapsed(), source, left) {
                        tracing::warn!(
                            "{source} is not kept from connecting: too many are blocked"
                        );
                    }
                }
                Ok(Order::Unblock(source)) => self.streams.unblock(source),
                Err(_) => return,
            }
        }
    }

    /// Gives the workers what came; false when one has no room.
    fn deliver(&mut self) -> bool {
        loop {
            let next = self.waiting.take().or_else(|| {
                let event = self.streams.event()?;
                Some(self.note(event))
            });
            let Some((worker, next)) = next else { break };
            let Some(outlet) = self.workers.get_mut(usize::from(worker)) else {
                continue;
            };
            match outlet.arriving.try_send(next) {
                Ok(()) => outlet.rung = true,
                Err(error) => {
                    self.waiting = Some((worker, error.into_inner()));
                    break;
                }
            }
        }
        for outlet in &mut self.workers {
            if std::mem::take(&mut outlet.rung) {
                let _ = outlet.arrived.write(1);
            }
        }
        self.waiting.is_none()
    }

    /// Keeps who is connected, and says whom an event concerns. What has happened to a connection is told to the
    /// first worker, whose core tells the others.
    fn note(&mut self, event: StreamEvent) -> (u16, FromStreams) {
        match event {
            StreamEvent::Message {
                listener,
                connection,
                peer,
                tls_name,
                bytes,
                ..
            } => {
                self.connections.insert((listener, peer), connection);
                let worker = self.shards.route(&bytes).unwrap_or(0);
                let message = FromStreams::Message {
                    listener,
                    peer,
                    tls_name,
                    read: Instant::now(),
                    bytes,
                };
                (worker, message)
            }
            StreamEvent::Closed {
                listener,
                connection,
                peer,
            } => {
                if self.connections.get(&(listener, peer)) == Some(&connection) {
                    self.connections.remove(&(listener, peer));
                }
                (0, FromStreams::Closed { listener, peer })
            }
            StreamEvent::Failed {
                listener,
                destination,
                tag,
                ..
            } => {
                let failed = FromStreams::Failed {
                    listener,
                    destination,
                };
                (u16::try_from(tag).unwrap_or(0), failed)
            }
        }
    }

    fn publish(&self) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.clear();
        counters.extend(self.streams.counters());
        counters.push(("streams_now", self.streams.connections() as u64));
    }
}

fn listeners(config: &Config) -> Vec<StreamListener> {
    let listeners = config.sip.listen.iter().map(|listen| StreamListener {
        listen: listen.listen,
        kind: match listen.transport {
            StreamTransport::Tcp => StreamKind::Tcp,
            StreamTransport::Tls => StreamKind::Tls,
            StreamTransport::Ws => StreamKind::Ws,
            StreamTransport::Wss => StreamKind::Wss,
        },
        ahead: listen.realm.is_some(),
    });
    listeners.collect()
}

fn limits(config: &Config) -> StreamLimits {
    let streams = &config.streams;
    StreamLimits {
        connections: streams.max_connections as usize,
        reserved: (streams.max_connections / 10) as usize,
        connections_per_source: streams.max_per_source as usize,
        half_open: streams.max_half_open as usize,
        half_open_per_source: streams.max_half_open_per_source as usize,
        handshake_time: streams.handshake_timeout,
        idle_time: streams.idle_timeout,
        message_time: streams.message_timeout,
        buffered_bytes: streams.max_unsent as usize,
        trusted: networks(&streams.trusted),
        origins: streams.origins.clone(),
        ..StreamLimits::default()
    }
}

fn networks(networks: &[tandem_config::Network]) -> Vec<(std::net::IpAddr, u8)> {
    networks.iter().map(|n| (n.address, n.length)).collect()
}

fn tls(config: &Config) -> TlsFiles {
    let tls = &config.tls;
    let certificates: Vec<TlsCertificate> = tls
        .certificates
        .iter()
        .map(|c| TlsCertificate {
            names: c.names.clone(),
            chain: c.chain.clone(),
            key: c.key.clone(),
        })
        .collect();
    let listeners = config.sip.listen.iter().zip(0..).filter_map(|(l, index)| {
        let ca = tls.client_ca.clone();
        let wanted = match l.client_certificate {
            ClientCertificate::None => return None,
            ClientCertificate::Optional => ClientCertificates::Optional(ca?),
            ClientCertificate::Required => ClientCertificates::Required(ca?),
        };
        Some((index, wanted))
    });
    TlsFiles {
        listeners: listeners.collect(),
        trunks: tls
            .trunks
            .iter()
            .map(|t| TlsTrunk {
                networks: networks(&t.networks),
                client_ca: t.ca.clone(),
                names: t.names.clone(),
            })
            .collect(),
        client: TlsClient {
            ca: tls.ca.clone(),
            insecure: !tls.verify,
            wildcards: false,
            certificate: certificates.first().cloned(),
        },
        certificates,
    }
}
