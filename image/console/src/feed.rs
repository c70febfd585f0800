//! What the sources say. Everything here can be written down, so that a run can be shown again.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_admin::{
    Alarm, Call, CallCounts, Counter, Flow, Info, Port, Registration, SetStateParams, Status,
    Target,
};

/// What a source gives: its value, or why there is none now.
pub(crate) type Got<T> = Result<T, String>;

/// News of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Feed {
    /// The signaling plane's figures, with the dataplane's as far as that one answers it.
    Figures(Got<Box<Figures>>),
    /// Calls, for the list.
    Calls(Got<Found<Call>>),
    /// Registered users, for the list.
    Users(Got<Found<Registration>>),
    /// Media flows.
    Flows(Got<Vec<Flow>>),
    /// A call that is followed.
    Trace(TraceNews),
    /// Lines of logs.
    Log(Vec<LogLine>),
    /// Where the lines come from, or why there are none.
    LogSource(Got<String>),
    /// The services of this machine, as systemd has them.
    Services(Got<Vec<Service>>),
    /// Slots and versions.
    Slots(Got<Slots>),
    /// The load tests that there are.
    Profiles(Got<Vec<LoadProfile>>),
    /// The load test that runs.
    Load(LoadNews),
    /// What is shown on the first start; none when it is not there any more.
    Credentials(Option<String>),
    /// The machine, for the set-up.
    Machine(Got<Box<Machine>>),
    /// How far the writing of the set-up has come.
    Setup(SetupNews),
}

/// A look at the signaling plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// When, in Unix milliseconds.
    pub(crate) taken_ms: u64,
    pub(crate) status: Status,
    pub(crate) info: Info,
    pub(crate) counts: CallCounts,
    pub(crate) counters: Vec<Counter>,
    pub(crate) targets: Vec<Target>,
    pub(crate) alarms: Vec<Alarm>,
    /// None of a dataplane that is away, or of a version that does not tell.
    #[serde(default)]
    pub(crate) ports: Vec<Port>,
}

/// What was found of a long list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found<T> {
    /// What was searched for.
    pub(crate) filter: String,
    /// The first of them.
    pub(crate) items: Vec<T>,
    /// How many were looked at.
    pub(crate) looked_at: usize,
    /// Whether there are more, behind what was looked at or found.
    pub(crate) more: bool,
}

/// News of a call that is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum TraceNews {
    /// It is followed from now on, for so many seconds at most.
    Started(u32),
    /// A message.
    Message(Box<Message>),
    /// It is not followed any more: why.
    Ended(String),
}

/// A SIP message on one of our ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Nanoseconds since the Unix epoch.
    pub(crate) time_ns: u64,
    /// The port's name.
    pub(crate) port: String,
    /// Sent by us.
    pub(crate) sent: bool,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// `INVITE`, or `200 OK`.
    pub(crate) title: String,
    /// CSeq.
    pub(crate) cseq: String,
    /// Whether it has SDP.
    pub(crate) sdp: bool,
    /// Its lines, made harmless.
    pub(crate) lines: Vec<String>,
}

/// How serious a line is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) enum Level {
    /// Debug and trace.
    Debug,
    /// Information.
    #[default]
    Info,
    /// Warnings and notices.
    Warning,
    /// Errors and worse.
    Error,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// Unix milliseconds; 0 where it does not say.
    pub(crate) time_ms: u64,
    /// Whose.
    pub(crate) unit: String,
    pub(crate) level: Level,
    pub(crate) text: String,
}

/// A service of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// `active (running)`
    pub(crate) state: String,
    /// Restarts by systemd.
    pub(crate) restarts: String,
}

/// The slots of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slots {
    /// Rows of what is known: a name and a value.
    pub(crate) rows: Vec<(String, String)>,
}

/// A load test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadProfile {
    /// Its file.
    pub(crate) path: String,
    /// What it is for.
    pub(crate) about: String,
}

/// News of the load test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum LoadNews {
    /// It runs.
    Started(String),
    /// A second is over.
    Second(Box<LoadSecond>),
    /// It said something.
    Said(String),
    /// It is over: the exit code, and whether each limit was kept.
    Ended {
        code: Option<i32>,
        criteria: Vec<Criterion>,
    },
}

/// A second of a load test: a line of `tandem-load --progress json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LoadSecond {
    /// Seconds since its begin.
    pub(crate) at_s: f64,
    /// How long it will be.
    pub(crate) seconds: u64,
    pub(crate) calls_up: u64,
    pub(crate) calls_per_s: f64,
    pub(crate) calls_failed: u64,
    pub(crate) registrations_per_s: f64,
    pub(crate) media_sent_per_s: f64,
    pub(crate) media_received_per_s: f64,
    pub(crate) media_lost: u64,
    pub(crate) latency_p50_us: f64,
    pub(crate) latency_p999_us: f64,
    pub(crate) flood_per_s: f64,
    pub(crate) busy_percent: f64,
}

/// What a load test asks for, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Criterion {
    pub(crate) name: String,
    pub(crate) limit: String,
    pub(crate) value: String,
    pub(crate) passed: bool,
}

/// The machine, and the plan for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Its model, processor and memory.
    pub(crate) rows: Vec<(String, String)>,
    pub(crate) ports: Vec<MachinePort>,
    /// The plan for what the operator chose; or why there is none.
    pub(crate) plan: Got<MachinePlan>,
    /// A set-up that was left, as it was kept.
    pub(crate) draft: Option<String>,
    /// The configuration that is there.
    pub(crate) configured: bool,
    /// Why nothing can be written from here, with its remedy; none when it can.
    #[serde(default)]
    pub(crate) locked: Option<String>,
}

/// A port of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachinePort {
    /// Its PCI address.
    pub(crate) address: String,
    /// Its profile; empty for none.
    pub(crate) profile: String,
    /// Its kernel interface; empty when DPDK has it.
    pub(crate) interface: String,
    /// `up`, `down`, or empty for not known.
    pub(crate) link: String,
    /// Mbit/s.
    pub(crate) speed: Option<u32>,
    /// Its driver.
    pub(crate) driver: String,
}

/// What follows from the operator's choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachinePlan {
    /// Ports and what they are for: the address and the role.
    pub(crate) roles: Vec<(String, String)>,
    /// The profile.
    pub(crate) profile: String,
    /// What belongs into the configuration.
    pub(crate) configuration: String,
    /// Why it is so.
    pub(crate) reasons: Vec<String>,
    /// What is missing.
    pub(crate) shortfalls: Vec<String>,
}

/// What became of the set-up's steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetupNews {
    /// Each step, and how it went.
    pub(crate) steps: Vec<(String, Got<String>)>,
    /// Whether all is done.
    pub(crate) done: bool,
}

/// What the model asks the shell to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// End, and give the terminal back.
    Quit,
    /// Draw everything anew.
    Redraw,
    /// Set a target's state.
    SetTarget(SetStateParams),
    /// End a call.
    EndCall(u64),
    /// Follow a call by its Call-ID; what was followed before is not any more.
    Follow(String),
    /// Follow nothing.
    Unfollow,
    /// Start a load test.
    StartLoad { profile: String, socket: bool },
    /// Stop it.
    StopLoad,
    /// Look at the machine, and plan it with these wishes.
    Plan(Wishes),
    /// Let a port's light blink, for somebody who stands in front of it.
    Blink(String),
    /// Keep an unfinished set-up.
    KeepDraft(String),
    /// Carry a set-up out.
    Apply(Box<SetupFiles>),
}

/// Which port is to be for what, by PCI addresses; empty for what is proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) carrier: String,
    pub(crate) core: String,
    pub(crate) management: String,
    /// Ports that stay the kernel's for something else.
    pub(crate) spare: Vec<String>,
}

/// What a finished set-up writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetupFiles {
    /// The configuration.
    pub(crate) configuration: String,
    /// The machine's name.
    pub(crate) name: String,
    /// The administrator's key; empty for none.
    pub(crate) key: String,
    /// How it is administered, and what it has on its networks.
    pub(crate) management: String,
    /// For the hardware plan.
    pub(crate) wishes: Wishes,
}

/// What the sources are to look at now: what is not shown is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Calls with this in them.
    pub(crate) calls: Option<String>,
    /// Users with this in them.
    pub(crate) users: Option<String>,
    /// Media flows.
    pub(crate) flows: bool,
    /// Slots and services.
    pub(crate) system: bool,
    /// The load tests.
    pub(crate) load: bool,
}
