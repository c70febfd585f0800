//! The signaling plane's ways to the network.
//!
//! [`Session`] is the way through the dataplane: its control socket, and the rings of SIP datagrams
//! in shared memory. [`KernelSocket`] is the way through the kernel: for listeners outside of the
//! dataplane, and on the dataplane's own SIP addresses for what the kernel does better: datagrams
//! that need (or arrive in) fragments, and ICMP errors that quote a datagram of ours. [`Streams`] is
//! SIP over TCP, TLS and WebSocket, through the kernel too.
//!
//! Nothing here blocks and nothing here waits; the caller polls the descriptors.
#![forbid(unsafe_code)]

mod link;
mod message;
mod rings;
mod streams;
mod udp;

pub use link::{Handshake, LinkError, Progress, Session};
pub use rings::{Arrival, Incoming, Rings};
pub use streams::{
    ClientCertificates, Network, StreamEvent, StreamKind, StreamLimits, StreamListener, StreamSend,
    StreamView, Streams, StreamsError, TlsCertificate, TlsClient, TlsFiles, TlsReady, TlsTrunk,
};
/// DSCP of the SIP that we send: CS5, signaling (RFC 4594 section 4.1).
pub const SIP_DSCP: u8 = 40;

pub use udp::{BindError, KernelSocket, Received, SendError, TransportError, Unreachable};
