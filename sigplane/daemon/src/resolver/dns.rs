//! Questions to DNS by `hickory-resolver`: the packets, retransmissions, servers, TCP for long answers
//! and CNAME are its business. Its own cache stays empty: ours knows what to do when DNS fails.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tandem_policy::locate::{Answer, Domain, Kind, Naptr, NoAnswer, Question, Record, Srv};
use tokio::time::timeout;

const SYSTEM: &str = "/etc/resolv.conf";

/// How we ask.
pub(super) struct Dns {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    resolver: Option<TokioResolver>,
    /// When the system's file was changed that the resolver was made from.
    changed: Option<SystemTime>,
}

impl Dns {
    pub(super) fn new(servers: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self {
            servers,
            timeout,
            resolver: None,
            changed: None,
        }
    }

    /// Asks; the answer is there within the timeout.
    pub(super) fn ask(
        &mut self,
        question: &Question,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let resolver = self.resolver();
        let limit = self.timeout;
        let kind = match question.kind {
            Kind::Naptr => RecordType::NAPTR,
            Kind::Srv => RecordType::SRV,
            Kind::Aaaa => RecordType::AAAA,
            Kind::A => RecordType::A,
        };
        // With the dot at its end it is looked up as it stands, in no search list.
        let name = format!("{}.", question.name);
        async move {
            let Some(resolver) = resolver else {
                return Answer::Failed(NoAnswer::Silent);
            };
            match timeout(limit, resolver.lookup(name, kind)).await {
                Ok(Ok(lookup)) => found(&lookup, kind),
                Ok(Err(error)) => not_found(&error),
                Err(_) => Answer::Failed(NoAnswer::Silent),
            }
        }
    }

    /// The resolver; made anew when the system's file has changed. None when there is no server.
    fn resolver(&mut self) -> Option<TokioResolver> {
        let changed = if self.servers.is_empty() {
            std::fs::metadata(SYSTEM).and_then(|m| m.modified()).ok()
        } else {
            None
        };
        if self.resolver.is_none() || changed != self.changed {
            self.changed = changed;
            self.resolver = match self.make() {
                Ok(resolver) => Some(resolver),
                Err(error) => {
                    tracing::warn!(
                        "names cannot be looked up: {error}: write servers into {SYSTEM}, or into \
                         [dns] of the configuration"
                    );
                    None
                }
            };
        }
        self.resolver.clone()
    }

    fn make(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|s| server(*s)).collect();
            TokioResolver::builder_with_config(
                ResolverConfig::from_name_servers(servers),
                TokioRuntimeProvider::default(),
            )
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        // Two attempts in the time that a question has.
        options.timeout = self.timeout / 2;
        options.attempts = 1;
        // The kernel keeps the media ports reserved: an answer that came to one of them would go to
        // the dataplane and no further.
        options.os_port_selection = true;
        builder.build()
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn found(lookup: &Lookup, kind: RecordType) -> Answer {
    let answers = lookup.answers();
    // A CNAME on the way counts no longer than it says.
    let ttl = answers.iter().map(|r| r.ttl).min().unwrap_or_default();
    let ttl = Duration::from_secs(ttl.into());
    let records: Vec<Record> = answers
        .iter()
        .filter(|r| r.record_type() == kind)
        .filter_map(|r| record(&r.data))
        .collect();
    if records.is_empty() {
        return Answer::Absent { ttl: Some(ttl) };
    }
    Answer::Found { records, ttl }
}

/// A record as we know it; none for one that we could not use.
fn record(data: &RData) -> Option<Record> {
    Some(match data {
        RData::A(ip) => Record::Address((**ip).into()),
        RData::AAAA(ip) => Record::Address((**ip).into()),
        RData::SRV(srv) => Record::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: domain(&srv.target)?,
        }),
        RData::NAPTR(naptr) => Record::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: naptr.flags.clone(),
            service: naptr.services.clone(),
            regexp: naptr.regexp.clone(),
            replacement: domain(&naptr.replacement)?,
        }),
        _ => return None,
    })
}

/// The inner value is none for the root, the outer one for what is no host's name.
fn domain(name: &Name) -> Option<Option<Domain>> {
    if name.is_root() {
        return Some(None);
    }
    Domain::parse(name.to_ascii().as_bytes()).map(Some)
}

fn not_found(error: &NetError) -> Answer {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Answer::Absent {
                ttl: none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())),
            },
            _ => Answer::Failed(NoAnswer::Refused),
        },
        NetError::Dns(_) | NetError::Proto(_) => Answer::Failed(NoAnswer::Refused),
        // No server was reached.
        _ => Answer::Failed(NoAnswer::Silent),
    }
}
