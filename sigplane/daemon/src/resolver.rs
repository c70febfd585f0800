//! The resolver's thread: errands in by a channel, findings out to the SIP workers' mailboxes. It
//! has a thread and a runtime of its own, so that neither a slow database delays a name nor a slow
//! DNS server anything else.

mod dns;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_policy::locate::{Answer, Cache, Errand, Finding, Locator, NoAnswer, Question};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;

use crate::ask::ToWorker;
use crate::mailbox::Mailbox;
use dns::Dns;

/// Errands that may wait for the thread.
const ERRANDS: usize = 1_024;
/// Answers in the cache: some 300 bytes each.
const CACHE: usize = 8_192;
/// When a full mailbox is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// What the thread needs to know.
pub(crate) struct Settings {
    /// The servers; none for those of the system.
    pub(crate) servers: Vec<SocketAddr>,
    /// For one question, repetitions included.
    pub(crate) timeout: Duration,
    /// How long an answer serves beyond its time while DNS fails.
    pub(crate) stale: Duration,
    /// Of every SIP worker.
    pub(crate) mailboxes: Vec<Mailbox>,
}

/// Hold on the thread; it ends with the last one.
#[derive(Clone)]
pub(crate) struct Handle {
    errands: mpsc::Sender<(u16, Errand)>,
    changes: mpsc::UnboundedSender<Change>,
}

/// Other settings.
struct Change {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    stale: Duration,
}

impl Handle {
    /// Asks other servers, or otherwise, from now on. What is known stays known.
    pub(crate) fn set(&self, dns: &tandem_config::Dns) {
        // A thread that died took the process with it, or answers nobody anyhow.
        let _ = self.changes.send(Change {
            servers: dns.servers.clone(),
            timeout: dns.timeout,
            stale: dns.stale,
        });
    }

    /// Has something looked up for a SIP worker. Gives the errand back when too many wait.
    pub(crate) fn search(&self, worker: u16, errand: Errand) -> Result<(), Errand> {
        use mpsc::error::TrySendError::{Closed, Full};
        let sent = self.errands.try_send((worker, errand));
        sent.map_err(|error| match error {
            Full((_, errand)) | Closed((_, errand)) => errand,
        })
    }
}

/// Starts the thread.
pub(crate) fn start(settings: Settings) -> std::io::Result<Handle> {
    let (errands, received) = mpsc::channel(ERRANDS);
    let (changes, changed) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("resolver".into())
        .spawn(move || runtime.block_on(Desk::new(settings).serve(received, changed)))?;
    Ok(Handle { errands, changes })
}

/// The thread's state.
struct Desk {
    origin: Instant,
    locator: Locator,
    dns: Dns,
    /// Questions under way.
    open: JoinSet<Answer>,
    asked: HashMap<Id, Question>,
    mailboxes: Vec<Mailbox>,
    /// The workers that wait for a finding.
    waiting: HashMap<Errand, Vec<u16>>,
    /// What a mailbox had no room for.
    unsent: VecDeque<(u16, Box<Finding>)>,
}

impl Desk {
    fn new(settings: Settings) -> Self {
        Self {
            origin: Instant::now(),
            locator: Locator::new(Cache::new(CACHE, settings.stale)),
            dns: Dns::new(settings.servers, settings.timeout),
            open: JoinSet::new(),
            asked: HashMap::new(),
            mailboxes: settings.mailboxes,
            waiting: HashMap::new(),
            unsent: VecDeque::new(),
        }
    }

    async fn serve(
        mut self,
        mut errands: mpsc::Receiver<(u16, Errand)>,
        mut changes: mpsc::UnboundedReceiver<Change>,
    ) {
        loop {
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some((worker, errand)) => self.search(worker, errand),
                    None => return,
                },
                Some(Change { servers, timeout, stale }) = changes.recv() => {
                    self.dns = Dns::new(servers, timeout);
                    self.locator.set_stale(stale);
                }
                Some(done) = self.open.join_next_with_id() => self.answered(done),
                () = sleep(RETRY), if !self.unsent.is_empty() => {}
            }
            while let Some(question) = self.locator.question() {
                let task = self.open.spawn(self.dns.ask(&question));
                self.asked.insert(task.id(), question);
            }
            while let Some(finding) = self.locator.finding() {
                for worker in self.waiting.remove(&finding.errand).unwrap_or_default() {
                    self.unsent.push_back((worker, Box::new(finding.clone())));
                }
            }
            self.send();
        }
    }

    fn search(&mut self, worker: u16, errand: Errand) {
        let waiting = self.waiting.entry(errand.clone()).or_default();
        if !waiting.contains(&worker) {
            waiting.push(worker);
        }
        self.locator.search(self.origin.elapsed(), errand);
    }

    fn answered(&mut self, done: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match done {
            Ok(done) => done,
            // The library's task died: its question is not left open for that.
            Err(error) => (error.id(), Answer::Failed(NoAnswer::Refused)),
        };
        if let Some(question) = self.asked.remove(&id) {
            if let Answer::Failed(why) = &answer {
                tracing::debug!("{:?} {}: no answer ({why:?})", question.kind, question.name);
            }
            let now = self.origin.elapsed();
            self.locator.answer(now, &question, answer);
        }
    }

    fn send(&mut self) {
        while let Some((worker, finding)) = self.unsent.pop_front() {
            let Some(mailbox) = self.mailboxes.get(usize::from(worker)) else {
                continue;
            };
            if let Err(ToWorker::Located(finding)) = mailbox.send(ToWorker::Located(finding)) {
                self.unsent.push_front((worker, finding));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
