//! The one room that makes the cores' inputs, outputs and configuration: what the daemon's workers
//! do, without sockets, files and threads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_call::{
    Core, CoreConfig, DispatcherConfig, GuardConfig, HidingConfig, Input, KeyRing, MediaConfig,
    MessageLimits, NatConfig, News, Now, Output, Path, RealmConfig, Registered, RoutingConfig,
    SendError, ShardTable, Share, Side, StreamConfig, Tables, shard_of_key,
};
use tandem_link::{Command, Cookie, DataplaneHello, Event, FromDataplane};
use tandem_policy::{AddressRow, Cdr, DispatcherRow, Transport};

use crate::plan::Weather;

/// Our address on the carriers' side.
pub const OUTSIDE: &str = "198.51.100.1:5060";
/// Our address on the pool's side.
pub const INSIDE: &str = "10.0.0.1:5060";
/// Who calls in.
pub const CARRIERS: [&str; 2] = ["203.0.113.10:5060", "203.0.113.11:5060"];
/// Who gets calls from the pool.
pub const TRUNK: &str = "203.0.113.50:5060";
/// Who may not do anything.
pub const STRANGER: &str = "203.0.113.99:5060";
/// The media servers.
pub const POOL: [&str; 2] = ["10.0.0.11:5060", "10.0.0.12:5060"];

/// An address from its text.
#[must_use]
pub fn at(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Whether an address is on the pool's side.
#[must_use]
pub fn is_inside(address: SocketAddr) -> bool {
    address.ip().to_string().starts_with("10.")
}

/// Our address on the side of this peer.
#[must_use]
pub fn ours(peer: SocketAddr) -> SocketAddr {
    at(if is_inside(peer) { INSIDE } else { OUTSIDE })
}

/// The clock begins here.
pub const WALL_MS: u64 = 1_700_000_000_000;

fn config(weather: &Weather) -> CoreConfig {
    let realm = |name: &str, side, sip: &str| RealmConfig {
        name: name.into(),
        side,
        sip: vec![at(sip)],
        media: vec![at(sip).ip()],
        media_ports: 30_000..=30_999,
    };
    let stream = |side, listen: &str, realm| StreamConfig {
        listen: at(listen),
        transport: Transport::Tcp,
        side,
        realm: Some(realm),
    };
    CoreConfig {
        node: 7,
        share: tandem_call::Share::default(),
        server: "tandem".into(),
        realms: vec![
            realm("outside", Side::External, OUTSIDE),
            realm("inside", Side::Internal, INSIDE),
        ],
        kernel: vec![],
        streams: vec![
            stream(Side::External, OUTSIDE, 0),
            stream(Side::Internal, INSIDE, 1),
        ],
        t1: Duration::from_millis(500),
        timer_c: weather.timer_c,
        dialog_table: true,
        max_calls: 10_000,
        limits: MessageLimits::default(),
        routing: RoutingConfig {
            conference: None,
            pool_set: 1,
            trunk_set: 100,
            carrier_group: 1,
            registrar_set: None,
            dids: false,
            follow_redirects: weather.follow_redirects,
            plan: std::sync::Arc::default(),
        },
        dispatcher: DispatcherConfig {
            plan: tandem_policy::Plan::default(),
            probe_interval: weather.probe_interval,
            probe_timeout: Duration::from_secs(4),
            probe_failures: 3,
            probe_successes: 1,
            first_response: Duration::from_secs(2),
        },
        media: MediaConfig {
            dscp: 46,
            timeout: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(3600),
            max_duration: weather.max_duration,
            guard: tandem_call::MediaGuard::default(),
            port_rest: Duration::from_secs(5),
        },
        nat: NatConfig::default(),
        registrar: None,
        hiding: if weather.hides {
            HidingConfig {
                enabled: true,
                keys: Some(KeyRing::generate([7; _])),
                hide_software: true,
                ..HidingConfig::off()
            }
        } else {
            HidingConfig::off()
        },
        guard: GuardConfig::default(),
    }
}

fn tables(weather: &Weather) -> Tables {
    let target = |id, setid, at: &str| DispatcherRow {
        id,
        setid,
        destination: if weather.streams.iter().any(|s| s == at) {
            format!("sip:{at};transport=tcp")
        } else {
            format!("sip:{at}")
        },
        flags: 0,
        priority: 0,
        attrs: String::new(),
        description: String::new(),
    };
    Tables {
        dids: std::sync::Arc::default(),
        routes: std::sync::Arc::default(),
        subscribers: std::sync::Arc::default(),
        dispatcher: vec![
            target(1, 1, POOL[0]),
            target(2, 1, POOL[1]),
            target(3, 100, TRUNK),
        ],
        address: CARRIERS
            .iter()
            .enumerate()
            .map(|(i, carrier)| AddressRow {
                id: i64::try_from(i).unwrap_or_default(),
                grp: 1,
                ip_addr: at(carrier).ip().to_string(),
                mask: 32,
                port: 0,
                tag: String::new(),
            })
            .collect(),
    }
}

/// What the proxy wants done.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "passed on at once")]
pub enum Wish {
    /// This message sent.
    Send {
        /// Over a stream.
        stream: bool,
        /// From which of our addresses.
        local: SocketAddr,
        /// To whom.
        to: SocketAddr,
        /// Over a stream: where to connect to when there is no connection.
        connect: Option<SocketAddr>,
        /// The message.
        bytes: Vec<u8>,
    },
    /// This command given. The number says the worker.
    Command(u64, Command),
    /// This letter brought to another worker of this life.
    Letter(u16, u8, Letter),
}

/// What one core has for another.
#[derive(Clone, Debug)]
pub enum Letter {
    /// [`Output::Tell`].
    News(News),
    /// [`Output::Registered`].
    Registered(Registered),
}

/// Where the worker stands in a command's number.
const WORKER: u32 = 48;

/// The proxy as a process: it may be down, and its journal outlives it.
#[derive(Debug)]
pub struct Proxy {
    config: CoreConfig,
    tables: Arc<Tables>,
    /// One for each worker; none while it is down.
    cores: Vec<Core>,
    shards: ShardTable,
    workers: Vec<u16>,
    lives: u8,
    /// By key: the record, while the call lives.
    pub journal: BTreeMap<u64, Vec<u8>>,
    /// Keys that were ever in the journal.
    pub keys: BTreeSet<u64>,
    /// By key.
    pub cdrs: BTreeMap<u64, Cdr>,
    /// What the journal was told and must not be.
    pub faults: Vec<String>,
    /// Die after so many outputs of the next input, or after all of them.
    pub dies_after: Option<usize>,
}

impl Proxy {
    /// Not running yet.
    #[must_use]
    pub fn new(weather: &Weather) -> Self {
        Self {
            config: config(weather),
            tables: Arc::new(tables(weather)),
            cores: Vec::new(),
            shards: ShardTable::deal(1),
            workers: weather.workers.clone(),
            lives: 0,
            journal: BTreeMap::new(),
            keys: BTreeSet::new(),
            cdrs: BTreeMap::new(),
            faults: Vec::new(),
            dies_after: None,
        }
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        !self.cores.is_empty()
    }

    /// Starts it: calls are taken up from the journal, each by the worker that has its shard now.
    pub fn start(&mut self, now: Duration) -> Vec<Wish> {
        let turn = usize::from(self.lives) % self.workers.len().max(1);
        self.lives += 1;
        self.dies_after = None;
        self.shards = ShardTable::deal(self.workers.get(turn).copied().unwrap_or(1));
        for worker in 0..self.shards.workers() {
            let share = Share {
                worker,
                shards: self.shards,
            };
            let config = CoreConfig {
                share,
                ..self.config.clone()
            };
            let seed = u128::from(self.lives) << 16 | u128::from(worker);
            let mut core = Core::new(config, seed.to_be_bytes());
            core.given_out(self.keys.last().copied().unwrap_or(0));
            for (key, body) in self.journal.clone() {
                if !share.has(shard_of_key(key)) {
                    continue;
                }
                if let Err(error) = core.restore(moment(now), key, &body) {
                    self.faults.push(format!("restore: {error}"));
                }
            }
            self.cores.push(core);
        }
        self.drain()
    }

    /// A message came.
    pub fn message(
        &mut self,
        now: Duration,
        stream: bool,
        source: SocketAddr,
        bytes: &[u8],
    ) -> Vec<Wish> {
        let path = path(stream, source);
        let worker = self.shards.route(bytes).unwrap_or(0);
        self.input(
            now,
            worker,
            Input::Message {
                path,
                source,
                local: ours(source),
                waited: Duration::ZERO,
                bytes,
            },
        )
    }

    /// What went to a peer by a stream does not arrive: there was one, or there is none.
    pub fn unreachable(&mut self, now: Duration, peer: SocketAddr, was: bool) -> Vec<Wish> {
        let path = path(true, peer);
        // The first one tells the others.
        self.input(
            now,
            0,
            Input::Unreachable {
                path,
                destination: peer,
                error: if was {
                    SendError::Closed
                } else {
                    SendError::HostUnreachable
                },
            },
        )
    }

    /// A letter of this life arrives.
    pub fn letter(&mut self, now: Duration, to: u16, life: u8, letter: Letter) -> Vec<Wish> {
        if life != self.lives {
            return Vec::new();
        }
        let input = match letter {
            Letter::News(news) => Input::Told(news),
            Letter::Registered(registered) => Input::Registered(registered),
        };
        self.input(now, to, input)
    }

    /// The database answers.
    pub fn tables(&mut self, now: Duration) -> Vec<Wish> {
        let tables = Arc::clone(&self.tables);
        self.each(now, |_| Some(Input::Tables(Arc::clone(&tables))))
    }

    /// A session with the dataplane begins.
    pub fn dataplane_up(&mut self, now: Duration, hello: &DataplaneHello) -> Vec<Wish> {
        self.each(now, |_| Some(Input::DataplaneUp(hello)))
    }

    /// It ends.
    pub fn dataplane_down(&mut self, now: Duration) -> Vec<Wish> {
        self.each(now, |_| Some(Input::DataplaneDown))
    }

    /// The dataplane says something to one of the workers.
    pub fn dataplane(&mut self, now: Duration, message: FromDataplane) -> Vec<Wish> {
        let shards = self.shards;
        let owner = |cookie: Cookie| shards.owner(shard_of_key(cookie.0));
        let split = |seq: u64| {
            let worker = u16::try_from(seq >> WORKER).unwrap_or(u16::MAX);
            (worker, seq & ((1 << WORKER) - 1))
        };
        let (worker, message) = match message {
            FromDataplane::Done { seq, result } => {
                let (worker, seq) = split(seq);
                (worker, FromDataplane::Done { seq, result })
            }
            FromDataplane::Flow { seq, report } => {
                let (worker, seq) = split(seq);
                // In a list of all flows there are those of others.
                if owner(report.spec.cookie) != worker {
                    return Vec::new();
                }
                (worker, FromDataplane::Flow { seq, report })
            }
            FromDataplane::Event(event) => {
                let worker = match &event {
                    Event::MediaTimeout { cookie, .. }
                    | Event::MediaResumed { cookie, .. }
                    | Event::Latched { cookie, .. }
                    | Event::Flooded { cookie, .. } => owner(*cookie),
                    Event::Captured { .. } | Event::CaptureEnded { .. } | Event::Alarm(_) => 0,
                };
                (worker, FromDataplane::Event(event))
            }
            other => (0, other),
        };
        self.input(now, worker, Input::Dataplane(message))
    }

    /// Time has passed.
    pub fn timer(&mut self, now: Duration) -> Vec<Wish> {
        self.each(now, |core| {
            let is_due = core.next_timeout().is_some_and(|at| at <= now);
            is_due.then_some(Input::Timer)
        })
    }

    /// When [`Self::timer`] is wanted.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.cores.iter().filter_map(Core::next_timeout).min()
    }

    /// What is left that should not be: names and figures.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        if self.cores.is_empty() {
            return vec!["the proxy is down".into()];
        }
        let mut left = Vec::new();
        for core in &self.cores {
            let tables = core.footprint();
            let tables = tables.tables().filter(|(_, n)| *n > 0);
            left.extend(tables.map(|(name, n)| format!("{n} {name}")));
            let counted: u64 = core.dispatcher().map(|t| t.calls).sum();
            if counted > 0 {
                left.push(format!("{counted} calls at the targets"));
            }
        }
        if self.counter("media_port_pairs_used") > 0 {
            left.push("media ports".into());
        }
        if !self.journal.is_empty() {
            left.push(format!("{} calls in the journal", self.journal.len()));
        }
        left
    }

    /// A counter, of all workers.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.cores.iter().flat_map(Core::counters);
        counters.filter(|(n, _)| *n == name).map(|(_, v)| v).sum()
    }

    /// Every counter that moved, of each worker.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = self.cores.iter().flat_map(Core::counters);
        counters.filter(|(_, v)| *v > 0).collect()
    }

    /// An input for one of the workers.
    fn input(&mut self, now: Duration, worker: u16, input: Input<'_>) -> Vec<Wish> {
        if self.cores.is_empty() {
            return Vec::new();
        }
        match self.cores.get_mut(usize::from(worker)) {
            Some(core) => core.input(moment(now), input),
            None => self.faults.push(format!("there is no worker {worker}")),
        }
        self.drain()
    }

    /// An input for each of them, or for some.
    fn each<'a>(&mut self, now: Duration, input: impl Fn(&Core) -> Option<Input<'a>>) -> Vec<Wish> {
        for core in &mut self.cores {
            if let Some(input) = input(core) {
                core.input(moment(now), input);
            }
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let workers = self.shards.workers();
        for worker in 0..workers {
            while let Some(output) = self
                .cores
                .get_mut(usize::from(worker))
                .and_then(Core::output)
            {
                if let Some(left) = self.dies_after.as_mut() {
                    if *left == 0 {
                        self.cores.clear();
                        break;
                    }
                    *left -= 1;
                }
                self.want(worker, output, &mut wishes);
            }
        }
        if self.dies_after.is_some() {
            self.cores.clear();
        }
        wishes
    }

    fn want(&mut self, worker: u16, output: Output, wishes: &mut Vec<Wish>) {
        let life = self.lives;
        let others = (0..self.shards.workers()).filter(|to| *to != worker);
        match output {
            Output::Send {
                path,
                local,
                destination,
                connect,
                existing: _,
                server_name: _,
                durable: _,
                bytes,
            } => wishes.push(Wish::Send {
                stream: matches!(path, Path::Stream(_)),
                local,
                to: destination,
                connect,
                bytes,
            }),
            Output::Command { seq, command } => {
                let number = seq | u64::from(worker) << WORKER;
                wishes.push(Wish::Command(number, command));
            }
            Output::Journal { key, body, cdr, .. } => self.record(key, body, cdr),
            Output::UserAt(_) => {}
            Output::Registered(registered) => {
                let letter = Letter::Registered(registered);
                wishes.extend(others.map(|to| Wish::Letter(to, life, letter.clone())));
            }
            Output::Tell(news) if self.shards.workers() == 1 => {
                self.faults.push(format!("{news:?} was told to nobody"));
            }
            Output::Tell(news) => {
                let letter = Letter::News(news);
                wishes.extend(others.map(|to| Wish::Letter(to, life, letter.clone())));
            }
            Output::PassOn { worker, .. } => {
                self.faults
                    .push(format!("a message was passed on to {worker}"));
            }
            // Nobody here has a name.
            Output::Sight { .. } => {}
            Output::WhoIs { user, .. } => self.faults.push(format!("{user:?} was asked for")),
            Output::Pardon(source) => self.faults.push(format!("{source} was pardoned")),
            Output::Locate(errand) => self.faults.push(format!("{errand:?} was looked up")),
        }
    }

    fn record(&mut self, key: u64, body: Option<Vec<u8>>, cdr: Option<Box<Cdr>>) {
        if self.cdrs.contains_key(&key) {
            self.faults
                .push(format!("call {key:x}: a record after its CDR"));
        }
        match (body, cdr) {
            (Some(body), None) => {
                self.keys.insert(key);
                self.journal.insert(key, body);
            }
            (None, Some(cdr)) => {
                if self.journal.remove(&key).is_none() {
                    self.faults
                        .push(format!("call {key:x}: a CDR without a record"));
                }
                self.cdrs.insert(key, *cdr);
            }
            (body, cdr) => self.faults.push(format!(
                "call {key:x}: a record with body: {}, with CDR: {}",
                body.is_some(),
                cdr.is_some()
            )),
        }
    }
}

fn path(stream: bool, peer: SocketAddr) -> Path {
    let index = u16::from(is_inside(peer));
    if stream {
        Path::Stream(index)
    } else {
        Path::Realm(index)
    }
}

fn moment(now: Duration) -> Now {
    let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Now {
        mono: now,
        wall_ms: WALL_MS.saturating_add(ms),
    }
}
