//! Bringing everything up, in the order that loses nothing.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;
use tandem_call::Core;
use tandem_config::Config;
use tandem_net::{BindError, StreamsError};
use tandem_store::{
    DatabaseError, Journal, JournalError, JournalOptions, LockError, StateLock, sqlite_path,
};

use crate::admin::{self, AdminError};
use crate::core_config::core_config;
use crate::database::{self, First};
use crate::disk::Disk;
use crate::hiding::{self, KeysError};
use crate::mailbox::mailbox;
use crate::resolver;
use crate::streams;
use crate::worker::{Parts, Sockets, Worker};

/// Why the daemon could not start. Every message names the culprit and the remedy.
#[derive(Debug)]
pub(crate) enum StartError {
    Lock(LockError),
    Journal(JournalError),
    Database(DatabaseError),
    Bind(BindError),
    Streams(StreamsError),
    Admin(AdminError),
    Keys(KeysError),
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lock(e) => e.fmt(f),
            Self::Journal(e) => write!(f, "journal: {e}"),
            Self::Database(e) => write!(f, "database: {e}"),
            Self::Bind(e) => write!(f, "SIP socket {e}"),
            Self::Streams(e) => write!(f, "SIP listener {e}"),
            Self::Admin(e) => write!(f, "management API: {e}"),
            Self::Keys(e) => e.fmt(f),
            Self::System(e) => write!(f, "{e}: the system lacks what the daemon needs to start"),
        }
    }
}

macro_rules! from {
    ($($variant:ident: $error:ty,)+) => {
        $(impl From<$error> for StartError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

from! {
    Lock: LockError,
    Journal: JournalError,
    Database: DatabaseError,
    Bind: BindError,
    Streams: StreamsError,
    Admin: AdminError,
    Keys: KeysError,
    System: io::Error,
}

impl From<Errno> for StartError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// The daemon, ready to serve.
pub(crate) struct Running {
    worker: Worker,
    database: database::Handle,
    database_thread: JoinHandle<()>,
    /// Last to go: while it is held, the journal is ours.
    _lock: StateLock,
}

/// Starts everything but the serving itself.
pub(crate) fn start(config: Config, signals: &SigSet) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let lock = StateLock::take(&config.node.state_dir)?;
    let directory = config.node.state_dir.join("journal");
    let (journal, replay) = Journal::open(&directory, JournalOptions::default())?;
    if let Some(cut) = &replay.cut {
        tracing::warn!(
            "{}: {} bytes behind byte {} were cut off: the last write before the crash was not whole",
            cut.path.display(),
            cut.bytes,
            cut.offset
        );
    }
    let (mailbox, inbox) = mailbox()?;
    let (database, first, database_thread) = database::start(database::Settings {
        path: sqlite_path(&config.database.url)?,
        node: config.node.id,
        reload_interval: config.database.reload_interval,
        journal: directory,
        marks: journal.marks(),
        mailbox: mailbox.clone(),
    })?;
    let tables = match first {
        First::Ready(tables) => Some(tables),
        First::Later(error) => {
            tracing::error!("{error}; no new calls until it can be read");
            None
        }
        First::Never(error) => return Err(error.into()),
    };
    let (sockets, listeners) = Sockets::bind(&config)?;
    let resolver = resolver::start(resolver::Settings {
        servers: config.dns.servers.clone(),
        timeout: config.dns.timeout,
        stale: config.dns.stale,
        mailbox: mailbox.clone(),
    })?;
    let (streams, stream_listeners) = streams::start(&config)?;
    let hiding = hiding::settings(&config)?;
    let mut worker = Worker::new(Parts {
        core: Core::new(
            core_config(&config, &listeners, &stream_listeners, hiding),
            seed()?,
        ),
        config: Arc::clone(&config),
        journal,
        disk: Disk::start()?,
        sockets,
        streams,
        inbox,
        signals,
        database: database.clone(),
        resolver,
        seed: seed()?,
    });
    // First the calls: the tables then find whose they are.
    worker.restore(&replay.live);
    if let Some(tables) = tables {
        worker.tables(tables);
    }
    admin::start(&config, mailbox, database.clone())?;
    Ok(Running {
        worker,
        database,
        database_thread,
        _lock: lock,
    })
}

impl Running {
    /// Serves until SIGTERM or SIGINT.
    pub(crate) fn serve(self) {
        tracing::info!("ready");
        tell_manager(&[NotifyState::Ready]);
        self.worker.serve();
        tell_manager(&[NotifyState::Stopping]);
        self.database.stop();
        if self.database_thread.join().is_err() {
            tracing::error!("the database's thread had died; its CDRs are in the journal");
        }
        tracing::info!("stopped; calls stay up");
    }
}

/// Unpredictable, and different in every life.
fn seed() -> io::Result<[u8; 16]> {
    use std::io::Read as _;
    let mut seed = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

fn tell_manager(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}
