//! The core: one input, then its outputs.
//!
//! The rooms of this module, each a part of [`Core`]'s behaviour: `request` and `response` sort
//! what comes in, `source` knows who may, `edge` hides one side from the other, `guard` defends us; `invite`, `branch` and `answer` set a call up; `in_dialog` and `ack` serve
//! it; `cancel`, `bye` and `end` end it; `change` takes another configuration; `routes` says which way a request goes, `carriers` whose turn it is among several, `explain` the same to people, `choice` which targets it tries; `dataplane` keeps the other plane in step; `passage` has what is no call, `standing` dialogs of such,
//! `register` what goes to registrars inside, `registrar` and `authenticate` our own, `flow` what comes from it to user agents, `bindings` who they are; `probe` watches the
//! targets and `names` knows where they are; `own` makes requests of our own; `share` is what passes between cores, `stateless` what the dataplane needs to do without them.

mod account;
mod ack;
mod answer;
mod authenticate;
mod bindings;
mod branch;
mod bye;
mod cancel;
mod carriers;
mod change;
mod choice;
mod dataplane;
mod dialog;
mod edge;
mod end;
mod explain;
mod flow;
mod guard;
mod in_dialog;
mod invite;
mod lapse;
mod latency;
mod limits;
mod media;
mod names;
mod newcomers;
mod orders;
mod own;
mod passage;
mod probe;
mod register;
mod registrar;
mod reply;
mod request;
mod response;
mod restore;
mod routes;
mod session_timer;
mod share;
mod source;
mod standing;
mod stateless;
mod timer;
mod view;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tandem_link::SlotTable;
use tandem_policy::defence::{Blocks, Overload, Refused};
use tandem_policy::digest::Digest;
use tandem_policy::routing::{Dids, GeoIp, TrunkRoutes};
use tandem_policy::{Access, BadRow, Dispatcher, Subscribers};
use tandem_transaction::{ClientId, Layer, Output as TransactionOutput, ServerId, Settings};
use tandem_transaction::{TimerTable, take};

use crate::call::{Late, LateRelay, Relay};
use crate::calls::Calls;
use crate::config::CoreConfig;
use crate::counters::{Counter, Counters};
use crate::io::{Input, Now, Output, Path, SendError, Tables};
use crate::media::{Ports, RealmMedia};
use crate::record::Hop;
use crate::token::Tokens;
use bindings::Bindings;
use change::Former;
use choice::Choice;
use dataplane::{ComingUp, Link};
use edge::Neighbours;
use lapse::Lapses;
use latency::Latencies;
use names::Names;
use newcomers::Newcomers;
use passage::Passage;
use probe::Probe;
use registrar::Registrar;
use share::{Item, Keys};
use timer::Timer;

pub(crate) use bindings::Binding;
pub use restore::RestoreError;
pub use share::{News, Share, shard_of_key};
pub use stateless::StatelessPlan;

/// Refused requests that are remembered in each of two generations.
const TURNED_AWAY: usize = 500_000;

/// The proxy core of one SIP worker.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    counters: Counters,
    latencies: Latencies,
    tokens: Tokens,
    layer: Layer<Hop>,
    /// Events of the layer that are not handled yet.
    events: VecDeque<TransactionOutput<Hop>>,
    timers: TimerTable<Timer>,
    calls: Calls,
    keys: Keys,
    clients: FxHashMap<ClientId, ClientUse>,
    /// The calls whose first INVITE a server transaction is.
    setups: FxHashMap<ServerId, u64>,
    /// Boxed: see the transaction layer's tables.
    relays: FxHashMap<ServerId, Box<Relay>>,
    lates: FxHashMap<ClientId, Late>,
    late_relays: FxHashMap<ClientId, Box<LateRelay>>,
    lapses: Lapses,
    passages: FxHashMap<ServerId, Passage>,
    bindings: Bindings,
    registrar: Registrar,
    /// Whether what is sent now promises what was journaled.
    durable: bool,
    /// Who is who; none without a registrar of our own.
    digest: Option<Digest>,
    subscribers: Arc<Subscribers>,
    /// Where numbers of ours lead.
    dids: Arc<Dids>,
    /// Whom numbers of others go out by.
    routes: Arc<TrunkRoutes>,
    /// Where addresses are.
    geo: Option<Arc<GeoIp>>,
    /// The realms of our users.
    realms: Arc<[String]>,
    newcomers: Newcomers,
    access: Access,
    /// The names in the certificates of peers.
    certified: FxHashMap<(Path, SocketAddr), Arc<str>>,
    dispatcher: Dispatcher,
    choice: Choice,
    neighbours: Neighbours,
    /// Goes up whenever others may be trusted.
    trust_version: u64,
    /// Who could call, and who was inside, before the configuration was changed.
    former: Vec<Former>,
    bad_rows: Vec<BadRow>,
    /// Whether the tables were read yet. Before, nobody can be told from a stranger.
    has_tables: bool,
    coming_up: ComingUp,
    /// Calls from the journal are not counted among their targets' yet: the tables come later.
    uncounted: bool,
    probes: FxHashMap<i64, Probe>,
    names: Names,
    ports: Ports,
    link: Link,
    blocks: Blocks,
    overload: Overload,
    /// Requests that were refused without a transaction.
    turned_away: Refused,
    outputs: VecDeque<Output>,
}

/// What a client transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientUse {
    /// The INVITE to the target of this call.
    Invite(u64),
    /// An INVITE to a target that was given up.
    Late,
    /// A request in a dialog; the server transaction that it came by.
    Relay(ServerId),
    /// A re-INVITE that was given up.
    LateRelay,
    /// A CANCEL: nobody waits for its answer.
    Cancel,
    /// A request outside of calls; the server transaction that it came by.
    Passage(ServerId),
    /// A BYE of our own. `again`: sent a second time, since the connection ended that it had gone by.
    Bye { again: bool },
    /// A probe of this target.
    Probe(i64),
}

impl Core {
    /// A core without calls. `seed` must be unpredictable and different in every life of the
    /// process: branches, tags and tokens are drawn from it.
    #[must_use]
    pub fn new(config: CoreConfig, seed: [u8; 16]) -> Self {
        let mut tokens = Tokens::new(seed);
        let realms: Vec<RealmMedia> = config
            .realms
            .iter()
            .map(|r| RealmMedia {
                addresses: r.media.clone(),
                ports: r.media_ports.clone(),
            })
            .collect();
        let mut ports = Ports::new(&realms, SlotTable::deal(&[]), tokens.number(), config.share);
        ports.set_quarantine(config.media.port_rest);
        let thresholds = change::thresholds(&config.dispatcher);
        let dispatcher = Dispatcher::new(thresholds, config.dispatcher.plan.clone());
        Self {
            counters: Counters::default(),
            latencies: Latencies::default(),
            blocks: Blocks::new(config.guard.sources, seed),
            overload: Overload::new(config.guard.overload),
            turned_away: Refused::new(64 * config.t1, TURNED_AWAY, seed),
            tokens,
            layer: Layer::new(Settings::with_t1(config.t1)),
            events: VecDeque::new(),
            timers: TimerTable::default(),
            calls: Calls::default(),
            keys: Keys::new(),
            clients: FxHashMap::default(),
            setups: FxHashMap::default(),
            relays: FxHashMap::default(),
            lates: FxHashMap::default(),
            late_relays: FxHashMap::default(),
            lapses: Lapses::default(),
            passages: FxHashMap::default(),
            bindings: Bindings::default(),
            registrar: Registrar::new(seed),
            durable: false,
            digest: config
                .registrar
                .as_ref()
                .map(|registrar| change::judge(registrar, config.share.worker)),
            subscribers: Arc::default(),
            dids: Arc::default(),
            routes: Arc::default(),
            geo: None,
            realms: change::realms(&config),
            newcomers: Newcomers::new(),
            access: Access::default(),
            certified: FxHashMap::default(),
            dispatcher,
            choice: Choice::default(),
            neighbours: Neighbours::default(),
            trust_version: 0,
            former: Vec::new(),
            bad_rows: Vec::new(),
            has_tables: false,
            coming_up: ComingUp::Unborn,
            uncounted: false,
            probes: FxHashMap::default(),
            names: Names::default(),
            ports,
            link: Link::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Takes one input.
    pub fn input(&mut self, now: Now, input: Input<'_>) {
        self.coming_up.begin(now.mono);
        self.ports.at(now.mono);
        match input {
            Input::Message {
                path,
                source,
                local,
                waited,
                bytes,
            } => {
                self.overload.observe(now.mono, waited);
                self.latencies.message_wait.record(waited);
                let hop = Hop {
                    path,
                    local,
                    peer: source,
                    connect: None,
                    hidden: None,
                    flow: false,
                };
                self.message(now, hop, waited, bytes);
            }
            Input::Unreachable {
                path,
                destination,
                error,
            } => {
                self.counters.add(match error {
                    SendError::PortUnreachable | SendError::HostUnreachable => Counter::Unreachable,
                    SendError::Closed => Counter::ConnectionsClosed,
                });
                let closed = error == SendError::Closed;
                self.tell(Item::Unreachable {
                    path,
                    destination,
                    closed,
                });
                self.unreachable(now, path, destination, closed);
                if closed {
                    self.connection_closed(path, destination);
                }
            }
            Input::Timer => self.expire(now),
            Input::DataplaneUp(hello) => self.dataplane_up(now, hello),
            Input::DataplaneDown => self.dataplane_down(now),
            Input::Dataplane(message) => self.dataplane_message(now, message),
            Input::Tables(tables) => self.tables(now, &tables),
            Input::Config(config) => self.take_config(now, *config),
            Input::Places(geo) => self.geo = Some(geo),
            Input::Certified { path, peer, name } => self.certified(path, peer, name),
            Input::Newcomers(found) => self.newcomers(&found),
            Input::Located(finding) => self.located(now, finding),
            Input::Registered(registered) => self.told_of(now, registered),
            Input::Block { source, left } => self.block(now, source, left),
            Input::Unblock(source) => {
                self.blocks.remove(now.mono, source);
            }
            Input::Told(news) => self.told(now, news),
            Input::EndCall { key } => self.end_by_order(now, key),
            Input::Unregister { aor } => self.unregister(now, &aor),
        }
        self.settle(now);
        self.tell_ports();
        self.calls.fold();
    }

    /// The next output, in order; none when all are drained.
    pub fn output(&mut self) -> Option<Output> {
        take(&mut self.outputs)
    }

    /// When [`Input::Timer`] is wanted, on the clock of [`Now::mono`]; none when nothing is
    /// pending.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        match (self.timers.next(), self.layer.next_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    /// The rows of the last tables that could not be used.
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.bad_rows
    }

    /// Other keys for Call-IDs, from now on. Calls whose key is not among them are lost to the carrier
    /// side.
    pub fn hiding_keys(&mut self, keys: crate::hiding::KeyRing) {
        self.config.hiding.keys = Some(keys);
    }

    fn tables(&mut self, now: Now, tables: &Arc<Tables>) {
        let (access, mut bad) = Access::new(&tables.address);
        self.access = access;
        let held = self.dispatcher.held().len();
        bad.extend(self.dispatcher.load(&tables.dispatcher));
        if self.dispatcher.held().len() != held {
            self.keep_held(now);
        }
        self.note_neighbours();
        let plan = Arc::clone(&self.config.routing.plan);
        let is_known = |name: &str| plan.trunk(name).is_some();
        bad.extend(tables.routes.unknown(is_known));
        // Said by one of the workers.
        if self.config.share.worker == 0 {
            self.counters.add_many(Counter::BadRows, bad.len() as u64);
        }
        self.bad_rows = bad;
        self.subscribers = Arc::clone(&tables.subscribers);
        self.dids = Arc::clone(&tables.dids);
        self.routes = Arc::clone(&tables.routes);
        self.newcomers = Newcomers::new();
        self.has_tables = true;
        if std::mem::take(&mut self.uncounted) {
            let counted: Vec<i64> = self.calls.counted().collect();
            for target in counted {
                self.call_begins(now, target);
            }
        }
        self.pardon(now);
        self.locate_targets(now);
        self.schedule_probes(now);
    }

    /// Handles what the transactions said, until they have nothing more to say.
    fn settle(&mut self, now: Now) {
        loop {
            self.flush();
            let Some(event) = take(&mut self.events) else {
                return;
            };
            self.transaction_event(now, event);
        }
    }

    /// Carries over what the transactions want sent, so that it keeps its place among the
    /// outputs; their events wait for [`Self::settle`].
    fn flush(&mut self) {
        while let Some(output) = self.layer.output() {
            match output {
                TransactionOutput::Send { hop, bytes, again } => {
                    if again {
                        self.counters.add(Counter::Retransmissions);
                    }
                    self.send(hop, bytes.to_vec());
                }
                event => self.events.push_back(event),
            }
        }
    }

    fn send(&mut self, hop: Hop, bytes: Vec<u8>) {
        if let Some(bytes) = self.outward(hop, bytes) {
            self.send_as_it_is(hop, bytes);
        }
    }

    fn send_as_it_is(&mut self, hop: Hop, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send {
            path: hop.path,
            local: hop.local,
            destination: hop.peer,
            connect: hop.connect,
            existing: hop.flow,
            server_name: self.server_name(hop),
            durable: self.durable,
            bytes,
        });
    }

    fn transaction_event(&mut self, now: Now, event: TransactionOutput<Hop>) {
        match event {
            TransactionOutput::Send { hop, bytes, .. } => self.send(hop, bytes.to_vec()),
            TransactionOutput::TimedOut(id) => self.request_failed(now, id, Failure::Silence),
            TransactionOutput::ClientEnded(id) => self.client_ended(id),
            TransactionOutput::NoAck(_) => self.counters.add(Counter::AcksMissing),
            TransactionOutput::ServerEnded(id) => {
                if self.passages.remove(&id).is_some() {
                    self.timers.clear(Timer::Passage(id));
                }
                self.forget_relay(id);
                if let Some(key) = self.setups.remove(&id)
                    && let Some(call) = self.calls.get_mut(&key)
                {
                    call.accepted = None;
                    self.calls.may_rest(key);
                }
            }
        }
    }

    /// A request within a dialog is over.
    fn forget_relay(&mut self, id: ServerId) {
        if let Some(relay) = self.relays.remove(&id)
            && let Some(call) = self.calls.get_mut(&relay.call)
        {
            call.relays.retain(|r| *r != id);
            self.calls.may_rest(relay.call);
        }
    }

    fn client_ended(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.lates.remove(&id);
        self.late_relays.remove(&id);
    }

    /// A request of ours got no answer, and will get none.
    fn request_failed(&mut self, now: Now, id: ClientId, failure: Failure) {
        match self.clients.get(&id).copied() {
            Some(ClientUse::Invite(key)) => self.branch_failed(now, key, id, failure),
            Some(ClientUse::Relay(server)) => self.relay_failed(now, server),
            Some(ClientUse::Bye { .. }) => self.counters.add(Counter::ByesUnanswered),
            Some(ClientUse::Passage(server)) => self.passage_failed(now, server, id, failure),
            Some(ClientUse::Probe(target)) => self.probe_failed(now, target),
            Some(ClientUse::Late | ClientUse::LateRelay | ClientUse::Cancel) | None => {}
        }
    }

    /// The network says that nobody is there, or that the connection is `closed`: it concerns those requests that
    /// heard nothing yet. A BYE of ours may have been on its way, and nobody else would send it again.
    fn unreachable(
        &mut self,
        now: Now,
        path: crate::io::Path,
        destination: std::net::SocketAddr,
        closed: bool,
    ) {
        for id in self.layer.silent_clients(|h| {
            h.path == path && (h.peer == destination || h.connect == Some(destination))
        }) {
            if let Some(ClientUse::Bye { again }) = self.clients.get_mut(&id)
                && closed
                && !std::mem::replace(again, true)
            {
                self.layer.repeat(id);
                continue;
            }
            self.request_failed(now, id, Failure::Unreachable);
            self.layer.abort(id);
        }
    }
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing came.
    Silence,
    /// The network said that nobody is there.
    Unreachable,
}
