//! What the owner sets: listeners, limits, and where TLS's files are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How bytes travel on a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// SIP over TCP (RFC 3261 section 18).
    Tcp,
    /// SIP over TLS 1.2 or 1.3 over TCP.
    Tls,
    /// SIP over WebSocket (RFC 7118).
    Ws,
    /// SIP over WebSocket over TLS.
    Wss,
}

impl StreamKind {
    /// Whether TLS is under it.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether WebSocket frames carry it.
    #[must_use]
    pub const fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// An address that connections are taken on, and from which they are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamListener {
    /// The address. Port 0: any free one.
    pub listen: SocketAddr,
    /// What is spoken there.
    pub kind: StreamKind,
    /// Whether the address may come up later: a realm's, on a TAP that comes with the dataplane.
    pub ahead: bool,
}

/// A network: an address of it, and the length of its prefix in bits.
pub type Network = (IpAddr, u8);

/// What a peer, and all peers together, may take.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// Connections in all, the opened ones included.
    pub connections: usize,
    /// How many of them are kept for [`Self::trusted`] networks and for what we open ourselves.
    pub reserved: usize,
    /// Connections accepted from one source: an IPv4 address, or an IPv6 /64.
    pub connections_per_source: usize,
    /// Accepted connections that have not come to their first byte (TCP), or through their handshakes.
    pub half_open: usize,
    /// The same from one source.
    pub half_open_per_source: usize,
    /// How long an accepted connection may take to its first byte (TCP), or through its handshakes;
    /// and one that we open, to be up.
    pub handshake_time: Duration,
    /// How long a connection may lie without a byte in any direction.
    pub idle_time: Duration,
    /// How long a message may take from its first byte to its last.
    pub message_time: Duration,
    /// How long a peer may take no byte of what waits for it.
    pub write_time: Duration,
    /// How often a WebSocket peer that is silent gets a ping. One that says nothing until the next is due is dead.
    pub ping_time: Duration,
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// The longest start line and header fields of a message, in bytes.
    pub header_bytes: usize,
    /// Bytes that may wait for a slow reader, or for a connection that is being opened.
    pub buffered_bytes: usize,
    /// Connections accepted in one turn from one listener.
    pub accepts: usize,
    /// Networks that the limits on half-open connections and per source do not hold for.
    pub trusted: Vec<Network>,
    /// The Origins that WebSocket handshakes may name (RFC 6455 section 10.2), such as
    /// `https://phone.example.com`. Empty: any, and none.
    pub origins: Vec<String>,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            reserved: 2_000,
            connections_per_source: 256,
            half_open: 1_024,
            half_open_per_source: 32,
            handshake_time: Duration::from_secs(5),
            idle_time: Duration::from_secs(600),
            message_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            ping_time: Duration::from_secs(30),
            message_bytes: 65_535,
            header_bytes: 16_384,
            buffered_bytes: 256 * 1024,
            accepts: 64,
            trusted: Vec::new(),
            origins: Vec::new(),
        }
    }
}

/// A certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsCertificate {
    /// For which server names (SNI) it is shown: exact ones, and `*.example.com` for one label. Empty: those that
    /// stand in the certificate.
    pub names: Vec<String>,
    /// The PEM file with the certificate and those that link it to its authority.
    pub chain: PathBuf,
    /// The PEM file with its private key.
    pub key: PathBuf,
}

/// What a listener wants of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate.
    #[default]
    None,
    /// A certificate of one of this PEM file's authorities, or none.
    Optional(PathBuf),
    /// A certificate of one of this PEM file's authorities.
    Required(PathBuf),
}

/// A trunk whose peers must prove who they are (mutual TLS). It holds for connections that they open to any TLS or
/// secure WebSocket listener, and comes before what the listener wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsTrunk {
    /// Where the peers are. The trunk with the longest prefix around an address has it; of equals, the first.
    pub networks: Vec<Network>,
    /// The PEM file with the authorities that sign their certificates.
    pub client_ca: PathBuf,
    /// The names of which the certificate must have one: DNS name, `sip:` URI or IP address among its alternative
    /// names, or, if it has no alternative names, its common name. Empty: any name.
    pub names: Vec<String>,
}

/// How we open TLS connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsClient {
    /// PEM files with the authorities that servers' certificates must come from.
    pub ca: Vec<PathBuf>,
    /// Takes any certificate. For a laboratory only.
    pub insecure: bool,
    /// Lets a `*.example.com` in a certificate stand for one label. RFC 5922 section 7.2 forbids it.
    pub wildcards: bool,
    /// The certificate that we show to servers which ask for one; its `names` mean nothing.
    pub certificate: Option<TlsCertificate>,
}

/// Where all that TLS needs is. Read by [`crate::Streams::new`] and [`crate::Streams::reload_tls`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Ours, as a server. The first is shown to clients that name no server or an unknown one.
    pub certificates: Vec<TlsCertificate>,
    /// What listeners want of clients, by the listener's place in the list. Not there: no certificate.
    pub listeners: Vec<(u16, ClientCertificates)>,
    /// Trunks with mutual TLS.
    pub trunks: Vec<TlsTrunk>,
    /// How we open connections.
    pub client: TlsClient,
}
