//! What FreeSWITCH gets from us over HTTP, and what it is asked: the directory and the CDR collector below `/freeswitch/`, and
//! the event sockets of targets that drain.
//!
//! A question to the directory is answered from memory. A CDR is taken (200) when it is in the journal and that on the disk;
//! anything else is for FreeSWITCH to post again, and to keep in its own directory when it has tried enough.

mod access;
mod cdr;
mod counters;
mod live;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::{Method, StatusCode};
use tandem_config::{Config, HttpService};
use tandem_freeswitch::directory::{Directory, DirectoryDomain, Outcome, Request as Question};
use tandem_freeswitch::files;

use crate::database;
use crate::disk::Disk;
use crate::http::{Answering, Request, Response, Service};
use crate::shared::Shared;
use access::Access;
use cdr::Collector;
pub(crate) use counters::{Count, Counters};
pub(crate) use live::{Live, start as watch};
use tandem_store::Journal;

/// The services below `/freeswitch/`.
pub(crate) struct Freeswitch {
    access: ArcSwap<Access>,
    directory: ArcSwap<Directory>,
    database: database::Handle,
    collector: Collector,
    counters: Arc<Counters>,
}

impl Freeswitch {
    /// That of a configuration; none where no listener serves it.
    pub(crate) fn of(
        config: &Config,
        database: &database::Handle,
        journal: &Shared<Journal>,
        disk: Disk,
        counters: Arc<Counters>,
    ) -> Option<Arc<Self>> {
        let mut listeners = config.http.iter();
        if !listeners.any(|l| l.services.contains(&HttpService::Freeswitch)) {
            return None;
        }
        let most = config.http.iter().map(|l| l.max_body as usize).max();
        let collector = Collector::new(
            database.clone(),
            journal.clone(),
            disk,
            most.unwrap_or_default(),
        );
        Some(Arc::new(Self {
            access: ArcSwap::from_pointee(Access::new(&config.freeswitch)),
            directory: ArcSwap::from_pointee(directory(config)),
            collector,
            database: database.clone(),
            counters,
        }))
    }

    /// Another configuration counts from here on.
    pub(crate) fn change(&self, config: &Config) {
        self.access.store(Arc::new(Access::new(&config.freeswitch)));
        self.directory.store(Arc::new(directory(config)));
    }

    async fn answer(&self, request: Request) -> Response {
        let refuse = |count, status, text: &str| {
            self.counters.add(count);
            Response::text(status, text)
        };
        let is_cdr = match request.path.as_str() {
            "/freeswitch/directory" => false,
            "/freeswitch/cdr" => true,
            _ => {
                let text = "there are /freeswitch/directory and /freeswitch/cdr";
                return refuse(Count::NotFound, StatusCode::NOT_FOUND, text);
            }
        };
        if let Err(refused) = self.access.load().check(&request) {
            self.counters.add(refused.count());
            return refused.response();
        }
        match (is_cdr, &request.method) {
            (true, &Method::POST) => self.collector.take(&request, &self.counters).await,
            (false, &Method::POST | &Method::GET) => self.look_up(&request),
            _ => {
                let (status, text) = (StatusCode::METHOD_NOT_ALLOWED, "not with this method");
                refuse(Count::WrongMethod, status, text)
            }
        }
    }

    fn look_up(&self, request: &Request) -> Response {
        let read = Question::read(request.query.as_bytes(), &request.body);
        let question = match read {
            Ok(question) => question,
            Err(error) => {
                self.counters.add(Count::BadForm);
                return Response::text(StatusCode::BAD_REQUEST, error.to_string());
            }
        };
        let users = self.database.users();
        let answer = self.directory.load().answer(&question, |user, domain| {
            let found = users.find(user.as_bytes(), domain.as_bytes());
            if found.is_none() {
                // Somebody new is there for the next question.
                self.database.look_for(user.into(), domain.into());
            }
            found
        });
        self.counters.add(match answer.outcome {
            Outcome::User => Count::Users,
            Outcome::Domains => Count::Domains,
            Outcome::OtherSection => Count::OtherSection,
            Outcome::UnknownDomain => Count::UnknownDomain,
            Outcome::UnknownUser => Count::UnknownUser,
            Outcome::NoCredential => Count::NoCredential,
            Outcome::Unanswerable => Count::Unanswerable,
        });
        Response::new(StatusCode::OK, "text/xml; charset=utf-8", answer.document)
    }
}

impl Service for Freeswitch {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }
}

/// What there is to tell: users that our own registrar has are called through us.
fn directory(config: &Config) -> Directory {
    let inside = |r: &&tandem_config::Realm| r.side == tandem_config::Side::Internal;
    let realm = config.realms.iter().find(inside);
    let sip = realm.and_then(|r| r.sip.first());
    let domain = |name: &String| DirectoryDomain {
        name: name.clone(),
        dial_string: match config.registrar.domains.contains(name) {
            true => files::dial_string(sip),
            false => files::USERS_OF_ITS_OWN.to_owned(),
        },
    };
    let domains = config.freeswitch.domains(&config.registrar);
    Directory {
        domains: domains.iter().map(domain).collect(),
        passwords: config.freeswitch.passwords,
        context: config.freeswitch.user_context.clone(),
    }
}
