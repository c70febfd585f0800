//! What a checked configuration holds.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::database::DatabaseUrl;
use crate::freeswitch::Freeswitch;
use crate::http::HttpListen;
use crate::routing::{Rule, Site, Tenant, Trunk};

/// The whole appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[dataplane]`
    pub dataplane: Dataplane,
    /// `[[port]]`, at least one.
    #[serde(rename = "port")]
    pub ports: Vec<Port>,
    /// `[[realm]]`: at least one of each side. Its index is the realm's number in both planes.
    #[serde(rename = "realm")]
    pub realms: Vec<Realm>,
    /// `[media]`
    pub media: Media,
    /// `[sip]`
    pub sip: Sip,
    /// `[tls]`
    pub tls: Tls,
    /// `[streams]`
    pub streams: Streams,
    /// `[stateless]`
    pub stateless: Stateless,
    /// `[hiding]`
    pub hiding: Hiding,
    /// `[defence]`
    pub defence: Defence,
    /// `[police]`
    pub police: Police,
    /// `[overload]`
    pub overload: Overload,
    /// `[routing]`
    pub routing: Routing,
    /// `[[trunk]]`
    #[serde(rename = "trunk")]
    pub trunks: Vec<Trunk>,
    /// `[[tenant]]`
    #[serde(rename = "tenant")]
    pub tenants: Vec<Tenant>,
    /// `[[rule]]`, in the order in which they are asked.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
    /// `[[site]]`
    #[serde(rename = "site")]
    pub sites: Vec<Site>,
    /// `[nat]`
    pub nat: Nat,
    /// `[registrar]`
    pub registrar: Registrar,
    /// `[dispatcher]`
    pub dispatcher: Dispatcher,
    /// `[dns]`
    pub dns: Dns,
    /// `[database]`
    pub database: Database,
    /// `[admin]`
    pub admin: Admin,
    /// `[[http]]`
    pub http: Vec<HttpListen>,
    /// `[freeswitch]`
    pub freeswitch: Freeswitch,
}

/// `[node]`: who this machine is and where it keeps its things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `id`, 1 to 65,535; unique in a cluster. Marks flows and CDRs.
    pub id: u16,
    /// `state_dir`: journal and the embedded database. Default `/var/lib/tandem`.
    pub state_dir: PathBuf,
    /// `run_dir`: sockets. Default `/run/tandem`.
    pub run_dir: PathBuf,
}

impl Node {
    /// The dataplane's control socket.
    #[must_use]
    pub fn link_socket(&self) -> PathBuf {
        self.run_dir.join("dataplane.sock")
    }
}

/// `[dataplane]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dataplane {
    /// `workers`: CPU cores, one poll loop each; the position in this list is the worker's index.
    pub workers: Vec<u16>,
    /// `control_core`: CPU core of the main, exception and netlink threads. Default 0.
    pub control_core: u16,
    /// `idle`: `"poll"` (default) or `"pause"`.
    pub idle: Idle,
    /// `mbufs`: packet buffers in the pool. Default 16,383.
    pub mbufs: u32,
    /// `max_flows`: flow pairs per worker. Default 65,536.
    pub max_flows: u32,
    /// `memory_mb`: memory for DPDK without huge pages, and the sign to do without; none (the
    /// default) uses huge pages.
    pub memory_mb: Option<u32>,
    /// `eal`: further EAL arguments.
    pub eal: Vec<String>,
    /// `user`: whom the process becomes once it has started; none stays who it was.
    pub user: Option<String>,
    /// `seccomp`: what becomes of system calls that no thread of the dataplane makes. Default `"refuse"`.
    pub seccomp: Seccomp,
    /// `stuck_report`: milliseconds without progress after which a worker is reported. Default 1,000.
    pub stuck_report: Duration,
    /// `stall_restart`: seconds after which a port whose queue has stalled is stopped and started; 0 never. Without it 3
    /// seconds, but for a port whose other end is a process: never.
    pub stall_restart: Option<Duration>,
    /// `stuck_abort`: seconds without progress of a worker after which the process ends itself, to be started again;
    /// 0 never. Default 10.
    pub stuck_abort: Duration,
}

/// What becomes of a system call that is not on a thread's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// It fails with EPERM.
    Refuse,
    /// It is made, and the kernel logs it: to find what a list lacks.
    Log,
    /// It ends the process.
    Kill,
    /// There are no lists.
    Off,
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Polls without end: one whole core, the lowest latency.
    Poll,
    /// Sleeps up to 100 us after a while without packets: for the lab and small machines.
    Pause,
}

/// Which sources media is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaSource {
    /// The one that is learned: behind a NAT it is another than the SDP says.
    Learn,
    /// The address and port in the SDP alone.
    Strict,
}

/// `[[port]]`: a NIC port or a virtual device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// `name`, used by realms.
    pub name: String,
    /// `device`: a PCI address (`0000:41:00.0`) or a DPDK virtual device
    /// (`net_af_packet0,iface=veth1`).
    pub device: String,
    /// `rx_workers`: indices of the workers that poll this port, one receive queue each. Default
    /// all. A port with a single queue may be polled by one worker that hands packets to the
    /// others.
    pub rx_workers: Vec<u16>,
    /// `mtu`: default 1,500.
    pub mtu: u16,
}

/// Which side of the appliance a realm is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Carriers and callers: `"external"`.
    External,
    /// Media servers: `"internal"`.
    Internal,
}

/// `[[realm]]`: a network that the appliance has a foot in: a port, and a VLAN of it if tagged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Realm {
    /// `name`.
    pub name: String,
    /// `side`.
    pub side: Side,
    /// `port`: index into [`Config::ports`] (a name in the file).
    pub port: u16,
    /// `vlan`: 802.1Q identifier 1 to 4,094, if frames are tagged.
    pub vlan: Option<u16>,
    /// `tap`: the persistent TAP device that is this realm's exception path; the kernel's
    /// addresses, routes and neighbours of this realm are on it. 1 to 15 characters.
    pub tap: String,
    /// `sip`: the appliance's SIP addresses here; at most one IPv4 and one IPv6.
    pub sip: Vec<SocketAddr>,
    /// `media`: the appliance's media addresses here.
    pub media: Vec<IpAddr>,
    /// `media_ports`: `[first, last]`. Default 30000 to 39999; the first even, the last odd. The
    /// SIP ports are outside of it.
    pub media_ports: RangeInclusive<u16>,
    /// `media_source`: `media.source` of this realm. Default that.
    pub media_source: Option<MediaSource>,
}

/// `[media]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Media {
    /// `relay_workers`: indices of the workers that own flows. Default all.
    pub relay_workers: Vec<u16>,
    /// `dscp` of relayed media, 0 to 63. Default 46 (EF).
    pub dscp: u8,
    /// `timeout`: seconds without media before a call is ended; 0 never. Default 60.
    pub timeout: Duration,
    /// `hold_timeout`: the same for a call on hold. Default 3,600.
    pub hold_timeout: Duration,
    /// `max_duration`: the longest call, in seconds; 0 (default) no limit.
    pub max_duration: Duration,
    /// `learning`: seconds that learning stays open after new SDP. Default 3.
    pub learning: Duration,
    /// `source`: where media is taken from: `"learn"` (default) or `"strict"`.
    pub source: MediaSource,
    /// `max_packets_per_second`: of each leg of a call's audio, over a second of credit; ten times as many of other media. 0 no limit. Default 500.
    pub max_packets_per_second: u32,
    /// `max_bytes_per_second`: the same of UDP payload. 0 no limit. Default 250,000.
    pub max_bytes_per_second: u32,
    /// `port_rest`: seconds that a media port rests after its call before another one gets it, as long as there
    /// are others. Default 5.
    pub port_rest: Duration,
}

/// `[sip]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sip {
    /// `t1` in milliseconds (RFC 3261 section 17.1.1.1). Default 500.
    pub t1: Duration,
    /// `timer_c` in seconds, above 180 (RFC 3261 section 16.6). Default 185.
    pub timer_c: Duration,
    /// `max_message`: the longest message in bytes, 1,300 to 65,535. Default 65,535.
    pub max_message: usize,
    /// `max_headers`: the most header fields of a message, 16 to 256. Default 256.
    pub max_headers: usize,
    /// `max_vias`: the most Via elements of a request, 1 to 256. Default 70.
    pub max_vias: usize,
    /// `workers`: threads that share the calls, 1 to 64. None: as many as there are CPUs that the
    /// dataplane's workers leave, at least one and at most eight.
    pub workers: Option<u16>,
    /// `cores`: a CPU core for each of them; empty where the kernel decides.
    pub cores: Vec<u16>,
    /// `coalesce` in microseconds, 0 to 10,000: a SIP worker that has just looked for messages looks again after
    /// that at the earliest, so that it takes several at once. Default 1,000.
    pub coalesce: Duration,
    /// `server`: the Server header of our own answers. Default `tandem`.
    pub server: String,
    /// `[[sip.kernel]]`: SIP sockets on the kernel's own stack, for a management network.
    pub kernel: Vec<KernelListen>,
    /// `[[sip.listen]]`: listeners for TCP, TLS and WebSocket.
    pub listen: Vec<Listen>,
}

/// `[[sip.kernel]]`: a SIP address outside of the dataplane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelListen {
    /// `listen`: address and port.
    pub listen: SocketAddr,
    /// `side` that peers on it belong to.
    pub side: Side,
}

/// A transport with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamTransport {
    /// `"tcp"`
    Tcp,
    /// `"tls"`
    Tls,
    /// `"ws"`: WebSocket (RFC 7118).
    Ws,
    /// `"wss"`: WebSocket over TLS.
    Wss,
}

impl StreamTransport {
    /// As the configuration, Via and URIs name it, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// Whether a TLS listener asks for the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// `"none"`
    None,
    /// `"optional"`: one that is shown has to be good.
    Optional,
    /// `"required"`
    Required,
}

/// `[[sip.listen]]`: a listener for connections. They go through the kernel's own stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// `transport`
    pub transport: StreamTransport,
    /// `listen`: address and port. Connections of ours leave from this address too.
    pub listen: SocketAddr,
    /// `realm`: the realm that the address is in, as an index (a name in the file).
    pub realm: Option<u16>,
    /// `side`: for an address outside of the dataplane; else the realm's.
    pub side: Side,
    /// `client_certificate`. Default `"none"`.
    pub client_certificate: ClientCertificate,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// `[[tls.certificate]]`: ours. The first is shown to who names no server, and to servers that ask
    /// for one.
    #[serde(rename = "certificate")]
    pub certificates: Vec<Certificate>,
    /// `ca`: files with the authorities that sign the certificates of servers. Default Debian's.
    pub ca: Vec<PathBuf>,
    /// `client_ca`: a file with the authorities that sign the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// `verify`: whether certificates of servers are checked. Default true.
    pub verify: bool,
    /// `[[tls.trunk]]`: mutual TLS by trunk.
    #[serde(rename = "trunk")]
    pub trunks: Vec<TlsTrunk>,
}

/// `[[tls.certificate]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// `names`: the server names (SNI) that it is shown for; `*.` at the front stands for one label.
    pub names: Vec<String>,
    /// `chain`: PEM file, our certificate first.
    pub chain: PathBuf,
    /// `key`: PEM file.
    pub key: PathBuf,
}

/// `[[tls.trunk]]`: whoever connects from these networks shows a certificate of this authority with
/// one of these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsTrunk {
    /// `networks`
    pub networks: Vec<Network>,
    /// `names`: as in the certificate (subjectAltName).
    pub names: Vec<String>,
    /// `ca`: PEM file.
    pub ca: PathBuf,
}

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// 0 to 32 or 128.
    pub length: u8,
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.address, self.length))
    }
}

/// `[streams]`: limits of connections, so that nobody takes them from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Streams {
    /// `max_connections` in all. Default 20,000.
    pub max_connections: u32,
    /// `max_per_source`: from one address (an IPv6 /64). Default 1,000.
    pub max_per_source: u32,
    /// `max_half_open`: without a finished handshake or a first message, in all. Default 2,000.
    pub max_half_open: u32,
    /// `max_half_open_per_source`. Default 100.
    pub max_half_open_per_source: u32,
    /// `handshake_timeout` in seconds, TCP, TLS and WebSocket together. Default 5.
    pub handshake_timeout: Duration,
    /// `idle_timeout` in seconds: without a message or keepalive. Default 900.
    pub idle_timeout: Duration,
    /// `message_timeout` in seconds: from a message's first byte to its last. Default 10.
    pub message_timeout: Duration,
    /// `max_unsent`: bytes that wait for a peer that reads slowly. Default 262,144.
    pub max_unsent: u32,
    /// `trusted`: networks that the limits per source do not hold for. Default none.
    pub trusted: Vec<Network>,
    /// `origins`: the web origins whose pages may open a WebSocket; none (default) for any.
    pub origins: Vec<String>,
}

/// `[stateless]`: SIP that the dataplane shares among the targets of a set, without the signaling plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stateless {
    /// `realms`: indices into [`Config::realms`] (names in the file) whose requests are relayed so; all of them external. Default
    /// none.
    pub realms: Vec<u16>,
    /// `set`: the dispatcher set; none (default) for the pool.
    pub set: Option<u32>,
    /// `record_route`: whether dialogs stay on our way. Default true.
    pub record_route: bool,
}

/// `[hiding]`: what the carrier side does not see of the inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hiding {
    /// `enabled`. Default true.
    pub enabled: bool,
    /// `keys`: the file of the keys that hide Call-IDs; made when it is not there. Default
    /// `hiding.keys` in `state_dir`.
    pub keys: PathBuf,
    /// `hide_software`: whether `Server` and `User-Agent` of the inside do not pass. Default false.
    pub hide_software: bool,
    /// `strip_headers`: headers that do not pass; one that ends with `*` stands for all that begin so.
    /// Default `P-Charging-*`.
    pub strip_headers: Vec<String>,
    /// `domains`: names of the inside in lower case, each with all below it. Default none.
    pub domains: Vec<String>,
}

/// `[defence]`: who of those that are not trusted is not heard for a while. Trusted are the carriers of the
/// address table, the trunks, the internal side, and `trusted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Defence {
    /// `enabled`. Default true.
    pub enabled: bool,
    /// `requests` of one address (an IPv6 /64) in any `window`; one more blocks it. 0 for no limit.
    /// Default 30.
    pub requests: u32,
    /// `window` in seconds. Default 2.
    pub window: Duration,
    /// `failures`: refused attempts in any `failure_window`; one more blocks. 0 for no limit. Default 10.
    pub failures: u32,
    /// `failure_window` in seconds. Default 60.
    pub failure_window: Duration,
    /// `block` in seconds: for how long. Default 300.
    pub block: Duration,
    /// `trusted`: networks that nothing of this holds for. Default none.
    pub trusted: Vec<Network>,
    /// `scanners`: parts of a User-Agent that block at once, whatever their case.
    pub scanners: Vec<String>,
}

/// `[police]`: how much SIP over UDP each of the dataplane's workers lets through before anybody reads it, in datagrams a
/// second and at once. A rate of 0 is no limit. Trusted are those that `[defence]` trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Police {
    /// `trusted_rate` of each trusted address or network. Default 20,000.
    pub trusted_rate: u32,
    /// `trusted_burst`. Default 10,000.
    pub trusted_burst: u32,
    /// `registered_rate` of each address (an IPv6 /64) that users are registered at. Default 500.
    pub registered_rate: u32,
    /// `registered_burst`. Default 1,000.
    pub registered_burst: u32,
    /// `unknown_rate` of each other address. Default 50.
    pub unknown_rate: u32,
    /// `unknown_burst`. Default 100.
    pub unknown_burst: u32,
    /// `all_registered_rate` of all of them together. Default 50,000.
    pub all_registered_rate: u32,
    /// `all_registered_burst`. Default 25,000.
    pub all_registered_burst: u32,
    /// `all_unknown_rate` of all of them together. Default 5,000.
    pub all_unknown_rate: u32,
    /// `all_unknown_burst`. Default 2,500.
    pub all_unknown_burst: u32,
    /// `all_rate` of everybody: the last half of its burst is not for unknown sources, the last quarter for trusted ones
    /// alone. Default 200,000.
    pub all_rate: u32,
    /// `all_burst`. Default 50,000.
    pub all_burst: u32,
    /// `fragments_rate` of IP fragments. Default 2,000.
    pub fragments_rate: u32,
    /// `fragments_burst`. Default 500.
    pub fragments_burst: u32,
    /// `max_registered` addresses, at 66 to 132 bytes of each worker's memory. Default 100,000.
    pub max_registered: u32,
    /// `max_unknown` addresses that are remembered, at 16 to 32 bytes. Default 65,536.
    pub max_unknown: u32,
}

/// `[overload]`: when new calls are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overload {
    /// `target` in milliseconds: a new call that waited longer is refused while there is overload. 0
    /// never refuses. Default 10.
    pub target: Duration,
    /// `interval` in milliseconds: overload begins when nothing came through within the target for so
    /// long, and ends when everything did. Default 100.
    pub interval: Duration,
    /// `retry_after` in seconds: what the refused are told; they are spread between this and twice as
    /// much. Default 5.
    pub retry_after: u32,
    /// `emergency_numbers`, and URNs, whose calls are never refused for it.
    pub emergency_numbers: Vec<String>,
}

/// `[routing]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// `pool_set`: dispatcher set of the media servers that serve carriers' calls. Default 1.
    pub pool_set: u32,
    /// `trunk_set`: dispatcher set of the default trunk, for calls from pool members. Default 100.
    pub trunk_set: u32,
    /// `carrier_group`: `grp` of the address table whose members may call in. Default 1.
    pub carrier_group: u32,
    /// `registrar_set`: dispatcher set of the registrars, on the internal side; may be the pool's. REGISTERs
    /// from outside go there, and so does what registered user agents send. Default none: nobody may
    /// register.
    pub registrar_set: Option<u32>,
    /// `conference_set`: dispatcher set of the media servers that have the conferences. Default none: the pool has them.
    pub conference_set: Option<u32>,
    /// `conference_prefix`: how the user part of a conference's Request-URI begins, in whatever case. Default `conf`.
    pub conference_prefix: String,
    /// `dids`: whether carriers' calls are for the numbers in the database's `did_routing` alone. Default false.
    pub dids: bool,
    /// `trunk_routing`: whether calls out of the pool leave by the database's `trunk_routing`. Default false.
    pub trunk_routing: bool,
    /// `geoip`: a database of where addresses are, in MaxMind's format. Default none.
    pub geoip: Option<PathBuf>,
    /// `follow_redirects`: whether the contacts of a 3xx are asked in its sender's stead (RFC 3261
    /// section 16.5); else the caller gets 480. Default false: a redirection decides where calls go, and
    /// who pays.
    pub follow_redirects: bool,
}

/// When our Path goes into a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathRule {
    /// `"always"`
    Always,
    /// `"supported"`: when the user agent says that it knows what a Path is.
    Supported,
}

/// `[nat]`: registered user agents, and what lies between them and us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nat {
    /// `path`. Default `"always"`: without it nothing finds back to a user agent behind a NAT.
    pub path: PathRule,
    /// `keepalive` in seconds: between two OPTIONS to a user agent behind a NAT that is reached over UDP; 0
    /// sends none. Default 30.
    pub keepalive: Duration,
    /// `keepalive_misses`: how many of them in a row stay without an answer before no more are sent. Default 3.
    pub keepalive_misses: u32,
    /// `max_bindings`: the most flows with registered user agents that are remembered. Default 100,000.
    pub max_bindings: u32,
    /// `max_registering`: while so many requests outside of calls are under way, a REGISTER gets 503. One is under
    /// way for half a minute over UDP. Default 50,000.
    pub max_registering: u32,
}

/// `[registrar]`: our own registrar, for the users in the database's `subscriber` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registrar {
    /// `domains`, in lower case: whose users register with us, and make calls with their passwords. Default none: no registrar.
    pub domains: Vec<String>,
    /// `default_expires` in seconds: for how long where nobody says. Default 300.
    pub default_expires: u32,
    /// `min_expires` in seconds: what is shorter gets 423. Default 60.
    pub min_expires: u32,
    /// `max_expires` in seconds: what is longer is shortened. Default 3,600.
    pub max_expires: u32,
    /// `max_contacts` of a user. Default 10.
    pub max_contacts: u32,
    /// `max_users` with contacts. Default 200,000.
    pub max_users: u32,
    /// `location_table`: whether the database's `location` follows what is registered. Default true.
    pub location_table: bool,
    /// `algorithms` of digest authentication, the most liked first; each user is offered those that his row has something for.
    /// Default `["MD5"]`: user agents that know no other do not even answer a challenge that has another beside it.
    pub algorithms: Vec<&'static str>,
    /// `nonce_lifetime` in seconds. Default 300.
    pub nonce_lifetime: Duration,
    /// `without_qop`: whether responses as of RFC 2069 are taken, with MD5. Default false: they can be repeated by whoever sees them.
    pub without_qop: bool,
}

/// `[dispatcher]`: sharing, probing and failover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dispatcher {
    /// `algorithm` and `expression`: how sets share their calls that are not described below. Default `call-id`.
    #[serde(flatten)]
    pub algorithm: Algorithm,
    /// `[[dispatcher.set]]`
    #[serde(rename = "set")]
    pub sets: Vec<DispatcherSet>,
    /// `probe_interval` in seconds; 0 does not probe. Default 10.
    pub probe_interval: Duration,
    /// `probe_timeout` in seconds. Default 4; less than the interval.
    pub probe_timeout: Duration,
    /// `probe_failures` in a row that make a target inactive. Default 3.
    pub probe_failures: u32,
    /// `probe_successes` in a row that make it active again. Default 3.
    pub probe_successes: u32,
    /// `first_response` in milliseconds: silence after which the next target is tried.
    /// Default 2,000.
    pub first_response: Duration,
}

/// How a set shares its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Algorithm {
    /// `algorithm`: its name; the file may have Kamailio's number instead.
    #[serde(rename = "algorithm")]
    pub name: &'static str,
    /// `expression`: what is hashed, with the algorithm of that name; else empty.
    pub expression: String,
}

/// `[[dispatcher.set]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DispatcherSet {
    /// `set`: its number.
    pub set: u32,
    /// `algorithm` and `expression`. Default `call-id`.
    #[serde(flatten)]
    pub algorithm: Algorithm,
    /// `fallback`: the set whose turn it is when none of its targets takes calls. Default none.
    pub fallback: Option<u32>,
}

/// `[dns]`: how names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// `servers`: addresses, with a port where it is not 53. Default none: those of
    /// `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// `timeout` in milliseconds: how long a question waits for its answer, repetitions
    /// included. Default 2,000.
    pub timeout: Duration,
    /// `stale` in seconds: how long an answer serves beyond its time while DNS fails (RFC 8767).
    /// Default 86,400.
    pub stale: Duration,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Database {
    /// `url`: `sqlite:PATH` or `mysql://USER@HOST,HOST/DATABASE`. Default
    /// `sqlite:<state_dir>/tandem.db`.
    pub url: DatabaseUrl,
    /// `password_file`: its first line is the password; MariaDB only.
    pub password_file: Option<PathBuf>,
    /// `tls`: whether the connection to MariaDB is encrypted and the server's certificate verified.
    /// Default false.
    pub tls: bool,
    /// `ca`: a file of authorities for `tls`, in PEM; none are the system's.
    pub ca: Option<PathBuf>,
    /// `timeout` in milliseconds: how long a transaction in MariaDB may take. Default 5,000.
    pub timeout: Duration,
    /// `acc`: whether calls are accounted in Kamailio's `acc` table, too. Default false.
    pub acc: bool,
    /// `dialog`: whether Kamailio's `dialog` table has the calls that are answered, while they last. Default false.
    pub dialog: bool,
    /// `reload_interval` in seconds: how often the dispatcher and address tables are read again; 0
    /// only on command. Default 30.
    pub reload_interval: Duration,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// `socket`: the management API's unix socket. Default `<run_dir>/admin.sock`.
    pub socket: PathBuf,
    /// `tokens`: the file of the tokens for the management API over HTTPS. Default `<state_dir>/tokens`.
    pub tokens: PathBuf,
}
