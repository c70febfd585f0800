//! The file's sections, one function each. Keys, defaults and ranges are documented in
//! [`crate::Config`].

mod database;
mod defence;
mod dispatcher;
mod dns;
pub(crate) mod freeswitch;
mod hiding;
pub(crate) mod http;
mod registrar;
mod routing;
mod stateless;
mod streams;

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::check;
use crate::freeswitch::Freeswitch;
use crate::http::HttpListen;
use crate::mistake::{Mistake, Report};
use crate::model::{
    Admin, Config, Database, Dataplane, Defence, Dispatcher, Dns, Hiding, Idle, KernelListen,
    Listen, Media, MediaSource, Nat, Node, Overload, PathRule, Police, Port, Realm, Registrar,
    Routing, Seccomp, Side, Sip, Stateless, Streams, Tls,
};
use crate::routing::{Rule, Site, Tenant, Trunk};
use crate::section::{Section, integer, string, wrong_type};
use crate::value;

const DAY: u32 = 86_400;
const YEAR: u32 = 365 * DAY;
/// What stands for a port's index while the name is wrong, so that nothing is said twice.
pub(crate) const NO_PORT: u16 = u16::MAX;

/// Reads a configuration.
///
/// # Errors
/// Every mistake in it, in the order of the lines. Text that is not TOML shows its syntax errors
/// alone: what the rest means is known only when they are gone.
pub fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    let mut report = Report::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let draft = Draft::read(document.get_ref(), &mut report);
        check::draft(&draft, &mut report);
        if report.is_empty() {
            return Ok(draft.into_config());
        }
    }
    let mut line = 0;
    for error in errors {
        let offset = error.span().map_or(0, |s| s.start);
        // What follows on the same line is mostly the parser finding its feet again.
        if std::mem::replace(&mut line, report.line(offset)) == report.line(offset) {
            continue;
        }
        let problem = format!("this is not TOML: {}", error.message().replace('\n', ", "));
        report.add(offset, "", problem, "correct this line, then check again");
    }
    Err(report.into_sorted())
}

/// A part of the configuration together with the section that it was read from, for the checks
/// that point back into the file.
pub(crate) struct Read<'d, T> {
    pub(crate) value: T,
    pub(crate) section: Section<'d>,
}

/// Everything that was read. Where a value was wrong its default stands.
pub(crate) struct Draft<'d> {
    pub(crate) node: Read<'d, Node>,
    pub(crate) dataplane: Read<'d, Dataplane>,
    pub(crate) ports: Vec<Read<'d, Port>>,
    pub(crate) realms: Vec<Read<'d, Realm>>,
    pub(crate) media: Read<'d, Media>,
    pub(crate) sip: Read<'d, Sip>,
    pub(crate) kernel: Vec<Read<'d, KernelListen>>,
    pub(crate) listen: Vec<Read<'d, Listen>>,
    pub(crate) tls: Read<'d, Tls>,
    pub(crate) streams: Read<'d, Streams>,
    pub(crate) stateless: Stateless,
    pub(crate) hiding: Hiding,
    pub(crate) defence: Read<'d, Defence>,
    pub(crate) police: Read<'d, Police>,
    pub(crate) overload: Read<'d, Overload>,
    pub(crate) routing: Read<'d, Routing>,
    pub(crate) trunks: Vec<Read<'d, Trunk>>,
    pub(crate) tenants: Vec<Read<'d, Tenant>>,
    pub(crate) rules: Vec<Read<'d, Rule>>,
    pub(crate) sites: Vec<Read<'d, Site>>,
    pub(crate) nat: Nat,
    pub(crate) registrar: Registrar,
    pub(crate) dispatcher: Read<'d, Dispatcher>,
    pub(crate) dns: Read<'d, Dns>,
    pub(crate) database: Read<'d, Database>,
    pub(crate) admin: Read<'d, Admin>,
    pub(crate) http: Vec<Read<'d, HttpListen>>,
    pub(crate) freeswitch: Read<'d, Freeswitch>,
}

impl<'d> Draft<'d> {
    fn read(document: &'d DeTable<'d>, report: &mut Report<'_>) -> Self {
        let mut root = Section::new("", Some(document), 0);
        let section = table(report, &mut root, "node", "node");
        let node = node(report, section);
        let section = table(report, &mut root, "dataplane", "dataplane");
        let dataplane = dataplane(report, section);
        let workers = u16::try_from(dataplane.value.workers.len()).unwrap_or(u16::MAX);
        let all_workers: Vec<u16> = (0..workers).collect();

        let sections = tables(report, &mut root, "port", "port");
        let ports: Vec<_> = sections
            .into_iter()
            .map(|s| port(report, s, &all_workers))
            .collect();
        let names: Vec<String> = ports.iter().map(|p| p.value.name.clone()).collect();
        let sections = tables(report, &mut root, "realm", "realm");
        let realms: Vec<_> = sections
            .into_iter()
            .map(|s| realm(report, s, &names))
            .collect();

        let section = table(report, &mut root, "media", "media");
        let media = media(report, section, &all_workers);
        let section = table(report, &mut root, "sip", "sip");
        let sides: Vec<(String, Side)> = realms
            .iter()
            .map(|r| (r.value.name.clone(), r.value.side))
            .collect();
        let (sip, kernel, listen) = sip(report, section, &sides);
        let tls = streams::tls(report, &mut root);
        let streams = streams::limits(report, &mut root);
        let stateless = stateless::stateless(report, &mut root, &sides);
        let hiding = hiding::hiding(report, &mut root, &node);
        let defence = defence::defence(report, &mut root);
        let police = defence::police(report, &mut root);
        let overload = defence::overload(report, &mut root);
        let section = table(report, &mut root, "routing", "routing");
        let routing = routing::routing(report, section);
        let trunks = routing::trunks(report, &mut root);
        let tenants = routing::tenants(report, &mut root);
        let rules = routing::rules(report, &mut root);
        let sites = routing::sites(report, &mut root);
        let section = table(report, &mut root, "nat", "nat");
        let nat = nat(report, section);
        let section = table(report, &mut root, "registrar", "registrar");
        let registrar = registrar::registrar(report, section);
        let section = table(report, &mut root, "dispatcher", "dispatcher");
        let dispatcher = dispatcher::dispatcher(report, section);
        let section = table(report, &mut root, "dns", "dns");
        let dns = dns::dns(report, section);
        let section = table(report, &mut root, "database", "database");
        let database = database::database(report, section, &node);
        let section = table(report, &mut root, "admin", "admin");
        let admin = admin(report, section, &node);
        let http = http::listeners(report, &mut root);
        let section = table(report, &mut root, "freeswitch", "freeswitch");
        let freeswitch = freeswitch::freeswitch(report, section);
        root.finish(report);
        Self {
            node,
            dataplane,
            ports,
            realms,
            media,
            sip,
            kernel,
            listen,
            tls,
            streams,
            stateless,
            hiding,
            defence,
            police,
            overload,
            routing,
            trunks,
            tenants,
            rules,
            sites,
            nat,
            registrar,
            dispatcher,
            dns,
            database,
            admin,
            http,
            freeswitch,
        }
    }

    fn into_config(self) -> Config {
        Config {
            node: self.node.value,
            dataplane: self.dataplane.value,
            ports: self.ports.into_iter().map(|p| p.value).collect(),
            realms: self.realms.into_iter().map(|r| r.value).collect(),
            media: self.media.value,
            sip: Sip {
                kernel: self.kernel.into_iter().map(|k| k.value).collect(),
                listen: self.listen.into_iter().map(|l| l.value).collect(),
                ..self.sip.value
            },
            tls: self.tls.value,
            streams: self.streams.value,
            stateless: self.stateless,
            hiding: self.hiding,
            defence: self.defence.value,
            police: self.police.value,
            overload: self.overload.value,
            routing: self.routing.value,
            trunks: self.trunks.into_iter().map(|t| t.value).collect(),
            tenants: self.tenants.into_iter().map(|t| t.value).collect(),
            rules: self.rules.into_iter().map(|r| r.value).collect(),
            sites: self.sites.into_iter().map(|s| s.value).collect(),
            nat: self.nat,
            registrar: self.registrar,
            dispatcher: self.dispatcher.value,
            dns: self.dns.value,
            database: self.database.value,
            admin: self.admin.value,
            http: self.http.into_iter().map(|h| h.value).collect(),
            freeswitch: self.freeswitch.value,
        }
    }
}

/// A `[section]`; an absent one is empty.
fn table<'d>(
    report: &mut Report<'_>,
    parent: &mut Section<'d>,
    key: &'static str,
    name: &'static str,
) -> Section<'d> {
    match parent.value(key) {
        None => Section::new(name, None, 0),
        Some(value) => {
            let table = value.get_ref().as_table();
            if table.is_none() {
                let remedy = format!("write `[{name}]`, and its keys in the lines below");
                wrong_type(report, value, name, "a section", &remedy);
            }
            Section::new(name, table, value.span().start)
        }
    }
}

/// Every `[[section]]` of a name.
fn tables<'d>(
    report: &mut Report<'_>,
    parent: &mut Section<'d>,
    key: &'static str,
    name: &'static str,
) -> Vec<Section<'d>> {
    let Some(value) = parent.value(key) else {
        return Vec::new();
    };
    let remedy = format!("write `[[{name}]]` once for each, in double square brackets");
    let Some(array) = value.get_ref().as_array() else {
        wrong_type(report, value, name, "a list of sections", &remedy);
        return Vec::new();
    };
    let mut sections = Vec::new();
    for entry in array.iter() {
        match entry.get_ref() {
            DeValue::Table(table) => {
                sections.push(Section::new(name, Some(table), entry.span().start));
            }
            _ => wrong_type(report, entry, name, "a section", &remedy),
        }
    }
    sections
}

fn node<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Node> {
    s.required(report, "id", "id = 1");
    let id = s.integer(report, "id", 1..=u16::MAX, 1);
    let state_dir = s.path(report, "state_dir", "/var/lib/tandem");
    let run_dir = s.path(report, "run_dir", "/run/tandem");
    Read {
        value: Node {
            id,
            state_dir,
            run_dir,
        },
        section: s.finish(report),
    }
}

fn dataplane<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Dataplane> {
    s.required(report, "workers", "workers = [1]");
    let core = |report: &mut Report<'_>, v: &_, key: &str| integer(report, v, key, 0..=1023u16);
    let workers = s.some_list(report, "workers", core).unwrap_or_default();
    let control_core = s.integer(report, "control_core", 0..=1023, 0);
    let idle = match s
        .value("idle")
        .and_then(|v| string(report, v, "dataplane.idle"))
    {
        None | Some("poll") => Idle::Poll,
        Some("pause") => Idle::Pause,
        Some(other) => {
            let problem = format!("`{other}` is not a way to wait");
            s.mistake(report, "idle", problem, "write \"poll\" or \"pause\"");
            Idle::Poll
        }
    };
    let mbufs = s.integer(report, "mbufs", 1_023..=16_777_215, 16_383);
    let max_flows = s.integer(report, "max_flows", 1..=4_194_304, 65_536);
    let memory_mb = s
        .value("memory_mb")
        .and_then(|v| integer(report, v, "dataplane.memory_mb", 64..=1_048_576));
    let word =
        |report: &mut Report<'_>, v: &'d _, key: &str| string(report, v, key).map(str::to_owned);
    let eal = s.list(report, "eal", word).unwrap_or_default();
    let user = s
        .value("user")
        .and_then(|v| string(report, v, "dataplane.user"))
        .map(str::to_owned);
    let seccomp = match s
        .value("seccomp")
        .and_then(|v| string(report, v, "dataplane.seccomp"))
    {
        None | Some("refuse") => Seccomp::Refuse,
        Some("log") => Seccomp::Log,
        Some("kill") => Seccomp::Kill,
        Some("off") => Seccomp::Off,
        Some(other) => {
            let problem = format!("`{other}` is not a way to treat a system call");
            s.mistake(
                report,
                "seccomp",
                problem,
                "write \"refuse\", \"log\", \"kill\" or \"off\"",
            );
            Seccomp::Refuse
        }
    };
    let stuck_report = s.integer(report, "stuck_report", 200..=60_000, 1_000);
    let stuck_abort = seconds(report, &mut s, "stuck_abort", 0..=600, 10);
    let stall_restart = s
        .value("stall_restart")
        .and_then(|v| integer(report, v, "dataplane.stall_restart", 0..=3_600u32))
        .map(|seconds| Duration::from_secs(seconds.into()));
    let value = Dataplane {
        workers,
        control_core,
        idle,
        mbufs,
        max_flows,
        memory_mb,
        eal,
        user,
        seccomp,
        stuck_report: Duration::from_millis(stuck_report),
        stuck_abort,
        stall_restart,
    };
    Read {
        value,
        section: s.finish(report),
    }
}

fn port<'d>(report: &mut Report<'_>, mut s: Section<'d>, all_workers: &[u16]) -> Read<'d, Port> {
    let name = s.required(report, "name", "name = \"carrier\"");
    let name = name
        .and_then(|v| value::name(report, v, "port.name"))
        .unwrap_or_default();
    let device = s.required(report, "device", "device = \"0000:41:00.0\"");
    let device = device
        .and_then(|v| value::device(report, v, "port.device"))
        .unwrap_or_default();
    let rx_workers = worker_list(report, &mut s, "rx_workers", all_workers);
    let mtu = s.integer(report, "mtu", 1_280..=9_600, 1_500);
    Read {
        value: Port {
            name,
            device,
            rx_workers,
            mtu,
        },
        section: s.finish(report),
    }
}

fn realm<'d>(report: &mut Report<'_>, mut s: Section<'d>, ports: &[String]) -> Read<'d, Realm> {
    let name = s.required(report, "name", "name = \"carrier\"");
    let name = name
        .and_then(|v| value::name(report, v, "realm.name"))
        .unwrap_or_default();
    let side = s.required(report, "side", "side = \"external\"");
    let side = side
        .and_then(|v| value::side(report, v, "realm.side"))
        .unwrap_or(Side::External);
    let port = s.required(report, "port", "port = \"carrier\"");
    let port = port
        .and_then(|v| string(report, v, "realm.port"))
        .map_or(NO_PORT, |wanted| {
            let index = ports
                .iter()
                .position(|p| p == wanted)
                .and_then(|i| u16::try_from(i).ok());
            if index.is_none() {
                let known: Vec<&str> = ports
                    .iter()
                    .map(String::as_str)
                    .filter(|p| !p.is_empty())
                    .collect();
                let remedy = match known.as_slice() {
                    [] => "add a `[[port]]` with this name".to_owned(),
                    known => format!("write one of {}, or add a `[[port]]`", known.join(", ")),
                };
                s.mistake(
                    report,
                    "port",
                    format!("no port is named `{wanted}`"),
                    remedy,
                );
            }
            index.unwrap_or(NO_PORT)
        });
    let vlan = s
        .value("vlan")
        .and_then(|v| integer(report, v, "realm.vlan", 1..=4_094u16));
    let tap = s.required(report, "tap", "tap = \"tap0\"");
    let tap = tap
        .and_then(|v| value::interface(report, v, "realm.tap"))
        .unwrap_or_default();
    let sip = s
        .some_list(report, "sip", value::socket)
        .unwrap_or_default();
    let media = s
        .some_list(report, "media", value::address)
        .unwrap_or_default();
    let media_ports = media_ports(report, &mut s);
    let media_source = media_source(report, &mut s, "media_source", "realm.media_source");
    let value = Realm {
        name,
        side,
        port,
        vlan,
        tap,
        sip,
        media,
        media_ports,
        media_source,
    };
    Read {
        value,
        section: s.finish(report),
    }
}

fn media_ports(report: &mut Report<'_>, s: &mut Section<'_>) -> RangeInclusive<u16> {
    let default = 30_000..=39_999;
    let port = |report: &mut Report<'_>, v: &_, key: &str| integer(report, v, key, 1_024..=65_535);
    let before = report.len();
    let Some(ports) = s.list(report, "media_ports", port) else {
        return default;
    };
    if report.len() > before {
        return default;
    }
    let (problem, remedy) = match ports.as_slice() {
        [first, last] if first % 2 == 0 && last % 2 == 1 && first < last => return *first..=*last,
        [first, last] if first > last => ("the first is above the last", "swap them".to_owned()),
        [first, last] => (
            "the first must be even (RTP) and the last odd (its RTCP)",
            format!("write [{}, {}]", first & !1, last | 1),
        ),
        _ => (
            "needs two numbers",
            "write [first, last], such as [30000, 39999]".to_owned(),
        ),
    };
    s.mistake(report, "media_ports", problem, remedy);
    default
}

fn media_source(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    name: &'static str,
) -> Option<MediaSource> {
    let value = s.value(key).and_then(|v| string(report, v, name))?;
    match value {
        "learn" => Some(MediaSource::Learn),
        "strict" => Some(MediaSource::Strict),
        other => {
            let problem = format!("`{other}` is not a source of media");
            s.mistake(report, key, problem, "write \"learn\" or \"strict\"");
            None
        }
    }
}

fn media<'d>(report: &mut Report<'_>, mut s: Section<'d>, all_workers: &[u16]) -> Read<'d, Media> {
    let relay_workers = worker_list(report, &mut s, "relay_workers", all_workers);
    let dscp = s.integer(report, "dscp", 0..=63, 46);
    let timeout = seconds(report, &mut s, "timeout", 0..=DAY, 60);
    let hold_timeout = seconds(report, &mut s, "hold_timeout", 0..=YEAR, 3_600);
    let max_duration = seconds(report, &mut s, "max_duration", 0..=YEAR, 0);
    let learning = seconds(report, &mut s, "learning", 1..=60, 3);
    let source = media_source(report, &mut s, "source", "media.source");
    let packets = s.integer(report, "max_packets_per_second", 0..=1_000_000, 500);
    let bytes = s.integer(report, "max_bytes_per_second", 0..=100_000_000, 250_000);
    let port_rest = seconds(report, &mut s, "port_rest", 0..=3_600, 5);
    let value = Media {
        relay_workers,
        dscp,
        timeout,
        hold_timeout,
        max_duration,
        learning,
        source: source.unwrap_or(MediaSource::Learn),
        max_packets_per_second: packets,
        max_bytes_per_second: bytes,
        port_rest,
    };
    Read {
        value,
        section: s.finish(report),
    }
}

fn sip<'d>(
    report: &mut Report<'_>,
    mut s: Section<'d>,
    realms: &[(String, Side)],
) -> (
    Read<'d, Sip>,
    Vec<Read<'d, KernelListen>>,
    Vec<Read<'d, Listen>>,
) {
    let t1 = millis(report, &mut s, "t1", 50..=10_000, 500);
    let timer_c = seconds(report, &mut s, "timer_c", 181..=3_600, 185);
    let max_message = s.integer(report, "max_message", 1_300..=65_535_usize, 65_535);
    let max_headers = s.integer(report, "max_headers", 16..=256_usize, 256);
    let max_vias = s.integer(report, "max_vias", 1..=256_usize, 70);
    let workers = s
        .value("workers")
        .and_then(|v| integer(report, v, "sip.workers", 1..=64));
    let core = |report: &mut Report<'_>, v: &_, key: &str| integer(report, v, key, 0..=1023u16);
    let cores = s.list(report, "cores", core).unwrap_or_default();
    let coalesce = s.integer(report, "coalesce", 0..=10_000_u64, 1_000);
    let server = s.string(report, "server", "tandem");
    // It stands in a header line.
    if server.len() > 64 || !server.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        let remedy = "write at most 64 printable ASCII characters";
        s.mistake(report, "server", "cannot stand in a Server header", remedy);
    }
    let kernel = tables(report, &mut s, "kernel", "sip.kernel")
        .into_iter()
        .map(|s| kernel_listen(report, s))
        .collect();
    let listen = tables(report, &mut s, "listen", "sip.listen")
        .into_iter()
        .map(|s| streams::listen(report, s, realms))
        .collect();
    let value = Sip {
        t1,
        timer_c,
        max_message,
        max_headers,
        max_vias,
        workers,
        cores,
        coalesce: Duration::from_micros(coalesce),
        server,
        kernel: Vec::new(),
        listen: Vec::new(),
    };
    (
        Read {
            value,
            section: s.finish(report),
        },
        kernel,
        listen,
    )
}

fn kernel_listen<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, KernelListen> {
    let listen = s.required(report, "listen", "listen = \"192.0.2.1:5060\"");
    let listen = listen
        .and_then(|v| value::socket(report, v, "sip.kernel.listen"))
        .unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
    let side = s.required(report, "side", "side = \"internal\"");
    let side = side
        .and_then(|v| value::side(report, v, "sip.kernel.side"))
        .unwrap_or(Side::External);
    Read {
        value: KernelListen { listen, side },
        section: s.finish(report),
    }
}

fn nat(report: &mut Report<'_>, mut s: Section<'_>) -> Nat {
    let path = match s.value("path") {
        None => PathRule::Always,
        Some(v) => match string(report, v, "nat.path") {
            Some("always") | None => PathRule::Always,
            Some("supported") => PathRule::Supported,
            Some(other) => {
                report.add(
                    v.span().start,
                    "nat.path",
                    format!("`{other}` does not say when a Path is needed"),
                    "write \"always\", or \"supported\" for user agents that say so",
                );
                PathRule::Always
            }
        },
    };
    let nat = Nat {
        path,
        keepalive: seconds(report, &mut s, "keepalive", 0..=3_600, 30),
        keepalive_misses: s.integer(report, "keepalive_misses", 1..=1_000, 3),
        max_bindings: s.integer(report, "max_bindings", 0..=10_000_000, 100_000),
        max_registering: s.integer(report, "max_registering", 1..=10_000_000, 50_000),
    };
    s.finish(report);
    nat
}

fn admin<'d>(
    report: &mut Report<'_>,
    mut s: Section<'d>,
    node: &Read<'_, Node>,
) -> Read<'d, Admin> {
    let socket = s.path(report, "socket", node.value.run_dir.join("admin.sock"));
    let tokens = s.path(report, "tokens", node.value.state_dir.join("tokens"));
    Read {
        value: Admin { socket, tokens },
        section: s.finish(report),
    }
}

/// Indices into `dataplane.workers`; absent means all.
fn worker_list(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    all: &[u16],
) -> Vec<u16> {
    let index = |report: &mut Report<'_>, v: &_, key: &str| integer(report, v, key, 0..=1023u16);
    s.some_list(report, key, index)
        .unwrap_or_else(|| all.to_vec())
}

fn seconds(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
) -> Duration {
    Duration::from_secs(s.integer(report, key, range, default).into())
}

fn millis(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
) -> Duration {
    Duration::from_millis(s.integer(report, key, range, default).into())
}
