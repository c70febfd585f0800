//! The management API: JSON-RPC 2.0, a value a line, on a unix socket for the owner alone.

mod ask;
mod capture;
mod client;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tandem_config::Config;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::database;
use crate::mailbox::Mailbox;

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

/// What the clients' tasks share.
struct Shared {
    node: u16,
    started: Instant,
    /// Of every SIP worker.
    mailboxes: Vec<Mailbox>,
    database: database::Handle,
}

/// Makes the socket and starts the thread that serves it.
pub(crate) fn start(
    config: &Config,
    mailboxes: Vec<Mailbox>,
    database: database::Handle,
) -> Result<(), AdminError> {
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
    let node = config.node.id;
    let shared = Arc::new(Shared {
        node,
        started: Instant::now(),
        mailboxes,
        database,
    });
    let serve = move || runtime.block_on(serve(listener, shared));
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
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: std::os::unix::net::UnixListener, shared: Arc<Shared>) {
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
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        client::serve(stream, &shared).await;
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
