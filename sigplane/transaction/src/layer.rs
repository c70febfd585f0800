//! All transactions of one worker.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::Bytes;
use crate::client::{Accepted, Calling, Client, Completed, Trying};
use crate::key::{ClientId, ClientKey, KeptClientKey, KeptServerKey, Method, ServerId, ServerKey};
use crate::names::Names;
use crate::server::{self, Server};
use crate::settings::Settings;
use crate::table::{TimerTable, take, trim};

/// An INVITE to be sent.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The request.
    pub request: Bytes,
    /// The ACK that a failure gets, without its To header and without its end: the start line,
    /// the topmost Via, Route, From, Call-ID, CSeq and Max-Forwards (RFC 3261 section 17.1.1.3).
    pub ack_head: Bytes,
}

/// What a request is to the server transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It belongs to none.
    New,
    /// A retransmission: absorbed, its last response repeated.
    Repeated,
    /// The ACK of a failure: absorbed.
    Acknowledged,
}

/// What a response is to the client transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// It belongs to none.
    Unmatched,
    /// A retransmission: absorbed.
    Absorbed(ClientId),
    /// It is for the transaction's user.
    Pass(ClientId),
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<H> {
    /// Send this.
    Send {
        /// How.
        hop: H,
        /// What.
        bytes: Bytes,
        /// Whether it was sent before.
        again: bool,
    },
    /// No final response in time (timers B and F). An [`Output::ClientEnded`] follows.
    TimedOut(ClientId),
    /// A client transaction is gone.
    ClientEnded(ClientId),
    /// The ACK of a failure did not come (timer H). An [`Output::ServerEnded`] follows.
    NoAck(ServerId),
    /// A server transaction is gone.
    ServerEnded(ServerId),
}

/// The timers, by their letters in RFC 3261 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Timer {
    /// A: INVITE is sent again.
    A(ClientId),
    /// B: INVITE times out.
    B(ClientId),
    /// D: no more retransmissions of the failure.
    D(ClientId),
    /// E: another request is sent again.
    E(ClientId),
    /// F: another request times out.
    F(ClientId),
    /// G: the failure is sent again.
    G(ServerId),
    /// H: the ACK does not come.
    H(ServerId),
    /// I: no more retransmissions of the ACK.
    I(ServerId),
    /// J: no more retransmissions of another request.
    J(ServerId),
    /// K: no more retransmissions of another response.
    K(ClientId),
    /// L: no more retransmissions of an INVITE that got a 2xx.
    L(ServerId),
    /// M: no more 2xx.
    M(ClientId),
}

/// All transactions of one worker.
#[derive(Debug)]
pub struct Layer<H> {
    settings: Settings,
    next: u64,
    /// Boxed, as the servers: a table that grows moves its entries at once, and the messages wait for that.
    clients: FxHashMap<ClientId, Box<ClientEntry<H>>>,
    client_keys: Names<ClientId>,
    servers: FxHashMap<ServerId, Box<ServerEntry<H>>>,
    server_keys: Names<ServerId>,
    timers: TimerTable<Timer>,
    outputs: VecDeque<Output<H>>,
}

#[derive(Debug)]
struct ClientEntry<H> {
    key: KeptClientKey,
    hop: H,
    state: Client,
    /// Nobody waits for it any more: it has an end even if the peer only ever rings.
    given_up: bool,
}

#[derive(Debug)]
struct ServerEntry<H> {
    key: KeptServerKey,
    hop: H,
    state: Server,
}

/// How a message goes, as far as transactions care.
pub trait Hop: Copy {
    /// Whether what is sent this way arrives, or is said not to: nothing is repeated then, and
    /// nothing repeated awaited (RFC 3261 section 17).
    fn is_reliable(&self) -> bool;
}

impl<H: Hop> Layer<H> {
    /// Other times, for timers that are set from now on; those that run go on.
    pub const fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Without transactions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            next: 0,
            clients: FxHashMap::default(),
            client_keys: Names::new(),
            servers: FxHashMap::default(),
            server_keys: Names::new(),
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The next output, in order.
    pub fn output(&mut self) -> Option<Output<H>> {
        take(&mut self.outputs)
    }

    /// When [`Self::expire`] is wanted.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// How many client and server transactions there are.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }

    /// Begins an INVITE client transaction and sends the request.
    pub fn invite(
        &mut self,
        now: Duration,
        branch: &[u8],
        hop: H,
        request: InviteRequest,
    ) -> ClientId {
        let bytes = request.request.clone();
        let state = Calling::new(request.request, request.ack_head, &self.settings);
        let id = self.begin_client(branch, Method::Invite, hop, Client::Calling(state), bytes);
        if !hop.is_reliable() {
            self.timers.set(Timer::A(id), now + self.settings.t1);
        }
        self.timers.set(Timer::B(id), now + self.settings.timeout());
        id
    }

    /// Begins any other client transaction and sends the request. `method` is
    /// [`Method::Cancel`] or [`Method::Other`].
    pub fn request(
        &mut self,
        now: Duration,
        branch: &[u8],
        method: Method,
        hop: H,
        request: Bytes,
    ) -> ClientId {
        let state = Client::Trying(Trying::new(request.clone(), &self.settings));
        let id = self.begin_client(branch, method, hop, state, request);
        if !hop.is_reliable() {
            self.timers.set(Timer::E(id), now + self.settings.t1);
        }
        self.timers.set(Timer::F(id), now + self.settings.timeout());
        id
    }

    /// A response came. `to` is the value of its To header.
    pub fn response(
        &mut self,
        now: Duration,
        key: &ClientKey<'_>,
        code: u16,
        to: &[u8],
    ) -> Response {
        let Some(id) = self.client_named(key) else {
            return Response::Unmatched;
        };
        let Some(mut entry) = self.clients.remove(&id) else {
            return Response::Unmatched;
        };
        let (hop, given_up) = (entry.hop, entry.given_up);
        // Until it has its next state.
        let state = std::mem::replace(&mut entry.state, Client::Completed(Completed));
        let provisional = (100..200).contains(&code);
        let success = (200..300).contains(&code);
        let (state, pass) = match state {
            Client::Calling(state) if provisional => {
                self.timers.clear(Timer::A(id));
                if given_up {
                    self.timers.set(Timer::B(id), now + self.settings.timeout());
                } else {
                    self.timers.clear(Timer::B(id));
                }
                (Client::Proceeding(state.provisional()), true)
            }
            Client::Proceeding(state) if provisional => (Client::Proceeding(state), true),
            Client::Calling(_) | Client::Proceeding(_) if success => {
                self.clear_client_timers(id);
                self.timers.set(Timer::M(id), now + self.settings.timeout());
                (Client::Accepted(Accepted), true)
            }
            Client::Calling(state) => (self.acknowledge(now, id, hop, state.failure(to)), true),
            Client::Proceeding(state) => (self.acknowledge(now, id, hop, state.failure(to)), true),
            Client::Failed(state) => {
                if code >= 300 {
                    let bytes = state.ack();
                    self.outputs.push_back(Output::Send {
                        hop,
                        bytes,
                        again: true,
                    });
                }
                (Client::Failed(state), false)
            }
            Client::Accepted(state) => (Client::Accepted(state), success),
            Client::Trying(mut state) if provisional => {
                state.provisional();
                (Client::Trying(state), true)
            }
            Client::Trying(_) => {
                self.clear_client_timers(id);
                let linger = linger(&hop, self.settings.t4);
                self.timers.set(Timer::K(id), now + linger);
                (Client::Completed(Completed), true)
            }
            Client::Completed(state) => (Client::Completed(state), false),
        };
        entry.state = state;
        self.clients.insert(id, entry);
        if pass {
            Response::Pass(id)
        } else {
            Response::Absorbed(id)
        }
    }

    /// A failed INVITE: its ACK goes out, timer D begins.
    fn acknowledge(
        &mut self,
        now: Duration,
        id: ClientId,
        hop: H,
        state: crate::client::Failed,
    ) -> Client {
        self.clear_client_timers(id);
        let linger = linger(&hop, self.settings.timer_d());
        self.timers.set(Timer::D(id), now + linger);
        self.outputs.push_back(Output::Send {
            hop,
            bytes: state.ack(),
            again: false,
        });
        Client::Failed(state)
    }

    /// Nobody waits for this INVITE any more: it is not sent again, and ends within 64*T1 even if
    /// the peer goes on ringing. Late responses are matched until then. For a proxy that has
    /// turned to the next target, or has cancelled the INVITE.
    pub fn give_up(&mut self, now: Duration, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id).filter(|c| c.state.is_open()) else {
            return;
        };
        entry.given_up = true;
        self.timers.clear(Timer::A(id));
        self.timers.set(Timer::B(id), now + self.settings.timeout());
    }

    /// Sends a request (no INVITE) that got no answer once more, as it was: for a connection that has ended with
    /// it on the way. Whoever did get it takes it for a repetition.
    pub fn repeat(&mut self, id: ClientId) {
        if let Some(entry) = self.clients.get(&id)
            && let Client::Trying(state) = &entry.state
        {
            self.outputs.push_back(Output::Send {
                hop: entry.hop,
                bytes: state.request(),
                again: true,
            });
        }
    }

    /// Ends a client transaction at once, without a word. For a peer that the network says is
    /// not there.
    pub fn abort(&mut self, id: ClientId) {
        self.end_client(id);
    }

    /// Whether nothing has been heard yet in answer to this request.
    #[must_use]
    pub fn is_silent(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|c| c.state.is_silent())
    }

    /// Whether this request still awaits its final response.
    #[must_use]
    pub fn is_awaiting(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|c| c.state.is_open())
    }

    /// How this request went.
    #[must_use]
    pub fn client_hop(&self, id: ClientId) -> Option<H> {
        self.clients.get(&id).map(|c| c.hop)
    }

    /// The client transactions that heard nothing yet and whose hop satisfies `concerns`: those
    /// that a transport error is for.
    pub fn silent_clients(&self, concerns: impl Fn(&H) -> bool) -> Vec<ClientId> {
        let mut ids: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, c)| c.state.is_silent() && concerns(&c.hop))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Whether a request belongs to a transaction.
    #[must_use]
    pub fn knows(&self, key: &ServerKey<'_>) -> bool {
        self.server_named(key).is_some()
    }

    /// A request (ACK included) came. A new one begins a transaction only with [`Self::accept`].
    pub fn receive(&mut self, now: Duration, key: &ServerKey<'_>, is_ack: bool) -> Received {
        let Some(id) = self.server_named(key) else {
            return Received::New;
        };
        let Some(entry) = self.servers.get_mut(&id) else {
            return Received::New;
        };
        if !is_ack {
            if let Some(bytes) = entry.state.replay() {
                self.outputs.push_back(Output::Send {
                    hop: entry.hop,
                    bytes,
                    again: true,
                });
            }
            return Received::Repeated;
        }
        match entry.state {
            Server::Failed(_) => {
                entry.state = Server::Confirmed;
                self.timers.clear(Timer::G(id));
                self.timers.clear(Timer::H(id));
                let linger = linger(&entry.hop, self.settings.t4);
                self.timers.set(Timer::I(id), now + linger);
                Received::Acknowledged
            }
            // The ACK of a 2xx has a branch of its own; a peer that repeats the INVITE's means
            // the 2xx all the same.
            Server::Accepted => Received::New,
            _ => Received::Acknowledged,
        }
    }

    /// Begins a server transaction for a new request. `hop` is where its responses go.
    pub fn accept(&mut self, key: ServerKey<'_>, hop: H) -> ServerId {
        let id = ServerId(self.number());
        let state = match key.method {
            Method::Invite => Server::Proceeding(server::Proceeding::default()),
            Method::Cancel | Method::Other => Server::Trying(server::Trying::default()),
        };
        let servers = &self.servers;
        let is_it = |id| servers.get(&id).is_some_and(|s| s.key.key() == key);
        self.server_keys.insert(&key, id, is_it);
        let key = KeptServerKey::new(key);
        self.servers
            .insert(id, Box::new(ServerEntry { key, hop, state }));
        id
    }

    /// The transaction that a CANCEL with this key (its method is not looked at) is for.
    #[must_use]
    pub fn to_cancel(&self, key: &ServerKey<'_>) -> Option<ServerId> {
        let method = Method::Invite;
        self.server_named(&ServerKey { method, ..*key })
    }

    /// Whether this server transaction still owes a final response.
    #[must_use]
    pub fn is_open(&self, id: ServerId) -> bool {
        self.servers.get(&id).is_some_and(|s| s.state.is_open())
    }

    /// Sends a response. After a failure or another request's final response, nothing more is
    /// sent; a 2xx to INVITE may be sent again.
    pub fn respond(&mut self, now: Duration, id: ServerId, code: u16, bytes: Bytes) {
        let Some(entry) = self.servers.get_mut(&id) else {
            return;
        };
        let provisional = code < 200;
        let success = (200..300).contains(&code);
        let again = matches!(entry.state, Server::Accepted);
        match &mut entry.state {
            Server::Proceeding(state) if provisional => state.provisional(bytes.clone()),
            Server::Proceeding(_) if success => {
                entry.state = Server::Accepted;
                self.timers.set(Timer::L(id), now + self.settings.timeout());
            }
            Server::Proceeding(_) => {
                entry.state =
                    Server::Failed(server::Proceeding::failure(bytes.clone(), &self.settings));
                if !entry.hop.is_reliable() {
                    self.timers.set(Timer::G(id), now + self.settings.t1);
                }
                self.timers.set(Timer::H(id), now + self.settings.timeout());
            }
            Server::Accepted if success => {}
            Server::Trying(state) if provisional => state.provisional(bytes.clone()),
            Server::Trying(_) => {
                entry.state = Server::Completed(server::Trying::complete(bytes.clone()));
                let linger = linger(&entry.hop, self.settings.timeout());
                self.timers.set(Timer::J(id), now + linger);
            }
            Server::Accepted | Server::Failed(_) | Server::Confirmed | Server::Completed(_) => {
                return;
            }
        }
        self.outputs.push_back(Output::Send {
            hop: entry.hop,
            bytes,
            again,
        });
    }

    /// Ends a server transaction without a response: its client has given up by now (RFC 4320 section
    /// 4.2).
    pub fn forget(&mut self, id: ServerId) {
        self.end_server(id);
    }

    /// Runs every timer that is due.
    pub fn expire(&mut self, now: Duration) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::A(id) | Timer::E(id) => self.retransmit_request(now, timer, id),
                Timer::B(id) | Timer::F(id) => {
                    self.outputs.push_back(Output::TimedOut(id));
                    self.end_client(id);
                }
                Timer::D(id) | Timer::K(id) | Timer::M(id) => self.end_client(id),
                Timer::G(id) => {
                    if let Some(entry) = self.servers.get_mut(&id)
                        && let Server::Failed(state) = &mut entry.state
                    {
                        let (bytes, interval) = state.retransmit(&self.settings);
                        self.outputs.push_back(Output::Send {
                            hop: entry.hop,
                            bytes,
                            again: true,
                        });
                        self.timers.set(timer, now + interval);
                    }
                }
                Timer::H(id) => {
                    self.outputs.push_back(Output::NoAck(id));
                    self.end_server(id);
                }
                Timer::I(id) | Timer::J(id) | Timer::L(id) => self.end_server(id),
            }
        }
        trim(&mut self.clients);
        self.client_keys.trim();
        trim(&mut self.servers);
        self.server_keys.trim();
        self.timers.trim();
    }

    fn retransmit_request(&mut self, now: Duration, timer: Timer, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else {
            return;
        };
        let (bytes, interval) = match &mut entry.state {
            Client::Calling(state) => state.retransmit(),
            Client::Trying(state) => state.retransmit(&self.settings),
            _ => return,
        };
        self.outputs.push_back(Output::Send {
            hop: entry.hop,
            bytes,
            again: true,
        });
        self.timers.set(timer, now + interval);
    }

    fn begin_client(
        &mut self,
        branch: &[u8],
        method: Method,
        hop: H,
        state: Client,
        bytes: Bytes,
    ) -> ClientId {
        let id = ClientId(self.number());
        let key = ClientKey { branch, method };
        let clients = &self.clients;
        let is_it = |id| clients.get(&id).is_some_and(|c| c.key.key() == key);
        self.client_keys.insert(&key, id, is_it);
        let entry = ClientEntry {
            key: KeptClientKey::new(key),
            hop,
            state,
            given_up: false,
        };
        self.clients.insert(id, Box::new(entry));
        self.outputs.push_back(Output::Send {
            hop,
            bytes,
            again: false,
        });
        id
    }

    fn end_client(&mut self, id: ClientId) {
        if let Some(entry) = self.clients.remove(&id) {
            // Another transaction may have taken the key meanwhile.
            self.client_keys.remove(&entry.key.key(), id);
            self.clear_client_timers(id);
            self.outputs.push_back(Output::ClientEnded(id));
        }
    }

    fn end_server(&mut self, id: ServerId) {
        if let Some(entry) = self.servers.remove(&id) {
            self.server_keys.remove(&entry.key.key(), id);
            for timer in [
                Timer::G(id),
                Timer::H(id),
                Timer::I(id),
                Timer::J(id),
                Timer::L(id),
            ] {
                self.timers.clear(timer);
            }
            self.outputs.push_back(Output::ServerEnded(id));
        }
    }

    fn clear_client_timers(&mut self, id: ClientId) {
        let timers = [
            Timer::A(id),
            Timer::B(id),
            Timer::D(id),
            Timer::E(id),
            Timer::F(id),
            Timer::K(id),
            Timer::M(id),
        ];
        for timer in timers {
            self.timers.clear(timer);
        }
    }

    fn client_named(&self, key: &ClientKey<'_>) -> Option<ClientId> {
        let is_it = |id| self.clients.get(&id).is_some_and(|c| c.key.key() == *key);
        self.client_keys.find(key, is_it)
    }

    fn server_named(&self, key: &ServerKey<'_>) -> Option<ServerId> {
        let is_it = |id| self.servers.get(&id).is_some_and(|s| s.key.key() == *key);
        self.server_keys.find(key, is_it)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// How long a transaction that is over waits for what may be repeated.
fn linger<H: Hop>(hop: &H, unreliable: Duration) -> Duration {
    if hop.is_reliable() {
        Duration::ZERO
    } else {
        unreliable
    }
}
