//! From one configuration to another, in two steps: first everything is made ready and says so, then everything changes.
//!
//! Whoever could say no has said yes before the first one changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use tandem_call::{CoreConfig, HidingConfig, ShardTable, Share, Tables};
use tandem_config::Config;
use tandem_net::TlsReady;
use tandem_policy::routing::Usages;
use tokio::sync::oneshot;

use crate::ask::{Prepare, ToWorker};
use crate::core_config::core_config;
use crate::freeswitch::Freeswitch;
use crate::mailbox::Mailbox;
use crate::{database, hiding, resolver, streams};

/// How long a SIP worker may take to answer.
const WORKER: Duration = Duration::from_secs(5);
/// How long the database may take to give its tables: there may be a million routes in them.
const DATABASE: Duration = Duration::from_secs(30);

/// What a core's configuration is made of, besides the file.
#[derive(Clone)]
pub(crate) struct Cores {
    pub(crate) shards: ShardTable,
    /// The addresses that the listeners really have.
    pub(crate) kernel: Vec<SocketAddr>,
    pub(crate) streams: Vec<SocketAddr>,
    pub(crate) nonce_key: [u8; 32],
    /// What trunks and tenants use, by their names: it stays when the configuration changes.
    pub(crate) usages: Usages,
}

impl Cores {
    /// One for a worker.
    pub(crate) fn config(&self, config: &Config, worker: u16, hiding: HidingConfig) -> CoreConfig {
        let share = Share {
            worker,
            shards: self.shards,
        };
        let (kernel, streams) = (&self.kernel, &self.streams);
        core_config(
            config,
            share,
            kernel,
            streams,
            hiding,
            self.nonce_key,
            &self.usages,
        )
    }
}

/// Everybody who has a part of the configuration.
pub(crate) struct Switch {
    pub(crate) cores: Cores,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) database: database::Handle,
    pub(crate) resolver: resolver::Handle,
    pub(crate) streams: Option<streams::Control>,
    pub(crate) freeswitch: Option<Arc<Freeswitch>>,
}

/// Everything is ready for this one.
pub(crate) struct Ready {
    number: u64,
    config: Arc<Config>,
    tls: Option<TlsReady>,
    tables: Option<Arc<Tables>>,
}

/// Whether a way back can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To something new: what is wrong keeps it from coming.
    There,
    /// To what was before: what is missing by now stays as it is.
    Back,
}

impl Way {
    fn wants<T>(self, part: Result<T, impl std::fmt::Display>) -> Result<Option<T>, String> {
        match (part, self) {
            (Ok(part), _) => Ok(Some(part)),
            (Err(error), Self::There) => Err(error.to_string()),
            (Err(error), Self::Back) => {
                tracing::error!("{error}; this part stays as it is");
                Ok(None)
            }
        }
    }
}

impl Switch {
    /// Makes everything ready. After an error everything is as before.
    ///
    /// # Errors
    /// Who cannot, and why.
    pub(crate) fn prepare(
        &self,
        number: u64,
        old: &Config,
        config: &Arc<Config>,
        way: Way,
    ) -> Result<Ready, String> {
        let tls = way.wants(streams::read_tls(config))?;
        let hiding = way.wants(hiding::settings(config))?;
        let hiding = hiding.unwrap_or_else(|| hiding::without_keys(config));
        let (was, is) = (database::Live::of(old), database::Live::of(config));
        // Without them what is wanted would be empty. What is wanted no more does no harm until it goes.
        let lacks = !was.wanted.covers(is.wanted);
        let tables = lacks.then(|| self.tables(&is)).transpose()?;
        let ready = Ready {
            number,
            config: Arc::clone(config),
            tls,
            tables,
        };
        if let Err(error) = self.ask_workers(&ready, &hiding) {
            self.abandon(&ready);
            return Err(error);
        }
        Ok(ready)
    }

    fn tables(&self, live: &database::Live) -> Result<Arc<Tables>, String> {
        let (answer, mut answered) = oneshot::channel();
        self.database.prepare(live.wanted, answer);
        let end = Instant::now() + DATABASE;
        let late = "the database has to be read for this, and does not answer";
        loop {
            match answered.try_recv() {
                Ok(read) => {
                    return read.map_err(|error| {
                        format!("the database has to be read for this, and it cannot be: {error}")
                    });
                }
                Err(oneshot::error::TryRecvError::Closed) => return Err(late.to_owned()),
                Err(oneshot::error::TryRecvError::Empty) if Instant::now() >= end => {
                    return Err(late.to_owned());
                }
                Err(oneshot::error::TryRecvError::Empty) => {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    fn ask_workers(&self, ready: &Ready, hiding: &HidingConfig) -> Result<(), String> {
        let (answer, answered) = bounded(self.mailboxes.len());
        for (worker, mailbox) in (0..).zip(&self.mailboxes) {
            let prepare = Prepare {
                number: ready.number,
                core: self.cores.config(&ready.config, worker, hiding.clone()),
                config: Arc::clone(&ready.config),
                tables: ready.tables.clone(),
                answer: answer.clone(),
            };
            if !mailbox.wait(ToWorker::Prepare(Box::new(prepare)), WORKER) {
                return Err(format!("SIP worker {worker} does not read its letters"));
            }
        }
        drop(answer);
        let end = Instant::now() + WORKER;
        for _ in &self.mailboxes {
            match answered.recv_deadline(end) {
                Ok(Ok(())) => {}
                Ok(Err(part)) => return Err(format!("{part} cannot be changed while running")),
                Err(_) => return Err("a SIP worker does not answer".to_owned()),
            }
        }
        Ok(())
    }

    /// It is not to be.
    pub(crate) fn abandon(&self, ready: &Ready) {
        for mailbox in &self.mailboxes {
            // A letter that is lost is no matter: what is ready there is replaced by the next one.
            let _ = mailbox.send(ToWorker::Abandon(ready.number));
        }
    }

    /// Everything changes. When it returns, it has.
    pub(crate) fn commit(&self, ready: Ready) {
        let Ready {
            number,
            config,
            tls,
            tables,
        } = ready;
        let (answer, answered) = bounded(self.mailboxes.len());
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            let done = answer.clone();
            // They all answered a moment ago.
            while !mailbox.wait(ToWorker::Commit(number, done.clone()), WORKER) {
                tracing::error!("SIP worker {worker} does not read its letters");
            }
        }
        drop(answer);
        let end = Instant::now() + WORKER;
        for _ in &self.mailboxes {
            if answered.recv_deadline(end).is_err() {
                tracing::error!("a SIP worker takes long to change its configuration");
            }
        }
        self.database.commit(database::Live::of(&config), tables);
        self.resolver.set(&config.dns);
        if let Some(freeswitch) = &self.freeswitch {
            freeswitch.change(&config);
        }
        if let (Some(streams), Some(tls)) = (&self.streams, tls)
            && !streams.change(&config, tls)
        {
            tracing::error!(
                "the connections' limits and certificates are those from before: too busy"
            );
        }
    }

    /// The files that the configuration names are read again: keys and certificates.
    pub(crate) fn read_files(&self) {
        if let Some(first) = self.mailboxes.first() {
            first.wait(ToWorker::ReadFiles, WORKER);
        }
    }
}
