//! The network, the clock, and everybody on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tandem_link::{Command, Event as PlaneEvent, FlowId, FromDataplane, Leg as FlowLeg};

use crate::agent::{Agent, Alarm, Context};
use crate::ledger::Ledger;
use crate::plan::{CallerPlan, Weather};
use crate::plane::{self, Plane};
use crate::rng::Rng;
use crate::shell::{CARRIERS, Letter, POOL, Proxy, STRANGER, TRUNK, Wish, at, ours};
use crate::text::{self, Text};
use crate::trace::Trace;

/// By then everything has ended.
const END: Duration = Duration::from_secs(1_200);
/// How often the dataplane looks for flows without media.
const TICK: Duration = Duration::from_secs(10);
/// How long a letter of one worker to another takes: long, for two threads.
const LETTER: Duration = Duration::from_millis(3);

#[allow(clippy::large_enum_variant, reason = "few of them live at a time")]
enum Event {
    ToProxy {
        connection: Option<(SocketAddr, u32)>,
        source: SocketAddr,
        bytes: Vec<u8>,
    },
    ToAgent {
        connection: Option<(SocketAddr, u32)>,
        agent: usize,
        bytes: Vec<u8>,
    },
    ToStranger(Vec<u8>),
    Unreachable(SocketAddr),
    Alarm(usize, Alarm),
    Begin(u32, CallerPlan),
    /// A MESSAGE outside of calls, by this phone.
    Message(u32, usize),
    Crash,
    Start,
    Tables,
    LinkDown(bool),
    LinkUp,
    Plane(u32, FromDataplane),
    Letter(u16, u8, Letter),
    Tick,
    Break,
    Stranger,
}

struct Connection {
    agent: usize,
    number: u32,
    /// When the last message arrives there.
    to_agent: Duration,
    to_proxy: Duration,
}

/// A run.
pub(crate) struct World {
    now: Duration,
    rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) proxy: Proxy,
    plane: Plane,
    pub(crate) agents: Vec<Agent>,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    connections: BTreeMap<SocketAddr, Connection>,
    connected: u32,
    /// For how many ticks a flow has had no media.
    idle: BTreeMap<FlowId, u32>,
    /// What a stranger could have read.
    overheard: Option<Text>,
}

impl World {
    pub(crate) fn new(seed: u64, calls: u32, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let weather = Weather::new(&mut rng);
        let addresses = [CARRIERS[0], CARRIERS[1], TRUNK, POOL[0], POOL[1]];
        let agents = addresses
            .iter()
            .enumerate()
            .map(|(i, a)| Agent::new(i, at(a), weather.streams.iter().any(|s| s == a)))
            .collect();
        let mut world = Self {
            now: Duration::from_secs(1),
            proxy: Proxy::new(&weather),
            plane: Plane::default(),
            agents,
            ledger: Ledger::new(weather.is_calm()),
            trace,
            queue: BTreeMap::new(),
            queued: 0,
            connections: BTreeMap::new(),
            connected: 0,
            idle: BTreeMap::new(),
            overheard: None,
            rng,
            weather,
        };
        world.prepare(calls);
        world
    }

    fn prepare(&mut self, calls: u32) {
        self.start();
        for number in 0..calls {
            let plan = CallerPlan::new(&mut self.rng);
            self.at(
                plan.start + Duration::from_secs(2),
                Event::Begin(number, plan),
            );
        }
        for number in calls..calls + calls / 3 {
            let agent = self.rng.pick(&[0, 1, 3, 4]).unwrap_or(0);
            self.after(1_500, 80_000, Event::Message(number, agent));
        }
        for time in self.weather.crashes.clone() {
            self.at(time, Event::Crash);
        }
        for (time, forgets) in self.weather.planes.clone() {
            self.at(time, Event::LinkDown(forgets));
        }
        for time in self.weather.breaks.clone() {
            self.at(time, Event::Break);
        }
        if self.weather.stranger {
            for i in 1..40 {
                self.at(Duration::from_secs(3 * i), Event::Stranger);
            }
        }
        self.at(TICK, Event::Tick);
    }

    /// Lets everything happen.
    pub(crate) fn run(&mut self) {
        loop {
            let event = self.queue.keys().next().copied();
            let timer = self.proxy.next_timeout();
            let timer_first = match (event, timer) {
                (Some((at, _)), Some(timer)) => timer < at,
                (None, timer) => timer.is_some(),
                _ => false,
            };
            if timer_first {
                self.now = self.now.max(timer.unwrap_or_default());
                if self.now > END {
                    return;
                }
                let wishes = self.proxy.timer(self.now);
                self.carry_out(wishes);
            } else if let Some(((at, _), event)) = self.queue.pop_first() {
                self.now = self.now.max(at);
                if self.now > END {
                    return;
                }
                self.happen(event);
            } else {
                return;
            }
        }
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((time, self.queued), event);
    }

    fn after(&mut self, low: u64, high: u64, event: Event) {
        let time = self.now + self.rng.ms(low, high);
        self.at(time, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToProxy {
                connection,
                source,
                bytes,
            } => self.proxy_hears(connection, source, &bytes),
            Event::ToAgent {
                connection,
                agent,
                bytes,
            } => {
                if self.is_connected(connection) {
                    self.with_agent(agent, |a, c| a.receive(c, &bytes));
                }
            }
            Event::ToStranger(bytes) => self.stranger_hears(&bytes),
            Event::Unreachable(peer) => {
                let wishes = self.proxy.unreachable(self.now, peer, false);
                self.carry_out(wishes);
            }
            Event::Alarm(agent, alarm) => self.with_agent(agent, |a, c| a.alarm(c, alarm)),
            Event::Begin(number, plan) => {
                let from = at(plan.agent);
                if let Some(agent) = self.agents.iter().position(|a| a.address == from) {
                    let leg = self.agents.get(agent).map_or(0, |a| a.legs.len());
                    self.trace.note(self.now, || {
                        format!("call {number}, leg {agent}/{leg}: {plan:?}")
                    });
                    self.with_agent(agent, |a, c| a.call(c, number, &plan));
                }
            }
            Event::Message(number, agent) => {
                self.with_agent(agent, |a, c| a.message(c, number));
            }
            Event::Crash => {
                let left = self.rng.below(8);
                self.proxy.dies_after = usize::try_from(left).ok();
            }
            Event::Start => self.start(),
            Event::Tables => {
                let wishes = self.proxy.tables(self.now);
                self.carry_out(wishes);
            }
            Event::LinkDown(forgets) => self.link_down(forgets),
            Event::LinkUp => self.link_up(),
            Event::Plane(session, message) => {
                if self.plane.up && self.plane.session == session {
                    let wishes = self.proxy.dataplane(self.now, message);
                    self.carry_out(wishes);
                }
            }
            Event::Letter(to, life, letter) => {
                let wishes = self.proxy.letter(self.now, to, life, letter);
                self.carry_out(wishes);
            }
            Event::Tick => self.tick(),
            Event::Break => self.break_one(),
            Event::Stranger => self.stranger_speaks(),
        }
    }

    // The proxy's life.

    fn start(&mut self) {
        self.trace.note(self.now, || "the proxy starts".into());
        self.ledger.lives.push(self.now);
        let wishes = self.proxy.start(self.now);
        self.carry_out(wishes);
        self.after(0, 400, Event::Tables);
        self.after(0, 400, Event::LinkUp);
    }

    /// After each of its inputs: is it still there?
    fn mourn(&mut self) {
        if self.proxy.is_up() || self.proxy.dies_after.is_none() {
            return;
        }
        self.proxy.dies_after = None;
        self.trace.note(self.now, || "the proxy dies".into());
        self.plane.up = false;
        self.connections.clear();
        // Sooner than the numbers of calls move on by themselves, at times.
        let low = self.rng.pick(&[0, 20]).unwrap_or(20);
        self.after(low, low + 150 * low, Event::Start);
    }

    fn link_down(&mut self, forgets: bool) {
        self.trace
            .note(self.now, || format!("no dataplane; it forgets: {forgets}"));
        if forgets {
            self.plane.forget();
        }
        if std::mem::take(&mut self.plane.up) {
            let wishes = self.proxy.dataplane_down(self.now);
            self.carry_out(wishes);
        }
        self.after(50, 2000, Event::LinkUp);
    }

    fn link_up(&mut self) {
        if self.plane.up || !self.proxy.is_up() {
            return;
        }
        self.trace
            .note(self.now, || "the dataplane is there".into());
        let hello = self.plane.hello();
        let wishes = self.proxy.dataplane_up(self.now, &hello);
        self.carry_out(wishes);
    }

    // Messages.

    fn proxy_hears(
        &mut self,
        connection: Option<(SocketAddr, u32)>,
        source: SocketAddr,
        bytes: &[u8],
    ) {
        if !self.proxy.is_up() || !self.is_connected(connection) {
            return;
        }
        self.trace.message(self.now, "in", source, bytes);
        let stream = connection.is_some();
        let wishes = self.proxy.message(self.now, stream, source, bytes);
        self.carry_out(wishes);
    }

    fn is_connected(&self, connection: Option<(SocketAddr, u32)>) -> bool {
        connection.is_none_or(|(peer, number)| {
            self.connections
                .get(&peer)
                .is_some_and(|c| c.number == number)
        })
    }

    fn with_agent(&mut self, agent: usize, act: impl FnOnce(&mut Agent, &mut Context<'_>)) {
        let (mut out, mut alarms) = (Vec::new(), Vec::new());
        let Some(phone) = self.agents.get_mut(agent) else {
            return;
        };
        let (source, stream) = (phone.address, phone.stream);
        act(
            phone,
            &mut Context {
                now: self.now,
                rng: &mut self.rng,
                ledger: &mut self.ledger,
                out: &mut out,
                alarms: &mut alarms,
                timer_c: self.weather.timer_c,
                streams: &self.weather.streams,
                hides: self.weather.hides,
            },
        );
        for (time, alarm) in alarms {
            self.at(time, Event::Alarm(agent, alarm));
        }
        for text in out {
            self.trace
                .message(self.now, "sent", source, text.as_bytes());
            if stream {
                self.send_by_stream(agent, text.into_bytes());
            } else {
                self.overhear(&text);
                self.datagram(|_| Event::ToProxy {
                    connection: None,
                    source,
                    bytes: text.clone().into_bytes(),
                });
            }
        }
    }

    /// A datagram on its way: lost, late, twice.
    fn datagram(&mut self, event: impl Fn(&mut Self) -> Event) {
        let copies = 1 + u64::from(self.rng.per_mille(self.weather.twice));
        for _ in 0..copies {
            if self.rng.per_mille(self.weather.loss) {
                continue;
            }
            let mut delay = self.delay();
            if self.rng.per_mille(self.weather.late) {
                delay += self.rng.ms(0, 1500);
            }
            let event = event(self);
            self.at(self.now + delay, event);
        }
    }

    fn delay(&mut self) -> Duration {
        let (low, high) = self.weather.delay_ms;
        Duration::from_micros(low * 1000 + self.rng.below((high - low) * 1000))
    }

    fn send_by_stream(&mut self, agent: usize, bytes: Vec<u8>) {
        if !self.proxy.is_up() {
            return;
        }
        let known = self.connections.iter().find(|(_, c)| c.agent == agent);
        let peer = match known.map(|(peer, _)| *peer) {
            Some(peer) => peer,
            None => {
                let ip = self.agents.get(agent).map(|a| a.address.ip());
                let port = 40_000 + u16::try_from(self.connected % 20_000).unwrap_or(0);
                let peer = SocketAddr::new(ip.unwrap_or(at(TRUNK).ip()), port);
                self.connect(agent, peer);
                peer
            }
        };
        let delay = self.delay();
        let Some(connection) = self.connections.get_mut(&peer) else {
            return;
        };
        let time = (self.now + delay).max(connection.to_proxy + Duration::from_micros(1));
        connection.to_proxy = time;
        let number = connection.number;
        self.at(
            time,
            Event::ToProxy {
                connection: Some((peer, number)),
                source: peer,
                bytes,
            },
        );
    }

    fn connect(&mut self, agent: usize, peer: SocketAddr) {
        self.connected += 1;
        self.connections.insert(
            peer,
            Connection {
                agent,
                number: self.connected,
                to_agent: self.now,
                to_proxy: self.now,
            },
        );
    }

    fn break_one(&mut self) {
        let peers: Vec<SocketAddr> = self.connections.keys().copied().collect();
        let Some(peer) = self.rng.pick(&peers) else {
            return;
        };
        self.trace
            .note(self.now, || format!("the stream with {peer} breaks"));
        self.connections.remove(&peer);
        if self.proxy.is_up() {
            let wishes = self.proxy.unreachable(self.now, peer, true);
            self.carry_out(wishes);
        }
    }

    fn carry_out(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Send {
                    stream,
                    local,
                    to,
                    connect,
                    bytes,
                } => {
                    self.trace.message(self.now, "out", to, &bytes);
                    if local != ours(to) {
                        self.ledger.fault(format!("to {to} from {local}"));
                    }
                    if stream {
                        self.stream_to_agent(to, connect, bytes);
                    } else {
                        self.datagram_to_agent(to, &bytes);
                    }
                }
                Wish::Command(seq, command) => self.command(seq, command),
                // All take as long, so that they keep their order.
                Wish::Letter(to, life, letter) => {
                    self.at(self.now + LETTER, Event::Letter(to, life, letter));
                }
            }
        }
        self.mourn();
    }

    fn datagram_to_agent(&mut self, to: SocketAddr, bytes: &[u8]) {
        if to == at(STRANGER) {
            return self.datagram(|_| Event::ToStranger(bytes.to_vec()));
        }
        let agent = self
            .agents
            .iter()
            .position(|a| a.address == to && !a.stream);
        let Some(agent) = agent else {
            let text = String::from_utf8_lossy(bytes).into_owned();
            return self.ledger.fault(format!("{to} has nobody:\n{text}"));
        };
        self.datagram(|_| Event::ToAgent {
            connection: None,
            agent,
            bytes: bytes.to_vec(),
        });
    }

    fn stream_to_agent(&mut self, to: SocketAddr, connect: Option<SocketAddr>, bytes: Vec<u8>) {
        let peer = if self.connections.contains_key(&to) {
            to
        } else {
            connect.unwrap_or(to)
        };
        if !self.connections.contains_key(&peer) {
            let agent = self
                .agents
                .iter()
                .position(|a| a.address == peer && a.stream);
            let Some(agent) = agent else {
                if !self.agents.iter().any(|a| a.address.ip() == peer.ip()) {
                    self.ledger.fault(format!("{peer} has nobody"));
                }
                return self.after(1, 50, Event::Unreachable(to));
            };
            self.connect(agent, peer);
        }
        let delay = self.delay();
        let Some(connection) = self.connections.get_mut(&peer) else {
            return;
        };
        let time = (self.now + delay).max(connection.to_agent + Duration::from_micros(1));
        connection.to_agent = time;
        let event = Event::ToAgent {
            connection: Some((peer, connection.number)),
            agent: connection.agent,
            bytes,
        };
        self.at(time, event);
    }

    // The dataplane.

    fn command(&mut self, seq: u64, command: Command) {
        if !self.plane.up {
            return;
        }
        let refused = self.rng.per_mille(self.weather.refusals);
        let latched = match &command {
            Command::PutFlow(flow) if self.rng.per_mille(300) => {
                flow.a.remote.map(|source| PlaneEvent::Latched {
                    flow: flow.id,
                    cookie: flow.cookie,
                    leg: FlowLeg::A,
                    rtcp: false,
                    source,
                })
            }
            _ => None,
        };
        let session = self.plane.session;
        let answers = self.plane.command(seq, command, refused);
        let time = self.now + self.rng.ms(0, 20);
        for answer in answers {
            self.at(time, Event::Plane(session, answer));
        }
        if let Some(event) = latched {
            let message = FromDataplane::Event(event);
            self.after(20, 200, Event::Plane(session, message));
        }
    }

    /// Flows whose phones are all gone have no media.
    fn tick(&mut self) {
        let mut idle = BTreeMap::new();
        let mut events = Vec::new();
        for (id, flow) in &self.plane.flows {
            let peers = plane::peers(flow);
            if peers.len() == 2 && !peers.iter().any(|p| self.is_talking(*p)) {
                let ticks = self.idle.get(id).copied().unwrap_or(0) + 1;
                idle.insert(*id, ticks);
                if ticks == 6 && flow.timeout_s > 0 {
                    events.push(PlaneEvent::MediaTimeout {
                        flow: *id,
                        cookie: flow.cookie,
                    });
                }
            }
        }
        self.idle = idle;
        if self.plane.up {
            for event in events {
                let message = FromDataplane::Event(event);
                self.after(0, 20, Event::Plane(self.plane.session, message));
            }
        }
        if !self.queue.is_empty() {
            self.at(self.now + TICK, Event::Tick);
        }
    }

    fn is_talking(&self, peer: SocketAddr) -> bool {
        let leg = self.ledger.ports.get(&peer.port());
        let leg = leg.and_then(|(agent, leg)| self.agents.get(*agent)?.legs.get(*leg));
        leg.is_some_and(|leg| {
            let open = |d: &crate::leg::Dialog| d.answered && !d.is_over();
            !leg.dead && (leg.result.is_none() || leg.dialogs.iter().any(open))
        })
    }

    // The stranger.

    fn overhear(&mut self, text: &str) {
        if self.weather.stranger && self.rng.per_mille(50) {
            self.overheard = Text::read(text.as_bytes())
                .filter(|t| t.code().is_none() && !t.to_tag().is_empty() && t.method() != "ACK");
        }
    }

    /// Requests in the dialogs of others, from an address that may do nothing.
    fn stranger_speaks(&mut self) {
        let methods = ["BYE", "INVITE", "INFO", "CANCEL", "ACK", "UPDATE"];
        let method = self.rng.pick(&methods).unwrap_or("BYE");
        let branch = self.ledger.name();
        let copy = |name: &'static str, other: String| {
            let known = self.overheard.as_ref().and_then(|t| t.value(name));
            (name, known.map_or(other, str::to_owned))
        };
        let headers = [
            (
                "Via",
                format!("SIP/2.0/UDP {STRANGER};branch=z9hG4bK{branch}"),
            ),
            ("Max-Forwards", "70".into()),
            copy("From", "<sip:stranger@example.com>;tag=1".into()),
            copy("To", "<sip:1@example.com>".into()),
            copy("Call-ID", branch.clone()),
            ("CSeq", format!("77 {method}")),
            ("Contact", format!("<sip:stranger@{STRANGER}>")),
            (crate::ledger::REQUEST, "stranger".into()),
        ];
        let target = ours(at(STRANGER));
        let text = text::write(&format!("{method} sip:1@{target} SIP/2.0"), &headers, "");
        self.proxy_hears(None, at(STRANGER), text.as_bytes());
    }

    fn stranger_hears(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let refused = Text::read(bytes)
            .and_then(|t| t.code())
            .is_some_and(|code| (400..500).contains(&code) || code == 503);
        if !refused || text.contains("X-Sim-") {
            self.ledger.fault(format!("the stranger hears:\n{text}"));
        }
    }

    /// Whether the dataplane has flows left.
    pub(crate) fn flows_left(&self) -> usize {
        self.plane.flows.len()
    }
}
