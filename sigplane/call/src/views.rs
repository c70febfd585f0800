//! What the management API may see of the core: plain copies.

use std::net::{IpAddr, SocketAddr};

use tandem_link::FlowId;
use tandem_policy::Attributes;
use tandem_policy::routing::Sender;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// No final answer yet.
    Setup,
    /// Answered.
    Confirmed,
    /// Ended; the last figures or answers are awaited.
    Ending,
}

impl CallState {
    /// Its name for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Confirmed => "confirmed",
            Self::Ending => "ending",
        }
    }
}

/// How many calls are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// [`CallState::Setup`]
    pub setup: u64,
    /// [`CallState::Confirmed`]
    pub confirmed: u64,
    /// [`CallState::Ending`]
    pub ending: u64,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    /// The call's number on this node.
    pub key: u64,
    /// Its Call-ID.
    pub call_id: String,
    /// The URI in From.
    pub from_uri: String,
    /// The URI in To.
    pub to_uri: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Where it stands.
    pub state: CallState,
    /// Who called.
    pub source: SocketAddr,
    /// The target that has it, or the last one tried; empty before the first.
    pub target: String,
    /// The INVITE, Unix milliseconds.
    pub start_ms: u64,
    /// The first 2xx, Unix milliseconds.
    pub answer_ms: Option<u64>,
    /// Its flow pairs.
    pub flows: Vec<FlowId>,
}

/// A dispatcher target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// The row's `id`.
    pub id: i64,
    /// The row's `setid`.
    pub set: u32,
    /// The row's `destination`.
    pub destination: String,
    /// Where that is now.
    pub addresses: Vec<SocketAddr>,
    /// `active`, `inactive`, `disabled`, `draining` or `probing`.
    pub state: &'static str,
    /// How its set shares its calls.
    pub algorithm: String,
    /// What its row says in `attrs`.
    pub attributes: Attributes,
    /// The row's `priority`.
    pub priority: i32,
    /// Calls that it has now.
    pub calls: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Successes in a row.
    pub successes: u32,
    /// Probes and INVITEs that it left unanswered.
    pub timeouts: u64,
    /// The last probe's round trip, in microseconds; none before the first answer.
    pub latency_last_us: Option<u64>,
    /// The mean of all, in microseconds.
    pub latency_mean_us: Option<u64>,
    /// The largest, in microseconds.
    pub latency_max_us: Option<u64>,
}

/// A request that nobody has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteQuestion {
    /// Who sends it.
    pub sender: Sender,
    /// From where.
    pub source: IpAddr,
    /// Its method.
    pub method: String,
    /// Its Request-URI.
    pub uri: String,
    /// The URI in From.
    pub from: String,
}

/// What would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteView {
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
    /// The answer, when it goes nowhere.
    pub refused: Option<(u16, String)>,
    /// Where it goes: the next when the one before does not take it.
    pub ways: Vec<WayView>,
}

/// One of several ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayView {
    /// The trunk; empty for a set of no trunk's.
    pub trunk: String,
    /// The dispatcher set.
    pub set: u32,
    /// Its targets that take calls, or its fallback's.
    pub targets: usize,
    /// Calls that go out by the trunk now.
    pub calls: Option<u64>,
    /// As many as may, if there is a limit.
    pub most: Option<u32>,
}

/// How much is alive in the core. All of it ends: a core without calls and probes has only zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Calls.
    pub calls: usize,
    /// Calls of these that are at rest, and kept small.
    pub resting: usize,
    /// Call-IDs by which they are found.
    pub call_ids: usize,
    /// Client transactions.
    pub clients: usize,
    /// What client transactions are for.
    pub client_uses: usize,
    /// Server transactions.
    pub servers: usize,
    /// Server transactions of first INVITEs.
    pub setups: usize,
    /// Requests in dialogs on their way.
    pub relays: usize,
    /// Requests outside of calls on their way.
    pub passages: usize,
    /// INVITEs that were given up.
    pub lates: usize,
    /// Timers, those of the transactions aside.
    pub timers: usize,
    /// Commands without their answers.
    pub commands: usize,
}

impl Footprint {
    /// By name.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("calls", self.calls),
            ("Call-IDs", self.call_ids),
            ("client transactions", self.clients),
            ("uses of client transactions", self.client_uses),
            ("server transactions", self.servers),
            ("first INVITEs", self.setups),
            ("requests in dialogs", self.relays),
            ("requests outside of calls", self.passages),
            ("late INVITEs", self.lates),
            ("timers", self.timers),
            ("commands", self.commands),
        ]
        .into_iter()
    }
}
