//! The collector: from a request to the disk.

use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use tandem_freeswitch::Form;
use tandem_freeswitch::cdr::{self, CdrError, Limits, Posted};
use tandem_store::{Journal, JournalError};
use tokio::time::timeout;

use super::{Count, Counters};
use crate::database;
use crate::disk::Disk;
use crate::http::{Request, Response};
use crate::shared::Shared;

/// How long a disk is waited for. FreeSWITCH waits for longer (`timeout` in its xml_cdr.conf.xml).
const PATIENCE: Duration = Duration::from_secs(5);
/// What is malformed is logged once in so long; each is counted.
const SILENCE: Duration = Duration::from_secs(1);

pub(super) struct Collector {
    database: database::Handle,
    journal: Shared<Journal>,
    disk: Disk,
    limits: Limits,
    /// When something malformed was logged last.
    said: Mutex<Option<Instant>>,
}

impl Collector {
    pub(super) fn new(
        database: database::Handle,
        journal: Shared<Journal>,
        disk: Disk,
        most: usize,
    ) -> Self {
        let limits = Limits {
            bytes: most,
            ..Limits::default()
        };
        Self {
            database,
            journal,
            disk,
            limits,
            said: Mutex::default(),
        }
    }

    /// Takes a CDR: 200 when it cannot be lost any more.
    pub(super) async fn take(&self, request: &Request, counters: &Counters) -> Response {
        let posted = match self.read(request) {
            Ok(posted) => posted,
            Err(error) => {
                counters.add(Count::CdrMalformed);
                // What a peer wrote may be in it.
                let text = error.to_string().escape_debug().to_string();
                self.say(request, &text);
                let status = match error {
                    CdrError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::BAD_REQUEST,
                };
                return Response::text(status, text);
            }
        };
        if posted.is_repaired {
            counters.add(Count::CdrRepaired);
        }
        match self.keep(posted).await {
            Ok(()) => {
                counters.add(Count::CdrTaken);
                Response::text(StatusCode::OK, "taken")
            }
            Err(reason) => {
                counters.add(Count::CdrNotKept);
                tracing::warn!("a CDR of FreeSWITCH is not taken: {reason}");
                Response::text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "it cannot be kept now: post it again",
                )
                .with(RETRY_AFTER, "5")
            }
        }
    }

    fn read(&self, request: &Request) -> Result<Posted, CdrError> {
        let query = Form::read(&[request.query.as_bytes()]);
        let query = query.map_err(|_| CdrError::Field("uuid"))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        cdr::read(query.value("uuid"), &request.body, now_ms, &self.limits)
    }

    /// Has it in the journal, and waits for the disk. One synchronisation serves all that came meanwhile.
    async fn keep(&self, posted: Posted) -> Result<(), String> {
        let (sequence, marks) = {
            let mut journal = self.journal.lock();
            journal
                .append_fs_cdrs(&[posted.cdr])
                .map_err(|e: JournalError| e.to_string())?;
            (journal.last_sequence(), journal.marks())
        };
        self.database.journaled();
        let synced = async {
            loop {
                let mut news = pin!(self.disk.synced());
                // From here on nothing is overlooked.
                news.as_mut().enable();
                if marks.synced() >= sequence {
                    return;
                }
                self.disk.hand_over(&self.journal);
                news.await;
            }
        };
        timeout(PATIENCE, synced)
            .await
            .map_err(|_| format!("the disk did not answer within {PATIENCE:?}"))
    }

    fn say(&self, request: &Request, text: &str) {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if said.is_none_or(|at| now.duration_since(at) >= SILENCE) {
            *said = Some(now);
            tracing::warn!("{} posted a CDR that cannot be read: {text}", request.peer);
        }
    }
}
