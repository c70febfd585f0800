//! A SIP worker: the shell around a core, in a thread of its own.
//!
//! One turn of its loop: wait for the descriptors, give the core what came, drain the core, write
//! the journal's records with one `write`, and only then carry out what the core wants done.
//!
//! Each worker has the calls of its shards. What there is one of for all of them (the link to the dataplane, the
//! defence, the signals) has the first one: its [`Head`]. The others reach it by letter.

mod arrivals;
mod change;
mod classes;
mod counters;
mod durable;
mod guard;
mod head;
mod journal;
mod letters;
mod link;
mod order;
mod orders;
mod others;
mod pace;
mod ports;
mod queries;
mod requests;
mod route;
mod sockets;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tandem_call::{Core, Input, Now, Output, Path, SendError, Share, Tables, shard_of_key};
use tandem_config::Config;
use tandem_link::{Command, DataplaneHello, FromDataplane};
use tandem_net::Rings;
use tandem_policy::Follower;
use tandem_policy::locate::{Errand, Finding};
use tandem_store::{Entry, Journal, LiveCall, Replay};

use crate::ask::{Prepare, ToWorker};
use crate::change::Handle as ChangeHandle;
use crate::database;
use crate::disk::Disk;
use crate::freeswitch;
use crate::http;
use crate::mailbox::{Inbox, Mailbox};
use crate::metrics::Qualities;
use crate::resolver;
use crate::shared::Shared;
use crate::streams;
use crate::threads::Beat;
use counters::{Count, Counters};
use durable::{Durable, Ready as Promise};
use head::Head;
use order::Held;
pub(crate) use orders::TABLES;
use others::Others;
use pace::Pace;
pub(crate) use sockets::Sockets;
pub(crate) use sockets::Way;

/// Datagrams taken from one source in one turn, so that the others and the journal get theirs.
const BATCH: usize = 128;
/// The dataplane's answers are looked for that long after a command if nothing else happens.
const ANSWERS: Duration = Duration::from_millis(10);
/// Commands without room in a ring are given again.
const COMMANDS_AGAIN: Duration = Duration::from_millis(1);
/// Nor for longer: what came of the first of them waits until the last was read.
const TURN: Duration = Duration::from_millis(2);

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) core: Core,
    pub(crate) journal: Shared<Journal>,
    pub(crate) disk: Disk,
    pub(crate) sockets: Sockets,
    pub(crate) streams: Option<streams::Handle>,
    pub(crate) inbox: Inbox,
    /// Every worker's, its own included.
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) database: database::Handle,
    pub(crate) resolver: resolver::Handle,
    pub(crate) qualities: Qualities,
    /// The first worker's.
    pub(crate) head: Option<HeadParts>,
}

/// What the first worker has besides.
pub(crate) struct HeadParts {
    pub(crate) signals: SignalFd,
    /// Who changes the configuration.
    pub(crate) change: ChangeHandle,
    /// Unpredictable.
    pub(crate) seed: [u8; 16],
    pub(crate) http: http::Handle,
    pub(crate) freeswitch: Arc<freeswitch::Counters>,
}

/// A worker.
pub(crate) struct Worker {
    config: Arc<Config>,
    share: Share,
    clock: Clock,
    core: Core,
    tables: Option<Arc<Tables>>,
    journal: Shared<Journal>,
    qualities: Qualities,
    /// When a batch that could not be written is tried again.
    journal_retry: Option<Duration>,
    disk: Disk,
    sockets: Sockets,
    streams: Option<streams::Handle>,
    /// Of the session with the dataplane, and its epoch.
    session: Option<(u32, Box<Rings>)>,
    held: Held<(Way, Vec<u8>)>,
    durable: Durable<(Way, Vec<u8>)>,
    counters: Counters,
    inbox: Inbox,
    others: Others,
    database: database::Handle,
    resolver: resolver::Handle,
    /// In the first worker.
    head: Option<Box<Head>>,
    stopping: bool,
    /// A configuration that may be asked for in a moment.
    prepared: Option<Box<Prepare>>,
    pace: Pace,
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
#[derive(Default)]
struct Ready {
    signal: bool,
    mail: bool,
    streams: bool,
    /// Of the sockets that this worker reads, in their order.
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
            mailboxes,
            database,
            resolver,
            qualities,
            head,
        } = parts;
        let share = core.config().share;
        let marks = journal.lock().marks();
        let clock = Clock::start();
        let now_ms = clock.now().wall_ms;
        let head = head.map(|parts| Box::new(Head::new(&config, parts, share.shards, now_ms)));
        Self {
            clock,
            share,
            held: Held::new(),
            durable: Durable::new(marks),
            tables: None,
            journal_retry: None,
            session: None,
            counters: Counters::default(),
            buffer: vec![0; 65_536],
            entries: Vec::new(),
            actions: Vec::new(),
            stopping: false,
            prepared: None,
            pace: Pace::new(config.sip.coalesce),
            others: Others::new(share.worker, mailboxes),
            config,
            core,
            journal,
            qualities,
            disk,
            sockets,
            streams,
            inbox,
            database,
            resolver,
            head,
        }
    }

    /// Takes up its calls of the journal. Before anything is served.
    pub(crate) fn restore(&mut self, replay: &Replay) {
        self.core.given_out(replay.highest_key);
        let mut restored = 0;
        let ours = |call: &&LiveCall| self.share.has(shard_of_key(call.key));
        let live: Vec<_> = replay.live.iter().filter(ours).collect();
        for call in &live {
            match self.core.restore(self.clock.now(), call.key, &call.body) {
                Ok(()) => restored += 1,
                Err(error) => {
                    self.counters.add(Count::CallsUnrestorable);
                    tracing::error!("{error}; this call is given up");
                    // It would be read again in every life.
                    // Whatever it was, its rows go, too.
                    for follower in [Follower::Location, Follower::Dialog] {
                        self.entries.push(Entry {
                            key: call.key,
                            body: None,
                            cdr: None,
                            follower: Some(follower),
                        });
                    }
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
        self.core
            .input(self.clock.now(), Input::Tables(Arc::clone(&tables)));
        // Said by one of the workers.
        if self.head.is_some() {
            tracing::info!(
                "tables read: {} dispatcher rows, {} address rows",
                tables.dispatcher.len(),
                tables.address.len()
            );
            for row in self.core.bad_rows() {
                tracing::warn!("{row}");
            }
        }
        self.tables = Some(tables);
        self.carry_out();
    }

    /// Serves until a signal says stop. Calls stay up: the next life takes them up.
    pub(crate) fn serve(mut self, mut beat: Beat) {
        let mut link_ready = true;
        loop {
            beat.round();
            if link_ready
                || self
                    .head
                    .as_ref()
                    .is_some_and(|head| head.link.wants_step())
            {
                self.drive_link();
                self.carry_out();
            }
            self.drive_classes();
            self.coalesce();
            let ready = self.wait(&beat);
            self.pace.woke(self.clock.mono());
            link_ready = ready.link;
            if ready.signal {
                self.read_signals();
            }
            if let Some((_, rings)) = &self.session {
                rings.awake(ready.bell);
            }
            if ready.mail {
                self.read_mail();
            }
            if self.stopping {
                break;
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
            self.tell_stateless();
            self.keep_journal();
        }
        self.carry_out();
        self.await_answers();
        if self.head.is_some() {
            self.others.stop();
        }
    }

    /// What was last told to the dataplane is done, or this takes too long: with the session its rings go.
    fn await_answers(&mut self) {
        let end = self.clock.mono() + ANSWERS;
        while self.answers_due(end).is_some() && self.clock.mono() < end {
            std::thread::sleep(ANSWERS / 100);
            self.read_rings();
            self.carry_out();
        }
    }

    /// Lets messages gather. Who writes to our rings sees that we do not sleep on their bell, and does not ring.
    fn coalesce(&self) {
        if let Some(rest) = self.pace.rest(self.clock.mono()) {
            std::thread::sleep(rest);
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, beat: &Beat) -> Ready {
        let now = self.clock.mono();
        let wanted = [
            self.core.next_timeout(),
            self.head.as_ref().and_then(|head| head.link.next_timeout()),
            self.held.next_timeout(now),
            self.durable.next_timeout(),
            self.answers_due(now),
            self.disk.next(),
            self.journal_retry,
            self.others.retry().map(|after| now + after),
            beat.longest_sleep().map(|longest| now + longest),
        ];
        let mut timeout = wanted
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.saturating_sub(now));
        if let Some((_, rings)) = &self.session
            && !rings.prepare_sleep()
        {
            timeout = Some(Duration::ZERO);
        }
        let mut polled = Vec::with_capacity(8);
        let mut poll = |fd, events| {
            polled.push(PollFd::new(fd, events));
            polled.len() - 1
        };
        let mail = poll(self.inbox.as_fd(), PollFlags::POLLIN);
        let head = self.head.as_ref();
        let signal = head.map(|head| poll(head.signals.as_fd(), PollFlags::POLLIN));
        let link = head.and_then(|head| head.link.fd());
        let link = link.map(|(fd, events)| poll(fd, events));
        let bell = self
            .session
            .as_ref()
            .map(|(_, rings)| poll(rings.as_fd(), PollFlags::POLLIN));
        let streams = self.streams.as_ref();
        let streams = streams.map(|streams| poll(streams.as_fd(), PollFlags::POLLIN));
        let sockets = polled.len();
        let ours = self.sockets.read_by(self.share);
        polled.extend(ours.map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        let timeout = timeout.map(TimeSpec::from);
        match ppoll(&mut polled, timeout, None) {
            Ok(_) => {
                let flags = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
                let any = |at: usize| polled.get(at).is_some_and(|fd| !flags(fd).is_empty());
                Ready {
                    signal: signal.is_some_and(any),
                    mail: any(mail),
                    streams: streams.is_some_and(any),
                    sockets: polled.iter().skip(sockets).map(flags).collect(),
                    link: link.is_some_and(any),
                    bell: bell.is_some_and(any),
                }
            }
            Err(error) => {
                if error != Errno::EINTR {
                    tracing::error!("poll: {error}");
                }
                Ready {
                    link: true,
                    bell: true,
                    ..Ready::default()
                }
            }
        }
    }

    /// When to look for the dataplane's answers, for which no bell rings, at the latest.
    fn answers_due(&self, now: Duration) -> Option<Duration> {
        let (_, rings) = self.session.as_ref()?;
        if rings.is_waiting() {
            Some(now + COMMANDS_AGAIN)
        } else {
            (rings.unanswered() > 0).then_some(now + ANSWERS)
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.core.input(self.clock.now(), input);
    }

    /// The dataplane takes commands, and brings and takes SIP.
    fn session_began(&mut self, hello: &DataplaneHello, rings: Box<Rings>) {
        self.session = Some((hello.epoch, rings));
        self.input(Input::DataplaneUp(hello));
    }

    /// Does nothing when there is none.
    fn session_ended(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.held.session_ended();
        self.input(Input::DataplaneDown);
    }

    /// The dataplane said something to this worker.
    fn hear(&mut self, message: FromDataplane) {
        self.input(Input::Dataplane(message));
    }

    /// A command of our core.
    fn command(&mut self, seq: u64, command: Command) {
        let Some((epoch, rings)) = &mut self.session else {
            return self.counters.add(Count::CommandsWithoutLink);
        };
        let (worker, epoch) = (self.share.worker, *epoch);
        if command.port().is_some() {
            let is_put = matches!(command, Command::PutFlow(_));
            match rings.command(seq, command) {
                Ok(owner) if is_put => self.held.asked(seq, owner),
                Ok(_) => {}
                Err(error) => self.rings_broke(epoch, error),
            }
            return;
        }
        if self.head.is_some() {
            return self.command_of(worker, epoch, seq, command);
        }
        let letter = ToWorker::Command {
            worker,
            epoch,
            seq,
            command: Box::new(command),
        };
        self.others.send(0, letter);
    }

    /// Drains the core: the journal's records first, then the rest in order. What fails at once
    /// is the core's next input.
    fn carry_out(&mut self) {
        loop {
            while let Some(output) = self.core.output() {
                match output {
                    Output::Journal {
                        key,
                        body,
                        cdr,
                        follower,
                    } => {
                        self.entries.push(Entry {
                            key,
                            body,
                            cdr,
                            follower,
                        });
                    }
                    action => self.actions.push(action),
                }
            }
            if self.entries.is_empty() && self.actions.is_empty() {
                break;
            }
            self.write_journal();
            let mut actions = std::mem::take(&mut self.actions);
            self.held.next_batch();
            for action in actions.drain(..) {
                match action {
                    Output::Send {
                        path,
                        local,
                        destination,
                        connect,
                        existing,
                        server_name,
                        durable,
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
                        if durable {
                            let sequence = self.journal.lock().last_sequence();
                            let now = self.clock.mono();
                            self.durable.hold(now, sequence, (way, bytes));
                            continue;
                        }
                        let rings = self.session.as_ref().map(|(_, rings)| &**rings);
                        let by = self.sockets.by(&way, bytes.len(), rings);
                        let now = self.clock.mono();
                        if let Some(it) = self.held.hold(now, by, (way, bytes)) {
                            self.send(it);
                        }
                    }
                    Output::Command { seq, command } => self.command(seq, command),
                    Output::Locate(errand) => self.locate(errand),
                    Output::UserAt(registered) if self.head.is_some() => {
                        self.note_registered(&registered);
                    }
                    Output::UserAt(registered) => {
                        self.others.send(0, ToWorker::UserAt(registered));
                    }
                    Output::Registered(registered) => {
                        self.note_registered(&registered);
                        self.others.send_all(|| ToWorker::Registered(registered));
                    }
                    Output::Tell(news) => match news.to() {
                        Some(worker) => self.others.send(worker, ToWorker::News(news)),
                        None => self.others.send_all(|| ToWorker::News(news.clone())),
                    },
                    Output::PassOn {
                        worker,
                        path,
                        source,
                        local,
                        bytes,
                    } => {
                        let letter = ToWorker::Message {
                            path,
                            source,
                            local,
                            read: std::time::Instant::now(),
                            bytes,
                        };
                        // It comes again if there is no room.
                        self.counters.add(if self.others.offer(worker, letter) {
                            Count::PassedToWorker
                        } else {
                            Count::WorkerBoxFull
                        });
                    }
                    Output::Sight { ip, sight } => self.saw(ip, sight),
                    Output::WhoIs { user, domain } => {
                        if !self.database.look_for(user, domain) {
                            self.counters.add(Count::SubscribersNotAsked);
                        }
                    }
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
        while let Some(it) = self.held.release(now) {
            self.send(it);
        }
        self.keep_promises(now);
        if let Some(streams) = &mut self.streams {
            streams.flush();
        }
        if let Some((_, rings)) = &mut self.session {
            rings.flush();
        }
        self.others.flush();
    }

    /// Sends what was kept until the journal is on the disk.
    fn keep_promises(&mut self, now: Duration) {
        if self.durable.is_empty() {
            return;
        }
        while let Some(ready) = self.durable.release(now) {
            let it = match ready {
                Promise::Kept(it) => it,
                Promise::Late(it) => {
                    self.counters.add(Count::PromisesLate);
                    it
                }
            };
            self.send(it);
        }
        if !self.durable.is_empty() {
            // When one is under way, its end is told.
            self.disk.hand_over(&self.journal);
        }
    }

    /// Has a name looked up.
    fn locate(&mut self, errand: Errand) {
        if let Err(errand) = self.resolver.search(self.share.worker, errand) {
            self.counters.add(Count::ResolverBusy);
            let finding = Finding::unanswered(errand);
            self.input(Input::Located(finding));
        }
    }

    fn send(&mut self, (way, bytes): (Way, Vec<u8>)) {
        let (path, destination) = (way.path, way.destination);
        let sent = if let Path::Stream(listener) = path {
            self.send_by_stream(listener, way, bytes)
        } else {
            let rings = self.session.as_mut().map(|(_, rings)| rings.as_mut());
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
}
