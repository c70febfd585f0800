//! HTTP and HTTPS for management, monitoring and media servers: HTTP/1.1 on the kernel's own stack, in a thread of its own, so
//! that a SIP worker never waits for a client.
//!
//! What it serves is behind [`Service`]: a request whole, its body included, and an answer whole. Everything is
//! bounded: connections in all and by source, the header, the body, and the time that each step may take. What is
//! refused moves a counter of its own ([`counters`]).

mod connection;
mod counters;
mod limits;
mod message;
mod services;
mod tls;
mod watch;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, sockopt};
use tandem_config::{Config, HttpListen, HttpService};
use tandem_policy::defence::{Networks, Source};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

pub(crate) use counters::{Count, Counters};
pub(crate) use message::{Request, Response};
pub(crate) use services::{Answering, Service, Services};

use limits::Limits;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;
/// Out of descriptors or memory: the listener rests for so long.
const REST: Duration = Duration::from_millis(100);

/// Why HTTP cannot be served. The message names the culprit and the remedy.
#[derive(Debug)]
pub(crate) enum HttpError {
    Bind(SocketAddr, io::Error),
    Tls(tls::TlsError),
    System(io::Error),
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(listen, e) => write!(
                f,
                "{listen}: {e}: write an address of this machine and a free port into `listen`"
            ),
            Self::Tls(e) => e.fmt(f),
            Self::System(e) => write!(f, "{e}: the system lacks what HTTP needs to start"),
        }
    }
}

/// Hold on the listeners, for whoever counts or reloads.
#[derive(Clone)]
pub(crate) struct Handle {
    listeners: Arc<[Arc<Listener>]>,
    counters: Arc<Counters>,
    reload: Arc<Notify>,
}

/// The listeners, bound; nothing is accepted yet.
pub(crate) struct Bound {
    sockets: Vec<StdListener>,
    handle: Handle,
}

/// What the connections of a listener share.
struct Listener {
    config: HttpListen,
    networks: Networks,
    /// None without TLS.
    tls: ArcSwapOption<tls::Server>,
    limits: Limits,
}

impl Listener {
    fn serves(&self, service: HttpService) -> bool {
        self.config.services.contains(&service)
    }
}

/// The certificates that cannot be used: the listener's number in the configuration, and why.
pub(crate) fn check(config: &Config) -> Vec<(usize, String)> {
    let files = config.http.iter().map(|listen| listen.tls.as_ref());
    let read = files.map(|files| files.map(tls::read));
    let faults = read.enumerate().filter_map(|(nth, read)| match read {
        Some(Err(error)) => Some((nth, error.to_string())),
        _ => None,
    });
    faults.collect()
}

/// Binds the listeners and reads their certificates.
pub(crate) fn bind(config: &Config) -> Result<Bound, HttpError> {
    let (mut sockets, mut listeners) = (Vec::new(), Vec::new());
    for listen in &config.http {
        let tls = match &listen.tls {
            None => None,
            Some(files) => Some(Arc::new(tls::read(files).map_err(HttpError::Tls)?)),
        };
        let failed = |e| HttpError::Bind(listen.listen, e);
        sockets.push(socket(listen.listen).map_err(failed)?);
        let networks = listen.networks.iter().map(|n| (n.address, n.length));
        listeners.push(Arc::new(Listener {
            networks: Networks::new(networks),
            tls: ArcSwapOption::from(tls),
            limits: Limits::new(listen.max_connections, listen.max_per_source),
            config: listen.clone(),
        }));
    }
    Ok(Bound {
        sockets,
        handle: Handle {
            listeners: listeners.into(),
            counters: Arc::default(),
            reload: Arc::default(),
        },
    })
}

fn socket(listen: SocketAddr) -> io::Result<StdListener> {
    use nix::sys::socket::{bind, listen as start, setsockopt, socket};
    let family = match listen {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if listen.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(
        std::os::fd::AsRawFd::as_raw_fd(&socket),
        &SockaddrStorage::from(listen),
    )?;
    start(&socket, Backlog::new(BACKLOG)?)?;
    Ok(StdListener::from(socket))
}

impl Bound {
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Starts the thread that serves them; none without a listener.
    pub(crate) fn serve(self, services: Services) -> Result<(), HttpError> {
        if self.sockets.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(HttpError::System)?;
        std::thread::Builder::new()
            .name("http".into())
            .spawn(move || runtime.block_on(self.run(Arc::new(services))))
            .map_err(HttpError::System)?;
        Ok(())
    }

    async fn run(self, services: Arc<Services>) {
        let Self { sockets, handle } = self;
        for (socket, listener) in sockets.into_iter().zip(handle.listeners.iter()) {
            let listen = listener.config.listen;
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (listener, services) = (Arc::clone(listener), Arc::clone(&services));
                    let counters = Arc::clone(&handle.counters);
                    tokio::spawn(accept(socket, listener, services, counters));
                }
                Err(error) => tracing::error!("HTTP on {listen} is not served: {error}"),
            }
        }
        loop {
            handle.reload.notified().await;
            if let Err(error) = handle.reload_now() {
                tracing::error!("{error}; the old certificates stay");
            }
        }
    }
}

impl Handle {
    /// Has the certificates read again, soon.
    pub(crate) fn reload(&self) {
        self.reload.notify_one();
    }

    /// Reads the certificates again; connections keep what they began with. All or none of them.
    pub(crate) fn reload_now(&self) -> Result<(), HttpError> {
        let mut read = Vec::new();
        for listener in self.listeners.iter() {
            if let Some(files) = &listener.config.tls {
                read.push((listener, tls::read(files).map_err(HttpError::Tls)?));
            }
        }
        for (listener, tls) in read {
            listener.tls.store(Some(Arc::new(tls)));
        }
        Ok(())
    }

    /// Names and values.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        let now = self.listeners.iter().map(|l| l.limits.now()).sum();
        let now = ("http_connections_now", now);
        self.counters.iter().chain([now]).collect()
    }

    /// Where they stand.
    pub(crate) fn shared_counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

async fn accept(
    socket: TcpListener,
    listener: Arc<Listener>,
    services: Arc<Services>,
    counters: Arc<Counters>,
) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let peer = unmapped(peer);
                admit(stream, peer, &listener, &services, &counters);
            }
            Err(error) => {
                counters.add(Count::AcceptErrors);
                tracing::warn!("HTTP on {}: {error}", listener.config.listen);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Serves a connection that may be here and has a place; closes any other.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    listener: &Arc<Listener>,
    services: &Arc<Services>,
    counters: &Arc<Counters>,
) {
    if !listener.config.networks.is_empty() && !listener.networks.contains(peer.ip()) {
        return counters.add(Count::RefusedNetwork);
    }
    match listener.limits.enter(Source::of(peer.ip())) {
        Ok(()) => {}
        Err(limits::Full::All) => return counters.add(Count::RefusedFull),
        Err(limits::Full::Source) => return counters.add(Count::RefusedSource),
    }
    counters.add(Count::Accepted);
    let _ = stream.set_nodelay(true);
    let tls = listener.tls.load_full().map(|server| {
        let config: &tls::Server = &server;
        TlsAcceptor::from(Arc::clone(&config.0))
    });
    let connection = connection::Connection {
        peer,
        listener: Arc::clone(listener),
        services: Arc::clone(services),
        counters: Arc::clone(counters),
    };
    let listener = Arc::clone(listener);
    tokio::spawn(async move {
        let _place = limits::Place::new(&listener.limits, Source::of(peer.ip()));
        connection.serve(stream, tls).await;
    });
}

fn unmapped(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
