//! One connection: its layers from the socket up, and what ends it.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::Error as TlsError;
use tandem_sip::{Frame, FrameLimits, Framer};

use super::counters::{Count, Counters};
use super::io::{StreamSend, StreamView};
use super::outbox::{Outbox, Ticket};
use super::settings::{StreamKind, StreamLimits};
use super::tls::{Accept, LONGEST_HELD, Session, Turn};
use super::web::{Answer, Request, Web, WebEnd, WebInput};

/// One read, in bytes. What is held comes on top.
const READ: usize = 32 * 1024;
/// How long what was said last may take to go out.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Buffers that all connections share, since one is served at a time.
#[derive(Debug)]
pub(super) struct Scratch {
    input: Box<[u8]>,
    plain: Vec<u8>,
    inputs: Vec<WebInput>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            input: vec![0; LONGEST_HELD + READ].into(),
            plain: Vec::new(),
            inputs: Vec::new(),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// We open it.
    Connecting,
    /// TLS is at its handshake.
    Handshake,
    /// The WebSocket handshake is due.
    Upgrade,
    /// Accepted, and nothing came yet.
    Greeting,
    /// Messages pass.
    Open,
    /// The last words go out; then it ends.
    Draining {
        /// It ends then at the latest.
        until: Duration,
    },
}

/// Why a connection ends, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// What to count.
    pub(super) count: Count,
    /// Whether what was said last must go out first.
    pub(super) drain: bool,
}

impl End {
    /// At once.
    pub(super) const fn now(count: Count) -> Self {
        Self {
            count,
            drain: false,
        }
    }

    const fn drained(count: Count) -> Self {
        Self { count, drain: true }
    }
}

/// What the peer's bytes are read by.
#[derive(Debug)]
enum Layer {
    Sip(Framer),
    Request(Request),
    Web(Web),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) listener: u16,
    pub(super) kind: StreamKind,
    pub(super) outgoing: bool,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) phase: Phase,
    /// The source that it counts for; none when it is exempt.
    pub(super) source: Option<IpAddr>,
    /// Whether it counts as half-open.
    pub(super) half_open: bool,
    /// Whether its owner has heard of it, or can have.
    pub(super) announced: bool,
    /// The server that was asked for.
    pub(super) server_name: Option<String>,
    /// What the server's certificate is checked for, if it is.
    pub(super) expected: Option<Arc<str>>,
    pub(super) tls_name: Option<Arc<str>>,
    tls: Option<Session>,
    trunk: Option<Arc<[String]>>,
    layer: Layer,
    pub(super) outbox: Outbox,
    /// Messages that wait for the connection to be up, and their length.
    waiting: Vec<(Ticket, Vec<u8>)>,
    waiting_bytes: usize,
    born: Duration,
    /// When a byte went last, in any direction; came last.
    active: Duration,
    heard: Duration,
    pinged: Option<Duration>,
    /// Since when a message is not whole; the peer takes nothing.
    partial: Option<Duration>,
    stalled: Option<Duration>,
    /// Its place in the table of deadlines.
    pub(super) scheduled: Option<Duration>,
    /// Whether epoll says when the socket takes bytes.
    pub(super) watches_out: bool,
}

impl Connection {
    /// One that a peer opened.
    pub(super) fn accepted(
        now: Duration,
        socket: TcpStream,
        (listener, kind): (u16, StreamKind),
        (peer, local): (SocketAddr, SocketAddr),
        accept: Option<Accept>,
        limits: &StreamLimits,
    ) -> Self {
        let phase = match kind {
            StreamKind::Tcp => Phase::Greeting,
            StreamKind::Ws => Phase::Upgrade,
            StreamKind::Tls | StreamKind::Wss => Phase::Handshake,
        };
        let (tls, trunk) = accept.map_or((None, None), |a| (Some(a.session), a.trunk));
        Self {
            trunk,
            half_open: true,
            ..Self::new(
                now,
                socket,
                (listener, kind),
                (peer, local),
                phase,
                tls,
                limits,
            )
        }
    }

    /// One that we open.
    pub(super) fn opening(
        now: Duration,
        socket: TcpStream,
        (listener, kind): (u16, StreamKind),
        (peer, local): (SocketAddr, SocketAddr),
        tls: Option<Session>,
        limits: &StreamLimits,
    ) -> Self {
        let phase = Phase::Connecting;
        Self {
            outgoing: true,
            watches_out: true,
            ..Self::new(
                now,
                socket,
                (listener, kind),
                (peer, local),
                phase,
                tls,
                limits,
            )
        }
    }

    fn new(
        now: Duration,
        socket: TcpStream,
        (listener, kind): (u16, StreamKind),
        (peer, local): (SocketAddr, SocketAddr),
        phase: Phase,
        tls: Option<Session>,
        limits: &StreamLimits,
    ) -> Self {
        let layer = if kind.is_web() {
            Layer::Request(Request::default())
        } else {
            Layer::Sip(Framer::new(FrameLimits {
                message: limits.message_bytes,
                head: limits.header_bytes,
            }))
        };
        Self {
            socket,
            listener,
            kind,
            outgoing: false,
            peer,
            local,
            phase,
            source: None,
            half_open: false,
            announced: false,
            server_name: None,
            expected: None,
            tls_name: None,
            tls,
            trunk: None,
            layer,
            outbox: Outbox::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            born: now,
            active: now,
            heard: now,
            pinged: None,
            partial: None,
            stalled: None,
            scheduled: None,
            watches_out: false,
        }
    }

    /// Whether messages can pass.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether a message may be given to it: it is open, or we open it.
    pub(super) const fn takes(&self) -> bool {
        self.is_open() || self.outgoing && !matches!(self.phase, Phase::Draining { .. })
    }

    /// Whether what would be sent to this server may take this connection.
    pub(super) fn serves(&self, server_name: Option<&str>, insecure: bool) -> bool {
        let Some(name) = server_name.filter(|_| self.tls.is_some() && !insecure) else {
            return true;
        };
        let asked = self.server_name.as_deref();
        asked.is_some_and(|n| n.eq_ignore_ascii_case(name))
            || !self.outgoing
                && self
                    .tls
                    .as_ref()
                    .and_then(Session::names)
                    .is_some_and(|n| n.matches(name, false))
    }

    /// The socket is connected.
    pub(super) fn connected(&mut self, now: Duration, counters: &mut Counters) -> Result<(), End> {
        self.active = now;
        if self.tls.is_some() {
            self.phase = Phase::Handshake;
            let begun = self.tls.as_mut().map(|tls| tls.begin(self.outbox.tail()));
            return match begun {
                Some(Err(_)) => Err(End::now(Count::TlsFailed)),
                _ => Ok(()),
            };
        }
        self.open(counters)
    }

    /// Reads once. Messages go to `messages`, even before an end.
    pub(super) fn read(
        &mut self,
        now: Duration,
        scratch: &mut Scratch,
        settings: &StreamLimits,
        messages: &mut Vec<Vec<u8>>,
        counters: &mut Counters,
    ) -> Result<(), End> {
        let Scratch {
            input,
            plain,
            inputs,
        } = scratch;
        let held = self.tls.as_ref().map_or(&[][..], Session::held);
        if let Some(front) = input.get_mut(..held.len()) {
            front.copy_from_slice(held);
        }
        let held = held.len();
        let space = input.get_mut(held..held + READ).unwrap_or_default();
        let length = match self.socket.read(space) {
            Ok(0) => return Err(End::now(Count::ClosedByPeer)),
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(_) if self.phase == Phase::Connecting => return Err(End::now(Count::OpenFailed)),
            Err(_) => return Err(End::now(Count::Reset)),
        };
        self.active = now;
        self.heard = now;
        self.pinged = None;
        if let Phase::Draining { .. } = self.phase {
            return Ok(());
        }
        let bytes = input.get_mut(..held + length).unwrap_or_default();
        let result = if self.tls.is_some() {
            plain.clear();
            let turn = self.advance_tls(bytes, plain, counters);
            // What came before an end still counts; but nothing does from a peer whose handshake is not over, or whose
            // certificate was refused at its end.
            let received = if self.phase == Phase::Handshake {
                Ok(())
            } else {
                self.receive(plain, settings, inputs, messages, counters)
            };
            match turn.and_then(|turn| received.map(|()| turn)) {
                Ok(turn) if turn.closed => Err(End::drained(Count::ClosedByPeer)),
                Ok(_) => Ok(()),
                Err(end) => Err(end),
            }
        } else {
            if self.phase == Phase::Greeting {
                self.phase = Phase::Open;
            }
            self.receive(bytes, settings, inputs, messages, counters)
        };
        let partial = match &self.layer {
            Layer::Sip(framer) => framer.is_partial(),
            Layer::Request(_) => false,
            Layer::Web(web) => web.is_partial(),
        } || self.is_open() && self.tls_held() > 0;
        // A message that ended starts the clock anew for the next that has begun.
        self.partial = match self.partial {
            Some(since) if partial && messages.is_empty() => Some(since),
            _ => partial.then_some(now),
        };
        result
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, now: Duration, counters: &mut Counters) -> Result<(), End> {
        if self.phase == Phase::Connecting {
            return Ok(());
        }
        let (written, messages) = match self.outbox.write(&self.socket) {
            Ok(result) => result,
            Err(_) => return Err(End::now(Count::Reset)),
        };
        counters.add_many(Count::MessagesSent, messages);
        if written > 0 {
            self.active = now;
        }
        self.stalled = if self.outbox.is_empty() {
            None
        } else if written > 0 {
            Some(now)
        } else {
            Some(self.stalled.unwrap_or(now))
        };
        Ok(())
    }

    /// Takes a message to send; gives it back when there is no room.
    pub(super) fn send(
        &mut self,
        order: StreamSend,
        limits: &StreamLimits,
    ) -> Result<(), SendFault> {
        let ticket = Ticket {
            tag: order.tag,
            destination: order.destination,
        };
        if !self.is_open() {
            let length = order.bytes.len();
            if self.waiting_bytes + length > limits.buffered_bytes {
                return Err(SendFault::NoRoom(ticket));
            }
            self.waiting_bytes += length;
            self.waiting.push((ticket, order.bytes));
            return Ok(());
        }
        self.message(ticket, order.bytes).map_err(SendFault::End)
    }

    /// Every message that was given to it and not wholly written.
    pub(super) fn give_up(&mut self) -> Vec<Ticket> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().map(|(ticket, _)| ticket);
        self.outbox.give_up().chain(waiting).collect()
    }

    /// Says goodbye.
    pub(super) fn drain(&mut self, now: Duration) {
        if let Some(tls) = &mut self.tls {
            tls.close(self.outbox.tail());
        }
        self.phase = Phase::Draining {
            until: now + DRAIN_TIME,
        };
    }

    /// Pings a silent WebSocket peer, if that is due.
    pub(super) fn ping(&mut self, now: Duration, limits: &StreamLimits) -> Result<(), End> {
        let mut frame = Vec::new();
        match &mut self.layer {
            Layer::Web(web) if self.pinged.is_none() && now >= self.heard + limits.ping_time => {
                web.ping(&mut frame);
            }
            _ => return Ok(()),
        }
        self.pinged = Some(now);
        self.put(&frame)
    }

    /// When something must happen, if nothing else does.
    pub(super) fn deadline(&self, limits: &StreamLimits) -> Duration {
        match self.phase {
            Phase::Connecting | Phase::Handshake | Phase::Upgrade | Phase::Greeting => {
                self.born + limits.handshake_time
            }
            Phase::Draining { until } => until,
            Phase::Open => {
                let web = matches!(self.layer, Layer::Web(_));
                let ping = web.then(|| self.pinged.unwrap_or(self.heard) + limits.ping_time);
                let stalled = self.stalled.map(|s| s + limits.write_time);
                let partial = self.partial.map(|s| s + limits.message_time);
                let others = [ping, stalled, partial];
                let idle = self.active + limits.idle_time;
                others.into_iter().flatten().fold(idle, Duration::min)
            }
        }
    }

    /// What is to be done at the deadline.
    pub(super) fn overdue(&self, now: Duration, limits: &StreamLimits) -> Option<Count> {
        let since = |start: Option<Duration>, limit| start.is_some_and(|s| now >= s + limit);
        match self.phase {
            _ if now < self.deadline(limits) => None,
            Phase::Handshake if !self.outgoing => Some(Count::HandshakeTimeout),
            Phase::Upgrade | Phase::Greeting => Some(Count::HandshakeTimeout),
            Phase::Connecting | Phase::Handshake => Some(Count::OpenTimeout),
            Phase::Draining { .. } => Some(Count::ClosedByPeer),
            Phase::Open if since(self.partial, limits.message_time) => Some(Count::MessageTimeout),
            Phase::Open if since(self.stalled, limits.write_time) => Some(Count::WriteTimeout),
            Phase::Open if since(Some(self.active), limits.idle_time) => Some(Count::Idle),
            Phase::Open if since(self.pinged, limits.ping_time) => Some(Count::WebSilent),
            Phase::Open => None,
        }
    }

    pub(super) fn view(&self, connection: u64, now: Duration) -> StreamView {
        let layer = match &self.layer {
            Layer::Sip(framer) => framer.buffered(),
            Layer::Request(request) => request.buffered(),
            Layer::Web(web) => web.buffered(),
        };
        StreamView {
            connection,
            listener: self.listener,
            kind: self.kind,
            outgoing: self.outgoing,
            open: self.is_open(),
            peer: self.peer,
            local: self.local,
            age: now.saturating_sub(self.born),
            idle: now.saturating_sub(self.active),
            bytes_in: self.tls_held() + layer,
            bytes_out: self.outbox.len() + self.waiting_bytes,
            tls_version: self.tls.as_ref().and_then(Session::version),
            tls_name: self.tls_name.clone(),
        }
    }

    fn tls_held(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held().len())
    }

    /// Has TLS look at records, and goes on when its handshake is over.
    fn advance_tls(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Result<Turn, End> {
        let Some(tls) = &mut self.tls else {
            return Ok(Turn::default());
        };
        let turn = match tls.receive(input, plain, self.outbox.tail()) {
            Ok(turn) => turn,
            Err(error) => return Err(End::drained(self.tls_fault(&error))),
        };
        // A client may speak, and even close, in the segment that ends the handshake.
        if self.phase == Phase::Handshake && (turn.ready || !plain.is_empty()) {
            counters.add(Count::TlsHandshakes);
            self.check_trunk()?;
            if self.kind.is_web() {
                self.phase = Phase::Upgrade;
            } else {
                self.open(counters)?;
            }
        }
        Ok(turn)
    }

    /// Whether the client's certificate has the name that its trunk asks for.
    fn check_trunk(&mut self) -> Result<(), End> {
        let names = self.tls.as_ref().and_then(Session::names);
        if self.outgoing {
            self.tls_name = self.expected.clone();
            return Ok(());
        }
        self.tls_name = names.as_ref().and_then(|n| n.first());
        let Some(wanted) = &self.trunk else {
            return Ok(());
        };
        let refused = End::drained(Count::TlsTrunkRefused);
        let names = names.ok_or(refused)?;
        if !wanted.is_empty() {
            let found = wanted
                .iter()
                .find(|w| names.matches(w, false))
                .ok_or(refused)?;
            self.tls_name = Some(found.as_str().into());
        }
        Ok(())
    }

    fn tls_fault(&self, error: &TlsError) -> Count {
        match error {
            TlsError::NoCertificatesPresented | TlsError::InvalidCertificate(_) => {
                if self.trunk.is_some() {
                    Count::TlsTrunkRefused
                } else {
                    Count::TlsCertificate
                }
            }
            _ => Count::TlsFailed,
        }
    }

    /// Messages can pass: those that waited go first.
    fn open(&mut self, counters: &mut Counters) -> Result<(), End> {
        self.phase = Phase::Open;
        if self.outgoing {
            counters.add(Count::Opened);
        }
        self.waiting_bytes = 0;
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        while let Some((ticket, bytes)) = waiting.next() {
            if let Err(end) = self.message(ticket, bytes) {
                self.waiting = waiting.collect();
                return Err(end);
            }
        }
        Ok(())
    }

    /// Reads the peer's bytes.
    fn receive(
        &mut self,
        bytes: &[u8],
        settings: &StreamLimits,
        inputs: &mut Vec<WebInput>,
        messages: &mut Vec<Vec<u8>>,
        counters: &mut Counters,
    ) -> Result<(), End> {
        let behind;
        let mut bytes: &[u8] = bytes;
        if let Layer::Request(request) = &mut self.layer {
            match request.receive(bytes, &settings.origins) {
                None => return Ok(()),
                Some(Answer::Refuse(response, count)) => {
                    self.put(&response)?;
                    return Err(End::drained(count));
                }
                Some(Answer::Switch(response, rest)) => {
                    counters.add(Count::WebUpgrades);
                    self.layer = Layer::Web(Web::new(settings.message_bytes));
                    self.phase = Phase::Open;
                    self.put(&response)?;
                    behind = rest;
                    bytes = &behind;
                }
            }
        }
        match &mut self.layer {
            Layer::Sip(framer) => {
                framer.feed(bytes);
                loop {
                    let frame = framer.next_frame().map_err(|e| End::drained(e.into()))?;
                    match frame {
                        Some(Frame::Message { bytes, has_length }) => {
                            if !has_length {
                                counters.add(Count::NoContentLength);
                            }
                            messages.push(bytes);
                        }
                        Some(Frame::Ping) => {
                            counters.add(Count::Pings);
                            match &mut self.tls {
                                None => self.outbox.tail().extend_from_slice(b"\r\n"),
                                Some(tls) => tls
                                    .send(b"\r\n", self.outbox.tail())
                                    .map_err(|_| End::now(Count::TlsFailed))?,
                            }
                        }
                        None => return Ok(()),
                    }
                }
            }
            Layer::Web(web) => {
                let mut out = Vec::new();
                inputs.clear();
                let result = web.receive(bytes, inputs, &mut out);
                for input in inputs.drain(..) {
                    match input {
                        WebInput::Message(bytes) => messages.push(bytes),
                        WebInput::Ping => {
                            counters.add(Count::Pings);
                            web.message(b"\r\n".to_vec(), &mut out);
                        }
                    }
                }
                self.put(&out)?;
                result.map_err(|end| {
                    End::drained(match end {
                        WebEnd::Closed => Count::ClosedByPeer,
                        WebEnd::Error => Count::WebError,
                        WebEnd::TooLong => Count::MessageTooLong,
                    })
                })
            }
            Layer::Request(_) => Ok(()),
        }
    }

    /// Puts a message into the outbox.
    fn message(&mut self, ticket: Ticket, bytes: Vec<u8>) -> Result<(), End> {
        let result = match &mut self.layer {
            Layer::Web(web) => {
                let mut frame = Vec::new();
                web.message(bytes, &mut frame);
                self.put(&frame)
            }
            Layer::Sip(_) | Layer::Request(_) => self.put(&bytes),
        };
        self.outbox.mark(ticket);
        result
    }

    /// Puts bytes into the outbox, through TLS where there is TLS.
    fn put(&mut self, bytes: &[u8]) -> Result<(), End> {
        match &mut self.tls {
            None => {
                self.outbox.tail().extend_from_slice(bytes);
                Ok(())
            }
            Some(tls) => {
                let sent = tls.send(bytes, self.outbox.tail());
                sent.map_err(|_| End::now(Count::TlsFailed))
            }
        }
    }
}

/// Why a message was not taken.
pub(super) enum SendFault {
    /// Too much waits for the connection to come up.
    NoRoom(Ticket),
    /// The connection ends.
    End(End),
}
