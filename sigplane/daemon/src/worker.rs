//! The SIP worker: the shell around the core.
//!
//! One turn of its loop: wait for the descriptors, give the core what came, drain the core, write
//! the journal's records with one `write`, and only then carry out what the core wants done.

mod counters;
mod guard;
mod link;
mod order;
mod queries;
mod requests;
mod sockets;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tandem_call::{Core, Input, Now, Output, Path, SendError, Tables};
use tandem_config::Config;
use tandem_link::{Command, FromDataplane};
use tandem_net::Received;
use tandem_policy::locate::{Errand, Finding};
use tandem_store::{Entry, Journal, JournalError, LiveCall};

use crate::ask::ToWorker;
use crate::database;
use crate::disk::Disk;
use crate::hiding;
use crate::mailbox::Inbox;
use crate::resolver;
use crate::streams::{self, FromStreams};
use counters::{Count, Counters};
use guard::Guard;
use link::{Link, Step};
use order::Held;
use requests::Requests;
pub(crate) use sockets::Sockets;
pub(crate) use sockets::Way;

/// Datagrams taken from one source in one turn, so that the others and the journal get theirs.
const BATCH: usize = 128;
/// Nor for longer: what came of the first of them waits until the last was read.
const TURN: Duration = Duration::from_millis(2);
/// Between two attempts to write the journal while writing fails.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// What the worker is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) core: Core,
    pub(crate) journal: Journal,
    pub(crate) disk: Disk,
    pub(crate) sockets: Sockets,
    pub(crate) streams: Option<streams::Handle>,
    pub(crate) inbox: Inbox,
    pub(crate) signals: SignalFd,
    pub(crate) database: database::Handle,
    pub(crate) resolver: resolver::Handle,
    /// Unpredictable.
    pub(crate) seed: [u8; 16],
}

/// The worker.
pub(crate) struct Worker {
    config: Arc<Config>,
    clock: Clock,
    core: Core,
    tables: Option<Arc<Tables>>,
    journal: Journal,
    /// When a batch that could not be written is tried again.
    journal_retry: Option<Duration>,
    disk: Disk,
    sockets: Sockets,
    streams: Option<streams::Handle>,
    link: Link,
    held: Held<(Way, Vec<u8>)>,
    requests: Requests,
    guard: Guard,
    counters: Counters,
    inbox: Inbox,
    signals: SignalFd,
    database: database::Handle,
    resolver: resolver::Handle,
    buffer: Vec<u8>,
    /// Kept for its memory between two turns.
    entries: Vec<Entry>,
    actions: Vec<Output>,
}

/// The two clocks of an input.
struct Clock {
    origin: Instant,
    /// The origin as the dataplane counts: nanoseconds of `CLOCK_MONOTONIC`.
    origin_ns: u64,
}

impl Clock {
    fn start() -> Self {
        // It exists on every Linux.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        Self {
            origin: Instant::now(),
            origin_ns: u64::try_from(now.as_nanos()).unwrap_or(0),
        }
    }

    /// The time since a moment of the dataplane's; none if it did not say when.
    fn since(&self, ns: u64) -> Duration {
        if ns == 0 {
            return Duration::ZERO;
        }
        let origin = Duration::from_nanos(self.origin_ns);
        (origin + self.mono()).saturating_sub(Duration::from_nanos(ns))
    }

    fn mono(&self) -> Duration {
        self.origin.elapsed()
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: self.mono(),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What [`Worker::wait`] found.
struct Ready {
    signal: bool,
    mail: bool,
    streams: bool,
    /// By index of the socket.
    sockets: Vec<PollFlags>,
    /// The link's socket.
    link: bool,
    /// The rings' doorbell.
    bell: bool,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            config,
            core,
            journal,
            disk,
            sockets,
            streams,
            inbox,
            signals,
            database,
            resolver,
            seed,
        } = parts;
        Self {
            clock: Clock::start(),
            link: Link::new(&config),
            held: Held::new(),
            tables: None,
            journal_retry: None,
            requests: Requests::new(&config),
            guard: Guard::new(&config, seed),
            counters: Counters::default(),
            buffer: vec![0; 65_536],
            entries: Vec::new(),
            actions: Vec::new(),
            config,
            core,
            journal,
            disk,
            sockets,
            streams,
            inbox,
            signals,
            database,
            resolver,
        }
    }

    /// Takes up the calls of the journal. Before anything is served.
    pub(crate) fn restore(&mut self, live: &[LiveCall]) {
        let mut restored = 0;
        for call in live {
            match self.core.restore(self.clock.now(), call.key, &call.body) {
                Ok(()) => restored += 1,
                Err(error) => {
                    self.counters.add(Count::CallsUnrestorable);
                    tracing::error!("{error}; this call is given up");
                    // It would be read again in every life.
                    self.entries.push(Entry {
                        key: call.key,
                        body: None,
                        cdr: None,
                    });
                }
            }
        }
        if !live.is_empty() {
            tracing::info!(
                "{restored} of {} calls taken up from the journal",
                live.len()
            );
        }
        self.carry_out();
    }

    /// Replaces the tables.
    pub(crate) fn tables(&mut self, tables: Arc<Tables>) {
        tracing::info!(
            "tables read: {} dispatcher rows, {} address rows",
            tables.dispatcher.len(),
            tables.address.len()
        );
        self.core
            .input(self.clock.now(), Input::Tables(Arc::clone(&tables)));
        for row in self.core.bad_rows() {
            tracing::warn!("{row}; the row is not used");
        }
        self.tables = Some(tables);
        self.carry_out();
    }

    /// Serves until a signal says stop. Calls stay up: the next life takes them up.
    pub(crate) fn serve(mut self) {
        let mut link_ready = true;
        loop {
            if link_ready || self.link.wants_step() {
                self.drive_link();
                self.carry_out();
            }
            let ready = self.wait();
            link_ready = ready.link;
            if ready.signal && self.stops() {
                break;
            }
            self.link.awake(ready.bell);
            if ready.mail {
                self.read_mail();
            }
            self.read_rings();
            self.read_sockets(&ready.sockets);
            if ready.streams {
                self.read_streams();
            }
            if self
                .core
                .next_timeout()
                .is_some_and(|at| at <= self.clock.mono())
            {
                self.core.input(self.clock.now(), Input::Timer);
            }
            self.carry_out();
            self.keep_journal();
        }
        self.carry_out();
        if let Some(Err(error)) = self.journal.sync_job().map(|job| job.run()) {
            tracing::error!("the journal cannot be synchronised: {error}: check the disk");
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) -> Ready {
        let wanted = [
            self.core.next_timeout(),
            self.link.next_timeout(),
            self.held.next_timeout(),
            self.disk.next(),
            self.journal_retry,
        ];
        let now = self.clock.mono();
        let mut timeout = wanted
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now));
        if !self.link.may_sleep() {
            timeout = Some(Duration::ZERO);
        }
        let mut polled = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN),
        ];
        let streams = self.streams.as_ref().map(AsFd::as_fd);
        polled.extend(streams.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let own = polled.len();
        polled.extend(
            self.sockets
                .fds()
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN)),
        );
        let sockets = polled.len() - own;
        let link = polled.len();
        polled.extend(self.link.fds().map(|(fd, events)| PollFd::new(fd, events)));
        let timeout = timeout.map(TimeSpec::from);
        match ppoll(&mut polled, timeout, None) {
            Ok(_) => {
                let flags = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
                let any = |at: usize| polled.get(at).is_some_and(|fd| !flags(fd).is_empty());
                Ready {
                    signal: any(0),
                    mail: any(1),
                    streams: own > 2 && any(2),
                    sockets: polled.iter().skip(own).take(sockets).map(flags).collect(),
                    link: any(link),
                    bell: any(link + 1),
                }
            }
            Err(error) => {
                if error != Errno::EINTR {
                    tracing::error!("poll: {error}");
                }
                Ready {
                    signal: false,
                    mail: false,
                    streams: false,
                    sockets: Vec::new(),
                    link: true,
                    bell: true,
                }
            }
        }
    }

    fn read_mail(&mut self) {
        self.inbox.silence();
        while let Some(letter) = self.inbox.next() {
            match letter {
                ToWorker::Tables(tables) => self.tables(tables),
                ToWorker::Located(finding) => {
                    self.core.input(self.clock.now(), Input::Located(*finding));
                }
                ToWorker::Ask(ask) => self.ask(ask),
            }
        }
    }

    /// Moves the link's state on and reads its messages.
    fn drive_link(&mut self) {
        for _ in 0..BATCH {
            match self.link.step(self.clock.mono()) {
                Step::Idle => break,
                Step::Up(hello) => {
                    self.core
                        .input(self.clock.now(), Input::DataplaneUp(&hello));
                    self.guard.session_began(&mut self.requests);
                    self.send_requests();
                }
                Step::Down => self.link_went_down(),
                Step::Message(message) => self.dataplane_said(message),
            }
        }
    }

    fn link_went_down(&mut self) {
        self.counters.add(Count::LinkSessionsEnded);
        self.requests.session_ended();
        self.guard.session_ended();
        self.held.session_ended();
        self.core.input(self.clock.now(), Input::DataplaneDown);
    }

    fn dataplane_said(&mut self, message: FromDataplane) {
        if let Some(message) = self.requests.take(message, &mut self.counters) {
            if let FromDataplane::Done { seq, .. } = &message {
                self.held.answered(*seq);
            }
            self.core.input(self.clock.now(), Input::Dataplane(message));
        }
        if let Some(sources) = self.requests.blocked() {
            self.compare_blocked(&sources);
        }
        // A capture whose listener is gone is stopped.
        self.send_requests();
    }

    fn read_rings(&mut self) {
        let Some(rings) = self.link.rings_mut() else {
            return;
        };
        let end = self.clock.mono() + TURN;
        for _ in 0..BATCH {
            match rings.receive() {
                Ok(Some(arrival)) => {
                    let realm = self.config.realms.get(usize::from(arrival.realm));
                    if !realm.is_some_and(|realm| realm.sip.contains(&arrival.local)) {
                        self.counters.add(Count::RingBadAddress);
                        continue;
                    }
                    self.counters.add(Count::ReceivedByRing);
                    let datagram = Input::Message {
                        path: Path::Realm(arrival.realm),
                        source: arrival.source,
                        local: arrival.local,
                        waited: self.clock.since(arrival.received_ns),
                        bytes: arrival.bytes,
                    };
                    let now = self.clock.now();
                    self.core.input(now, datagram);
                    if now.mono >= end {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.link.end(self.clock.mono(), &error);
                    self.link_went_down();
                    return;
                }
            }
        }
    }

    fn read_sockets(&mut self, ready: &[PollFlags]) {
        for ((path, socket), ready) in self.sockets.iter().zip(ready) {
            if ready.contains(PollFlags::POLLERR) {
                while let Ok(Some(failure)) = socket.next_error() {
                    self.counters.add(Count::IcmpErrors);
                    let unreachable = Input::Unreachable {
                        path,
                        destination: failure.destination,
                        error: sockets::send_error(failure.error),
                    };
                    self.core.input(self.clock.now(), unreachable);
                }
            }
            let end = self.clock.mono() + TURN;
            for _ in 0..if ready.is_empty() { 0 } else { BATCH } {
                match socket.receive(&mut self.buffer) {
                    Ok(Some(Received {
                        length,
                        source,
                        waited,
                    })) => {
                        self.counters.add(Count::ReceivedBySocket);
                        let bytes = self.buffer.get(..length).unwrap_or_default();
                        let local = socket.local();
                        let datagram = Input::Message {
                            path,
                            source,
                            local,
                            waited,
                            bytes,
                        };
                        let now = self.clock.now();
                        self.core.input(now, datagram);
                        if now.mono >= end {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.counters.add(Count::SocketErrors);
                        tracing::debug!("{}: {error}", socket.local());
                        break;
                    }
                }
            }
        }
    }

    /// What a signal asks for: SIGHUP reads files again, any other stops.
    fn stops(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo != Signal::SIGHUP as u32 {
                return true;
            }
            tracing::info!("SIGHUP: files are read again");
            if let Some(streams) = &mut self.streams {
                streams.reload();
            }
            self.reload_keys();
        }
        false
    }

    /// Other keys for new calls; with a file that cannot be used, those from before stay.
    fn reload_keys(&mut self) {
        match hiding::keys(&self.config) {
            Ok(Some(keys)) => self.core.hiding_keys(keys),
            Ok(None) => {}
            Err(error) => tracing::error!("{error}; the keys from before are used on"),
        }
    }

    fn read_streams(&mut self) {
        if let Some(streams) = &self.streams {
            streams.silence();
        }
        let end = self.clock.mono() + TURN;
        for _ in 0..BATCH {
            let Some(arrival) = self.streams.as_mut().and_then(streams::Handle::next) else {
                return;
            };
            let now = self.clock.now();
            match arrival {
                FromStreams::Message {
                    listener,
                    peer,
                    read,
                    bytes,
                } => {
                    self.counters.add(Count::ReceivedByStream);
                    let Some(local) = self.core.config().streams.get(usize::from(listener)) else {
                        continue;
                    };
                    let message = Input::Message {
                        path: Path::Stream(listener),
                        source: peer,
                        local: local.listen,
                        waited: read.elapsed(),
                        bytes: &bytes,
                    };
                    self.core.input(now, message);
                }
                FromStreams::Failed {
                    listener,
                    destination,
                } => {
                    let unreachable = Input::Unreachable {
                        path: Path::Stream(listener),
                        destination,
                        error: SendError::HostUnreachable,
                    };
                    self.core.input(now, unreachable);
                }
                FromStreams::Closed { listener, peer } => {
                    let unreachable = Input::Unreachable {
                        path: Path::Stream(listener),
                        destination: peer,
                        error: SendError::Closed,
                    };
                    self.core.input(now, unreachable);
                }
            }
            if now.mono >= end {
                break;
            }
        }
        // There may be more.
        if let Some(streams) = &self.streams {
            streams.ring();
        }
    }

    /// Drains the core: the journal's records first, then the rest in order. What fails at once
    /// is the core's next input.
    fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.core.output() {
                match output {
                    Output::Journal { key, body, cdr } => {
                        self.entries.push(Entry { key, body, cdr });
                    }
                    action => self.actions.push(action),
                }
            }
            if self.entries.is_empty() && self.actions.is_empty() {
                break;
            }
            self.write_journal();
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                match action {
                    Output::Send {
                        path,
                        local,
                        destination,
                        connect,
                        existing,
                        server_name,
                        bytes,
                    } => {
                        let way = Way {
                            path,
                            local,
                            destination,
                            connect,
                            existing,
                            server_name,
                        };
                        if let Some((way, bytes)) = self.held.hold(self.clock.mono(), (way, bytes))
                        {
                            self.send(way, bytes);
                        }
                    }
                    Output::Command { seq, command } => {
                        let flow = matches!(command, Command::PutFlow(_));
                        if !self.link.command(seq, command) {
                            self.counters.add(Count::CommandsWithoutLink);
                        } else if flow {
                            self.held.asked(seq);
                        }
                    }
                    Output::Locate(errand) => self.locate(errand),
                    // There is no other worker.
                    Output::Registered(_) | Output::Tell(_) => {}
                    Output::Sight { ip, sight } => self.saw(ip, sight),
                    Output::Pardon(source) => {
                        self.unblock_source(source);
                    }
                    // Sorted out above.
                    Output::Journal { .. } => {}
                }
            }
            self.actions = actions;
        }
        let now = self.clock.mono();
        while let Some((way, bytes)) = self.held.release(now) {
            self.send(way, bytes);
        }
        if let Some(streams) = &mut self.streams {
            streams.flush();
        }
        if let Some(rings) = self.link.rings_mut() {
            rings.flush();
        }
    }

    /// Has a name looked up.
    fn locate(&mut self, errand: Errand) {
        if let Err(errand) = self.resolver.search(errand) {
            self.counters.add(Count::ResolverBusy);
            let finding = Finding::unanswered(errand);
            self.core.input(self.clock.now(), Input::Located(finding));
        }
    }

    fn send(&mut self, way: Way, bytes: Vec<u8>) {
        let (path, destination) = (way.path, way.destination);
        let sent = if let Path::Stream(listener) = path {
            self.send_by_stream(listener, way, bytes)
        } else {
            let rings = self.link.rings_mut();
            self.sockets.send(&way, &bytes, rings, &mut self.counters)
        };
        if let Some(error) = sent {
            let unreachable = Input::Unreachable {
                path,
                destination,
                error,
            };
            self.core.input(self.clock.now(), unreachable);
        }
    }

    fn send_by_stream(&mut self, listener: u16, way: Way, bytes: Vec<u8>) -> Option<SendError> {
        let streams = self.streams.as_mut()?;
        if streams.send(listener, way, bytes) {
            self.counters.add(Count::SentByStream);
            None
        } else {
            self.counters.add(Count::SendFailed);
            Some(SendError::HostUnreachable)
        }
    }

    fn write_journal(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let cdrs = entries.iter().filter(|entry| entry.cdr.is_some()).count();
        self.append(&entries);
        if cdrs > 0 {
            self.counters.add_many(Count::CdrsJournaled, cdrs as u64);
            self.database.cdrs_written();
        }
        self.entries = entries;
        self.entries.clear();
    }

    fn append(&mut self, entries: &[Entry]) {
        let now = self.clock.mono();
        match self.journal.append(entries) {
            Ok(()) => {
                if self.journal_retry.take().is_some() {
                    tracing::info!("the journal is written again");
                }
                self.disk.written(now);
            }
            Err(error) => {
                self.counters.add(Count::JournalErrors);
                if let JournalError::Overflow { lost } = &error {
                    self.counters.add_many(Count::JournalLost, *lost as u64);
                }
                if self.journal_retry.replace(now + JOURNAL_RETRY).is_none() {
                    tracing::error!("{error}; calls go on, but would not survive a restart");
                }
            }
        }
    }

    fn keep_journal(&mut self) {
        let now = self.clock.mono();
        if self.journal_retry.is_some_and(|at| at <= now) {
            self.append(&[]);
            self.database.cdrs_written();
        }
        self.disk.tick(now, &mut self.journal);
    }
}
