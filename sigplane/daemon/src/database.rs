//! The database's thread: tables out, CDRs and locations in, and patience in between.
//!
//! Whatever the database does, calls go on: the journal keeps what it is to have, and this thread tries again
//! with growing pauses.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tandem_admin::{ErrorCode, Reloaded};
use tandem_call::{Tables, dialog_row, location_rows};
use tandem_config::{Action, Config};
use tandem_policy::digest::Secret;
use tandem_policy::routing::{Dids, TrunkRoutes};
use tandem_policy::{BadRow, Subscribers, TrunkRow};
use tandem_store::{
    Database, DatabaseError, DatabasePlace, JournalTail, Marks, Readers, RouteCache, RoutesStamp,
    TableCache, TableRows, WantedTables,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{self, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use crate::ask::{Answer, Refusal, ToWorker};
use crate::mailbox::Mailbox;
use crate::metrics::{Latencies, Timed};

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a start waits for the database when it has tables of an earlier life.
const HASTE: Duration = Duration::from_secs(1);
/// Users that are looked for at a time.
const LOOKUPS: usize = 64;
/// Changes per transaction.
const BATCH: usize = 500;
/// How long changes gather before they are written: a transaction costs as much as a hundred rows.
const GATHER: Duration = Duration::from_millis(400);
/// How long an orderly stop waits for the last changes. What is left is in the journal.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the thread needs to know.
pub(crate) struct Settings {
    pub(crate) place: DatabasePlace,
    pub(crate) node: u16,
    pub(crate) live: Live,
    pub(crate) journal: PathBuf,
    pub(crate) state_dir: PathBuf,
    /// The transports of the stream listeners.
    pub(crate) streams: Vec<&'static str>,
    pub(crate) marks: Arc<Marks>,
    /// Of every SIP worker.
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) latencies: Latencies,
}

/// What a configuration needs to be read.
pub(crate) fn wanted(config: &Config) -> WantedTables {
    let by_rule = |action| config.rules.iter().any(|rule| rule.action == Some(action));
    WantedTables {
        subscribers: !config.registrar.domains.is_empty()
            || !config.freeswitch.domains(&config.registrar).is_empty(),
        dids: config.routing.dids || by_rule(Action::Did),
        routes: config.routing.trunk_routing || by_rule(Action::Routes),
    }
}

/// How the first attempt went.
pub(crate) enum First {
    /// The tables.
    Ready(Arc<Tables>),
    /// The tables as they were read in an earlier life, at this time. The thread keeps trying.
    Cached(Arc<Tables>, SystemTime, String),
    /// It may get better: the thread keeps trying and sends the tables when it has them.
    Later(DatabaseError),
    /// It will not; the thread has ended.
    Never(DatabaseError),
}

/// Hold on the thread.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    reload: mpsc::Sender<Answer<Result<Reloaded, Refusal>>>,
    lookups: mpsc::Sender<Lookup>,
    changes: mpsc::UnboundedSender<Change>,
}

/// What of the settings can be changed while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// Zero: only on command.
    pub(crate) reload_interval: Duration,
    /// Whether Kamailio's `acc` is written.
    pub(crate) acc: bool,
    /// What is read.
    pub(crate) wanted: WantedTables,
}

impl Live {
    pub(crate) fn of(config: &tandem_config::Config) -> Self {
        Self {
            reload_interval: config.database.reload_interval,
            acc: config.database.acc,
            wanted: wanted(config),
        }
    }
}

/// A change of the settings, in two steps.
enum Change {
    /// Reads what is wanted, and changes nothing: the tables.
    Prepare(WantedTables, Answer<Result<Arc<Tables>, String>>),
    /// These settings from now on; the workers have these tables.
    Commit(Live, Option<Arc<Tables>>),
}

/// A user, and its domain.
type Lookup = (Vec<u8>, Vec<u8>);

/// What the thread is asked to do.
struct Requests {
    reload: mpsc::Receiver<Answer<Result<Reloaded, Refusal>>>,
    lookups: mpsc::Receiver<Lookup>,
    changes: mpsc::UnboundedReceiver<Change>,
}

#[derive(Default)]
struct Shared {
    /// The journal has something for the database.
    journaled: Notify,
    stop: Notify,
    up: AtomicBool,
    /// The users, for those who are no SIP workers: of the table, and whom it did not have when it was read.
    subscribers: ArcSwap<Subscribers>,
    newcomers: ArcSwap<Subscribers>,
}

/// The users at this moment.
pub(crate) struct Users {
    subscribers: Arc<Subscribers>,
    newcomers: Arc<Subscribers>,
}

impl Users {
    /// A user's secret.
    pub(crate) fn find(&self, user: &[u8], domain: &[u8]) -> Option<&Secret> {
        let newcomer = || self.newcomers.find(user, domain);
        self.subscribers.find(user, domain).or_else(newcomer)
    }
}

impl Handle {
    /// The journal has something new for the database.
    pub(crate) fn journaled(&self) {
        self.shared.journaled.notify_one();
    }

    /// Has a user looked for, of whom the workers are told if there is one. False when too many are being looked for.
    pub(crate) fn look_for(&self, user: Vec<u8>, domain: Vec<u8>) -> bool {
        self.lookups.try_send((user, domain)).is_ok()
    }

    /// The users, if the configuration has anybody who asks for them.
    pub(crate) fn users(&self) -> Users {
        Users {
            subscribers: self.shared.subscribers.load_full(),
            newcomers: self.shared.newcomers.load_full(),
        }
    }

    /// The tables as other settings want them read, or why they cannot be.
    pub(crate) fn prepare(
        &self,
        wanted: WantedTables,
        answer: Answer<Result<Arc<Tables>, String>>,
    ) {
        // Without a thread the answer is dropped, which says so.
        let _ = self.changes.send(Change::Prepare(wanted, answer));
    }

    /// Other settings from now on, with the tables that the workers have got for them, if they have.
    pub(crate) fn commit(&self, live: Live, tables: Option<Arc<Tables>>) {
        let _ = self.changes.send(Change::Commit(live, tables));
    }

    /// Whether the last access succeeded.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Relaxed)
    }

    /// Writes what is left and ends.
    pub(crate) fn stop(&self) {
        self.shared.stop.notify_one();
    }

    /// Reads the tables again.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Refusal> {
        let down = || Refusal::new(ErrorCode::DatabaseDown, "the database's thread is busy");
        let (answer, answered) = oneshot::channel();
        self.reload.try_send(answer).map_err(|_| down())?;
        answered.await.map_err(|_| down())?
    }
}

/// Starts the thread and waits for its first attempt.
pub(crate) fn start(
    settings: Settings,
) -> std::io::Result<(Handle, First, std::thread::JoinHandle<()>)> {
    let shared = Arc::new(Shared::default());
    let (reload, reload_requests) = mpsc::channel(16);
    let (lookups, lookup_requests) = mpsc::channel(LOOKUPS);
    let (changes, changed) = mpsc::unbounded_channel();
    let requests = Requests {
        reload: reload_requests,
        lookups: lookup_requests,
        changes: changed,
    };
    let (report, first) = std::sync::mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = Handle {
        shared: Arc::clone(&shared),
        reload,
        lookups,
        changes,
    };
    let thread = std::thread::Builder::new()
        .name("database".into())
        .spawn(move || {
            runtime.block_on(Keeper::run(settings, shared, requests, report));
        })?;
    let first = first
        .recv()
        .map_err(|_| std::io::Error::other("the database's thread died"))?;
    Ok((handle, first, thread))
}

/// The thread's state.
struct Keeper {
    settings: Settings,
    shared: Arc<Shared>,
    open: Option<Open>,
    /// The tables that the workers have.
    known: Option<Arc<Tables>>,
    bad: Vec<BadRow>,
    cache: TableCache,
    routes: Routes,
    pause: Duration,
}

/// `trunk_routing`, which is read only when it has changed.
struct Routes {
    cache: RouteCache,
    stamp: Option<RoutesStamp>,
    table: Arc<TrunkRoutes>,
    bad: Vec<BadRow>,
}

impl Routes {
    fn take(&mut self, rows: &[TrunkRow], mut bad: Vec<BadRow>) {
        let (table, more) = TrunkRoutes::new(rows);
        bad.extend(more);
        self.table = Arc::new(table);
        self.bad = bad;
    }

    /// As they were in an earlier life.
    fn take_cached(&mut self) {
        match self.cache.read() {
            Ok(Some(rows)) => self.take(&rows, Vec::new()),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("the routes of an earlier life: {error}; they are not used");
            }
        }
    }

    async fn refresh(&mut self, database: &mut Database) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        let Some(read) = database.routes(self.stamp.as_ref()).await? else {
            return Ok(());
        };
        if let Err(error) = self.cache.write(&read.rows) {
            tracing::warn!("keeping the routes for the next life: {error}");
        }
        self.take(&read.rows, read.bad);
        self.stamp = Some(read.stamp);
        let (routes, took) = (self.table.len(), begun.elapsed());
        tracing::info!("{routes} routes of trunk_routing are in use, read in {took:.1?}");
        Ok(())
    }
}

struct Open {
    database: Database,
    tail: JournalTail,
}

impl Keeper {
    async fn run(
        settings: Settings,
        shared: Arc<Shared>,
        mut requests: Requests,
        report: std::sync::mpsc::SyncSender<First>,
    ) {
        let (open, known, bad) = (None, None, Vec::new());
        let cache = TableCache::new(&settings.state_dir, settings.place.to_string());
        let routes = Routes {
            cache: RouteCache::new(&settings.state_dir, settings.place.to_string()),
            stamp: None,
            table: Arc::default(),
            bad: Vec::new(),
        };
        let mut keeper = Self {
            settings,
            shared,
            open,
            known,
            bad,
            cache,
            routes,
            pause: PAUSES.0,
        };
        let Some(first) = keeper.first().await else {
            return;
        };
        let go_on = !matches!(first, First::Never(_));
        if report.send(first).is_ok() && go_on {
            keeper.serve(&mut requests).await;
        }
    }

    /// The tables that the daemon begins with. Where those of an earlier life are there, a database that is away or wrong is no reason to
    /// wait, or not to start.
    async fn first(&mut self) -> Option<First> {
        let cached = self.cache.read().unwrap_or_else(|error| {
            tracing::warn!("the tables of an earlier life: {error}; they are not used");
            None
        });
        let patience = match cached {
            Some(_) => HASTE,
            None => Duration::MAX,
        };
        let read = timeout(patience, self.tables()).await;
        let trouble = match read {
            Ok(Ok(tables)) => {
                self.succeeded();
                self.known = Some(Arc::clone(&tables));
                return Some(First::Ready(tables));
            }
            Ok(Err(Trouble::Database(error))) => Ok(error),
            // Reading the tables does not touch the journal.
            Ok(Err(Trouble::Journal(_) | Trouble::Busy)) => return None,
            Err(_) => Err(format!("no answer within {HASTE:?}")),
        };
        // What a statement that was given up has done is not known.
        self.open = None;
        match (trouble, cached) {
            (trouble, Some((rows, since))) => {
                if self.settings.live.wanted.routes {
                    self.routes.take_cached();
                }
                let tables = self.take(rows);
                self.known = Some(Arc::clone(&tables));
                let reason = trouble.map_or_else(|slow| slow, |error| error.to_string());
                Some(First::Cached(tables, since, reason))
            }
            (Ok(error), None) if error.is_temporary() => Some(First::Later(error)),
            (Ok(error), None) => Some(First::Never(error)),
            // Without an earlier life's there was all the time.
            (Err(_), None) => None,
        }
    }

    async fn serve(&mut self, requests: &mut Requests) {
        let shared = Arc::clone(&self.shared);
        let mut clock = clock_of(self.settings.live.reload_interval);
        // Changes of an earlier life may wait.
        shared.journaled.notify_one();
        let mut retry = self.open.is_none();
        loop {
            let pause = self.pause;
            let outcome = tokio::select! {
                () = shared.stop.notified() => break,
                Some(change) = requests.changes.recv() => match change {
                    Change::Prepare(wanted, answer) => {
                        self.prepare(wanted, answer).await;
                        continue;
                    }
                    Change::Commit(live, tables) => {
                        self.commit(live, tables);
                        clock = clock_of(self.settings.live.reload_interval);
                        continue;
                    }
                },
                Some((user, domain)) = requests.lookups.recv(), if !retry => {
                    self.look_for(&user, &domain).await
                }
                Some(answer) = requests.reload.recv() => {
                    let read = self.refresh().await;
                    let reloaded = read.as_ref().map(|tables| Reloaded {
                        dispatcher: tables.dispatcher.len() as u64,
                        address: tables.address.len() as u64,
                    });
                    let refusal = |e: &Trouble| Refusal::new(ErrorCode::DatabaseDown, e.to_string());
                    let _ = answer.send(reloaded.map_err(refusal));
                    read.map(drop)
                }
                () = shared.journaled.notified(), if !retry => {
                    sleep(GATHER).await;
                    self.write().await
                }
                _ = clock.tick(), if !retry => self.refresh().await.map(drop),
                () = sleep(pause), if retry => self.catch_up().await,
            };
            retry = match outcome {
                Ok(()) => {
                    self.succeeded();
                    false
                }
                Err(trouble) => {
                    self.failed(&trouble);
                    true
                }
            };
        }
        match timeout(FAREWELL, self.write()).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => {
                tracing::warn!("CDRs and registrations stay in the journal: {trouble}")
            }
            Err(_) => tracing::warn!(
                "CDRs and registrations stay in the journal: the database is too slow"
            ),
        }
        if let Some(open) = self.open.take() {
            open.database.close().await;
        }
    }

    /// Reads the tables as other settings want them. What that does to the connection is not its business.
    async fn prepare(&mut self, wanted: WantedTables, answer: Answer<Result<Arc<Tables>, String>>) {
        let read = self.rows(wanted).await.map(|rows| self.take(rows));
        // It may be gone: then nothing came of it.
        let _ = answer.send(read.map_err(|trouble| trouble.to_string()));
    }

    fn commit(&mut self, live: Live, tables: Option<Arc<Tables>>) {
        self.settings.live = live;
        if tables.is_some() {
            self.known = tables;
        }
    }

    /// After a failure: everything that may have been missed.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        self.refresh().await?;
        self.write().await
    }

    fn succeeded(&mut self) {
        if !self.shared.up.swap(true, Ordering::Relaxed) {
            let place = self.open.as_ref().map(|open| open.database.place());
            let place = place.unwrap_or_else(|| self.settings.place.to_string());
            tracing::info!("database {place} is in use");
        }
        self.pause = PAUSES.0;
    }

    fn failed(&mut self, trouble: &Trouble) {
        // Said once, not with every attempt.
        if self.shared.up.swap(false, Ordering::Relaxed) || self.pause == PAUSES.0 {
            tracing::error!("{trouble}; calls and registrations go on, and wait in the journal");
        }
        if self.open.take().is_some() {
            // In a cluster the next host may do better. One that was only tried was passed over already.
            self.settings.place.move_on();
        }
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    async fn open(&mut self) -> Result<&mut Open, Trouble> {
        if self.open.is_none() {
            let Settings {
                place,
                node,
                journal,
                marks,
                ..
            } = &mut self.settings;
            let mut database = Database::open(place).await?;
            let last = database.last_sequence(*node).await?;
            marks.set_applied(last);
            self.open = Some(Open {
                database,
                tail: JournalTail::new(journal, last),
            });
        }
        self.open.as_mut().ok_or(Trouble::Busy)
    }

    async fn rows(&mut self, wanted: WantedTables) -> Result<TableRows, Trouble> {
        let rows = self.open().await?.database.tables(wanted).await?;
        if wanted.routes
            && let Some(open) = &mut self.open
        {
            self.routes.refresh(&mut open.database).await?;
        }
        Ok(rows)
    }

    async fn tables(&mut self) -> Result<Arc<Tables>, Trouble> {
        let rows = self.rows(self.settings.live.wanted).await?;
        if let Err(error) = self.cache.write(&rows) {
            tracing::warn!("keeping the tables for the next life: {error}");
        }
        Ok(self.take(rows))
    }

    fn take(&mut self, mut rows: TableRows) -> Arc<Tables> {
        let (subscribers, bad) = Subscribers::new(std::mem::take(&mut rows.subscribers));
        rows.bad.extend(bad);
        let subscribers = Arc::new(subscribers);
        self.shared.subscribers.store(Arc::clone(&subscribers));
        self.shared.newcomers.store(Arc::default());
        let (dids, bad) = Dids::new(&std::mem::take(&mut rows.dids));
        rows.bad.extend(bad);
        rows.bad.extend(self.routes.bad.iter().cloned());
        if rows.bad != self.bad {
            rows.bad.iter().for_each(|row| tracing::warn!("{row}"));
            self.bad = rows.bad;
        }
        Arc::new(Tables {
            dispatcher: rows.dispatcher,
            address: rows.address,
            subscribers,
            dids: Arc::new(dids),
            routes: Arc::clone(&self.routes.table),
        })
    }

    /// Reads the tables and tells the workers if they changed.
    async fn refresh(&mut self) -> Result<Arc<Tables>, Trouble> {
        let tables = self.tables().await?;
        if self.known.as_ref() != Some(&tables) {
            for mailbox in &self.settings.mailboxes {
                let letter = ToWorker::Tables(Arc::clone(&tables));
                mailbox.send(letter).map_err(|_| Trouble::Busy)?;
            }
            self.known = Some(Arc::clone(&tables));
        }
        Ok(tables)
    }

    /// Tells the workers of a user that they asked for.
    async fn look_for(&mut self, user: &[u8], domain: &[u8]) -> Result<(), Trouble> {
        // Who is not called in UTF-8 is not in the table.
        let (Ok(user), Ok(domain)) = (std::str::from_utf8(user), std::str::from_utf8(domain))
        else {
            return Ok(());
        };
        let rows = self.open().await?.database.subscriber(user, domain).await?;
        // Rows that cannot be used are named when the whole table is read.
        let (found, _) = Subscribers::new(rows);
        if !found.is_empty() {
            let mut newcomers = Subscribers::clone(&self.shared.newcomers.load());
            newcomers.merge(&found);
            self.shared.newcomers.store(Arc::new(newcomers));
            let found = Arc::new(found);
            for mailbox in &self.settings.mailboxes {
                let letter = ToWorker::Newcomers(Arc::clone(&found));
                mailbox.send(letter).map_err(|_| Trouble::Busy)?;
            }
        }
        Ok(())
    }

    /// Writes everything that the journal has for it.
    async fn write(&mut self) -> Result<(), Trouble> {
        let (node, acc) = (self.settings.node, self.settings.live.acc);
        let marks = Arc::clone(&self.settings.marks);
        let latencies = self.settings.latencies.clone();
        let streams = self.settings.streams.clone();
        let readers = Readers {
            location: &|body| location_rows(body, &streams).unwrap_or_default(),
            dialog: &|body| dialog_row(body, &streams),
        };
        let open = self.open().await?;
        loop {
            let batch = open.tail.next(BATCH)?;
            let Some((newest, _)) = batch.last() else {
                return Ok(());
            };
            let begin = Instant::now();
            let written = open.database.write(node, &batch, readers, acc).await?;
            latencies.record(Timed::Database, begin.elapsed());
            marks.set_applied(*newest);
            if written.known > 0 {
                tracing::warn!("{} CDRs were in the database already", written.known);
            }
        }
    }
}

/// When the tables are read again. Without an interval once in a long while; they are compared anyway.
fn clock_of(reload_interval: Duration) -> Interval {
    let every = match reload_interval {
        Duration::ZERO => Duration::from_secs(u64::from(u32::MAX)),
        every => every,
    };
    let mut clock = interval_at(time::Instant::now() + every, every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// What went wrong.
#[derive(Debug)]
enum Trouble {
    Database(DatabaseError),
    Journal(tandem_store::JournalError),
    /// A worker does not empty its mailbox.
    Busy,
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<tandem_store::JournalError> for Trouble {
    fn from(error: tandem_store::JournalError) -> Self {
        Self::Journal(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Journal(error) => write!(
                f,
                "what the database is to have cannot be read back: {error}"
            ),
            Self::Busy => f.write_str("the SIP worker is overloaded"),
        }
    }
}
