//! A tiny network for the core: peers by script, a dataplane that does as it is told, a journal.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::wrong_self_convention,
    clippy::new_without_default,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test files, each of which uses a part"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tandem_call::{
    Core, CoreConfig, DispatcherConfig, GuardConfig, HidingConfig, Input, MediaConfig,
    MessageLimits, NatConfig, Now, Output, Path, RealmConfig, Registered, RoutingConfig, SendError,
    Side, Tables,
};
use tandem_link::{
    Command, DataplaneHello, DirectionStats, Event, FlowId, FlowReport, FlowSpec, FromDataplane,
    LegStats, SlotTable, VERSION,
};
use tandem_policy::defence::{Sight, Source};
use tandem_policy::locate::Errand;
use tandem_policy::{AddressRow, Cdr, DispatcherRow};

pub const CARRIER: &str = "203.0.113.10:5060";
pub const TRUNK: &str = "203.0.113.50:5060";
pub const STRANGER: &str = "203.0.113.99:5060";
pub const POOL: [&str; 2] = ["10.0.0.11:5060", "10.0.0.12:5060"];
pub const OUTSIDE: &str = "198.51.100.1:5060";
pub const INSIDE: &str = "10.0.0.1:5060";

pub fn config() -> CoreConfig {
    let realm = |name: &str, side, sip: &str| RealmConfig {
        name: name.into(),
        side,
        sip: vec![sip.parse().unwrap()],
        media: vec![sip.parse::<SocketAddr>().unwrap().ip()],
        media_ports: 30_000..=30_199,
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
        streams: vec![],
        t1: Duration::from_millis(500),
        timer_c: Duration::from_secs(185),
        dialog_table: true,
        max_calls: 1000,
        limits: MessageLimits::default(),
        routing: RoutingConfig {
            conference: None,
            pool_set: 1,
            trunk_set: 100,
            carrier_group: 1,
            registrar_set: None,
            dids: false,
            follow_redirects: false,
            plan: std::sync::Arc::default(),
        },
        dispatcher: DispatcherConfig {
            plan: tandem_policy::Plan::default(),
            probe_interval: Duration::ZERO,
            probe_timeout: Duration::from_secs(4),
            probe_failures: 3,
            probe_successes: 3,
            first_response: Duration::from_secs(2),
        },
        media: MediaConfig {
            dscp: 46,
            timeout: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(3600),
            max_duration: Duration::ZERO,
            guard: tandem_call::MediaGuard::default(),
            port_rest: Duration::from_secs(5),
        },
        hiding: HidingConfig::off(),
        guard: GuardConfig::default(),
        nat: NatConfig::default(),
        registrar: None,
    }
}

pub fn tables() -> Tables {
    let target = |id, setid, at: &str| DispatcherRow {
        id,
        setid,
        destination: format!("sip:{at}"),
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
        address: vec![AddressRow {
            id: 1,
            grp: 1,
            ip_addr: "203.0.113.10".into(),
            mask: 32,
            port: 0,
            tag: String::new(),
        }],
    }
}

/// A datagram that the core sent.
#[derive(Clone, Debug)]
pub struct Packet {
    pub path: Path,
    pub to: SocketAddr,
    pub connect: Option<SocketAddr>,
    pub existing: bool,
    pub server_name: Option<Arc<str>>,
    pub durable: bool,
    pub text: String,
}

pub struct World {
    pub core: Core,
    pub now: Now,
    pub sent: Vec<Packet>,
    pub journal: BTreeMap<u64, Vec<u8>>,
    pub cdrs: Vec<Cdr>,
    /// The dataplane's flows.
    pub flows: BTreeMap<FlowId, FlowSpec>,
    /// Whether the dataplane answers commands.
    pub answers: bool,
    /// What it answers PutFlow with.
    pub put_error: Option<tandem_link::CommandError>,
    pub latched: BTreeMap<FlowId, SocketAddr>,
    pub commands: Vec<Command>,
    /// What the resolver was asked.
    pub errands: Vec<Errand>,
    /// What other workers would be told.
    pub told: Vec<Registered>,
    /// How long messages have waited.
    pub waited: Duration,
    /// What the core saw of others.
    pub sights: Vec<(IpAddr, Sight)>,
    pub pardons: Vec<Source>,
    pub news: Vec<tandem_call::News>,
    /// What is another worker's.
    pub passed_on: Vec<(u16, String)>,
    /// Users that the database was asked for.
    pub asked: Vec<String>,
    boot: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: CoreConfig) -> Self {
        let mut world = Self::bare(Core::new(config, [7; 16]), BTreeMap::new(), BTreeMap::new());
        world.input(Input::Tables(Arc::new(tables())));
        world.dataplane_up();
        world
    }

    /// With other tables than [`tables`].
    pub fn with_tables(config: CoreConfig, tables: Tables) -> Self {
        let mut world = Self::bare(Core::new(config, [7; 16]), BTreeMap::new(), BTreeMap::new());
        world.input(Input::Tables(Arc::new(tables)));
        world.dataplane_up();
        world
    }

    /// With a dataplane, but the database was not heard of yet.
    pub fn without_tables() -> Self {
        let core = Core::new(config(), [7; 16]);
        let mut world = Self::bare(core, BTreeMap::new(), BTreeMap::new());
        world.dataplane_up();
        world
    }

    fn bare(
        core: Core,
        journal: BTreeMap<u64, Vec<u8>>,
        flows: BTreeMap<FlowId, FlowSpec>,
    ) -> Self {
        Self {
            core,
            now: Now {
                mono: Duration::from_secs(100),
                wall_ms: 1_700_000_000_000,
            },
            sent: Vec::new(),
            journal,
            cdrs: Vec::new(),
            flows,
            answers: true,
            put_error: None,
            latched: BTreeMap::new(),
            commands: Vec::new(),
            errands: Vec::new(),
            told: Vec::new(),
            waited: Duration::ZERO,
            sights: Vec::new(),
            pardons: Vec::new(),
            news: Vec::new(),
            passed_on: Vec::new(),
            asked: Vec::new(),
            boot: 1,
        }
    }

    /// The process dies and comes back: a new core reads the journal; the dataplane lived on.
    pub fn crash(self) -> Self {
        let mut world = self.crash_without_tables();
        world.input(Input::Tables(Arc::new(tables())));
        world
    }

    /// The same, and the database does not answer yet.
    pub fn crash_without_tables(self) -> Self {
        let config = self.core.config().clone();
        self.restart(config)
    }

    /// The same, with the tables, and with another configuration.
    pub fn crash_with(self, config: CoreConfig) -> Self {
        let mut world = self.restart(config);
        world.input(Input::Tables(Arc::new(tables())));
        world
    }

    fn restart(self, config: CoreConfig) -> Self {
        let mut world = Self::bare(Core::new(config, [9; 16]), self.journal, self.flows);
        world.now = self.now;
        world.latched = self.latched;
        world.cdrs = self.cdrs;
        for (key, body) in world.journal.clone() {
            world.core.restore(world.now, key, &body).unwrap();
        }
        world.drain();
        world
    }

    pub fn hello(&self) -> DataplaneHello {
        DataplaneHello {
            version: VERSION,
            boot: self.boot,
            epoch: 1,
            workers: 1,
            slots: SlotTable::deal(&[0]),
            realms: vec![],
            flows: self.flows.len() as u64,
        }
    }

    pub fn dataplane_up(&mut self) {
        let hello = self.hello();
        self.input(Input::DataplaneUp(&hello));
    }

    /// The dataplane dies and comes back without flows.
    pub fn dataplane_restarts(&mut self) {
        self.input(Input::DataplaneDown);
        self.flows.clear();
        self.boot += 1;
        self.dataplane_up();
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.core.input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.output() {
            match output {
                Output::Send {
                    path,
                    destination,
                    connect,
                    existing,
                    server_name,
                    durable,
                    bytes,
                    local: _,
                } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.sent.push(Packet {
                        path,
                        to: destination,
                        connect,
                        existing,
                        server_name,
                        durable,
                        text,
                    });
                }
                Output::Journal { key, body, cdr, .. } => {
                    match body {
                        Some(body) => self.journal.insert(key, body),
                        None => self.journal.remove(&key),
                    };
                    self.cdrs.extend(cdr.map(|c| *c));
                }
                Output::Command { seq, command } => self.command(seq, command),
                Output::Locate(errand) => self.errands.push(errand),
                Output::Registered(registered) => self.told.push(registered),
                Output::UserAt(_) => {}
                Output::Sight { ip, sight } => self.sights.push((ip, sight)),
                Output::Pardon(source) => self.pardons.push(source),
                Output::Tell(news) => self.news.push(news),
                Output::WhoIs { user, domain } => {
                    let name = [user, domain].map(|b| String::from_utf8(b).unwrap());
                    self.asked.push(name.join("@"));
                }
                Output::PassOn { worker, bytes, .. } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.passed_on.push((worker, text));
                }
            }
        }
    }

    fn command(&mut self, seq: u64, command: Command) {
        self.commands.push(command.clone());
        if !self.answers {
            return;
        }
        let mut result = Ok(());
        let mut reports = Vec::new();
        match command {
            Command::PutFlow(spec) => match self.put_error.clone() {
                Some(error) => result = Err(error),
                None => {
                    self.flows.insert(spec.id, spec);
                }
            },
            Command::RemoveFlow { flow: id, .. } => match self.flows.remove(&id) {
                Some(spec) => reports.push(self.report(spec)),
                None => result = Err(tandem_link::CommandError::NoSuchFlow),
            },
            Command::ListFlows => {
                reports = self
                    .flows
                    .values()
                    .cloned()
                    .map(|s| self.report(s))
                    .collect();
            }
            _ => {}
        }
        for report in reports {
            self.core.input(
                self.now,
                Input::Dataplane(FromDataplane::Flow { seq, report }),
            );
        }
        self.core.input(
            self.now,
            Input::Dataplane(FromDataplane::Done { seq, result }),
        );
    }

    fn report(&self, spec: FlowSpec) -> FlowReport {
        let rtp = DirectionStats {
            packets: 50,
            bytes: 8600,
            lost: 1,
            jitter: 3,
            ..Default::default()
        };
        let latched = self.latched.get(&spec.id).copied();
        FlowReport {
            worker: 0,
            a: LegStats {
                rtp,
                latched,
                ..Default::default()
            },
            b: LegStats {
                rtp: DirectionStats { packets: 49, ..rtp },
                ..Default::default()
            },
            idle: false,
            spec,
        }
    }

    /// A datagram from a peer; the side follows from its address.
    pub fn from(&mut self, source: &str, text: &str) {
        self.from_bytes(source, text.as_bytes());
    }

    pub fn from_bytes(&mut self, source: &str, bytes: &[u8]) {
        let inside = source.starts_with("10.");
        let (path, local) = if inside {
            (Path::Realm(1), INSIDE)
        } else {
            (Path::Realm(0), OUTSIDE)
        };
        self.input(Input::Message {
            path,
            source: source.parse().unwrap(),
            local: local.parse().unwrap(),
            waited: self.waited,
            bytes,
        });
    }

    /// A message from a peer over a connection of the stream listener with this index.
    pub fn from_stream(&mut self, index: u16, source: &str, text: &str) {
        let local = self.core.config().streams[usize::from(index)].listen;
        self.input(Input::Message {
            path: Path::Stream(index),
            source: source.parse().unwrap(),
            local,
            waited: self.waited,
            bytes: text.as_bytes(),
        });
    }

    pub fn unreachable(&mut self, peer: &str) {
        let path = if peer.starts_with("10.") {
            Path::Realm(1)
        } else {
            Path::Realm(0)
        };
        self.input(Input::Unreachable {
            path,
            destination: peer.parse().unwrap(),
            error: SendError::PortUnreachable,
        });
    }

    /// Lets time pass, timer by timer.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= end) {
            self.advance(at.max(self.now.mono));
            self.input(Input::Timer);
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Duration) {
        let step = to - self.now.mono;
        self.now.mono = to;
        self.now.wall_ms += step.as_secs() * 1000 + u64::from(step.subsec_millis());
    }

    pub fn event(&mut self, event: Event) {
        self.input(Input::Dataplane(FromDataplane::Event(event)));
    }

    /// Takes what was sent to a peer.
    pub fn sent_to(&mut self, peer: &str) -> Vec<String> {
        let to: SocketAddr = peer.parse().unwrap();
        let (hits, rest) = self.sent.drain(..).partition::<Vec<_>, _>(|p| p.to == to);
        self.sent = rest;
        hits.into_iter().map(|p| p.text).collect()
    }

    /// Takes the one message that was sent to a peer.
    pub fn one_to(&mut self, peer: &str) -> String {
        let mut sent = self.sent_to(peer);
        assert_eq!(sent.len(), 1, "to {peer}: {sent:#?}");
        sent.remove(0)
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.core
            .counters()
            .find(|(n, _)| *n == name)
            .map_or(0, |(_, v)| v)
    }

    /// Nothing is left of any call.
    pub fn assert_clean(&mut self) {
        self.wait(Duration::from_secs(200));
        assert_eq!(self.core.calls().count(), 0);
        assert_eq!(self.flows, BTreeMap::new());
        assert!(self.journal.is_empty());
        assert_eq!(self.counter("media_port_pairs_used"), 0);
        assert_eq!(self.counter("transactions_client_now"), 0);
        assert_eq!(self.counter("transactions_server_now"), 0);
        assert!(self.core.dispatcher().all(|t| t.calls == 0));
        assert_eq!(self.core.next_timeout(), None);
    }
}

/// The first value of a header.
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    headers(message, name)
        .first()
        .copied()
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

pub fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    head(message)
        .lines()
        .filter_map(|l| l.split_once(':'))
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
        .collect()
}

pub fn head(message: &str) -> &str {
    message.split("\r\n\r\n").next().unwrap()
}

pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, b)| b)
}

pub fn start(message: &str) -> &str {
    message.lines().next().unwrap()
}

/// The URI in angle brackets.
pub fn uri(value: &str) -> &str {
    value
        .split_once('<')
        .and_then(|(_, r)| r.split_once('>'))
        .map_or(value, |(u, _)| u)
}

/// The port of the first media line.
pub fn media_port(message: &str) -> u16 {
    let line = body(message)
        .lines()
        .find(|l| l.starts_with("m="))
        .expect("an m= line");
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

pub fn sdp(address: &str, port: u16) -> String {
    sdp_with(address, port, "sendrecv")
}

pub fn sdp_with(address: &str, port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a={direction}\r\n"
    )
}

/// A request's parts.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    /// The sender's own address: Via and Contact.
    pub me: &'a str,
    pub branch: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
    pub extra: &'a str,
    pub body: &'a str,
}

impl Request<'_> {
    pub fn text(&self) -> String {
        let Self {
            method,
            uri,
            me,
            branch,
            from,
            to,
            call_id,
            cseq,
            extra,
            body,
        } = self;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let contact = if matches!(*method, "BYE" | "CANCEL") {
            String::new()
        } else {
            format!("Contact: <sip:user@{me}>\r\n")
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n{contact}{extra}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

pub const CALLER: &str = "<sip:alice@203.0.113.10>;tag=alice";
pub const CALLED: &str = "<sip:100@198.51.100.1>";

/// The carrier's INVITE.
pub fn invite(call_id: &str, body: &str) -> String {
    invite_from(CARRIER, call_id, "inv1", body)
}

pub fn invite_from(me: &str, call_id: &str, branch: &str, body: &str) -> String {
    Request {
        method: "INVITE",
        uri: "sip:100@198.51.100.1",
        me,
        branch,
        from: CALLER,
        to: CALLED,
        call_id,
        cseq: 1,
        extra: "Supported: 100rel\r\n",
        body,
    }
    .text()
}

/// A response to a request, as a user agent at `me` gives it.
pub fn answer(request: &str, me: &str, status: &str, tag: &str, extra: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            let add = name == "To" && !value.contains("tag=") && !tag.is_empty();
            let tag = if add {
                format!(";tag={tag}")
            } else {
                String::new()
            };
            out += &format!("{name}: {value}{tag}\r\n");
        }
    }
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    out + &format!(
        "Contact: <sip:media@{me}>\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request of the caller (or callee) in a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    pub call_id: String,
    /// The callee's tag.
    pub tag: String,
    /// The target that has the call.
    pub pool: String,
    /// The Contact that the caller sees, and the one that the callee sees.
    pub seen_by_caller: String,
    pub seen_by_callee: String,
}

impl Dialog {
    pub fn by_caller(
        &self,
        method: &str,
        branch: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        Request {
            method,
            uri: &self.seen_by_caller,
            me: CARRIER,
            branch,
            from: CALLER,
            to: &format!("{CALLED};tag={}", self.tag),
            call_id: &self.call_id,
            cseq,
            extra,
            body,
        }
        .text()
    }

    pub fn by_callee(
        &self,
        method: &str,
        branch: &str,
        cseq: u32,
        extra: &str,
        body: &str,
    ) -> String {
        Request {
            method,
            uri: &self.seen_by_callee,
            me: &self.pool,
            branch,
            from: &format!("{CALLED};tag={}", self.tag),
            to: CALLER,
            call_id: &self.call_id,
            cseq,
            extra,
            body,
        }
        .text()
    }
}

/// Takes the INVITE that went to the pool: which server, and the message.
pub fn at_pool(world: &mut World) -> (String, String) {
    for pool in POOL {
        if let Some(text) = world
            .sent_to(pool)
            .into_iter()
            .find(|t| t.starts_with("INVITE"))
        {
            return (pool.into(), text);
        }
    }
    panic!("no INVITE at the pool: {:#?}", world.sent);
}

/// A whole answered call from the carrier to the pool.
pub fn establish(world: &mut World, call_id: &str) -> Dialog {
    world.from(
        CARRIER,
        &invite_from(
            CARRIER,
            call_id,
            &format!("i{call_id}"),
            &sdp("203.0.113.10", 40_000),
        ),
    );
    let (pool, inside) = at_pool(world);
    let ip = pool.split(':').next().unwrap();
    world.from(
        &pool,
        &answer(&inside, &pool, "200 OK", "bob", "", &sdp(ip, 20_000)),
    );
    let ok = world.sent_to(CARRIER).pop().unwrap();
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    let dialog = Dialog {
        call_id: call_id.into(),
        tag: "bob".into(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
        pool,
    };
    world.from(
        CARRIER,
        &dialog.by_caller("ACK", &format!("a{call_id}"), 1, "", ""),
    );
    let ack = world.one_to(&dialog.pool);
    assert!(ack.starts_with("ACK sip:media@10.0.0.1"), "{ack}");
    dialog
}
