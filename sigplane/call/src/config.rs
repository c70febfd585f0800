//! What the core is told once, at its start. The daemon makes it from the appliance's
//! configuration; this room does not know that file.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tandem_policy::defence::{EmergencyNumbers, Networks, OverloadConfig, Scanners};
use tandem_policy::locate::Means;
use tandem_policy::{Plan, Transport, digest, registrar};

use crate::core::Share;
use crate::hiding::HidingConfig;
use crate::io::Path;
use crate::media::MediaGuard;

/// Everything that the core needs to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// The node's id: the first part of every call's `call_uuid`.
    pub node: u16,
    /// The core's part of the node's work.
    pub share: Share,
    /// The `Server` and `User-Agent` header of what we say ourselves.
    pub server: String,
    /// The realms, in the configuration's order.
    pub realms: Vec<RealmConfig>,
    /// The kernel's listeners, in the configuration's order.
    pub kernel: Vec<KernelConfig>,
    /// The listeners for streams, in the configuration's order.
    pub streams: Vec<StreamConfig>,
    /// T1, the round trip time estimate (RFC 3261 section 17.1.1.1).
    pub t1: Duration,
    /// Timer C: how long an INVITE may ring (RFC 3261 section 16.6).
    pub timer_c: Duration,
    /// How many calls may be in progress at a time; above it an INVITE is answered with 503.
    pub max_calls: usize,
    /// Whether the database's `dialog` follows answered calls.
    pub dialog_table: bool,
    /// What a message may bring.
    pub limits: MessageLimits,
    /// Who is routed where.
    pub routing: RoutingConfig,
    /// Probing and failover.
    pub dispatcher: DispatcherConfig,
    /// Media.
    pub media: MediaConfig,
    /// What is hidden from the carrier side.
    pub hiding: HidingConfig,
    /// Self-defence.
    pub guard: GuardConfig,
    /// Registered user agents.
    pub nat: NatConfig,
    /// Our own registrar; none to have none.
    pub registrar: Option<RegistrarConfig>,
}

/// Self-defence, as far as it is the core's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// Whether the core tells what sources do that are not trusted.
    pub watch: bool,
    /// Networks that are trusted besides those that may call.
    pub trusted: Networks,
    /// Programs that nobody wants to hear of.
    pub scanners: Scanners,
    /// How many sources may be blocked at a time.
    pub sources: usize,
    /// When new calls are refused.
    pub overload: OverloadConfig,
    /// Whose calls never are.
    pub emergency: EmergencyNumbers,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            watch: true,
            trusted: Networks::default(),
            scanners: Scanners::default(),
            sources: 65_536,
            overload: OverloadConfig::default(),
            emergency: EmergencyNumbers::default(),
        }
    }
}

/// What a message may bring, so that none costs more than a carrier's messages do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// The longest message, in bytes. A longer request gets 513.
    pub bytes: usize,
    /// The most header fields, 256 at most. A request with more gets 400.
    pub headers: usize,
    /// The most Via elements of a request. One with more gets 483.
    pub vias: usize,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            bytes: 65_535,
            headers: 256,
            vias: 70,
        }
    }
}

/// Which side of the appliance something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Side {
    /// Carriers and callers.
    External,
    /// Media servers.
    Internal,
}

impl Side {
    /// The opposite side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::External => Self::Internal,
            Self::Internal => Self::External,
        }
    }
}

/// A realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// Its name.
    pub name: String,
    /// Its side.
    pub side: Side,
    /// Our SIP addresses in it.
    pub sip: Vec<SocketAddr>,
    /// Our media addresses in it.
    pub media: Vec<IpAddr>,
    /// The media ports: the first even, the last odd.
    pub media_ports: RangeInclusive<u16>,
}

/// A SIP socket of the kernel's own stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Its address.
    pub listen: SocketAddr,
    /// Its side.
    pub side: Side,
}

/// A listener for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Its address.
    pub listen: SocketAddr,
    /// What is spoken on it; not UDP.
    pub transport: Transport,
    /// Its side.
    pub side: Side,
    /// The realm that its address is in; none for a network outside of the dataplane.
    pub realm: Option<u16>,
}

/// Who is routed where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingConfig {
    /// The dispatcher set that serves carriers' calls.
    pub pool_set: u32,
    /// Where calls to conferences go; none: where all others go.
    pub conference: Option<Conference>,
    /// The dispatcher set that calls from pool members leave by.
    pub trunk_set: u32,
    /// The address group whose members may call in.
    pub carrier_group: u32,
    /// The dispatcher set of the registrars: REGISTERs from outside go there, and so does what a
    /// registered user agent sends outside of dialogs. None: nobody may register. It needs
    /// [`HidingConfig::keys`], which seal the way back.
    pub registrar_set: Option<u32>,
    /// Whether carriers' calls are for the numbers of [`crate::Tables::dids`] alone.
    pub dids: bool,
    /// Whether the contacts of a 3xx are asked in its sender's stead (RFC 3261 section 16.5).
    pub follow_redirects: bool,
    /// Rules, trunks and tenants.
    pub plan: Arc<tandem_policy::routing::RoutePlan>,
}

/// Our own registrar.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// The domains whose users it has, in lower case. They are the realms of authentication, too.
    pub domains: Vec<String>,
    /// Bounds of registrations.
    pub settings: registrar::Settings,
    /// The most addresses of record with contacts.
    pub max_records: usize,
    /// Whether the database's `location` follows.
    pub location_table: bool,
    /// How users are asked who they are.
    pub digest: digest::Settings,
    /// What signs nonces: the same for all workers of a node, unpredictable.
    pub nonce_key: [u8; 32],
    /// How long a nonce counts, in milliseconds.
    pub nonce_lifetime_ms: u64,
    /// How many nonces that were used are remembered.
    pub max_nonces: usize,
}

impl std::fmt::Debug for RegistrarConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistrarConfig({:?})", self.domains)
    }
}

/// Calls to conferences: all those to one of them should come to the same media server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conference {
    /// The dispatcher set.
    pub set: u32,
    /// How the user part of their Request-URI begins, in whatever case.
    pub prefix: String,
}

/// Registered user agents, and what lies between them and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Whether our Path goes into every REGISTER, or only into those that say `Supported: path` (RFC
    /// 3327 section 5.2).
    pub path_always: bool,
    /// Between two OPTIONS to a user agent behind a NAT that is reached by datagrams; zero sends none.
    pub keepalive: Duration,
    /// How many of them in a row may stay without an answer before no more are sent.
    pub keepalive_misses: u32,
    /// The most flows with registered user agents that are remembered.
    pub max_bindings: usize,
    /// The most requests outside of calls that may be under way for another REGISTER to be taken: strangers
    /// send those.
    pub max_registering: usize,
}

impl Default for NatConfig {
    fn default() -> Self {
        Self {
            path_always: true,
            keepalive: Duration::from_secs(30),
            keepalive_misses: 3,
            max_bindings: 100_000,
            max_registering: 50_000,
        }
    }
}

/// Sharing, probing and failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatcherConfig {
    /// How sets share their calls.
    pub plan: Plan,
    /// Between two probes of a target; zero does not probe.
    pub probe_interval: Duration,
    /// How long a probe waits for its answer.
    pub probe_timeout: Duration,
    /// Failures in a row that make a target inactive.
    pub probe_failures: u32,
    /// Successes in a row that make it active again.
    pub probe_successes: u32,
    /// Silence after an INVITE after which the next target is tried.
    pub first_response: Duration,
}

/// Media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaConfig {
    /// DSCP of relayed media, 0 to 63.
    pub dscp: u8,
    /// Without media for so long, a call is ended; zero never.
    pub timeout: Duration,
    /// The same for a call on hold.
    pub hold_timeout: Duration,
    /// The longest call; zero for no limit.
    pub max_duration: Duration,
    /// What is taken from peers.
    pub guard: MediaGuard,
    /// How long a media port rests after its call before another one gets it, if others are free.
    pub port_rest: Duration,
}

impl CoreConfig {
    /// The side that a path belongs to; none for a path that does not exist.
    #[must_use]
    pub fn side(&self, path: Path) -> Option<Side> {
        match path {
            Path::Realm(i) => self.realms.get(usize::from(i)).map(|r| r.side),
            Path::Kernel(i) => self.kernel.get(usize::from(i)).map(|k| k.side),
            Path::Stream(i) => self.streams.get(usize::from(i)).map(|s| s.side),
        }
    }

    /// What is spoken on a path.
    #[must_use]
    pub fn transport(&self, path: Path) -> Transport {
        match path {
            Path::Realm(_) | Path::Kernel(_) => Transport::Udp,
            Path::Stream(i) => self
                .streams
                .get(usize::from(i))
                .map_or(Transport::Tcp, |s| s.transport),
        }
    }

    /// How a peer on `side` with this address is reached by this transport, and from which address
    /// of ours: the first realm of the side with a SIP address of the same family, else the first
    /// kernel listener of the side with one; for a stream, the first listener of that kind. None
    /// where there is no such way; a WebSocket is never opened by us.
    #[must_use]
    pub fn way(
        &self,
        side: Side,
        transport: Transport,
        destination: SocketAddr,
    ) -> Option<(Path, SocketAddr)> {
        let fits = |local: &SocketAddr| local.is_ipv4() == destination.is_ipv4();
        match transport {
            Transport::Udp => {}
            Transport::Ws | Transport::Wss => return None,
            Transport::Tcp | Transport::Tls => {
                return self
                    .streams
                    .iter()
                    .enumerate()
                    .filter(|(_, s)| s.side == side && s.transport == transport)
                    .filter(|(_, s)| fits(&s.listen))
                    .find_map(|(i, s)| Some((Path::Stream(u16::try_from(i).ok()?), s.listen)));
            }
        }
        let realm = self
            .realms
            .iter()
            .enumerate()
            .filter(|(_, r)| r.side == side)
            .find_map(|(i, r)| {
                Some((
                    Path::Realm(u16::try_from(i).ok()?),
                    *r.sip.iter().find(|a| fits(a))?,
                ))
            });
        realm.or_else(|| {
            self.kernel
                .iter()
                .enumerate()
                .filter(|(_, k)| k.side == side && fits(&k.listen))
                .find_map(|(i, k)| Some((Path::Kernel(u16::try_from(i).ok()?), k.listen)))
        })
    }

    /// What we can use towards a side, the liked ones first: the order in which the services of a
    /// name without NAPTR records are looked for (RFC 3263 section 4.1).
    #[must_use]
    pub fn means(&self, side: Side) -> Means {
        let some = [
            SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::from(([0; 16], 0)),
        ];
        let reaches = |t: Transport, to: SocketAddr| self.way(side, t, to).is_some();
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        let [ipv4, ipv6] = some.map(|to| all.iter().any(|t| reaches(*t, to)));
        let can = |t: &Transport| some.iter().any(|to| reaches(*t, *to));
        Means {
            transports: all.into_iter().filter(can).collect(),
            ipv4,
            ipv6,
        }
    }

    /// Whether an address of a path is ours.
    #[must_use]
    pub fn has(&self, path: Path, local: SocketAddr) -> bool {
        match path {
            Path::Realm(i) => {
                let realm = self.realms.get(usize::from(i));
                realm.is_some_and(|r| r.sip.contains(&local))
            }
            Path::Kernel(i) => {
                let socket = self.kernel.get(usize::from(i));
                socket.is_some_and(|k| k.listen == local)
            }
            Path::Stream(i) => {
                let listener = self.streams.get(usize::from(i));
                listener.is_some_and(|s| s.listen == local)
            }
        }
    }

    /// Whether an address is one of ours.
    #[must_use]
    pub fn is_ours(&self, address: SocketAddr) -> bool {
        self.realms.iter().any(|r| r.sip.contains(&address))
            || self.kernel.iter().any(|k| k.listen == address)
            || self.streams.iter().any(|s| s.listen == address)
    }

    /// Whether an address is one of ours on this side.
    #[must_use]
    pub fn is_at(&self, side: Side, ip: IpAddr) -> bool {
        self.addresses(side).any(|ours| ours == ip)
    }

    /// Our addresses on this side.
    pub fn addresses(&self, side: Side) -> impl Iterator<Item = IpAddr> + '_ {
        let realms = self.realms.iter().filter(move |r| r.side == side);
        let kernel = self.kernel.iter().filter(move |k| k.side == side);
        let streams = self.streams.iter().filter(move |s| s.side == side);
        realms
            .flat_map(|r| {
                r.sip
                    .iter()
                    .map(SocketAddr::ip)
                    .chain(r.media.iter().copied())
            })
            .chain(kernel.map(|k| k.listen.ip()))
            .chain(streams.map(|s| s.listen.ip()))
    }

    /// The realm whose media addresses serve peers that are reached by `path`: the realm itself,
    /// the realm of a stream's listener, or for a listener outside of the dataplane the first realm of
    /// its side.
    #[must_use]
    pub fn media_realm(&self, path: Path) -> Option<u16> {
        let own = match path {
            Path::Realm(i) => Some(i),
            Path::Kernel(_) => None,
            Path::Stream(i) => self.streams.get(usize::from(i)).and_then(|s| s.realm),
        };
        match own {
            Some(i) => self.realms.get(usize::from(i)).map(|_| i),
            None => {
                let side = self.side(path)?;
                self.realms
                    .iter()
                    .position(|r| r.side == side)
                    .and_then(|i| u16::try_from(i).ok())
            }
        }
    }
}
