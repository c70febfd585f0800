//! `[[http]]`: where HTTP is served, and what.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::model::Network;

/// `[[http]]`: a listener on the kernel's own stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpListen {
    /// `listen`: address and port.
    pub listen: SocketAddr,
    /// `services`, at least one.
    pub services: Vec<HttpService>,
    /// `certificate` and `key`: PEM files. None: HTTP without TLS, which the file asks for by `plain = true`.
    #[serde(flatten)]
    pub tls: Option<HttpCertificate>,
    /// `networks`: who may connect. Default: whoever can.
    pub networks: Vec<Network>,
    /// `metrics_access`. Default `"token"`.
    pub metrics_access: MetricsAccess,
    /// `max_connections` in all. Default 256.
    pub max_connections: u32,
    /// `max_per_source`: from one address (an IPv6 /64). Default 64.
    pub max_per_source: u32,
    /// `max_body`: the longest body of a request, in bytes. Default 1,048,576.
    pub max_body: u32,
    /// `request_timeout` in seconds: for the TLS handshake, for a request's header, for its body, and for reading the
    /// answer. Default 10.
    pub request_timeout: Duration,
    /// `idle_timeout` in seconds: between two requests. Default 60.
    pub idle_timeout: Duration,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpService {
    /// `"api"`: JSON-RPC 2.0 at `/rpc`.
    Api,
    /// `"metrics"`: for Prometheus, at `/metrics`.
    Metrics,
    /// `"freeswitch"`: the services for media servers, below `/freeswitch/`.
    Freeswitch,
}

impl HttpService {
    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Metrics => "metrics",
            Self::Freeswitch => "freeswitch",
        }
    }
}

/// A certificate's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpCertificate {
    /// `certificate`: PEM file, ours first.
    #[serde(rename = "certificate")]
    pub chain: PathBuf,
    /// `key`: PEM file.
    pub key: PathBuf,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// `"token"`: who has a token with the role `read`.
    Token,
    /// `"network"`: all in `networks`.
    Network,
}
