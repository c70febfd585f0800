//! SIP over TCP, TLS, WebSocket and secure WebSocket through the kernel's own stack.
//!
//! Rule of use: [`Streams::drive`] when the descriptor is readable or the timeout has come, and [`Streams::send`] for
//! each message; after either, take [`Streams::event`] until there is none. ADR 4 says why it is made so.

mod blocked;
mod connection;
mod counters;
mod io;
mod network;
mod outbox;
mod settings;
mod socket;
mod table;
mod tls;
mod web;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

pub use io::{StreamEvent, StreamSend, StreamView, StreamsError};
pub use settings::{
    ClientCertificates, Network, StreamKind, StreamLimits, StreamListener, TlsCertificate,
    TlsClient, TlsFiles, TlsTrunk,
};

use blocked::Blocked;
use connection::{Connection, End, Phase, Scratch, SendFault};
use counters::{Count, Counters};
use table::{FIRST, Table};
use tls::Tls;

/// Sockets served in one turn, each with one read and one write.
const SERVED: usize = 128;
/// TLS handshakes taken a step further in one turn: each can take a millisecond of signing.
const HANDSHAKES: usize = 16;
/// Deadlines that are looked at in one turn.
const OVERDUE: usize = 256;
/// How long a listener rests after the system had no room for a connection.
const REST: Duration = Duration::from_millis(100);

/// Every stream listener and connection. Driven by its owner: nothing here blocks, waits or reads a clock.
#[derive(Debug)]
pub struct Streams {
    epoll: Epoll,
    listeners: Vec<Listener>,
    limits: StreamLimits,
    blocked: Blocked,
    tls: Option<Arc<Tls>>,
    table: Table,
    events: VecDeque<StreamEvent>,
    counters: Counters,
    scratch: Scratch,
    messages: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Listener {
    setting: StreamListener,
    socket: TcpListener,
    local: SocketAddr,
    /// It accepts nothing until then.
    rests: Option<Duration>,
}

/// TLS's files, read and found good.
#[derive(Clone, Debug)]
pub struct TlsReady(Arc<Tls>);

impl TlsReady {
    /// Reads them for these listeners.
    ///
    /// # Errors
    /// Names the file and the remedy.
    pub fn read(files: &TlsFiles, listeners: &[StreamListener]) -> Result<Self, StreamsError> {
        Ok(Self(Arc::new(Tls::read(files, listeners)?)))
    }
}

impl Streams {
    /// Binds the listeners, and reads TLS's files.
    ///
    /// # Errors
    /// Names the listener or file, and the remedy.
    pub fn new(
        listeners: Vec<StreamListener>,
        limits: StreamLimits,
        tls: Option<TlsFiles>,
    ) -> Result<Self, StreamsError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from)?;
        let tls = match (tls, listeners.iter().find(|l| l.kind.is_secure())) {
            (Some(files), _) => Some(Arc::new(Tls::read(&files, &listeners)?)),
            (None, None) => None,
            (None, Some(l)) => return Err(StreamsError::NoCertificate { listen: l.listen }),
        };
        let mut bound = Vec::new();
        for (mut setting, index) in listeners.into_iter().zip(0u64..FIRST) {
            let socket = socket::listener(&setting)?;
            let local = socket.local_addr()?;
            setting.listen = local;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index);
            epoll.add(&socket, event).map_err(std::io::Error::from)?;
            bound.push(Listener {
                setting,
                socket,
                local,
                rests: None,
            });
        }
        Ok(Self {
            epoll,
            listeners: bound,
            limits,
            blocked: Blocked::default(),
            tls,
            table: Table::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            scratch: Scratch::new(),
            messages: Vec::new(),
        })
    }

    /// The address that a listener is really bound to.
    #[must_use]
    pub fn local(&self, listener: u16) -> Option<SocketAddr> {
        self.listeners.get(usize::from(listener)).map(|l| l.local)
    }

    /// Does what is to do, at most some milliseconds' worth: call it when the descriptor is readable, and when
    /// [`Self::next_timeout`] has come; then take the events.
    pub fn drive(&mut self, now: Duration) {
        self.expire(now);
        self.wake_listeners(now);
        let mut ready = [EpollEvent::empty(); SERVED];
        // An interruption is no harm: what is ready stays so.
        let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0);
        let mut handshakes = 0;
        for event in ready.iter().take(count) {
            let id = event.data();
            match u16::try_from(id) {
                Ok(listener) => self.accept(now, listener),
                Err(_) => self.serve(now, id, event.events(), &mut handshakes),
            }
        }
    }

    /// The next event.
    pub fn event(&mut self) -> Option<StreamEvent> {
        let event = self.events.pop_front();
        if event.is_none() {
            self.events.shrink_to(SERVED);
        }
        event
    }

    /// Sends a message; what cannot be sent comes back as [`StreamEvent::Failed`].
    pub fn send(&mut self, now: Duration, order: StreamSend) {
        let listener = order.listener;
        let destination = network::plain(order.destination);
        let insecure = self.tls.as_ref().is_some_and(|t| t.insecure);
        let name = order.server_name.as_deref();
        let named = order.connection.filter(|id| {
            let connection = self.table.get_mut(*id);
            connection.is_some_and(|c| c.takes())
        });
        let found = named.or_else(|| {
            let serves = |c: &Connection| c.serves(name, insecure);
            self.table.find(listener, destination, serves)
        });
        let id = match found.or_else(|| self.open(now, &order)) {
            Some(id) => id,
            None => return self.fail(listener, order.destination, order.connection, order.tag),
        };
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        match connection.send(order, &self.limits) {
            Ok(()) => self.write(now, id),
            Err(SendFault::End(end)) => self.end(now, id, end),
            Err(SendFault::NoRoom(t)) => self.fail(listener, t.destination, Some(id), t.tag),
        }
    }

    /// When [`Self::drive`] is due at the latest, on the scale of its `now`.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let listeners = self.listeners.iter().filter_map(|l| l.rests);
        listeners.chain(self.table.next_deadline()).min()
    }

    /// Reads TLS's files again. New connections use them; open ones stay as they are. After an error everything is
    /// as before.
    ///
    /// # Errors
    /// Names the file and the remedy.
    pub fn reload_tls(&mut self, tls: &TlsFiles) -> Result<(), StreamsError> {
        let listeners: Vec<_> = self.listeners.iter().map(|l| l.setting.clone()).collect();
        self.set_tls(TlsReady::read(tls, &listeners)?);
        Ok(())
    }

    /// What new connections use from now on; open ones stay as they are.
    pub fn set_tls(&mut self, tls: TlsReady) {
        self.tls = Some(tls.0);
        self.counters.add(Count::TlsReloads);
    }

    /// Other limits. A connection that is above them stays, and is judged by them when its time comes.
    pub fn set_limits(&mut self, limits: StreamLimits) {
        self.limits = limits;
    }

    /// Serves a source (an IPv4 address, an IPv6 /64) no more for so long: its connections are closed, and no others
    /// accepted, whatever limits it is exempt from. False when so many are blocked that there is no room.
    pub fn block(&mut self, now: Duration, address: IpAddr, left: Duration) -> bool {
        let source = network::source(address);
        if !self.blocked.insert(now, source, now.saturating_add(left)) {
            return false;
        }
        let connections = self.table.iter();
        let theirs = connections.filter(|(_, c)| network::source(c.peer.ip()) == source);
        let theirs: Vec<u64> = theirs.map(|(id, _)| id).collect();
        for id in theirs {
            self.end(now, id, End::now(Count::Blocked));
        }
        true
    }

    /// Serves a source again.
    pub fn unblock(&mut self, address: IpAddr) {
        self.blocked.remove(network::source(address));
    }

    /// Every counter.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counters.iter()
    }

    /// How many connections there are, half-open ones included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Every connection, in no order.
    pub fn views(&self, now: Duration) -> impl Iterator<Item = StreamView> {
        self.table.iter().map(move |(id, c)| c.view(id, now))
    }

    /// Ends what is overdue.
    fn expire(&mut self, now: Duration) {
        for _ in 0..OVERDUE {
            let Some(id) = self.table.due(now) else {
                return;
            };
            let Some(connection) = self.table.get_mut(id) else {
                continue;
            };
            if let Some(count) = connection.overdue(now, &self.limits) {
                self.end(now, id, End::now(count));
            } else if let Err(end) = connection.ping(now, &self.limits) {
                self.end(now, id, end);
            } else {
                self.write(now, id);
            }
        }
    }

    fn wake_listeners(&mut self, now: Duration) {
        for (listener, index) in self.listeners.iter_mut().zip(0u64..) {
            if listener.rests.is_some_and(|until| until <= now) {
                listener.rests = None;
                let mut event = EpollEvent::new(EpollFlags::EPOLLIN, index);
                let _ = self.epoll.modify(&listener.socket, &mut event);
            }
        }
    }

    /// Accepts what waits at a listener.
    fn accept(&mut self, now: Duration, index: u16) {
        for _ in 0..self.limits.accepts {
            let Some(listener) = self.listeners.get_mut(usize::from(index)) else {
                return;
            };
            match listener.socket.accept() {
                Ok((socket, peer)) => {
                    self.admit(now, index, socket, network::plain(peer));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // The peer was gone before we came.
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                Err(_) => {
                    // It would be ready at once again, and again in vain.
                    self.counters.add(Count::AcceptErrors);
                    listener.rests = Some(now + REST);
                    let mut event = EpollEvent::new(EpollFlags::empty(), u64::from(index));
                    let _ = self.epoll.modify(&listener.socket, &mut event);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, now: Duration, index: u16, socket: TcpStream, peer: SocketAddr) {
        let address = peer.ip();
        let trusted = self
            .limits
            .trusted
            .iter()
            .any(|n| network::contains(*n, address));
        let source = (!trusted).then(|| network::source(address));
        if self.blocked.has(now, network::source(address)) {
            self.counters.add(Count::Blocked);
            return socket::abort(&socket);
        }
        if let Err(count) = self.table.admits(source, &self.limits) {
            self.counters.add(count);
            return socket::abort(&socket);
        }
        let Some(listener) = self.listeners.get(usize::from(index)) else {
            return;
        };
        let kind = listener.setting.kind;
        let accept = self.tls.as_ref().and_then(|tls| tls.accept(index, address));
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.table.next_id());
        let local = socket::prepare(&socket, self.limits.write_time)
            .and_then(|()| self.epoll.add(&socket, event).map_err(Into::into))
            .and_then(|()| socket.local_addr());
        let Ok(local) = local.map(network::plain) else {
            return self.counters.add(Count::AcceptErrors);
        };
        let ends = (peer, local);
        let mut connection =
            Connection::accepted(now, socket, (index, kind), ends, accept, &self.limits);
        connection.source = source;
        self.counters.add(Count::Accepted);
        self.table.insert(connection, &self.limits);
    }

    /// Begins to open a connection for a message.
    fn open(&mut self, now: Duration, order: &StreamSend) -> Option<u64> {
        let listener = self.listeners.get(usize::from(order.listener))?;
        let kind = listener.setting.kind;
        let name = order.server_name.as_deref();
        if kind.is_web() || order.existing {
            self.counters.add(Count::NoConnection);
            return None;
        }
        if self.table.len() >= self.limits.connections {
            self.counters.add(Count::RefusedFull);
            return None;
        }
        let begun = || {
            let session = match (&self.tls, kind.is_secure()) {
                (_, false) => None,
                (Some(tls), true) => Some(tls.connect(order.destination, name)?),
                (None, true) => return None,
            };
            let write_time = self.limits.write_time;
            let socket =
                socket::connection(&listener.setting, order.destination, write_time).ok()?;
            let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
            let event = EpollEvent::new(events, self.table.next_id());
            self.epoll.add(&socket, event).ok()?;
            let local = socket.local_addr().ok()?;
            Some((session, socket, local))
        };
        let Some((session, socket, local)) = begun() else {
            self.counters.add(Count::OpenFailed);
            return None;
        };
        let ends = (network::plain(order.destination), network::plain(local));
        let of = (order.listener, kind);
        let mut connection = Connection::opening(now, socket, of, ends, session, &self.limits);
        connection.server_name = order.server_name.clone();
        if kind.is_secure() && self.tls.as_ref().is_some_and(|t| !t.insecure) {
            let address = || order.destination.ip().to_string();
            connection.expected = Some(name.map_or_else(address, str::to_owned).into());
        }
        Some(self.table.insert(connection, &self.limits))
    }

    /// Does what a socket is ready for.
    fn serve(&mut self, now: Duration, id: u64, ready: EpollFlags, handshakes: &mut usize) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.phase == Phase::Handshake {
            *handshakes += 1;
            if *handshakes > HANDSHAKES {
                // It stays ready, and others come first.
                return;
            }
        }
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if connection.phase == Phase::Connecting {
            let connected = match connection.socket.take_error() {
                Ok(None) if ready.contains(EpollFlags::EPOLLOUT) => {
                    connection.connected(now, &mut self.counters)
                }
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => Err(End::now(Count::OpenFailed)),
            };
            if let Err(end) = connected {
                return self.end(now, id, end);
            }
        }
        let mut result = Ok(());
        if ready.intersects(readable) {
            result = connection.read(
                now,
                &mut self.scratch,
                &self.limits,
                &mut self.messages,
                &mut self.counters,
            );
            self.counters
                .add_many(Count::MessagesReceived, self.messages.len() as u64);
            connection.announced |= connection.is_open() || !self.messages.is_empty();
            for bytes in self.messages.drain(..) {
                self.events.push_back(StreamEvent::Message {
                    listener: connection.listener,
                    connection: id,
                    peer: connection.peer,
                    local: connection.local,
                    tls_name: connection.tls_name.clone(),
                    bytes,
                });
            }
        }
        match result {
            Ok(()) => self.write(now, id),
            Err(end) => self.end(now, id, end),
        }
    }

    /// Writes what waits on a connection, and brings all that depends on its state up to date.
    fn write(&mut self, now: Duration, id: u64) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.announced |= connection.is_open();
        let draining = matches!(connection.phase, Phase::Draining { .. });
        if let Err(end) = connection.write(now, &mut self.counters) {
            return if draining {
                self.remove(id)
            } else {
                self.end(now, id, end)
            };
        }
        let waits = !connection.outbox.is_empty();
        if waits && !draining && connection.outbox.len() > self.limits.buffered_bytes {
            return self.end(now, id, End::now(Count::SlowReader));
        }
        if draining && !waits {
            // The peer hears the end, and closes too; what it still says is read until then, since a reset could
            // overtake our last words.
            let _ = connection.socket.shutdown(std::net::Shutdown::Write);
        }
        let watch = waits || connection.phase == Phase::Connecting;
        if watch != connection.watches_out {
            connection.watches_out = watch;
            let mut events = EpollFlags::EPOLLIN;
            events.set(EpollFlags::EPOLLOUT, watch);
            let mut event = EpollEvent::new(events, id);
            let _ = self.epoll.modify(&connection.socket, &mut event);
        }
        self.table.update(id, &self.limits);
    }

    /// Ends a connection: at once, or after its last words.
    fn end(&mut self, now: Duration, id: u64, end: End) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let Phase::Draining { .. } = connection.phase {
            return self.remove(id);
        }
        self.counters.add(end.count);
        let closed = connection.announced.then_some(StreamEvent::Closed {
            listener: connection.listener,
            connection: id,
            peer: connection.peer,
        });
        if end.drain {
            connection.drain(now);
            self.table.retire(id);
            self.write(now, id);
        } else {
            if end.count != Count::ClosedByPeer {
                socket::abort(&connection.socket);
            }
            self.remove(id);
        }
        self.events.extend(closed);
    }

    /// Forgets a connection. Only now is it certain which messages did not get out.
    fn remove(&mut self, id: u64) {
        if let Some(mut connection) = self.table.remove(id) {
            let _ = self.epoll.delete(&connection.socket);
            for ticket in connection.give_up() {
                self.fail(
                    connection.listener,
                    ticket.destination,
                    Some(id),
                    ticket.tag,
                );
            }
        }
    }

    fn fail(&mut self, listener: u16, destination: SocketAddr, connection: Option<u64>, tag: u64) {
        self.counters.add(Count::MessagesFailed);
        self.events.push_back(StreamEvent::Failed {
            listener,
            destination,
            connection,
            tag,
        });
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
