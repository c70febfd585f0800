//! The database's thread: tables out, CDRs in, and patience in between.
//!
//! Whatever the database does, calls go on: the journal keeps the CDRs, and this thread tries again
//! with growing pauses.

mod place;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_admin::{ErrorCode, Reloaded};
use tandem_call::Tables;
use tandem_policy::{BadRow, Subscribers};
use tandem_store::{Database, DatabaseError, DatabasePlace, JournalTail, Marks};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::ask::{Answer, Refusal, ToWorker};
use crate::mailbox::Mailbox;

pub(crate) use place::place;

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// CDRs per transaction.
const BATCH: usize = 500;
/// How long CDRs gather before they are written: a transaction costs as much as a hundred rows.
const GATHER: Duration = Duration::from_millis(400);
/// How long an orderly stop waits for the last CDRs. What is left is in the journal.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the thread needs to know.
pub(crate) struct Settings {
    pub(crate) place: DatabasePlace,
    pub(crate) node: u16,
    /// Zero: only on command.
    pub(crate) reload_interval: Duration,
    pub(crate) journal: PathBuf,
    /// Whether there is a registrar.
    pub(crate) subscribers: bool,
    pub(crate) marks: Arc<Marks>,
    /// Of every SIP worker.
    pub(crate) mailboxes: Vec<Mailbox>,
}

/// How the first attempt went.
pub(crate) enum First {
    /// The tables.
    Ready(Arc<Tables>),
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
}

#[derive(Default)]
struct Shared {
    /// The journal has CDRs.
    cdrs: Notify,
    stop: Notify,
    up: AtomicBool,
}

impl Handle {
    /// The journal has new CDRs.
    pub(crate) fn cdrs_written(&self) {
        self.shared.cdrs.notify_one();
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
    let (reload, requests) = mpsc::channel(16);
    let (report, first) = std::sync::mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = Handle {
        shared: Arc::clone(&shared),
        reload,
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
    pause: Duration,
}

struct Open {
    database: Database,
    tail: JournalTail,
}

impl Keeper {
    async fn run(
        settings: Settings,
        shared: Arc<Shared>,
        mut requests: mpsc::Receiver<Answer<Result<Reloaded, Refusal>>>,
        report: std::sync::mpsc::SyncSender<First>,
    ) {
        let (open, known, bad) = (None, None, Vec::new());
        let mut keeper = Self {
            settings,
            shared,
            open,
            known,
            bad,
            pause: PAUSES.0,
        };
        let first = match keeper.tables().await {
            Ok(tables) => {
                keeper.succeeded();
                keeper.known = Some(Arc::clone(&tables));
                First::Ready(tables)
            }
            Err(Trouble::Database(error)) if !error.is_temporary() => First::Never(error),
            Err(Trouble::Database(error)) => First::Later(error),
            // Reading the tables does not touch the journal.
            Err(Trouble::Journal(_) | Trouble::Busy) => return,
        };
        let go_on = !matches!(first, First::Never(_));
        if report.send(first).is_ok() && go_on {
            keeper.serve(&mut requests).await;
        }
    }

    async fn serve(&mut self, requests: &mut mpsc::Receiver<Answer<Result<Reloaded, Refusal>>>) {
        let shared = Arc::clone(&self.shared);
        // Without an interval this ticks once in a long while; the tables are compared anyway.
        let every = match self.settings.reload_interval {
            Duration::ZERO => Duration::from_secs(u64::from(u32::MAX)),
            every => every,
        };
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock.tick().await;
        // CDRs of an earlier life may wait.
        shared.cdrs.notify_one();
        let mut retry = self.known.is_none();
        loop {
            let pause = self.pause;
            let outcome = tokio::select! {
                () = shared.stop.notified() => break,
                Some(answer) = requests.recv() => {
                    let read = self.refresh().await;
                    let reloaded = read.as_ref().map(|tables| Reloaded {
                        dispatcher: tables.dispatcher.len() as u64,
                        address: tables.address.len() as u64,
                    });
                    let refusal = |e: &Trouble| Refusal::new(ErrorCode::DatabaseDown, e.to_string());
                    let _ = answer.send(reloaded.map_err(refusal));
                    read.map(drop)
                }
                () = shared.cdrs.notified(), if !retry => {
                    sleep(GATHER).await;
                    self.write_cdrs().await
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
        match timeout(FAREWELL, self.write_cdrs()).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => tracing::warn!("CDRs stay in the journal: {trouble}"),
            Err(_) => tracing::warn!("CDRs stay in the journal: the database is too slow"),
        }
        if let Some(open) = self.open.take() {
            open.database.close().await;
        }
    }

    /// After a failure: everything that may have been missed.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        self.refresh().await?;
        self.write_cdrs().await
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
            tracing::error!("{trouble}; calls go on, CDRs wait in the journal");
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

    async fn tables(&mut self) -> Result<Arc<Tables>, Trouble> {
        let wanted = self.settings.subscribers;
        let mut rows = self.open().await?.database.tables(wanted).await?;
        let (subscribers, bad) = Subscribers::new(std::mem::take(&mut rows.subscribers));
        rows.bad.extend(bad);
        if rows.bad != self.bad {
            rows.bad.iter().for_each(|row| tracing::warn!("{row}"));
            self.bad = rows.bad;
        }
        Ok(Arc::new(Tables {
            dispatcher: rows.dispatcher,
            address: rows.address,
            subscribers: Arc::new(subscribers),
        }))
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

    /// Writes every CDR that the journal has.
    async fn write_cdrs(&mut self) -> Result<(), Trouble> {
        let node = self.settings.node;
        let marks = Arc::clone(&self.settings.marks);
        let open = self.open().await?;
        loop {
            let batch = open.tail.next(BATCH)?;
            let Some((newest, _)) = batch.last() else {
                return Ok(());
            };
            let written = open.database.write_cdrs(node, &batch).await?;
            marks.set_applied(*newest);
            if written.known > 0 {
                tracing::warn!("{} CDRs were in the database already", written.known);
            }
        }
    }
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
            Self::Journal(error) => write!(f, "CDRs cannot be read back: {error}"),
            Self::Busy => f.write_str("the SIP worker is overloaded"),
        }
    }
}
