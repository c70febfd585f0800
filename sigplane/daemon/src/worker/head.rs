//! What there is one of, in the first worker's hands: the link to the dataplane with all that goes by it, the
//! defence, the signals.

use std::sync::Arc;

use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use tandem_call::{ShardTable, StatelessPlan};
use tandem_config::Config;
use tandem_link::{Command, FromDataplane, StatelessSpec};
use tandem_net::LinkError;

use super::classes::Classes;
use super::counters::Count;
use super::guard::Guard;
use super::link::{Link, Step};
use super::requests::Requests;
use super::route::{Lists, numbered};
use super::{BATCH, HeadParts, Worker};
use crate::ask::ToWorker;
use crate::change::Handle as Change;
use crate::freeswitch;
use crate::hiding;
use crate::http;

/// The first worker's part.
pub(super) struct Head {
    pub(super) link: Link,
    pub(super) guard: Guard,
    pub(super) classes: Classes,
    pub(super) requests: Requests,
    pub(super) signals: SignalFd,
    pub(super) change: Change,
    pub(super) http: http::Handle,
    pub(super) freeswitch: Arc<freeswitch::Counters>,
    /// Since when there is no session, in milliseconds since the Unix epoch, if there is none.
    pub(super) down_since_ms: u64,
    lists: Lists,
    told: Told,
}

/// What the dataplane was last told of relaying SIP by itself, in this session.
#[derive(Default)]
struct Told {
    /// When the targets had changed so often.
    changes: Option<u64>,
    spec: Option<StatelessSpec>,
}

impl Head {
    pub(super) fn new(config: &Config, parts: HeadParts, shards: ShardTable, now_ms: u64) -> Self {
        Self {
            link: Link::new(config, shards.workers()),
            guard: Guard::new(config, parts.seed),
            classes: Classes::new(config),
            requests: Requests::new(config),
            signals: parts.signals,
            change: parts.change,
            http: parts.http,
            freeswitch: parts.freeswitch,
            down_since_ms: now_ms,
            lists: Lists::default(),
            told: Told::default(),
        }
    }

    /// What the configuration says of relaying SIP without us may have changed.
    pub(super) fn forget_told(&mut self) {
        self.told.changes = None;
    }
}

impl Worker {
    /// Moves the link's state on and reads its messages.
    pub(super) fn drive_link(&mut self) {
        for _ in 0..BATCH {
            let now = self.clock.mono();
            let Some(head) = &mut self.head else { return };
            match head.link.step(now) {
                Step::Idle => break,
                Step::Up(hello, rings) => {
                    for (worker, rings) in (0..).zip(rings) {
                        let rings = Box::new(rings);
                        if worker == self.share.worker {
                            self.session_began(&hello, rings);
                        } else {
                            let letter = ToWorker::SessionBegan(hello.clone(), rings);
                            self.others.send(worker, letter);
                        }
                    }
                    if let Some(head) = &mut self.head {
                        let limits = head.classes.session_began();
                        head.requests.tell(limits);
                        head.guard.session_began(&mut head.requests);
                    }
                    self.send_requests();
                }
                Step::Down => self.link_went_down(),
                Step::Message(message) => self.dataplane_said(message),
            }
        }
    }

    fn link_went_down(&mut self) {
        self.counters.add(Count::LinkSessionsEnded);
        let now = self.clock.now().wall_ms;
        if let Some(head) = &mut self.head {
            head.down_since_ms = now;
            head.requests.session_ended();
            head.guard.session_ended();
            head.classes.session_ended();
            head.lists.session_ended();
            head.told = Told::default();
        }
        self.others.send_all(|| ToWorker::SessionEnded);
        self.session_ended();
    }

    /// Tells the dataplane how it relays SIP without us, if that is another way than before. To be asked often.
    pub(super) fn tell_stateless(&mut self) {
        let changes = self.core.target_changes();
        let Some(head) = &mut self.head else { return };
        if head.told.changes == Some(changes) || head.link.hello().is_none() {
            return;
        }
        head.told.changes = Some(changes);
        let plan = StatelessPlan {
            realms: self.config.stateless.realms.clone(),
            set: self.config.stateless.set,
            record_route: self.config.stateless.record_route,
        };
        let spec = self.core.stateless(&plan);
        // A dataplane that has lived longer may have another one from before.
        if head.told.spec.as_ref() != Some(&spec) {
            head.told.spec = Some(spec.clone());
            head.requests.stateless(spec);
            self.send_requests();
        }
    }

    /// What is read from this session's rings makes no sense, or another controller has them.
    pub(super) fn rings_broke(&mut self, epoch: u32, error: LinkError) {
        let now = self.clock.mono();
        let Some(head) = &mut self.head else {
            // There is no reading them any more; that the session has ended is said by the first worker.
            self.session_ended();
            return self.others.send(0, ToWorker::RingsBroken { epoch, error });
        };
        if head.link.hello().is_some_and(|hello| hello.epoch == epoch) {
            head.link.end(now, &error);
            self.link_went_down();
        }
    }

    fn dataplane_said(&mut self, message: FromDataplane) {
        let Some(head) = &mut self.head else { return };
        if let Some(message) = head.requests.take(message, &mut self.counters) {
            self.pass_on(message);
        }
        let blocked = self.head.as_mut().and_then(|head| head.requests.blocked());
        if let Some(sources) = blocked {
            self.compare_blocked(&sources);
        }
        // A capture whose listener is gone is stopped.
        self.send_requests();
    }

    /// Gives a message to the worker that it concerns.
    fn pass_on(&mut self, message: FromDataplane) {
        let Some(head) = self.head.as_mut().filter(|_| !self.share.is_all()) else {
            return self.hear(message);
        };
        let (messages, again) = head.lists.route(self.share.shards, message);
        if let Some(number) = again {
            head.link.command(number, Command::ListFlows);
        }
        for (worker, message) in messages {
            if worker == self.share.worker {
                self.hear(message);
            } else {
                let letter = ToWorker::Dataplane(Box::new(message));
                self.others.send(worker, letter);
            }
        }
    }

    /// A command of a worker's core, given in the session with this epoch.
    pub(super) fn command_of(&mut self, worker: u16, epoch: u32, seq: u64, command: Command) {
        let Some(head) = &mut self.head else { return };
        if head.link.hello().is_none_or(|hello| hello.epoch != epoch) {
            return self.counters.add(Count::CommandsOfOldSession);
        }
        let number = match command {
            Command::ListFlows if !self.share.is_all() => {
                head.lists.ask(self.share.shards, worker, seq)
            }
            _ => Some(numbered(worker, seq)),
        };
        if let Some(number) = number
            && !head.link.command(number, command)
        {
            self.counters.add(Count::CommandsWithoutLink);
        }
    }

    /// What the signals ask for: SIGHUP reads files again, any other stops.
    pub(super) fn read_signals(&mut self) {
        while let Some(signal) = self
            .head
            .as_mut()
            .and_then(|head| head.signals.read_signal().ok()?)
        {
            if signal.ssi_signo != Signal::SIGHUP as u32 {
                self.stopping = true;
                return;
            }
            tracing::info!("SIGHUP: files are read again");
            if let Some(head) = &self.head {
                head.change.reload();
            }
        }
    }

    /// Keys and certificates, as the configuration names them.
    pub(super) fn read_files(&mut self) {
        if let Some(streams) = &mut self.streams {
            streams.reload();
        }
        if let Some(head) = &self.head {
            head.http.reload();
        }
        self.reload_keys();
    }

    /// Other keys for new calls; with a file that cannot be used, those from before stay.
    fn reload_keys(&mut self) {
        match hiding::keys(&self.config) {
            Ok(Some(keys)) => {
                self.others
                    .send_all(|| ToWorker::Keys(Box::new(keys.clone())));
                self.core.hiding_keys(keys);
            }
            Ok(None) => {}
            Err(error) => tracing::error!("{error}; the keys from before are used on"),
        }
    }
}
