//! The management API's types, shared by the signaling plane's daemon, `tandemctl` and the console.
//!
//! JSON-RPC 2.0 over a unix socket, one JSON value a line in each direction. Method names are
//! Kamailio's where it has the thing. A capture sends [`Notification`] lines after its answer until
//! it ends; closing the connection stops it.
#![forbid(unsafe_code)]

mod rpc;
mod types;

pub use rpc::{ErrorCode, MAX_LINE, Notification, Request, Response, RpcError, decode_line};
pub use types::{
    BlockParams, Blocked, Call, CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Counter,
    DirectionFigures, Flow, FlowLeg, Plane, Reloaded, SetStateParams, SipWorker, Status, Target,
    method,
};
