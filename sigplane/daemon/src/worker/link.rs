//! The link to the dataplane: down, greeting, up, and down again.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::PollFlags;
use tandem_config::Config;
use tandem_link::{Command, DataplaneHello, FromDataplane, RealmInfo};
use tandem_net::{Handshake, LinkError, Progress, Rings, Session};

/// Between two attempts to connect: short, as flows are to be back 2 s after the dataplane was
/// killed, and a dataplane that is started again is not there at once.
const RETRY: Duration = Duration::from_millis(100);
/// The same after a dataplane was there that is of no use.
const RETRY_REFUSED: Duration = Duration::from_secs(1);
/// How long welcome may take.
const WELCOME: Duration = Duration::from_secs(2);

/// The link.
pub(super) struct Link {
    path: PathBuf,
    controller: u64,
    /// Ours, that share the calls.
    workers: u16,
    realms: Vec<RealmInfo>,
    state: State,
    /// What was last said of its being down, so that it is said once.
    complaint: String,
    /// An end that [`Link::step`] has to report.
    ended: bool,
}

enum State {
    Down {
        retry: Duration,
    },
    Greeting {
        handshake: Handshake,
        deadline: Duration,
    },
    Up {
        session: Box<Session>,
        hello: Arc<DataplaneHello>,
    },
}

/// What [`Link::step`] found.
#[allow(
    clippy::large_enum_variant,
    reason = "passed on at once; boxing would cost an allocation"
)]
pub(super) enum Step {
    /// Nothing to do.
    Idle,
    /// A session begins, with rings for each worker.
    Up(Arc<DataplaneHello>, Vec<Rings>),
    /// The session ended.
    Down,
    /// The dataplane said something.
    Message(FromDataplane),
}

impl Link {
    pub(super) fn new(config: &Config, workers: u16) -> Self {
        let realms = config.realms.iter().map(|realm| RealmInfo {
            name: realm.name.clone(),
            sip: realm.sip.clone(),
            media: realm.media.clone(),
        });
        Self {
            path: config.node.link_socket(),
            controller: u64::from(config.node.id),
            workers,
            realms: realms.collect(),
            state: State::Down {
                retry: Duration::ZERO,
            },
            complaint: String::new(),
            ended: false,
        }
    }

    /// Whether [`Self::step`] has something to do although [`Self::fd`] is not ready.
    pub(super) fn wants_step(&self) -> bool {
        match &self.state {
            State::Up { session, .. } => self.ended || session.is_waiting(),
            State::Down { .. } | State::Greeting { .. } => true,
        }
    }

    /// What to poll, besides the clock.
    pub(super) fn fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Down { .. } => None,
            State::Greeting { handshake, .. } => Some((handshake.as_fd(), PollFlags::POLLIN)),
            State::Up { session, .. } => {
                let room = if session.is_waiting() {
                    PollFlags::POLLOUT
                } else {
                    PollFlags::empty()
                };
                Some((session.as_fd(), PollFlags::POLLIN | room))
            }
        }
    }

    /// When [`Self::step`] wants to be called, at the latest.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Down { .. } | State::Up { .. } if self.ended => Some(Duration::ZERO),
            State::Down { retry } => Some(*retry),
            State::Greeting { deadline, .. } => Some(*deadline),
            State::Up { .. } => None,
        }
    }

    /// The session, while there is one.
    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up { session, .. } => Some(session),
            State::Down { .. } | State::Greeting { .. } => None,
        }
    }

    /// What the dataplane said of itself, while there is a session.
    pub(super) fn hello(&self) -> Option<&DataplaneHello> {
        match &self.state {
            State::Up { hello, .. } => Some(hello.as_ref()),
            State::Down { .. } | State::Greeting { .. } => None,
        }
    }

    /// Sends a command. Whether there is a session to take it.
    pub(super) fn command(&mut self, seq: u64, command: Command) -> bool {
        let Some(session) = self.session() else {
            return false;
        };
        match session.command(seq, command) {
            Ok(()) => true,
            Err(error) => {
                self.end(Duration::ZERO, &error);
                self.ended = true;
                false
            }
        }
    }

    /// Ends the session.
    pub(super) fn end(&mut self, now: Duration, error: &LinkError) {
        let was_up = matches!(self.state, State::Up { .. });
        let pause = match error {
            LinkError::Down(_)
            | LinkError::Silent
            | LinkError::Closed
            | LinkError::Stalled { .. } => RETRY,
            LinkError::Refused(_) | LinkError::Protocol(_) | LinkError::Fenced => RETRY_REFUSED,
        };
        self.state = State::Down { retry: now + pause };
        let complaint = error.to_string();
        // Whichever plane starts first waits for the other one: no reason to wake anybody.
        let waits = !was_up && matches!(error, LinkError::Down(_) | LinkError::Silent);
        match was_up || complaint != self.complaint {
            true if waits => tracing::warn!("{complaint}; trying again"),
            true => tracing::error!("{complaint}; calls stay up, trying again"),
            false => return,
        }
        self.complaint = complaint;
    }

    /// Does the next thing that there is to do.
    pub(super) fn step(&mut self, now: Duration) -> Step {
        if std::mem::take(&mut self.ended) {
            return Step::Down;
        }
        match std::mem::replace(&mut self.state, State::Down { retry: now }) {
            State::Down { retry } if retry > now => {
                self.state = State::Down { retry };
                Step::Idle
            }
            State::Down { .. } => {
                match Handshake::begin(&self.path, self.controller, self.workers) {
                    Ok(handshake) => {
                        self.state = State::Greeting {
                            handshake,
                            deadline: now + WELCOME,
                        };
                    }
                    Err(error) => self.end(now, &error),
                }
                Step::Idle
            }
            State::Greeting {
                handshake,
                deadline,
            } => self.greet(now, handshake, deadline),
            State::Up { mut session, hello } => {
                let received = session.flush().and_then(|()| session.receive());
                self.state = State::Up { session, hello };
                match received {
                    Ok(Some(message)) => Step::Message(message),
                    Ok(None) => Step::Idle,
                    Err(error) => {
                        self.end(now, &error);
                        Step::Down
                    }
                }
            }
        }
    }

    fn greet(&mut self, now: Duration, handshake: Handshake, deadline: Duration) -> Step {
        match handshake.proceed() {
            Ok(Progress::Waiting(handshake)) if now < deadline => {
                self.state = State::Greeting {
                    handshake,
                    deadline,
                };
                Step::Idle
            }
            Ok(Progress::Waiting(_)) => {
                self.end(now, &LinkError::Silent);
                Step::Idle
            }
            // The realms' numbers would mean other networks there.
            Ok(Progress::Up(_, hello, _)) if hello.realms != self.realms => {
                let other = "its realms are not those of our configuration: start both daemons with \
                             the same file";
                self.end(now, &LinkError::Protocol(other.into()));
                Step::Idle
            }
            Ok(Progress::Up(session, hello, rings)) => {
                tracing::info!(
                    "dataplane up: epoch {}, {} workers, {} flows",
                    hello.epoch,
                    hello.workers,
                    hello.flows
                );
                self.complaint.clear();
                let hello = Arc::new(hello);
                self.state = State::Up {
                    session,
                    hello: Arc::clone(&hello),
                };
                Step::Up(hello, rings)
            }
            Err(error) => {
                self.end(now, &error);
                Step::Idle
            }
        }
    }
}
