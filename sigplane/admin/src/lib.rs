//! The management API's types, shared by the signaling plane's daemon, `tandemctl` and the console.
//!
//! JSON-RPC 2.0 over a unix socket, one JSON value a line in each direction, and over HTTPS by POST. Method names are
//! Kamailio's where it has the thing: [`METHODS`] has them all. A capture sends [`Notification`] lines after its answer
//! until it ends; closing the connection stops it.
#![forbid(unsafe_code)]

mod alarms;
mod config;
pub mod methods;
mod ports;
mod rpc;
pub mod tokens;
mod types;

pub use alarms::{UPDATE_ALARMS, update_alarms};
pub use config::{
    CONFIRM_WITHIN, CONFIRM_WITHIN_MOST, ConfigApplied, ConfigApply, ConfigChange, ConfigChecked,
    ConfigDiff, ConfigMistake, ConfigOutcome, ConfigPending, ConfigRevision, ConfigRollback,
    ConfigShow, ConfigStatus, ConfigText, ConfigWhich, method as config_method,
};
pub use methods::{METHODS, Method, Role};
pub use ports::{Port, PortDrops, Queue, Traffic};
pub use rpc::{
    ErrorCode, Incoming, MAX_BATCH, MAX_LINE, Notification, Request, Response, RpcError, decode,
};
pub use types::{
    Address, Alarm, AorParams, BlockParams, Blocked, Call, CallCounts, CallKey, CallNames,
    CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Contact, Counter, DirectionFigures,
    Ended, Flow, FlowLeg, Info, MethodName, Page, PeerFigures, Plane, Police, PoliceParams,
    PolicedSource, Registration, Registrations, Reloaded, RouteTest, RouteTested, SetStateParams,
    SipWorker, Status, StreamFigures, Table, TableName, TableRow, Target, Uptime, Way, method,
};
