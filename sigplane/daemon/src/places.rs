//! The database of where addresses are: read at the start, and again when its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tandem_policy::routing::GeoIp;

use crate::ask::ToWorker;
use crate::mailbox::Mailbox;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// What says whether a file has changed.
type Stamp = (SystemTime, u64);

/// Reads the file, gives it to the workers, and starts the thread that looks at it from now on. A file that is not there, or is
/// no database, is said and does not hold the start up: calls go as if nobody's place were known.
pub(crate) fn start(path: PathBuf, mailboxes: Vec<Mailbox>) -> std::io::Result<()> {
    let mut watch = Watch {
        path,
        mailboxes,
        seen: None,
    };
    watch.look();
    std::thread::Builder::new()
        .name("places".into())
        .spawn(move || {
            loop {
                std::thread::sleep(EVERY);
                watch.look();
            }
        })?;
    Ok(())
}

struct Watch {
    path: PathBuf,
    mailboxes: Vec<Mailbox>,
    /// As it was when it was read, or could not be.
    seen: Option<Result<Stamp, String>>,
}

impl Watch {
    fn look(&mut self) {
        let path = self.path.display();
        let stamp = stamp(&self.path).map_err(|error| error.to_string());
        if self.seen.as_ref() == Some(&stamp) {
            return;
        }
        let read = match &stamp {
            Ok(_) => std::fs::read(&self.path)
                .map_err(|error| error.to_string())
                .and_then(GeoIp::new),
            Err(error) => Err(error.clone()),
        };
        match read {
            Ok(geo) => {
                let (kind, built) = geo.kind();
                tracing::info!("{path}: {kind} of Unix time {built} says where addresses are");
                let geo = Arc::new(geo);
                for mailbox in &self.mailboxes {
                    // Who does not empty his mailbox has other troubles; the next change brings it.
                    let _ = mailbox.send(ToWorker::Places(Arc::clone(&geo)));
                }
            }
            Err(error) => tracing::error!(
                "routing.geoip: {path}: {error}; put a database in MaxMind's format there. Until then the one before counts, or nobody's place is known"
            ),
        }
        self.seen = Some(stamp);
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}
