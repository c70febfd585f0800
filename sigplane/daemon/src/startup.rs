//! Bringing everything up, in the order that loses nothing.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tandem_call::{Core, ShardTable};
use tandem_net::{BindError, StreamsError};
use tandem_policy::routing::Usages;
use tandem_store::{
    DatabaseError, DatabasePlace, Journal, JournalError, JournalOptions, LockError, StateLock,
};

use crate::admin::{self, AdminError, Api, Gate, Rpc};
use crate::change::{self, Begun, Cores, Switch};
use crate::database::{self, First};
use crate::disk::Disk;
use crate::ephemeral;
use crate::freeswitch::{self, Freeswitch};
use crate::hiding::{self, KeysError};
use crate::http::{self, HttpError};
use crate::mailbox::mailbox;
use crate::metrics::{Latencies, Metrics, Qualities};
use crate::places;
use crate::resolver;
use crate::shared::Shared;
use crate::streams;
use crate::threads;
use crate::worker::{HeadParts, Parts, Sockets, Worker};

/// Why the daemon could not start. Every message names the culprit and the remedy.
#[derive(Debug)]
pub(crate) enum StartError {
    Lock(LockError),
    Journal(JournalError),
    Database(DatabaseError),
    Bind(BindError),
    Streams(StreamsError),
    Admin(AdminError),
    Http(HttpError),
    Keys(KeysError),
    /// A core that `sip.cores` names, and that is not there for us.
    Core(u16),
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
            Self::Http(e) => write!(f, "HTTP listener {e}"),
            Self::Keys(e) => e.fmt(f),
            Self::Core(core) => write!(
                f,
                "`sip.cores`: this process may not run on core {core}: name others, or give it that one"
            ),
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
    Http: HttpError,
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
    /// The first one is served by the main thread.
    workers: Vec<Worker>,
    /// A core for each, or none.
    cores: Vec<u16>,
    journal: Shared<Journal>,
    database: database::Handle,
    database_thread: JoinHandle<()>,
    /// Last to go: while it is held, the journal is ours.
    _lock: StateLock,
}

/// Starts everything but the serving itself.
pub(crate) fn start(begun: Begun, signals: &SigSet) -> Result<Running, StartError> {
    let config = begun.config();
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    threads::check(&config.sip.cores)?;
    ephemeral::check(&config);
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
    let shards = ShardTable::deal(threads::workers(&config));
    let mut mailboxes = Vec::new();
    let mut inboxes = Vec::new();
    for _ in 0..shards.workers() {
        let (mailbox, inbox) = mailbox()?;
        mailboxes.push(mailbox);
        inboxes.push(inbox);
    }
    let latencies = Latencies::default();
    let qualities = Qualities::default();
    let (database, first, database_thread) = database::start(database::Settings {
        place: DatabasePlace::of(&config.database)?,
        node: config.node.id,
        live: database::Live::of(&config),
        journal: directory,
        state_dir: config.node.state_dir.clone(),
        marks: journal.marks(),
        streams: config
            .sip
            .listen
            .iter()
            .map(|l| l.transport.name())
            .collect(),
        latencies: latencies.clone(),
        mailboxes: mailboxes.clone(),
    })?;
    let tables = match first {
        First::Ready(tables) => Some(tables),
        First::Cached(tables, since, reason) => {
            let age = since.elapsed().unwrap_or_default().as_secs();
            tracing::error!(
                "{reason}; until it can be read, the tables count as they were {age} s ago"
            );
            Some(tables)
        }
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
        mailboxes: mailboxes.clone(),
    })?;
    let streams = streams::start(&config, shards)?;
    let http = http::bind(&config)?;
    let hiding = hiding::settings(&config)?;
    let journal = Shared::new(journal);
    let disk = Disk::start(mailboxes.clone(), latencies.clone())?;
    let fs_counters = Arc::default();
    let (change, changes) = change::handle();
    let mut head = Some(HeadParts {
        signals,
        change: change.clone(),
        seed: seed()?,
        http: http.handle(),
        freeswitch: Arc::clone(&fs_counters),
    });
    // Nonces of a life before are stale, which costs a user agent another round.
    let mut nonce_key = [0; 32];
    draw(&mut nonce_key)?;
    let usages = Usages::default();
    let cores = Cores {
        shards,
        kernel: listeners,
        streams: streams.bound,
        nonce_key,
        usages: usages.clone(),
    };
    let mut ends = streams.handles.into_iter();
    let mut workers = Vec::new();
    for (worker, inbox) in (0..).zip(inboxes) {
        let core = cores.config(&config, worker, hiding.clone());
        workers.push(Worker::new(Parts {
            core: Core::new(core, seed()?),
            config: Arc::clone(&config),
            journal: journal.clone(),
            disk: disk.clone(),
            sockets: sockets.try_clone()?,
            streams: ends.next(),
            inbox,
            mailboxes: mailboxes.clone(),
            database: database.clone(),
            resolver: resolver.clone(),
            qualities: qualities.clone(),
            head: head.take(),
        }));
    }
    for worker in &mut workers {
        // First the calls: the tables then find whose they are.
        worker.restore(&replay);
        if let Some(tables) = &tables {
            worker.tables(Arc::clone(tables));
        }
    }
    if let Some(path) = &config.routing.geoip {
        places::start(path.clone(), mailboxes.clone())?;
    }
    let freeswitch = Freeswitch::of(&config, &database, &journal, disk, Arc::clone(&fs_counters));
    let switch = Switch {
        cores,
        mailboxes: mailboxes.clone(),
        database: database.clone(),
        resolver,
        streams: streams.control,
        freeswitch: freeswitch.clone(),
    };
    change::start(begun, switch, changes)?;
    let live = Arc::new(freeswitch::Live::new(&config));
    freeswitch::watch(&config, mailboxes.first(), &live, &fs_counters)?;
    let api = Api::new(
        &config,
        mailboxes,
        database.clone(),
        http.handle(),
        live,
        change,
    );
    admin::start(&config, Arc::clone(&api))?;
    let gate = Gate::new(&config.admin.tokens, http.handle().shared_counters());
    let metrics = |gate| {
        let counters = http.handle().shared_counters();
        Metrics::new(
            Arc::clone(&api),
            gate,
            counters,
            (latencies.clone(), qualities.clone()),
            usages.clone(),
        )
    };
    // Each service is put in here, by whoever has it.
    let services = http::Services {
        metrics: Some(metrics(Some(Arc::clone(&gate)))),
        open_metrics: Some(metrics(None)),
        api: Some(Rpc::new(api, gate)),
        freeswitch: freeswitch.map(|f| f as Arc<dyn http::Service>),
    };
    http.serve(services)?;
    Ok(Running {
        workers,
        cores: config.sip.cores.clone(),
        journal,
        database,
        database_thread,
        _lock: lock,
    })
}

impl Running {
    /// Serves until SIGTERM or SIGINT.
    pub(crate) fn serve(self) -> Result<(), StartError> {
        threads::serve(self.workers, &self.cores)?;
        if let Some(Err(error)) = self.journal.lock().sync_job().map(|job| job.run()) {
            tracing::error!("the journal cannot be synchronised: {error}: check the disk");
        }
        self.database.stop();
        if self.database_thread.join().is_err() {
            tracing::error!("the database's thread had died; its CDRs are in the journal");
        }
        tracing::info!("stopped; calls stay up");
        Ok(())
    }
}

/// Unpredictable, and different in every life.
fn seed() -> io::Result<[u8; 16]> {
    let mut seed = [0; 16];
    draw(&mut seed)?;
    Ok(seed)
}

/// Unpredictable bytes.
fn draw(bytes: &mut [u8]) -> io::Result<()> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}
