//! What is looked for, and what we could use.

use std::net::IpAddr;

use super::Domain;
use crate::transport::Transport;

/// The parts of a SIP URI that say where it leads. `maddr` is none of them: it is ignored, since
/// it would let whoever writes the URI send us anywhere under another's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    secure: bool,
    host: Host,
    port: Option<u16>,
    transport: Option<Transport>,
}

/// Whom a URI names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address: nothing to ask.
    Address(IpAddr),
    /// A name.
    Name(Domain),
}

/// Why a URI's parts lead nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// The port is zero.
    Port,
    /// The address is not that of one host.
    Address,
    /// A WebSocket: servers do not open one (RFC 7118 section 5).
    WebSocket,
    /// A `sips:` URI that asks for a transport without TLS.
    Insecure,
}

impl Unwanted {
    /// What is wrong, and what would be right; to be read behind the URI.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Port => "has a port that is not between 1 and 65535",
            Self::Address => "is not the address of one host",
            Self::WebSocket => {
                "asks for WebSocket, which a server does not open: take udp, tcp or tls"
            }
            Self::Insecure => "is a sips: URI with a transport other than tls",
        }
    }
}

impl Wanted {
    /// From the parts of a URI: whether its scheme is `sips`, its host, its port, and its `transport`
    /// parameter.
    ///
    /// # Errors
    /// When they cannot lead to a server.
    pub fn new(
        secure: bool,
        host: Host,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Self, Unwanted> {
        if port == Some(0) {
            return Err(Unwanted::Port);
        }
        let host = match host {
            Host::Address(ip) => {
                let ip = ip.to_canonical();
                let broadcast = ip == IpAddr::from([255; 4]);
                if ip.is_unspecified() || ip.is_multicast() || broadcast {
                    return Err(Unwanted::Address);
                }
                Host::Address(ip)
            }
            name @ Host::Name(_) => name,
        };
        let transport = match (secure, transport) {
            (_, Some(Transport::Ws | Transport::Wss)) => return Err(Unwanted::WebSocket),
            (true, Some(Transport::Udp)) => return Err(Unwanted::Insecure),
            // `transport=tcp` says what is below TLS (RFC 3261 section 26.2.2).
            (true, Some(_)) => Some(Transport::Tls),
            (_, asked) => asked,
        };
        Ok(Self {
            secure,
            host,
            port,
            transport,
        })
    }

    /// Whether only TLS will do.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whom it names.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The name and port as a URI has them; none for an address.
    #[must_use]
    pub fn named(&self) -> Option<String> {
        let Host::Name(name) = &self.host else {
            return None;
        };
        Some(match self.port {
            Some(port) => format!("{name}:{port}"),
            None => name.to_string(),
        })
    }

    /// The port that it names.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The transport that it names; of a `sips:` URI, TLS.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// The transport where neither the URI nor DNS says one (RFC 3263 section 4.1).
    #[must_use]
    pub const fn default_transport(&self) -> Transport {
        match self.transport {
            Some(transport) => transport,
            None if self.secure => Transport::Tls,
            None => Transport::Udp,
        }
    }
}

/// What we could use towards a side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Means {
    /// The transports, the liked ones first.
    pub transports: Vec<Transport>,
    /// Whether we have an IPv4 address there.
    pub ipv4: bool,
    /// Whether we have an IPv6 address there.
    pub ipv6: bool,
}

impl Means {
    /// Whether an address's family is ours too.
    #[must_use]
    pub const fn reaches(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_lead_nowhere_are_refused() {
        let ip = |t: &str| Host::Address(t.parse().unwrap());
        let refused = |s, h, p, t| Wanted::new(s, h, p, t).unwrap_err();
        let host = || ip("192.0.2.1");
        assert_eq!(refused(false, host(), Some(0), None), Unwanted::Port);
        for wrong in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert_eq!(refused(false, ip(wrong), None, None), Unwanted::Address);
        }
        let (udp, ws) = (Some(Transport::Udp), Some(Transport::Ws));
        assert_eq!(refused(true, host(), None, udp), Unwanted::Insecure);
        assert_eq!(refused(false, host(), None, ws), Unwanted::WebSocket);
    }

    #[test]
    fn a_secure_uri_is_served_by_tls_alone() {
        let wanted = Wanted::new(
            true,
            Host::Address("::ffff:192.0.2.1".parse().unwrap()),
            None,
            Some(Transport::Tcp),
        )
        .unwrap();
        assert_eq!(wanted.transport(), Some(Transport::Tls));
        assert_eq!(*wanted.host(), Host::Address("192.0.2.1".parse().unwrap()));
    }
}
