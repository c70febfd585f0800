//! What the methods take and return.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The methods' names.
pub mod method {
    /// Returns [`super::Info`].
    pub const INFO: &str = "core.info";
    /// Returns [`super::Uptime`].
    pub const UPTIME: &str = "core.uptime";
    /// Returns a text.
    pub const VERSION: &str = "core.version";
    /// Returns a list of names.
    pub const LIST_METHODS: &str = "system.listMethods";
    /// Takes [`super::MethodName`], returns a text.
    pub const METHOD_HELP: &str = "system.methodHelp";
    /// Takes [`super::CallKey`], returns [`super::Ended`].
    pub const DLG_END: &str = "dlg.end_dlg";
    /// Takes [`super::CallNames`], returns [`super::Ended`].
    pub const DLG_TERMINATE: &str = "dlg.terminate_dlg";
    /// Returns [`super::CallCounts`].
    pub const DLG_STATS_ACTIVE: &str = "dlg.stats_active";
    /// Takes [`super::Page`], returns [`super::Registrations`].
    pub const UL_DUMP: &str = "ul.dump";
    /// Takes [`super::AorParams`], returns [`super::Registration`].
    pub const UL_LOOKUP: &str = "ul.lookup";
    /// Takes [`super::AorParams`], returns [`super::Registration`] as it was.
    pub const UL_RM: &str = "ul.rm";
    /// Takes names, returns an object with texts.
    pub const STATS_FETCH: &str = "stats.fetch";
    /// Takes names, returns an object with numbers.
    pub const STATS_FETCHN: &str = "stats.fetchn";
    /// Takes [`super::TableName`], returns a list of [`super::TableRow`].
    pub const HTABLE_DUMP: &str = "htable.dump";
    /// Returns a list of [`super::Table`].
    pub const HTABLE_LIST: &str = "htable.listTables";
    /// Returns null.
    pub const TLS_RELOAD: &str = "tls.reload";
    /// Returns a list of [`super::Address`].
    pub const PERMISSIONS_DUMP: &str = "permissions.addressDump";
    /// The same as [`DISPATCHER_RELOAD`]: the tables are read together.
    pub const PERMISSIONS_RELOAD: &str = "permissions.addressReload";
    /// Returns [`super::Status`].
    pub const STATUS: &str = "core.status";
    /// Returns a list of [`super::Target`].
    pub const DISPATCHER_LIST: &str = "dispatcher.list";
    /// Reads the dispatcher and address tables again; returns [`super::Reloaded`].
    pub const DISPATCHER_RELOAD: &str = "dispatcher.reload";
    /// Takes [`super::SetStateParams`], returns the [`super::Target`] as it is then.
    pub const DISPATCHER_SET_STATE: &str = "dispatcher.set_state";
    /// Takes [`super::Page`], returns a list of [`super::Call`], by their keys.
    pub const DLG_LIST: &str = "dlg.list";
    /// Takes [`super::RouteTest`], returns [`super::RouteTested`].
    pub const ROUTES_TEST: &str = "tandem.routes.test";
    /// Each of the dataplane's workers relays a packet of its own that leaves no port; returns null.
    pub const RELAY_TEST: &str = "tandem.relay.test";
    /// Returns a list of [`super::Flow`].
    pub const FLOWS: &str = "tandem.flows";
    /// Returns a list of [`super::Counter`].
    pub const STATISTICS: &str = "stats.get_statistics";
    /// Returns a list of [`super::Blocked`].
    pub const BLOCKED: &str = "tandem.blocked.list";
    /// Takes [`super::BlockParams`], returns the [`super::Blocked`] that it makes.
    pub const BLOCK: &str = "tandem.blocked.add";
    /// Takes [`super::BlockParams`], returns whether it was blocked.
    pub const UNBLOCK: &str = "tandem.blocked.remove";
    /// Returns a list of [`super::Alarm`].
    pub const ALARMS: &str = "tandem.alarms.list";
    /// Returns a list of [`super::Port`].
    pub const PORTS: &str = "tandem.ports.list";
    /// Takes [`super::PoliceParams`], returns [`super::Police`].
    pub const POLICE: &str = "tandem.police.show";
    /// Takes [`super::CaptureParams`], returns [`super::CaptureStarted`], then notifies.
    pub const CAPTURE: &str = "tandem.capture";
    /// Notification with a [`super::CapturedPacket`].
    pub const CAPTURE_PACKET: &str = "tandem.capture.packet";
    /// Notification with a [`super::CaptureEnd`]; the last one.
    pub const CAPTURE_END: &str = "tandem.capture.end";
}

/// `core.info`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// `tandem`.
    pub name: String,
    /// The software's version.
    pub version: String,
    /// The node's id.
    pub node: u16,
    /// The process.
    pub pid: u32,
    /// When it started, Unix seconds.
    pub up_since: u64,
    /// Its SIP workers.
    pub sip_workers: usize,
    /// Where its state is.
    pub state_dir: String,
}

/// `core.uptime`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// Unix seconds.
    pub now: u64,
    /// Unix seconds.
    pub up_since: u64,
    /// Seconds between them.
    pub uptime: u64,
}

/// `system.methodHelp`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodName {
    /// A method's name.
    pub method: String,
}

/// Which part of a long list is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// Goes on behind this place: the last `key` of the page before, or its `next`.
    pub after: u64,
    /// So many at most; absent: 1,000. Never more than 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `dlg.end_dlg`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallKey {
    /// The call's number on this node.
    pub key: u64,
}

/// `dlg.terminate_dlg`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallNames {
    /// Its Call-ID, on either side.
    pub call_id: String,
    /// The tag in From, if it has to be that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_tag: Option<String>,
    /// The tag in To, if it has to be that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_tag: Option<String>,
}

/// How many calls an order has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// At least one: none is an error.
    pub ended: u64,
}

/// `dlg.stats_active`, with Kamailio's names: it tells fewer states apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Not answered yet.
    pub starting: u64,
    /// Answered.
    pub ongoing: u64,
    /// Ended; the last figures are awaited.
    pub ending: u64,
    /// All of them.
    pub all: u64,
}

/// `ul.lookup` and `ul.rm`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AorParams {
    /// `location`, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// `user@domain`.
    pub aor: String,
}

/// `ul.dump`: a page of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// The users.
    pub registrations: Vec<Registration>,
    /// `after` of the next page; none behind the last. What registers while pages are asked for may be on none of them.
    pub next: Option<u64>,
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// `user@domain`.
    pub aor: String,
    /// The contacts, the latest last.
    pub contacts: Vec<Contact>,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its URI.
    pub contact: String,
    /// For how many seconds it counts yet.
    pub expires_s: u64,
    /// Its preference, in thousandths.
    pub q: u16,
    /// Where its REGISTER came from, as a URI.
    pub received: String,
    /// The Path of its REGISTER.
    pub path: String,
    /// The Call-ID of its REGISTER.
    pub call_id: String,
    /// And its CSeq.
    pub cseq: u32,
    /// User-Agent.
    pub user_agent: String,
    /// The socket of ours that it came to.
    pub socket: String,
    /// `+sip.instance`; empty for none.
    pub instance: String,
    /// `reg-id`; 0 for none.
    pub reg_id: u32,
}

/// `htable.dump`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// One of those of `htable.listTables`.
    pub table: String,
}

/// `htable.listTables`: a table in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub about: String,
}

/// `htable.dump`: a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Its key.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// `tandem.routes.test`: a request that nobody has sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTest {
    /// `carrier`, `user` or `pool`.
    pub sender: String,
    /// Its address.
    pub source: IpAddr,
    /// Its Request-URI.
    pub uri: String,
    /// The URI in From; a carrier's or media server's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its method; INVITE when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// `tandem.routes.test`: what would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTested {
    /// Its tenant; empty for none.
    pub tenant: String,
    /// The trunk that it comes from; empty for none.
    pub trunk: String,
    /// The country of its sender, if that is known.
    pub country: Option<String>,
    /// The rules that it goes by.
    pub rules: Vec<String>,
    /// Headers that are added.
    pub headers: Vec<String>,
    /// The user part that is asked for instead.
    pub user: Option<String>,
    /// The answer, when it goes nowhere: `404 No Route`.
    pub refused: Option<String>,
    /// Where it goes: the next when the one before does not take it.
    pub ways: Vec<Way>,
}

/// `tandem.routes.test`: one of several ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The trunk; empty for a set of no trunk's.
    pub trunk: String,
    /// The dispatcher set.
    pub set: u32,
    /// Its targets that take calls, or its fallback's.
    pub targets: u64,
    /// Calls that go out by the trunk now.
    pub calls: Option<u64>,
    /// As many as may, if there is a limit.
    pub most: Option<u32>,
}

/// `permissions.addressDump`: a row of the address table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The row's id.
    pub id: i64,
    /// Its group.
    pub group: u32,
    /// The network's address.
    pub address: String,
    /// The length of its prefix.
    pub mask: u8,
    /// The port; 0 for any.
    pub port: u16,
    /// The tag.
    pub tag: String,
}

/// `core.status`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The software's version.
    pub version: String,
    /// The node's id.
    pub node: u16,
    /// Seconds since the signaling plane started.
    pub uptime_s: u64,
    /// Whether a dataplane session exists.
    pub dataplane_up: bool,
    /// The dataplane process's own number; none while it is down.
    pub dataplane_boot: Option<u64>,
    /// The session's epoch; none while it is down.
    pub epoch: Option<u32>,
    /// The dataplane's workers.
    pub workers: u16,
    /// The signaling plane's, which share the calls.
    #[serde(default)]
    pub sip_workers: Vec<SipWorker>,
    /// Calls now, in any state.
    pub calls: u64,
    /// Of these, answered.
    pub confirmed_calls: u64,
    /// Flow pairs that the calls want.
    pub flows: u64,
    /// Targets that take calls, and all targets.
    pub targets_active: u64,
    /// All targets.
    pub targets: u64,
    /// Whether the last access to the database succeeded.
    pub database_up: bool,
    /// CDRs in the journal that the database does not have yet.
    pub cdrs_pending: u64,
    /// The journal's last sequence number.
    pub journal_sequence: u64,
}

/// What a SIP worker has done since the signaling plane started, and has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipWorker {
    /// Calls now, in any state.
    pub calls: u64,
    /// SIP messages that it took.
    pub messages: u64,
    /// Of these, read by another worker and passed on.
    pub passed_on: u64,
}

/// `dispatcher.list`: a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The row's id.
    pub id: i64,
    /// The set.
    pub set: u32,
    /// Its SIP URI.
    pub uri: String,
    /// The addresses and ports where that is now; empty for a name that DNS does not know.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// `active`, `inactive`, `disabled`, `draining` or `probing`.
    pub state: String,
    /// How its set shares its calls.
    pub algorithm: String,
    /// `weight` of the row's `attrs`, or `rweight` where that is the algorithm.
    pub weight: Option<u32>,
    /// `maxload` of the row's `attrs`: the most calls that it gets at a time; 0 for no limit.
    pub max_load: u64,
    /// `duid` of the row's `attrs`.
    pub duid: String,
    /// The row's priority.
    pub priority: i32,
    /// Calls that it has now.
    pub calls: u64,
    /// Whether its media server is asked how many it has: it drains, and event sockets are configured.
    #[serde(default)]
    pub live_asked: bool,
    /// Calls that it says it has, while it drains and its event socket is asked: those that did not come by us, too.
    #[serde(default)]
    pub live_calls: Option<u64>,
    /// Channels, a leg each, likewise.
    #[serde(default)]
    pub live_channels: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// Requests that it left unanswered.
    pub timeouts: u64,
    /// The last probe's round trip, in microseconds.
    pub latency_last_us: Option<u64>,
    /// The mean, in microseconds.
    pub latency_mean_us: Option<u64>,
    /// The longest, in microseconds.
    pub latency_max_us: Option<u64>,
    /// The row's description.
    pub description: String,
}

/// `dispatcher.set_state`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetStateParams {
    /// The row's id, or the URI, or the `duid`; `all` for every target of the set.
    pub target: String,
    /// The set, where several have the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<u32>,
    /// `active`, `inactive` or `probing`: until probes say otherwise; `disabled` or `draining`: until another word. Or
    /// Kamailio's letters: `a`, `i`, `t` and `d`, each with a `p` or without.
    pub state: String,
}

/// `dispatcher.reload`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Rows of `dispatcher`.
    pub dispatcher: u64,
    /// Rows of `address`.
    pub address: u64,
}

/// `dlg.list`: a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its number on this node.
    pub key: u64,
    /// Its Call-ID.
    pub call_id: String,
    /// The URI in From.
    pub from_uri: String,
    /// The URI in To.
    pub to_uri: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `setup`, `confirmed` or `ending`.
    pub state: String,
    /// Who called.
    pub source: String,
    /// The target that has it.
    pub target: String,
    /// The INVITE, Unix milliseconds.
    pub start_ms: u64,
    /// The answer, Unix milliseconds.
    pub answer_ms: Option<u64>,
    /// Its flow pairs.
    pub flows: Vec<u64>,
}

/// `tandem.flows`: a flow pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its number.
    pub id: u64,
    /// The call's number on this node.
    pub call: u64,
    /// `rtp`, `srtp` or `raw`.
    pub kind: String,
    /// The worker that owns it.
    pub worker: u16,
    /// No media for its timeout.
    pub idle: bool,
    /// The caller's leg.
    pub a: FlowLeg,
    /// The callee's leg.
    pub b: FlowLeg,
}

/// A leg of a flow pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLeg {
    /// Our address and RTP port.
    pub local: SocketAddr,
    /// The peer's address by its SDP.
    pub remote: Option<SocketAddr>,
    /// The source that RTP latched to.
    pub latched: Option<SocketAddr>,
    /// RTP received.
    pub rtp: DirectionFigures,
    /// RTCP received.
    pub rtcp: DirectionFigures,
    /// The streams received.
    pub stream: StreamFigures,
    /// What the peer's RTCP says of what was sent to it; none if it said nothing yet.
    pub report: Option<PeerFigures>,
    /// How what was received sounds so far, in hundredths of a MOS (ITU-T G.107); none where its payload type is not
    /// one of RFC 3551 with published values, or nothing came.
    #[serde(default)]
    pub score: Option<u16>,
}

/// What was seen of the RTP streams received on a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFigures {
    /// The synchronisation source.
    pub ssrc: Option<u32>,
    /// How often it became another one.
    pub ssrc_changes: u32,
    /// How many of these went back to the one before: several streams at the same time.
    pub ssrc_returns: u32,
    /// The payload type of speech.
    pub payload_type: Option<u8>,
    /// How often it became another one.
    pub payload_type_changes: u32,
    /// The jitter in microseconds.
    pub jitter_us: u64,
    /// Telephone events (DTMF).
    pub events: u32,
    /// Packets dropped as above the rate.
    pub policed: u64,
}

/// What a peer says of what was sent to it, and how far away it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFigures {
    /// Reports.
    pub reports: u32,
    /// Of the last report, in 1/256.
    pub fraction_lost: u8,
    /// The greatest.
    pub worst_fraction_lost: u8,
    /// In all.
    pub lost: u32,
    /// Of the last report, in microseconds.
    pub jitter_us: u32,
    /// The greatest.
    pub worst_jitter_us: u32,
    /// The mean round trip in microseconds; none when it could not be measured.
    pub round_trip_us: Option<u32>,
    /// The longest.
    pub worst_round_trip_us: Option<u32>,
}

/// Figures of what was received on a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionFigures {
    /// Packets relayed.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Lost by sequence number.
    pub lost: u64,
    /// Come after a later one.
    pub reordered: u64,
    /// Jitter, in RTP timestamp units.
    pub jitter: u32,
    /// Dropped as of another source than the latched one.
    pub wrong_source: u64,
    /// The last packet's age, in milliseconds.
    pub last_seen_ms: Option<u64>,
}

/// Which process a counter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// tandem-dataplane
    Dataplane,
    /// tandem-sigplane
    Signaling,
}

/// `stats.get_statistics`: a named counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Whose.
    pub plane: Plane,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// `tandem.blocked.list`: a source that is not heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Its address; of an IPv6 host its /64.
    pub source: String,
    /// Why: `rate`, `failures`, `scanner`, `administrator`, or `earlier` for before the last restart.
    pub reason: String,
    /// For how many seconds yet.
    pub left_s: u64,
}

/// `tandem.blocked.add` and `tandem.blocked.remove`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockParams {
    /// The source: this address, or the /64 of an IPv6 address.
    pub address: IpAddr,
    /// For how many seconds, 1 to 2,592,000; absent: as long as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// `tandem.alarms.list`: something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is about: `port_down`, `queue_stalled`, `worker_stuck`, `foreign_node`, `dataplane_down`; of updates `slot_failed`,
    /// `slot_corrupt`, `on_trial`, `install_failed`, `hardware_plan`, `last_resort`, `environment`, `no_copy`.
    pub kind: String,
    /// Whom it is about: a port's name, a worker's index, a plane, the system.
    pub subject: String,
    /// For people.
    pub text: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// `tandem.police.show`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoliceParams {
    /// Of whom it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// How the dataplane polices SIP by its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Police {
    /// The dataplane's workers: each has its own buckets, and knows the same sources.
    pub workers: u32,
    /// Whether all of them have been told who is trusted.
    pub complete: bool,
    /// Trusted addresses.
    pub trusted: u32,
    /// Trusted networks.
    pub networks: u32,
    /// Addresses with registered users.
    pub registered: u32,
    /// The most of them.
    pub max_registered: u32,
    /// Unknown addresses that have sent something lately, about, in all workers.
    pub unknown: u64,
    /// The most of them.
    pub max_unknown: u64,
    /// Who was asked for.
    pub source: Option<PolicedSource>,
}

/// What the dataplane knows of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicedSource {
    /// The address that was asked for.
    pub source: String,
    /// `trusted`, `registered` or `unknown`.
    pub class: String,
    /// Bits of the network that it has its class by: 32 or 128 by its address.
    pub prefix: u8,
    /// For how many seconds yet; none without an end.
    pub left_s: Option<u64>,
    /// Whether it is blocked.
    pub blocked: bool,
    /// Datagrams that it may send at once now, to the worker that lets the fewest pass; none without a limit.
    pub credit: Option<u32>,
}

/// `tandem.capture`: what to take, and how much at most. Without a filter, all that crosses the
/// dataplane's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureParams {
    /// SIP with this Call-ID, and the media of its call.
    pub call_id: Option<String>,
    /// Of that Call-ID, SIP alone and not the call's media.
    pub sip_only: bool,
    /// Media of this flow pair.
    pub flow: Option<u64>,
    /// Anything from or to this address.
    pub address: Option<IpAddr>,
    /// Bytes kept of each packet; 0 for all.
    pub snaplen: u32,
    /// Ends after so many packets; 0 for the server's limit.
    pub max_packets: u64,
    /// Ends after so many bytes; 0 for the server's limit.
    pub max_bytes: u64,
    /// Ends after so many seconds; 0 for the server's limit.
    pub max_seconds: u32,
}

/// The limits that a capture really has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStarted {
    /// Its number.
    pub id: u64,
    /// Packets at most.
    pub max_packets: u64,
    /// Bytes at most.
    pub max_bytes: u64,
    /// Seconds at most.
    pub max_seconds: u32,
}

/// A captured packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedPacket {
    /// Nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The port's name.
    pub port: String,
    /// Sent, not received.
    pub sent: bool,
    /// Its length on the wire.
    pub length: u32,
    /// Its first bytes from the Ethernet header on, in hexadecimal.
    pub data: String,
}

impl CapturedPacket {
    /// Bytes as `data` has them.
    #[must_use]
    pub fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes
            .iter()
            .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// The bytes of `data`; none when it is not hexadecimal.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let digits: Option<Vec<u8>> = self
            .data
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect();
        let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
        rest.is_empty()
            .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
    }
}

/// Why and how a capture ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureEnd {
    /// Packets that matched but found no room on the way.
    pub dropped: u64,
    /// For people: `limit reached`, `the dataplane went away`, `replaced`.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_bytes_survive_the_text() {
        let mut packet = CapturedPacket {
            timestamp_ns: 1,
            port: "carrier".into(),
            sent: false,
            length: 3,
            data: CapturedPacket::hex(&[0, 0xfe, 0x7f]),
        };
        assert_eq!(packet.bytes(), Some(vec![0, 0xfe, 0x7f]));
        packet.data.push('x');
        assert_eq!(packet.bytes(), None);
    }

    #[test]
    fn an_unknown_capture_parameter_is_refused() {
        assert!(serde_json::from_str::<CaptureParams>(r#"{"callid":"x"}"#).is_err());
        assert!(serde_json::from_str::<CaptureParams>("{}").is_ok());
    }
}
