//! The control thread: serves the controller, gives its commands to the workers that own the
//! flows, and brings their answers and events back. It never waits for any of them.

mod capture;
mod ports;
mod sources;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tandem_config::Config;
use tandem_dpdk::LinkEvents;
use tandem_link::{
    Command, CommandError, ControllerHello, CounterValue, DataplaneHello, Event, FromDataplane,
    RealmInfo, RefusedReason, SlotTable, ToDataplane, VERSION,
};
use tandem_relay::{Forwarding, Stateless, proof_forwarding};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use crate::blocked::Blocked;
use crate::classes::Classes;
use crate::clock;
use crate::counters::{ControlCounters, WorkerCounters};
use crate::forwarding;
use crate::health::Health;
use crate::link_socket::{Connection, Ended, Listener};
use crate::message::{FromWorker, Readers, Tag, ToWorker};
use crate::mirror::{Request, Tables, Wanted};
use crate::report::{RelayCounts, Reporter};
use crate::session::{Running, Session};
use crate::waker::Waker;
use crate::worker::pace::{GapWatch, Pace};

/// Bytes of a worker's SIP rings in one direction: some 1,500 messages of usual size. The controller's
/// readers share them...
const RING_BYTES: u32 = 2 << 20;
/// ...down to this for each.
const LEAST_RING_BYTES: u32 = 256 << 10;

/// How often floods are told of at most, in nanoseconds.
const FLOOD_TOLD: u64 = 1_000_000_000;

/// How long a connection may take to say hello, in nanoseconds.
const HELLO_WITHIN: u64 = 5_000_000_000;

/// How long the start waits for the kernel's tables.
const FIRST_TABLES: Duration = Duration::from_secs(5);

/// Connections that may be waiting to say hello.
const CANDIDATES: usize = 8;

/// A worker, as the control thread sees it.
pub(crate) struct WorkerLink {
    pub(crate) commands: rtrb::Producer<ToWorker>,
    pub(crate) reports: rtrb::Consumer<FromWorker>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) pace: Arc<Pace>,
}

/// What the control thread works with.
pub(crate) struct Control {
    pub(crate) config: Config,
    pub(crate) slots: SlotTable,
    pub(crate) workers: Vec<WorkerLink>,
    pub(crate) listener: Listener,
    /// Rung by workers and the mirror.
    pub(crate) waker: Arc<Waker>,
    /// Readable when a signal asks us to stop.
    pub(crate) stop: UnixStream,
    /// Snapshots of the mirror.
    pub(crate) tables: Receiver<Tables>,
    /// To the mirror.
    pub(crate) requests: UnboundedSender<Request>,
    pub(crate) realms: forwarding::Realms,
    pub(crate) reporter: Reporter,
    pub(crate) health: Health,
    pub(crate) state: State,
}

/// What changes while it runs.
pub(crate) struct State {
    /// Of this process.
    pub(crate) boot: u64,
    session: Option<Session>,
    /// Connections that have not said hello, and when they came.
    candidates: Vec<(Connection, u64)>,
    last_epoch: u32,
    blocked: Blocked,
    classes: Classes,
    /// Snapshots given out.
    generation: u64,
    /// Snapshots that a worker may still have.
    snapshots: Vec<Arc<Forwarding>>,
    /// Ways to relay SIP that a worker may still have.
    stateless: Vec<Arc<Stateless>>,
    /// Where the workers' own packets would go, once it was asked for.
    proof: Option<Arc<Forwarding>>,
    receive: Vec<u8>,
    gaps: GapWatch,
    /// The next flood may be told of.
    tell_flood_at: u64,
}

impl State {
    pub(crate) fn new(boot: u64) -> Self {
        Self {
            boot,
            session: None,
            candidates: Vec::new(),
            last_epoch: 0,
            blocked: Blocked::default(),
            classes: Classes::default(),
            generation: 0,
            snapshots: Vec::new(),
            stateless: Vec::new(),
            proof: None,
            receive: Vec::new(),
            gaps: GapWatch::default(),
            tell_flood_at: 0,
        }
    }
}

impl Control {
    /// Waits until the workers can be given the kernel's tables for the first time. Without them
    /// after some seconds it goes on: netlink is tried again and again.
    pub(crate) fn begin(&mut self) {
        match self.tables.recv_timeout(FIRST_TABLES) {
            Ok(tables) => self.give_out(&tables),
            Err(error) => warn!("the kernel's addresses and routes are not known yet: {error}"),
        }
    }

    /// Runs until a signal asks to stop.
    pub(crate) fn run(&mut self) {
        let mut ready = Ready::all();
        while !ready.stop {
            let now = clock::now();
            self.take_tables();
            self.take_reports(now);
            // Commands first: a controller that left is not there any more when the next one
            // comes.
            if ready.controller || self.is_waiting() {
                self.take_commands(now);
            }
            if ready.listener || !self.state.candidates.is_empty() {
                self.take_connections(now);
            }
            self.take_captured(now);
            self.end_blocks(now);
            self.tell_gaps(now);
            self.watch(now);
            ready = self.sleep();
        }
    }

    /// The mirror's snapshots become the workers'.
    fn take_tables(&mut self) {
        // Only the last one counts.
        if let Some(tables) = self.tables.try_iter().last() {
            self.give_out(&tables);
        }
    }

    fn give_out(&mut self, tables: &Tables) {
        self.state.generation += 1;
        self.counters().forwarding_updates.add(1);
        let snapshot = Arc::new(self.realms.forwarding(tables, self.state.generation));
        for worker in 0..self.workers.len() {
            self.command(worker, ToWorker::Forward(Arc::clone(&snapshot)));
        }
        // No worker frees memory: the last one to let go of a snapshot is always this thread.
        self.state.snapshots.retain(|s| Arc::strong_count(s) > 1);
        self.state.snapshots.push(snapshot);
    }

    fn take_reports(&mut self, now: u64) {
        for worker in 0..self.workers.len() {
            while !self
                .state
                .session
                .as_ref()
                .is_some_and(|s| s.connection.is_congested())
            {
                let Some(link) = self.workers.get_mut(worker) else {
                    break;
                };
                let Ok(report) = link.reports.pop() else {
                    break;
                };
                let done = self.take_report(worker, report, now);
                self.settle(done);
            }
        }
    }

    fn take_report(&mut self, worker: usize, report: FromWorker, now: u64) -> Result<(), Ended> {
        match report {
            FromWorker::Done { tag, result } => {
                if let Some(session) = self.session_of(tag) {
                    return session.answer(tag.seq, result, now);
                }
            }
            FromWorker::Flow { tag, report } => {
                if let Some(session) = self.session_of(tag) {
                    let message = FromDataplane::Flow {
                        seq: tag.seq,
                        report,
                    };
                    return session.connection.send(&message, now);
                }
            }
            FromWorker::Counts { tag, counts } => return self.take_counts(tag, &counts, now),
            FromWorker::Event(event) => {
                self.tell_flood(&event, now);
                match &mut self.state.session {
                    Some(session) => {
                        return session.connection.send(&FromDataplane::Event(event), now);
                    }
                    None => self.counters().events_no_controller.add(1),
                }
            }
            FromWorker::Wanted { realm, ip } => {
                if let Some(device) = self.realms.device(realm) {
                    // The mirror ends with this thread.
                    let _ = self.requests.send(Request::Resolve(Wanted { device, ip }));
                }
            }
            FromWorker::Discard(garbage) => drop(garbage),
            FromWorker::Queues { port, queues } => {
                self.health.recovery.gave(worker, port, queues);
            }
            FromWorker::Police { tag, report } => {
                if let Some(session) = self.session_of(tag) {
                    let seq = tag.seq;
                    let message = FromDataplane::Police { seq, report };
                    session.connection.send(&message, now)?;
                    return session.answer(seq, Ok(()), now);
                }
            }
        }
        Ok(())
    }

    fn take_counts(&mut self, tag: Tag, counts: &RelayCounts, now: u64) -> Result<(), Ended> {
        let state = &mut self.state;
        let gauges = [
            ("blocked_sources", state.blocked.len()),
            ("alarms", self.health.alarms.len()),
        ];
        let Some(session) = state.session.as_mut().filter(|s| s.epoch == tag.epoch) else {
            return Ok(());
        };
        if let Some(all) = self.reporter.add(tag.seq, counts, self.workers.len()) {
            let mut values = self.reporter.values(&all, &self.workers, &gauges);
            let changes = self.reporter.ports.iter().zip(self.health.link_changes());
            values.extend(changes.map(|(port, value)| CounterValue {
                name: format!("port_{}_link_changes", port.name),
                value,
            }));
            session.connection.send(
                &FromDataplane::Counters {
                    seq: tag.seq,
                    values,
                },
                now,
            )?;
        }
        session.answer(tag.seq, Ok(()), now)
    }

    fn take_connections(&mut self, now: u64) {
        while self.state.candidates.len() < CANDIDATES {
            let Some(connection) = self.listener.accept() else {
                break;
            };
            self.state.candidates.push((connection, now));
        }
        let mut waiting = Vec::new();
        for (connection, since) in std::mem::take(&mut self.state.candidates) {
            match connection.receive(&mut self.state.receive) {
                Ok(Some(ToDataplane::Hello(hello))) => self.greet(connection, &hello, now),
                Ok(Some(_)) | Err(Ended::Protocol(_)) => {
                    self.refuse(connection, RefusedReason::NotHello, now);
                }
                Ok(None) if now.saturating_sub(since) < HELLO_WITHIN => {
                    waiting.push((connection, since));
                }
                Ok(None) | Err(_) => {}
            }
        }
        self.state.candidates = waiting;
    }

    /// A controller said hello: it takes over, or is told why not.
    fn greet(&mut self, connection: Connection, hello: &ControllerHello, now: u64) {
        if hello.version != VERSION {
            return self.refuse(
                connection,
                RefusedReason::Version { dataplane: VERSION },
                now,
            );
        }
        if !(1..=tandem_shm::MAX_READERS).contains(&hello.readers) {
            let reason = RefusedReason::Readers {
                most: tandem_shm::MAX_READERS,
            };
            return self.refuse(connection, reason, now);
        }
        if self.state.session.is_some() {
            warn!("a newer controller connected: the older one is fenced");
            self.counters().controller_fenced.add(1);
            self.end_session();
        }
        let epoch = self.state.last_epoch.wrapping_add(1).max(1);
        self.state.last_epoch = epoch;
        let workers = u16::try_from(self.workers.len()).unwrap_or(u16::MAX);
        let (rings, ends) = match tandem_shm::Session::create(
            epoch,
            workers,
            hello.readers,
            ring_bytes(hello.readers),
        ) {
            Ok(made) => made,
            Err(error) => {
                let reason = RefusedReason::Internal(error.to_string());
                return self.refuse(connection, reason, now);
            }
        };
        for (worker, ends) in ends.into_iter().enumerate() {
            self.command(worker, ToWorker::Session(Box::new(Readers::new(ends))));
        }
        let welcome = FromDataplane::Welcome(self.hello(epoch, workers));
        let mut session = Session::new(connection, rings, epoch);
        let mut descriptors = vec![session.rings.memory_fd()];
        descriptors.extend(session.rings.doorbell_fds());
        let sent = session.connection.send_with(&welcome, &descriptors);
        self.counters().controller_sessions.add(1);
        info!(
            "controller {} connected with {} SIP workers: session {epoch}",
            hello.controller, hello.readers
        );
        self.state.session = Some(session);
        self.health.alarms.tell_all();
        self.settle(sent);
    }

    fn hello(&self, epoch: u32, workers: u16) -> DataplaneHello {
        let realm = |r: &tandem_config::Realm| RealmInfo {
            name: r.name.clone(),
            sip: r.sip.clone(),
            media: r.media.clone(),
        };
        DataplaneHello {
            version: VERSION,
            boot: self.state.boot,
            epoch,
            workers,
            slots: self.slots.clone(),
            realms: self.config.realms.iter().map(realm).collect(),
            flows: self.workers.iter().map(|w| w.counters.flows.value()).sum(),
        }
    }

    fn refuse(&mut self, mut connection: Connection, reason: RefusedReason, now: u64) {
        warn!("a controller was refused: {reason}");
        self.counters().controller_refused.add(1);
        // It closes in any case.
        let _ = connection.send(&FromDataplane::Refused(reason), now);
    }

    fn take_commands(&mut self, now: u64) {
        // As many as the workers' rings have room for, so that a controller in a hurry waits.
        for _ in 0..64 {
            let Some(session) = &mut self.state.session else {
                return;
            };
            let received = match session.connection.flush(now) {
                // Who does not take the answers gives no more commands.
                Ok(()) if session.connection.is_congested() => Ok(None),
                Ok(()) => session.connection.receive(&mut self.state.receive),
                Err(ended) => Err(ended),
            };
            let done = match received {
                Ok(None) => return,
                Ok(Some(ToDataplane::Command { seq, command })) => {
                    self.take_command(seq, command, now)
                }
                Ok(Some(ToDataplane::Hello(_))) => Ok(()),
                Err(ended) => Err(ended),
            };
            self.settle(done);
        }
    }

    fn take_command(&mut self, seq: u64, command: Command, now: u64) -> Result<(), Ended> {
        self.counters().commands.add(1);
        let Some(epoch) = self.state.session.as_ref().map(|s| s.epoch) else {
            return Ok(());
        };
        let tag = Tag { epoch, seq };
        let orders: Vec<(usize, ToWorker)> = match &command {
            // They go to the flow's owner, through its ring.
            Command::PutFlow(_) | Command::RemoveFlow { .. } => {
                return Err(Ended::Misplaced);
            }
            Command::ListFlows => {
                let list = |worker: &u16| ((*worker).into(), ToWorker::List { tag });
                self.slots.workers().iter().map(list).collect()
            }
            Command::Counters => (0..self.workers.len())
                .map(|w| {
                    (
                        w,
                        ToWorker::Count {
                            tag,
                            counts: Box::default(),
                        },
                    )
                })
                .collect(),
            Command::StartCapture(spec) => {
                self.start_capture(spec, now)?;
                return self.done(seq, Ok(()), now);
            }
            Command::StopCapture => {
                self.stop_capture();
                return self.done(seq, Ok(()), now);
            }
            Command::Block { source, left_ms } => {
                let source = *source;
                let Some(until) = self.state.blocked.block(now, source, *left_ms) else {
                    return self.done(seq, Err(CommandError::BlockedFull), now);
                };
                self.every_worker(|| ToWorker::Block { tag, source, until })
            }
            Command::Unblock(source) => {
                self.state.blocked.unblock(*source);
                let (tag, source) = (Some(tag), *source);
                self.every_worker(|| ToWorker::Unblock { tag, source })
            }
            Command::ListBlocked => {
                self.list_blocked(seq, now)?;
                return self.done(seq, Ok(()), now);
            }
            Command::SetStateless(spec) => {
                let sip: Vec<_> = self.config.realms.iter().map(|r| r.sip.clone()).collect();
                let by = match Stateless::new(spec, &sip) {
                    Ok(stateless) => Arc::new(stateless),
                    Err(error) => return self.done(seq, Err(error), now),
                };
                let held = &mut self.state.stateless;
                held.retain(|s| Arc::strong_count(s) > 1);
                held.push(Arc::clone(&by));
                self.every_worker(|| ToWorker::Stateless {
                    tag,
                    by: Arc::clone(&by),
                })
            }
            Command::Police(limits) => {
                let limits = *limits;
                self.every_worker(|| ToWorker::Police { tag, limits })
            }
            Command::Prove => {
                let realms = u16::try_from(self.config.realms.len()).unwrap_or(u16::MAX);
                let made = || Arc::new(proof_forwarding(realms));
                let forwarding = Arc::clone(self.state.proof.get_or_insert_with(made));
                self.every_worker(|| ToWorker::Prove {
                    tag,
                    forwarding: Arc::clone(&forwarding),
                })
            }
            Command::PoliceReport(source) => {
                let source = *source;
                self.every_worker(|| ToWorker::PoliceReport { tag, source })
            }
            Command::Ports => {
                self.list_ports(seq, now)?;
                return self.done(seq, Ok(()), now);
            }
            Command::ClassifyAll
            | Command::Classify(_)
            | Command::Unclassify(_)
            | Command::ClassifyDone => match self.classify(tag, &command, now) {
                Ok(orders) => orders,
                Err(error) => return self.done(seq, Err(error), now),
            },
        };
        if let Some(session) = &mut self.state.session {
            session.expect(seq, orders.len());
        }
        for (worker, order) in orders {
            if !self.command(worker, order)
                && let Some(session) = &mut self.state.session
            {
                session.answer(seq, Err(CommandError::Overloaded), now)?;
            }
        }
        Ok(())
    }

    /// The same order for each.
    fn every_worker(&self, order: impl Fn() -> ToWorker) -> Vec<(usize, ToWorker)> {
        (0..self.workers.len()).map(|w| (w, order())).collect()
    }

    /// Answers a command that no worker is needed for.
    fn done(&mut self, seq: u64, result: Result<(), CommandError>, now: u64) -> Result<(), Ended> {
        match &mut self.state.session {
            Some(session) => session
                .connection
                .send(&FromDataplane::Done { seq, result }, now),
            None => Ok(()),
        }
    }

    /// Gives a worker an order. Answers whether it had room.
    fn command(&mut self, worker: usize, order: ToWorker) -> bool {
        let taken = self
            .workers
            .get_mut(worker)
            .is_some_and(|link| link.commands.push(order).is_ok());
        if !taken {
            self.counters().commands_overloaded.add(1);
        }
        taken
    }

    fn session_of(&mut self, tag: Tag) -> Option<&mut Session> {
        self.state.session.as_mut().filter(|s| s.epoch == tag.epoch)
    }

    /// Ends the session if its connection has ended.
    fn settle(&mut self, done: Result<(), Ended>) {
        let Err(ended) = done else { return };
        match &ended {
            Ended::Closed => info!("the controller left; flows stay"),
            ended => warn!("the controller was disconnected: {ended}; flows stay"),
        }
        match &ended {
            Ended::Slow(_) => self.counters().controller_slow.add(1),
            Ended::Protocol(_) | Ended::Misplaced => self.counters().controller_protocol.add(1),
            Ended::Closed | Ended::System(_) => {}
        }
        self.end_session();
    }

    fn end_session(&mut self) {
        self.stop_capture();
        if let Some(session) = self.state.session.take() {
            session.rings.fence();
            debug!("session {} ended", session.epoch);
        }
        self.reporter.forget();
        for worker in 0..self.workers.len() {
            self.command(worker, ToWorker::NoSession);
        }
    }

    /// A flood is told of once a second at most.
    fn tell_flood(&mut self, event: &Event, now: u64) {
        if let Event::Flooded { flow, cookie, leg } = event
            && now >= self.state.tell_flood_at
        {
            self.state.tell_flood_at = now.saturating_add(FLOOD_TOLD);
            warn!(
                "leg {leg:?} of flow {} (call {}) sends media above the rate of its flow: what is above it is dropped",
                flow.0, cookie.0
            );
        }
    }

    /// Workers that were away cost media.
    fn tell_gaps(&mut self, now: u64) {
        let paces = self.workers.iter().map(|worker| &*worker.pace);
        if let Some((worker, gaps, longest)) = self.state.gaps.news(now, paces) {
            let longest_ms = longest as f64 / 1e6;
            warn!(
                "worker {worker} was away for more than 1 ms, {gaps} times since this was told last (the longest since the start {longest_ms:.1} ms): \
                 is its core isolated from the kernel and from others?"
            );
        }
    }

    fn counters(&self) -> &ControlCounters {
        &self.reporter.control
    }

    /// Whether answers wait for a controller that has no room.
    fn is_waiting(&self) -> bool {
        let session = self.state.session.as_ref();
        session.is_some_and(|s| s.connection.is_waiting())
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self) -> Ready {
        self.waker.prepare_sleep();
        // They cannot be counted: what came before the announcement is taken now, what comes
        // after it rings.
        self.take_tables();
        let session = self.state.session.as_ref();
        let congested = session.is_some_and(|s| s.connection.is_congested());
        let reports = !congested && self.workers.iter().any(|w| !w.reports.is_empty());
        let captured = session
            .and_then(|s| s.capture.as_ref())
            .is_some_and(Running::has_some);
        // Deadlines (a hello, a capture, a slow controller) are in whole seconds: looked at often
        // enough.
        let timeout = if reports || captured { 0u16 } else { 200 };
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![readable(self.stop.as_fd()), readable(self.waker.as_fd())];
        fds.push(readable(self.listener.as_fd()));
        let events = LinkEvents::of_process();
        let links = fds.len();
        fds.extend(events.iter().map(|events| readable(events.as_fd())));
        fds.extend(
            self.state
                .candidates
                .iter()
                .map(|(c, _)| readable(c.as_fd())),
        );
        if let Some(session) = session {
            fds.push(connection_events(session.connection.as_fd(), session));
        }
        if poll(&mut fds, PollTimeout::from(timeout)).is_err() {
            self.waker.awake(true);
            return Ready::all();
        }
        let any = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or(false);
        let ready = Ready {
            stop: any(fds.first()),
            listener: any(fds.get(2)),
            controller: session.is_some() && any(fds.last()),
        };
        let rang = any(fds.get(1));
        if let Some(events) = events.filter(|_| any(fds.get(links))) {
            events.clear();
            self.health.link_event();
        }
        self.waker.awake(rang);
        ready
    }
}

/// What poll(2) found.
#[derive(Clone, Copy)]
struct Ready {
    /// A signal asks us to stop.
    stop: bool,
    /// Somebody connects.
    listener: bool,
    /// The controller says something, or has room.
    controller: bool,
}

impl Ready {
    /// Nothing is known: everything is looked at.
    const fn all() -> Self {
        Self {
            stop: false,
            listener: true,
            controller: true,
        }
    }
}

/// Bytes of one ring, of so many readers.
fn ring_bytes(readers: u16) -> u32 {
    let share = RING_BYTES / u32::from(readers.max(1)).next_power_of_two();
    share.max(LEAST_RING_BYTES)
}

fn connection_events<'a>(fd: BorrowedFd<'a>, session: &Session) -> PollFd<'a> {
    let mut events = PollFlags::POLLIN;
    if session.connection.is_waiting() {
        events |= PollFlags::POLLOUT;
    }
    PollFd::new(fd, events)
}
