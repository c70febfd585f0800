//! Our own registrar (RFC 3261 section 10.3): REGISTER to a domain of ours, and where its users are.
//!
//! An address of record belongs to the worker that has its shard, as a call belongs to the one that has its Call-ID's. A REGISTER that
//! came to another one is passed on whole; a request to a user waits until the owner has told where that is.
//!
//! A contact is reached by the way that its REGISTER came, so a NAT does no harm; one on the same host as its REGISTER is reached at the
//! port that it says. What else a Contact may name, a third host, would let users have others called in our name.

use std::collections::HashMap;
use std::time::Duration;

use tandem_policy::Follower;
use tandem_policy::registrar::{
    Binding, Contact, Contacts, Location, Record, Refused, Registration, update,
};
use tandem_sip::{Host, NameAddr, Uri, shard};
use tandem_transaction::ServerKey;

use super::Core;
use super::authenticate::Asker;
use super::bindings::hash;
use super::reply::{Answer, via_block};
use super::request::Arrival;
use super::share::Item;
use super::timer::Timer;
use crate::call::Candidate;
use crate::config::Side;
use crate::counters::Counter;
use crate::hiding::Flow;
use crate::io::{Now, Output, Path, Registered};
use crate::journal;
use crate::message::{self, Message, Name, response_hop};
use crate::record::Hop;

/// Records that are looked at for being over in one go.
const BUDGET: usize = 500;
/// Requests that wait for another worker's word.
const MAX_ASKED: usize = 4_096;
/// What stands between the elements of a Path: no header has it in it.
const BETWEEN: u8 = 0;
/// Methods, in the order of their bits in Kamailio's `location`.
const METHODS: [&[u8]; 14] = [
    b"INVITE",
    b"CANCEL",
    b"ACK",
    b"BYE",
    b"INFO",
    b"REGISTER",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"MESSAGE",
    b"OPTIONS",
    b"PRACK",
    b"UPDATE",
    b"REFER",
    b"PUBLISH",
];

/// The location service of this worker.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) location: Location,
    /// Requests that wait until their user's worker has told where he is.
    asked: HashMap<u64, (Hop, Vec<u8>)>,
    /// What it told, while the request is looked at again.
    told: Option<(Vec<u8>, Vec<Vec<Place>>)>,
}

/// Where a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    uri: Vec<u8>,
    flow: Flow,
    routes: Vec<Vec<u8>>,
}

/// What is known of a user.
pub(super) enum Whereabouts {
    /// Sets of candidates, to be asked one after the other.
    Here(Vec<Vec<Candidate>>),
    /// Another worker was asked; the request comes again.
    Asked,
    /// Nobody registered him.
    Nowhere,
    /// There is no such user.
    Unknown,
}

impl Registrar {
    pub(super) fn new(seed: [u8; 16]) -> Self {
        Self {
            location: Location::new(seed),
            asked: HashMap::new(),
            told: None,
        }
    }
}

impl Core {
    /// The domain of ours that a URI is in, in lower case.
    pub(super) fn own_domain(&self, uri: &[u8]) -> Option<Vec<u8>> {
        let registrar = self.config.registrar.as_ref()?;
        let host = host_of(uri)?;
        registrar
            .domains
            .iter()
            .any(|d| d.as_bytes() == host)
            .then_some(host)
    }

    /// A REGISTER to a domain of ours.
    pub(super) fn register_here(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: ServerKey<'_>,
        domain: &[u8],
    ) {
        let message = arrival.message;
        let is_ours = host_of(message.to_uri()).as_deref() == Some(domain);
        let Some(aor) = aor_of(message.to_uri()).filter(|_| is_ours) else {
            self.counters.add(Counter::RegistersRefused);
            return self.reply(arrival, &Answer::new(404, "Not Found"));
        };
        let shard = shard(&aor);
        if !self.config.share.has(shard) {
            self.counters.add(Counter::RegistersPassedOn);
            return self.outputs.push_back(Output::PassOn {
                worker: self.config.share.shards.owner(shard),
                path: arrival.hop.path,
                source: arrival.hop.peer,
                local: arrival.hop.local,
                bytes: message.bytes().to_vec(),
            });
        }
        if !self.has_tables {
            return self.too_early(now, arrival, server_key);
        }
        let unknown: Vec<&[u8]> = message.list(Name::Require);
        let known =
            |o: &&[u8]| o.eq_ignore_ascii_case(b"path") || o.eq_ignore_ascii_case(b"outbound");
        let unknown: Vec<&[u8]> = unknown.into_iter().filter(|o| !known(o)).collect();
        if !unknown.is_empty() {
            return self.bad_extension(arrival, &unknown);
        }
        self.counters.add(Counter::Registers);
        let user = match self.authenticate(now, arrival, domain, Asker::Registrar) {
            Ok(user) => user,
            Err(answer) => return self.reply(arrival, &answer),
        };
        // Who registers, and whom (RFC 3261 section 10.3, step 3): nobody does for others.
        let asked = aor.split(|b| *b == b'@').next().unwrap_or_default();
        let from = aor_of(message.uri_of_from());
        if user != asked || from.as_deref() != Some(aor.as_slice()) {
            self.counters.add(Counter::AuthOtherUser);
            return self.reply(arrival, &Answer::new(403, "Credentials Of Another User"));
        }
        let answer = match self.bind_contacts(now, arrival, aor) {
            Ok(answer) => answer,
            Err(answer) => {
                self.counters.add(Counter::RegistersRefused);
                answer
            }
        };
        let vias = message.list(Name::Via);
        let Some(back) = vias.first().and_then(|via| response_hop(via, arrival.hop)) else {
            return;
        };
        // A repeated request must not find its credentials used up.
        let server = self.layer.accept(server_key, back);
        let vias = via_block(&vias, arrival.hop.peer);
        self.durable = answer.code == 200;
        self.respond(now, server, &vias, message, &answer);
        self.durable = false;
    }

    /// Changes the bindings as the REGISTER says.
    fn bind_contacts(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        aor: Vec<u8>,
    ) -> Result<Answer, Answer> {
        let message = arrival.message;
        let Some(config) = &self.config.registrar else {
            return Err(Answer::new(403, "Forbidden"));
        };
        let settings = config.settings;
        let list = message.list(Name::Contact);
        let has_star = list.iter().any(|c| c.trim_ascii() == b"*");
        let contacts = match list.as_slice() {
            [] => Contacts::Fetch,
            [_] if has_star => Contacts::All,
            _ if has_star => return Err(Answer::new(400, "Contact: * Stands Alone")),
            list => {
                let read = list.iter().map(|contact| read_contact(contact));
                let read: Option<Vec<Contact<'_>>> = read.collect();
                Contacts::These(read.ok_or_else(|| Answer::new(400, "Bad Contact"))?)
            }
        };
        let flow = Flow::of(arrival.hop);
        let paths = message.list(Name::Path);
        let path = paths.join(&BETWEEN);
        let registration = Registration {
            call_id: message.call_id(),
            cseq: message.cseq(),
            expires: message.first(Name::Expires).and_then(seconds),
            contacts,
            path: &path,
            flow: &flow.to_bytes(),
            user_agent: message.first(Name::UserAgent).unwrap_or_default(),
        };
        let known = self.registrar.location.find(&aor).unwrap_or_default();
        let same = |a: &[u8], b: &[u8]| message::is_same_contact(a, b);
        let bindings = update(now.wall_ms, &known.bindings, &registration, settings, same);
        let bindings = bindings.map_err(|refused| match refused {
            Refused::Star => Answer::new(400, "Contact: * Needs Expires: 0"),
            Refused::OutOfOrder => Answer::new(500, "CSeq Out Of Order"),
            Refused::TooMany(_) => Answer::new(403, "Too Many Contacts"),
            Refused::TooBrief(least) => Answer::new(423, "Interval Too Brief")
                .with("Min-Expires", least.to_string().as_bytes()),
        })?;
        let is_full = self.registrar.location.len() >= config.max_records;
        if is_full && known.bindings.is_empty() && !bindings.is_empty() {
            self.counters.add(Counter::RegistersOverLimit);
            return Err(Answer::unavailable().with("Retry-After", b"30"));
        }
        self.counters.add(Counter::RegistersAccepted);
        let record = Record {
            key: known.key,
            aor,
            bindings,
        };
        let record = if registration.contacts == Contacts::Fetch {
            record
        } else {
            self.keep_nat_open(now, arrival, &registration, &record);
            self.store(now, record)
        };
        let mut answer = Answer::new(200, "OK");
        for binding in &record.bindings {
            answer = answer.with("Contact", &written(now, binding));
        }
        let uses_outbound = record.bindings.iter().any(|b| b.reg_id > 0);
        if uses_outbound && message.has_token(Name::Supported, "outbound") {
            answer = answer.with("Require", b"outbound");
        }
        if message.has_token(Name::Supported, "path") {
            for path in paths {
                answer = answer.with("Path", path);
            }
        }
        Ok(answer)
    }

    /// Keeps a record here and in the journal.
    pub(super) fn store(&mut self, now: Now, mut record: Record) -> Record {
        if record.key == 0 {
            if record.bindings.is_empty() {
                return record;
            }
            record.key = self.new_key(now, shard(&record.aor));
        }
        let body = self.registrar.location.put(&record);
        self.outputs.push_back(Output::Journal {
            key: record.key,
            body: body.map(|bytes| journal::tag_location(&bytes)),
            cdr: None,
            follower: self.location_follows(),
        });
        self.watch_location(now);
        record
    }

    /// Whether `location` is told.
    fn location_follows(&self) -> Option<Follower> {
        let registrar = self.config.registrar.as_ref()?;
        registrar.location_table.then_some(Follower::Location)
    }

    /// Its source is no stranger any more, and a contact behind a NAT gets an OPTIONS every now and then.
    fn keep_nat_open(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        registration: &Registration<'_>,
        record: &Record,
    ) {
        if matches!(arrival.hop.path, Path::Stream(_)) {
            return;
        }
        let own = |b: &&Binding| b.call_id == registration.call_id && b.cseq == registration.cseq;
        let until = record.bindings.iter().filter(own).map(|b| b.until_s);
        if let Some(until_s) = until.max() {
            self.tell_user_at(Flow::of(arrival.hop), until_s);
        }
        let hidden = |b: &&Binding| message::address_of(&b.uri) != Some(arrival.hop.peer);
        let flow = Flow::of(arrival.hop);
        let last = record.bindings.iter().filter(own).filter(hidden);
        match last.map(|b| b.until_s * 1_000).max() {
            Some(until_ms) => self.bind(
                now,
                flow,
                hash(&record.aor),
                until_ms,
                true,
                shard(&record.aor),
            ),
            None => self.unlearn(now, flow, hash(&record.aor)),
        }
    }

    /// A user's datagrams come by this flow until then, in Unix seconds.
    fn tell_user_at(&mut self, flow: Flow, until_s: u64) {
        self.outputs.push_back(Output::UserAt(Registered {
            worker: self.config.share.worker,
            flow,
            until_ms: until_s.saturating_mul(1_000),
        }));
    }

    /// Looks when the next bindings are over.
    fn watch_location(&mut self, now: Now) {
        match self.registrar.location.next_due() {
            None => {
                self.timers.clear(Timer::Location);
            }
            Some(due) if !self.timers.is_set(Timer::Location) => {
                let wait = Duration::from_millis(due.saturating_sub(now.wall_ms).max(100));
                self.timers.set(Timer::Location, now.mono + wait);
            }
            Some(_) => {}
        }
    }

    /// Bindings may be over.
    pub(super) fn location_due(&mut self, now: Now) {
        for (key, bytes) in self.registrar.location.expire(now.wall_ms, BUDGET) {
            self.counters.add(Counter::RegistrationsExpired);
            self.outputs.push_back(Output::Journal {
                key,
                body: bytes.map(|bytes| journal::tag_location(&bytes)),
                cdr: None,
                follower: self.location_follows(),
            });
        }
        self.watch_location(now);
    }

    /// Takes up a record from the journal.
    pub(super) fn restore_location(&mut self, now: Now, bytes: &[u8]) -> Result<(), String> {
        let restored = self.registrar.location.restore(bytes);
        let record = restored.map_err(|_| "it is no address of record".to_owned())?;
        self.counters
            .add_many(Counter::RegistrationsRestored, record.bindings.len() as u64);
        for binding in record.bindings.iter().filter(|b| b.is_alive(now.wall_ms)) {
            if let Some(flow) = Flow::from_bytes(&binding.flow)
                && !matches!(flow.path, Path::Stream(_))
            {
                self.tell_user_at(flow, binding.until_s);
            }
        }
        self.watch_location(now);
        Ok(())
    }

    /// Where the user is whom a request from the inside names; none if it names no user of ours.
    pub(super) fn whereabouts(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
    ) -> Option<Whereabouts> {
        let message = arrival.message;
        if self.config.side(arrival.hop.path) != Some(Side::Internal) {
            return None;
        }
        let domain = self.own_domain(message.uri())?;
        let aor = aor_of(message.uri())?;
        let user = aor.split(|b| *b == b'@').next().unwrap_or_default();
        if !self.is_user(now, user, &domain) {
            return Some(Whereabouts::Unknown);
        }
        let shard = shard(&aor);
        let told = self.registrar.told.take_if(|(of, _)| *of == aor);
        let places = if let Some((_, places)) = told {
            places
        } else if self.config.share.has(shard) {
            self.places(now, &aor, message.method())
        } else {
            if self.registrar.asked.len() >= MAX_ASKED {
                self.registrar.asked.clear();
                self.counters.add(Counter::LookupsLost);
            }
            let id = self.tokens.number();
            let held = (arrival.hop, message.bytes().to_vec());
            self.registrar.asked.insert(id, held);
            self.tell(Item::WhereIs {
                owner: self.config.share.shards.owner(shard),
                worker: self.config.share.worker,
                id,
                aor,
                method: message.method().to_vec(),
            });
            return Some(Whereabouts::Asked);
        };
        if places.is_empty() {
            return Some(Whereabouts::Nowhere);
        }
        let candidate = |place: Place| Candidate::Flow {
            uri: place.uri,
            hop: Hop {
                hidden: self.hides(Side::External),
                ..place.flow.hop()
            },
            routes: place.routes,
        };
        let set = |set: Vec<Place>| set.into_iter().map(candidate).collect();
        Some(Whereabouts::Here(places.into_iter().map(set).collect()))
    }

    /// The answer to a request for a user who is not there.
    pub(super) fn not_there(&mut self, is_known: bool) -> Answer {
        if is_known {
            self.counters.add(Counter::UsersNotThere);
            Answer::new(480, "Temporarily Unavailable")
        } else {
            self.counters.add(Counter::UsersUnknown);
            Answer::new(404, "Not Found")
        }
    }

    /// Another worker asks where a user of ours is.
    pub(super) fn where_is(&mut self, now: Now, worker: u16, id: u64, aor: Vec<u8>, method: &[u8]) {
        let places = self.places(now, &aor, method);
        self.tell(Item::Found {
            worker,
            id,
            aor,
            places,
        });
    }

    /// The worker of a user has told where he is.
    pub(super) fn found(&mut self, now: Now, id: u64, aor: Vec<u8>, places: Vec<Vec<Place>>) {
        let Some((hop, bytes)) = self.registrar.asked.remove(&id) else {
            return;
        };
        let Ok(message) = Message::read(&bytes) else {
            return;
        };
        self.registrar.told = Some((aor, places));
        let arrival = Arrival {
            message: &message,
            hop,
            waited: Duration::ZERO,
        };
        self.request(now, arrival, &bytes);
        self.registrar.told = None;
    }

    fn places(&self, now: Now, aor: &[u8], method: &[u8]) -> Vec<Vec<Place>> {
        let Some(record) = self.registrar.location.find(aor) else {
            return Vec::new();
        };
        let bit = METHODS.iter().position(|m| *m == method);
        let bit = bit.and_then(|n| 1_u32.checked_shl(u32::try_from(n).ok()?));
        let sets = record.targets(now.wall_ms, bit).into_iter();
        sets.map(|set| {
            set.into_iter()
                .filter_map(|binding| self.place_of(binding))
                .collect::<Vec<Place>>()
        })
        .filter(|set| !set.is_empty())
        .collect()
    }

    fn place_of(&self, binding: &Binding) -> Option<Place> {
        let mut flow = Flow::from_bytes(&binding.flow)?;
        // The configuration may be another one by now.
        if !self.config.has(flow.path, flow.local) {
            return None;
        }
        if let Some(address) = message::address_of(&binding.uri)
            && !matches!(flow.path, Path::Stream(_))
            && address.ip() == flow.peer.ip()
        {
            flow.peer = address;
        }
        let routes = binding.path.split(|b| *b == BETWEEN);
        let routes = routes.map(|r| r.trim_ascii().to_vec());
        Some(Place {
            uri: message::start_line_uri(&binding.uri).to_vec(),
            flow,
            routes: routes.filter(|r| !r.is_empty()).collect(),
        })
    }
}

/// A Contact of a REGISTER; none if it cannot be read.
fn read_contact<'a>(contact: &'a [u8]) -> Option<Contact<'a>> {
    let (uri, q) = message::contact_and_q(contact)?;
    let known = Uri::parse(uri).is_some_and(|u| u.host.is_some());
    let parts = NameAddr::parse(contact)?;
    let parameter = |name: &str| parts.parameter(name).map(<[u8]>::trim_ascii);
    let instance = parameter("+sip.instance").unwrap_or_default();
    let instance = instance.strip_prefix(b"\"").unwrap_or(instance);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    known.then_some(Contact {
        uri,
        q,
        expires: parameter("expires").and_then(seconds),
        instance: instance.strip_suffix(b"\"").unwrap_or(instance),
        reg_id: parameter("reg-id").and_then(number).unwrap_or(0),
        methods: parameter("methods").map(methods),
    })
}

/// The methods in a Contact's parameter: `"INVITE, BYE"`.
fn methods(list: &[u8]) -> u32 {
    let list = list.strip_prefix(b"\"").unwrap_or(list);
    let list = list.strip_suffix(b"\"").unwrap_or(list);
    let is_in = |method: &[u8]| list.split(|b| *b == b',').any(|m| m.trim_ascii() == method);
    (0..)
        .zip(METHODS)
        .filter(|(_, method)| is_in(method))
        .fold(0, |all, (bit, _)| all | 1 << bit)
}

/// A number of seconds; what is too large is as large as can be (RFC 3261 section 20.19).
fn seconds(text: &[u8]) -> Option<u32> {
    let digits = text.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse();
    Some(number.unwrap_or(u32::MAX))
}

/// A Contact of the answer.
fn written(now: Now, binding: &Binding) -> Vec<u8> {
    let mut contact = b"<".to_vec();
    contact.extend_from_slice(&binding.uri);
    let left = binding.left_s(now.wall_ms);
    contact.extend_from_slice(format!(">;expires={left}").as_bytes());
    if binding.q < 1_000 {
        contact.extend_from_slice(format!(";q=0.{:03}", binding.q).as_bytes());
    }
    if !binding.instance.is_empty() {
        contact.extend_from_slice(b";+sip.instance=\"");
        contact.extend_from_slice(&binding.instance);
        contact.push(b'"');
    }
    if binding.reg_id > 0 {
        contact.extend_from_slice(format!(";reg-id={}", binding.reg_id).as_bytes());
    }
    contact
}

/// The host of a URI, in lower case.
pub(super) fn host_of(uri: &[u8]) -> Option<Vec<u8>> {
    match Uri::parse(uri)?.host? {
        Host::Name(name) => Some(name.to_ascii_lowercase()),
        Host::Address(ip) => Some(ip.to_string().into_bytes()),
    }
}

/// The address of record that a URI names: `user@domain`, escapes undone, the domain in lower case (RFC 3261 section 10.3, step 5).
pub(super) fn aor_of(uri: &[u8]) -> Option<Vec<u8>> {
    let mut aor = Vec::new();
    let mut user = Uri::parse(uri)?.user;
    while let Some((byte, rest)) = user.split_first() {
        let digit = |at: usize| {
            let b = rest.get(at)?;
            char::from(*b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                aor.push(high << 4 | low);
                user = rest.get(2..).unwrap_or_default();
            }
            _ => {
                aor.push(*byte);
                user = rest;
            }
        }
    }
    // A user with a domain in his name would be somebody else's.
    if aor.is_empty() || aor.contains(&b'@') {
        return None;
    }
    aor.push(b'@');
    aor.extend(host_of(uri)?);
    Some(aor)
}
