//! The search for one URI's servers.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{
    Answer, Domain, FAILURE_TTL, Host, Kind, Located, MAX_TTL, Means, NEGATIVE_TTL, Naptr,
    NoAnswer, Place, Question, Record, Srv, Wanted,
};
use crate::transport::Transport;

/// NAPTR records that are followed.
const MAX_TRIES: usize = 4;
/// SRV records that are followed, those of the lowest priority first.
const MAX_PLACES: usize = 16;
/// Addresses that are taken of one host and family.
const MAX_ADDRESSES: usize = 16;
/// More questions than this no search asks: one for NAPTR, one for SRV of each transport, two for
/// each host. Every name is asked about at most once a kind, so nothing can send it round in
/// circles.
pub const MAX_QUESTIONS: usize = 1 + MAX_TRIES + 2 * MAX_PLACES;

/// A search. Its inputs are answers; after each, drain [`Self::question`].
#[derive(Debug)]
pub struct Locate {
    wanted: Wanted,
    means: Means,
    stage: Stage,
    to_ask: VecDeque<Question>,
    /// The shortest time to live of what led here.
    ttl: Option<Duration>,
    /// Something could not be found out, so that the outcome may not be the best one.
    shaken: bool,
}

#[derive(Debug)]
enum Stage {
    Naptr(Domain),
    Srv(Services),
    Addresses(Hosts),
    Done(Result<Located, NotLocated>),
}

/// Which transports have SRV records.
#[derive(Debug)]
struct Services {
    /// The URI's host, which is asked for addresses when there are none.
    domain: Domain,
    /// The transport then.
    otherwise: Option<Transport>,
    /// The best first.
    tries: Vec<Try>,
}

#[derive(Debug)]
struct Try {
    transport: Transport,
    question: Question,
    answer: Option<Offer>,
}

#[derive(Debug)]
enum Offer {
    /// These.
    Servers(Vec<Srv>, Duration),
    /// Expressly none.
    None,
    /// Nothing is said.
    Unsaid(Duration),
    Failed,
}

/// Which addresses the hosts have.
#[derive(Debug)]
struct Hosts {
    transport: Transport,
    places: Vec<(Srv, Vec<IpAddr>)>,
    open: Vec<Question>,
}

/// There is nothing to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLocated {
    /// Why.
    pub why: Why,
    /// How long this counts.
    pub ttl: Duration,
}

const UNANSWERED: NotLocated = NotLocated {
    why: Why::Unanswered,
    ttl: FAILURE_TTL,
};

/// Why a URI leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// DNS knows no address of it in a family of ours.
    NoAddress,
    /// DNS says expressly that it has no such service (RFC 2782: the target is the root).
    NotOffered,
    /// It wants a transport that we do not have.
    NoTransport,
    /// It is an address of a family that we do not have.
    NoFamily,
    /// DNS did not answer.
    Unanswered,
}

impl Why {
    /// What is wrong, and what would be right; to be read behind the URI.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoAddress => {
                "has no address in DNS that we could reach: look for its A, AAAA or SRV records"
            }
            Self::NotOffered => "has an SRV record that says that there is no such service",
            Self::NoTransport => "wants a transport that we have no address for on its side",
            Self::NoFamily => "is of an IP family that we have no address of on its side",
            Self::Unanswered => "could not be looked up: is the DNS server there?",
        }
    }
}

impl Locate {
    /// Begins a search.
    #[must_use]
    pub fn new(wanted: Wanted, means: Means) -> Self {
        let mut locate = Self {
            stage: Stage::Done(Err(NotLocated {
                why: Why::NoTransport,
                ttl: MAX_TTL,
            })),
            to_ask: VecDeque::new(),
            ttl: None,
            shaken: false,
            wanted,
            means,
        };
        locate.begin();
        locate
    }

    /// The next question, to be asked at once: those before it need not be answered yet. None when
    /// there is none before the next answer.
    pub fn question(&mut self) -> Option<Question> {
        self.to_ask.pop_front()
    }

    /// The answer to a question of its. One that it does not wait for is ignored.
    pub fn answer(&mut self, question: &Question, answer: Answer) {
        let answer = answer.clamped();
        let stage = std::mem::replace(&mut self.stage, Stage::Done(Err(UNANSWERED)));
        self.stage = match stage {
            Stage::Naptr(domain) if question.kind == Kind::Naptr && question.name == domain => {
                self.naptr(domain, answer)
            }
            Stage::Srv(services) => self.srv(services, question, answer),
            Stage::Addresses(hosts) => self.addresses(hosts, question, answer),
            other @ (Stage::Naptr(_) | Stage::Done(_)) => other,
        };
    }

    /// What came out; none while answers are awaited.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Result<Located, NotLocated>> {
        match &self.stage {
            Stage::Done(outcome) => Some(outcome),
            Stage::Naptr(_) | Stage::Srv(_) | Stage::Addresses(_) => None,
        }
    }

    /// RFC 3263 section 4.1, until the first question.
    fn begin(&mut self) {
        let asked = self.wanted.transport();
        if asked.is_some_and(|t| !self.can(t))
            || (self.wanted.is_secure() && !self.can(Transport::Tls))
        {
            return;
        }
        self.stage = match self.wanted.host().clone() {
            Host::Address(ip) => self.known_address(ip),
            Host::Name(domain) if self.wanted.port().is_some() => self.ask_host(domain),
            Host::Name(domain) => match asked {
                Some(transport) => self.ask_services(domain, &[transport]),
                None => {
                    self.ask(Kind::Naptr, domain.clone());
                    Stage::Naptr(domain)
                }
            },
        };
    }

    fn known_address(&self, ip: IpAddr) -> Stage {
        let Some(transport) = self.fallback() else {
            return self.fail(Why::NoTransport);
        };
        if !self.means.reaches(ip) {
            return self.fail(Why::NoFamily);
        }
        let port = self.wanted.port().unwrap_or(transport.default_port());
        let place = Place {
            priority: 0,
            weight: 0,
            addresses: vec![SocketAddr::new(ip, port)],
        };
        self.found(transport, vec![place])
    }

    fn naptr(&mut self, domain: Domain, answer: Answer) -> Stage {
        let records = match answer {
            Answer::Found { records, ttl } => {
                self.counts_for(ttl);
                records
            }
            Answer::Absent { ttl } => {
                self.counts_for(ttl.unwrap_or(NEGATIVE_TTL));
                Vec::new()
            }
            // No server at all: the questions to come would only cost more time.
            Answer::Failed(NoAnswer::Silent) => return self.fail(Why::Unanswered),
            // Some servers know nothing of NAPTR.
            Answer::Failed(NoAnswer::Refused) => {
                self.shaken = true;
                Vec::new()
            }
        };
        let mut naptrs: Vec<(u16, u16, Try)> = records
            .into_iter()
            .filter_map(|record| match record {
                Record::Naptr(naptr) => self.usable(naptr),
                Record::Srv(_) | Record::Address(_) => None,
            })
            .collect();
        naptrs.sort_by_key(|(order, preference, _)| (*order, *preference));
        let mut tries: Vec<Try> = Vec::new();
        for (_, _, next) in naptrs {
            if tries.len() < MAX_TRIES && tries.iter().all(|t| t.question != next.question) {
                tries.push(next);
            }
        }
        if let Some(first) = tries.first() {
            let told = Some(first.transport);
            return self.try_services(domain, tries, told);
        }
        if self.wanted.is_secure() {
            return self.ask_services(domain, &[Transport::Tls]);
        }
        // `_sips._tcp` is asked for only on behalf of those who want TLS (RFC 3263 section 4.1).
        let plain = |t: &Transport| matches!(t, Transport::Udp | Transport::Tcp);
        let plain: Vec<Transport> = self
            .means
            .transports
            .iter()
            .copied()
            .filter(plain)
            .collect();
        self.ask_services(domain, &plain)
    }

    /// What a NAPTR record offers that we can use, with its order and preference.
    fn usable(&self, naptr: Naptr) -> Option<(u16, u16, Try)> {
        let transport = [
            (&b"SIP+D2U"[..], Transport::Udp),
            (b"SIP+D2T", Transport::Tcp),
            (b"SIPS+D2T", Transport::Tls),
        ]
        .into_iter()
        .find(|(service, _)| naptr.service.eq_ignore_ascii_case(service))
        .map(|(_, transport)| transport)
        .filter(|t| self.can(*t) && (!self.wanted.is_secure() || *t == Transport::Tls))?;
        let terminal = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
        let name = naptr.replacement.filter(|_| terminal)?;
        Some((naptr.order, naptr.preference, Try::new(transport, name)))
    }

    /// Asks for the SRV records of these transports.
    fn ask_services(&mut self, domain: Domain, transports: &[Transport]) -> Stage {
        let service = |t: &Transport| {
            let name = domain.service(match t {
                Transport::Udp => "_sip._udp",
                Transport::Tls => "_sips._tcp",
                Transport::Tcp | Transport::Ws | Transport::Wss => "_sip._tcp",
            });
            Some(Try::new(*t, name?))
        };
        let tries: Vec<Try> = transports
            .iter()
            .filter_map(service)
            .take(MAX_TRIES)
            .collect();
        if tries.is_empty() {
            return self.ask_host(domain);
        }
        let otherwise = self.fallback();
        self.try_services(domain, tries, otherwise)
    }

    fn try_services(
        &mut self,
        domain: Domain,
        tries: Vec<Try>,
        otherwise: Option<Transport>,
    ) -> Stage {
        for one in &tries {
            self.to_ask.push_back(one.question.clone());
        }
        Stage::Srv(Services {
            domain,
            otherwise,
            tries,
        })
    }

    /// RFC 3263 section 4.1 and 4.2: the best transport that has SRV records; without any, the
    /// host itself.
    fn srv(&mut self, mut services: Services, question: &Question, answer: Answer) -> Stage {
        let waiting = |t: &&mut Try| t.answer.is_none() && t.question == *question;
        let Some(answered) = services.tries.iter_mut().find(waiting) else {
            return Stage::Srv(services);
        };
        answered.answer = Some(Offer::of(answer));
        let mut ttl = self.ttl.unwrap_or(MAX_TTL);
        let (mut refused, mut failed) = (false, false);
        for one in &mut services.tries {
            match one.answer.take() {
                None => return Stage::Srv(services),
                Some(Offer::Servers(servers, counts)) => {
                    self.ttl = Some(ttl.min(counts));
                    self.shaken |= failed;
                    let transport = one.transport;
                    return self.ask_servers(transport, servers);
                }
                Some(offer) => {
                    match offer {
                        Offer::None => refused = true,
                        Offer::Unsaid(counts) => ttl = ttl.min(counts),
                        Offer::Servers(..) | Offer::Failed => failed = true,
                    }
                    one.answer = Some(offer);
                }
            }
        }
        if failed {
            return self.fail(Why::Unanswered);
        }
        self.ttl = Some(ttl);
        if refused {
            return self.fail(Why::NotOffered);
        }
        match services.otherwise {
            Some(transport) => self.ask_at(transport, services.domain),
            None => self.fail(Why::NoTransport),
        }
    }

    /// Asks for the addresses of the SRV records' hosts.
    fn ask_servers(&mut self, transport: Transport, mut servers: Vec<Srv>) -> Stage {
        servers.sort_by_key(|s| s.priority);
        servers.truncate(MAX_PLACES);
        let places = servers.into_iter().map(|s| (s, Vec::new())).collect();
        self.ask_addresses(transport, places)
    }

    /// Asks for the addresses of the URI's host itself.
    fn ask_host(&mut self, domain: Domain) -> Stage {
        match self.fallback() {
            Some(transport) => self.ask_at(transport, domain),
            None => self.fail(Why::NoTransport),
        }
    }

    fn ask_at(&mut self, transport: Transport, domain: Domain) -> Stage {
        let srv = Srv {
            priority: 0,
            weight: 0,
            port: self.wanted.port().unwrap_or(transport.default_port()),
            target: Some(domain),
        };
        self.ask_addresses(transport, vec![(srv, Vec::new())])
    }

    fn ask_addresses(&mut self, transport: Transport, places: Vec<(Srv, Vec<IpAddr>)>) -> Stage {
        let kinds = [(Kind::Aaaa, self.means.ipv6), (Kind::A, self.means.ipv4)];
        let mut open: Vec<Question> = Vec::new();
        for name in places.iter().filter_map(|(srv, _)| srv.target.clone()) {
            for (kind, _) in kinds.iter().filter(|(_, ours)| *ours) {
                let question = Question {
                    kind: *kind,
                    name: name.clone(),
                };
                if !open.contains(&question) {
                    open.push(question);
                }
            }
        }
        if open.is_empty() {
            return self.fail(Why::NoFamily);
        }
        self.to_ask.extend(open.iter().cloned());
        Stage::Addresses(Hosts {
            transport,
            places,
            open,
        })
    }

    fn addresses(&mut self, mut hosts: Hosts, question: &Question, answer: Answer) -> Stage {
        let Some(at) = hosts.open.iter().position(|q| q == question) else {
            return Stage::Addresses(hosts);
        };
        hosts.open.swap_remove(at);
        match answer {
            Answer::Found { records, ttl } => {
                self.counts_for(ttl);
                let addresses = addresses_of(question.kind, &records);
                for (srv, known) in &mut hosts.places {
                    if srv.target.as_ref() == Some(&question.name) {
                        known.extend(&addresses);
                    }
                }
            }
            Answer::Absent { ttl } => self.counts_for(ttl.unwrap_or(NEGATIVE_TTL)),
            Answer::Failed(_) => self.shaken = true,
        }
        if !hosts.open.is_empty() {
            return Stage::Addresses(hosts);
        }
        let place = |(srv, mut known): (Srv, Vec<IpAddr>)| {
            // Servers turn their lists round with each answer: that shall not look like news.
            known.sort_unstable_by_key(|ip| (ip.is_ipv4(), *ip));
            known.dedup();
            Place {
                priority: srv.priority,
                weight: srv.weight,
                addresses: known
                    .into_iter()
                    .map(|ip| SocketAddr::new(ip, srv.port))
                    .collect(),
            }
        };
        let mut places: Vec<Place> = hosts.places.into_iter().map(place).collect();
        places.retain(|p| !p.addresses.is_empty());
        places.sort_unstable();
        match (places.is_empty(), self.shaken) {
            (false, _) => self.found(hosts.transport, places),
            (true, true) => self.fail(Why::Unanswered),
            (true, false) => self.fail(Why::NoAddress),
        }
    }

    fn found(&self, transport: Transport, places: Vec<Place>) -> Stage {
        let host = match self.wanted.host() {
            Host::Address(ip) => ip.to_string(),
            Host::Name(domain) => domain.to_string(),
        };
        let counts = self.ttl.unwrap_or(MAX_TTL);
        Stage::Done(Ok(Located {
            transport,
            server_name: host.into(),
            places,
            ttl: if self.shaken {
                counts.min(FAILURE_TTL)
            } else {
                counts
            },
        }))
    }

    fn fail(&self, why: Why) -> Stage {
        if why == Why::Unanswered {
            return Stage::Done(Err(UNANSWERED));
        }
        let ttl = self.ttl.unwrap_or(MAX_TTL);
        Stage::Done(Err(NotLocated { why, ttl }))
    }

    fn ask(&mut self, kind: Kind, name: Domain) {
        self.to_ask.push_back(Question { kind, name });
    }

    fn counts_for(&mut self, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
    }

    fn can(&self, transport: Transport) -> bool {
        self.means.transports.contains(&transport)
    }

    /// The transport where DNS says none. Every SIP server speaks TCP too (RFC 3261 section 18), so
    /// that those without UDP need not give up.
    fn fallback(&self) -> Option<Transport> {
        let default = self.wanted.default_transport();
        let free = self.wanted.transport().is_none() && !self.wanted.is_secure();
        [Some(default), free.then_some(Transport::Tcp)]
            .into_iter()
            .flatten()
            .find(|t| self.can(*t))
    }
}

impl Try {
    const fn new(transport: Transport, name: Domain) -> Self {
        Self {
            transport,
            question: Question {
                kind: Kind::Srv,
                name,
            },
            answer: None,
        }
    }
}

impl Offer {
    fn of(answer: Answer) -> Self {
        match answer {
            Answer::Found { records, ttl } => {
                let srvs: Vec<Srv> = records
                    .into_iter()
                    .filter_map(|record| match record {
                        Record::Srv(srv) => Some(srv),
                        Record::Naptr(_) | Record::Address(_) => None,
                    })
                    .collect();
                let any = !srvs.is_empty();
                let usable = |s: &Srv| s.target.is_some() && s.port != 0;
                let servers: Vec<Srv> = srvs.into_iter().filter(usable).collect();
                match (servers.is_empty(), any) {
                    (false, _) => Self::Servers(servers, ttl),
                    (true, true) => Self::None,
                    (true, false) => Self::Unsaid(ttl),
                }
            }
            Answer::Absent { ttl } => Self::Unsaid(ttl.unwrap_or(NEGATIVE_TTL)),
            Answer::Failed(_) => Self::Failed,
        }
    }
}

/// The addresses of one host each in records of this kind.
fn addresses_of(kind: Kind, records: &[Record]) -> Vec<IpAddr> {
    let fits = |ip: &IpAddr| {
        ip.is_ipv4() == (kind == Kind::A)
            && !ip.is_unspecified()
            && !ip.is_multicast()
            && *ip != IpAddr::from([255; 4])
    };
    let addresses = records.iter().filter_map(|record| match record {
        Record::Address(ip) => Some(*ip),
        Record::Naptr(_) | Record::Srv(_) => None,
    });
    addresses.filter(fits).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests;
