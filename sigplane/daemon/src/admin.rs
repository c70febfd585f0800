//! The management API: JSON-RPC 2.0. On a unix socket for the owner alone, a value a line; by HTTPS for who has a token
//! (`gate`, `remote`). What the methods do is the same for both (`methods`).

mod ask;
mod capture;
mod client;
mod config;
mod gate;
mod lists;
mod message;
mod methods;
mod params;
mod remote;
mod routes;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tandem_admin::{Alarm, Counter, Info, Role, Target, UPDATE_ALARMS, update_alarms};
use tandem_call::histogram::Histogram;
use tandem_config::Config;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::ask::{Ask, Refusal};
use crate::change;
use crate::database;
use crate::freeswitch::Live;
use crate::http;
use crate::mailbox::Mailbox;

pub(crate) use ask::total;
pub(crate) use gate::Gate;
pub(crate) use remote::Rpc;

/// Clients at a time; more are told so and closed.
const CLIENTS: usize = 32;

/// Why the socket could not be made.
#[derive(Debug)]
pub(crate) struct AdminError {
    path: PathBuf,
    source: io::Error,
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, source } = self;
        write!(
            f,
            "{}: {source}: its directory must be writable",
            path.display()
        )
    }
}

/// What answers, whoever asks.
pub(crate) struct Api {
    node: u16,
    state_dir: PathBuf,
    run_dir: PathBuf,
    started: Instant,
    started_at: SystemTime,
    /// Of every SIP worker.
    mailboxes: Vec<Mailbox>,
    database: database::Handle,
    http: http::Handle,
    live: Arc<Live>,
    change: change::Handle,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The token's name, or the local user.
    pub(crate) name: String,
    /// Its address, or `unix`.
    pub(crate) from: String,
    pub(crate) role: Role,
}

impl Api {
    pub(crate) fn new(
        config: &Config,
        mailboxes: Vec<Mailbox>,
        database: database::Handle,
        http: http::Handle,
        live: Arc<Live>,
        change: change::Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: config.node.id,
            state_dir: config.node.state_dir.clone(),
            run_dir: config.node.run_dir.clone(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            mailboxes,
            database,
            http,
            live,
            change,
        })
    }

    /// Every worker's counters; the first one's have those of all that there is one of, the dataplane's among them.
    pub(crate) async fn statistics_of_each(&self) -> Result<Vec<Vec<Counter>>, Refusal> {
        ask::each(self, Ask::Statistics).await
    }

    /// Every worker's histograms.
    pub(crate) async fn histograms_of_each(
        &self,
    ) -> Result<Vec<Vec<(&'static str, Histogram)>>, Refusal> {
        ask::each(self, Ask::Histograms).await
    }

    /// The targets of the dispatcher table.
    pub(crate) async fn targets(&self) -> Result<Vec<Target>, Refusal> {
        ask::targets(self).await
    }

    /// What is wrong: with the dataplane, and with the system's updates.
    pub(crate) async fn alarms(&self) -> Result<Vec<Alarm>, Refusal> {
        let mut alarms = ask::first(self, Ask::Alarms).await?;
        // A few bytes in memory.
        let read = std::fs::read(self.run_dir.join(UPDATE_ALARMS));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_ms = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        alarms.extend(update_alarms(read, now_ms));
        Ok(alarms)
    }

    /// Who we are.
    pub(crate) fn about(&self) -> Info {
        methods::info(self)
    }
}

/// Makes the socket and starts the thread that serves it.
pub(crate) fn start(config: &Config, api: Arc<Api>) -> Result<(), AdminError> {
    let path = &config.admin.socket;
    let failed = |source| AdminError {
        path: path.clone(),
        source,
    };
    let listener = listen(path).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let serve = move || runtime.block_on(serve(listener, api));
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(serve)
        .map_err(failed)?;
    Ok(())
}

/// The state directory's lock says that no other daemon lives; a socket that is there was left
/// behind.
fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    // Operators are in the daemon's group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: std::os::unix::net::UnixListener, api: Arc<Api>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("the management API is not served: {error}");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let api = Arc::clone(&api);
                    tokio::spawn(async move {
                        client::serve(stream, &api).await;
                        drop(place);
                    });
                }
                Err(_) => {
                    tokio::spawn(client::turn_away(stream));
                }
            },
            Err(error) => {
                // Out of descriptors, most likely: some client will go.
                tracing::warn!("the management API: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
